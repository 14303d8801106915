//! Messages for the person at the device, the newest sixteen.

use aldis_mqtt::{Instant, PublicationId};
use aldis_protocol::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN};
use aldis_protocol::topic::MAX_ID_LEN;
use aldis_protocol::{Message, MessageState, Priority};
use heapless::{String, Vec};

/// A message as a board keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The order in which messages came, over restarts.
    pub number: u32,
    /// What the sender calls it.
    pub id: String<MAX_MESSAGE_ID_LEN>,
    /// Who sent it; empty, if that is not known.
    pub from: String<MAX_ID_LEN>,
    /// What it says.
    pub text: String<MAX_TEXT_LEN>,
    /// How urgent it is.
    pub priority: Priority,
    /// For how many seconds it is of interest, from when it came.
    pub expires_s: Option<u32>,
}

/// What became of a message, as a board keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The message's number.
    pub number: u32,
    /// Its state: received, read or expired.
    pub state: MessageState,
    /// The sender's broker has that state.
    pub told: bool,
    /// How old the message was then, in milliseconds.
    pub age_ms: u32,
}

/// How far a sender is told: the first state, the second, the last.
const RECEIVED: u8 = 1;
const SHOWN: u8 = 2;
const ENDED: u8 = 3;

/// A message in its place.
#[derive(Debug)]
pub(crate) struct Entry {
    pub letter: Letter,
    received: Instant,
    /// How old it was then: it may have come in an earlier start.
    older_ms: u32,
    shown: Option<Instant>,
    /// Read or expired.
    ended: Option<(MessageState, Instant)>,
    /// How much of it the broker knows.
    told: u8,
    under_way: Option<(PublicationId, u8)>,
    /// The sender asked again while that was under way.
    again: bool,
}

impl Entry {
    /// How long ago it came.
    pub fn age_ms(&self, now: Instant) -> u64 {
        let since = now.since(self.received);
        since.saturating_add(self.older_ms.into())
    }

    pub fn is_urgent(&self) -> bool {
        self.letter.priority == Priority::High
    }

    pub const fn is_unread(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it was read, and did not run out of time before.
    pub const fn is_read(&self) -> bool {
        matches!(self.ended, Some((MessageState::Read, _)))
    }

    fn expires_at(&self) -> Instant {
        let Some(expires_s) = self.letter.expires_s.filter(|_| self.is_unread()) else {
            return Instant::NEVER;
        };
        let ms = u64::from(expires_s).saturating_mul(1_000);
        let left = ms.saturating_sub(self.older_ms.into());
        Instant::from_millis(self.received.as_millis().saturating_add(left))
    }

    /// The state that is to be told next: how much that is, what, and since when.
    fn untold(&self) -> Option<(u8, MessageState, Instant)> {
        if self.told < RECEIVED {
            return Some((RECEIVED, MessageState::Received, self.received));
        }
        if self.told < SHOWN
            && let Some(shown) = self.shown
        {
            return Some((SHOWN, MessageState::Shown, shown));
        }
        match self.ended {
            Some((state, at)) if self.told < ENDED => Some((ENDED, state, at)),
            _ => None,
        }
    }

    /// What a board keeps of it.
    pub fn mark(&self, now: Instant) -> Mark {
        Mark {
            number: self.letter.number,
            state: self
                .ended
                .map_or(MessageState::Received, |(state, _)| state),
            told: self.ended.is_some() && self.told >= ENDED,
            age_ms: u32::try_from(self.age_ms(now)).unwrap_or(u32::MAX),
        }
    }
}

/// A state that is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untold<'l> {
    pub place: usize,
    pub id: &'l str,
    pub state: MessageState,
    pub age_ms: u64,
    level: u8,
}

/// What became of a message that had to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub number: u32,
    pub id: String<MAX_MESSAGE_ID_LEN>,
    pub state: MessageState,
    pub at: Instant,
}

