//! Readings that are not yet delivered, in a ring.

use aldis_mqtt::{Instant, PublicationId};
use aldis_protocol::Reading;

/// A reading on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub seq: u32,
    pub taken: Instant,
    pub reading: Reading,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be published.
    Waiting,
    /// In the session's outbox.
    Published(PublicationId),
    /// The broker has it; the recorder's confirmation is awaited since then.
    Delivered(Instant),
    /// Nothing more to do.
    Done,
}

/// How long after its delivery a reading must be covered by a confirmation
/// before it counts as lost by the broker, in milliseconds.
const CONFIRM_MS: u64 = 10_000;

/// The ring: the newest `N` readings.
#[derive(Debug)]
pub(crate) struct Backlog<const N: usize> {
    entries: [Option<Entry>; N],
    start: usize,
    len: usize,
}

impl<const N: usize> Backlog<N> {
    pub const fn new() -> Self {
        Self {
            entries: [const { None }; N],
            start: 0,
            len: 0,
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
    pub fn len(&self) -> usize {
        self.iter()
            .filter(|entry| entry.state != State::Done)
            .count()
    }

    /// Appends a reading. Says which publication of an older one has to go for
    /// it, and whether there was an older one at all.
    pub fn push(&mut self, seq: u32, taken: Instant, reading: Reading) -> Option<Pushed> {
        let mut pushed = None;
        if N == 0 {
            return Some(Pushed { publication: None });
        }
        if self.len == N {
            let oldest = self.entries.get_mut(self.start).and_then(Option::take);
            self.start = (self.start + 1) % N;
            self.len -= 1;
            pushed = oldest.map(|entry| Pushed {
                publication: match entry.state {
                    State::Published(id) => Some(id),
                    _ => None,
                },
            });
        }
        if let Some(slot) = self.entries.get_mut((self.start + self.len) % N) {
            *slot = Some(Entry {
                seq,
                taken,
                reading,
                state: State::Waiting,
            });
            self.len += 1;
        }
        pushed
    }

    /// The oldest reading that is to be published, unless `window` are under
    /// way already.
    pub fn next(&self, window: usize) -> Option<Entry> {
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
    pub fn published(&mut self, seq: u32, id: PublicationId) {
        if let Some(entry) = self.iter_mut().find(|entry| entry.seq == seq) {
            entry.state = State::Published(id);
        }
    }

    /// The broker has a publication, at `now`; `confirm`: that is not enough.
    pub fn delivered(&mut self, id: PublicationId, confirm: bool, now: Instant) -> bool {
        let found = self
            .iter_mut()
            .find(|entry| entry.state == State::Published(id));
        let known = found.is_some();
        if let Some(entry) = found {
            entry.state = if confirm {
                State::Delivered(now)
            } else {
                State::Done
            };
        }
        self.trim();
        known
    }

    /// A publication will not be delivered. Says whether it was a reading.
    pub fn dropped(&mut self, id: PublicationId) -> bool {
        let found = self
            .iter_mut()
            .find(|entry| entry.state == State::Published(id));
        let known = found.is_some();
        if let Some(entry) = found {
            entry.state = State::Done;
        }
        self.trim();
        known
    }

    /// The recorder has everything up to `seq`. What the broker had long
    /// before, and is not covered, the broker lost: it is sent again.
    pub fn confirmed(&mut self, seq: u32, now: Instant) {
        for entry in self.iter_mut() {
            if entry.seq <= seq {
                // A publication under way is let go: it does no harm.
                entry.state = State::Done;
            } else if let State::Delivered(at) = entry.state
                && now.since(at) >= CONFIRM_MS
            {
                entry.state = State::Waiting;
            }
        }
        self.trim();
    }

    /// The connection is gone: takes back one publication after the other, to
    /// be sent with its age on the next one.
    pub fn take_back(&mut self, mut withdraw: impl FnMut(PublicationId) -> bool) {
        for entry in self.iter_mut() {
            if let State::Published(id) = entry.state
                && withdraw(id)
            {
                entry.state = State::Waiting;
            }
        }
    }

    fn trim(&mut self) {
        while self.len > 0
            && let Some(slot) = self.entries.get_mut(self.start)
            && slot.is_none_or(|entry| entry.state == State::Done)
        {
            *slot = None;
            self.start = (self.start + 1) % N.max(1);
            self.len -= 1;
        }
    }
}

/// What had to go for a new reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub publication: Option<PublicationId>,
}
