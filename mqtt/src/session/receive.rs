//! Received bytes, and what they lead to.

use super::connection::State;
use super::inbound::Arrival;
use super::transmit::Reply;
use super::{Cause, Dropped, Event, Message, Progress, PublicationId, Session, Token};
use crate::outbox::{EXPIRED, Kind, SESSION_LOST, Slot, State as EntryState};
use crate::shift::move_down;
use crate::wire::{
    Fault, PacketId, Properties, PublishLayout, QoS, Reader, ReasonCode, Text, Version,
    acknowledgement, frame, kind, tail,
};

/// Bytes of the receive buffer, from and to.
pub(crate) type Range = (usize, usize);

/// These bytes of the buffer.
#[inline(never)]
pub(super) fn part(buffer: &[u8], (from, to): Range) -> &[u8] {
    buffer.get(from..to).unwrap_or(&[])
}

/// An event whose text is still in the buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pending {
    Connected {
        session_present: bool,
        properties: Range,
    },
    Disconnected {
        cause: Cause,
        properties: Range,
    },
    Message {
        first: u8,
        body: Range,
        layout: PublishLayout,
    },
    Delivered {
        id: u32,
        reason: ReasonCode,
    },
    Dropped {
        id: u32,
        reason: Dropped,
    },
    Subscribed {
        at: usize,
        code: ReasonCode,
    },
    Unsubscribed {
        at: usize,
    },
    Oversized {
        body: Range,
        size: usize,
    },
}

