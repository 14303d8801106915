//! The fifteen control packets (chapter 3 of both specifications).

use core::num::NonZeroU16;

use super::frame::{Frame, frame};
use super::write::{NoRoom, Writer, varint_len};
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

    fn from_byte(byte: u8, version: Version) -> Result<Self, Fault> {
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
    filters: List<'a, Filter<'a>>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug)]
pub struct Unsubscribe<'a> {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Properties of MQTT 5.
    pub properties: Properties<'a>,
    filters: List<'a, &'a str>,
}

/// A list to be sent, or the bytes of one that was received and checked.
#[derive(Clone, Copy, Debug)]
enum List<'a, T> {
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

fn properties<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    kind: u8,
) -> Result<Properties<'a>, Fault> {
    match version {
        Version::V4 => Ok(Properties::NONE),
        Version::V5 => Properties::take(reader, kind),
    }
}

fn packet_id(reader: &mut Reader<'_>) -> Result<PacketId, Fault> {
    PacketId::new(reader.u16()?).ok_or(Fault::Protocol)
}

/// Whether `topic` may be published to: not empty, no wildcards (MQTT-3.3.2-2),
/// no NUL, and short enough to be sent.
pub fn valid_topic(topic: &str) -> bool {
    valid_topic_bytes(topic.as_bytes())
}

pub(crate) fn valid_topic_bytes(topic: &[u8]) -> bool {
    !topic.is_empty()
        && topic.len() <= usize::from(u16::MAX)
        && !topic.iter().any(|&byte| is_forbidden(byte))
}

/// Whether a byte has no place in a topic name.
const fn is_forbidden(byte: u8) -> bool {
    // One comparison for almost all of them.
    byte <= b'+' && matches!(byte, b'#' | b'+' | 0)
}

/// Whether `filter` may be subscribed to: wildcards stand for whole levels, and
/// `#` comes last (MQTT-4.7.1-1, MQTT-4.7.1-2); a shared subscription has a
/// name and a filter (MQTT-4.8.2-1, MQTT-4.8.2-2).
pub fn valid_filter(filter: &str) -> bool {
    let mut bytes = filter.as_bytes();
    if let Some(shared) = bytes.strip_prefix(b"$share/") {
        let Some(at) = shared.iter().position(|&byte| byte == b'/') else {
            return false;
        };
        let Some((name, rest)) = shared.split_at_checked(at) else {
            return false;
        };
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b'#' | b'+' | 0)) {
            return false;
        }
        bytes = rest.get(1..).unwrap_or(&[]);
    }
    if bytes.is_empty() || filter.len() > usize::from(u16::MAX) {
        return false;
    }
    let mut before = b'/';
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let next = after.first().copied();
        let ok = match byte {
            0 => false,
            b'#' => before == b'/' && next.is_none(),
            b'+' => before == b'/' && matches!(next, None | Some(b'/')),
            _ => true,
        };
        if !ok {
            return false;
        }
        before = byte;
        rest = after;
    }
    true
}

/// Where the parts of a PUBLISH are, in its body, once it was found valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishLayout {
    /// Bytes of the topic name, which begins behind its length.
    pub topic: usize,
    pub packet_id: Option<PacketId>,
    /// Where the properties begin; the payload follows them.
    pub properties: usize,
    pub payload: usize,
    pub alias: Option<u16>,
}

impl PublishLayout {
    /// Looks through the body of a PUBLISH with the flags of its first byte.
    pub fn scan(flags: u8, body: &[u8], version: Version) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let topic = reader.binary()?;
        let mut seen = 0;
        for &byte in topic {
            if is_forbidden(byte) {
                return Err(if byte == 0 {
                    Fault::Malformed
                } else {
                    Fault::TopicName
                });
            }
            seen |= byte;
        }
        // What is not plain ASCII is looked at once more.
        if seen >= 0x80 && super::read::text(topic).is_none() {
            return Err(Fault::Malformed);
        }
        let packet_id = match flags & 0x0e {
            0 => None,
            2 | 4 | 10 | 12 => Some(packet_id(&mut reader)?),
            // QoS 3, or DUP at QoS 0.
            _ => return Err(Fault::Malformed),
        };
        let block = match version {
            Version::V4 => &[],
            Version::V5 => reader.block()?,
        };
        let mut alias = None;
        if !block.is_empty() {
            Properties::check(block, kind::PUBLISH)?;
            alias = Properties::checked(block).topic_alias();
        }
        if topic.is_empty() && alias.is_none() {
            return Err(Fault::Protocol);
        }
        let payload = body.len() - reader.rest().len();
        Ok(Self {
            topic: topic.len(),
            packet_id,
            properties: payload - block.len(),
            payload,
            alias,
        })
    }

    /// The properties in the body that was looked through.
    pub fn properties_in<'a>(&self, body: &'a [u8]) -> Properties<'a> {
        Properties::checked(body.get(self.properties..self.payload).unwrap_or(&[]))
    }
}

