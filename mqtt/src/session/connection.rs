//! Connecting, losing the connection, and when to try again.

use super::receive::{Pending, Range, part};
use super::timers::Timer;
use super::transmit::{Ping, What};
use super::{
    Cause, CleanStart, Network, OptionsError, Progress, Session, Timeouts, Transport, Versions,
};
use crate::Instant;
use crate::outbox::{Kind, Slot, State as EntryState};
use crate::wire::{
    Connect, Fault, HEADER_ROOM, Properties, QoS, ReasonCode, Value, Version, Writer, connack, id,
    kind, property_bit, valid_topic, write_header, write_property,
};

/// How soon to look again for an answer that may have come already.
const LOOK_AGAIN_MS: u32 = 100;

/// Three connections in a row that the broker accepted and closed soon, a bit for each:
/// another client is taken to have the same id.
const BRIEF: u8 = 0b111;

/// In the first seconds of an outage attempts follow each other fastest.
const YOUNGER_MS: u32 = 10_000;

/// How long such a connection lasts at most.
const BRIEF_MS: u32 = 10_000;

/// `first`, doubled so many times, up to `most`.
#[inline(never)]
fn doubled(first: u32, times: u8, most: u32) -> u32 {
    let mut bound = first;
    for _ in 0..times {
        bound = bound.saturating_add(bound).min(most);
    }
    bound.min(most)
}

/// Where the session stands. None of these is the last.
///
/// With a tag of its own (`repr`), since it is looked at in every step.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The application wants no connection.
    Stopped,
    /// Waiting for the next attempt.
    Waiting,
    /// The driver opens the connection.
    Opening,
    /// CONNECT is being written.
    Greeting,
    /// CONNACK is awaited.
    Handshake,
    /// CONNACK came.
    Connected,
    /// DISCONNECT is on its way; then the connection ends for this cause.
    Closing(Cause),
}

impl State {
    /// Whether received bytes are taken. While CONNECT is being written, it is
    /// where they would go.
    pub const fn may_receive(self) -> bool {
        matches!(self, Self::Handshake | Self::Connected | Self::Closing(_))
    }

    /// Whether the broker may have seen something of CONNECT, and has not
    /// answered.
    const fn is_unanswered(self) -> bool {
        matches!(self, Self::Greeting | Self::Handshake)
    }
}

/// What the broker allows on this connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many publications may be under way, and how many at present: while an
    /// answer takes long, the path may be dead, and what is under way would come
    /// twice, over the next connection.
    pub allowed: u16,
    pub in_flight: u16,
    pub topic_alias_maximum: u16,
    pub maximum_packet_size: u32,
    pub maximum_qos: QoS,
    /// What it does not offer, by the properties that say so.
    lacking: u32,
    pub keep_alive_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allowed: u16::MAX,
            in_flight: u16::MAX,
            topic_alias_maximum: 0,
            maximum_packet_size: u32::MAX,
            maximum_qos: QoS::ExactlyOnce,
            lacking: 0,
            keep_alive_ms: 0,
        }
    }
}

impl Limits {
    /// Whether the broker offers what this property is about.
    pub const fn offers(&self, id: u8) -> bool {
        self.lacking & property_bit(id) == 0
    }
}

