//! The gate: who comes in, and what they may do once they are in.
//!
//! The broker asks it whenever a client connects, subscribes or publishes, and before each
//! message goes to a client: rights may have been taken away since the subscription.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use rmqtt::codec::v5::SubscribeAckReason;
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::types::{
    AuthResult, ClientId, ConnectInfo, DashMap, Id, LastWill, ListenerId, Message,
    PublishAclResult, Reason, SubscribeReturn,
};

use crate::access::{Access, Action, Subject};
use crate::keys::{INNER, Keyring, Keys, OWNER};
use crate::passwords::{Passwords, Stored, Verdict, same};
use crate::store::{Change, Store};

/// The gate of a hub.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    broker: ServerContext,
    store: Store,
    access: Access,
    keys: Option<Keyring>,
    /// The password of the hub's own parts.
    secret: String,
    /// The listeners that speak WebSocket.
    websockets: Vec<ListenerId>,
    passwords: Passwords,
    /// By which hash each client came in, for the newest connection of each client id.
    entered: DashMap<ClientId, (Id, String)>,
}

/// Who a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who<'a> {
    /// A part of the hub.
    Inner,
    /// The owner of the hub.
    Owner,
    /// A paired device.
    Device(&'a str),
    /// A user who is listed in `hub.toml`.
    User(&'a str),
    /// Somebody at this machine, perhaps with a name that nobody checked.
    Anonymous(Option<&'a str>),
}

impl Gate {
    /// A gate that lets in whom `access` and `keys` name, and the hub's own parts.
    pub fn new(
        broker: ServerContext,
        store: Store,
        access: Access,
        keys: Option<Keyring>,
        secret: String,
        websockets: Vec<ListenerId>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                broker,
                store,
                access,
                keys,
                secret,
                websockets,
                passwords: Passwords::default(),
                entered: DashMap::default(),
            }),
        }
    }

    /// Puts the gate in front of the broker.
    pub async fn install(&self, register: &dyn Register) {
        for point in [
            Type::ClientAuthenticate,
            Type::ClientConnected,
            Type::ClientDisconnected,
            Type::ClientSubscribeCheckAcl,
            Type::MessagePublishCheckAcl,
            Type::MessageExpiryCheck,
        ] {
            register.add(point, Box::new(self.clone())).await;
        }
    }

    /// The keys of this moment.
    pub fn keys(&self) -> Arc<Keys> {
        let keys = self.inner.keys.as_ref();
        keys.map(Keyring::current).unwrap_or_default()
    }

    async fn authenticate(&self, connect: &ConnectInfo) -> AuthResult {
        let id = connect.id();
        // A device that was just paired does not wait until the file is looked at.
        if let (Some(_), Some(keys)) = (&id.username, &self.inner.keys) {
            keys.refresh();
        }
        let keys = self.keys();
        let entered = match self.enter(connect, &keys).await {
            Ok(entered) => entered,
            Err(refused) => return refused,
        };
        if let Err(refused) = self.check_will(connect, &keys) {
            return refused;
        }
        if let Err(why) = self.claim(id, &keys).await {
            tracing::warn!(
                client = %id.client_id,
                user = id.username.as_deref().unwrap_or_default(),
                address = ?id.remote_addr,
                "refused: {why}"
            );
            return AuthResult::NotAuthorized;
        }
        if let Some(hash) = entered {
            let entered = (id.clone(), hash);
            self.inner.entered.insert(id.client_id.clone(), entered);
        }
        AuthResult::Allow(false, None)
    }

    /// Lets a client in, and tells by which hash; or says how it is refused.
    async fn enter(
        &self,
        connect: &ConnectInfo,
        keys: &Keys,
    ) -> Result<Option<String>, AuthResult> {
        let id = connect.id();
        let refused = |why: &str| {
            let (user, address) = (id.username.as_deref(), id.remote_addr);
            tracing::info!(client = %id.client_id, user, ?address, "refused: {why}");
        };
        let Some(user) = connect.username().filter(|user| self.checks(user)) else {
            return match self.admits_anonymous(id, keys) {
                Ok(()) => Ok(None),
                Err(why) => {
                    refused(why);
                    Err(AuthResult::NotAuthorized)
                }
            };
        };
        let user: &str = user;
        let Some(password) = connect.password() else {
            refused("a user name without a password");
            return Err(AuthResult::BadUsernameOrPassword);
        };
        if user == INNER {
            return match same(password, self.inner.secret.as_bytes()) {
                true => Ok(None),
                false => {
                    refused("not a part of this hub");
                    Err(AuthResult::BadUsernameOrPassword)
                }
            };
        }
        let from = id
            .remote_addr
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |addr| addr.ip());
        let hash = self.hash_of(keys, user);
        let stored = hash.map(|hash| match keys.devices.contains_key(user) {
            true => Stored::Device(hash),
            false => Stored::Person(hash),
        });
        let passwords = &self.inner.passwords;
        match passwords.check(from, user, stored, password).await {
            Verdict::Right => Ok(hash.map(str::to_owned)),
            Verdict::Wrong => {
                refused("unknown user or wrong password");
                Err(AuthResult::BadUsernameOrPassword)
            }
            Verdict::TooMany => {
                refused("too many wrong passwords came from its address");
                Err(AuthResult::NotAuthorized)
            }
            Verdict::Busy => {
                refused("too many passwords are being checked");
                Err(AuthResult::NotAuthorized)
            }
        }
    }

    /// Whether the name needs its password. Where nobody has one, names mean nothing.
    fn checks(&self, user: &str) -> bool {
        self.inner.keys.is_some()
            || !self.inner.access.users.is_empty()
            || user == OWNER
            || user.starts_with('$')
    }

    /// Whether a client may come in without a name, or why not.
    fn admits_anonymous(&self, id: &Id, keys: &Keys) -> Result<(), &'static str> {
        if !self.anonymous_may(keys) {
            return Err("no user name, and anonymous clients are switched off");
        }
        if !id.remote_addr.is_some_and(|addr| is_loopback(addr.ip())) {
            return Err("no user name; without one only clients of this machine come in");
        }
        // Any page in a browser of this machine could open one. Where nobody has a name, there is
        // no other way.
        if self.inner.websockets.contains(&id.lid) && self.checks("") {
            return Err("no user name; over WebSocket everybody needs one");
        }
        Ok(())
    }

    fn anonymous_may(&self, keys: &Keys) -> bool {
        self.inner.access.allows_anonymous() && keys.anonymous
    }

    fn hash_of<'a>(&'a self, keys: &'a Keys, user: &str) -> Option<&'a str> {
        keys.hash_of(user)
            .or_else(|| self.inner.access.hash_of(user))
    }

    /// The broker publishes a will without asking again.
    fn check_will(&self, connect: &ConnectInfo, keys: &Keys) -> Result<(), AuthResult> {
        let Some(will) = connect.last_will() else {
            return Ok(());
        };
        if let LastWill::V5(will) = &will
            && let Some(topic) = &will.response_topic
            && !is_topic_name(topic)
        {
            return Err(AuthResult::NotAuthorized);
        }
        let topic = match &will {
            LastWill::V3(will) => &will.topic,
            LastWill::V5(will) => &will.topic,
        };
        match self.may_publish(connect.id(), keys, topic, will.retain()) {
            true => Ok(()),
            false => Err(AuthResult::NotAuthorized),
        }
    }

    /// Whether the client may have its client id. A session of somebody else that it may
    /// take the place of is ended first, with what waits in it.
    async fn claim(&self, id: &Id, keys: &Keys) -> Result<(), &'static str> {
        let who = self.who(keys, id.username.as_deref());
        let of_device = keys.devices.contains_key(&*id.client_id);
        match who {
            Who::Device(name) if name != &*id.client_id => {
                return Err("a device's client id is its own id");
            }
            Who::Device(_) => {}
            _ if of_device => return Err("this client id is a paired device's"),
            _ => {}
        }
        let shared = self.inner.broker.extends.shared().await;
        let entry = shared.entry(id.clone());
        let of = match entry.session() {
            Some(session) => session.id.clone(),
            // In a cluster another node may have it.
            None => match shared.session_status(&id.client_id).await {
                Some(status) => status.id,
                None => return Ok(()),
            },
        };
        drop(shared);
        if of.username == id.username {
            return Ok(());
        }
        let holder = self.who(keys, of.username.as_deref());
        let replaces = match (who, holder) {
            // Also over one that somebody had before the device was paired.
            (Who::Inner | Who::Owner | Who::Device(_), _) => holder != Who::Inner,
            // Also one whose name is nobody's any more.
            (_, Who::Anonymous(_)) => true,
            _ => false,
        };
        if !replaces {
            return Err("another user has a session with this client id");
        }
        let ended = match entry.try_lock().await {
            Ok(mut entry) => entry.kick(true, true, true).await.is_ok(),
            Err(_) => false,
        };
        match ended {
            true => Ok(()),
            false => Err("another client is coming in with this client id"),
        }
    }

    /// Sees to it that nobody stays by a key that is not there any more: closes connections
    /// by old passwords, and ends the sessions of those who are nobody now.
    pub async fn put_out(&self, keys: &Keys) {
        let sessions: Vec<Id> = {
            let shared = self.inner.broker.extends.shared().await;
            shared
                .iter()
                .filter_map(|entry| Some(entry.session()?.id.clone()))
                .collect()
        };
        for id in sessions {
            self.put_one_out(&id, keys).await;
        }
    }

    async fn put_one_out(&self, id: &Id, keys: &Keys) {
        let (client, user) = (&id.client_id, id.username.as_deref());
        match user {
            Some(INNER) => {}
            Some(name) if self.checks(name) => match self.hash_of(keys, name) {
                None => {
                    tracing::info!(%client, user, "its key was taken away");
                    self.end(id).await;
                }
                Some(hash) if !self.came_in_by(id, hash) => {
                    tracing::info!(%client, user, "its password was changed");
                    self.close(id).await;
                }
                Some(_) => {}
            },
            _ if !self.anonymous_may(keys) => {
                tracing::info!(%client, "anonymous clients were switched off");
                self.close(id).await;
            }
            _ => {}
        }
    }

    fn came_in_by(&self, id: &Id, hash: &str) -> bool {
        let entered = self.inner.entered.get(&id.client_id);
        entered.is_some_and(|entered| entered.0 == *id && entered.1 == hash)
    }

    /// Closes the connection, if there is one; the session stays.
    async fn close(&self, id: &Id) {
        let entry = self.inner.broker.extends.shared().await.entry(id.clone());
        if let Some(mailbox) = entry.tx() {
            let _ = mailbox.unbounded_send(Message::Closed(Reason::ConnectKicked(true)));
        }
    }

    async fn end(&self, id: &Id) {
        let entry = self.inner.broker.extends.shared().await.entry(id.clone());
        match entry.try_lock().await {
            Ok(mut entry) => {
                let _ = entry.kick(true, true, true).await;
                // The broker tells of no end where it expects another client.
                let change = Change::Terminate {
                    client: id.client_id.to_string(),
                    owner: id.to_string(),
                };
                self.inner.store.post(change).await;
            }
            // Somebody takes its place at this moment.
            Err(_) => self.close(id).await,
        }
    }

    fn who<'a>(&self, keys: &Keys, user: Option<&'a str>) -> Who<'a> {
        match user {
            Some(INNER) => Who::Inner,
            Some(OWNER) if keys.owner.is_some() => Who::Owner,
            Some(name) if keys.devices.contains_key(name) => Who::Device(name),
            Some(name) if self.inner.access.hash_of(name).is_some() => Who::User(name),
            name => Who::Anonymous(name),
        }
    }

    fn may_publish(&self, id: &Id, keys: &Keys, topic: &str, retain: bool) -> bool {
        let device = |name: &str| {
            let device = keys.devices.get(name);
            device.is_some_and(|device| device.may_publish(name, topic, retain))
        };
        self.permits(id, keys, Action::Publish, topic, device)
    }

    fn may_subscribe(&self, id: &Id, keys: &Keys, filter: &str, shared: bool) -> bool {
        // Of what is shared, a device would take from others what it should not have alone.
        let device = |name: &str| {
            let device = keys.devices.get(name);
            !shared && device.is_some_and(|device| device.may_subscribe(name, filter))
        };
        self.permits(id, keys, Action::Subscribe, filter, device)
    }

    /// rmqtt takes no message to a topic with a level behind the first that begins with `$`, and
    /// says nothing to whoever waits for its acknowledgement.
    fn is_taken(topic: &str) -> bool {
        topic
            .split('/')
            .skip(1)
            .all(|level| !level.starts_with('$'))
    }

    fn permits(
        &self,
        id: &Id,
        keys: &Keys,
        action: Action,
        topic: &str,
        device: impl FnOnce(&str) -> bool,
    ) -> bool {
        if !Self::is_taken(topic) {
            return false;
        }
        let access = &self.inner.access;
        let subject = Subject {
            user: id.username.as_deref(),
            client: &id.client_id,
        };
        match self.who(keys, subject.user) {
            Who::Inner | Who::Owner => true,
            Who::Device(name) => access
                .decides(subject, action, topic)
                .unwrap_or_else(|| device(name)),
            Who::User(_) => access.permits(subject, action, topic),
            // The name of one who was put out is not known any more.
            Who::Anonymous(Some(name)) if self.checks(name) => false,
            Who::Anonymous(_) => access.permits(subject, action, topic),
        }
    }
}

