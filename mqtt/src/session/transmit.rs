//! Bytes to be sent: one packet after the other, each from where it stands.

use super::connection::State;
use super::timers::Timer;
use super::{Cause, Session};
use crate::Instant;
use crate::outbox::{Alias, EXPIRED, Kind, Parts, Slot, Stage, State as EntryState};
use crate::wire::{Fault, HEADER_ROOM, PacketId, QoS, ReasonCode, Version, id, kind, varint_len};

/// Whether the broker was asked for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ping {
    Idle,
    /// PINGREQ is to be sent.
    Due,
    /// PINGRESP is awaited.
    Sent,
}

/// An acknowledgement of a packet that stands in no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    kind: u8,
    packet_id: PacketId,
    reason: ReasonCode,
}

impl Reply {
    pub fn new(kind: u8, packet_id: PacketId, known: bool) -> Self {
        let reason = match known {
            true => ReasonCode::SUCCESS,
            false => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        Self {
            kind,
            packet_id,
            reason,
        }
    }
}

/// The packet that goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum What {
    #[default]
    Nothing,
    /// CONNECT, in the receive buffer.
    Connect,
    /// The entry at the outbox' cursor.
    Entry,
    /// PINGREQ, staged.
    Ping,
    /// DISCONNECT, staged.
    Disconnect,
    /// Anything else, staged.
    Control,
}

/// How far it has come.
#[derive(Debug, Default)]
pub(crate) struct Transmit {
    what: What,
    parts: Parts,
    stage: Stage,
    /// Bytes of it that are still to be written.
    left: u32,
}

impl Transmit {
    pub fn is_idle(&self) -> bool {
        self.what == What::Nothing
    }

    /// Where CONNECT ended in the receive buffer: until CONNACK nothing else is
    /// transmitted.
    pub fn connect_end(&self) -> usize {
        self.parts.first.1 as usize
    }

    pub fn reset(&mut self) {
        self.what = What::Nothing;
    }

    pub fn begin(&mut self, what: What, first: (u32, u32)) {
        self.what = what;
        self.parts = Parts {
            first,
            second: (0, 0),
        };
        self.stage.len = 0;
        self.left = first.1 - first.0;
    }

    fn control(&mut self, what: What, bytes: &[u8]) {
        self.begin(what, (0, 0));
        if let Some(room) = self.stage.bytes.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.stage.len = bytes.len() as u8;
            self.left = bytes.len() as u32;
        }
    }

    /// Counts off what was written; says whether the packet is complete.
    #[inline]
    fn count(&mut self, len: usize) -> bool {
        self.left = self.left.saturating_sub(len.min(u32::MAX as usize) as u32);
        self.left == 0
    }

    /// What is left of the first part, if there is one: from and to.
    const fn first(&self) -> (u32, u32) {
        let (_, end) = self.parts.first;
        let behind = self.stage.len as u32 + self.parts.second.1 - self.parts.second.0;
        (end - (self.left - behind), end)
    }
}

