//! One direction of a connection: what waits to go out, and when it may.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::peers::packet::{Packet, Packets};

/// How soon TCP sends again what was not acknowledged, at first. It doubles each time.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Something on its way.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    Bytes(Vec<u8>),
    End,
}

/// Whether anything goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Open,
    /// Not before the path is whole again.
    Held,
    /// From this moment on.
    OpenAt(Instant),
    /// Never again.
    Dead,
}

#[derive(Debug, Default)]
pub struct Line {
    pub gate: Gate,
    queue: VecDeque<(Instant, Item)>,
}

impl Line {
    /// Takes what came just now.
    pub fn push(&mut self, item: Item) {
        self.queue.push_back((Instant::now(), item));
    }

    /// What is next.
    pub fn pop(&mut self) -> Option<Item> {
        self.queue.pop_front().map(|(_, item)| item)
    }

    /// When the next one may go out, if that is known.
    pub fn due(&self, delay: Duration) -> Option<Instant> {
        let (came, _) = self.queue.front()?;
        match self.gate {
            Gate::Open => Some(*came + delay),
            Gate::OpenAt(from) => Some((*came + delay).max(from)),
            Gate::Held | Gate::Dead => None,
        }
    }

    /// The path is broken.
    pub fn hold(&mut self) {
        if self.gate != Gate::Dead {
            self.gate = Gate::Held;
        }
    }

    /// The path is whole again.
    pub fn release(&mut self, now: Instant) {
        if self.gate == Gate::Held {
            self.gate = match self.queue.front() {
                None => Gate::Open,
                Some((came, _)) => Gate::OpenAt(next_retransmission(*came, now)),
            };
        }
    }

    /// How many bytes wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        let size = |item: &Item| match item {
            Item::Bytes(bytes) => bytes.len(),
            Item::End => 0,
        };
        self.queue.iter().map(|(_, item)| size(item)).sum()
    }
}

/// When TCP sends again, after `now`, what it sent first at `first`.
fn next_retransmission(first: Instant, now: Instant) -> Instant {
    let (mut at, mut wait) = (first + RETRANSMISSION, RETRANSMISSION);
    while at < now {
        wait *= 2;
        at += wait;
    }
    at
}

/// Reads packets until the connection ends; gives what was left of the last one.
pub fn read(mut from: &TcpStream, mut arrived: impl FnMut(Packet)) -> Vec<u8> {
    let mut packets = Packets::default();
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => packets.push(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        while let Some(packet) = packets.next() {
            arrived(packet);
        }
    }
    packets.rest()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that was broken for half a minute is not found whole by TCP at once: a client that
    /// only waits would look better than it is.
    #[test]
    fn what_was_held_comes_when_tcp_would_send_it_again() {
        let start = Instant::now();
        let after = |ms: u64| {
            let again = next_retransmission(start, start + Duration::from_millis(ms));
            (again - start).as_millis()
        };
        assert_eq!(
            [0, 200, 201, 3_000, 30_000].map(after),
            [200, 200, 600, 3_000, 51_000]
        );
    }

    #[test]
    fn a_gate_decides_when_the_oldest_goes_out() {
        let mut line = Line::default();
        let delay = Duration::from_secs(4);
        assert_eq!(line.due(delay), None);
        line.push(Item::End);
        let came = line.queue[0].0;
        assert_eq!(line.due(delay), Some(came + delay));
        line.hold();
        assert_eq!(line.due(delay), None);
        line.release(came + Duration::from_millis(500));
        assert_eq!(
            line.due(Duration::ZERO),
            Some(came + Duration::from_millis(600))
        );
        // What has died stays dead.
        line.gate = Gate::Dead;
        line.hold();
        line.release(came);
        assert_eq!((line.due(delay), line.pop()), (None, Some(Item::End)));
    }
}
