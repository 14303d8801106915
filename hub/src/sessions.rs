//! Sessions that outlive their connection: stored as they change, rebuilt at the start.
//!
//! rmqtt tells of every change through its hooks. A message for such a session has a
//! row from when it waits (offline) or is sent (online) until it is acknowledged or
//! dropped, so that neither an orderly end nor a kill loses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::inflight::{MomentStatus, OutInflight, OutInflightMessage};
use rmqtt::session::{Session, SessionState};
use rmqtt::types::{
    ConnectInfo, DisconnectInfo, From as Origin, Id, ListenerConfig, Message, NodeId, Publish, QoS,
    Reason, SessionSubMap, SessionSubs, SubscriptionOptions, TopicFilter, Tx,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedRwLockWriteGuard, oneshot};

use crate::cluster::Cluster;
use crate::filter::covers;
use crate::retained::now;
use crate::store::{Change, Message as StoredMessage, Store, StoredSession};

/// How long the end of the hub waits for messages on their way to sessions.
const SETTLE_LIMIT: Duration = Duration::from_millis(200);

/// Behind the body of a message that its client has at QoS 2, and that is not complete.
const RELEASED: u8 = 1;

/// What a session is, as it is stored.
#[derive(Serialize, Deserialize)]
struct Body {
    id: Id,
    connect: ConnectInfo,
    created_at: i64,
    connected_at: i64,
    disconnect: Option<DisconnectInfo>,
}

/// Sessions in which no answer is taken any more, until this is dropped.
#[must_use = "what is answered after the end would not be stored"]
pub struct Held {
    _inflight: Vec<OwnedRwLockWriteGuard<OutInflight>>,
}

/// Keeps the store up to date.
#[derive(Debug, Clone)]
pub struct Keeper {
    store: Store,
    stopping: Arc<AtomicBool>,
}