impl Session<'_> {
    /// Where the driver is to put received bytes. Empty while the session takes
    /// none: while CONNECT is on its way, and while the application has to
    /// acknowledge something first.
    pub fn receive_space(&mut self) -> &mut [u8] {
        if !self.state.may_receive() {
            return &mut [];
        }
        if self.start > 0 {
            if self.start < self.end {
                let used = self.receive.get_mut(..self.end).unwrap_or(&mut []);
                move_down(used, self.start, 0);
            }
            self.end -= self.start;
            self.start = 0;
        }
        self.receive.get_mut(self.end..).unwrap_or(&mut [])
    }

    /// The driver has put `len` bytes into [`Session::receive_space`].
    pub fn received(&mut self, len: usize) {
        self.end += len.min(self.receive.len() - self.end);
        if self.skip > 0 {
            let skipped = self.skip.min(self.end - self.start);
            self.skip -= skipped;
            self.start += skipped;
        }
    }

    /// Looks at the next packet, if it is all there.
    #[inline]
    pub(super) fn receive_packet(&mut self) -> Progress {
        if self.start == self.end || self.reply.is_some() {
            return Progress::Nothing;
        }
        if !matches!(self.state, State::Connected | State::Handshake) {
            return Progress::Nothing;
        }
        self.on_packet().unwrap_or_else(|fault| {
            self.fail(fault);
            Progress::More
        })
    }

    #[inline]
    fn on_packet(&mut self) -> Result<Progress, Fault> {
        let bytes = self.receive.get(..self.end).unwrap_or(&[]);
        let bytes = bytes.get(self.start..).unwrap_or(&[]);
        let Some(frame) = frame(bytes, self.version)? else {
            return Ok(Progress::Nothing);
        };
        let first = frame.first;
        let mut size = frame.size();
        let mut missing = 0;
        if size > bytes.len() {
            if size <= self.receive.len() {
                return Ok(Progress::Nothing);
            }
            // It can never fit. MQTT 5 was told so and may not send it; MQTT 3.1.1
            // could not be told: the message is acknowledged, or it would come
            // again for ever, and passed over.
            if self.version == Version::V5 || first >> 4 != kind::PUBLISH {
                return Err(Fault::TooLarge);
            }
            if bytes.len() < self.receive.len() {
                return Ok(Progress::Nothing);
            }
            missing = size - bytes.len();
            size = bytes.len();
        }
        let before = self.start;
        let body = (before + frame.header, before + size);
        if first >> 4 == kind::PUBLISH && self.state == State::Connected {
            let bytes = bytes.get(frame.header..size).unwrap_or(&[]);
            let layout = PublishLayout::scan(first & 15, bytes, self.version)?;
            self.start = body.1;
            return Ok(match self.on_publish(first, body, &layout)? {
                Arrival::New if missing == 0 => self.tell(Pending::Message {
                    first,
                    body,
                    layout,
                }),
                Arrival::New => self.pass_over(first, body, missing, &layout),
                Arrival::Ignored => {
                    self.skip = missing;
                    Progress::More
                }
                Arrival::Wait => {
                    self.start = before;
                    self.blocked = true;
                    Progress::Nothing
                }
            });
        }
        let kind = first >> 4;
        if (self.state == State::Connected) == (kind == kind::CONNACK) {
            return Err(Fault::Protocol);
        }
        if first & 15 != if kind == kind::PUBREL { 2 } else { 0 } {
            return Err(Fault::Malformed);
        }
        self.start = body.1;
        self.due = true;
        match kind {
            kind::PUBACK | kind::PUBREC | kind::PUBREL | kind::PUBCOMP => {
                self.on_acknowledgement(kind, body)
            }
            _ => self.on_answer(kind, body),
        }
    }

    #[inline]
    fn on_publish(
        &mut self,
        first: u8,
        body: Range,
        layout: &PublishLayout,
    ) -> Result<Arrival, Fault> {
        if let Some(alias) = layout.alias {
            let name = self
                .receive
                .get(body.0 + 2..body.0 + 2 + usize::from(layout.topic));
            let name = name.unwrap_or(&[]);
            let alias = alias.get();
            if alias > self.inbound_aliases.maximum() {
                return Err(Fault::TopicAlias);
            }
            if name.is_empty() {
                self.inbound_aliases.topic(alias).ok_or(Fault::TopicAlias)?;
            } else if self.inbound_aliases.set(alias, name).is_none() {
                // Or the next connection would end like this one.
                self.inbound_aliases.give_up();
                return Err(Fault::Quota);
            }
        }
        let Some(packet_id) = layout.packet_id else {
            return Ok(Arrival::New);
        };
        let qos = QoS::from_bits(first >> 1 & 3).unwrap_or_default();
        self.due = true;
        Ok(self.inbound.arrive(packet_id, qos, first & 8 != 0))
    }

    /// Everything but PUBLISH and its acknowledgements.
    #[inline(never)]
    fn on_answer(&mut self, kind: u8, body: Range) -> Result<Progress, Fault> {
        if kind == kind::CONNACK {
            return self.on_connack(body);
        }
        let bytes = part(self.receive, body);
        match kind {
            kind::SUBACK | kind::UNSUBACK => self.on_suback(kind, body),
            kind::PINGRESP if bytes.is_empty() => {
                self.on_pingresp();
                Ok(Progress::More)
            }
            kind::DISCONNECT if self.version == Version::V5 => {
                let (reason, properties) = tail(bytes, self.version, kind)?;
                let properties = (body.1 - properties.len(), body.1);
                let cause = match reason {
                    ReasonCode::SESSION_TAKEN_OVER => Cause::TakenOver,
                    reason => Cause::Disconnected(reason),
                };
                self.lose(cause);
                self.tell(Pending::Disconnected { cause, properties });
                Ok(Progress::More)
            }
            // No enhanced authentication was begun (MQTT-4.12.0-6).
            kind::AUTH if self.version == Version::V5 => Err(Fault::Protocol),
            // What only clients send, and what does not exist.
            _ => Err(Fault::Malformed),
        }
    }

    #[inline(never)]
    fn on_acknowledgement(&mut self, kind: u8, body: Range) -> Result<Progress, Fault> {
        let bytes = part(self.receive, body);
        let (packet_id, reason, _) = acknowledgement(kind, bytes, self.version)?;
        if kind == kind::PUBREL {
            let known = self.inbound.release(packet_id);
            self.reply = Some(Reply::new(kind::PUBCOMP, packet_id, known));
            self.blocked = false;
            return Ok(Progress::More);
        }
        self.proof_at = self.timers.now();
        let Some((at, entry)) = self.outbox.sent(packet_id) else {
            // Nothing of ours: an exchange at QoS 2 is brought to its end.
            if kind == kind::PUBREC && !reason.is_error() {
                self.reply = Some(Reply::new(kind::PUBREL, packet_id, false));
            }
            return Ok(Progress::More);
        };
        let expected = match entry.qos() {
            QoS::ExactlyOnce => kind != kind::PUBACK,
            _ => kind == kind::PUBACK,
        };
        // Sent on this connection, or on an earlier one of the same session.
        let sent = entry.in_flight() || (entry.state == EntryState::Queued && entry.dup);
        if !expected || !sent || self.outbox.is_locked(at) {
            return Err(Fault::Protocol);
        }
        if self.round_trip_ms > 0 || self.timers.low() != entry.since {
            self.learn(entry.since);
        }
        let id = entry.id;
        if kind == kind::PUBREC && !reason.is_error() {
            self.outbox.mark(at, EntryState::Release, entry.since);
            self.releases = true;
            return Ok(Progress::More);
        }
        if kind == kind::PUBCOMP
            && !matches!(entry.state, EntryState::Release | EntryState::Released)
        {
            return Err(Fault::Protocol);
        }
        self.outbox.remove(at);
        if kind == kind::PUBCOMP
            && entry.unsure
            && (reason.is_error() || self.version == Version::V4)
        {
            let reason = Dropped::SessionLost;
            return Ok(self.tell(Pending::Dropped { id, reason }));
        }
        Ok(self.tell(if reason.is_error() && kind != kind::PUBCOMP {
            Pending::Dropped {
                id,
                reason: Dropped::Refused(reason),
            }
        } else {
            Pending::Delivered { id, reason }
        }))
    }

    fn on_suback(&mut self, kind: u8, body: Range) -> Result<Progress, Fault> {
        let bytes = part(self.receive, body);
        let mut reader = Reader::new(bytes);
        let packet_id = PacketId::new(reader.u16()?).ok_or(Fault::Protocol)?;
        if self.version == Version::V5 {
            Properties::take(&mut reader, kind)?;
        }
        let codes = reader.rest();
        self.proof_at = self.timers.now();
        self.limits.in_flight = self.limits.allowed;
        let (of, count) = match (kind, self.version) {
            (kind::SUBACK, _) => (Kind::Subscription, 1),
            (_, Version::V5) => (Kind::Unsubscription, 1),
            (_, Version::V4) => (Kind::Unsubscription, 0),
        };
        if codes.len() != count {
            return Err(Fault::Protocol);
        }
        let found = self.outbox.find(0, &|entry| {
            entry.packet_id == Some(packet_id)
                && entry.kind == of
                && entry.state == EntryState::Sent
        });
        let Some(at) = found else {
            return Ok(Progress::More);
        };
        let code = ReasonCode(codes.first().copied().unwrap_or(0));
        if of == Kind::Unsubscription {
            self.outbox.remove(at);
            return Ok(self.tell(Pending::Unsubscribed { at }));
        }
        let state = match code.0 {
            0..=2 => EntryState::Held,
            0x80.. => EntryState::Refused,
            _ => return Err(Fault::Malformed),
        };
        self.outbox.mark(at, state, 0);
        Ok(self.tell(Pending::Subscribed { at, code }))
    }

    /// A message that does not fit takes its place among the others, which are
    /// acknowledged in order.
    #[inline]
    fn pass_over(
        &mut self,
        first: u8,
        body: Range,
        missing: usize,
        layout: &PublishLayout,
    ) -> Progress {
        if let Some(id) = layout.packet_id {
            let qos = QoS::from_bits(first >> 1 & 3).unwrap_or_default();
            self.inbound.handled(id, qos, ReasonCode::SUCCESS);
        }
        self.skip = missing;
        let size = body.1 + missing;
        self.tell(Pending::Oversized { body, size })
    }

    /// Tells of the next entry of the outbox whose end or refusal is to be
    /// told, if there is one.
    #[inline(never)]
    pub(super) fn report(&mut self) -> bool {
        let told = |slot: &Slot| slot.state == EntryState::Report;
        let Some(at) = self.outbox.find(0, &told) else {
            return false;
        };
        let Some(&Slot {
            kind, id, since, ..
        }) = self.outbox.entry(at)
        else {
            return false;
        };
        if kind == Kind::Subscription {
            self.outbox.mark(at, EntryState::Refused, 0);
        } else {
            self.outbox.remove(at);
        }
        self.tell(match kind {
            Kind::Subscription => Pending::Subscribed {
                at,
                code: ReasonCode(since as u8),
            },
            Kind::Publication(_) => {
                let reason = match since {
                    SESSION_LOST => Dropped::SessionLost,
                    EXPIRED => Dropped::Expired,
                    code => Dropped::Refused(ReasonCode(code as u8)),
                };
                Pending::Dropped { id, reason }
            }
            _ => Pending::Unsubscribed { at },
        });
        true
    }

    /// Keeps what happened until the application fetches it.
    pub(super) fn tell(&mut self, pending: Pending) -> Progress {
        self.pending = pending;
        Progress::Event
    }

    /// What [`Session::step`] came to, with its text.
    #[inline]
    pub(crate) fn event(&self) -> Event<'_> {
        if let Pending::Message {
            first,
            body,
            ref layout,
        } = self.pending
            && let Some(message) = self.message(first, body, layout)
        {
            return Event::Message(message);
        }
        self.other_event()
    }

    #[inline]
    fn other_event(&self) -> Event<'_> {
        let properties = |range: Range| Properties::checked(part(self.receive, range));
        match self.pending {
            Pending::Connected {
                session_present,
                properties: range,
            } => Event::Connected {
                session_present,
                version: self.version,
                properties: properties(range),
            },
            Pending::Disconnected {
                cause,
                properties: range,
            } => Event::Disconnected {
                cause,
                properties: properties(range),
            },
            Pending::Delivered { id, reason } => Event::Delivered {
                id: PublicationId(id),
                reason,
            },
            Pending::Dropped { id, reason } => Event::Dropped {
                id: PublicationId(id),
                reason,
            },
            Pending::Subscribed { at, code } => Event::Subscribed {
                filter: self.outbox.name(at),
                result: QoS::from_bits(code.0).ok_or(code),
            },
            Pending::Unsubscribed { at } => Event::Unsubscribed {
                filter: self.outbox.name(at),
            },
            Pending::Message { body, .. } | Pending::Oversized { body, .. } => {
                let bytes = part(self.receive, body);
                let topic = Reader::new(bytes).binary().unwrap_or(&[]);
                let topic = Text::checked(topic);
                let size = match self.pending {
                    Pending::Oversized { size, .. } => size,
                    // Not so: a message's parts were found when it came.
                    _ => bytes.len(),
                };
                Event::Oversized { topic, size }
            }
        }
    }

    #[inline]
    fn message(&self, first: u8, body: Range, layout: &PublishLayout) -> Option<Message<'_>> {
        let bytes = self.receive.get(..body.1)?.get(body.0..)?;
        let (head, payload) = bytes.split_at_checked(layout.payload as usize)?;
        let mut topic = head.get(2..)?.get(..usize::from(layout.topic))?;
        if let Some(alias) = layout.alias
            && topic.is_empty()
        {
            topic = self.inbound_aliases.topic(alias.get())?;
        }
        let qos = QoS::from_bits(first >> 1 & 3).unwrap_or_default();
        let epoch = match qos {
            QoS::ExactlyOnce => self.epoch,
            _ => self.connection,
        };
        Some(Message {
            topic: Text::checked(topic),
            payload,
            qos,
            retain: first & 1 != 0,
            dup: first & 8 != 0,
            properties: Properties::checked(head.get(layout.properties as usize..)?),
            token: layout.packet_id.map(|packet_id| Token {
                packet_id,
                qos,
                epoch,
            }),
        })
    }
}