impl Session<'_> {
    /// What the driver is to do with its connection.
    pub fn transport(&self) -> Transport {
        match self.state {
            State::Stopped | State::Waiting => Transport::Closed,
            _ => Transport::Open(self.connection),
        }
    }

    /// The driver has opened the connection that was asked for.
    pub fn opened(&mut self, now: Instant) {
        if self.state != State::Opening {
            return;
        }
        self.timers.set_now(now);
        self.state = State::Greeting;
        self.sent_at = now;
        self.arm_connect();
        match self.write_connect() {
            Some((start, end)) => self.transmit.begin(What::Connect, (start, end)),
            // Checked when the session was made; an assigned id may be longer.
            None => self.lose(Cause::Protocol(Fault::TooLarge)),
        }
    }

    /// The driver could not open the connection, or has lost it.
    pub fn failed(&mut self, network: Network, now: Instant) {
        self.timers.set_now(now);
        match self.state {
            State::Stopped | State::Waiting => {}
            State::Closing(cause) => self.lose(cause),
            State::Greeting | State::Handshake => {
                // Some brokers close without a word on a version they do not know.
                if network == Network::Closed {
                    self.try_other_version();
                }
                self.lose(Cause::Network(network));
            }
            _ => self.lose(Cause::Network(network)),
        }
    }

    /// Ends the connection for good, with DISCONNECT: the broker does not
    /// publish the will. What is not yet sent stays in the outbox.
    pub fn stop(&mut self, now: Instant) {
        self.timers.set_now(now);
        self.wanted = false;
        match self.state {
            State::Stopped | State::Closing(Cause::Stopped) => {}
            State::Connected | State::Closing(_) => self.close(Cause::Stopped),
            _ => self.lose(Cause::Stopped),
        }
    }

    /// Connects again after [`Session::stop`], once that has come to its end.
    pub fn start(&mut self, now: Instant) {
        self.wanted = true;
        if self.state == State::Stopped {
            self.steady = true;
            self.attempts = 0;
            self.state = State::Waiting;
            self.timers.arm(Timer::Reconnect, now);
        }
    }

    /// Whether [`Session::stop`] has come to its end.
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    pub(super) fn check_options(&mut self) -> Result<(), OptionsError> {
        let options = &self.options;
        if options.client_id.contains('\0') {
            return Err(OptionsError::InvalidClientId);
        }
        let needs_username = options.versions != Versions::Only(Version::V5);
        if needs_username && options.password.is_some() && options.username.is_none() {
            return Err(OptionsError::PasswordWithoutUsername);
        }
        if let Some(will) = &options.will
            && (!valid_topic(will.topic) || !will.properties.allowed_in(0))
        {
            return Err(OptionsError::InvalidWill);
        }
        let properties = Properties::new(options.properties);
        if !properties.is_empty() && !properties.allowed_in(kind::CONNECT) {
            return Err(OptionsError::InvalidProperty);
        }
        self.write_connect()
            .map(drop)
            .ok_or(OptionsError::ConnectTooLarge)
    }

    fn clean_start(&self) -> bool {
        match (self.options.clean_start, self.version) {
            (CleanStart::Always, _) => true,
            (CleanStart::Never, _) => false,
            (CleanStart::First, Version::V5) => !self.established,
            (CleanStart::First, Version::V4) => self.purge,
        }
    }

    fn receive_maximum(&self) -> u16 {
        #[cfg(not(feature = "many-inbound"))]
        let most = Self::RECEIVE_MAXIMUM;
        #[cfg(feature = "many-inbound")]
        let most = self.options.inbound.clamp(1, super::Inbound::SIZE as u16);
        self.options.receive_maximum.clamp(1, most)
    }

    /// Writes CONNECT into the receive buffer, which is free until the broker
    /// may answer.
    fn write_connect(&mut self) -> Option<(u32, u32)> {
        let mut agreed = [0u8; 32];
        let mut w = Writer::new(&mut agreed);
        if self.version == Version::V5 {
            let size = u32::try_from(self.receive.len()).unwrap_or(u32::MAX);
            for (id, number) in [
                (id::SESSION_EXPIRY_INTERVAL, self.options.session_expiry_s),
                (id::RECEIVE_MAXIMUM, u32::from(self.receive_maximum())),
                (id::MAXIMUM_PACKET_SIZE, size),
                (
                    id::TOPIC_ALIAS_MAXIMUM,
                    u32::from(self.inbound_aliases.maximum()),
                ),
            ] {
                // Zero is what is meant where nothing is said.
                if number > 0 {
                    write_property(&mut w, id, Value::Number(number)).ok()?;
                }
            }
        }
        let agreed_len = w.len();
        let assigned = self.outbox.client_id().unwrap_or(&[]);
        let client_id = match self.options.client_id {
            "" => assigned,
            configured => configured.as_bytes(),
        };
        let connect = Connect {
            clean_start: self.clean_start(),
            keep_alive: self.options.keep_alive_s,
            properties: Properties::checked(agreed.get(..agreed_len)?).and(self.options.properties),
            client_id: self.options.client_id,
            will: self.options.will,
            username: self.options.username,
            password: self.options.password,
        };
        let mut w = Writer::new(self.receive.get_mut(HEADER_ROOM..)?);
        connect.write(client_id, self.version, &mut w).ok()?;
        let len = w.len();
        let start = write_header(self.receive, kind::CONNECT << 4, len as u32);
        Some((start as u32, (HEADER_ROOM + len) as u32))
    }

    /// A CONNACK came.
    pub(super) fn on_connack(&mut self, body: Range) -> Result<Progress, Fault> {
        let bytes = part(self.receive, body);
        let (session_present, reason, block) = connack(bytes, self.version)?;
        let properties = (body.1 - block.len(), body.1);
        if reason != ReasonCode::SUCCESS {
            if reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION {
                self.try_other_version();
            }
            self.lose(Cause::Refused(reason));
            let cause = Cause::Refused(reason);
            self.tell(Pending::Disconnected { cause, properties });
            return Ok(Progress::More);
        }
        if session_present && self.clean_start() {
            return Err(Fault::Protocol);
        }
        let limits = &mut self.limits;
        let mut keep_alive_s = u32::from(self.options.keep_alive_s);
        let mut assigned = None;
        for property in Properties::checked(block).raw() {
            let number = match property {
                (id::ASSIGNED_CLIENT_IDENTIFIER, Value::Bytes(id)) => {
                    assigned = Some(id);
                    continue;
                }
                (_, Value::Number(number)) => number,
                _ => continue,
            };
            match property.0 {
                id::RECEIVE_MAXIMUM => limits.allowed = number as u16,
                id::MAXIMUM_PACKET_SIZE => limits.maximum_packet_size = number,
                id::TOPIC_ALIAS_MAXIMUM => limits.topic_alias_maximum = number as u16,
                id::SERVER_KEEP_ALIVE => keep_alive_s = number,
                id::MAXIMUM_QOS if number == 0 => limits.maximum_qos = QoS::AtMostOnce,
                id::MAXIMUM_QOS => limits.maximum_qos = QoS::AtLeastOnce,
                // Of the others, those that can be zero say what is not offered.
                id if number == 0 => limits.lacking |= property_bit(id),
                _ => {}
            }
        }
        // A property of two bytes.
        limits.keep_alive_ms = keep_alive_s.wrapping_mul(1_000);
        limits.allowed = limits.allowed.min(self.options.in_flight).max(1);
        // CONNECT must have room for it, or the next one could not be sent.
        let room = self
            .receive
            .len()
            .saturating_sub(self.transmit.connect_end());
        if let Some(id) = assigned
            && self.options.client_id.is_empty()
            && id.len() <= room
            && self.outbox.client_id().is_none()
        {
            let mut entry = Slot::new(Kind::ClientId, 0);
            entry.state = EntryState::Held;
            // Without room for it the next connection gets another id.
            if let Some(body) = self.outbox.append(&entry, 2 + id.len()) {
                let _ = Writer::new(body).binary(id);
            }
        }
        let stale = session_present && !self.established;
        if self.options.clean_start == CleanStart::First
            && self.version == Version::V4
            && (self.purge || stale)
        {
            // MQTT 3.1.1 cannot both throw a session away and keep the next
            // one: that takes a connection of its own.
            self.purge = !self.purge;
            self.established = !self.purge;
            self.close(Cause::Network(Network::Closed));
            return Ok(Progress::More);
        }
        self.established = true;
        self.unanswered = 0;
        self.learn(self.sent_at.as_millis() as u32);
        if !session_present {
            self.epoch = self.epoch.wrapping_add(1);
        }
        let unsure = core::mem::take(&mut self.unsure);
        self.inbound.reconnect(session_present, unsure);
        self.reports |= self.outbox.rewind(session_present, unsure);
        self.releases = true;
        self.state = State::Connected;
        self.proof_at = self.timers.now();
        self.connected_at = self.timers.low();
        self.timers.stop(Timer::Connect);
        self.timers
            .arm_after(Timer::Stable, self.options.backoff.stable_ms);
        self.arm_ping(self.timers.now());
        Ok(self.tell(Pending::Connected {
            session_present,
            properties,
        }))
    }

    /// What was sent at `since`, by the low half of the clock, was answered now.
    #[inline(never)]
    pub(super) fn learn(&mut self, since: u32) {
        self.limits.in_flight = self.limits.allowed;
        let took_ms = self.timers.low().wrapping_sub(since);
        let before = self.round_trip_ms;
        let most = match self.limits.keep_alive_ms {
            0 => Timeouts::ANSWER_MOST_MS,
            keep_alive_ms => keep_alive_ms,
        };
        let least = self.options.timeouts.answer_ms.min(most / 2);
        self.round_trip_ms = took_ms.max(before - before / 8).min(most);
        // No keep-alive is so long that this would overflow.
        let long = self.round_trip_ms.wrapping_mul(4);
        self.patience_ms = long.max(least).min(most);
    }

    /// The broker is asked for an answer after so long without one: soon enough to
    /// have waited for the answer when the broker may be given up.
    #[inline(never)]
    pub(super) fn arm_ping(&mut self, from: Instant) {
        let keep_alive_ms = self.limits.keep_alive_ms;
        if keep_alive_ms > 0 {
            // It is waited for at most a keep-alive.
            let in_time = (keep_alive_ms + keep_alive_ms / 2).wrapping_sub(self.patience_ms);
            let wait = keep_alive_ms.min(in_time).min(self.quiet_ms);
            self.timers.arm(Timer::Ping, from.after(wait));
        }
    }

    /// The broker is given up after so long, or one and a half keep-alives after its
    /// last answer.
    #[inline(never)]
    pub(super) fn await_pingresp(&mut self, patience_ms: u32) {
        let keep_alive_ms = self.limits.keep_alive_ms;
        let most = keep_alive_ms + keep_alive_ms / 2;
        let proof_at = self.proof_at.as_millis() as u32;
        let left = most.saturating_sub(self.timers.low().wrapping_sub(proof_at));
        self.timers.arm_after(Timer::Answer, patience_ms.min(left));
    }

    fn arm_connect(&mut self) {
        let first_ms = self.options.timeouts.connect_ms;
        let bound = doubled(first_ms, self.unanswered, Timeouts::CONNECT_MOST_MS);
        self.timers.arm_after(Timer::Connect, bound);
    }

    pub(super) fn on_pingresp(&mut self) {
        if self.ping == Ping::Sent {
            self.ping = Ping::Idle;
            self.timers.stop(Timer::Answer);
            self.proof_at = self.timers.now();
            // The keep-alive counts from what was sent, however long the answer took.
            self.arm_ping(self.sent_at);
        }
    }

    fn try_other_version(&mut self) {
        if self.options.versions == Versions::Any {
            self.version = match self.version {
                Version::V5 => Version::V4,
                Version::V4 => Version::V5,
            };
        }
    }

    /// The broker broke the rules: tells it, where there is a word for that,
    /// and ends the connection.
    #[inline(never)]
    pub(super) fn fail(&mut self, fault: Fault) {
        let cause = Cause::Protocol(fault);
        match self.state {
            State::Connected if self.version == Version::V5 => self.close(cause),
            State::Handshake => {
                self.try_other_version();
                self.lose(cause);
            }
            _ => self.lose(cause),
        }
    }

    pub(super) fn close(&mut self, cause: Cause) {
        self.state = State::Closing(cause);
        self.due = true;
        self.timers.stop_connection();
        self.timers.arm_after(Timer::Close, self.patience_ms);
    }

    /// The connection is gone: nothing that was written for it stays.
    pub(super) fn lose(&mut self, cause: Cause) {
        match (self.state, cause) {
            (State::Connected, Cause::Network(Network::Closed)) => {
                let lasted = self.timers.low().wrapping_sub(self.connected_at);
                if lasted < BRIEF_MS {
                    self.brief = self.brief << 1 | 1;
                    // Perhaps by another client, whose session it is now.
                    self.unsure = true;
                }
            }
            // Said twice is enough.
            (_, Cause::TakenOver) => {
                self.brief = self.brief << 2 | 3;
                // The other one may have begun a new session.
                self.unsure = true;
            }
            // A broker that is gone for a moment has closed for another reason.
            (State::Opening, _) => self.brief = 0,
            (_, Cause::Refused(_)) => {}
            // Or it has begun one for us, and nobody heard of it.
            (State::Greeting | State::Handshake, _) => self.unsure = true,
            _ => {}
        }
        self.timers.stop_connection();
        self.transmit.reset();
        self.outbox.disconnect();
        // What was going out, or under way, may be to be sent again, and late.
        self.timers.arm(Timer::Expire, self.timers.now());
        self.inbound_aliases.clear();
        self.outbound_aliases.clear();
        self.limits = Limits::default();
        self.start = 0;
        self.end = 0;
        self.skip = 0;
        self.blocked = false;
        self.reply = None;
        self.held = Instant::NEVER;
        self.due = false;
        self.ping = Ping::Idle;
        self.lost = true;
        let properties = (0, 0);
        self.tell(Pending::Disconnected { cause, properties });
        if !self.wanted {
            self.state = State::Stopped;
            self.timers.stop(Timer::Reconnect);
            return;
        }
        let wait = self.back_off(cause);
        self.state = State::Waiting;
        self.timers.arm_after(Timer::Reconnect, wait);
    }

    /// How long to wait before the next attempt, in milliseconds.
    fn back_off(&mut self, cause: Cause) -> u32 {
        if cause == Cause::Protocol(Fault::ReceiveMaximum) {
            // There is room for what the broker could not be rid of.
            return 0;
        }
        let backoff = self.options.backoff;
        let now = self.timers.low();
        if core::mem::take(&mut self.steady) {
            self.outage = now;
        }
        let age = now.wrapping_sub(self.outage);
        let unwilling = match cause {
            Cause::ConnectTimeout | Cause::Stalled => false,
            Cause::Protocol(_) => true,
            _ => self.state.is_unanswered(),
        };
        let mut least = 0;
        let bound;
        if self.brief >= BRIEF {
            least = backoff.taken_over_ms;
            bound = least;
        } else if unwilling || age >= backoff.young_ms {
            if age >= backoff.young_ms {
                self.attempts = self.attempts.max(2);
            }
            bound = doubled(backoff.base_ms, self.attempts, backoff.cap_ms);
            self.attempts = self.attempts.wrapping_add(1).min(32);
        } else {
            least = match age {
                0..YOUNGER_MS => backoff.prompt_ms / 2,
                _ => backoff.prompt_ms,
            };
            bound = least;
        }
        least.saturating_add(self.jitter(bound))
    }

    /// A random number below `bound`, or zero.
    fn jitter(&mut self, bound: u32) -> u32 {
        ((u64::from(self.chance()) * u64::from(bound)) >> 32) as u32
    }

    /// A random number, as the waits between attempts are: it follows from the seed, and
    /// nothing is to be kept secret by it.
    pub fn chance(&mut self) -> u32 {
        // A Weyl sequence, mixed: small, and any seed will do.
        self.random = self.random.wrapping_add(0x9e37_79b9);
        let mut z = self.random;
        z = (z ^ z >> 16).wrapping_mul(0x85eb_ca6b);
        z = (z ^ z >> 13).wrapping_mul(0xc2b2_ae35);
        z ^ z >> 16
    }

    /// Does what is due.
    #[inline(never)]
    pub(super) fn on_deadline(&mut self) {
        let due = self.timers.take_due();
        self.due = true;
        if due.has(Timer::Expire) {
            self.expire();
        }
        if due.has(Timer::Stable) {
            self.attempts = 0;
            self.brief = 0;
            self.steady = true;
            self.inbound.settle();
        }
        if due.has(Timer::Reconnect) && self.state == State::Waiting {
            self.state = State::Opening;
            self.connection = self.connection.wrapping_add(1);
            self.arm_connect();
        }
        if due.has(Timer::Ping) && self.ping == Ping::Idle {
            let since = self.sent_at.min(self.proof_at);
            self.arm_ping(since);
            if self.timers.deadline(Timer::Ping) <= self.timers.now() {
                self.timers.stop(Timer::Ping);
                self.ping = Ping::Due;
                self.await_pingresp(u32::MAX);
            }
        }
        let behind = self.blocked || self.reply.is_some() && self.start < self.end;
        let silent = if behind || self.held != Instant::NEVER {
            // The answer may be waiting behind what the application has not
            // acknowledged, or behind what wants a reply that could not be
            // written yet: that is not the broker's silence. Nor is it, up to the
            // last moment, where what it answers is not written.
            let wait = match self.blocked {
                true => self.patience_ms.max(LOOK_AGAIN_MS),
                false => LOOK_AGAIN_MS,
            };
            if due.has(Timer::Acknowledge) {
                self.timers.arm_after(Timer::Acknowledge, wait);
            }
            if due.has(Timer::Answer) {
                match behind {
                    true => self.timers.arm_after(Timer::Answer, wait),
                    false => self.await_pingresp(wait),
                }
            }
            !behind && self.timers.deadline(Timer::Answer) <= self.timers.now()
        } else {
            due.has(Timer::Answer) || due.has(Timer::Acknowledge) && self.is_unanswered()
        };
        let cause = if due.has(Timer::Connect) {
            self.unanswered = self.unanswered.wrapping_add(1).min(8);
            Cause::ConnectTimeout
        } else if due.has(Timer::Write) {
            Cause::Stalled
        } else if silent || due.has(Timer::Close) {
            Cause::Silent
        } else {
            return;
        };
        if cause == Cause::Silent {
            // Should it only have been slow, it has longer next time.
            self.round_trip_ms = self.patience_ms / 2;
        }
        self.lose(match self.state {
            // That it could not be told does not change why.
            State::Closing(told) => told,
            _ => cause,
        });
    }

    /// Whether some answer is overdue; if not, waits for the next one.
    fn is_unanswered(&mut self) -> bool {
        let bound = self.patience_ms;
        let present = self.timers.low();
        let waiting = self.outbox.entries().filter(|slot| slot.awaits_answer());
        let Some(longest) = waiting.map(|slot| present.wrapping_sub(slot.since)).max() else {
            return false;
        };
        if longest >= bound {
            return true;
        }
        let mut next = bound / 4;
        if longest >= next {
            self.limits.in_flight = 1;
            next = bound;
        }
        self.timers.arm_after(Timer::Acknowledge, next - longest);
        false
    }

    /// Marks what has expired, and waits for what will.
    #[inline(never)]
    fn expire(&mut self) {
        let (expired, next) = self.outbox.expire(self.timers.now());
        self.reports |= expired;
        self.timers.arm(Timer::Expire, next);
    }
}
