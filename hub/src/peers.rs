//! The broker's table of clients, which hands sessions over whole and in order.
//!
//! When a session passes to a new connection, rmqtt 0.24 loses messages that arrive
//! between the end of the old connection and the start of the new one, sends those
//! that were not acknowledged again from the last to the first, and lets new messages
//! overtake them. So this table does the handing over: messages that arrive meanwhile
//! are parked, and the new connection gets everything in order before anybody sees it.
//!
//! In a cluster the cluster's own table is asked first, who may have a client: it is the notary.
//! What it keeps of sessions is not used; they are here, as without a cluster.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::channel::mpsc;
use rmqtt::inflight::{MomentStatus, OutInflightMessage};
use rmqtt::shared::{DefaultShared, Entry, RetainLoadCallback, Shared};
use rmqtt::types::{
    ClientId, ForwardedCount, ForwardedRecipients, From, Id, IsAdmin, Message, MsgID, NodeId,
    OfflineSession, Publish, Reason, SessionStatus, SessionTx, SubRelations, SubRelationsMap,
    SubsSearchParams, SubsSearchResult, Subscribe, SubscribeReturn, To, TopicFilter, Tx,
    Unsubscribe,
};
use rmqtt::{Result, session::Session};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::received::{self, Received};

/// How long an old connection may take to let its session go.
const LETTING_GO: Duration = Duration::from_secs(5);
/// How long a message waits for a session that is being handed over.
const HANDOVER: Duration = Duration::from_secs(1);

/// The broker's table of clients.
#[derive(Clone)]
pub struct Peers {
    inner: DefaultShared,
    handovers: Arc<Handovers>,
    received: Received,
    cluster: Option<Arc<Cluster>>,
}

/// The clients whose session is between two connections.
#[derive(Default)]
struct Handovers {
    clients: Mutex<HashSet<ClientId>>,
    done: Notify,
}

pub struct Peer {
    inner: Box<dyn Entry>,
    /// The same client in the cluster's table, and the node that had it last.
    notary: Option<Notary>,
    handovers: Arc<Handovers>,
    handing_over: bool,
    carried: Carried,
}

struct Notary {
    cluster: Arc<Cluster>,
    entry: Box<dyn Entry>,
    /// The node that had the client before this one wanted it.
    before: Option<NodeId>,
}

/// The messages of a session that is between two connections, oldest first.
#[derive(Default)]
pub struct Carried {
    unacknowledged: Vec<OutInflightMessage>,
    waiting: VecDeque<(From, Publish)>,
}

/// What did not reach its client.
pub type Undelivered = Vec<(To, From, Publish, Reason)>;
/// How many got a message, and what did not reach its client.
pub type Delivery = std::result::Result<ForwardedCount, (ForwardedCount, Undelivered)>;

impl Carried {
    fn take_from(offline: &mut OfflineSession) -> Self {
        match offline {
            OfflineSession::Exist(Some(info)) => Self {
                unacknowledged: std::mem::take(&mut info.inflight_messages),
                waiting: std::mem::take(&mut info.offline_messages),
            },
            _ => Self::default(),
        }
    }

    /// The messages, without what their client had already said about them.
    #[cfg(feature = "cluster")]
    pub fn into_messages(self) -> impl Iterator<Item = (From, Publish)> {
        let unacknowledged = self.unacknowledged.into_iter().filter_map(|message| {
            // The client has the others.
            (message.status != MomentStatus::UnComplete).then_some((message.from, message.publish))
        });
        unacknowledged.chain(self.waiting)
    }

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
    pub fn new(inner: DefaultShared, received: Received, cluster: Option<Arc<Cluster>>) -> Self {
        Self {
            inner,
            handovers: Arc::default(),
            received,
            cluster,
        }
    }

    /// A client's place in this table.
    pub fn peer(&self, id: Id) -> Peer {
        let notary = self.cluster.as_ref().and_then(|cluster| {
            Some(Notary {
                cluster: cluster.clone(),
                entry: cluster.notary()?.entry(id.clone()),
                before: None,
            })
        });
        Peer {
            inner: self.inner.entry(id),
            notary,
            handovers: self.handovers.clone(),
            handing_over: false,
            carried: Carried::default(),
        }
    }

    /// Delivers to clients of this node.
    #[cfg(feature = "cluster")]
    pub async fn deliver(
        &self,
        from: From,
        publish: &Publish,
        relations: SubRelations,
    ) -> std::result::Result<(), Undelivered> {
        let delivered = self.inner.forwards_to(from, publish, relations, None).await;
        delivered
            .map(|_| ())
            .map_err(|(_, undelivered)| undelivered)
    }

    fn notary(&self) -> Option<&dyn Shared> {
        self.cluster.as_ref()?.notary()
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
        Box::new(self.peer(id))
    }

    fn exist(&self, client_id: &str) -> bool {
        self.inner.exist(client_id)
    }

