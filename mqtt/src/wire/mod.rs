//! Packets to bytes and back.
//!
//! Everything is borrowed from the buffer it was read from, nothing allocates,
//! and what the specification forbids is either not representable or refused
//! with the [`Fault`] that names it. Both directions of all fifteen packet
//! types are here, for MQTT 3.1.1 and 5.
//!
//! One thing is tolerated: a reason code that a packet does not list is passed
//! on, since its highest bit tells success from failure. What is written is not
//! checked again: [`valid_topic`] and [`valid_filter`] are for texts that come
//! from elsewhere.

mod decode;
mod encode;
mod frame;
mod packet;
mod property;
mod read;
mod reason;
mod text;
mod topic;
mod write;

pub use frame::{Frame, MAX_REMAINING_LENGTH, frame};
pub use packet::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, Filter, Packet, PacketId, Publish, QoS,
    RetainHandling, SubAck, Subscribe, SubscribeOptions, UnsubAck, Unsubscribe, Will,
};
pub use property::{Properties, Property, PropertyIter};
pub use read::Reader;
pub use reason::ReasonCode;
pub use text::Text;
pub use topic::{valid_filter, valid_topic};
pub use write::{NoRoom, Writer};

pub(crate) use decode::{PublishLayout, acknowledgement, connack, tail};
pub(crate) use encode::{HEADER_ROOM, write_header};
pub(crate) use packet::kind;
pub(crate) use property::{Value, bit as property_bit, id, write as write_property};
pub(crate) use write::varint_len;

/// The version of the protocol, as CONNECT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V4,
    /// MQTT 5.
    V5,
}

impl Version {
    /// The protocol level byte of CONNECT.
    pub const fn level(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }
}

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes cannot be parsed according to the specification (0x81).
    Malformed,
    /// They parse, but say something that is not allowed here (0x82).
    Protocol,
    /// The packet is larger than it may be (0x95).
    TooLarge,
    /// A topic alias is zero, above the agreed maximum or unknown (0x94).
    TopicAlias,
    /// More messages in flight than the receive maximum allows (0x93).
    ReceiveMaximum,
    /// A topic name that is not one (0x90).
    TopicName,
    /// A quota of ours, such as the memory for topic aliases, is used up (0x97).
    Quota,
}

impl Fault {
    /// The reason code with which MQTT 5 ends a connection for this fault.
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::Malformed => ReasonCode::MALFORMED_PACKET,
            Self::Protocol => ReasonCode::PROTOCOL_ERROR,
            Self::TooLarge => ReasonCode::PACKET_TOO_LARGE,
            Self::TopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::ReceiveMaximum => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::TopicName => ReasonCode::TOPIC_NAME_INVALID,
            Self::Quota => ReasonCode::QUOTA_EXCEEDED,
        }
    }
}