impl Keeper {
    /// A keeper that writes to the store.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            stopping: Arc::default(),
        }
    }

    /// Lets the broker tell the keeper of every change.
    pub async fn install(&self, register: &dyn Register) {
        for point in [
            Type::ClientConnected,
            Type::ClientDisconnected,
            Type::SessionTerminated,
            Type::SessionSubscribed,
            Type::SessionUnsubscribed,
            Type::MessagePublish,
            Type::OfflineMessage,
            Type::MessageDelivered,
            Type::MessageAcked,
            Type::MessageDropped,
        ] {
            register.add(point, Box::new(self.clone())).await;
        }
    }

    /// Takes no more messages; stores those that wait for connected clients, and who has left.
    pub async fn stop(&self, broker: &ServerContext) -> Held {
        self.stopping.store(true, Ordering::Release);
        let (sessions, mailboxes): (Vec<Session>, Vec<Tx>) = {
            let shared = broker.extends.shared().await;
            shared
                .iter()
                .filter_map(|entry| Some((entry.session()?, entry.tx()?)))
                .unzip()
        };
        // What was acknowledged to its publisher may still be on its way to a session. A client
        // that takes nothing must not keep the others waiting.
        let settled = join_all(mailboxes.iter().map(settled));
        let _ = tokio::time::timeout(SETTLE_LIMIT, settled).await;
        let mut held = Vec::new();
        for session in sessions {
            if !persists(&session).await {
                continue;
            }
            if session.connected().await.unwrap_or(false) {
                while let Some((from, publish)) = session.deliver_queue().pop() {
                    self.queue(&session, &from, &publish).await;
                }
            } else if let Err(error) = self.disconnected(&session).await {
                // The broker may not have come to tell of a client that has just left.
                tracing::error!("a session cannot be stored: {error}");
            }
            let mut inflight = session.out_inflight().clone().write_owned().await;
            self.released(&session, &mut inflight).await;
            held.push(inflight);
        }
        Held { _inflight: held }
    }

    /// Stores which messages their client has at QoS 2 already: it is owed PUBREL, and would take
    /// the message for a new one. The broker does not tell when a client says so.
    async fn released(&self, session: &Session, inflight: &mut OutInflight) {
        for sent in inflight.clone_inflight_messages() {
            if sent.status != MomentStatus::UnComplete {
                continue;
            }
            match stored_message(&sent.from, &sent.publish) {
                Ok(mut message) => {
                    message.body.push(RELEASED);
                    let client = session.id.client_id.to_string();
                    self.store.post(Change::Queue { client, message }).await;
                }
                Err(error) => tracing::error!("a message cannot be stored: {error}"),
            }
        }
    }

    async fn connected(&self, session: &Session) -> rmqtt::Result<()> {
        let client = session.id.client_id.to_string();
        if !persists(session).await {
            self.store.post(Change::Forget { client }).await;
            return Ok(());
        }
        let body = Body {
            id: session.id.clone(),
            connect: without_password(&*session.connect_info().await?),
            created_at: session.created_at().await?,
            connected_at: session.connected_at().await?,
            disconnect: None,
        };
        let change = Change::Connect {
            client,
            owner: session.id.to_string(),
            body: postcard::to_stdvec(&body)?,
            fresh: !session.session_present().await?,
        };
        // Waiting would let new messages overtake those that the session takes along.
        self.store.post(change).await;
        Ok(())
    }

    async fn disconnected(&self, session: &Session) -> rmqtt::Result<()> {
        if !persists(session).await {
            return Ok(());
        }
        let disconnect = DisconnectInfo {
            disconnected_at: session.disconnected_at().await?,
            reasons: Vec::new(),
            mqtt_disconnect: session.disconnect().await?,
        };
        let mut connect = without_password(&*session.connect_info().await?);
        // The will has been published or discarded by now, unless it is delayed.
        let delayed = connect
            .last_will()
            .and_then(|will| will.will_delay_interval())
            .is_some();
        if disconnect.mqtt_disconnect.is_some() || !delayed {
            remove_will(&mut connect);
        }
        let body = Body {
            id: session.id.clone(),
            connect,
            created_at: session.created_at().await?,
            connected_at: session.connected_at().await?,
            disconnect: Some(disconnect),
        };
        let change = Change::Disconnect {
            client: session.id.client_id.to_string(),
            owner: session.id.to_string(),
            body: postcard::to_stdvec(&body)?,
        };
        let mut inflight = session.out_inflight().write().await;
        self.released(session, &mut inflight).await;
        drop(inflight);
        self.store.write(change).await;
        Ok(())
    }

    async fn queue(&self, session: &Session, from: &Origin, publish: &Publish) {
        if publish.qos == QoS::AtMostOnce || !persists(session).await {
            return;
        }
        match stored_message(from, publish) {
            Ok(message) => {
                let client = session.id.client_id.to_string();
                self.store.post(Change::Queue { client, message }).await;
            }
            Err(error) => tracing::error!("a message cannot be stored: {error}"),
        }
    }

    async fn unqueue(&self, client: &Id, from: &Origin, publish: &Publish) {
        if publish.qos == QoS::AtMostOnce {
            return;
        }
        if let Ok(message) = stored_message(from, publish) {
            let client = client.client_id.to_string();
            self.store.post(Change::Unqueue { client, message }).await;
        }
    }

    async fn note(&self, parameter: &Parameter<'_>) -> rmqtt::Result<()> {
        match parameter {
            Parameter::ClientConnected(session) => self.connected(session).await?,
            Parameter::ClientDisconnected(session, _) => self.disconnected(session).await?,
            Parameter::SessionTerminated(session, _) => {
                let client = session.id.client_id.to_string();
                let owner = session.id.to_string();
                self.store.post(Change::Terminate { client, owner }).await;
            }
            Parameter::SessionSubscribed(session, subscribe) if persists(session).await => {
                let change = Change::Subscribe {
                    client: session.id.client_id.to_string(),
                    filter: subscribe.topic_filter.to_string(),
                    body: postcard::to_stdvec(&subscribe.opts)?,
                };
                // Before the SUBACK.
                self.store.write(change).await;
            }
            Parameter::SessionUnsubscribed(session, unsubscribe) if persists(session).await => {
                let change = Change::Unsubscribe {
                    client: session.id.client_id.to_string(),
                    filter: unsubscribe.topic_filter.to_string(),
                };
                self.store.write(change).await;
            }
            Parameter::MessagePublish(..) if self.stopping.load(Ordering::Acquire) => {
                // What cannot be stored any more is not acknowledged: the publisher
                // keeps it for the hub's next life.
                std::future::pending::<()>().await;
            }
            Parameter::OfflineMessage(session, from, publish) => {
                self.queue(session, from, publish).await;
            }
            Parameter::MessageDelivered(session, from, publish) => {
                await_answer(session, from, publish).await;
                self.queue(session, from, publish).await;
            }
            Parameter::MessageAcked(session, from, publish) if persists(session).await => {
                self.unqueue(&session.id, from, publish).await;
            }
            Parameter::MessageDropped(Some(to), from, publish, reason) => {
                tracing::debug!(client = %to.client_id, topic = %publish.topic, "dropped: {reason}");
                self.unqueue(to, from, publish).await;
            }
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Keeper {
    async fn hook(&self, parameter: &Parameter, acc: Option<HookResult>) -> ReturnType {
        if let Err(error) = self.note(parameter).await {
            tracing::error!("a session cannot be stored: {error}");
        }
        (true, acc)
    }
}

/// Puts a message among those whose answer is awaited. The broker does so only when it has
/// written it, and forgets one that could not be written.
async fn await_answer(session: &Session, from: &Origin, publish: &Publish) {
    if publish.qos == QoS::AtMostOnce {
        return;
    }
    let status = awaited(publish.qos);
    let message = OutInflightMessage::new(status, from.clone(), publish.clone());
    session.out_inflight().write().await.push_back(message);
}

/// The first answer to a message.
const fn awaited(qos: QoS) -> MomentStatus {
    match qos {
        QoS::AtMostOnce | QoS::AtLeastOnce => MomentStatus::UnAck,
        QoS::ExactlyOnce => MomentStatus::UnReceived,
    }
}

/// Waits until the session has seen to everything that it was sent before.
async fn settled(mailbox: &Tx) {
    let (seen, answer) = oneshot::channel();
    // It changes nothing. Without a connection it is not answered, only dropped in its turn.
    let nothing = Message::Subscribes(Vec::new(), Some(seen));
    if mailbox.unbounded_send(nothing).is_ok() {
        let _ = answer.await;
    }
}

/// Whether the session outlives its connection.
async fn persists(session: &Session) -> bool {
    match session.connect_info().await.as_deref() {
        Ok(ConnectInfo::V3(_, connect)) => !connect.clean_session,
        Ok(ConnectInfo::V5(..)) => !session.fitter.session_expiry_interval(None).is_zero(),
        Err(_) => false,
    }
}

fn without_password(connect: &ConnectInfo) -> ConnectInfo {
    let mut connect = connect.clone();
    match &mut connect {
        ConnectInfo::V3(_, connect) => connect.password = None,
        ConnectInfo::V5(_, connect) => {
            connect.password = None;
            connect.auth_data = None;
        }
    }
    connect
}

fn remove_will(connect: &mut ConnectInfo) {
    match connect {
        ConnectInfo::V3(_, connect) => connect.last_will = None,
        ConnectInfo::V5(_, connect) => connect.last_will = None,
    }
}

fn stored_message(from: &Origin, publish: &Publish) -> Result<StoredMessage, postcard::Error> {
    let mut rest = publish.clone();
    let payload = std::mem::take(&mut rest.payload);
    Ok(StoredMessage {
        stamp: publish.create_time.unwrap_or_default(),
        topic: publish.topic.to_string(),
        payload: payload.to_vec(),
        packet: publish.packet_id.map(Into::into),
        body: postcard::to_stdvec(&(from, rest))?,
    })
}

/// The message, and what of its client is awaited if it was sent.
fn restored_message(
    message: StoredMessage,
) -> Result<(Origin, Publish, MomentStatus), postcard::Error> {
    let ((from, mut publish), more): ((Origin, Publish), _) =
        postcard::take_from_bytes(&message.body)?;
    publish.payload = message.payload.into();
    let status = match publish.qos {
        QoS::ExactlyOnce if more.first() == Some(&RELEASED) => MomentStatus::UnComplete,
        qos => awaited(qos),
    };
    Ok((from, publish, status))
}

/// What sessions that were stored are brought back into.
pub struct Again<'a> {
    /// The broker.
    pub broker: &'a ServerContext,
    /// Where they are stored.
    pub store: &'a Store,
    /// How it listens, for sessions of a listener that is not there any more.
    pub listener: &'a ListenerConfig,
    /// The cluster, other nodes of which may have their clients by now.
    pub cluster: Option<&'a Cluster>,
}

/// What became of a stored session.
enum Rebuilt {
    /// It is there again; the will is due, if there is one.
    Again(Option<(Id, Publish)>),
    Expired,
    /// Another node has it.
    Moved,
}

impl Again<'_> {
    /// Gives the broker the sessions that were stored, then publishes the wills of clients
    /// whose connection ended because the hub did.
    pub async fn rebuild(&self, stored: Vec<StoredSession>) {
        let mut wills = Vec::new();
        for session in stored {
            let client = session.client.clone();
            match self.rebuild_one(session).await {
                Ok(Rebuilt::Again(will)) => wills.extend(will),
                Ok(Rebuilt::Expired | Rebuilt::Moved) => {
                    self.store.post(Change::Forget { client }).await;
                }
                Err(error) => {
                    tracing::error!(client, "a session is unreadable and lost: {error:#}");
                    self.store.post(Change::Forget { client }).await;
                }
            }
        }
        for (id, will) in wills {
            self.publish(Origin::from_lastwill(id), will).await;
        }
    }

    async fn publish(&self, from: Origin, publish: Publish) {
        let published = SessionState::forwards(self.broker, from, publish, false, None).await;
        if let Err(error) = published {
            tracing::error!("a stored message cannot be published: {error:#}");
        }
    }

    /// Whether another node has got the client since.
    async fn has_moved(&self, id: &Id) -> bool {
        let Some(notary) = self.cluster.and_then(Cluster::notary) else {
            return false;
        };
        let status = notary.session_status(&id.client_id).await;
        status.is_some_and(|status| status.id != *id && status.id.create_time > id.create_time)
    }

    /// Gives what waited here to the client's new node, as far as order does not matter: to one
    /// of several that share a subscription. To others it would come late, after what is newer.
    async fn hand_on(&self, id: &Id, stored: StoredSession) -> rmqtt::Result<()> {
        let options = stored.subscriptions.iter().map(|(filter, body)| {
            let options: SubscriptionOptions = postcard::from_bytes(body)?;
            Ok((filter.as_str(), options))
        });
        let options = options.collect::<Result<Vec<_>, postcard::Error>>()?;
        let (mut given, mut dropped) = (0_usize, 0_usize);
        for message in stored.queue {
            let shared = options.iter().any(|(filter, options)| {
                options.shared_group().is_some() && covers(filter, &message.topic)
            });
            let (from, mut publish, status) = restored_message(message)?;
            if !shared || status == MomentStatus::UnComplete {
                dropped = dropped.saturating_add(1);
                continue;
            }
            publish.packet_id = None;
            publish.retain = false;
            publish.target_clientid = Some(id.client_id.clone());
            self.publish(from, publish).await;
            given = given.saturating_add(1);
        }
        if dropped > 0 {
            tracing::warn!(
                client = %id.client_id,
                "{dropped} messages that waited here are dropped: the client went to another node"
            );
        }
        tracing::info!(client = %id.client_id, "{given} messages are given to another node");
        Ok(())
    }

    async fn rebuild_one(&self, stored: StoredSession) -> rmqtt::Result<Rebuilt> {
        let broker = self.broker;
        let mut body: Body = postcard::from_bytes(&stored.body)?;
        let id = at_node(&body.id, broker.node.id());
        if self.has_moved(&body.id).await {
            self.hand_on(&id, stored).await?;
            return Ok(Rebuilt::Moved);
        }
        let disconnect = body
            .disconnect
            .unwrap_or_else(|| DisconnectInfo::new(now()));
        let due_will = match body.connect.last_will() {
            Some(will) if stored.connected && will.will_delay_interval().is_none() => {
                let publish = Publish::try_from(will)?.create_time(now());
                remove_will(&mut body.connect);
                Some((id.clone(), publish))
            }
            _ => None,
        };
        let connect = Arc::new(body.connect);

        let listener = broker.listen_cfgs.get(&id.lid).map_or_else(
            || self.listener.clone(),
            |listener| listener.value().clone(),
        );
        let fitter =
            broker
                .extends
                .fitter_mgr()
                .await
                .create(connect.clone(), id.clone(), listener.clone());
        let expiry = fitter.session_expiry_interval(disconnect.mqtt_disconnect.as_ref());
        let Some(left) = time_left(expiry, &disconnect) else {
            return Ok(Rebuilt::Expired);
        };

        let subscriptions = stored
            .subscriptions
            .iter()
            .map(|(filter, body)| {
                let options: SubscriptionOptions = postcard::from_bytes(body)?;
                Ok((TopicFilter::from(filter.as_str()), options))
            })
            .collect::<Result<SessionSubMap, postcard::Error>>()?;

        let (queue, inflight) = (fitter.max_mqueue_len(), fitter.max_inflight());
        let session = Session::new(
            id.clone(),
            broker.clone(),
            queue,
            listener,
            fitter,
            None,
            inflight,
            body.created_at,
            connect,
            false,
            false,
            false,
            body.connected_at,
            SessionSubs::from(subscriptions.clone()),
            Some(disconnect),
            None,
        )
        .await?;

        for message in stored.queue.iter().cloned() {
            let (from, publish, status) = restored_message(message)?;
            if publish.packet_id.is_some() {
                let message = OutInflightMessage::new(status, from, publish);
                session.out_inflight().write().await.push_back(message);
            } else if session.deliver_queue().push((from, publish)).is_err() {
                tracing::warn!(
                    client = stored.client,
                    "the queue is full: a message is lost"
                );
            }
        }

        let sender = SessionState::offline_restart(session.clone(), left).await?;
        let mut entry = broker.extends.shared().await.entry(id.clone());
        if let Err(error) = entry.set(session.clone(), sender).await {
            // Another node was faster than what is known here.
            if self.cluster.is_some() && self.has_moved(&body.id).await {
                self.hand_on(&id, stored).await?;
                return Ok(Rebuilt::Moved);
            }
            return Err(error);
        }
        for (filter, options) in subscriptions {
            let router = broker.extends.router().await;
            router.add(&filter, id.clone(), options).await?;
        }
        if self.cluster.is_some() {
            // The cluster takes a session that is set for one with a connection.
            let hooks = broker.extends.hook_mgr().hook(session);
            hooks.client_disconnected(Reason::ConnectRemoteClose).await;
        }
        Ok(Rebuilt::Again(due_will))
    }
}

/// The same client of this node: a directory may come from a hub by itself, or another node's.
fn at_node(id: &Id, node: NodeId) -> Id {
    if id.node_id == node {
        return id.clone();
    }
    Id::new(
        node,
        id.lid,
        id.local_addr,
        id.remote_addr,
        id.client_id.clone(),
        id.username.clone(),
    )
}

/// How much longer the session is kept.
fn time_left(expiry: Duration, disconnect: &DisconnectInfo) -> Option<Duration> {
    let offline = now().saturating_sub(disconnect.disconnected_at);
    let offline = Duration::from_millis(u64::try_from(offline).unwrap_or(0));
    expiry.checked_sub(offline).filter(|left| !left.is_zero())
}