impl Session<'_> {
    /// The next bytes to be written, if there are any. The driver tells how
    /// many of them it has written by [`Session::transmitted`].
    ///
    /// To be called even when the network takes nothing just now: the bound on
    /// writing ([`Timeouts::answer_ms`](crate::Timeouts::answer_ms)) begins here.
    #[inline]
    pub fn transmit(&mut self, now: Instant) -> Option<&[u8]> {
        self.timers.set_now(now);
        if self.transmit.is_idle() {
            if !self.due {
                debug_assert!(
                    self.timers.is_due() || !self.next_packet(),
                    "something was to be sent"
                );
                return None;
            }
            if !self.next_packet() {
                self.due = false;
                return None;
            }
        }
        if !self.timers.is_armed(Timer::Write) {
            self.timers.arm_after(Timer::Write, self.patience_ms);
        }
        Some(self.chunk())
    }

    /// Whether DISCONNECT is the next to go out.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Closing(_))
    }

    /// The driver has not written all that counts as transmitted: from now on
    /// the bound on writing holds for the rest.
    pub(crate) fn hold_back(&mut self, now: Instant) {
        self.timers.set_now(now);
        self.held = self.held.min(now);
        self.timers.arm_after(Timer::Write, self.patience_ms);
    }

    /// The driver has written what it held back: only now the broker can answer.
    pub(crate) fn let_go(&mut self, now: Instant) {
        let patience_ms = self.patience_ms;
        self.timers.set_now(now);
        let since = core::mem::replace(&mut self.held, Instant::NEVER);
        if since != Instant::NEVER {
            let low = |at: Instant| at.as_millis() as u32;
            self.outbox.postpone(low(since), low(now));
            let answer_at = self.timers.deadline(Timer::Answer);
            if self.ping == Ping::Sent && answer_at >= since.after(patience_ms) {
                self.await_pingresp(patience_ms);
            }
        }
        match self.transmit.is_idle() {
            true => self.timers.stop(Timer::Write),
            false => self.timers.arm_after(Timer::Write, patience_ms),
        }
    }

    /// Where received bytes go and, while a packet is going out, what is to be
    /// written next: for drivers that do both at once.
    pub(crate) fn io(&mut self) -> (&mut [u8], &[u8]) {
        self.receive_space();
        let what = self.transmit.what;
        if what == What::Connect {
            let (from, to) = self.transmit.first();
            return (
                &mut [],
                self.receive.get(from as usize..to as usize).unwrap_or(&[]),
            );
        }
        let chunk = match what {
            What::Nothing => &[][..],
            _ => stored_chunk(&self.transmit, &self.outbox),
        };
        let space = match self.state.may_receive() {
            true => self.receive.get_mut(self.end..).unwrap_or(&mut []),
            false => &mut [],
        };
        (space, chunk)
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        if self.transmit.what == What::Connect {
            let (from, to) = self.transmit.first();
            return self.receive.get(from as usize..to as usize).unwrap_or(&[]);
        }
        stored_chunk(&self.transmit, &self.outbox)
    }

    /// The driver has written so many of the bytes of [`Session::transmit`].
    #[inline]
    pub fn transmitted(&mut self, len: usize, now: Instant) {
        if self.transmit.is_idle() || len == 0 {
            return;
        }
        self.timers.set_now(now);
        if !self.transmit.count(len) {
            self.timers.arm_after(Timer::Write, self.patience_ms);
            return;
        }
        self.timers.stop(Timer::Write);
        self.sent_at = now;
        let what = core::mem::take(&mut self.transmit.what);
        match what {
            What::Entry => self.entry_sent(),
            What::Connect => self.state = State::Handshake,
            What::Ping => {
                self.ping = Ping::Sent;
                self.await_pingresp(self.patience_ms);
            }
            What::Disconnect => {
                if let State::Closing(cause) = self.state {
                    self.lose(cause);
                }
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn entry_sent(&mut self) {
        let at = self.outbox.cursor();
        let Some((kind, state)) = self.outbox.entry(at).map(|slot| (slot.kind, slot.state)) else {
            return;
        };
        self.outbox.advance();
        if state == EntryState::Free {
            // Replaced while it went out.
            return;
        }
        if kind == Kind::Publication(QoS::AtMostOnce) {
            self.outbox.remove(at);
            return;
        }
        self.outbox
            .sent_at(at, self.timers.now().as_millis() as u32);
        self.await_answer();
    }

    fn await_answer(&mut self) {
        if !self.timers.is_armed(Timer::Acknowledge) {
            self.timers
                .arm_after(Timer::Acknowledge, self.patience_ms / 4);
        }
    }

    /// Chooses the packet that goes out next; says whether there is one.
    #[inline(never)]
    fn next_packet(&mut self) -> bool {
        match self.state {
            State::Connected => self.next_control() || self.next_entry(),
            State::Closing(cause) => {
                self.stage_disconnect(cause);
                true
            }
            _ => false,
        }
    }

    /// Acknowledgements first, then PUBREL and PINGREQ.
    #[inline]
    fn next_control(&mut self) -> bool {
        if let Some(Reply {
            kind,
            packet_id,
            reason,
        }) = self.reply.take()
        {
            self.stage_ack(kind, packet_id, reason);
            return true;
        }
        if self.inbound.is_due() {
            if let Some((packet_id, qos, reason)) = self.inbound.acknowledgement() {
                let kind = match qos {
                    QoS::ExactlyOnce => kind::PUBREC,
                    _ => kind::PUBACK,
                };
                self.stage_ack(kind, packet_id, reason);
                return true;
            }
            if self.inbound.wants_another_connection() {
                self.close(Cause::Protocol(Fault::ReceiveMaximum));
                self.stage_disconnect(Cause::Stopped);
                return true;
            }
        }
        if self.ping == Ping::Due {
            self.transmit.control(What::Ping, &[kind::PINGREQ << 4, 0]);
            return true;
        }
        if self.releases {
            let due = |slot: &Slot| slot.state == EntryState::Release;
            if let Some(at) = self.outbox.find(0, &due)
                && let Some(packet_id) = self.outbox.entry(at).and_then(|slot| slot.packet_id)
            {
                self.outbox.mark(
                    at,
                    EntryState::Released,
                    self.timers.now().as_millis() as u32,
                );
                self.await_answer();
                self.stage_ack(kind::PUBREL, packet_id, ReasonCode::SUCCESS);
                return true;
            }
            self.releases = false;
        }
        false
    }

    fn stage_ack(&mut self, kind: u8, packet_id: PacketId, reason: ReasonCode) {
        let first = kind << 4 | if kind == kind::PUBREL { 2 } else { 0 };
        let [high, low] = packet_id.get().to_be_bytes();
        if reason == ReasonCode::SUCCESS || self.version == Version::V4 {
            self.transmit.control(What::Control, &[first, 2, high, low]);
        } else {
            self.transmit
                .control(What::Control, &[first, 3, high, low, reason.0]);
        }
    }

    fn stage_disconnect(&mut self, cause: Cause) {
        match (self.version, cause) {
            (Version::V5, Cause::Protocol(fault)) => self.transmit.control(
                What::Disconnect,
                &[kind::DISCONNECT << 4, 1, fault.reason().0],
            ),
            _ => self
                .transmit
                .control(What::Disconnect, &[kind::DISCONNECT << 4, 0]),
        }
    }

    /// The next entry of the outbox, in the order in which they were made.
    #[inline]
    fn next_entry(&mut self) -> bool {
        loop {
            let at = self.outbox.cursor();
            let Some(&entry) = self.outbox.entry(at) else {
                return false;
            };
            if entry.state != EntryState::Queued {
                self.outbox.advance();
                continue;
            }
            if let Some(reason) = self.obstacle(at, &entry) {
                self.outbox.mark(at, EntryState::Report, reason);
                self.outbox.advance();
                self.reports = true;
                continue;
            }
            if entry.qos() != QoS::AtMostOnce
                && self.outbox.in_flight() >= u32::from(self.limits.in_flight)
            {
                return false;
            }
            self.begin_entry(at, &entry);
            // No acknowledgement was due, or it would go first.
            self.due = self.outbox.has_after(at);
            return true;
        }
    }

    #[inline]
    fn begin_entry(&mut self, at: usize, entry: &Slot) {
        let transmit = &mut self.transmit;
        transmit.begin(What::Entry, (HEADER_ROOM as u32, entry.size));
        let as_it_stands = self.version == Version::V5
            && self.limits.topic_alias_maximum == 0
            && entry.is_publication()
            && entry.expires == Instant::NEVER;
        if !as_it_stands {
            self.adapt_entry(at, entry);
        }
        let transmit = &mut self.transmit;
        transmit.left = self
            .outbox
            .prepare(entry, &mut transmit.parts, transmit.stage.len);
        self.outbox.lock();
    }

    /// Lets an entry go out as this connection wants it.
    #[inline(never)]
    fn adapt_entry(&mut self, at: usize, entry: &Slot) {
        let mut alias = None;
        if entry.is_publication() && self.version == Version::V5 {
            // What lasts for longer than can be counted is left as it was.
            if let Ok(left_ms) = u32::try_from(entry.expires.since(self.timers.now())) {
                self.outbox.set_expiry(at, (left_ms / 1_000).max(1));
            }
            // An alias adds up to five bytes at first.
            let spare = entry.size.saturating_add(5) <= self.limits.maximum_packet_size;
            if self.limits.topic_alias_maximum > 0 && spare {
                let topic = self.outbox.name_bytes(at);
                alias = self
                    .outbound_aliases
                    .for_topic(topic, self.limits.topic_alias_maximum);
            }
        }
        let alias = alias.map(|(number, known)| Alias { number, known });
        self.transmit.parts =
            self.outbox
                .split(at, entry, self.version, alias, &mut self.transmit.stage);
    }

    /// Why an entry cannot be sent on this connection, if so.
    #[inline]
    fn obstacle(&self, at: usize, entry: &Slot) -> Option<u32> {
        let limits = &self.limits;
        let refused = |reason: ReasonCode| Some(u32::from(reason.0));
        if entry.size > limits.maximum_packet_size {
            // Not all of the room for the header is needed.
            let body = entry.size - HEADER_ROOM as u32;
            if 1 + varint_len(body) as u32 + body > limits.maximum_packet_size {
                return refused(ReasonCode::PACKET_TOO_LARGE);
            }
        }
        match entry.kind {
            Kind::Publication(qos) => {
                if entry.expires <= self.timers.now() && !entry.dup {
                    return Some(EXPIRED);
                }
                if qos > limits.maximum_qos {
                    return refused(ReasonCode::QOS_NOT_SUPPORTED);
                }
                if entry.retain && !limits.offers(id::RETAIN_AVAILABLE) {
                    return refused(ReasonCode::RETAIN_NOT_SUPPORTED);
                }
                None
            }
            Kind::Subscription if self.version == Version::V5 => {
                self.obstacle_to_subscription(at).and_then(refused)
            }
            _ => None,
        }
    }

    #[inline(never)]
    fn obstacle_to_subscription(&self, at: usize) -> Option<ReasonCode> {
        let limits = &self.limits;
        let filter = self.outbox.name_bytes(at);
        if !limits.offers(id::SHARED_SUBSCRIPTION_AVAILABLE) && filter.starts_with(b"$share/") {
            return Some(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        if !limits.offers(id::WILDCARD_SUBSCRIPTION_AVAILABLE)
            && filter.iter().any(|byte| matches!(byte, b'#' | b'+'))
        {
            return Some(ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        if !limits.offers(id::SUBSCRIPTION_IDENTIFIER_AVAILABLE) && self.outbox.has_properties(at) {
            return Some(ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED);
        }
        None
    }
}

/// What is left of the packet, as far as it stands in one piece.
#[inline]
fn stored_chunk<'s>(transmit: &'s Transmit, outbox: &'s crate::outbox::Outbox<'_>) -> &'s [u8] {
    let (from, to) = transmit.parts.second;
    let (left, second) = (transmit.left, to - from);
    let staged = u32::from(transmit.stage.len);
    if left > second + staged {
        return outbox.bytes(outbox.cursor(), transmit.first());
    }
    if left > second {
        let from = (staged + second - left) as usize;
        let to = staged as usize;
        return transmit.stage.bytes.get(from..to).unwrap_or(&[]);
    }
    outbox.bytes(outbox.cursor(), (to - left, to))
}
