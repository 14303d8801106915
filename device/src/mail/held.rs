//! Messages that were handled and are not acknowledged yet.

use aldis_mqtt::{Message, QoS, Token};
use heapless::{Deque, Vec};

use crate::recent::Recent;

#[derive(Debug)]
struct Entry {
    token: Token,
    print: Print,
    /// At QoS 1: its connection is gone, and it comes again.
    lost: bool,
}

/// What a message that comes again is known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Print(u64);

impl Print {
    pub fn of(message: &Message<'_>) -> Self {
        let start = match message.qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => "1",
            QoS::ExactlyOnce => "2",
        };
        let topic = message.topic.as_str().bytes();
        let bytes = topic.chain([0]).chain(message.payload.iter().copied());
        Self(Recent::hash(start, bytes))
    }
}

/// The newest `N` messages that may come again.
#[derive(Debug)]
pub(crate) struct Prints<const N: usize> {
    entries: Deque<Known, N>,
}

/// Half of a print, which is enough for so few; its lowest bit says that the connection is gone.
#[derive(Clone, Copy, Debug)]
struct Known(u32);

impl Known {
    fn here(message: &Message<'_>) -> Self {
        Self(Print::of(message).0 as u32 & !1)
    }

    const fn lost(self) -> Self {
        Self(self.0 | 1)
    }
}

impl<const N: usize> Prints<N> {
    pub const fn new() -> Self {
        Self {
            entries: Deque::new(),
        }
    }

    /// The oldest makes room.
    pub fn push(&mut self, message: &Message<'_>) {
        if self.entries.is_full() {
            let _ = self.entries.pop_front();
        }
        let _ = self.entries.push_back(Known::here(message));
    }

    /// Whether this is one of them that comes again.
    pub fn renews(&mut self, message: &Message<'_>) -> bool {
        if !message.dup || self.entries.is_empty() {
            return false;
        }
        let here = Known::here(message);
        let mut entries = self.entries.iter_mut();
        let Some(known) = entries.find(|known| known.0 == here.lost().0) else {
            return false;
        };
        *known = here;
        true
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        for known in &mut self.entries {
            *known = known.lost();
        }
    }

    /// They do not come again.
    pub fn forget(&mut self) {
        self.entries.clear();
    }
}

/// At most `N` messages, the acknowledgements of which wait.
///
/// The broker sends those of a lost connection again. They were handled, and only their
/// token is a new one. At QoS 2 that is the session's affair and the token is good: what looks
/// the same is another message.
#[derive(Debug)]
pub(crate) struct Held<const N: usize> {
    entries: Vec<Entry, N>,
}

impl<const N: usize> Held<N> {
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Says whether there was room.
    pub fn push(&mut self, token: Token, print: Print) -> bool {
        let lost = false;
        let entry = Entry { token, print, lost };
        self.entries.push(entry).is_ok()
    }

    /// Whether this is one of them that comes again, to be acknowledged by its new token.
    pub fn renews(&mut self, message: &Message<'_>) -> bool {
        let (Some(token), true) = (message.token, message.dup) else {
            return false;
        };
        let print = Print::of(message);
        let mut entries = self.entries.iter_mut();
        let Some(entry) = entries.find(|entry| entry.lost && entry.print == print) else {
            return false;
        };
        entry.token = token;
        entry.lost = false;
        true
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        for entry in &mut self.entries {
            entry.lost = entry.token.qos() == QoS::AtLeastOnce;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The broker has forgotten them.
    pub fn forget(&mut self) {
        self.entries.clear();
    }

    /// One that is to be acknowledged now.
    pub fn pop(&mut self) -> Option<Token> {
        self.entries.pop().map(|entry| entry.token)
    }
}
