//! Readings that are not yet delivered, in a ring.

use aldis_mqtt::{Instant, PublicationId};
use aldis_protocol::Reading;

use crate::Recalled;

/// A reading on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    taken: Instant,
    /// The start in which it was truly taken, if that was an earlier one, else 0;
    /// and its age at `taken` then.
    boot: u32,
    older_ms: u32,
    pub seq: u32,
    pub reading: Reading,
    state: State,
}

/// None of them is zero, so that an empty slot is: then the memory of an empty
/// backlog is all zeros, and takes no room in a firmware's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// To be published.
    Waiting = 1,
    /// In the session's outbox.
    Published(PublicationId),
    /// The broker has it, since this millisecond (its lowest bits); the
    /// recorder's confirmation is awaited.
    Delivered(u32),
    /// Nothing more to do.
    Done,
}

impl Entry {
    /// A reading taken at this moment.
    pub const fn new(seq: u32, taken: Instant, reading: Reading) -> Self {
        Self {
            taken,
            boot: 0,
            older_ms: 0,
            seq,
            reading,
            state: State::Waiting,
        }
    }

    /// A reading of an earlier start, of which this one began at `started`.
    pub const fn recalled(recalled: Recalled, started: Instant) -> Self {
        Self {
            boot: recalled.boot,
            older_ms: recalled.age_ms,
            ..Self::new(recalled.seq, started, recalled.reading)
        }
    }

    /// How old it is, as far as is known.
    pub fn age_ms(&self, now: Instant) -> u64 {
        let since = now.since(self.taken);
        since.saturating_add(self.older_ms.into())
    }

    /// The earlier start in which it was taken, if it was.
    pub fn boot(&self) -> Option<u32> {
        Some(self.boot).filter(|boot| *boot != 0)
    }
}

/// How long after its delivery a reading must be covered by a confirmation
/// before it counts as lost by the broker, in milliseconds.
const CONFIRM_MS: u32 = 10_000;

/// The longest wait before what does not help is sent once more.
const CONFIRM_CAP_MS: u32 = 3_600_000;

/// Memory for the newest `N` readings that are not yet delivered, lent to a
/// [`Device`](crate::Device).
#[derive(Debug)]
pub struct Backlog<const N: usize> {
    entries: [Option<Entry>; N],
    start: usize,
    len: usize,
    /// The recorder has everything up to this reading.
    confirmed: Option<u32>,
    /// Since this millisecond (its lowest bits).
    confirmed_at: u32,
    /// How often sending again brought no progress. Each time, a confirmation may
    /// be awaited twice as long: what a recorder misses may be what nobody has any
    /// longer.
    in_vain: u8,
}

