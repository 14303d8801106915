//! A session and a broker with a pipe between them, on virtual time.

pub mod path;
pub mod raw;
mod rig;

pub use rig::{Booked, Chunks, Cut, End, Rig, Setup};

use aldis_mqtt::{
    Cause, Dropped, Event, Instant, Options, PublicationId, QoS, ReasonCode, Token, Version,
    Versions,
};

/// An event that outlives the session's buffers.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Connected {
        session_present: bool,
        version: Version,
    },
    Disconnected(Cause),
    Message(Received),
    Delivered(PublicationId, ReasonCode),
    Dropped(PublicationId, Dropped),
    Subscribed(String, Result<QoS, ReasonCode>),
    Unsubscribed(String),
    Oversized(String, usize),
}

/// A message that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    /// As the `Debug` form of each.
    pub properties: Vec<String>,
    pub token: Option<Token>,
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Connected {
                session_present,
                version,
                ..
            } => Self::Connected {
                session_present,
                version,
            },
            Event::Disconnected { cause, .. } => Self::Disconnected(cause),
            Event::Message(message) => Self::Message(Received {
                topic: message.topic.to_string(),
                payload: message.payload.into(),
                qos: message.qos,
                retain: message.retain,
                dup: message.dup,
                properties: message
                    .properties
                    .iter()
                    .map(|property| format!("{property:?}"))
                    .collect(),
                token: message.token,
            }),
            Event::Delivered { id, reason } => Self::Delivered(id, reason),
            Event::Dropped { id, reason } => Self::Dropped(id, reason),
            Event::Subscribed { filter, result } => Self::Subscribed(filter.to_string(), result),
            Event::Unsubscribed { filter } => Self::Unsubscribed(filter.to_string()),
            Event::Oversized { topic, size } => Self::Oversized(topic.to_string(), size),
        }
    }
}

/// Memory for a session that may outlive the test.
pub fn leak(size: usize) -> &'static mut [u8] {
    vec![0; size].leak()
}

/// Options for one version.
pub fn options(version: Version) -> Options<'static> {
    Options {
        versions: Versions::Only(version),
        ..Options::new("client")
    }
}

/// The keep-alive of these options.
pub fn keep_alive_ms(options: &Options<'_>) -> u64 {
    u64::from(options.keep_alive_s) * 1_000
}

/// How long an answer is waited for where all that came so far came at once.
pub fn patience_ms(options: &Options<'_>) -> u64 {
    u64::from(options.timeouts.answer_ms).min(keep_alive_ms(options) / 2)
}

/// How long after its last answer a broker is taken for dead that is asked by PINGREQ alone.
pub fn silent_ms(options: &Options<'_>) -> u64 {
    keep_alive_ms(options) + patience_ms(options)
}

/// How long after its last answer a broker is given up, whatever the traffic and the network.
pub fn given_up_ms(options: &Options<'_>) -> u64 {
    keep_alive_ms(options) * 3 / 2
}

/// A moment of virtual time.
pub fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// SplitMix64: repeatable chance.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
