//! The broker in memory that every client talks to, and the work that each does with it:
//! `publish N` publishes N messages of 32 bytes at QoS 1, each acknowledged before the next;
//! `receive N` receives N messages of 32 bytes at QoS 0.
//!
//! Running a program for N and for 2N times and taking the difference leaves what one message
//! costs, exactly, without start-up, connecting and subscribing.

#[cfg(any(feature = "minimq", feature = "rust-mqtt"))]
mod port;

use std::hint::black_box;

#[cfg(any(feature = "minimq", feature = "rust-mqtt"))]
pub use port::{Closed, Port, block_on};

/// The topic that is published to.
pub const TOPIC: &str = "testincr";

/// The topic that is subscribed.
pub const FILTER: &str = "output";

/// The payload of every message, either way.
pub const PAYLOAD: [u8; 32] = *b"t=24.1C, h=26.5%. seq=0000012345";

/// Bytes in the receive buffer, and bytes in the transmit buffer.
pub const BUFFER: usize = 1024;

/// What a program is asked to do, from its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Publish so many messages.
    Publish(u32),
    /// Receive so many messages.
    Receive(u32),
}

impl Work {
    /// Reads the command line; a wrong one ends the program.
    pub fn from_args() -> Self {
        let mut args = std::env::args().skip(1);
        let work = match (args.next().as_deref(), args.next().map(|n| n.parse())) {
            (Some("publish"), Some(Ok(times))) => Self::Publish(times),
            (Some("receive"), Some(Ok(times))) => Self::Receive(times),
            _ => {
                eprintln!("usage: publish N | receive N");
                std::process::exit(2);
            }
        };
        black_box(work)
    }
}

/// Uses up a received message, and checks that it is the one that was sent.
pub fn obey(topic: &[u8], payload: &[u8]) {
    assert!(black_box(topic).len() == FILTER.len());
    assert!(black_box(payload).len() == PAYLOAD.len());
}

/// A broker that answers what it is sent, one packet at a time.
#[derive(Debug)]
pub struct Broker {
    sent: [u8; BUFFER],
    sent_len: usize,
    answer: [u8; 64],
    answer_len: usize,
    given: usize,
    version_5: bool,
}

impl Default for Broker {
    fn default() -> Self {
        Self::new()
    }
}

impl Broker {
    /// A broker without a client yet.
    pub fn new() -> Self {
        Self {
            sent: [0; BUFFER],
            sent_len: 0,
            answer: [0; 64],
            answer_len: 0,
            given: 0,
            version_5: true,
        }
    }

    /// Takes bytes from the client.
    #[inline(never)]
    pub fn take(&mut self, bytes: &[u8]) {
        self.sent[self.sent_len..][..bytes.len()].copy_from_slice(bytes);
        self.sent_len += bytes.len();
    }

    /// Gives bytes to the client: the rest of the current packet, the answer to what the client
    /// has sent or, when nothing is left to say, the message it has subscribed to, once per call.
    #[inline(never)]
    pub fn give(&mut self, buffer: &mut [u8]) -> usize {
        if self.given == self.answer_len {
            self.given = 0;
            if self.sent_len > 0 {
                self.answer();
            } else {
                self.publish();
            }
        }
        let rest = &self.answer[self.given..self.answer_len];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        length
    }

    fn say(&mut self, bytes: &[u8]) {
        self.answer[..bytes.len()].copy_from_slice(bytes);
        self.answer_len = bytes.len();
    }

    fn answer(&mut self) {
        assert_eq!(
            usize::from(self.sent[1]) + 2,
            self.sent_len,
            "one short packet"
        );
        match self.sent[0] {
            0x10 => {
                self.version_5 = self.sent[8] == 5;
                if self.version_5 {
                    self.say(&[0x20, 3, 0, 0, 0]);
                } else {
                    self.say(&[0x20, 2, 0, 0]);
                }
            }
            0x32 => {
                let id = 4 + usize::from(self.sent[3]);
                self.say(&[0x40, 2, self.sent[id], self.sent[id + 1]]);
            }
            0x82 if self.version_5 => self.say(&[0x90, 4, self.sent[2], self.sent[3], 0, 0]),
            0x82 => self.say(&[0x90, 3, self.sent[2], self.sent[3], 0]),
            other => panic!("the client sent a packet of type {other:#x}"),
        }
        self.sent_len = 0;
    }

    fn publish(&mut self) {
        let properties = usize::from(self.version_5);
        let payload = 4 + FILTER.len() + properties;
        let length = payload + PAYLOAD.len();
        self.answer[..4].copy_from_slice(&[0x30, length as u8 - 2, 0, FILTER.len() as u8]);
        self.answer[4..][..FILTER.len()].copy_from_slice(FILTER.as_bytes());
        self.answer[payload - properties..payload].fill(0);
        self.answer[payload..length].copy_from_slice(&PAYLOAD);
        self.answer_len = length;
    }
}
