//! What is still to be brought to the broker: a bounded store of packets in one
//! array of bytes, and of what is known of them in one array of slots.
//!
//! Publications, subscriptions and endings of subscriptions stand one after the
//! other in the order in which they were made, each with its packet ready to be
//! sent. An entry stays until its end is known: acknowledged, refused, expired,
//! superseded. Nothing else removes it, so what was accepted cannot vanish
//! unseen.
//!
//! The bytes of an entry are the packet as MQTT 5 writes it, with room for the
//! fixed header in front:
//!
//! ```text
//! room (5) | topic, packet id | properties | payload     PUBLISH
//! room (5) | packet id        | properties | filter      SUBSCRIBE, UNSUBSCRIBE
//! ```
//!
//! MQTT 3.1.1 sends the same bytes and leaves out the properties; a topic alias
//! is put between the parts when the packet is sent. So an entry can be sent,
//! and sent again, over either version without being written anew.

mod slot;

pub use slot::Slot;
pub(crate) use slot::{Kind, State};

use crate::Instant;
use crate::shift::move_down;
use crate::wire::{
    HEADER_ROOM, MAX_REMAINING_LENGTH, PacketId, QoS, Reader, Text, Version, Writer, id,
    write_header,
};

/// Which slot an entry has.
pub(crate) type Index = usize;

/// The two parts of an entry that go out, relative to the beginning of the
/// entry. What is staged goes out between them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub first: (u32, u32),
    pub second: (u32, u32),
}

/// Stands for the reason in an entry to be reported, beside reason codes: the
/// broker forgot the session between PUBREC and PUBCOMP.
pub(crate) const SESSION_LOST: u32 = 0x100;

/// How many slots are used, however many there are: fewer than there are packet
/// ids, so that one is always free.
const MOST: usize = 65_000;

/// Likewise: the time it had has passed.
pub(crate) const EXPIRED: u32 = 0x101;

#[derive(Debug)]
pub(crate) struct Outbox<'b> {
    arena: &'b mut [u8],
    slots: &'b mut [Slot],
    /// How many slots are used, in the order of their bytes in the arena.
    len: usize,
    /// Where the next entry begins in the arena.
    tail: usize,
    /// No publication stands before this.
    head: Index,
    /// The first entry that has not been looked at on this connection.
    cursor: Index,
    /// The entry at the cursor is going out: its bytes must stay together.
    locked: bool,
    publications: u32,
    in_flight: u32,
    next_packet_id: PacketId,
    /// How many packet ids from the next on are known to be free.
    free_ids: u16,
}

/// A topic alias for the packet that goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alias {
    pub number: u16,
    /// The broker knows which topic it stands for.
    pub known: bool,
}

/// A few bytes that go out from outside the arena.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stage {
    pub bytes: [u8; 20],
    pub len: u8,
}

/// Where the parts of an entry begin, relative to the entry.
struct Layout {
    /// The length of the properties.
    properties: u32,
    /// The properties themselves.
    content: u32,
    /// Payload or filter.
    rest: u32,
}

const fn id_len(slot: &Slot) -> u32 {
    match slot.qos() {
        QoS::AtMostOnce => 0,
        _ => 2,
    }
}

/// Whether a publication was never sent: nobody but us knows of it.
fn is_unsent(slot: &Slot) -> bool {
    slot.is_publication() && slot.state == State::Queued && !slot.dup
}

impl<'b> Outbox<'b> {
    pub fn new(arena: &'b mut [u8], slots: &'b mut [Slot]) -> Self {
        let most = slots.len().min(MOST);
        Self {
            arena,
            slots: slots.get_mut(..most).unwrap_or(&mut []),
            len: 0,
            tail: 0,
            head: 0,
            cursor: 0,
            locked: false,
            publications: 0,
            in_flight: 0,
            next_packet_id: PacketId::MIN,
            free_ids: u16::MAX,
        }
    }

    /// How many publications are in the store.
    pub const fn publications(&self) -> u32 {
        self.publications
    }