impl<'a> Publish<'a> {
    /// Reads the body of a PUBLISH with the flags of its first byte.
    pub(crate) fn decode(flags: u8, body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let layout = PublishLayout::scan(flags, body, version)?;
        let dup = flags & 8 != 0;
        let delivery = match layout.packet_id {
            None => Delivery::AtMostOnce,
            Some(packet_id) if flags & 2 != 0 => Delivery::AtLeastOnce { packet_id, dup },
            Some(packet_id) => Delivery::ExactlyOnce { packet_id, dup },
        };
        Ok(Self {
            delivery,
            retain: flags & 1 != 0,
            topic: Reader::new(body).string()?,
            properties: layout.properties_in(body),
            payload: body.get(layout.payload..).unwrap_or(&[]),
        })
    }
}

impl<'a> Ack<'a> {
    pub(crate) fn decode(kind: u8, body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let packet_id = packet_id(&mut reader)?;
        let (reason, properties) = tail(&mut reader, version, kind)?;
        Ok(Self {
            packet_id,
            reason,
            properties,
        })
    }
}

impl<'a> Disconnect<'a> {
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let (reason, properties) = tail(&mut Reader::new(body), version, kind::DISCONNECT)?;
        Ok(Self { reason, properties })
    }
}

/// Reason code and properties, both of which may be left out at the end of
/// acknowledgements, DISCONNECT and AUTH.
fn tail<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    kind: u8,
) -> Result<(ReasonCode, Properties<'a>), Fault> {
    if reader.is_empty() {
        return Ok((ReasonCode::SUCCESS, Properties::NONE));
    }
    if version == Version::V4 {
        return Err(Fault::Malformed);
    }
    let reason = ReasonCode(reader.byte()?);
    let properties = if reader.is_empty() {
        Properties::NONE
    } else {
        Properties::take(reader, kind)?
    };
    if reader.is_empty() {
        Ok((reason, properties))
    } else {
        Err(Fault::Malformed)
    }
}

impl<'a> ConnAck<'a> {
    /// Reads the body of a CONNACK. A broker that does not speak the version
    /// asked for answers in its own, so the shape decides, not `version`.
    pub(crate) fn decode(body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let flags = reader.byte()?;
        let code = reader.byte()?;
        if flags > 1 {
            return Err(Fault::Malformed);
        }
        let (reason, properties) = match version {
            _ if reader.is_empty() => {
                // Success in the shape of another version is no success.
                if version == Version::V5 && code == 0 {
                    return Err(Fault::Malformed);
                }
                (ReasonCode::from_connect_return_code(code), Properties::NONE)
            }
            Version::V5 => (
                ReasonCode(code),
                Properties::take(&mut reader, kind::CONNACK)?,
            ),
            Version::V4 if code >= 0x80 => (
                ReasonCode(code),
                Properties::take(&mut reader, kind::CONNACK)?,
            ),
            Version::V4 => return Err(Fault::Malformed),
        };
        if !reader.is_empty() || (flags == 1 && reason != ReasonCode::SUCCESS) {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            session_present: flags == 1,
            reason,
            properties,
        })
    }
}

impl<'a> Will<'a> {
    fn decode(reader: &mut Reader<'a>, flags: u8, version: Version) -> Result<Self, Fault> {
        let properties = properties(reader, version, 0)?;
        let topic = reader.string()?;
        if !valid_topic(topic) {
            return Err(Fault::TopicName);
        }
        Ok(Self {
            qos: QoS::from_bits(flags >> 3 & 3).ok_or(Fault::Malformed)?,
            retain: flags & 0x20 != 0,
            properties,
            topic,
            payload: reader.binary()?,
        })
    }
}

