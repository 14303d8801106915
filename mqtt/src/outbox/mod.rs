//! What is still to be brought to the broker: a bounded store in one array of
//! bytes.
//!
//! Publications, subscriptions and endings of subscriptions stand one after the
//! other in the order in which they were made, each with its packet ready to be
//! sent behind a head of twenty bytes. An entry stays until its end is known:
//! acknowledged, refused, expired, superseded. Nothing else removes it, so what
//! was accepted cannot vanish unseen.
//!
//! The body of an entry is the packet as MQTT 5 writes it, with room for the
//! fixed header in front:
//!
//! ```text
//! head (20) | room (5) | topic, packet id | properties | payload     PUBLISH
//! head (20) | room (5) | packet id        | properties | filter      SUBSCRIBE, UNSUBSCRIBE
//! ```
//!
//! MQTT 3.1.1 sends the same bytes and leaves out the properties; a topic alias
//! is put between the parts when the packet is sent. So an entry can be sent,
//! and sent again, over either version without being written anew.

mod entry;

pub(crate) use entry::{Entry, Kind, State};

use crate::wire::{
    HEADER_ROOM, PacketId, Property, QoS, Reader, Version, Writer, varint_len, write_header,
};

/// Where an entry begins in the arena.
pub(crate) type Offset = usize;

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

/// Likewise: the time it had has passed.
pub(crate) const EXPIRED: u32 = 0x101;

/// The store does not have the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[derive(Debug)]
pub(crate) struct Outbox<'b> {
    arena: &'b mut [u8],
    /// No publication stands before this.
    head: Offset,
    /// The first entry that has not been looked at on this connection.
    cursor: Offset,
    tail: Offset,
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

const fn id_len(entry: &Entry) -> u32 {
    match entry.qos() {
        QoS::AtMostOnce => 0,
        _ => 2,
    }
}

/// Where a body starts: behind head and room.
const BODY: usize = Entry::SIZE + HEADER_ROOM;

