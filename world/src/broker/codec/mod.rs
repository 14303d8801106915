//! MQTT packets to bytes and back, for both protocol versions and both directions.
//!
//! Written for the broker model alone and independent of the client's own codec, so that a test
//! that joins the two finds a mistake of either.

mod decode;
mod encode;
mod properties;

pub(super) use decode::connect_level;
pub use decode::{Frame, frame};
pub use properties::Properties;

use alloc::string::String;
use alloc::vec::Vec;

/// A protocol version that the model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V4,
    /// MQTT 5.0, protocol level 5.
    V5,
}

/// Quality of service of a publication or of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
    /// QoS 2.
    ExactlyOnce,
}

impl Qos {
    /// The level of a number; `None` above 2.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Reason codes of MQTT 5 that the model sends or asks about.
pub mod reason {
    /// Success, normal disconnection, granted QoS 0.
    pub const SUCCESS: u8 = 0x00;
    /// The client leaves and wants its will published.
    pub const DISCONNECT_WITH_WILL: u8 = 0x04;
    /// Accepted, but nobody has subscribed.
    pub const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
    /// There was no such subscription.
    pub const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
    /// An error without a code of its own.
    pub const UNSPECIFIED: u8 = 0x80;
    /// Bytes that are no packet.
    pub const MALFORMED_PACKET: u8 = 0x81;
    /// A packet that is not allowed here.
    pub const PROTOCOL_ERROR: u8 = 0x82;
    /// The version of the protocol is not supported.
    pub const UNSUPPORTED_VERSION: u8 = 0x84;
    /// The client identifier is not accepted.
    pub const CLIENT_ID_NOT_VALID: u8 = 0x85;
    /// Wrong user name or password.
    pub const BAD_CREDENTIALS: u8 = 0x86;
    /// Not allowed.
    pub const NOT_AUTHORIZED: u8 = 0x87;
    /// The server is there but cannot serve.
    pub const SERVER_UNAVAILABLE: u8 = 0x88;
    /// The authentication method is not supported.
    pub const BAD_AUTHENTICATION_METHOD: u8 = 0x8C;
    /// Nothing was heard for one and a half times the keep-alive.
    pub const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
    /// Another connection uses the same client identifier.
    pub const SESSION_TAKEN_OVER: u8 = 0x8E;
    /// The server shuts down.
    pub const SERVER_SHUTTING_DOWN: u8 = 0x8B;
    /// The packet identifier is not known.
    pub const PACKET_ID_NOT_FOUND: u8 = 0x92;
    /// More unacknowledged publications than allowed.
    pub const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
    /// A topic alias of 0 or above the maximum.
    pub const TOPIC_ALIAS_INVALID: u8 = 0x94;
    /// The packet is larger than allowed.
    pub const PACKET_TOO_LARGE: u8 = 0x95;
    /// Retained messages are not supported.
    pub const RETAIN_NOT_SUPPORTED: u8 = 0x9A;
    /// The QoS is not supported.
    pub const QOS_NOT_SUPPORTED: u8 = 0x9B;
    /// Shared subscriptions are not supported.
    pub const SHARED_NOT_SUPPORTED: u8 = 0x9E;
    /// Subscription identifiers are not supported.
    pub const SUBSCRIPTION_IDS_NOT_SUPPORTED: u8 = 0xA1;
    /// Wildcard subscriptions are not supported.
    pub const WILDCARDS_NOT_SUPPORTED: u8 = 0xA2;
}

/// What is wrong with received bytes or with a packet: the reason code of MQTT 5 and a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The reason code for the CONNACK or DISCONNECT that answers it.
    pub code: u8,
    /// What is wrong.
    pub text: &'static str,
}

impl Violation {
    pub(super) const fn malformed(text: &'static str) -> Self {
        Self::new(reason::MALFORMED_PACKET, text)
    }

    pub(super) const fn protocol(text: &'static str) -> Self {
        Self::new(reason::PROTOCOL_ERROR, text)
    }

    pub(super) const fn new(code: u8, text: &'static str) -> Self {
        Self { code, text }
    }
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} (reason code 0x{:02X})", self.text, self.code)
    }
}

impl core::error::Error for Violation {}

/// The kinds of packet, by their number in the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PacketType {
    /// A client asks for a connection.
    Connect = 1,
    /// The answer to CONNECT.
    ConnAck = 2,
    /// A publication.
    Publish = 3,
    /// The answer to a QoS 1 publication.
    PubAck = 4,
    /// The first answer to a QoS 2 publication.
    PubRec = 5,
    /// The release of a QoS 2 publication.
    PubRel = 6,
    /// The end of a QoS 2 publication.
    PubComp = 7,
    /// Asks for subscriptions.
    Subscribe = 8,
    /// The answer to SUBSCRIBE.
    SubAck = 9,
    /// Ends subscriptions.
    Unsubscribe = 10,
    /// The answer to UNSUBSCRIBE.
    UnsubAck = 11,
    /// Asks for a sign of life.
    PingReq = 12,
    /// The sign of life.
    PingResp = 13,
    /// The last packet of a connection.
    Disconnect = 14,
    /// Enhanced authentication (MQTT 5).
    Auth = 15,
}