    async fn forwards(&self, msg_id: Option<MsgID>, from: From, publish: Publish) -> Delivery {
        if let Some(message) = received::Message::of(&publish) {
            self.received.remember(&from.id.client_id, message);
        }
        if let Some(cluster) = &self.cluster {
            return cluster.distribute(self, from, publish).await;
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
        match self.notary() {
            Some(notary) => notary.session_status(client_id).await,
            None => self.inner.session_status(client_id).await,
        }
    }

    async fn client_states_count(&self) -> usize {
        match self.notary() {
            Some(notary) => notary.client_states_count().await,
            None => self.inner.client_states_count().await,
        }
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

    #[cfg(feature = "cluster")]
    fn get_grpc_clients(&self) -> rmqtt::grpc::GrpcClients {
        self.notary()
            .map(Shared::get_grpc_clients)
            .unwrap_or_default()
    }

    #[cfg(feature = "cluster")]
    fn node_name(&self, id: NodeId) -> String {
        match self.notary() {
            Some(notary) => notary.node_name(id),
            None => self.inner.node_name(id),
        }
    }

    #[cfg(feature = "cluster")]
    async fn check_health(&self) -> Result<rmqtt::types::HealthInfo> {
        match self.notary() {
            Some(notary) => notary.check_health().await,
            None => self.inner.check_health().await,
        }
    }

    #[cfg(feature = "cluster")]
    async fn health_status(&self) -> Result<rmqtt::types::NodeHealthStatus> {
        match self.notary() {
            Some(notary) => notary.health_status().await,
            None => self.inner.health_status().await,
        }
    }

    // Only retained and waiting messages are stored, and not by the broker.
    #[cfg(feature = "cluster")]
    async fn message_load(
        &self,
        client_id: &str,
        filter: &str,
        group: Option<&rmqtt::types::SharedGroup>,
    ) -> Result<Vec<(MsgID, From, Publish)>> {
        self.inner.message_load(client_id, filter, group).await
    }

    #[cfg(feature = "cluster")]
    async fn message_mark_forwarded(
        &self,
        node: NodeId,
        message: MsgID,
        recipients: ForwardedRecipients,
    ) -> Result<()> {
        self.inner
            .message_mark_forwarded(node, message, recipients)
            .await
    }

    #[cfg(feature = "cluster")]
    async fn retain_set_broadcast(
        &self,
        topic: &rmqtt::types::TopicName,
        retain: &rmqtt::types::Retain,
        _default_expiry: Option<Duration>,
    ) -> Result<()> {
        if let Some(cluster) = &self.cluster {
            cluster.retain(topic, retain).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Entry for Peer {
    async fn try_lock(&self) -> Result<Box<dyn Entry>> {
        // Before the cluster's: a lock of that lasts some seconds even if this one fails.
        let inner = self.inner.try_lock().await?;
        let notary = match &self.notary {
            Some(notary) => Some(notary.try_lock().await?),
            None => None,
        };
        Ok(Box::new(Self {
            inner,
            notary,
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
        let carried = std::mem::take(&mut self.carried);
        if let Some(notary) = &mut self.notary
            && let Err(error) = notary.entry.set(session.clone(), tx.clone()).await
        {
            // The session is gone; its messages need not be.
            notary.cluster.keep(&session.id.client_id, carried);
            return Err(error);
        }
        carried.hand_to(&session, &tx).await?;
        let set = self.inner.set(session, tx).await;
        self.end_handover();
        set
    }

    async fn remove(&mut self) -> Result<Option<(Session, Tx)>> {
        let removed = self.inner.remove().await;
        if let (Some(notary), Ok(Some((session, _)))) = (&mut self.notary, &removed) {
            let _ = notary.entry.remove_with(&session.id).await;
        }
        removed
    }

    async fn remove_with(&mut self, id: &Id) -> Result<Option<(Session, Tx)>> {
        let removed = self.inner.remove_with(id).await;
        if let Some(notary) = &mut self.notary {
            let _ = notary.entry.remove_with(id).await;
        }
        removed
    }

    async fn kick(
        &mut self,
        clean_start: bool,
        clear_subscriptions: bool,
        is_admin: IsAdmin,
    ) -> Result<OfflineSession> {
        let elsewhere = self.notary.as_ref().is_some_and(Notary::is_elsewhere);
        if elsewhere && self.inner.exist() {
            // This node was out of reach when the client went to another: what it has is old.
            let _ = self.take_over(true, true, is_admin).await;
        }
        let mut offline = match &mut self.notary {
            Some(notary) if elsewhere || !self.inner.exist() => {
                notary.kick(clean_start, clear_subscriptions).await?
            }
            _ => {
                self.take_over(clean_start, clear_subscriptions, is_admin)
                    .await?
            }
        };
        self.carried = Carried::take_from(&mut offline);
        Ok(offline)
    }

    async fn online(&self) -> bool {
        match &self.notary {
            Some(notary) => notary.entry.online().await,
            None => self.inner.online().await,
        }
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

impl Notary {
    async fn try_lock(&self) -> Result<Self> {
        let before = match self.cluster.notary() {
            Some(notary) => notary.session_status(&self.entry.id().client_id).await,
            None => None,
        };
        Ok(Self {
            cluster: self.cluster.clone(),
            entry: self.entry.try_lock().await?,
            before: before.map(|status| status.id.node_id),
        })
    }

    /// Whether another node had the client last.
    fn is_elsewhere(&self) -> bool {
        let here = self.entry.id().node_id;
        self.before.is_some_and(|node| node != here)
    }

    /// Takes over from another node, if one has the client and answers.
    async fn kick(
        &mut self,
        clean_start: bool,
        clear_subscriptions: bool,
    ) -> Result<OfflineSession> {
        let is_away = self.before.is_some_and(|node| self.cluster.is_away(node));
        if is_away || !self.is_elsewhere() {
            // What the cluster's table has of it here is of long ago.
            return Ok(OfflineSession::NotExist);
        }
        // For an administrator it would look for the client where it was locked: here.
        let is_admin = false;
        self.entry
            .kick(clean_start, clear_subscriptions, is_admin)
            .await
    }
}

impl Peer {
    /// Takes the client's session from its connection, with all its messages in order.
    pub async fn take_over(
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
            info.offline_messages.extend(waiting);
        }
        Ok(offline)
    }

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
