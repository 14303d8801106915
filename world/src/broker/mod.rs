//! An MQTT 3.1.1 and 5 broker as a model: no sockets, no clock, no chance.
//!
//! Bytes go in, bytes come out, time is an argument in milliseconds that never runs backwards.
//! The same calls give the same answers. What a broker may do by the standard is a field of
//! [`Config`]; what goes wrong in practice is a method: [`hang`](Broker::hang),
//! [`withhold`](Broker::withhold), [`forget`](Broker::forget), [`kick`](Broker::kick),
//! [`restart`](Broker::restart), [`send_raw`](Broker::send_raw).
//!
//! ```
//! use aldis_world::broker::{Broker, Config};
//! use aldis_world::broker::codec::{Connect, Packet, Publish, Version};
//!
//! let mut broker = Broker::new(Config::default());
//! let conn = broker.open(0);
//! let connect = Packet::Connect(Connect::new(Version::V5, "lamp"));
//! broker.receive(conn, &connect.encode(Version::V5), 0);
//! assert!(matches!(
//!     Packet::decode(Version::V5, &broker.output(conn)),
//!     Ok(Packet::ConnAck(ack)) if ack.code == 0
//! ));
//! let publish = Packet::Publish(Publish {
//!     topic: "testincr".into(),
//!     payload: b"t=24.1C, h=26.5%.".to_vec(),
//!     ..Publish::default()
//! });
//! for byte in publish.encode(Version::V5) {
//!     broker.receive(conn, &[byte], 5);
//! }
//! assert_eq!(broker.take_log()[0].topic, "testincr");
//! ```

pub mod codec;
mod config;
mod connect;
mod connection;
mod deliver;
mod fast;
mod faults;
mod log;
mod publish;
mod session;
mod subscribe;
#[cfg(test)]
mod tests;
mod time;
mod topic;

pub use config::{Config, Qos2Method, Versions};
pub use fast::{Brief, BriefLog};
pub use faults::{Hang, Keep};
pub use log::{Accepted, DropReason, Dropped};
pub use session::Message;
pub use topic::topic_matches;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use codec::{Packet, PacketType, Properties, Reason, Version, Violation, reason};
use connection::{Connection, Sent};
use faults::Faults;
use session::{Session, Stored};

/// One connection to the broker. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

/// The broker: sessions, retained messages and wills, and the connections to it. A clone goes its
/// own way from there, so that one conversation can be continued in several ways.
#[derive(Clone, Debug)]
pub struct Broker {
    config: Config,
    now: u64,
    connections: BTreeMap<ConnId, Connection>,
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Arc<Stored>>,
    /// How often each share group was served, to take turns.
    share_turns: BTreeMap<(String, String), usize>,
    faults: Faults,
    log: Vec<Accepted>,
    /// In place of the log, where that is wanted.
    brief: Option<BriefLog>,
    dropped: Vec<Dropped>,
    trace: Vec<(ConnId, Packet)>,
    violations: Vec<(ConnId, Version, Violation)>,
    /// Counts the changes of what is subscribed to.
    routes: u64,
    /// Nothing is due before this moment.
    quiet_until: u64,
    connections_opened: u64,
    ids_assigned: u64,
}

/// What a session looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// The connection that it is on.
    pub connection: Option<ConnId>,
    /// Its topic filters, share prefix included, with the granted QoS.
    pub subscriptions: Vec<(String, codec::Qos)>,
    /// Publications to the client that have a packet identifier and lack the last answer.
    pub in_flight: usize,
    /// Publications to the client that wait for their turn.
    pub queued: usize,
    /// QoS 2 publications from the client that wait for PUBREL.
    pub incoming: usize,
}

/// What becomes of the will when a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WillFate {
    Publish,
    Discard,
}

