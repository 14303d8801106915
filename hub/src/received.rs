//! Messages of QoS 2 that came but were not released, remembered over a new connection.
//!
//! rmqtt 0.24 forgets them when a connection ends, and would deliver a message again that
//! its publisher repeats because it never saw the PUBREC. It also tells nobody of a PUBREL.
//! But it tells when any packet has been dealt with, and PUBRELs come in the order of the
//! messages: so a packet that nothing else explains counts as the release of the oldest.
//! Where that is wrong, a message is forgotten too early and comes twice, as without this
//! table; none is taken for a repetition that is not one.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rmqtt::codec::v5::PublishAckReason;
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::types::{ClientId, Publish, PublishAclResult, PublishResult, QoS};

/// How many messages are remembered for a client; it may not have more on their way.
const REMEMBERED: usize = crate::hub::INFLIGHT.get() as usize;
/// Before the gate, which has let the message pass when it came first.
const BEFORE_THE_GATE: u32 = 1;

/// The messages of all clients that came but were not released.
#[derive(Debug, Clone, Default)]
pub struct Received {
    clients: Arc<Mutex<HashMap<ClientId, Client>>>,
}

/// A client with at least one such message.
#[derive(Debug, Default)]
struct Client {
    /// In the order in which they came.
    messages: VecDeque<Message>,
    /// Whether the packet that is being dealt with is known not to be a PUBREL.
    explained: bool,
}

/// What a repetition has in common with its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    packet: NonZeroU16,
    content: u64,
}

impl Message {
    /// Of a message of QoS 2 that came from a client.
    pub fn of(publish: &Publish) -> Option<Self> {
        let packet = publish.packet_id?;
        let mut content = DefaultHasher::new();
        (&*publish.topic, &publish.payload[..], publish.retain).hash(&mut content);
        (publish.qos == QoS::ExactlyOnce).then(|| Self {
            packet,
            content: content.finish(),
        })
    }
}

impl Received {
    /// Lets the broker ask for repetitions and tell what becomes of the messages.
    pub async fn install(&self, register: &dyn Register) {
        for point in [
            Type::ClientConnected,
            Type::ClientKeepalive,
            Type::ClientSubscribe,
            Type::ClientUnsubscribe,
            Type::SessionTerminated,
            Type::MessageAcked,
        ] {
            register.add(point, Box::new(self.clone())).await;
        }
        let point = Type::MessagePublishCheckAcl;
        register
            .add_priority(point, BEFORE_THE_GATE, Box::new(self.clone()))
            .await;
    }

    /// Remembers a message that is on its way to its subscribers.
    pub fn remember(&self, client: &ClientId, message: Message) {
        let mut clients = self.clients();
        let client = clients.entry(client.clone()).or_default();
        client.explained = true;
        client.messages.retain(|old| old.packet != message.packet);
        if client.messages.len() >= REMEMBERED {
            client.messages.pop_front();
        }
        client.messages.push_back(message);
    }

    /// Whether a message that is coming from the client has come before.
    fn repeats(&self, client: &ClientId, publish: &Publish) -> bool {
        let mut clients = self.clients();
        let Some(client) = clients.get_mut(client) else {
            return false;
        };
        client.explained = true;
        publish.dup
            && Message::of(publish).is_some_and(|message| client.messages.contains(&message))
    }

    fn explain(&self, client: &ClientId) {
        if let Some(client) = self.clients().get_mut(client) {
            client.explained = true;
        }
    }

    /// A packet of the client has been dealt with.
    fn handled(&self, id: &ClientId) {
        let mut clients = self.clients();
        let Some(client) = clients.get_mut(id) else {
            return;
        };
        if !std::mem::take(&mut client.explained) {
            client.messages.pop_front();
            if client.messages.is_empty() {
                clients.remove(id);
            }
        }
    }

    /// The client has a new connection, to the same session or to a new one.
    fn connected(&self, id: &ClientId, same_session: bool) {
        let mut clients = self.clients();
        if !same_session {
            clients.remove(id);
        } else if let Some(client) = clients.get_mut(id) {
            // The last packet of the old connection may not have been dealt with.
            client.explained = false;
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientId, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Handler for Received {
    async fn hook(&self, parameter: &Parameter, acc: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::MessagePublishCheckAcl(session, publish)
                if self.repeats(&session.id.client_id, publish) =>
            {
                // The one reason that is no failure and yet ends here: the publisher gets
                // its PUBREC and goes on.
                let reason = PublishAckReason::NoMatchingSubscribers;
                let result = PublishAclResult(PublishResult::reason_code(reason, None, false));
                return (false, Some(HookResult::PublishAclResult(result)));
            }
            Parameter::ClientSubscribe(session, _)
            | Parameter::ClientUnsubscribe(session, _)
            | Parameter::MessageAcked(session, ..)
            | Parameter::ClientKeepalive(session, true) => {
                self.explain(&session.id.client_id);
            }
            Parameter::SessionTerminated(session, _) => {
                self.connected(&session.id.client_id, false);
            }
            Parameter::ClientConnected(session) => {
                let same_session = session.session_present().await.unwrap_or(false);
                self.connected(&session.id.client_id, same_session);
            }
            _ => {}
        }
        if let Parameter::ClientKeepalive(session, _) = parameter {
            self.handled(&session.id.client_id);
        }
        (true, acc)
    }
}
