//! The session against bytes that the test writes by hand, on virtual time.

use super::*;
use crate::wire::Fault;

/// A session, its clock, and what a driver would do.
struct Rig<'b> {
    session: Session<'b>,
    now: u64,
}

fn leak(size: usize) -> &'static mut [u8] {
    vec![0; size].leak()
}

fn options() -> Options<'static> {
    Options {
        versions: Versions::Only(Version::V5),
        ..Options::new("c")
    }
}

fn rig_with(options: Options<'static>) -> Rig<'static> {
    let buffers = Buffers::new(leak(256), leak(512), vec![Slot::EMPTY; 64].leak());
    let session = Session::new(options, buffers, 1, Instant::from_millis(0)).unwrap();
    Rig { session, now: 0 }
}

const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
const CONNACK_PRESENT: &[u8] = &[0x20, 3, 1, 0, 0];

/// An accepted session, version 5.
fn connected() -> Rig<'static> {
    let mut rig = rig_with(options());
    rig.connect(CONNACK);
    rig
}

impl Rig<'_> {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Everything that happened.
    fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.session.poll(Instant::from_millis(self.now)) {
            events.push(format!("{event:?}"));
        }
        events
    }

    /// Everything to be written, as a driver that can write all of it does.
    fn sent(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let now = self.now();
        while let Some(chunk) = self.session.transmit(now) {
            let len = chunk.len();
            bytes.extend_from_slice(chunk);
            self.session.transmitted(len, now);
        }
        bytes
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<String> {
        let space = self.session.receive_space();
        space[..bytes.len()].copy_from_slice(bytes);
        self.session.received(bytes.len());
        self.events()
    }

    /// Lets time pass until the next attempt, and answers its CONNECT.
    fn connect(&mut self, connack: &[u8]) -> Vec<String> {
        self.open();
        assert_eq!(self.sent()[0], 0x10);
        self.receive(connack)
    }

    /// Lets time pass until the session wants a connection, and opens it.
    fn open(&mut self) {
        self.events();
        while self.session.transport() == Transport::Closed {
            let deadline = self.session.deadline();
            assert_ne!(deadline, Instant::NEVER, "it would wait for ever");
            self.now = deadline.as_millis();
            self.events();
        }
        let now = self.now();
        self.session.opened(now);
    }

    /// The transport breaks.
    fn cut(&mut self) -> Vec<String> {
        let now = self.now();
        self.session.failed(Network::Reset, now);
        self.events()
    }

    fn publish(&mut self, topic: &str, qos: QoS) -> u32 {
        let now = self.now();
        self.session
            .publish(&Publication::new(topic, b"x").qos(qos), now)
            .unwrap()
            .id
            .0
    }

    /// Lets time pass, in steps that end at deadlines, answering nothing.
    /// Gives what was written with the time at which it was.
    fn wait(&mut self, ms: u64) -> Vec<(u64, Vec<u8>)> {
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

#[test]
fn a_publication_is_sent_and_acknowledged() {
    let mut rig = connected();
    let id = rig.publish("t", QoS::AtLeastOnce);
    assert_eq!(rig.sent(), [0x32, 7, 0, 1, b't', 0, 1, 0, b'x']);
    assert_eq!(rig.session.pending(), 1);
    let events = rig.receive(&[0x40, 2, 0, 1]);
    assert_eq!(
        events,
        [format!(
            "Delivered {{ id: PublicationId({id}), reason: ReasonCode(0x00 Success) }}"
        )]
    );
    assert_eq!(rig.session.pending(), 0);
}

#[test]
fn a_publication_at_qos_2_goes_through_all_four_packets() {
    let mut rig = connected();
    rig.publish("t", QoS::ExactlyOnce);
    assert_eq!(rig.sent(), [0x34, 7, 0, 1, b't', 0, 1, 0, b'x']);
    assert!(rig.receive(&[0x50, 2, 0, 1]).is_empty());
    assert_eq!(rig.sent(), [0x62, 2, 0, 1]);
    assert_eq!(rig.receive(&[0x70, 2, 0, 1]).len(), 1);
    assert_eq!(rig.session.pending(), 0);
}

#[test]
fn version_3_1_1_leaves_out_the_properties() {
    let mut rig = rig_with(Options {
        versions: Versions::Only(Version::V4),
        ..options()
    });
    rig.connect(&[0x20, 2, 0, 0]);
    rig.publish("t", QoS::AtLeastOnce);
    rig.session
        .subscribe("f", SubscribeOptions::default(), Some(7))
        .unwrap();
    assert_eq!(
        rig.sent(),
        [
            0x32, 6, 0, 1, b't', 0, 1, b'x', 0x82, 6, 0, 2, 0, 1, b'f', 0
        ]
    );
}