impl PacketType {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }
}

/// Any packet of either version. Properties stay empty in MQTT 3.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "packets live shortly, and patterns read better without boxes"
)]
pub enum Packet {
    /// A client asks for a connection.
    Connect(Connect),
    /// The answer to CONNECT.
    ConnAck(ConnAck),
    /// A publication.
    Publish(Publish),
    /// The answer to a QoS 1 publication.
    PubAck(Ack),
    /// The first answer to a QoS 2 publication.
    PubRec(Ack),
    /// The release of a QoS 2 publication.
    PubRel(Ack),
    /// The end of a QoS 2 publication.
    PubComp(Ack),
    /// Asks for subscriptions.
    Subscribe(Subscribe),
    /// The answer to SUBSCRIBE.
    SubAck(SubAck),
    /// Ends subscriptions.
    Unsubscribe(Unsubscribe),
    /// The answer to UNSUBSCRIBE; without codes in MQTT 3.1.1.
    UnsubAck(SubAck),
    /// Asks for a sign of life.
    PingReq,
    /// The sign of life.
    PingResp,
    /// The last packet of a connection; code 0 in MQTT 3.1.1.
    Disconnect(Reason),
    /// Enhanced authentication (MQTT 5).
    Auth(Reason),
}

impl Packet {
    /// The kind of the packet.
    pub fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// The properties, where the packet has any.
    pub fn properties_mut(&mut self) -> Option<&mut Properties> {
        match self {
            Self::Connect(p) => Some(&mut p.properties),
            Self::ConnAck(p) => Some(&mut p.properties),
            Self::Publish(p) => Some(&mut p.properties),
            Self::PubAck(p) | Self::PubRec(p) | Self::PubRel(p) | Self::PubComp(p) => {
                Some(&mut p.properties)
            }
            Self::Subscribe(p) => Some(&mut p.properties),
            Self::SubAck(p) | Self::UnsubAck(p) => Some(&mut p.properties),
            Self::Unsubscribe(p) => Some(&mut p.properties),
            Self::Disconnect(p) | Self::Auth(p) => Some(&mut p.properties),
            Self::PingReq | Self::PingResp => None,
        }
    }
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version that the client wants to speak.
    pub version: Version,
    /// Clean Start, called Clean Session in MQTT 3.1.1.
    pub clean_start: bool,
    /// Keep-alive in seconds; 0 is off.
    pub keep_alive: u16,
    /// Client identifier; empty to have one assigned.
    pub client_id: String,
    /// What to publish when the connection is lost.
    pub will: Option<Will>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// Properties of MQTT 5.
    pub properties: Properties,
}

impl Connect {
    /// A CONNECT with clean start and nothing else asked for.
    pub fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 0,
            client_id: client_id.into(),
            will: None,
            username: None,
            password: None,
            properties: Properties::default(),
        }
    }
}

/// The will in a CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Will {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Properties of MQTT 5, will delay included.
    pub properties: Properties,
}

/// CONNACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the broker still had the session.
    pub session_present: bool,
    /// Return code of 3.1.1 or reason code of 5.
    pub code: u8,
    /// Properties of MQTT 5.
    pub properties: Properties,
}

/// PUBLISH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Whether it was sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
    /// Topic; may be empty where a topic alias stands for it.
    pub topic: String,
    /// Packet identifier; 0 at QoS 0.
    pub packet_id: u16,
    /// Properties of MQTT 5.
    pub properties: Properties,
    /// Payload.
    pub payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Packet identifier.
    pub packet_id: u16,
    /// Reason code of MQTT 5, else 0.
    pub code: u8,
    /// Properties of MQTT 5.
    pub properties: Properties,
}

impl Ack {
    /// An acknowledgement without properties.
    pub fn new(packet_id: u16, code: u8) -> Self {
        Self {
            packet_id,
            code,
            properties: Properties::default(),
        }
    }
}

/// SUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// Packet identifier.
    pub packet_id: u16,
    /// Properties of MQTT 5.
    pub properties: Properties,
    /// What is subscribed.
    pub filters: Vec<SubscribeFilter>,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// Topic filter, `$share/` prefix included.
    pub filter: String,
    /// The highest quality of service to deliver at.
    pub qos: Qos,
    /// Do not deliver the client's own publications.
    pub no_local: bool,
    /// Deliver the retain flag as it was published.
    pub retain_as_published: bool,
    /// 0: send retained messages, 1: only for a new subscription, 2: never.
    pub retain_handling: u8,
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubAck {
    /// Packet identifier.
    pub packet_id: u16,
    /// Properties of MQTT 5.
    pub properties: Properties,
    /// One code for each filter.
    pub codes: Vec<u8>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub packet_id: u16,
    /// Properties of MQTT 5.
    pub properties: Properties,
    /// The filters to end.
    pub filters: Vec<String>,
}

/// DISCONNECT or AUTH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// Reason code.
    pub code: u8,
    /// Properties of MQTT 5.
    pub properties: Properties,
}
