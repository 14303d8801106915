//! The broker's table of clients, which hands sessions over whole and in order.
//!
//! When a session passes to a new connection, rmqtt 0.24 loses messages that arrive
//! between the end of the old connection and the start of the new one, sends those
//! that were not acknowledged again from the last to the first, and lets new messages
//! overtake them. So this table does the handing over: messages that arrive meanwhile
//! are parked, and the new connection gets everything in order before anybody sees it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::channel::mpsc;
use rmqtt::inflight::{MomentStatus, OutInflightMessage};
use rmqtt::shared::{Entry, RetainLoadCallback, Shared};
use rmqtt::types::{
    ClientId, ForwardedCount, ForwardedRecipients, From, Id, IsAdmin, Message, MsgID, NodeId,
    OfflineSession, Publish, Reason, SessionStatus, SessionTx, SubRelations, SubRelationsMap,
    SubsSearchParams, SubsSearchResult, Subscribe, SubscribeReturn, To, TopicFilter, Tx,
    Unsubscribe,
};
use rmqtt::{Result, session::Session};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::received::{self, Received};

/// How long an old connection may take to let its session go.
const LETTING_GO: Duration = Duration::from_secs(5);
/// How long a message waits for a session that is being handed over.
const HANDOVER: Duration = Duration::from_secs(1);

/// The broker's table of clients.
pub struct Peers {
    inner: Box<dyn Shared>,
    handovers: Arc<Handovers>,
    received: Received,
}

/// The clients whose session is between two connections.
#[derive(Default)]
struct Handovers {
    clients: Mutex<HashSet<ClientId>>,
    done: Notify,
}

struct Peer {
    inner: Box<dyn Entry>,
    handovers: Arc<Handovers>,
    handing_over: bool,
    carried: Carried,
}

/// The messages of a session that is between two connections, oldest first.
#[derive(Default)]
struct Carried {
    unacknowledged: Vec<OutInflightMessage>,
    waiting: VecDeque<(From, Publish)>,
}

type Undelivered = Vec<(To, From, Publish, Reason)>;

impl Carried {
    /// Puts the messages first in the new connection's queue.
    async fn hand_to(self, session: &Session, tx: &Tx) -> Result<()> {
        // They keep their packet ids, which new messages must not get.
        let ids = self
            .unacknowledged
            .iter()
            .filter_map(|message| message.publish.packet_id);
        if let Some(highest) = ids.max() {
            session
                .out_inflight()
                .write()
                .await
                .advance_next_id(highest.get());
        }
        for mut message in self.unacknowledged {
            tx.unbounded_send(match message.status {
                MomentStatus::UnAck | MomentStatus::UnReceived => {
                    message.publish.dup = true;
                    Message::Forward(message.from, message.publish)
                }
                MomentStatus::UnComplete => Message::SendRerelease(message),
            })?;
        }
        for (from, publish) in self.waiting {
            tx.unbounded_send(Message::Forward(from, publish))?;
        }
        Ok(())
    }
}

impl Handovers {
    fn clients(&self) -> MutexGuard<'_, HashSet<ClientId>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    /// The table around the broker's own; what goes through it has been received.
    pub fn new(inner: impl Shared + 'static, received: Received) -> Self {
        Self {
            inner: Box::new(inner),
            handovers: Arc::default(),
            received,
        }
    }

    /// Delivers to those that just were between two connections.
    async fn deliver_late(&self, undelivered: Undelivered) -> (ForwardedCount, Undelivered) {
        let (mut delivered, mut lost): (ForwardedCount, _) = (0, Vec::new());
        for (to, from, publish, reason) in undelivered {
            if !self.is_back(&to.client_id).await {
                lost.push((to, from, publish, reason));
                continue;
            }
            match self.inner.entry(to.clone()).publish(from, publish).await {
                Ok(()) => delivered = delivered.saturating_add(1),
                Err((from, publish, reason)) => lost.push((to, from, publish, reason)),
            }
        }
        (delivered, lost)
    }

    async fn is_back(&self, client: &ClientId) -> bool {
        let back = async {
            loop {
                let done = self.handovers.done.notified();
                if !self.handovers.clients().contains(client) {
                    break self.inner.exist(client);
                }
                done.await;
            }
        };
        timeout(HANDOVER, back).await.unwrap_or(false)
    }
}

#[async_trait]
impl Shared for Peers {
    fn entry(&self, id: Id) -> Box<dyn Entry> {
        Box::new(Peer {
            inner: self.inner.entry(id),
            handovers: self.handovers.clone(),
            handing_over: false,
            carried: Carried::default(),
        })
    }

    fn exist(&self, client_id: &str) -> bool {
        self.inner.exist(client_id)
    }

    async fn forwards(
        &self,
        msg_id: Option<MsgID>,
        from: From,
        publish: Publish,
    ) -> std::result::Result<ForwardedCount, (ForwardedCount, Undelivered)> {
        if let Some(message) = received::Message::of(&publish) {
            self.received.remember(&from.id.client_id, message);
        }
        match self.inner.forwards(msg_id, from, publish).await {
            Err((count, undelivered)) => {
                let (late, lost) = self.deliver_late(undelivered).await;
                let count = count.saturating_add(late);
                if lost.is_empty() {
                    Ok(count)
                } else {
                    Err((count, lost))
                }
            }
            all => all,
        }
    }

    async fn forwards_and_get_shareds(
        &self,
        from: From,
        publish: Publish,
    ) -> std::result::Result<
        (SubRelationsMap, ForwardedRecipients),
        (ForwardedRecipients, Undelivered),
    > {
        self.inner.forwards_and_get_shareds(from, publish).await
    }