impl<const N: usize> Backlog<N> {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            entries: [const { None }; N],
            start: 0,
            len: 0,
            confirmed: None,
            confirmed_at: 0,
            in_vain: 0,
        }
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let (wrapped, from_start) = self
            .entries
            .split_at_mut_checked(self.start)
            .unwrap_or((&mut [], &mut []));
        from_start
            .iter_mut()
            .chain(wrapped)
            .take(self.len)
            .flatten()
    }

    fn iter(&self) -> impl Iterator<Item = &Entry> {
        let (wrapped, from_start) = self
            .entries
            .split_at_checked(self.start)
            .unwrap_or((&[], &[]));
        from_start.iter().chain(wrapped).take(self.len).flatten()
    }

    /// How many readings are not done.
    pub(crate) fn len(&self) -> usize {
        self.iter()
            .filter(|entry| entry.state != State::Done && !self.is_confirmed(entry.seq))
            .count()
    }

    /// The number of the oldest reading that is not done.
    pub(crate) fn first(&self) -> Option<u32> {
        self.iter()
            .find(|entry| entry.state != State::Done && !self.is_confirmed(entry.seq))
            .map(|entry| entry.seq)
    }

    fn is_confirmed(&self, seq: u32) -> bool {
        self.confirmed.is_some_and(|confirmed| seq <= confirmed)
    }

    /// Appends a reading. Gives the number of an older one that had to go for it
    /// and was not done.
    ///
    /// Those under way to the broker stay: their end will be told. There are
    /// fewer of them than `N`.
    pub(crate) fn push(&mut self, entry: Entry) -> Option<u32> {
        let mut superseded = None;
        if self.len >= N {
            let done = self.iter().position(|entry| entry.state == State::Done);
            let oldest = done.or_else(|| {
                self.iter()
                    .position(|entry| !matches!(entry.state, State::Published(_)))
            });
            superseded = self.take_out(oldest.unwrap_or(0));
        }
        if let Some(slot) = self.slot(self.len) {
            *slot = Some(entry);
            self.len = self.len.saturating_add(1);
        }
        superseded
    }

    /// The slot at `position` from the oldest on.
    fn slot(&mut self, position: usize) -> Option<&mut Option<Entry>> {
        let at = self.start.wrapping_add(position).checked_rem(N)?;
        self.entries.get_mut(at)
    }

    /// Removes the entry at `position`; the older ones move up. Gives its number,
    /// if it was not done.
    fn take_out(&mut self, position: usize) -> Option<u32> {
        let taken = self.slot(position).and_then(Option::take);
        for position in (0..position).rev() {
            let moved = self.slot(position).and_then(Option::take);
            if let Some(slot) = self.slot(position.saturating_add(1)) {
                *slot = moved;
            }
        }
        self.drop_first();
        let undone = taken.filter(|entry| entry.state != State::Done);
        undone.map(|entry| entry.seq)
    }

    /// The first slot is empty: the ring begins behind it.
    fn drop_first(&mut self) {
        self.start = self.start.wrapping_add(1).checked_rem(N).unwrap_or(0);
        self.len = self.len.saturating_sub(1);
    }

    /// The oldest reading that is to be published, unless `window` are under
    /// way already.
    pub(crate) fn next(&self, window: usize) -> Option<Entry> {
        let under_way = self
            .iter()
            .filter(|entry| matches!(entry.state, State::Published(_)))
            .count();
        if under_way >= window {
            return None;
        }
        self.iter()
            .find(|entry| entry.state == State::Waiting)
            .copied()
    }

    /// A reading is in the session's outbox now.
    pub(crate) fn published(&mut self, seq: u32, id: PublicationId) {
        if let Some(entry) = self.iter_mut().find(|entry| entry.seq == seq) {
            entry.state = State::Published(id);
        }
    }

    fn under_way(&mut self, id: PublicationId) -> Option<&mut Entry> {
        self.iter_mut()
            .find(|entry| entry.state == State::Published(id))
    }

    /// The broker has a publication, at `now`; `confirm`: that is not enough.
    /// Gives its number, if it was a reading.
    pub(crate) fn delivered(
        &mut self,
        id: PublicationId,
        confirm: bool,
        now: Instant,
    ) -> Option<u32> {
        let confirmed = self.confirmed;
        let mut seq = None;
        if let Some(entry) = self.under_way(id) {
            seq = Some(entry.seq);
            let done = !confirm || confirmed.is_some_and(|confirmed| entry.seq <= confirmed);
            entry.state = match done {
                true => State::Done,
                false => State::Delivered(now.as_millis() as u32),
            };
        }
        self.trim();
        seq
    }

    /// A publication will not be delivered. Gives its number, if it was a reading.
    pub(crate) fn dropped(&mut self, id: PublicationId) -> Option<u32> {
        let found = self.under_way(id);
        let seq = found.map(|entry| {
            entry.state = State::Done;
            entry.seq
        });
        self.trim();
        seq
    }

    /// The recorder has everything up to `seq`.
    ///
    /// When it says so for long without getting on, the broker has lost what
    /// comes next: what it had long ago is sent again, the oldest first.
    pub(crate) fn confirmed(&mut self, seq: u32, now: Instant) {
        let now = now.as_millis() as u32;
        if self.confirmed.is_none_or(|before| seq > before) {
            self.confirmed = Some(seq);
            self.confirmed_at = now;
            self.in_vain = 0;
            for entry in self.iter_mut() {
                if entry.seq <= seq && !matches!(entry.state, State::Published(_)) {
                    entry.state = State::Done;
                }
            }
            self.trim();
            return;
        }
        let doubled = 1_u32.checked_shl(self.in_vain.into()).unwrap_or(u32::MAX);
        let patience_ms = CONFIRM_MS.saturating_mul(doubled).min(CONFIRM_CAP_MS);
        if now.wrapping_sub(self.confirmed_at) < patience_ms {
            return;
        }
        let mut lost = false;
        for entry in self.iter_mut() {
            if let State::Delivered(at) = entry.state
                && now.wrapping_sub(at) >= patience_ms
            {
                entry.state = State::Waiting;
                lost = true;
            }
        }
        if lost {
            self.in_vain = self.in_vain.saturating_add(1).min(16);
        }
    }

    /// The connection is gone: takes back one publication after the other, to
    /// be sent with its age on the next one.
    pub(crate) fn take_back(&mut self, mut withdraw: impl FnMut(PublicationId) -> bool) {
        let confirmed = self.confirmed;
        for entry in self.iter_mut() {
            if let State::Published(id) = entry.state
                && withdraw(id)
            {
                let done = confirmed.is_some_and(|confirmed| entry.seq <= confirmed);
                entry.state = match done {
                    true => State::Done,
                    false => State::Waiting,
                };
            }
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.len > 0
            && let Some(slot) = self.slot(0)
            && slot.is_none_or(|entry| entry.state == State::Done)
        {
            *slot = None;
            self.drop_first();
        }
    }
}

impl<const N: usize> Default for Backlog<N> {
    fn default() -> Self {
        Self::new()
    }
}
