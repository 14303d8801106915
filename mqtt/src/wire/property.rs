//! The properties of MQTT 5 (section 2.2.2).

use core::fmt;

use super::topic::valid_topic_bytes;
use super::write::{NoRoom, Writer};
use super::{Fault, MAX_REMAINING_LENGTH, Reader, Text, kind};

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of table 2.4")]
pub enum Property<'a> {
    /// `true`: the payload is UTF-8 text.
    PayloadFormatIndicator(bool),
    /// Seconds.
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    /// 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// Seconds; `u32::MAX`: the session does not expire.
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    /// Seconds.
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    /// Seconds.
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    /// `false`: QoS 0 only, `true`: QoS 1; absent: QoS 2.
    MaximumQos(bool),
    RetainAvailable(bool),
    UserProperty(&'a str, &'a str),
    /// Bytes.
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifierAvailable(bool),
    SharedSubscriptionAvailable(bool),
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

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// There is no such property.
    None,
    /// One byte, 0 or 1.
    Flag,
    U16,
    U32,
    Varint,
    Text,
    Binary,
    Pair,
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
    let value = match shape(id).0 {
        Shape::None => return Err(Fault::Malformed),
        Shape::Flag => Value::Number(u32::from(reader.byte()?)),
        Shape::U16 => Value::Number(u32::from(reader.u16()?)),
        Shape::U32 => Value::Number(reader.u32()?),
        Shape::Varint => Value::Number(reader.varint()?),
        Shape::Text => Value::Bytes(reader.text()?.as_bytes()),
        Shape::Binary => Value::Bytes(reader.binary()?),
        Shape::Pair => Value::Pair(reader.text()?.as_bytes(), reader.text()?.as_bytes()),
    };
    Ok((id, value))
}

/// Appends one property.
pub(crate) fn write(w: &mut Writer<'_>, id: u8, value: Value<'_>) -> Result<(), NoRoom> {
    w.byte(id)?;
    match (shape(id).0, value) {
        (Shape::Flag, Value::Number(number)) => w.byte(number as u8),
        (Shape::U16, Value::Number(number)) => w.u16(number as u16),
        (Shape::U32, Value::Number(number)) => w.u32(number),
        (_, Value::Number(number)) => w.varint(number),
        (_, Value::Bytes(bytes)) => w.binary(bytes),
        (_, Value::Pair(name, value)) => {
            w.binary(name)?;
            w.binary(value)
        }
    }
}

/// Bytes of identifier and value.
fn size(id: u8, value: Value<'_>) -> usize {
    1 + match (shape(id).0, value) {
        (Shape::Flag, Value::Number(_)) => 1,
        (Shape::U16, Value::Number(_)) => 2,
        (Shape::U32, Value::Number(_)) => 4,
        (_, Value::Number(number)) => super::write::varint_len(number),
        (_, Value::Bytes(bytes)) => 2 + bytes.len(),
        (_, Value::Pair(name, value)) => 4 + name.len() + value.len(),
    }
}

/// Finds out whether properties may stand together in a packet of this type
/// (0: a will): known, allowed there, none twice that may stand but once,
/// values in range.
struct Check {
    packet: u8,
    seen: u64,
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
        let bit = 1u64 << (id & 63);
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
        let has = |id: u8| self.seen >> id & 1 == 1;
        let needs_method = matches!(self.packet, kind::CONNECT | kind::AUTH);
        if needs_method && has(id::AUTHENTICATION_DATA) && !has(id::AUTHENTICATION_METHOD) {
            return Err(Fault::Protocol);
        }
        Ok(())
    }
}