/// What is asked of the messages whenever the device runs, found out when one changes.
#[derive(Debug)]
struct Sum {
    unread: usize,
    /// One of the unread is urgent.
    urgent: bool,
    /// A state is to be told, is under way, or may come to be told.
    telling: bool,
    /// When the next one expires.
    expires_at: Option<Instant>,
}

impl Sum {
    const NONE: Self = Self {
        unread: 0,
        urgent: false,
        telling: false,
        expires_at: None,
    };

    fn add(&mut self, entry: &Entry) {
        if entry.is_unread() {
            self.unread = self.unread.saturating_add(1);
            self.urgent |= entry.is_urgent();
        }
        self.telling |= entry.told < ENDED || entry.under_way.is_some();
        let before = self.expires_at.unwrap_or(Instant::NEVER);
        self.expires_at = Some(before.min(entry.expires_at()));
    }
}

/// The messages, each with its place. While there are none it is all zeros, as
/// [`Backlog`](crate::Backlog) is.
#[derive(Debug)]
pub(crate) struct Letters {
    entries: Vec<(usize, Entry), { Letters::PLACES }>,
    sum: Sum,
}

impl Letters {
    /// How many messages are kept.
    pub const PLACES: usize = 16;

    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            sum: Sum::NONE,
        }
    }

    pub fn get(&self, place: usize) -> Option<&Entry> {
        self.iter()
            .find(|(at, _)| *at == place)
            .map(|(_, entry)| entry)
    }

    fn find_mut(&mut self, place: usize) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries.find(|(at, _)| *at == place).map(|(_, entry)| entry)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().map(|(place, entry)| (*place, entry))
    }

    fn sum_up(&mut self) {
        self.sum = Sum::NONE;
        for (_, entry) in &self.entries {
            self.sum.add(entry);
        }
    }

    /// Changes the message in this place, if there is one.
    fn change<T>(&mut self, place: usize, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let changed = change(self.find_mut(place)?);
        self.sum_up();
        Some(changed)
    }

    /// Puts a message into this place. Gives the one that was there.
    fn put(&mut self, place: usize, entry: Entry) -> Option<Entry> {
        let before = match self.find_mut(place) {
            Some(at) => Some(core::mem::replace(at, entry)),
            None => {
                // There are no more places than room.
                let _ = self.entries.push((place, entry));
                None
            }
        };
        self.sum_up();
        before
    }

    /// The greatest number there is.
    pub fn newest_number(&self) -> Option<u32> {
        self.iter().map(|(_, entry)| entry.letter.number).max()
    }

    /// Where this message is, if it came already.
    pub fn find(&self, id: &str, from: &str) -> Option<usize> {
        self.iter()
            .find(|(_, entry)| entry.letter.id == id && entry.letter.from == from)
            .map(|(place, _)| place)
    }

    /// The place of the newest message of this text.
    pub fn find_text(&self, text: &str, from: &str) -> Option<usize> {
        self.iter()
            .filter(|(_, entry)| entry.letter.text == text && entry.letter.from == from)
            .max_by_key(|(_, entry)| entry.letter.number)
            .map(|(place, _)| place)
    }

    /// Whether any message has this id.
    pub fn has_id(&self, id: &str) -> bool {
        self.iter().any(|(_, entry)| entry.letter.id == id)
    }

    /// The sender asks again: what is the case is told once more.
    pub fn tell_again(&mut self, place: usize) {
        self.change(place, |entry| {
            let level = match (entry.ended, entry.shown) {
                (Some(_), _) => ENDED,
                (None, Some(_)) => SHOWN,
                (None, None) => RECEIVED,
            };
            entry.told = entry.told.min(level.saturating_sub(1));
            entry.again = entry.under_way.is_some();
        });
    }

    /// Takes a message in. Gives its place, and what became of the one that had to
    /// go for it, if that is still to be told.
    pub fn accept(&mut self, letter: Letter, now: Instant) -> (usize, Option<Gone>) {
        let entry = Entry {
            letter,
            received: now,
            older_ms: 0,
            shown: None,
            ended: None,
            told: 0,
            under_way: None,
            again: false,
        };
        let place = self.free().or_else(|| {
            let oldest = self.iter().min_by_key(|(_, entry)| entry.letter.number);
            oldest.map(|(place, _)| place)
        });
        let place = place.unwrap_or(0);
        let old = self.put(place, entry);
        let gone = old.and_then(|old| {
            let (state, at) = match old.ended {
                Some(_) if old.told >= ENDED => return None,
                Some(ended) => ended,
                None => (MessageState::Replaced, now),
            };
            Some(Gone {
                number: old.letter.number,
                id: old.letter.id,
                state,
                at,
            })
        });
        (place, gone)
    }

    /// Takes back what a board kept over the restart.
    pub fn recall(&mut self, letter: Letter, mark: Option<Mark>, now: Instant) {
        let mark = mark.filter(|mark| mark.number == letter.number);
        let ended = mark.filter(|mark| mark.state != MessageState::Received);
        let entry = Entry {
            letter,
            received: now,
            older_ms: mark.map_or(0, |mark| mark.age_ms),
            shown: None,
            ended: ended.map(|mark| (mark.state, now)),
            told: match ended {
                Some(mark) if mark.told => ENDED,
                Some(_) => SHOWN,
                None => 0,
            },
            under_way: None,
            again: false,
        };
        if let Some(place) = self.free() {
            self.put(place, entry);
        }
    }

    fn free(&self) -> Option<usize> {
        (0..Self::PLACES).find(|place| self.get(*place).is_none())
    }

    /// Whether the message with this number is here.
    pub fn has(&self, number: u32) -> bool {
        self.iter().any(|(_, entry)| entry.letter.number == number)
    }

    /// How many are unread, and whether one of them is urgent.
    pub fn unread(&self) -> (usize, bool) {
        (self.sum.unread, self.sum.urgent)
    }

    /// The unread one that is to be read first: the most urgent, then the oldest.
    pub fn first_unread(&self) -> Option<usize> {
        let unread = self.iter().filter(|(_, entry)| entry.is_unread());
        unread
            .min_by_key(|(_, entry)| {
                let urgency = match entry.letter.priority {
                    Priority::High => 0,
                    Priority::Normal => 1,
                    Priority::Low => 2,
                };
                (urgency, entry.letter.number)
            })
            .map(|(place, _)| place)
    }

    /// The newest one that can be read again, of those older than `before`.
    pub fn older_than(&self, before: Option<u32>) -> Option<usize> {
        let before = before.unwrap_or(u32::MAX);
        let read = self.iter().filter(|(_, entry)| entry.is_read());
        read.filter(|(_, entry)| entry.letter.number < before)
            .max_by_key(|(_, entry)| entry.letter.number)
            .map(|(place, _)| place)
    }

    /// Which of those that can be looked at this is, counted from the newest, and how
    /// many there are.
    pub fn position(&self, place: usize) -> (usize, usize) {
        let number = self.get(place).map_or(0, |entry| entry.letter.number);
        let seen = self
            .iter()
            .filter(|(_, entry)| entry.is_unread() || entry.is_read());
        seen.fold((1, 0), |(at, of), (_, entry)| {
            let newer = entry.letter.number > number;
            (at.saturating_add(newer.into()), of.saturating_add(1))
        })
    }

    /// A person can see it. Says whether that is news.
    pub fn shown(&mut self, place: usize, now: Instant) -> bool {
        let news = self.change(place, |entry| {
            let news = entry.is_unread() && entry.shown.is_none();
            if news {
                entry.shown = Some(now);
            }
            news
        });
        news == Some(true)
    }

    /// A person has read it. Says whether that is news.
    pub fn read(&mut self, place: usize, now: Instant) -> bool {
        self.end(place, MessageState::Read, now)
    }

    fn end(&mut self, place: usize, state: MessageState, now: Instant) -> bool {
        let news = self.change(place, |entry| {
            let news = entry.is_unread();
            if news {
                entry.ended = Some((state, now));
            }
            news
        });
        news == Some(true)
    }

    /// Ends the first that is of no interest any more, and gives its place.
    pub fn expire(&mut self, now: Instant) -> Option<usize> {
        if self.deadline() > now {
            return None;
        }
        let (place, _) = self.iter().find(|(_, entry)| entry.expires_at() <= now)?;
        self.end(place, MessageState::Expired, now);
        Some(place)
    }

    /// When the next one expires.
    pub fn deadline(&self) -> Instant {
        self.sum.expires_at.unwrap_or(Instant::NEVER)
    }

    /// How many states are under way to the broker.
    pub fn under_way(&self) -> usize {
        if !self.sum.telling {
            return 0;
        }
        self.iter()
            .filter(|(_, entry)| entry.under_way.is_some())
            .count()
    }

    /// A state that is to be told, the oldest message's first.
    pub fn untold(&self, now: Instant) -> Option<Untold<'_>> {
        if !self.sum.telling {
            return None;
        }
        let waiting = self
            .iter()
            .filter(|(_, entry)| entry.under_way.is_none())
            .filter_map(|(place, entry)| Some((place, entry, entry.untold()?)));
        let (place, entry, (level, state, at)) =
            waiting.min_by_key(|(_, entry, _)| entry.letter.number)?;
        let age_ms = match state {
            MessageState::Received => entry.age_ms(now),
            _ => now.since(at),
        };
        Some(Untold {
            place,
            id: &entry.letter.id,
            state,
            age_ms,
            level,
        })
    }

    /// A state is in the session's outbox now.
    pub fn published(&mut self, place: usize, level: Level, id: PublicationId) {
        self.change(place, |entry| entry.under_way = Some((id, level.0)));
    }

    /// A state cannot be told: it counts as if it were.
    pub fn untellable(&mut self, place: usize, level: Level) {
        self.change(place, |entry| entry.told = level.0);
    }

    /// The end of a publication came. If it was one of these, gives the place of its
    /// message where it told its last state.
    pub fn told(&mut self, id: PublicationId) -> Option<Option<usize>> {
        let ours = |(_, entry): &(usize, &Entry)| entry.under_way.is_some_and(|(of, _)| of == id);
        let (place, _) = self.iter().find(ours)?;
        let told = self.change(place, |entry| {
            if let Some((_, level)) = entry.under_way.take()
                && !core::mem::take(&mut entry.again)
            {
                entry.told = level;
            }
            entry.told
        })?;
        Some((told >= ENDED).then_some(place))
    }

    /// The connection is gone: what is under way is told with its age on the next one.
    pub fn take_back(&mut self, mut withdraw: impl FnMut(PublicationId) -> bool) {
        for (_, entry) in &mut self.entries {
            if entry.under_way.is_some_and(|(id, _)| withdraw(id)) {
                entry.under_way = None;
            }
        }
        self.sum_up();
    }
}

/// How much a state tells, for [`Letters::published`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(u8);

impl Untold<'_> {
    pub const fn level(&self) -> Level {
        Level(self.level)
    }
}

impl Letter {
    /// The letter of a message that came, numbered, under this id.
    pub(crate) fn new(number: u32, id: &str, message: &Message<'_>) -> Self {
        // What the protocol accepts fits.
        let fit = |text: &str| String::try_from(text).unwrap_or_default();
        Self {
            number,
            id: String::try_from(id).unwrap_or_default(),
            from: fit(message.from.unwrap_or_default()),
            text: String::try_from(message.text).unwrap_or_default(),
            priority: message.priority,
            expires_s: message.expires_s,
        }
    }
}