impl<'b> Outbox<'b> {
    pub const fn new(arena: &'b mut [u8]) -> Self {
        Self {
            arena,
            head: 0,
            cursor: 0,
            tail: 0,
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

    pub const fn cursor(&self) -> Offset {
        self.cursor
    }

    /// The head of the entry at `at`, or nothing behind the last one.
    #[inline]
    pub fn entry(&self, at: Offset) -> Option<Entry> {
        if at >= self.tail {
            return None;
        }
        let bytes = self.arena.get(at..)?.first_chunk()?;
        Some(Entry::from_bytes(bytes))
    }

    fn put(&mut self, at: Offset, entry: Entry) {
        if let Some(bytes) = self.arena.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = entry.to_bytes();
        }
    }

    /// Changes the entry at `at` and keeps the counts right.
    #[inline]
    pub fn update(&mut self, at: Offset, old: Entry, new: Entry) {
        self.in_flight = self
            .in_flight
            .wrapping_add(u32::from(new.in_flight()))
            .wrapping_sub(u32::from(old.in_flight()));
        self.put(at, new);
    }

    /// The first entry from `at` on of which `wanted` is true.
    pub fn find(
        &self,
        mut at: Offset,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Option<(Offset, Entry)> {
        while let Some(entry) = self.entry(at) {
            if entry.state != State::Free && wanted(&entry) {
                return Some((at, entry));
            }
            at += entry.size as usize;
        }
        None
    }

    /// The publication that was sent with this packet id.
    #[inline]
    pub fn sent(&mut self, packet_id: PacketId) -> Option<(Offset, Entry)> {
        // Acknowledgements come in order, as a rule: what is done is at the head.
        while let Some(entry) = self.entry(self.head) {
            if entry.state != State::Free && matches!(entry.kind, Kind::Publication(_)) {
                break;
            }
            self.head += entry.size as usize;
        }
        self.find(self.head, |entry| {
            entry.packet_id == Some(packet_id) && matches!(entry.kind, Kind::Publication(_))
        })
    }

    /// Bytes of the entry at `at`, from `from` to `to` relative to it.
    #[inline]
    pub fn bytes(&self, at: Offset, (from, to): (u32, u32)) -> &[u8] {
        self.arena
            .get(at + from as usize..at + to as usize)
            .unwrap_or(&[])
    }

    /// The topic of a publication, or the filter of a subscription.
    pub fn name(&self, at: Offset, entry: &Entry) -> &str {
        let end = at + entry.size as usize;
        let mut reader = Reader::new(self.arena.get(at + BODY..end).unwrap_or(&[]));
        if !matches!(entry.kind, Kind::Publication(_)) {
            let skipped = reader.u16().is_ok() && reader.block().is_ok();
            if !skipped {
                return "";
            }
        }
        reader.string().unwrap_or("")
    }

    /// The topic or filter of the entry at `at`, even if it was just removed.
    pub fn name_at(&self, at: Offset) -> &str {
        let head = self.arena.get(at..).and_then(<[u8]>::first_chunk);
        head.map_or("", |head| self.name(at, &Entry::from_bytes(head)))
    }

    /// Whether a subscription has properties.
    pub fn has_properties(&self, at: Offset, entry: &Entry) -> bool {
        let layout = self.layout(at, entry);
        layout.content < layout.rest
    }

    /// The subscription to `filter`, or its end.
    pub fn filter(&self, filter: &str) -> Option<(Offset, Entry)> {
        let mut at = 0;
        while let Some((found, entry)) = self.find(at, |entry| {
            matches!(entry.kind, Kind::Subscription | Kind::Unsubscription)
        }) {
            if self.name(found, &entry) == filter {
                return Some((found, entry));
            }
            at = found + entry.size as usize;
        }
        None
    }

    /// The first publication from `at` on that was never sent, and of which
    /// `wanted` is true.
    pub fn unsent(&self, at: Offset, wanted: impl Fn(&Entry) -> bool) -> Option<(Offset, Entry)> {
        let mut at = at;
        loop {
            let (found, entry) = self.find(at, |entry| {
                matches!(entry.kind, Kind::Publication(_))
                    && entry.state == State::Queued
                    && !entry.dup
                    && wanted(entry)
            })?;
            if !self.is_locked(found) {
                return Some((found, entry));
            }
            at = found + entry.size as usize;
        }
    }

    /// The publication that the latest one of `topic` replaces.
    pub fn superseded(&self, topic: &str) -> Option<(Offset, Entry)> {
        let mut at = 0;
        loop {
            let (found, entry) = self.unsent(at, |entry| entry.latest)?;
            if self.name(found, &entry) == topic {
                return Some((found, entry));
            }
            at = found + entry.size as usize;
        }
    }

    /// How long a body could be if the entry at `at` were not there.
    pub fn room_without(&self, at: Offset) -> usize {
        let mut used = 0;
        let mut next = 0;
        while let Some((found, other)) = self.find(next, |_| true) {
            if found != at {
                used += other.size as usize;
            }
            next = found + other.size as usize;
        }
        // An entry that is going out stays until it has gone.
        let locked = match self.entry(self.cursor) {
            Some(locked) if self.locked && locked.state == State::Free => locked.size as usize,
            _ => 0,
        };
        self.arena.len().saturating_sub(used + locked + BODY)
    }

    /// The client id that a broker assigned.
    pub fn client_id(&self) -> Option<&str> {
        let (at, entry) = self.find(0, |entry| entry.kind == Kind::ClientId)?;
        Reader::new(self.bytes(at, (BODY as u32, entry.size)))
            .string()
            .ok()
    }

    /// Appends an entry with `len` bytes of body, which `write` fills.
    #[inline]
    pub fn append(
        &mut self,
        mut entry: Entry,
        len: usize,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Offset, Full> {
        let size = BODY.checked_add(len).ok_or(Full)?;
        entry.size = u32::try_from(size).map_err(|_| Full)?;
        if self.arena.len() - self.tail < size {
            self.compact();
            if self.arena.len() - self.tail < size {
                return Err(Full);
            }
        }
        let at = self.tail;
        self.tail = at + size;
        self.put(at, entry);
        if let Some(body) = self.arena.get_mut(at + BODY..self.tail) {
            write(&mut Writer::new(body));
        }
        self.publications += u32::from(matches!(entry.kind, Kind::Publication(_)));
        Ok(at)
    }

    /// Whether a body of `len` bytes could ever have room.
    pub fn could_hold(&self, len: usize) -> bool {
        BODY.checked_add(len)
            .is_some_and(|size| size <= self.arena.len())
    }

    /// Takes the entry at `at` away. Its bytes stay until room is needed.
    #[inline]
    pub fn remove(&mut self, at: Offset, entry: Entry) {
        self.update(
            at,
            entry,
            Entry {
                state: State::Free,
                ..entry
            },
        );
        if matches!(entry.kind, Kind::Publication(_)) {
            self.publications -= 1;
            if at + entry.size as usize == self.tail && self.cursor >= self.tail {
                // The common case, one after the other: no gap arises.
                self.tail = at;
                self.cursor = at;
                self.head = self.head.min(at);
            }
        }
    }

    /// Closes the gaps that removed entries left.
    fn compact(&mut self) {
        let (mut from, mut to) = (0, 0);
        let mut cursor = None;
        while let Some(entry) = self.entry(from) {
            let end = from + entry.size as usize;
            if from >= self.cursor {
                cursor.get_or_insert(to);
            }
            if entry.state != State::Free || (self.locked && from == self.cursor) {
                if from != to && end <= self.arena.len() {
                    self.arena.copy_within(from..end, to);
                }
                to += entry.size as usize;
            }
            from = end;
        }
        self.tail = to;
        self.cursor = cursor.unwrap_or(to);
        self.head = 0;
    }

    /// Moves the cursor behind the entry at it.
    pub fn advance(&mut self, entry: &Entry) {
        self.locked = false;
        self.cursor += entry.size as usize;
    }

    /// Keeps the entry at the cursor where it is, relative to the cursor, until
    /// the cursor advances.
    pub fn lock(&mut self) {
        self.locked = true;
    }

    /// Whether the entry at `at` is going out.
    pub const fn is_locked(&self, at: Offset) -> bool {
        self.locked && at == self.cursor
    }

    /// A packet id that no entry uses (MQTT-2.2.1-3). They wrap.
    pub fn packet_id(&mut self) -> PacketId {
        while self.free_ids == 0 {
            // How far it is to the next one in use; zero: that one itself.
            let next = self.next_packet_id.get();
            let mut nearest = u16::MAX;
            let mut at = 0;
            while let Some((found, entry)) = self.find(at, |entry| entry.packet_id.is_some()) {
                let id = entry.packet_id.map_or(0, PacketId::get);
                nearest = nearest.min(distance(next, id));
                at = found + entry.size as usize;
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
    fn layout(&self, at: Offset, entry: &Entry) -> Layout {
        let bytes = self.bytes(at, (BODY as u32, entry.size));
        let mut reader = Reader::new(bytes);
        let before = match entry.kind {
            Kind::Publication(QoS::AtMostOnce) => reader.binary().map(drop),
            Kind::Publication(_) => reader.binary().and_then(|_| reader.u16()).map(drop),
            _ => reader.u16().map(drop),
        };
        let place = |reader: &Reader<'_>| (BODY + bytes.len() - reader.rest().len()) as u32;
        let properties = place(&reader);
        match (before, reader.block()) {
            (Ok(()), Ok(block)) => {
                let rest = place(&reader);
                Layout {
                    properties,
                    content: rest - block.len() as u32,
                    rest,
                }
            }
            _ => Layout {
                properties,
                content: properties,
                rest: properties,
            },
        }
    }

    /// Makes the entry at `at` ready to go out: writes the fixed header in
    /// front of its body, and what has to stand between its parts into `stage`.
    pub fn prepare(
        &mut self,
        at: Offset,
        entry: &Entry,
        version: Version,
        alias: Option<Alias>,
        stage: &mut Stage,
    ) -> Parts {
        let first_byte = match entry.kind {
            Kind::Publication(qos) => {
                0x30 | u8::from(entry.dup) << 3 | qos.bits() << 1 | u8::from(entry.retain)
            }
            Kind::Unsubscription => 0xa2,
            _ => 0x82,
        };
        if entry.kind == Kind::Subscription
            && let Some(options) = self.arena.get_mut(at + entry.size as usize - 1)
        {
            // MQTT 3.1.1 has but the QoS, and reserves the other bits (MQTT-3.8.3-4).
            let mask = if version == Version::V4 { 3 } else { 0xff };
            *options = entry.id as u8 & mask;
        }
        let (end, rest) = match (version, alias) {
            (Version::V5, None) => (entry.size, entry.size),
            (Version::V4, _) => {
                let layout = self.layout(at, entry);
                (layout.properties, layout.rest)
            }
            (Version::V5, Some(alias)) => {
                let layout = self.layout(at, entry);
                let mut w = Writer::new(&mut stage.bytes);
                let properties = layout.rest - layout.content + 3;
                let after = varint_len(properties) + 3 + (entry.size - layout.content) as usize;
                // Nothing of this is longer than the stage.
                let _ = if alias.known {
                    let id = self.bytes(at, (layout.properties - id_len(entry), layout.properties));
                    w.byte(first_byte)
                        .and_then(|()| w.varint((2 + id.len() + after) as u32))
                        .and_then(|()| w.u16(0))
                        .and_then(|()| w.bytes(id))
                } else {
                    Ok(())
                };
                let _ = w
                    .varint(properties)
                    .and_then(|()| Property::TopicAlias(alias.number).write(&mut w));
                stage.len = w.len() as u8;
                if alias.known {
                    return Parts {
                        first: (0, 0),
                        second: (layout.content, entry.size),
                    };
                }
                (layout.properties, layout.content)
            }
        };
        let len = end as usize - BODY + usize::from(stage.len) + (entry.size - rest) as usize;
        let room = self.arena.get_mut(at + Entry::SIZE..).unwrap_or(&mut []);
        let start = write_header(room, first_byte, len).unwrap_or(0);
        Parts {
            first: ((Entry::SIZE + start) as u32, end),
            second: (rest, entry.size),
        }
    }

    /// Writes what is left of a publication's expiry, in seconds, into its
    /// Message Expiry Interval, which is the first of its properties.
    pub fn set_expiry(&mut self, at: Offset, entry: &Entry, seconds: u32) {
        let place = at + self.layout(at, entry).content as usize + 1;
        if let Some(bytes) = self
            .arena
            .get_mut(place..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            *bytes = seconds.to_be_bytes();
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
        let mut at = 0;
        while let Some((found, entry)) = self.find(at, |_| true) {
            let mut new = entry;
            match (entry.kind, entry.state) {
                (Kind::Publication(_), State::Sent) => {
                    new.state = State::Queued;
                    new.dup = kept;
                }
                (Kind::Publication(_), State::Queued) => new.dup &= kept,
                (Kind::Publication(_), State::Release | State::Released) => {
                    // A broker that took it and forgot may have passed it on:
                    // neither sending it again nor silence is honest.
                    new.state = State::Release;
                    if !kept {
                        new.state = State::Report;
                    }
                    if !kept || unsure {
                        new.expires = SESSION_LOST;
                    }
                }
                (Kind::Subscription, State::Held) if kept && !unsure => {}
                (Kind::Subscription, State::Held | State::Sent | State::Refused) => {
                    new.state = State::Queued;
                }
                (Kind::Unsubscription, _) => {
                    new.state = if kept { State::Queued } else { State::Report };
                }
                _ => {}
            }
            reports |= new.state == State::Report;
            self.update(found, entry, new);
            at = found + entry.size as usize;
        }
        self.cursor = 0;
        self.head = 0;
        reports
    }

    /// The connection is gone, and with it the publications at QoS 0.
    pub fn disconnect(&mut self) {
        self.locked = false;
        let mut at = 0;
        while let Some((found, entry)) =
            self.find(at, |entry| entry.kind == Kind::Publication(QoS::AtMostOnce))
        {
            self.remove(found, entry);
            at = found + entry.size as usize;
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
