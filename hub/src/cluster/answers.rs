//! What other nodes ask of this one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rmqtt::grpc::{Message, MessageReply};
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType};
use rmqtt::session::Session;
use rmqtt::shared::Entry;
use rmqtt::types::{Id, OfflineSession};
use tokio::time::sleep;

use super::member::{ALDIS, Cluster, RMQTT};
use crate::peers::Peers;
use crate::store::Change;

/// When a session that another node has taken over is forgotten here.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// Answers before rmqtt does.
pub struct Answers {
    cluster: Arc<Cluster>,
    peers: Peers,
}

impl Answers {
    pub fn new(cluster: Arc<Cluster>, peers: Peers) -> Self {
        Self { cluster, peers }
    }

    async fn answer(&self, message: &Message) -> Option<rmqtt::Result<MessageReply>> {
        if self.cluster.notary().is_none() {
            let early = matches!(message, Message::ForwardsTo(..) | Message::Kick(..));
            // Until then nobody is a client here.
            return early.then(|| Err(rmqtt::Error::msg("this node has not joined yet")));
        }
        match message {
            Message::ForwardsTo(from, publish, relations, _) => {
                let undelivered = self
                    .cluster
                    .deliver_here(&self.peers, from.clone(), publish, relations.clone())
                    .await;
                let hooks = self.cluster.broker.extends.hook_mgr();
                for (to, from, publish, reason) in undelivered {
                    hooks.message_dropped(Some(to), from, publish, reason).await;
                }
                Some(Ok(MessageReply::Success))
            }
            Message::Kick(id, clean_start, _, is_admin) => Some(
                self.hand_over(id.clone(), *clean_start, *is_admin)
                    .await
                    .map(MessageReply::Kick),
            ),
            _ => None,
        }
    }

    /// Gives another node a client's session. Its subscriptions stay until that one has them, so
    /// that what is published meanwhile comes here, and is sent after it.
    async fn hand_over(
        &self,
        id: Id,
        clean_start: bool,
        is_admin: bool,
    ) -> rmqtt::Result<OfflineSession> {
        let mut peer = self.peers.peer(id);
        let Some(session) = peer.session() else {
            return Ok(OfflineSession::NotExist);
        };
        let offline = peer.take_over(clean_start, clean_start, is_admin).await?;
        tokio::spawn(forget(self.cluster.clone(), self.peers.clone(), session));
        Ok(offline)
    }
}

/// Forgets what is left of a session that was handed over, if nobody brought it back.
async fn forget(cluster: Arc<Cluster>, peers: Peers, session: Session) {
    sleep(FORGOTTEN).await;
    let client = &session.id.client_id;
    let Some(notary) = cluster.notary() else {
        return;
    };
    if let Some(status) = notary.session_status(client).await
        && status.id.node_id == cluster.node
    {
        return;
    }
    if let Ok(subscriptions) = session.subscriptions().await {
        let router = cluster.broker.extends.router().await;
        for filter in subscriptions.to_topic_filters().await {
            // Removes nothing if the client has it anew.
            let _ = router.remove(&filter, session.id.clone()).await;
        }
    }
    let _ = notary
        .entry(session.id.clone())
        .remove_with(&session.id)
        .await;
    if peers.peer(session.id.clone()).session().is_none() {
        let client = client.to_string();
        cluster.store.post(Change::Forget { client }).await;
    }
}

#[async_trait]
impl Handler for Answers {
    async fn hook(&self, parameter: &Parameter, acc: Option<HookResult>) -> ReturnType {
        let reply = match parameter {
            Parameter::GrpcMessageReceived(kind, Message::Data(bytes)) if *kind == ALDIS => {
                let word = postcard::from_bytes(bytes)
                    .and_then(|question| postcard::to_stdvec(&self.cluster.answer(question)));
                Some(word.map(MessageReply::Data).map_err(Into::into))
            }
            Parameter::GrpcMessageReceived(kind, message) if *kind == RMQTT => {
                self.answer(message).await
            }
            _ => None,
        };
        match reply {
            Some(reply) => (false, Some(HookResult::GrpcMessageReply(reply))),
            None => (true, acc),
        }
    }
}
