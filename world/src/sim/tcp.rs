//! A TCP connection through whatever lies between: bytes in order, late, in pieces, or not.

use std::collections::VecDeque;

use crate::broker::ConnId;

/// The first wait before bytes that did not come through are sent again, and the longest.
const FIRST_AGAIN_MS: u64 = 1_000;
const LONGEST_AGAIN_MS: u64 = 16_000;

/// One direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    bytes: Vec<u8>,
    head: usize,
    /// When pieces arrive, and how long they are.
    pieces: VecDeque<(u64, usize)>,
    last_at: u64,
    /// When the queue was told to look; 0: it was not.
    pub look_at: u64,
    again_ms: u64,
    /// The other side closes after these bytes.
    pub ends: bool,
    /// After so many bytes more, nothing comes through.
    pub stalls_after: Option<usize>,
}

impl Flow {
    /// Nothing, in memory that is there.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.head = 0;
        self.pieces.clear();
        self.last_at = 0;
        self.look_at = 0;
        self.again_ms = FIRST_AGAIN_MS;
        self.ends = false;
        self.stalls_after = None;
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes are sent, to arrive then, or after what is before them.
    pub fn send(&mut self, bytes: &[u8], at: u64) {
        self.bytes.extend_from_slice(bytes);
        self.last_at = self.last_at.max(at);
        self.pieces.push_back((self.last_at, bytes.len()));
    }

    /// When the next bytes arrive.
    pub fn next_at(&self) -> Option<u64> {
        self.pieces.front().map(|(at, _)| *at)
    }

    /// The bytes that have arrived, at most so many.
    pub fn arrived(&self, now: u64, most: usize) -> &[u8] {
        let mut len = 0;
        for (at, piece) in &self.pieces {
            if *at > now {
                break;
            }
            len += piece;
        }
        let most = most.min(self.stalls_after.unwrap_or(usize::MAX));
        &self.bytes[self.head..self.head + len.min(most)]
    }

    /// So many bytes were taken.
    pub fn take(&mut self, mut len: usize, now: u64, rest_at: u64) {
        self.head += len;
        self.again_ms = FIRST_AGAIN_MS;
        if let Some(left) = &mut self.stalls_after {
            *left -= len;
        }
        while let Some((at, piece)) = self.pieces.front_mut() {
            if *piece > len {
                *piece -= len;
                if *at <= now {
                    *at = rest_at;
                }
                break;
            }
            len -= *piece;
            self.pieces.pop_front();
        }
        if self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        } else if self.head > 65_536 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    /// What is due did not come through: it is sent again.
    pub fn again(&mut self, now: u64) {
        let at = now + self.again_ms;
        self.again_ms = (self.again_ms * 2).min(LONGEST_AGAIN_MS);
        if let Some((front, _)) = self.pieces.front_mut() {
            *front = at;
        }
        self.last_at = self.last_at.max(at);
    }

    /// All that is under way.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.head..]
    }
}

/// What happens to a packet of a connection whose other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It is answered by a reset.
    Resets,
    /// Nobody answers.
    Silent,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    /// The broker's end; none: not yet, or gone.
    pub conn: Option<ConnId>,
    pub gone: Gone,
    pub up: Flow,
    pub down: Flow,
    /// Bytes that came through, whose acknowledgement did not.
    pub owed: usize,
    /// Bytes that a broker that does not read was given.
    pub unread: usize,
    /// The broker's address and the device's.
    pub to: u32,
    pub from: u32,
    /// When something went through the routers, and how often they had restarted.
    pub used_at: u64,
    pub restarts: u32,
    pub counts: (u32, u32),
}

impl Tcp {
    pub fn new(from: u32, to: u32, now: u64, restarts: u32) -> Self {
        let mut flow = Flow::default();
        flow.clear();
        Self {
            conn: None,
            gone: Gone::Resets,
            up: flow.clone(),
            down: flow,
            owed: 0,
            unread: 0,
            to,
            from,
            used_at: now,
            restarts,
            counts: (0, 0),
        }
    }
}

/// What is left of a connection that the device has closed.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    pub conn: ConnId,
    pub bytes: Vec<u8>,
    pub tries: u32,
    pub at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that overtake others, or vanish where they are cut.
    #[test]
    fn bytes_come_in_order_however_they_are_cut() {
        let mut flow = Flow::default();
        flow.clear();
        flow.send(b"abcdef", 10);
        flow.send(b"ghi", 5);
        assert_eq!(flow.arrived(9, 99), b"");
        assert_eq!(flow.arrived(10, 4), b"abcd");
        flow.take(4, 10, 12);
        assert_eq!(flow.next_at(), Some(12));
        assert_eq!(flow.arrived(12, 99), b"efghi");
        flow.again(12);
        assert_eq!(flow.next_at(), Some(1_012));
        assert_eq!(flow.arrived(1_011, 99), b"");
        flow.stalls_after = Some(3);
        assert_eq!(flow.arrived(1_012, 99), b"efg");
        flow.take(3, 1_012, 1_013);
        assert_eq!(flow.arrived(9_999, 99), b"");
        assert_eq!(flow.rest(), b"hi");
    }
}
