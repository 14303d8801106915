//! What happened, for tests to count.

use super::codec::{Properties, Qos};
use alloc::string::String;
use alloc::vec::Vec;

/// A publication that the broker accepted from a client.
///
/// A QoS 1 publication stands here as often as it arrived; a QoS 2 publication once, however
/// often its PUBLISH was repeated before PUBREL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// When, in milliseconds.
    pub at: u64,
    /// Who published it.
    pub client_id: String,
    /// Topic, with aliases resolved.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// Whether the client marked it as sent before.
    pub dup: bool,
    /// Packet identifier; 0 at QoS 0.
    pub packet_id: u16,
    /// Properties as they came, topic alias included.
    pub properties: Properties,
}

/// A publication that was not delivered to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Whom it was for.
    pub client_id: String,
    /// Its topic.
    pub topic: String,
    /// Why.
    pub reason: DropReason,
}

/// Why a publication was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// It was QoS 0 and the client was away.
    Offline,
    /// The client's queue was full.
    QueueFull,
    /// Its message expiry interval had passed.
    Expired,
    /// The packet would have been larger than the client takes.
    TooLarge,
    /// The client refused it with a reason code.
    Refused(u8),
}