impl<'a> Property<'a> {
    const fn parts(&self) -> (u8, Value<'a>) {
        match *self {
            Self::PayloadFormatIndicator(v) => (1, Value::Number(v as u32)),
            Self::MessageExpiryInterval(v) => (2, Value::Number(v)),
            Self::ContentType(v) => (3, Value::Bytes(v.as_bytes())),
            Self::ResponseTopic(v) => (8, Value::Bytes(v.as_bytes())),
            Self::CorrelationData(v) => (9, Value::Bytes(v)),
            Self::SubscriptionIdentifier(v) => (11, Value::Number(v)),
            Self::SessionExpiryInterval(v) => (17, Value::Number(v)),
            Self::AssignedClientIdentifier(v) => (18, Value::Bytes(v.as_bytes())),
            Self::ServerKeepAlive(v) => (19, Value::Number(v as u32)),
            Self::AuthenticationMethod(v) => (21, Value::Bytes(v.as_bytes())),
            Self::AuthenticationData(v) => (22, Value::Bytes(v)),
            Self::RequestProblemInformation(v) => (23, Value::Number(v as u32)),
            Self::WillDelayInterval(v) => (24, Value::Number(v)),
            Self::RequestResponseInformation(v) => (25, Value::Number(v as u32)),
            Self::ResponseInformation(v) => (26, Value::Bytes(v.as_bytes())),
            Self::ServerReference(v) => (28, Value::Bytes(v.as_bytes())),
            Self::ReasonString(v) => (31, Value::Bytes(v.as_bytes())),
            Self::ReceiveMaximum(v) => (33, Value::Number(v as u32)),
            Self::TopicAliasMaximum(v) => (34, Value::Number(v as u32)),
            Self::TopicAlias(v) => (35, Value::Number(v as u32)),
            Self::MaximumQos(v) => (36, Value::Number(v as u32)),
            Self::RetainAvailable(v) => (37, Value::Number(v as u32)),
            Self::UserProperty(name, v) => (38, Value::Pair(name.as_bytes(), v.as_bytes())),
            Self::MaximumPacketSize(v) => (39, Value::Number(v)),
            Self::WildcardSubscriptionAvailable(v) => (40, Value::Number(v as u32)),
            Self::SubscriptionIdentifierAvailable(v) => (41, Value::Number(v as u32)),
            Self::SharedSubscriptionAvailable(v) => (42, Value::Number(v as u32)),
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
        let (id, value) = self.parts();
        write(w, id, value)
    }

    /// Bytes of identifier and value.
    pub fn size(&self) -> usize {
        let (id, value) = self.parts();
        size(id, value)
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
    pub(crate) fn take(reader: &mut Reader<'a>, packet: u8) -> Result<Self, Fault> {
        let block = reader.block()?;
        if !block.is_empty() {
            Self::check(block, packet)?;
        }
        Ok(Self::checked(block))
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
        let decided: u64 = match packet {
            kind::PUBLISH => {
                1 << id::TOPIC_ALIAS
                    | 1 << id::MESSAGE_EXPIRY_INTERVAL
                    | 1 << id::SUBSCRIPTION_IDENTIFIER
            }
            kind::CONNECT => {
                1 << id::SESSION_EXPIRY_INTERVAL
                    | 1 << id::RECEIVE_MAXIMUM
                    | 1 << id::MAXIMUM_PACKET_SIZE
                    | 1 << id::TOPIC_ALIAS_MAXIMUM
                    | 1 << id::AUTHENTICATION_METHOD
                    | 1 << id::AUTHENTICATION_DATA
            }
            _ => 0,
        };
        let mut check = Check::new(packet);
        let text = |bytes: &[u8]| bytes.iter().all(|&byte| byte != 0);
        let fits = |bytes: &[u8]| bytes.len() <= usize::from(u16::MAX);
        self.list.iter().all(|property| {
            let (id, value) = property.parts();
            let writable = match value {
                Value::Number(_) => true,
                Value::Bytes(bytes) => fits(bytes) && (shape(id).0 == Shape::Binary || text(bytes)),
                Value::Pair(name, value) => fits(name) && fits(value) && text(name) && text(value),
            };
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