    async fn forwards_to(
        &self,
        from: From,
        publish: &Publish,
        relations: SubRelations,
        msg_id: Option<MsgID>,
    ) -> std::result::Result<ForwardedRecipients, (ForwardedRecipients, Undelivered)> {
        self.inner
            .forwards_to(from, publish, relations, msg_id)
            .await
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Box<dyn Entry>> + Sync + Send + '_> {
        self.inner.iter()
    }

    fn random_session(&self) -> Option<Session> {
        self.inner.random_session()
    }

    async fn session_status(&self, client_id: &str) -> Option<SessionStatus> {
        self.inner.session_status(client_id).await
    }

    async fn client_states_count(&self) -> usize {
        self.inner.client_states_count().await
    }

    fn sessions_count(&self) -> usize {
        self.inner.sessions_count()
    }

    async fn query_subscriptions(&self, query: &SubsSearchParams) -> Vec<SubsSearchResult> {
        self.inner.query_subscriptions(query).await
    }

    async fn subscriptions_count(&self) -> usize {
        self.inner.subscriptions_count().await
    }

    async fn retain_load_with(
        &self,
        filter: &TopicFilter,
        callback: Arc<dyn RetainLoadCallback>,
    ) -> Result<Vec<(NodeId, MsgID)>> {
        self.inner.retain_load_with(filter, callback).await
    }
}

#[async_trait]
impl Entry for Peer {
    async fn try_lock(&self) -> Result<Box<dyn Entry>> {
        Ok(Box::new(Self {
            inner: self.inner.try_lock().await?,
            handovers: self.handovers.clone(),
            handing_over: false,
            carried: Carried::default(),
        }))
    }

    fn id(&self) -> Id {
        self.inner.id()
    }

    fn id_same(&self) -> Option<bool> {
        self.inner.id_same()
    }

    async fn set(&mut self, session: Session, tx: Tx) -> Result<()> {
        std::mem::take(&mut self.carried)
            .hand_to(&session, &tx)
            .await?;
        let set = self.inner.set(session, tx).await;
        self.end_handover();
        set
    }

    async fn remove(&mut self) -> Result<Option<(Session, Tx)>> {
        self.inner.remove().await
    }

    async fn remove_with(&mut self, id: &Id) -> Result<Option<(Session, Tx)>> {
        self.inner.remove_with(id).await
    }

    async fn kick(
        &mut self,
        clean_start: bool,
        clear_subscriptions: bool,
        is_admin: IsAdmin,
    ) -> Result<OfflineSession> {
        let (Some(session), Some(old)) = (self.inner.session(), self.inner.tx()) else {
            return self
                .inner
                .kick(clean_start, clear_subscriptions, is_admin)
                .await;
        };
        self.handing_over = true;
        self.handovers
            .clients()
            .insert(self.inner.id().client_id.clone());

        // From here on messages are parked; those before the kick are still taken in.
        let (park, mut parked) = mpsc::unbounded();
        self.inner.set(session, SessionTx::new(park)).await?;
        let (let_go, gone) = oneshot::channel();
        let kick = Message::Kick(let_go, self.inner.id(), clean_start, is_admin);
        if old.unbounded_send(kick).is_ok() {
            match timeout(LETTING_GO, gone).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::debug!("a session ended while it was handed over"),
                Err(_) => tracing::warn!("an old connection does not let its session go"),
            }
        }
        // The broker kicks once more, now the parking place, and takes it away.
        let mut waiting = Vec::new();
        let answer = async {
            while let Some(message) = parked.next().await {
                match message {
                    Message::Kick(let_go, ..) => {
                        let _ = let_go.send(());
                    }
                    Message::Forward(from, publish) => waiting.push((from, publish)),
                    _ => {}
                }
            }
        };
        let kick = self.inner.kick(clean_start, clear_subscriptions, is_admin);
        let (offline, _) = tokio::join!(kick, timeout(LETTING_GO, answer));
        let mut offline = offline?;
        if let OfflineSession::Exist(Some(info)) = &mut offline {
            self.carried.unacknowledged = std::mem::take(&mut info.inflight_messages);
            self.carried.waiting = std::mem::take(&mut info.offline_messages);
            self.carried.waiting.extend(waiting);
        }
        Ok(offline)
    }

    async fn online(&self) -> bool {
        self.inner.online().await
    }

    async fn is_connected(&self) -> bool {
        self.inner.is_connected().await
    }

    fn session(&self) -> Option<Session> {
        self.inner.session()
    }

    fn exist(&self) -> bool {
        self.inner.exist()
    }

    fn tx(&self) -> Option<Tx> {
        self.inner.tx()
    }

    async fn subscribe(&self, subscribe: &Subscribe) -> Result<SubscribeReturn> {
        self.inner.subscribe(subscribe).await
    }

    async fn unsubscribe(&self, unsubscribe: &Unsubscribe) -> Result<bool> {
        self.inner.unsubscribe(unsubscribe).await
    }

    async fn publish(
        &self,
        from: From,
        publish: Publish,
    ) -> std::result::Result<(), (From, Publish, Reason)> {
        self.inner.publish(from, publish).await
    }

    async fn subscriptions(&self) -> Option<Vec<SubsSearchResult>> {
        self.inner.subscriptions().await
    }
}

impl Peer {
    fn end_handover(&mut self) {
        if std::mem::take(&mut self.handing_over) {
            self.handovers.clients().remove(&self.inner.id().client_id);
            self.handovers.done.notify_waiters();
        }
    }
}

/// A handshake that fails leaves no session behind.
impl Drop for Peer {
    fn drop(&mut self) {
        self.end_handover();
    }
}