/// What did not happen, for the log.
fn forbidden(id: &Id, action: Action, topic: &str) {
    tracing::info!(
        client = %id.client_id,
        user = id.username.as_deref(),
        ?action,
        topic,
        "forbidden by the access rules"
    );
}

/// Whether an address is this machine's own, which nobody else can come from.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether something can be published there (MQTT-3.3.2-14, MQTT-4.7.3-1, MQTT-4.7.3-2).
/// rmqtt does not look at response topics, and clients that do leave the broker that
/// sends them another.
fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

#[async_trait]
impl Handler for Gate {
    async fn hook(&self, parameter: &Parameter, acc: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(connect) => {
                let result = self.authenticate(connect).await;
                (false, Some(HookResult::AuthResult(result)))
            }
            Parameter::ClientConnected(session) => {
                // Its key may have been changed while it came in, and not yet been seen then.
                self.put_one_out(&session.id, &self.keys()).await;
                (true, acc)
            }
            Parameter::ClientDisconnected(session, _) => {
                let id = &session.id;
                let entered = &self.inner.entered;
                entered.remove_if(&id.client_id, |_, entered| entered.0 == *id);
                (true, acc)
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                let (id, topic) = (&session.id, &subscribe.topic_filter);
                let shared = subscribe.opts.shared_group().is_some();
                let result = if self.may_subscribe(id, &self.keys(), topic, shared) {
                    SubscribeReturn::new_success(subscribe.opts.qos(), None)
                } else {
                    forbidden(id, Action::Subscribe, topic);
                    SubscribeReturn::new_failure(SubscribeAckReason::NotAuthorized)
                };
                (false, Some(HookResult::SubscribeAclResult(result)))
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let (id, topic) = (&session.id, &publish.topic);
                let response = publish.properties.as_ref();
                let response = response.and_then(|of| of.response_topic.as_deref());
                let result = if response.is_some_and(|topic| !is_topic_name(topic)) {
                    tracing::info!(client = %id.client_id, "a response topic that is none");
                    PublishAclResult::rejected(true, None)
                } else if self.may_publish(id, &self.keys(), topic, publish.retain) {
                    PublishAclResult::allow()
                } else {
                    forbidden(id, Action::Publish, topic);
                    PublishAclResult::rejected(false, None)
                };
                (false, Some(HookResult::PublishAclResult(result)))
            }
            Parameter::MessageExpiryCheck(session, _, publish) => {
                let id = &session.id;
                match self.may_subscribe(id, &self.keys(), &publish.topic, false) {
                    true => (true, acc),
                    false => {
                        forbidden(id, Action::Subscribe, &publish.topic);
                        (false, Some(HookResult::MessageExpiry))
                    }
                }
            }
            _ => (true, acc),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    /// Somebody in the network is taken for a client of this machine, or one of this machine
    /// for somebody else.
    #[test]
    fn only_this_machine_is_loopback() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:192.168.1.5", false),
            ("192.168.1.5", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("fe80::1", false),
            ("::127.0.0.1", false),
        ] {
            assert_eq!(is_loopback(address.parse().unwrap()), expected, "{address}");
        }
    }
}