impl<'a> Connect<'a> {
    fn decode(body: &'a [u8]) -> Result<(Self, Version), Fault> {
        let mut reader = Reader::new(body);
        if reader.binary()? != b"MQTT" {
            return Err(Fault::Malformed);
        }
        let version = match reader.byte()? {
            4 => Version::V4,
            5 => Version::V5,
            _ => return Err(Fault::Protocol),
        };
        let flags = reader.byte()?;
        let keep_alive = reader.u16()?;
        let properties = properties(&mut reader, version, kind::CONNECT)?;
        let client_id = reader.string()?;
        let will = match flags & 4 {
            0 if flags & 0x38 != 0 => return Err(Fault::Malformed),
            0 => None,
            _ => Some(Will::decode(&mut reader, flags, version)?),
        };
        let username = match flags & 0x80 {
            0 => None,
            _ => Some(reader.string()?),
        };
        let password = match flags & 0x40 {
            0 => None,
            _ => Some(reader.binary()?),
        };
        let lonely = version == Version::V4 && password.is_some() && username.is_none();
        if flags & 1 != 0 || lonely || !reader.is_empty() {
            return Err(Fault::Malformed);
        }
        let clean_start = flags & 2 != 0;
        Ok((
            Self {
                clean_start,
                keep_alive,
                properties,
                client_id,
                will,
                username,
                password,
            },
            version,
        ))
    }

    /// Appends the body of the packet.
    pub(crate) fn write(&self, version: Version, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        let mut flags = u8::from(self.clean_start) << 1;
        if let Some(will) = &self.will {
            flags |= 4 | will.qos.bits() << 3 | u8::from(will.retain) << 5;
        }
        flags |= u8::from(self.password.is_some()) << 6;
        flags |= u8::from(self.username.is_some()) << 7;
        w.string("MQTT")?;
        w.bytes(&[version.level(), flags])?;
        w.u16(self.keep_alive)?;
        properties_to(w, version, &self.properties)?;
        w.string(self.client_id)?;
        if let Some(will) = &self.will {
            properties_to(w, version, &will.properties)?;
            w.string(will.topic)?;
            w.binary(will.payload)?;
        }
        if let Some(username) = self.username {
            w.string(username)?;
        }
        if let Some(password) = self.password {
            w.binary(password)?;
        }
        Ok(())
    }
}

fn properties_to(
    w: &mut Writer<'_>,
    version: Version,
    properties: &Properties<'_>,
) -> Result<(), NoRoom> {
    match version {
        Version::V4 => Ok(()),
        Version::V5 => properties.write(w),
    }
}

/// Checks a SUBSCRIBE's or UNSUBSCRIBE's filters; gives the bytes back.
fn filters<'a>(
    reader: &Reader<'a>,
    version: Version,
    with_options: bool,
) -> Result<&'a [u8], Fault> {
    let mut check = *reader;
    if check.is_empty() {
        return Err(Fault::Protocol);
    }
    while !check.is_empty() {
        let filter = check.string()?;
        if with_options {
            let options = SubscribeOptions::from_byte(check.byte()?, version)?;
            if !options.allowed_for(filter) {
                return Err(Fault::Protocol);
            }
        }
    }
    Ok(reader.rest())
}

impl<'a> Packet<'a> {
    /// Reads the packet at the start of `bytes` and says how many bytes it
    /// takes, or nothing while it is not all there.
    ///
    /// `version` is that of the connection; a CONNECT states its own.
    pub fn decode(bytes: &'a [u8], version: Version) -> Result<Option<(Self, usize)>, Fault> {
        let Some(frame) = frame(bytes, version)? else {
            return Ok(None);
        };
        let Some(body) = bytes.get(frame.header..frame.size()) else {
            return Ok(None);
        };
        Ok(Some((
            Self::decode_body(frame, body, version)?,
            frame.size(),
        )))
    }

