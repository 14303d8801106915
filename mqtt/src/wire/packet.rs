//! The fifteen control packets (chapter 3 of both specifications).

use core::num::NonZeroU16;

use super::{Fault, Properties, Reader, ReasonCode, Version};

/// A Packet Identifier: never zero (MQTT-2.2.1-3).
pub type PacketId = NonZeroU16;

/// How surely a message arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
    /// QoS 2.
    ExactlyOnce,
}

impl QoS {
    /// The two bits that stand for it; 3 is no QoS.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}

/// The QoS of a PUBLISH with what comes with it: at QoS 0 there is neither a
/// packet identifier nor a duplicate (MQTT-2.2.1-2, MQTT-3.3.1-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of section 3.3.1")]
pub enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce { packet_id: PacketId, dup: bool },
    /// QoS 2.
    ExactlyOnce { packet_id: PacketId, dup: bool },
}

impl Delivery {
    /// The QoS alone.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The packet identifier, except at QoS 0.
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { packet_id, .. } | Self::ExactlyOnce { packet_id, .. } => {
                Some(packet_id)
            }
        }
    }

    /// Whether this might be a repetition.
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }
}

/// What the broker publishes when the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Application message.
    pub payload: &'a [u8],
    /// QoS at which it is published.
    pub qos: QoS,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// Properties of MQTT 5, such as the will delay interval.
    pub properties: Properties<'a>,
}

/// CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Clean Start; in MQTT 3.1.1 Clean Session.
    pub clean_start: bool,
    /// Seconds; 0 turns the mechanism off.
    pub keep_alive: u16,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    /// Client Identifier; empty: the broker shall choose one.
    pub client_id: &'a str,
    /// Will Message.
    pub will: Option<Will<'a>>,
    /// User Name.
    pub username: Option<&'a str>,
    /// Password; in MQTT 3.1.1 only with a user name (MQTT-3.1.2-22).
    pub password: Option<&'a [u8]>,
}

/// CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the broker still had the session.
    pub session_present: bool,
    /// Success or why not.
    pub reason: ReasonCode,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
}

/// PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// QoS, packet identifier and DUP.
    pub delivery: Delivery,
    /// To be kept, or was kept, by the broker.
    pub retain: bool,
    /// Topic name; empty only with a topic alias.
    pub topic: &'a str,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    /// Application message.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP, which have the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The packet that is acknowledged.
    pub packet_id: PacketId,
    /// Success or why not; always success in MQTT 3.1.1.
    pub reason: ReasonCode,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
}

/// Which retained messages a subscription brings (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// All, each time one subscribes.
    #[default]
    Always,
    /// All, but only if the subscription is new.
    IfNew,
    /// None.
    Never,
}

/// How a subscription is served. All but the QoS exists in MQTT 5 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Maximum QoS of what is delivered.
    pub qos: QoS,
    /// Do not send what this client itself published.
    pub no_local: bool,
    /// Leave the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// Which retained messages to send.
    pub retain_handling: RetainHandling,
}

impl SubscribeOptions {
    pub(crate) const fn byte(self, version: Version) -> u8 {
        match version {
            Version::V4 => self.qos.bits(),
            Version::V5 => {
                self.qos.bits()
                    | (self.no_local as u8) << 2
                    | (self.retain_as_published as u8) << 3
                    | (self.retain_handling as u8) << 4
            }
        }
    }

    /// A shared subscription may not leave out what this client itself
    /// published (MQTT-3.8.3-4).
    pub(crate) fn allowed_for(self, filter: &str) -> bool {
        !(self.no_local && filter.starts_with("$share/"))
    }

    pub(super) fn from_byte(byte: u8, version: Version) -> Result<Self, Fault> {
        let reserved = match version {
            Version::V4 => 0xfc,
            Version::V5 => 0xc0,
        };
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(Fault::Protocol),
        };
        if byte & reserved != 0 {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            qos: QoS::from_bits(byte & 3).ok_or(Fault::Protocol)?,
            no_local: byte & 4 != 0,
            retain_as_published: byte & 8 != 0,
            retain_handling,
        })
    }
}

/// A topic filter and how it is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Topic filter, with or without wildcards.
    pub filter: &'a str,
    /// Subscription options.
    pub options: SubscribeOptions,
}

/// SUBSCRIBE.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    pub(super) filters: List<'a, Filter<'a>>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug)]
pub struct Unsubscribe<'a> {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    pub(super) filters: List<'a, &'a str>,
}

/// A list to be sent, or the bytes of one that was received and checked.
#[derive(Clone, Copy, Debug)]
pub(super) enum List<'a, T> {
    Valid(&'a [u8], Version),
    Given(&'a [T]),
}

impl<'a> Subscribe<'a> {
    /// A SUBSCRIBE for these filters, at least one (MQTT-3.8.3-2).
    pub const fn new(packet_id: PacketId, filters: &'a [Filter<'a>]) -> Self {
        Self {
            packet_id,
            properties: Properties::NONE,
            filters: List::Given(filters),
        }
    }

    /// The filters in their order.
    pub fn filters(&self) -> impl Iterator<Item = Filter<'a>> {
        let (mut reader, version, given): (_, _, &'a [Filter<'a>]) = match self.filters {
            List::Valid(bytes, version) => (Reader::new(bytes), version, &[]),
            List::Given(list) => (Reader::new(&[]), Version::V5, list),
        };
        let received = core::iter::from_fn(move || {
            let filter = reader.string().ok()?;
            let options = SubscribeOptions::from_byte(reader.byte().ok()?, version).ok()?;
            Some(Filter { filter, options })
        });
        received.chain(given.iter().copied())
    }
}

impl PartialEq for Subscribe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.packet_id == other.packet_id
            && self.properties == other.properties
            && self.filters().eq(other.filters())
    }
}

impl<'a> Unsubscribe<'a> {
    /// An UNSUBSCRIBE for these filters, at least one (MQTT-3.10.3-2).
    pub const fn new(packet_id: PacketId, filters: &'a [&'a str]) -> Self {
        Self {
            packet_id,
            properties: Properties::NONE,
            filters: List::Given(filters),
        }
    }

    /// The filters in their order.
    pub fn filters(&self) -> impl Iterator<Item = &'a str> {
        let (mut reader, given): (_, &'a [&'a str]) = match self.filters {
            List::Valid(bytes, _) => (Reader::new(bytes), &[]),
            List::Given(list) => (Reader::new(&[]), list),
        };
        let received = core::iter::from_fn(move || reader.string().ok());
        received.chain(given.iter().copied())
    }
}

impl PartialEq for Unsubscribe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.packet_id == other.packet_id
            && self.properties == other.properties
            && self.filters().eq(other.filters())
    }
}

/// SUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The SUBSCRIBE that is answered.
    pub packet_id: PacketId,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    /// A [`ReasonCode`] for each filter, in order.
    pub codes: &'a [u8],
}

/// UNSUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The UNSUBSCRIBE that is answered.
    pub packet_id: PacketId,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    /// A [`ReasonCode`] for each filter, in order; empty in MQTT 3.1.1.
    pub codes: &'a [u8],
}

/// DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; always success in MQTT 3.1.1.
    pub reason: ReasonCode,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
}

/// AUTH, which exists in MQTT 5 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue authentication or re-authenticate.
    pub reason: ReasonCode,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "each variant is documented where it is defined"
)]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

pub(crate) mod kind {
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const PINGRESP: u8 = 13;
    pub const DISCONNECT: u8 = 14;
    pub const AUTH: u8 = 15;
}