impl Broker {
    /// A broker without sessions.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: 0,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            share_turns: BTreeMap::new(),
            faults: Faults::default(),
            log: Vec::new(),
            brief: None,
            dropped: Vec::new(),
            trace: Vec::new(),
            violations: Vec::new(),
            routes: 0,
            quiet_until: 0,
            connections_opened: 0,
            ids_assigned: 0,
        }
    }

    /// What it allows and announces.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes what it allows, at once. Clients that are connected are not told.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// A client has opened a transport connection.
    pub fn open(&mut self, now: u64) -> ConnId {
        let now = self.advance(now);
        self.connections_opened += 1;
        let conn = ConnId(self.connections_opened);
        self.quiet_until = 0;
        let connection = Connection::new(now, self.config.connect_timeout_ms, self.faults.hang_new);
        self.connections.insert(conn, connection);
        conn
    }

    /// Bytes from the client, in pieces of any size.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8], now: u64) {
        let now = self.advance(now);
        let bytes = self.take_everyday(conn, bytes, now);
        if let Some(c) = self.connections.get_mut(&conn)
            && !c.closed
            && !bytes.is_empty()
        {
            c.input.extend_from_slice(bytes);
            self.quiet_until = 0;
            self.process(conn, now);
        }
    }

    /// Appends the bytes for the client to `to`, which takes no new memory if there is room.
    pub fn output_into(&mut self, conn: ConnId, to: &mut Vec<u8>) {
        if let Some(c) = self.connections.get_mut(&conn)
            && !c.hang.writes()
        {
            to.extend_from_slice(&c.output);
            c.output.clear();
            c.answers = 0;
        }
    }

    /// Whether there are bytes for the client, or the connection is at its end.
    pub fn has_news(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_none_or(|c| c.closed || !c.output.is_empty() && !c.hang.writes())
    }

    /// Takes the bytes for the client.
    pub fn output(&mut self, conn: ConnId) -> Vec<u8> {
        match self.connections.get_mut(&conn) {
            Some(c) if !c.hang.writes() => {
                c.answers = 0;
                core::mem::take(&mut c.output)
            }
            _ => Vec::new(),
        }
    }

    /// Whether the broker wants the connection closed and its last bytes were taken. Also true
    /// for a connection that is gone.
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_none_or(|c| c.closed && c.output.is_empty())
    }

    /// The transport connection is gone, by whichever side.
    pub fn closed(&mut self, conn: ConnId, now: u64) {
        let now = self.advance(now);
        self.detach(conn, WillFate::Publish, now);
        self.connections.remove(&conn);
    }

    /// Publishes a message as another client would.
    pub fn publish(&mut self, mut message: Message, now: u64) {
        let now = self.advance(now);
        message.properties = session::end_to_end(message.properties);
        self.route(message, None, now);
    }

    /// Every publication accepted from clients since the last [`take_log`](Self::take_log), in
    /// order.
    pub fn log(&self) -> &[Accepted] {
        &self.log
    }

    /// Takes the [`log`](Self::log).
    pub fn take_log(&mut self) -> Vec<Accepted> {
        core::mem::take(&mut self.log)
    }

    /// From now on, publications are noted in few words, in place of the [`log`](Self::log).
    pub fn log_briefly(&mut self) {
        self.brief.get_or_insert_default();
    }

    /// Takes what was noted in few words, and leaves `empty` in its place.
    pub fn swap_brief_log(&mut self, empty: &mut BriefLog) {
        if let Some(brief) = &mut self.brief {
            core::mem::swap(brief, empty);
        }
    }

    /// Takes the list of what clients did against the protocol, in order. Silence for longer
    /// than the keep-alive allows is told as [`reason::KEEP_ALIVE_TIMEOUT`].
    pub fn take_violations(&mut self) -> Vec<(ConnId, Version, Violation)> {
        core::mem::take(&mut self.violations)
    }

    /// Whether there is any.
    pub fn has_violations(&self) -> bool {
        !self.violations.is_empty()
    }

    /// Takes the list of publications that were not delivered to somebody.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        core::mem::take(&mut self.dropped)
    }

    /// Takes every packet that clients sent, decoded, if [`Config::trace`] is set.
    pub fn take_trace(&mut self) -> Vec<(ConnId, Packet)> {
        core::mem::take(&mut self.trace)
    }

    /// A client's session, if there is one.
    pub fn session(&self, client_id: &str) -> Option<SessionView> {
        let session = self.sessions.get(client_id)?;
        Some(SessionView {
            connection: session.connection,
            subscriptions: session
                .subscriptions
                .iter()
                .map(|(filter, subscription)| (filter.clone(), subscription.options.qos))
                .collect(),
            in_flight: session.in_flight.len(),
            queued: session.queue.len(),
            incoming: session.incoming.len(),
        })
    }

    /// The client that has connected there.
    pub fn client_of(&self, conn: ConnId) -> Option<&str> {
        self.connections.get(&conn)?.client_id.as_deref()
    }

    /// The retained message of a topic.
    pub fn retained(&self, topic: &str) -> Option<&Message> {
        self.retained
            .get(topic)
            .filter(|stored| !stored.is_expired(self.now))
            .map(|stored| &stored.message)
    }

    /// Hangs a connection, or lets it go on: then the bytes that piled up are looked at.
    pub fn hang(&mut self, conn: ConnId, hang: Hang, now: u64) {
        let now = self.now.max(now);
        self.now = now;
        self.quiet_until = 0;
        if let Some(c) = self.connections.get_mut(&conn) {
            c.hang = hang;
            self.process(conn, now);
        }
        self.advance(now);
    }

    /// Hangs every connection, those to come included, or lets all go on.
    pub fn hang_all(&mut self, hang: Hang, now: u64) {
        self.faults.hang_new = hang;
        self.quiet_until = 0;
        for conn in self.connection_ids() {
            self.hang(conn, hang, now);
        }
    }

    /// Never sends some packets of a kind: the next `skip` are sent, the `count` after them
    /// vanish (`u32::MAX`: all). The broker's own state goes on as if they had been sent.
    pub fn withhold(&mut self, kind: PacketType, skip: u32, count: u32) {
        self.faults.withhold(kind, skip, count);
    }

    /// Ends what [`withhold`](Self::withhold) began.
    pub fn withhold_nothing(&mut self) {
        self.faults.clear_withheld();
    }

    /// Answers every QoS 1 and 2 publication of MQTT 5 clients with this code; from 0x80 on they
    /// are not accepted.
    pub fn answer_publish_with(&mut self, code: Option<u8>) {
        self.faults.publish_code = code;
    }

    /// Answers every subscription with this code: a QoS to grant, or from 0x80 on a refusal.
    pub fn answer_subscribe_with(&mut self, code: Option<u8>) {
        self.faults.subscribe_code = code;
    }

    /// Ends a client's connection as the broker: MQTT 5 clients are told the reason (for example
    /// [`reason::SESSION_TAKEN_OVER`]). The will is published, the session stays.
    pub fn kick(&mut self, client_id: &str, code: u8, now: u64) {
        if let Some(conn) = self.sessions.get(client_id).and_then(|s| s.connection) {
            self.disconnect(conn, code, now);
        }
    }

    /// The same for a connection.
    pub fn disconnect(&mut self, conn: ConnId, code: u8, now: u64) {
        let now = self.advance(now);
        self.fail(conn, Violation::new(code, "closed by the broker"), now);
    }

    /// Sends bytes that need not be a packet.
    pub fn send_raw(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(c) = self.connections.get_mut(&conn)
            && !c.closed
        {
            c.output.extend_from_slice(bytes);
        }
    }

    /// Loses a client's session with all that is in it, its will too. A connection is closed
    /// without a word.
    pub fn forget(&mut self, client_id: &str) {
        self.routes += 1;
        if let Some(session) = self.sessions.remove(client_id)
            && let Some(c) = session
                .connection
                .and_then(|c| self.connections.get_mut(&c))
        {
            c.closed = true;
            c.output.clear();
        }
    }

    /// Stops and starts again. Connections are closed without a word and what was not yet taken
    /// from [`output`](Self::output) is lost; wills of sessions that are kept are published;
    /// nothing hangs any more.
    pub fn restart(&mut self, keep: Keep, now: u64) {
        let now = self.advance(now);
        if keep != Keep::Everything {
            self.routes += 1;
            self.sessions.clear();
            self.share_turns.clear();
        }
        if keep == Keep::Nothing {
            self.retained.clear();
        }
        for conn in self.connection_ids() {
            self.detach(conn, WillFate::Publish, now);
        }
        for c in self.connections.values_mut() {
            c.closed = true;
            c.output.clear();
            c.hang = Hang::Not;
        }
        self.faults.hang_new = Hang::Not;
    }

    fn connection_ids(&self) -> Vec<ConnId> {
        self.connections.keys().copied().collect()
    }

    fn process(&mut self, conn: ConnId, now: u64) {
        loop {
            let Some(c) = self.connections.get_mut(&conn) else {
                return;
            };
            if c.closed || c.hang.reads() {
                return;
            }
            let result = c.next_packet(self.config.maximum_packet_size);
            let (version, connected) = (c.version, c.client_id.is_some());
            let result = match result {
                Ok(None) => return,
                Ok(Some(bytes)) => {
                    c.last_received = now;
                    if connected {
                        Packet::decode(version, &bytes)
                            .and_then(|packet| self.handle(conn, packet, now))
                    } else {
                        self.first_packet(conn, &bytes, now);
                        Ok(())
                    }
                }
                Err(violation) => Err(violation),
            };
            if let Err(violation) = result {
                self.violations.push((conn, version, violation));
                return self.fail(conn, violation, now);
            }
        }
    }

    fn handle(&mut self, conn: ConnId, packet: Packet, now: u64) -> Result<(), Violation> {
        if self.config.trace {
            self.trace.push((conn, packet.clone()));
        }
        match packet {
            Packet::Publish(publish) => self.on_publish(conn, publish, now),
            Packet::PubRel(ack) => {
                self.on_pubrel(conn, ack.packet_id, now);
                Ok(())
            }
            Packet::PubAck(ack) => self.on_puback(conn, &ack, now),
            Packet::PubRec(ack) => self.on_pubrec(conn, &ack, now),
            Packet::PubComp(ack) => self.on_pubcomp(conn, &ack, now),
            Packet::Subscribe(subscribe) => self.on_subscribe(conn, subscribe, now),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(conn, &unsubscribe, now),
            Packet::PingReq => {
                self.send(conn, Packet::PingResp, now);
                Ok(())
            }
            Packet::Disconnect(reason) => self.on_disconnect(conn, &reason, now),
            Packet::Connect(_) => Err(Violation::protocol("a second CONNECT")),
            Packet::Auth(_) => Err(Violation::protocol("AUTH without an authentication method")),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Violation::protocol("a packet that only a server sends"))
            }
        }
    }

    fn on_disconnect(&mut self, conn: ConnId, end: &Reason, now: u64) -> Result<(), Violation> {
        if end.properties.server_reference.is_some() {
            return Err(Violation::protocol("server reference from a client"));
        }
        let maximum = self.config.maximum_session_expiry;
        if let Some(session) = self.session_of(conn)
            && let Some(expiry) = end.properties.session_expiry_interval
        {
            if session.expiry_s == 0 && expiry != 0 {
                return Err(Violation::protocol(
                    "session expiry in DISCONNECT although it was 0 in CONNECT",
                ));
            }
            session.expiry_s = expiry.min(maximum);
        }
        let fate = match end.code {
            reason::SUCCESS => WillFate::Discard,
            _ => WillFate::Publish,
        };
        self.detach(conn, fate, now);
        Ok(())
    }

    fn session_of(&mut self, conn: ConnId) -> Option<&mut Session> {
        let client_id = self.connections.get(&conn)?.client_id.as_ref()?;
        self.sessions.get_mut(client_id)
    }

    /// Sends a packet other than PUBLISH. A client that takes not even this is cut off.
    fn send(&mut self, conn: ConnId, packet: Packet, now: u64) -> Sent {
        let Some(c) = self.connections.get_mut(&conn) else {
            return Sent::Yes;
        };
        let sent = c.send(&mut self.faults, packet);
        if sent == Sent::TooLarge {
            self.detach(conn, WillFate::Publish, now);
        }
        sent
    }

    /// Ends a connection for a reason, which MQTT 5 clients are told.
    fn fail(&mut self, conn: ConnId, violation: Violation, now: u64) {
        if let Some(c) = self.connections.get_mut(&conn)
            && !c.closed
            && c.client_id.is_some()
            && c.version == Version::V5
        {
            let packet = Packet::Disconnect(Reason {
                code: violation.code,
                properties: explanation(&self.config, violation.text),
            });
            c.send(&mut self.faults, packet);
        }
        self.detach(conn, WillFate::Publish, now);
    }

    /// Closes a connection and sets its session aside.
    fn detach(&mut self, conn: ConnId, fate: WillFate, now: u64) {
        self.quiet_until = 0;
        let Some(c) = self.connections.get_mut(&conn) else {
            return;
        };
        if core::mem::replace(&mut c.closed, true) {
            return;
        }
        let Some(client_id) = c.client_id.clone() else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&client_id) else {
            return;
        };
        session.connection = None;
        for entry in &mut session.in_flight {
            entry.sent = false;
        }
        session.expires_at = match session.expiry_s {
            session::NEVER => None,
            seconds => Some(now.saturating_add(u64::from(seconds) * 1000)),
        };
        session.will_at = match (fate, &session.will) {
            (WillFate::Publish, Some(will)) => {
                let delay = will.properties.will_delay_interval.unwrap_or(0);
                Some(now.saturating_add(u64::from(delay) * 1000))
            }
            _ => {
                session.will = None;
                None
            }
        };
        self.end_what_is_due(&client_id, now);
    }

    /// Publishes the will and ends the session of a client that is away, where the time has come.
    fn end_what_is_due(&mut self, client_id: &str, now: u64) {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        let ended = due(session.expires_at);
        if ended || due(session.will_at) {
            session.will_at = None;
            let will = session.will.take();
            if ended {
                self.routes += 1;
                self.sessions.remove(client_id);
            }
            if let Some(will) = will {
                self.publish_will(client_id, will, now);
            }
        }
    }

    fn publish_will(&mut self, client_id: &str, will: codec::Will, now: u64) {
        if denies(&self.config.deny_publish, &will.topic) {
            return;
        }
        let message = Message {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: session::end_to_end(will.properties),
        };
        self.route(message, Some(client_id), now);
    }
}

/// A reason string, if the broker gives any.
fn explanation(config: &Config, text: &str) -> Properties {
    Properties {
        reason_string: (config.reason_strings && !text.is_empty()).then(|| text.to_string()),
        ..Properties::default()
    }
}

fn denies(filters: &[String], topic: &str) -> bool {
    filters.iter().any(|filter| topic_matches(filter, topic))
}