    fn decode_body(frame: Frame, body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let kind = frame.first >> 4;
        let flags = frame.first & 15;
        let expected = match kind {
            kind::PUBLISH => flags,
            kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 2,
            _ => 0,
        };
        if flags != expected {
            return Err(Fault::Malformed);
        }
        let mut reader = Reader::new(body);
        let packet = match kind {
            kind::CONNECT => return Ok(Self::Connect(Connect::decode(body)?.0)),
            kind::CONNACK => return Ok(Self::ConnAck(ConnAck::decode(body, version)?)),
            kind::PUBLISH => return Ok(Self::Publish(Publish::decode(flags, body, version)?)),
            kind::PUBACK => return Ok(Self::PubAck(Ack::decode(kind, body, version)?)),
            kind::PUBREC => return Ok(Self::PubRec(Ack::decode(kind, body, version)?)),
            kind::PUBREL => return Ok(Self::PubRel(Ack::decode(kind, body, version)?)),
            kind::PUBCOMP => return Ok(Self::PubComp(Ack::decode(kind, body, version)?)),
            kind::SUBSCRIBE => {
                let packet_id = packet_id(&mut reader)?;
                let properties = properties(&mut reader, version, kind)?;
                let filters = List::Valid(filters(&reader, version, true)?, version);
                return Ok(Self::Subscribe(Subscribe {
                    packet_id,
                    properties,
                    filters,
                }));
            }
            kind::UNSUBSCRIBE => {
                let packet_id = packet_id(&mut reader)?;
                let properties = properties(&mut reader, version, kind)?;
                let filters = List::Valid(filters(&reader, version, false)?, version);
                return Ok(Self::Unsubscribe(Unsubscribe {
                    packet_id,
                    properties,
                    filters,
                }));
            }
            kind::SUBACK => {
                let packet_id = packet_id(&mut reader)?;
                let properties = properties(&mut reader, version, kind)?;
                let codes = reader.rest();
                if codes.is_empty() {
                    return Err(Fault::Malformed);
                }
                return Ok(Self::SubAck(SubAck {
                    packet_id,
                    properties,
                    codes,
                }));
            }
            kind::UNSUBACK => {
                let packet_id = packet_id(&mut reader)?;
                let properties = properties(&mut reader, version, kind)?;
                let codes = reader.rest();
                if codes.is_empty() != (version == Version::V4) {
                    return Err(Fault::Malformed);
                }
                return Ok(Self::UnsubAck(UnsubAck {
                    packet_id,
                    properties,
                    codes,
                }));
            }
            kind::PINGREQ => Self::PingReq,
            kind::PINGRESP => Self::PingResp,
            kind::DISCONNECT => {
                return Ok(Self::Disconnect(Disconnect::decode(body, version)?));
            }
            kind::AUTH if version == Version::V5 => {
                let (reason, properties) = tail(&mut reader, version, kind)?;
                Self::Auth(Auth { reason, properties })
            }
            _ => return Err(Fault::Malformed),
        };
        if reader.is_empty() {
            Ok(packet)
        } else {
            Err(Fault::Malformed)
        }
    }

