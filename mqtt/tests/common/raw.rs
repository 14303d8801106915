//! The session against bytes that the test writes by hand.

use super::{Seen, at, leak};
use aldis_mqtt::{
    Buffers, Network, Options, Publication, PublicationId, QoS, ReasonCode, Session, Transport,
    Version,
};

pub const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
pub const CONNACK_PRESENT: &[u8] = &[0x20, 3, 1, 0, 0];
pub const CONNACK_V4: &[u8] = &[0x20, 2, 0, 0];
pub const CONNACK_V4_PRESENT: &[u8] = &[0x20, 2, 1, 0];

fn buffers() -> Buffers<'static> {
    let slots = vec![aldis_mqtt::Slot::EMPTY; 64].leak();
    Buffers::new(leak(256), leak(1024), slots)
}

/// How an attempt ends in vain.
#[derive(Clone, Copy, Debug)]
pub enum Vain {
    /// The connection could not be opened.
    Failed(Network),
    /// Nobody answers to the question for a connection.
    NotOpened,
    /// The network does not take CONNECT.
    NotWritten,
    /// Nobody answers to CONNECT.
    NotAnswered,
    /// The connection ends before CONNACK.
    Closed,
    /// CONNACK refuses.
    Refused(ReasonCode),
    /// What comes is no CONNACK.
    Nonsense,
}

/// A session, its clock, and what a driver would do.
pub struct Raw {
    pub session: Session<'static>,
    pub now: u64,
    /// What was seen while the test waited.
    pub seen: Vec<(u64, Seen)>,
}

impl Raw {
    pub fn with_buffers(options: Options<'static>, buffers: Buffers<'static>) -> Self {
        Self {
            session: Session::new(options, buffers, 1, at(0)).unwrap(),
            now: 0,
            seen: Vec::new(),
        }
    }

    /// One that begins at another moment, with jitter of its own.
    pub fn seeded(options: Options<'static>, seed: u64, now: u64) -> Self {
        Self {
            session: Session::new(options, buffers(), seed, at(now)).unwrap(),
            now,
            seen: Vec::new(),
        }
    }

    pub fn new(options: Options<'static>) -> Self {
        Self::with_buffers(options, buffers())
    }

    /// An accepted session.
    pub fn connected(version: Version) -> Self {
        let mut raw = Self::new(super::options(version));
        raw.connect(match version {
            Version::V4 => CONNACK_V4,
            Version::V5 => CONNACK,
        });
        raw
    }

    /// Everything that happened.
    pub fn events(&mut self) -> Vec<Seen> {
        let mut events = Vec::new();
        while let Some(event) = self.session.poll(at(self.now)) {
            events.push(Seen::from(event));
        }
        let now = self.now;
        self.seen
            .extend(events.iter().map(|event| (now, event.clone())));
        events
    }

    /// Everything to be written, as a driver that can write all of it does.
    pub fn sent(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.session.transmit(at(self.now)) {
            let len = chunk.len();
            bytes.extend_from_slice(chunk);
            self.session.transmitted(len, at(self.now));
        }
        bytes
    }

    /// Bytes come, and are looked at.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Seen> {
        self.arrive(bytes);
        self.events()
    }

    /// Bytes come.
    pub fn arrive(&mut self, bytes: &[u8]) {
        let space = self.session.receive_space();
        space[..bytes.len()].copy_from_slice(bytes);
        self.session.received(bytes.len());
    }

    /// Bytes come, piece by piece as the session takes them, and its answers go out.
    pub fn converse(&mut self, mut bytes: &[u8]) -> (Vec<Seen>, Vec<u8>) {
        let (mut events, mut answers) = (Vec::new(), Vec::new());
        while !bytes.is_empty() {
            let space = self.session.receive_space();
            let len = space.len().min(bytes.len());
            assert!(len > 0, "the session takes no bytes");
            let (now, later) = bytes.split_at(len);
            space[..len].copy_from_slice(now);
            self.session.received(len);
            bytes = later;
            loop {
                let happened = self.events();
                let written = self.sent();
                if happened.is_empty() && written.is_empty() {
                    break;
                }
                events.extend(happened);
                answers.extend(written);
            }
        }
        (events, answers)
    }

    /// Lets time pass until the next attempt, and answers its CONNECT, which it gives.
    pub fn connect(&mut self, connack: &[u8]) -> Vec<u8> {
        self.open();
        let connect = self.sent();
        assert_eq!(connect.first(), Some(&0x10));
        self.receive(connack);
        connect
    }

    /// Lets time pass until the session wants a connection, and opens it.
    pub fn open(&mut self) {
        self.wanted();
        self.session.opened(at(self.now));
    }

    /// Lets time pass until the session wants a connection.
    pub fn wanted(&mut self) {
        self.events();
        while self.session.transport() == Transport::Closed {
            let deadline = self.session.deadline().as_millis();
            assert_ne!(deadline, u64::MAX, "it would wait for ever");
            self.now = self.now.max(deadline);
            self.events();
        }
    }

    /// One attempt in vain. Gives how long it took, and how long the next one is waited for.
    pub fn fail(&mut self, vain: Vain) -> (u64, u64) {
        self.wanted();
        let attempt = self.session.transport();
        let start = self.now;
        match vain {
            Vain::Failed(network) => self.session.failed(network, at(self.now)),
            Vain::NotOpened => {}
            Vain::NotWritten => {
                self.session.opened(at(self.now));
                assert!(self.session.transmit(at(self.now)).is_some());
            }
            _ => {
                self.session.opened(at(self.now));
                assert_eq!(self.sent().first(), Some(&0x10));
            }
        }
        match vain {
            Vain::Closed => self.session.failed(Network::Closed, at(self.now)),
            Vain::Refused(reason) => self.arrive(&[0x20, 3, 0, reason.0, 0]),
            Vain::Nonsense => self.arrive(&[0x20, 3, 2, 0, 0]),
            _ => {}
        }
        self.events();
        // The next one may follow at once.
        while self.session.transport() == attempt {
            let deadline = self.session.deadline().as_millis();
            assert!(deadline > self.now, "a driver would spin");
            self.now = deadline;
            self.events();
        }
        let lost = self.now;
        self.wanted();
        (lost - start, self.now - lost)
    }

    /// The transport breaks.
    pub fn cut(&mut self) -> Vec<Seen> {
        self.session.failed(Network::Reset, at(self.now));
        self.events()
    }

    pub fn publish(&mut self, topic: &str, qos: QoS) -> PublicationId {
        self.session
            .publish(&Publication::new(topic, b"x").qos(qos), at(self.now))
            .unwrap()
            .id
    }

    /// Lets time pass, in steps that end at deadlines, answering nothing.
    /// Gives what was written with the time at which it was.
    pub fn wait(&mut self, ms: u64) -> Vec<(u64, Vec<u8>)> {
        let end = self.now + ms;
        let mut written = Vec::new();
        loop {
            self.events();
            let bytes = self.sent();
            if !bytes.is_empty() {
                written.push((self.now, bytes));
            }
            let next = self.session.deadline().as_millis();
            if next > end {
                self.now = end;
                return written;
            }
            self.now = next.max(self.now);
        }
    }
}
