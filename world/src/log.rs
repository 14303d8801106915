//! What happened, for people, for the hash of a run, and for the one who looks at a violation.

use std::collections::VecDeque;
use std::fmt;

use aldis_mqtt::{Cause, Network};
use aldis_protocol::{Lamp, LampCommand, MessageState, SensorState};

use crate::fault::FaultKind;
use crate::invariant::{Invariant, Violation};

/// How many events are shown with a violation.
const SHOWN: usize = 30;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A fault began.
    FaultBegins(FaultKind),
    /// A fault ended.
    FaultEnds(FaultKind),
    /// The device started, for this reason, for the how many-th time.
    Boot(&'static str, u32),
    /// It has no power, or was reset.
    Off(&'static str),
    /// Its radio joined the network.
    Joined,
    /// It lost the network.
    Left,
    /// It has an address.
    Address(u32),
    /// It has none.
    NoAddress,
    /// The supervisor ordered something.
    Order(&'static str),
    /// It tries to connect: the how many-th attempt of this outage.
    Attempt(u32),
    /// The connection is open.
    Opened,
    /// CONNACK came; the broker still had the session.
    Connected(bool),
    /// There is no connection: why.
    Lost(Why),
    /// The broker's end was closed.
    Closed(&'static str),
    /// A reading got its number.
    Kept(u32),
    /// A reading went to the session, at this age in milliseconds.
    Published(u32, u32),
    /// A reading came to the broker.
    Arrived(u32),
    /// It came again.
    Again(u32),
    /// The device gave a reading up, and why.
    GivenUp(u32, &'static str),
    /// The connection may be quiet for so many milliseconds.
    Quiet(u32),
    /// The recorder has everything up to this reading.
    Confirmed(u32),
    /// A command was given to the broker; whether it holds it for the device.
    Command(LampCommand, bool),
    /// It was executed, and left the lamp so.
    Executed(LampCommand, Lamp),
    /// The sensor's state changed.
    Sensor(SensorState),
    /// Something of a message, which this number stands for.
    Letter(&'static str, u32),
    /// The broker was told this of a message.
    Report(MessageState, u32),
    /// Something of a command with an id, which this number stands for.
    Asked(&'static str, u32),
    /// The button was pressed, or let go.
    Button(bool),
    /// A message was not obeyed.
    Ignored(&'static str),
    /// Something was refused by the broker.
    Refused(u8),
    /// Bytes to and from the broker on one connection.
    Bytes(u32, u32),
    /// Everything that must hold in calm was looked at.
    Settled,
}

/// A number that stands for an id.
pub(crate) fn short(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Why there is no connection, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(pub &'static str);

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        Self(match cause {
            Cause::Network(Network::Down) => "no network",
            Cause::Network(Network::Dns) => "no name",
            Cause::Network(Network::ConnectionRefused) => "connection refused",
            Cause::Network(Network::Unreachable) => "unreachable",
            Cause::Network(Network::TimedOut) => "timed out",
            Cause::Network(Network::Tls) => "tls",
            Cause::Network(Network::Closed) => "closed",
            Cause::Network(Network::Reset) => "reset",
            Cause::ConnectTimeout => "no answer in time",
            Cause::Refused(_) => "refused by the broker",
            Cause::Disconnected(_) => "ended by the broker",
            Cause::TakenOver => "taken over",
            Cause::Silent => "silent",
            Cause::Stalled => "stalled",
            Cause::Protocol(_) => "protocol",
            Cause::Stopped => "stopped",
        })
    }
}

impl What {
    /// Two numbers that tell it from others.
    fn numbers(self) -> (u64, u64) {
        let text = |text: &str| {
            text.bytes().fold(0_u64, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(byte.into())
            })
        };
        match self {
            Self::FaultBegins(kind) => (1, kind.index() as u64),
            Self::FaultEnds(kind) => (2, kind.index() as u64),
            Self::Boot(why, boot) => (3, text(why) << 32 | u64::from(boot)),
            Self::Off(why) => (4, text(why)),
            Self::Joined => (5, 0),
            Self::Left => (6, 0),
            Self::Address(lease) => (7, lease.into()),
            Self::NoAddress => (8, 0),
            Self::Order(order) => (9, text(order)),
            Self::Attempt(count) => (10, count.into()),
            Self::Opened => (11, 0),
            Self::Connected(kept) => (12, kept.into()),
            Self::Lost(why) => (13, text(why.0)),
            Self::Closed(why) => (14, text(why)),
            Self::Kept(seq) => (15, seq.into()),
            Self::Published(seq, age) => (16, u64::from(seq) << 32 | u64::from(age)),
            Self::Arrived(seq) => (17, seq.into()),
            Self::Again(seq) => (18, seq.into()),
            Self::Confirmed(seq) => (19, seq.into()),
            Self::Command(word, held) => (20, (word as u64) << 1 | u64::from(held)),
            Self::Executed(word, lamp) => (21, (word as u64) << 8 | lamp as u64),
            Self::Sensor(state) => (22, state as u64),
            Self::Ignored(why) => (23, text(why)),
            Self::Refused(code) => (24, code.into()),
            Self::Bytes(up, down) => (25, u64::from(up) << 32 | u64::from(down)),
            Self::Settled => (26, 0),
            Self::GivenUp(seq, why) => (27, text(why) << 32 | u64::from(seq)),
            Self::Quiet(most_ms) => (28, most_ms.into()),
            Self::Letter(what, id) => (29, text(what) << 32 | u64::from(id)),
            Self::Report(state, id) => (30, (state as u64) << 32 | u64::from(id)),
            Self::Asked(what, id) => (31, text(what) << 32 | u64::from(id)),
            Self::Button(pressed) => (32, pressed.into()),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FaultBegins(kind) => write!(f, "fault begins: {kind}"),
            Self::FaultEnds(kind) => write!(f, "fault ends: {kind}"),
            Self::Boot(why, boot) => write!(f, "starts for the {boot}. time: {why}"),
            Self::Off(why) => write!(f, "is off: {why}"),
            Self::Joined => f.write_str("has joined the network"),
            Self::Left => f.write_str("has lost the network"),
            Self::Address(lease) => write!(f, "has address {lease}"),
            Self::NoAddress => f.write_str("has no address"),
            Self::Order(order) => write!(f, "supervisor: {order}"),
            Self::Attempt(count) => write!(f, "attempt {count}"),
            Self::Opened => f.write_str("the connection is open"),
            Self::Connected(true) => f.write_str("connected, the session is there"),
            Self::Connected(false) => f.write_str("connected, a new session"),
            Self::Lost(why) => write!(f, "not connected: {}", why.0),
            Self::Closed(why) => write!(f, "the broker's end is closed: {why}"),
            Self::Kept(seq) => write!(f, "reading {seq} is taken"),
            Self::Published(seq, age) => write!(f, "reading {seq} is published, {age} ms old"),
            Self::Arrived(seq) => write!(f, "reading {seq} is at the broker"),
            Self::Again(seq) => write!(f, "reading {seq} is at the broker once more"),
            Self::GivenUp(seq, why) => write!(f, "reading {seq} is given up: {why}"),
            Self::Quiet(most_ms) => write!(f, "may be quiet for {most_ms} ms"),
            Self::Confirmed(seq) => write!(f, "the recorder has all up to {seq}"),
            Self::Command(word, true) => write!(f, "command {word}"),
            Self::Command(word, false) => write!(f, "command {word}, which nobody holds"),
            Self::Executed(word, lamp) => write!(f, "{word} is executed, the lamp is {lamp}"),
            Self::Sensor(state) => write!(f, "the sensor is {state}"),
            Self::Letter(what, id) => write!(f, "message {id:08x} {what}"),
            Self::Report(state, id) => write!(f, "message {id:08x} is told as {state}"),
            Self::Asked(what, id) => write!(f, "command {id:08x} {what}"),
            Self::Button(true) => f.write_str("the button is pressed"),
            Self::Button(false) => f.write_str("the button is let go"),
            Self::Ignored(why) => write!(f, "ignored: {why}"),
            Self::Refused(code) => write!(f, "the broker refuses, 0x{code:02x}"),
            Self::Bytes(up, down) => write!(f, "{up} bytes went up and {down} down"),
            Self::Settled => f.write_str("calm: everything is accounted for"),
        }
    }
}

/// An event with its time and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in milliseconds of virtual time.
    pub at: u64,
    /// Which device; none: the broker, or all.
    pub device: Option<u32>,
    /// What happened.
    pub what: What,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>15} ", Stamp(self.at))?;
        match self.device {
            Some(device) => write!(f, "device {device}: ")?,
            None => f.write_str("broker: ")?,
        }
        self.what.fmt(f)
    }
}

/// A moment as days, hours, minutes and seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        let (s, min, h) = (ms / 1_000 % 60, ms / 60_000 % 60, ms / 3_600_000 % 24);
        let text = match ms / 86_400_000 {
            0 => format!("{h:02}:{min:02}:{s:02}.{:03}", ms % 1_000),
            days => format!("{days}d{h:02}:{min:02}:{s:02}.{:03}", ms % 1_000),
        };
        f.pad(&text)
    }
}

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Log {
    pub now: u64,
    last: VecDeque<Entry>,
    hash: u64,
    /// Everything since it was taken, where somebody wants that.
    pub kept: Option<Vec<Entry>>,
    pub violation: Option<Violation>,
}

impl Log {
    pub fn new(keep: bool) -> Self {
        Self {
            now: 0,
            last: VecDeque::with_capacity(SHOWN + 1),
            hash: 0,
            kept: keep.then(Vec::new),
            violation: None,
        }
    }

    #[inline]
    pub fn push(&mut self, device: Option<u32>, what: What) {
        let entry = Entry {
            at: self.now,
            device,
            what,
        };
        let (kind, detail) = what.numbers();
        let number = u64::from(device.map_or(0, |device| device + 1));
        for word in [self.now, number << 32 | kind, detail] {
            self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(entry);
        if let Some(kept) = &mut self.kept {
            kept.push(entry);
        }
    }

    /// The last events.
    pub fn last_events(&self) -> Vec<Entry> {
        self.last.iter().copied().collect()
    }

    /// A number that another run of the same plan has as well.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Something that must hold does not. The first one counts.
    #[cold]
    pub fn violate(&mut self, invariant: Invariant, device: Option<u32>, detail: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                invariant,
                at: self.now,
                device,
                detail,
                last: self.last_events(),
            });
        }
    }
}