    /// Writes the packet into `buf` and gives the part of it that it fills.
    ///
    /// Five bytes more than the packet takes may be needed for a moment.
    pub fn encode<'b>(&self, version: Version, buf: &'b mut [u8]) -> Result<&'b [u8], NoRoom> {
        let body = buf.get_mut(HEADER_ROOM..).ok_or(NoRoom)?;
        let mut w = Writer::new(body);
        let first = self.write_body(version, &mut w)?;
        let len = w.len();
        let start = write_header(buf, first, len)?;
        buf.get(start..HEADER_ROOM + len).ok_or(NoRoom)
    }

    fn write_body(&self, version: Version, w: &mut Writer<'_>) -> Result<u8, NoRoom> {
        let kind = match self {
            Self::Connect(connect) => {
                connect.write(version, w)?;
                kind::CONNECT
            }
            Self::ConnAck(ack) => {
                let code = match version {
                    Version::V5 => ack.reason.0,
                    Version::V4 => connect_return_code(ack.reason),
                };
                w.bytes(&[u8::from(ack.session_present), code])?;
                properties_to(w, version, &ack.properties)?;
                kind::CONNACK
            }
            Self::Publish(publish) => {
                w.string(publish.topic)?;
                if let Some(id) = publish.delivery.packet_id() {
                    w.u16(id.get())?;
                }
                properties_to(w, version, &publish.properties)?;
                w.bytes(publish.payload)?;
                return Ok(kind::PUBLISH << 4
                    | u8::from(publish.delivery.dup()) << 3
                    | publish.delivery.qos().bits() << 1
                    | u8::from(publish.retain));
            }
            Self::PubAck(ack) => ack_to(w, version, ack, kind::PUBACK)?,
            Self::PubRec(ack) => ack_to(w, version, ack, kind::PUBREC)?,
            Self::PubRel(ack) => ack_to(w, version, ack, kind::PUBREL)?,
            Self::PubComp(ack) => ack_to(w, version, ack, kind::PUBCOMP)?,
            Self::Subscribe(subscribe) => {
                w.u16(subscribe.packet_id.get())?;
                properties_to(w, version, &subscribe.properties)?;
                for filter in subscribe.filters() {
                    w.string(filter.filter)?;
                    w.byte(filter.options.byte(version))?;
                }
                kind::SUBSCRIBE
            }
            Self::SubAck(ack) => {
                w.u16(ack.packet_id.get())?;
                properties_to(w, version, &ack.properties)?;
                w.bytes(ack.codes)?;
                kind::SUBACK
            }
            Self::Unsubscribe(unsubscribe) => {
                w.u16(unsubscribe.packet_id.get())?;
                properties_to(w, version, &unsubscribe.properties)?;
                for filter in unsubscribe.filters() {
                    w.string(filter)?;
                }
                kind::UNSUBSCRIBE
            }
            Self::UnsubAck(ack) => {
                w.u16(ack.packet_id.get())?;
                properties_to(w, version, &ack.properties)?;
                if version == Version::V5 {
                    w.bytes(ack.codes)?;
                }
                kind::UNSUBACK
            }
            Self::PingReq => kind::PINGREQ,
            Self::PingResp => kind::PINGRESP,
            Self::Disconnect(Disconnect { reason, properties }) => {
                tail_to(w, version, *reason, properties)?;
                kind::DISCONNECT
            }
            Self::Auth(Auth { reason, properties }) => {
                tail_to(w, version, *reason, properties)?;
                kind::AUTH
            }
        };
        let flags = match kind {
            kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE => 2,
            _ => 0,
        };
        Ok(kind << 4 | flags)
    }
}

/// Room for the longest fixed header, kept free in front of a body.
pub(crate) const HEADER_ROOM: usize = 5;

/// Writes a fixed header so that it ends where the body begins, at
/// [`HEADER_ROOM`], and says where it starts.
pub(crate) fn write_header(buf: &mut [u8], first: u8, len: usize) -> Result<usize, NoRoom> {
    let len = u32::try_from(len).map_err(|_| NoRoom)?;
    let start = HEADER_ROOM - 1 - varint_len(len);
    let mut w = Writer::new(buf.get_mut(start..).ok_or(NoRoom)?);
    w.byte(first)?;
    w.varint(len)?;
    Ok(start)
}

fn ack_to(w: &mut Writer<'_>, version: Version, ack: &Ack<'_>, kind: u8) -> Result<u8, NoRoom> {
    w.u16(ack.packet_id.get())?;
    tail_to(w, version, ack.reason, &ack.properties)?;
    Ok(kind)
}

fn tail_to(
    w: &mut Writer<'_>,
    version: Version,
    reason: ReasonCode,
    properties: &Properties<'_>,
) -> Result<(), NoRoom> {
    let plain = reason == ReasonCode::SUCCESS && properties.is_empty();
    if version == Version::V4 || plain {
        return Ok(());
    }
    w.byte(reason.0)?;
    if properties.is_empty() {
        Ok(())
    } else {
        properties.write(w)
    }
}

/// The CONNACK return code of MQTT 3.1.1 that means the same; where there is
/// none, the reason code, which is as much a refusal.
fn connect_return_code(reason: ReasonCode) -> u8 {
    match reason {
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => 1,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => 2,
        ReasonCode::SERVER_UNAVAILABLE => 3,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => 4,
        ReasonCode::NOT_AUTHORIZED => 5,
        ReasonCode(code) => code,
    }
}
