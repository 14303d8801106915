//! The properties of MQTT 5 (section 2.2.2).

use core::fmt;

use super::topic::valid_topic_bytes;
use super::write::{NoRoom, Writer};
use super::{Fault, MAX_REMAINING_LENGTH, Reader, Text, kind};

/// One property with its value. The discriminants are the identifiers.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of table 2.4")]
pub enum Property<'a> {
    /// `true`: the payload is UTF-8 text.
    PayloadFormatIndicator(bool) = 1,
    /// Seconds.
    MessageExpiryInterval(u32) = 2,
    ContentType(&'a str) = 3,
    ResponseTopic(&'a str) = 8,
    CorrelationData(&'a [u8]) = 9,
    /// 1 to 268,435,455.
    SubscriptionIdentifier(u32) = 11,
    /// Seconds; `u32::MAX`: the session does not expire.
    SessionExpiryInterval(u32) = 17,
    AssignedClientIdentifier(&'a str) = 18,
    /// Seconds.
    ServerKeepAlive(u16) = 19,
    AuthenticationMethod(&'a str) = 21,
    AuthenticationData(&'a [u8]) = 22,
    RequestProblemInformation(bool) = 23,
    /// Seconds.
    WillDelayInterval(u32) = 24,
    RequestResponseInformation(bool) = 25,
    ResponseInformation(&'a str) = 26,
    ServerReference(&'a str) = 28,
    ReasonString(&'a str) = 31,
    ReceiveMaximum(u16) = 33,
    TopicAliasMaximum(u16) = 34,
    TopicAlias(u16) = 35,
    /// `false`: QoS 0 only, `true`: QoS 1; absent: QoS 2.
    MaximumQos(bool) = 36,
    RetainAvailable(bool) = 37,
    UserProperty(&'a str, &'a str) = 38,
    /// Bytes.
    MaximumPacketSize(u32) = 39,
    WildcardSubscriptionAvailable(bool) = 40,
    SubscriptionIdentifierAvailable(bool) = 41,
    SharedSubscriptionAvailable(bool) = 42,
}

/// What a packet may carry: one bit for each packet type, bit 0 for the will.
mod place {
    pub const WILL: u16 = 1;
    pub const CONNECT: u16 = 1 << 1;
    pub const CONNACK: u16 = 1 << 2;
    pub const PUBLISH: u16 = 1 << 3;
    pub const SUBSCRIBE: u16 = 1 << 8;
    pub const DISCONNECT: u16 = 1 << 14;
    pub const AUTH: u16 = 1 << 15;
    pub const ACKS: u16 = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 9 | 1 << 11;
    pub const ALL: u16 = !(1 << 12 | 1 << 13);
}

/// How a value is written. That of a number is how many bytes it takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As many as it needs.
    Varint = 0,
    /// One byte, 0 or 1.
    Flag = 1,
    U16 = 2,
    U32 = 4,
    Text,
    Binary,
    Pair,
    /// There is no such property.
    None,
}

/// Shape and places of every property, by its identifier (table 2.4).
static TABLE: [(Shape, u16); 43] = {
    use Shape::*;
    use place::*;
    let mut table = [(None, 0); 43];
    table[1] = (Flag, PUBLISH | WILL);
    table[2] = (U32, PUBLISH | WILL);
    table[3] = (Text, PUBLISH | WILL);
    table[8] = (Text, PUBLISH | WILL);
    table[9] = (Binary, PUBLISH | WILL);
    table[11] = (Varint, PUBLISH | SUBSCRIBE);
    table[17] = (U32, CONNECT | CONNACK | DISCONNECT);
    table[18] = (Text, CONNACK);
    table[19] = (U16, CONNACK);
    table[21] = (Text, CONNECT | CONNACK | AUTH);
    table[22] = (Binary, CONNECT | CONNACK | AUTH);
    table[23] = (Flag, CONNECT);
    table[24] = (U32, WILL);
    table[25] = (Flag, CONNECT);
    table[26] = (Text, CONNACK);
    table[28] = (Text, CONNACK | DISCONNECT);
    table[31] = (Text, CONNACK | ACKS | DISCONNECT | AUTH);
    table[33] = (U16, CONNECT | CONNACK);
    table[34] = (U16, CONNECT | CONNACK);
    table[35] = (U16, PUBLISH);
    table[36] = (Flag, CONNACK);
    table[37] = (Flag, CONNACK);
    table[38] = (Pair, ALL);
    table[39] = (U32, CONNECT | CONNACK);
    table[40] = (Flag, CONNACK);
    table[41] = (Flag, CONNACK);
    table[42] = (Flag, CONNACK);
    table
};

fn shape(id: u8) -> (Shape, u16) {
    let entry = TABLE.get(usize::from(id));
    entry.copied().unwrap_or((Shape::None, 0))
}

/// A property's value, whatever it means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u32),
    Bytes(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

/// The identifiers that are looked at by name.
pub(crate) mod id {
    pub const MESSAGE_EXPIRY_INTERVAL: u8 = 2;
    pub const RESPONSE_TOPIC: u8 = 8;
    pub const SUBSCRIPTION_IDENTIFIER: u8 = 11;
    pub const SESSION_EXPIRY_INTERVAL: u8 = 17;
    pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 18;
    pub const SERVER_KEEP_ALIVE: u8 = 19;
    pub const AUTHENTICATION_METHOD: u8 = 21;
    pub const AUTHENTICATION_DATA: u8 = 22;
    pub const RECEIVE_MAXIMUM: u8 = 33;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 34;
    pub const TOPIC_ALIAS: u8 = 35;
    pub const MAXIMUM_QOS: u8 = 36;
    pub const RETAIN_AVAILABLE: u8 = 37;
    pub const USER_PROPERTY: u8 = 38;
    pub const MAXIMUM_PACKET_SIZE: u8 = 39;
    pub const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 40;
    pub const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 41;
    pub const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 42;
}

/// Reads one property.
fn read<'a>(reader: &mut Reader<'a>) -> Result<(u8, Value<'a>), Fault> {
    let id = reader.byte()?;
    let shape = shape(id).0;
    let value = match shape {
        Shape::None => return Err(Fault::Malformed),
        Shape::Varint => Value::Number(reader.varint()?),
        Shape::Flag | Shape::U16 | Shape::U32 => {
            let bytes = reader.bytes(shape as usize)?;
            Value::Number(bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
        }
        Shape::Binary => Value::Bytes(reader.binary()?),
        Shape::Text => Value::Bytes(reader.text()?.as_bytes()),
        Shape::Pair => Value::Pair(reader.text()?.as_bytes(), reader.text()?.as_bytes()),
    };
    Ok((id, value))
}

/// Appends one property.
pub(crate) fn write(w: &mut Writer<'_>, id: u8, value: Value<'_>) -> Result<(), NoRoom> {
    w.byte(id)?;
    match value {
        Value::Number(number) => match shape(id).0 {
            Shape::Varint => w.varint(number),
            shape => {
                let bytes = number.to_be_bytes();
                let (_, bytes) = bytes.split_at_checked(4 - shape as usize).ok_or(NoRoom)?;
                w.bytes(bytes)
            }
        },
        Value::Bytes(bytes) => w.binary(bytes),
        Value::Pair(name, value) => {
            w.binary(name)?;
            w.binary(value)
        }
    }
}

/// Bytes of identifier and value.
fn size(id: u8, value: Value<'_>) -> usize {
    1 + match value {
        Value::Number(number) => match shape(id).0 {
            Shape::Varint => super::write::varint_len(number),
            shape => shape as usize,
        },
        Value::Bytes(bytes) => 2 + bytes.len(),
        Value::Pair(name, value) => 4 + name.len() + value.len(),
    }
}

/// The bit that stands for a property in a set of those of one packet: no two
/// that a packet can have share one.
pub(crate) const fn bit(id: u8) -> u32 {
    1 << (id % 31)
}

const _: () = {
    let mut id = 31;
    while id < TABLE.len() {
        assert!(TABLE[id].1 & TABLE[id - 31].1 == 0);
        id += 1;
    }
};

/// Finds out whether properties may stand together in a packet of this type
/// (0: a will): known, allowed there, none twice that may stand but once,
/// values in range.
struct Check {
    packet: u8,
    seen: u32,
}

impl Check {
    const fn new(packet: u8) -> Self {
        Self { packet, seen: 0 }
    }

    fn add(&mut self, id: u8, value: Value<'_>) -> Result<(), Fault> {
        let (shape, places) = shape(id);
        if places >> (self.packet & 15) & 1 == 0 {
            return Err(Fault::Protocol);
        }
        let many = id == id::USER_PROPERTY
            || (id == id::SUBSCRIPTION_IDENTIFIER && self.packet == kind::PUBLISH);
        let bit = bit(id);
        if self.seen & bit != 0 && !many {
            return Err(Fault::Protocol);
        }
        self.seen |= bit;
        match (id, value) {
            (id::TOPIC_ALIAS, Value::Number(0)) => Err(Fault::TopicAlias),
            (
                id::RECEIVE_MAXIMUM | id::MAXIMUM_PACKET_SIZE | id::SUBSCRIPTION_IDENTIFIER,
                Value::Number(0),
            ) => Err(Fault::Protocol),
            (_, Value::Number(2..)) if shape == Shape::Flag => Err(Fault::Protocol),
            (_, Value::Number(number))
                if shape == Shape::Varint && number > MAX_REMAINING_LENGTH =>
            {
                Err(Fault::Protocol)
            }
            (id::RESPONSE_TOPIC, Value::Bytes(topic)) if !valid_topic_bytes(topic) => {
                Err(Fault::TopicName)
            }
            _ => Ok(()),
        }
    }

    /// Sections 3.1.2.11.10 and 3.15.2.2.2: authentication data need a method.
    fn end(&self) -> Result<(), Fault> {
        let has = |id: u8| self.seen & bit(id) != 0;
        let needs_method = matches!(self.packet, kind::CONNECT | kind::AUTH);
        if needs_method && has(id::AUTHENTICATION_DATA) && !has(id::AUTHENTICATION_METHOD) {
            return Err(Fault::Protocol);
        }
        Ok(())
    }
}

impl<'a> Property<'a> {
    const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(..) => 1,
            Self::MessageExpiryInterval(..) => 2,
            Self::ContentType(..) => 3,
            Self::ResponseTopic(..) => 8,
            Self::CorrelationData(..) => 9,
            Self::SubscriptionIdentifier(..) => 11,
            Self::SessionExpiryInterval(..) => 17,
            Self::AssignedClientIdentifier(..) => 18,
            Self::ServerKeepAlive(..) => 19,
            Self::AuthenticationMethod(..) => 21,
            Self::AuthenticationData(..) => 22,
            Self::RequestProblemInformation(..) => 23,
            Self::WillDelayInterval(..) => 24,
            Self::RequestResponseInformation(..) => 25,
            Self::ResponseInformation(..) => 26,
            Self::ServerReference(..) => 28,
            Self::ReasonString(..) => 31,
            Self::ReceiveMaximum(..) => 33,
            Self::TopicAliasMaximum(..) => 34,
            Self::TopicAlias(..) => 35,
            Self::MaximumQos(..) => 36,
            Self::RetainAvailable(..) => 37,
            Self::UserProperty(..) => 38,
            Self::MaximumPacketSize(..) => 39,
            Self::WildcardSubscriptionAvailable(..) => 40,
            Self::SubscriptionIdentifierAvailable(..) => 41,
            Self::SharedSubscriptionAvailable(..) => 42,
        }
    }

    const fn value(&self) -> Value<'a> {
        match *self {
            Self::PayloadFormatIndicator(v)
            | Self::RequestProblemInformation(v)
            | Self::RequestResponseInformation(v)
            | Self::MaximumQos(v)
            | Self::RetainAvailable(v)
            | Self::WildcardSubscriptionAvailable(v)
            | Self::SubscriptionIdentifierAvailable(v)
            | Self::SharedSubscriptionAvailable(v) => Value::Number(v as u32),
            Self::ServerKeepAlive(v)
            | Self::ReceiveMaximum(v)
            | Self::TopicAliasMaximum(v)
            | Self::TopicAlias(v) => Value::Number(v as u32),
            Self::MessageExpiryInterval(v)
            | Self::SubscriptionIdentifier(v)
            | Self::SessionExpiryInterval(v)
            | Self::WillDelayInterval(v)
            | Self::MaximumPacketSize(v) => Value::Number(v),
            Self::ContentType(v)
            | Self::ResponseTopic(v)
            | Self::AssignedClientIdentifier(v)
            | Self::AuthenticationMethod(v)
            | Self::ResponseInformation(v)
            | Self::ServerReference(v)
            | Self::ReasonString(v) => Value::Bytes(v.as_bytes()),
            Self::CorrelationData(v) | Self::AuthenticationData(v) => Value::Bytes(v),
            Self::UserProperty(name, v) => Value::Pair(name.as_bytes(), v.as_bytes()),
        }
    }

    /// What was read and found valid.
    fn from_parts(id: u8, value: Value<'a>) -> Option<Self> {
        let number = match value {
            Value::Number(number) => number,
            _ => 0,
        };
        let bytes = match value {
            Value::Bytes(bytes) | Value::Pair(bytes, _) => bytes,
            Value::Number(_) => &[],
        };
        // Binary data are no text, and are not asked for it.
        let text = Text::checked(bytes).as_str();
        let short = number as u16;
        let flag = number == 1;
        Some(match id {
            1 => Self::PayloadFormatIndicator(flag),
            2 => Self::MessageExpiryInterval(number),
            3 => Self::ContentType(text),
            8 => Self::ResponseTopic(text),
            9 => Self::CorrelationData(bytes),
            11 => Self::SubscriptionIdentifier(number),
            17 => Self::SessionExpiryInterval(number),
            18 => Self::AssignedClientIdentifier(text),
            19 => Self::ServerKeepAlive(short),
            21 => Self::AuthenticationMethod(text),
            22 => Self::AuthenticationData(bytes),
            23 => Self::RequestProblemInformation(flag),
            24 => Self::WillDelayInterval(number),
            25 => Self::RequestResponseInformation(flag),
            26 => Self::ResponseInformation(text),
            28 => Self::ServerReference(text),
            31 => Self::ReasonString(text),
            33 => Self::ReceiveMaximum(short),
            34 => Self::TopicAliasMaximum(short),
            35 => Self::TopicAlias(short),
            36 => Self::MaximumQos(flag),
            37 => Self::RetainAvailable(flag),
            38 => match value {
                Value::Pair(_, value) => Self::UserProperty(text, Text::checked(value).as_str()),
                _ => return None,
            },
            39 => Self::MaximumPacketSize(number),
            40 => Self::WildcardSubscriptionAvailable(flag),
            41 => Self::SubscriptionIdentifierAvailable(flag),
            42 => Self::SharedSubscriptionAvailable(flag),
            _ => return None,
        })
    }

    /// Appends identifier and value.
    pub fn write(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        write(w, self.id(), self.value())
    }

    /// Bytes of identifier and value.
    pub fn size(&self) -> usize {
        size(self.id(), self.value())
    }
}

/// The properties of a packet: bytes that were received and found valid, then a
/// list that is to be sent.
#[derive(Clone, Copy)]
pub struct Properties<'a> {
    valid: &'a [u8],
    list: &'a [Property<'a>],
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const NONE: Self = Self::new(&[]);

    /// Properties to be sent.
    pub const fn new(list: &'a [Property<'a>]) -> Self {
        Self { valid: &[], list }
    }

    /// Takes the block of properties of a packet of type `packet` (0: a will),
    /// with its length in front, and checks it: known, allowed there, none
    /// twice that may stand but once, values in range.
    pub(crate) fn take(reader: &mut Reader<'a>, packet: u8) -> Result<&'a [u8], Fault> {
        let block = reader.block()?;
        Self::check(block, packet)?;
        Ok(block)
    }

    /// Properties whose bytes were checked before.
    pub(crate) const fn checked(valid: &'a [u8]) -> Self {
        Self { valid, list: &[] }
    }

    /// The same, with those of `list` after them.
    pub(crate) const fn and(self, list: &'a [Property<'a>]) -> Self {
        Self {
            valid: self.valid,
            list,
        }
    }

    pub(crate) fn check(block: &[u8], packet: u8) -> Result<(), Fault> {
        let mut check = Check::new(packet);
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            let (id, value) = read(&mut reader)?;
            check.add(id, value)?;
        }
        check.end()
    }

    /// Whether those of the list may stand together in a packet of this type
    /// (0: a will), can be written, and are none of which the session decides.
    pub(crate) fn allowed_in(&self, packet: u8) -> bool {
        let decided = match packet {
            kind::PUBLISH => {
                bit(id::TOPIC_ALIAS)
                    | bit(id::MESSAGE_EXPIRY_INTERVAL)
                    | bit(id::SUBSCRIPTION_IDENTIFIER)
            }
            kind::CONNECT => {
                bit(id::SESSION_EXPIRY_INTERVAL)
                    | bit(id::RECEIVE_MAXIMUM)
                    | bit(id::MAXIMUM_PACKET_SIZE)
                    | bit(id::TOPIC_ALIAS_MAXIMUM)
                    | bit(id::AUTHENTICATION_METHOD)
                    | bit(id::AUTHENTICATION_DATA)
            }
            _ => 0,
        };
        let mut check = Check::new(packet);
        self.list.iter().all(|property| {
            let (id, value) = (property.id(), property.value());
            let (first, second): (&[u8], &[u8]) = match value {
                Value::Number(_) => (&[], &[]),
                Value::Bytes(bytes) => (bytes, &[]),
                Value::Pair(name, value) => (name, value),
            };
            let fit = first.len().max(second.len()) <= usize::from(u16::MAX);
            let text = || first.iter().chain(second).all(|&byte| byte != 0);
            let writable = fit && (shape(id).0 == Shape::Binary || text());
            writable && check.add(id, value).is_ok()
        }) && check.seen & decided == 0
    }

    /// Identifiers and values of those that were received.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (u8, Value<'a>)> {
        let mut reader = Reader::new(self.valid);
        core::iter::from_fn(move || read(&mut reader).ok())
    }

    /// Each of them, in the order in which they stand in the packet.
    pub const fn iter(&self) -> PropertyIter<'a> {
        PropertyIter(*self)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.valid.is_empty() && self.list.is_empty()
    }

    /// Bytes of all of them, without the length in front.
    pub fn size(&self) -> usize {
        self.valid.len() + self.list.iter().map(Property::size).sum::<usize>()
    }

    /// Appends them, with the length in front.
    pub fn write(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.varint(u32::try_from(self.size()).map_err(|_| NoRoom)?)?;
        self.write_content(w)
    }

    /// Appends them, without the length in front.
    pub(crate) fn write_content(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.bytes(self.valid)?;
        self.list.iter().try_for_each(|property| property.write(w))
    }

    /// The topic alias of a PUBLISH.
    pub(crate) fn topic_alias(&self) -> Option<u16> {
        self.raw().find_map(|(id, value)| match value {
            Value::Number(alias) if id == id::TOPIC_ALIAS => Some(alias as u16),
            _ => None,
        })
    }

    /// The response topic, where an answer is to be published.
    pub fn response_topic(&self) -> Option<&'a str> {
        self.iter().find_map(|property| match property {
            Property::ResponseTopic(topic) => Some(topic),
            _ => None,
        })
    }

    /// The correlation data, to be sent back with the answer.
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.iter().find_map(|property| match property {
            Property::CorrelationData(data) => Some(data),
            _ => None,
        })
    }

    /// The reason that a broker gives in words.
    pub fn reason_string(&self) -> Option<&'a str> {
        self.iter().find_map(|property| match property {
            Property::ReasonString(text) => Some(text),
            _ => None,
        })
    }

    /// Name and value of each user property.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for Properties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties<'_> {}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

/// The properties of a packet, one after the other.
#[derive(Clone)]
pub struct PropertyIter<'a>(Properties<'a>);

impl<'a> Iterator for PropertyIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        if self.0.valid.is_empty() {
            let (first, rest) = self.0.list.split_first()?;
            self.0.list = rest;
            return Some(*first);
        }
        let mut reader = Reader::new(self.0.valid);
        let (id, value) = read(&mut reader).ok()?;
        self.0.valid = reader.rest();
        Property::from_parts(id, value)
    }
}