    /// How many publications were sent and are not finished.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub const fn cursor(&self) -> Index {
        self.cursor
    }

    /// The entry at `at`, or nothing behind the last one.
    #[inline]
    pub fn entry(&self, at: Index) -> Option<&Slot> {
        self.slots.get(..self.len)?.get(at)
    }

    /// All entries, those that are gone among them.
    pub fn entries(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().take(self.len)
    }

    /// The entry at `at` has come to `state`: since when or, if that is to be
    /// reported, for which reason.
    pub fn mark(&mut self, at: Index, state: State, since: u32) {
        if let Some(slot) = self.slots.get_mut(at) {
            if slot.is_publication() {
                self.in_flight -= u32::from(slot.state.is_under_way());
                self.in_flight += u32::from(state.is_under_way());
            }
            slot.state = state;
            slot.since = since;
            // PUBREC came just now, in this session.
            slot.unsure &= state != State::Release;
        }
    }

    /// The entry at `at` was sent.
    pub fn sent_at(&mut self, at: Index, since: u32) {
        if let Some(slot) = self.slots.get_mut(at) {
            self.in_flight += u32::from(slot.is_publication());
            slot.state = State::Sent;
            slot.since = since;
        }
    }

    /// What counted as sent since `from` was sent at `to`: the low 32 bits of
    /// milliseconds.
    pub fn postpone(&mut self, from: u32, to: u32) {
        let lasted = to.wrapping_sub(from);
        for slot in self.slots.get_mut(..self.len).unwrap_or(&mut []) {
            if slot.awaits_answer() && to.wrapping_sub(slot.since) <= lasted {
                slot.since = to;
            }
        }
    }

    /// Whether there are entries behind `at`.
    pub const fn has_after(&self, at: Index) -> bool {
        at + 1 < self.len
    }

    /// The first entry from `at` on of which `wanted` is true.
    #[inline(never)]
    pub fn find(&self, at: Index, wanted: &dyn Fn(&Slot) -> bool) -> Option<Index> {
        let rest = self.slots.get(..self.len)?.get(at..)?;
        let found = rest
            .iter()
            .position(|slot| slot.state != State::Free && wanted(slot))?;
        Some(at + found)
    }

    /// The publication that was sent with this packet id.
    #[inline]
    pub fn sent(&mut self, packet_id: PacketId) -> Option<(Index, Slot)> {
        // Acknowledgements come in order, as a rule: what is done is at the head.
        let mut at = self.head;
        let mut done = true;
        loop {
            let slot = *self.entry(at)?;
            let is_publication = slot.state != State::Free && slot.is_publication();
            if is_publication && slot.packet_id == Some(packet_id) {
                return Some((at, slot));
            }
            at += 1;
            done &= !is_publication;
            if done {
                self.head = at;
            }
        }
    }

    /// Bytes of the entry at `at`, from `from` to `to` relative to it.
    #[inline]
    pub fn bytes(&self, at: Index, (from, to): (u32, u32)) -> &[u8] {
        let start = self.slots.get(at).map_or(0, |slot| slot.start as usize);
        self.arena
            .get(start + from as usize..start + to as usize)
            .unwrap_or(&[])
    }

    /// The body of the entry at `at`, even if it was just removed.
    fn body(&self, at: Index) -> &[u8] {
        let size = self.slots.get(at).map_or(0, |slot| slot.size);
        self.bytes(at, (HEADER_ROOM as u32, size))
    }

    /// The topic of a publication, or the filter of a subscription, even if it
    /// was just removed.
    pub fn name(&self, at: Index) -> Text<'_> {
        Text::checked(self.name_bytes(at))
    }

    pub fn name_bytes(&self, at: Index) -> &[u8] {
        let mut reader = Reader::new(self.body(at));
        if self
            .slots
            .get(at)
            .is_some_and(|slot| !slot.is_publication())
        {
            let _ = reader.u16();
            let _ = reader.block();
        }
        reader.binary().unwrap_or(&[])
    }

    /// Whether a subscription has properties.
    pub fn has_properties(&self, at: Index) -> bool {
        let layout = self.layout(at);
        layout.content < layout.rest
    }

    /// The subscription to `filter`, or its end.
    pub fn filter(&self, filter: &str) -> Option<Index> {
        self.find_named(0, filter, &|slot| {
            matches!(slot.kind, Kind::Subscription | Kind::Unsubscription)
        })
    }

    /// The first entry from `at` on of this name of which `wanted` is true.
    fn find_named(
        &self,
        mut at: Index,
        name: &str,
        wanted: &dyn Fn(&Slot) -> bool,
    ) -> Option<Index> {
        loop {
            at = self.find(at, wanted)?;
            if self.name_bytes(at) == name.as_bytes() {
                return Some(at);
            }
            at += 1;
        }
    }

    /// Marks what has expired before it was sent. Says whether there was something,
    /// and when the next one expires.
    pub fn expire(&mut self, now: Instant) -> (bool, Instant) {
        let going_out = match self.locked {
            true => self.cursor,
            false => Index::MAX,
        };
        let (mut expired, mut next) = (false, Instant::NEVER);
        for (at, slot) in self.slots.iter_mut().take(self.len).enumerate() {
            if !is_unsent(slot) || at == going_out {
                continue;
            }
            if slot.expires <= now {
                slot.state = State::Report;
                slot.since = EXPIRED;
                expired = true;
            } else {
                next = next.min(slot.expires);
            }
        }
        (expired, next)
    }

    /// The first publication from `at` on that was never sent, and of which
    /// `wanted` is true.
    pub fn unsent(&self, at: Index, wanted: &dyn Fn(&Slot) -> bool) -> Option<Index> {
        let wanted = |slot: &Slot| is_unsent(slot) && wanted(slot);
        let found = self.find(at, &wanted)?;
        if self.is_locked(found) {
            return self.find(found + 1, &wanted);
        }
        Some(found)
    }

    /// The publication that the latest one of `topic` replaces.
    pub fn superseded(&self, topic: &str) -> Option<Index> {
        let wanted = |slot: &Slot| slot.latest && is_unsent(slot);
        let found = self.find_named(0, topic, &wanted)?;
        if self.is_locked(found) {
            return self.find_named(found + 1, topic, &wanted);
        }
        Some(found)
    }

    /// How long a body could be if the entry at `at` were not there.
    pub fn room_without(&self, at: Index) -> usize {
        let used = self.slots.get(..self.len).unwrap_or(&[]).iter().enumerate();
        let used: usize = used
            .filter(|(index, slot)| {
                *index != at && (slot.state != State::Free || self.is_locked(*index))
            })
            .map(|(_, slot)| slot.size as usize)
            .sum();
        self.arena.len().saturating_sub(used + HEADER_ROOM)
    }

    /// The client id that a broker assigned.
    pub fn client_id(&self) -> Option<&[u8]> {
        let at = self.find(0, &|slot| slot.kind == Kind::ClientId)?;
        Reader::new(self.body(at)).binary().ok()
    }

    /// Appends an entry with `len` bytes of body, which the caller writes.
    #[inline]
    pub fn append(&mut self, slot: &Slot, len: usize) -> Option<&mut [u8]> {
        let size = HEADER_ROOM + len;
        if !self.has_room(size) {
            self.compact();
            if !self.has_room(size) {
                return None;
            }
        }
        let start = self.tail;
        *self.slots.get_mut(self.len)? = Slot {
            start: start as u32,
            size: size as u32,
            ..*slot
        };
        self.len += 1;
        self.tail += size;
        self.publications += u32::from(slot.is_publication());
        self.arena.get_mut(start + HEADER_ROOM..start + size)
    }

    fn has_room(&self, size: usize) -> bool {
        self.len < self.slots.len() && size <= self.arena.len() - self.tail
    }

    /// Whether a body of `len` bytes could ever have room.
    pub fn could_hold(&self, len: usize) -> bool {
        // With a topic alias it grows by no more than the room for the header.
        let largest = self.arena.len().min(MAX_REMAINING_LENGTH as usize);
        HEADER_ROOM
            .checked_add(len)
            .is_some_and(|size| size <= largest)
    }

    /// Takes the entry at `at` away. Its bytes stay until room is needed.
    pub fn remove(&mut self, at: Index) {
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        if slot.is_publication() {
            self.publications -= 1;
            self.in_flight -= u32::from(slot.state.is_under_way());
        }
        slot.state = State::Free;
        // The common case, one after the other: no gap arises.
        while let Some(last) = self.len.checked_sub(1)
            && let Some(slot) = self.slots.get(last)
            && slot.state == State::Free
            && !self.is_locked(last)
        {
            self.len = last;
            self.tail = slot.start as usize;
        }
        self.cursor = self.cursor.min(self.len);
        self.head = self.head.min(self.len);
    }

    /// Closes the gaps that removed entries left.
    #[cold]
    #[inline(never)]
    fn compact(&mut self) {
        let mut tail = 0;
        let mut kept = 0;
        let mut cursor = None;
        for at in 0..self.len {
            if at >= self.cursor {
                cursor.get_or_insert(kept);
            }
            let locked = self.is_locked(at);
            let Some(slot) = self.slots.get_mut(at) else {
                break;
            };
            if slot.state == State::Free && !locked {
                continue;
            }
            let (start, size) = (slot.start as usize, slot.size as usize);
            slot.start = tail as u32;
            let slot = *slot;
            if start != tail {
                let used = self.arena.get_mut(..start + size).unwrap_or(&mut []);
                move_down(used, start, tail);
            }
            if let Some(room) = self.slots.get_mut(kept) {
                *room = slot;
            }
            tail += size;
            kept += 1;
        }
        self.cursor = cursor.unwrap_or(kept);
        self.len = kept;
        self.tail = tail;
        self.head = 0;
    }

    /// Moves the cursor behind the entry at it.
    pub fn advance(&mut self) {
        self.locked = false;
        self.cursor += 1;
    }

    /// Keeps the entry at the cursor where it is, relative to the cursor, until
    /// the cursor advances.
    pub fn lock(&mut self) {
        self.locked = true;
    }

    /// Whether the entry at `at` is going out.
    pub const fn is_locked(&self, at: Index) -> bool {
        self.locked && at == self.cursor
    }

    /// The first packet id is to be this one.
    pub const fn begin_at(&mut self, packet_id: PacketId) {
        self.next_packet_id = packet_id;
    }

    /// A packet id that no entry uses (MQTT-2.2.1-3). They wrap.
    pub fn packet_id(&mut self) -> PacketId {
        while self.free_ids == 0 {
            // How far it is to the next one in use; zero: that one itself.
            let next = self.next_packet_id.get();
            let mut nearest = u16::MAX;
            for slot in self.slots.get(..self.len).unwrap_or(&[]) {
                if let (Some(id), true) = (slot.packet_id, slot.state != State::Free) {
                    nearest = nearest.min(distance(next, id.get()));
                }
            }
            self.free_ids = nearest;
            if nearest == 0 {
                self.step();
            }
        }
        self.free_ids -= 1;
        let id = self.next_packet_id;
        self.step();
        id
    }

    fn step(&mut self) {
        self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(PacketId::MIN);
    }

    /// Where the parts of the body at `at` begin.
    fn layout(&self, at: Index) -> Layout {
        let body = self.body(at);
        let before = match self.slots.get(at).map(|slot| slot.kind) {
            Some(Kind::Publication(qos)) => {
                let id = if qos == QoS::AtMostOnce { 0 } else { 2 };
                2 + self.name_bytes(at).len() + id
            }
            _ => 2,
        };
        let mut reader = Reader::new(body.get(before..).unwrap_or(&[]));
        let block = reader.block().unwrap_or(&[]).len();
        let rest = HEADER_ROOM + body.len() - reader.rest().len();
        Layout {
            properties: (HEADER_ROOM + before) as u32,
            content: (rest - block) as u32,
            rest: rest as u32,
        }
    }

    /// Which parts of the entry at `at` go out, where that is not all of it in
    /// one piece, and what is staged between them.
    pub fn split(
        &mut self,
        at: Index,
        slot: &Slot,
        version: Version,
        alias: Option<Alias>,
        stage: &mut Stage,
    ) -> Parts {
        if slot.kind == Kind::Subscription
            && let Some(options) = self.arena.get_mut((slot.start + slot.size - 1) as usize)
        {
            // MQTT 3.1.1 has but the QoS, and reserves the other bits (MQTT-3.8.3-4).
            let mask = if version == Version::V4 { 3 } else { 0xff };
            *options = slot.id as u8 & mask;
        }
        let layout = self.layout(at);
        let mut end = layout.properties;
        let rest = match (version, alias) {
            (Version::V4, _) => layout.rest,
            (Version::V5, None) => {
                end = slot.size;
                end
            }
            (Version::V5, Some(alias)) => {
                let mut w = Writer::new(&mut stage.bytes);
                // Nothing of this is longer than the stage.
                if alias.known {
                    end = HEADER_ROOM as u32;
                    let id = (layout.properties - id_len(slot), layout.properties);
                    let _ = w.u16(0);
                    let _ = w.bytes(self.bytes(at, id));
                }
                let _ = w.varint(layout.rest - layout.content + 3);
                let _ = w.byte(id::TOPIC_ALIAS);
                let _ = w.u16(alias.number);
                stage.len = w.len() as u8;
                layout.content
            }
        };
        Parts {
            first: (HEADER_ROOM as u32, end),
            second: (rest, slot.size),
        }
    }

    /// Writes the fixed header in front of the first part of an entry, which it
    /// then begins with. Gives the size of the packet.
    #[inline]
    pub fn prepare(&mut self, slot: &Slot, parts: &mut Parts, staged: u8) -> u32 {
        let first_byte = match slot.kind {
            Kind::Publication(qos) => {
                0x30 | u8::from(slot.dup) << 3 | qos.bits() << 1 | u8::from(slot.retain)
            }
            Kind::Unsubscription => 0xa2,
            _ => 0x82,
        };
        let (first, second) = (parts.first, parts.second);
        let body = first.1 - first.0 + u32::from(staged) + second.1 - second.0;
        let room = self.arena.get_mut(slot.start as usize..).unwrap_or(&mut []);
        let start = write_header(room, first_byte, body) as u32;
        parts.first.0 = start;
        first.0 - start + body
    }

    /// Writes what is left of a publication's expiry, in seconds, into its
    /// Message Expiry Interval, which is the first of its properties.
    pub fn set_expiry(&mut self, at: Index, seconds: u32) {
        let start = self.slots.get(at).map_or(0, |slot| slot.start);
        let place = (start + self.layout(at).content) as usize + 1;
        if let Some(room) = self.arena.get_mut(place..) {
            let _ = Writer::new(room).u32(seconds);
        }
    }

    /// Begins a new connection: what was under way is to be sent again.
    ///
    /// `kept`: the broker still has the session, so it may know the packet ids
    /// in flight, and it still holds the subscriptions. `unsure`: it may also
    /// have begun a new one without our notice. Returns whether some entries
    /// have become reports.
    pub fn rewind(&mut self, kept: bool, unsure: bool) -> bool {
        let mut reports = false;
        self.in_flight = 0;
        for slot in self.slots.get_mut(..self.len).unwrap_or(&mut []) {
            slot.state = match (slot.kind, slot.state) {
                (_, State::Free) => State::Free,
                (Kind::Publication(_), State::Sent) => {
                    slot.dup = true;
                    State::Queued
                }
                (Kind::Publication(_), State::Release | State::Released) => {
                    // A broker that took it and forgot may have passed it
                    // on: neither sending it again nor silence is honest.
                    slot.unsure |= unsure;
                    if kept {
                        State::Release
                    } else {
                        slot.since = SESSION_LOST;
                        State::Report
                    }
                }
                (Kind::Subscription, State::Held) if kept && !unsure => State::Held,
                (Kind::Subscription, State::Held | State::Sent | State::Refused) => State::Queued,
                (Kind::Unsubscription, _) if kept => State::Queued,
                (Kind::Unsubscription, _) => State::Report,
                (_, state) => state,
            };
            slot.dup &= kept;
            reports |= slot.state == State::Report;
            self.in_flight += u32::from(slot.in_flight());
        }
        self.cursor = 0;
        self.head = 0;
        reports
    }

    /// The connection is gone, and with it the publications at QoS 0.
    pub fn disconnect(&mut self) {
        self.locked = false;
        for at in 0..self.len {
            let qos_0 = Kind::Publication(QoS::AtMostOnce);
            if self
                .entry(at)
                .is_some_and(|slot| slot.kind == qos_0 && slot.state != State::Free)
            {
                self.remove(at);
            }
        }
        self.cursor = 0;
    }
}

/// How many steps lead from packet id `from` to `to`, zero not being one.
const fn distance(from: u16, to: u16) -> u16 {
    match to.checked_sub(from) {
        Some(steps) => steps,
        None => (u16::MAX - from) + to,
    }
}

#[cfg(test)]
mod tests {
    use super::distance;

    /// Packet ids wrap past zero, which is none: a wrong distance gives one that is in use.
    #[test]
    fn the_distance_of_packet_ids_leaves_zero_out() {
        for (from, to, steps) in [
            (1, 1, 0),
            (1, 2, 1),
            (5, 65_535, 65_530),
            (65_535, 1, 1),
            (65_535, 65_534, 65_534),
            (40_000, 3, 25_538),
        ] {
            assert_eq!(distance(from, to), steps, "{from} to {to}");
        }
    }
}
