//! The properties of MQTT 5 (section 2.2.2).

use core::fmt;

use super::write::{NoRoom, Writer};
use super::{Fault, MAX_REMAINING_LENGTH, Reader, kind, valid_topic};

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

/// The places where the property `id` may stand; none if there is no such id.
const fn places(id: u8) -> u16 {
    use place::*;
    match id {
        1 | 2 | 3 | 8 | 9 => PUBLISH | WILL,
        11 => PUBLISH | SUBSCRIBE,
        17 => CONNECT | CONNACK | DISCONNECT,
        18 | 19 | 26 | 36 | 37 | 40 | 41 | 42 => CONNACK,
        21 | 22 => CONNECT | CONNACK | AUTH,
        23 | 25 => CONNECT,
        24 => WILL,
        28 => CONNACK | DISCONNECT,
        31 => CONNACK | ACKS | DISCONNECT | AUTH,
        33 | 34 | 39 => CONNECT | CONNACK,
        35 => PUBLISH,
        38 => ALL,
        _ => 0,
    }
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, Fault> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::Protocol),
    }
}

impl<'a> Property<'a> {
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 11;
    const AUTHENTICATION_METHOD: u8 = 21;
    const AUTHENTICATION_DATA: u8 = 22;
    pub(crate) const USER_PROPERTY: u8 = 38;

    fn read(reader: &mut Reader<'a>) -> Result<(u8, Self), Fault> {
        let id = reader.byte()?;
        let property = match id {
            1 => Self::PayloadFormatIndicator(flag(reader)?),
            2 => Self::MessageExpiryInterval(reader.u32()?),
            3 => Self::ContentType(reader.string()?),
            8 => Self::ResponseTopic(reader.string()?),
            9 => Self::CorrelationData(reader.binary()?),
            11 => Self::SubscriptionIdentifier(reader.varint()?),
            17 => Self::SessionExpiryInterval(reader.u32()?),
            18 => Self::AssignedClientIdentifier(reader.string()?),
            19 => Self::ServerKeepAlive(reader.u16()?),
            21 => Self::AuthenticationMethod(reader.string()?),
            22 => Self::AuthenticationData(reader.binary()?),
            23 => Self::RequestProblemInformation(flag(reader)?),
            24 => Self::WillDelayInterval(reader.u32()?),
            25 => Self::RequestResponseInformation(flag(reader)?),
            26 => Self::ResponseInformation(reader.string()?),
            28 => Self::ServerReference(reader.string()?),
            31 => Self::ReasonString(reader.string()?),
            33 => Self::ReceiveMaximum(reader.u16()?),
            34 => Self::TopicAliasMaximum(reader.u16()?),
            35 => Self::TopicAlias(reader.u16()?),
            36 => Self::MaximumQos(flag(reader)?),
            37 => Self::RetainAvailable(flag(reader)?),
            38 => Self::UserProperty(reader.string()?, reader.string()?),
            39 => Self::MaximumPacketSize(reader.u32()?),
            40 => Self::WildcardSubscriptionAvailable(flag(reader)?),
            41 => Self::SubscriptionIdentifierAvailable(flag(reader)?),
            42 => Self::SharedSubscriptionAvailable(flag(reader)?),
            _ => return Err(Fault::Malformed),
        };
        match property {
            Self::ReceiveMaximum(0)
            | Self::MaximumPacketSize(0)
            | Self::SubscriptionIdentifier(0) => Err(Fault::Protocol),
            Self::TopicAlias(0) => Err(Fault::TopicAlias),
            // MQTT-3.3.2-14.
            Self::ResponseTopic(topic) if !valid_topic(topic) => Err(Fault::TopicName),
            _ => Ok((id, property)),
        }
    }

    /// Appends identifier and value.
    pub fn write(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        match *self {
            Self::PayloadFormatIndicator(v) => flag_to(w, 1, v),
            Self::MessageExpiryInterval(v) => u32_to(w, 2, v),
            Self::ContentType(v) => text_to(w, 3, v),
            Self::ResponseTopic(v) => text_to(w, 8, v),
            Self::CorrelationData(v) => binary_to(w, 9, v),
            Self::SubscriptionIdentifier(v) => {
                w.byte(11)?;
                w.varint(v)
            }
            Self::SessionExpiryInterval(v) => u32_to(w, 17, v),
            Self::AssignedClientIdentifier(v) => text_to(w, 18, v),
            Self::ServerKeepAlive(v) => u16_to(w, 19, v),
            Self::AuthenticationMethod(v) => text_to(w, 21, v),
            Self::AuthenticationData(v) => binary_to(w, 22, v),
            Self::RequestProblemInformation(v) => flag_to(w, 23, v),
            Self::WillDelayInterval(v) => u32_to(w, 24, v),
            Self::RequestResponseInformation(v) => flag_to(w, 25, v),
            Self::ResponseInformation(v) => text_to(w, 26, v),
            Self::ServerReference(v) => text_to(w, 28, v),
            Self::ReasonString(v) => text_to(w, 31, v),
            Self::ReceiveMaximum(v) => u16_to(w, 33, v),
            Self::TopicAliasMaximum(v) => u16_to(w, 34, v),
            Self::TopicAlias(v) => u16_to(w, 35, v),
            Self::MaximumQos(v) => flag_to(w, 36, v),
            Self::RetainAvailable(v) => flag_to(w, 37, v),
            Self::UserProperty(name, value) => {
                text_to(w, 38, name)?;
                w.string(value)
            }
            Self::MaximumPacketSize(v) => u32_to(w, 39, v),
            Self::WildcardSubscriptionAvailable(v) => flag_to(w, 40, v),
            Self::SubscriptionIdentifierAvailable(v) => flag_to(w, 41, v),
            Self::SharedSubscriptionAvailable(v) => flag_to(w, 42, v),
        }
    }

    /// Bytes of identifier and value.
    pub fn size(&self) -> usize {
        1 + match *self {
            Self::PayloadFormatIndicator(_)
            | Self::RequestProblemInformation(_)
            | Self::RequestResponseInformation(_)
            | Self::MaximumQos(_)
            | Self::RetainAvailable(_)
            | Self::WildcardSubscriptionAvailable(_)
            | Self::SubscriptionIdentifierAvailable(_)
            | Self::SharedSubscriptionAvailable(_) => 1,
            Self::ServerKeepAlive(_)
            | Self::ReceiveMaximum(_)
            | Self::TopicAliasMaximum(_)
            | Self::TopicAlias(_) => 2,
            Self::MessageExpiryInterval(_)
            | Self::SessionExpiryInterval(_)
            | Self::WillDelayInterval(_)
            | Self::MaximumPacketSize(_) => 4,
            Self::SubscriptionIdentifier(v) => super::write::varint_len(v),
            Self::ContentType(v)
            | Self::ResponseTopic(v)
            | Self::AssignedClientIdentifier(v)
            | Self::AuthenticationMethod(v)
            | Self::ResponseInformation(v)
            | Self::ServerReference(v)
            | Self::ReasonString(v) => 2 + v.len(),
            Self::CorrelationData(v) | Self::AuthenticationData(v) => 2 + v.len(),
            Self::UserProperty(name, value) => 4 + name.len() + value.len(),
        }
    }
}

fn flag_to(w: &mut Writer<'_>, id: u8, value: bool) -> Result<(), NoRoom> {
    w.bytes(&[id, u8::from(value)])
}

fn u16_to(w: &mut Writer<'_>, id: u8, value: u16) -> Result<(), NoRoom> {
    w.byte(id)?;
    w.u16(value)
}

fn u32_to(w: &mut Writer<'_>, id: u8, value: u32) -> Result<(), NoRoom> {
    w.byte(id)?;
    w.u32(value)
}

fn binary_to(w: &mut Writer<'_>, id: u8, value: &[u8]) -> Result<(), NoRoom> {
    w.byte(id)?;
    w.binary(value)
}

fn text_to(w: &mut Writer<'_>, id: u8, value: &str) -> Result<(), NoRoom> {
    binary_to(w, id, value.as_bytes())
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
        Self::check(block, packet)?;
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

    fn check(block: &[u8], packet: u8) -> Result<(), Fault> {
        let mut seen = 0u64;
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            let (id, _) = Property::read(&mut reader)?;
            if places(id) >> (packet & 15) & 1 == 0 {
                return Err(Fault::Protocol);
            }
            let many = id == Property::USER_PROPERTY
                || (id == Property::SUBSCRIPTION_IDENTIFIER && packet == 3);
            let bit = 1u64 << (id & 63);
            if seen & bit != 0 && !many {
                return Err(Fault::Protocol);
            }
            seen |= bit;
        }
        // Sections 3.1.2.11.10 and 3.15.2.2.2.
        let has = |id: u8| seen >> id & 1 == 1;
        let needs_method = matches!(packet, kind::CONNECT | kind::AUTH);
        if needs_method
            && has(Property::AUTHENTICATION_DATA)
            && !has(Property::AUTHENTICATION_METHOD)
        {
            return Err(Fault::Protocol);
        }
        Ok(())
    }

    /// Whether each of them may stand in a packet of this type, has a value in
    /// range, and stands once where it may stand but once.
    pub(crate) fn allowed_in(&self, packet: u8) -> bool {
        let mut seen = 0u64;
        self.iter().all(|property| {
            let mut first = [0u8; 8];
            // The identifier is the first byte; the rest may not fit.
            let _ = property.write(&mut Writer::new(&mut first));
            let [id, ..] = first;
            let many = id == Property::USER_PROPERTY;
            let bit = 1u64 << (id & 63);
            let fresh = many || seen & bit == 0;
            seen |= bit;
            let valid = match property {
                Property::ReceiveMaximum(0)
                | Property::MaximumPacketSize(0)
                | Property::TopicAlias(0) => false,
                Property::SubscriptionIdentifier(id) => (1..=MAX_REMAINING_LENGTH).contains(&id),
                Property::UserProperty(name, value) => text_fits(name) && text_fits(value),
                Property::ResponseTopic(topic) => valid_topic(topic),
                Property::ContentType(text)
                | Property::AuthenticationMethod(text)
                | Property::ReasonString(text) => text_fits(text),
                Property::CorrelationData(bytes) | Property::AuthenticationData(bytes) => {
                    bytes.len() <= usize::from(u16::MAX)
                }
                _ => true,
            };
            fresh && valid && places(id) >> (packet & 15) & 1 == 1
        })
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
        self.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias),
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

fn text_fits(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX) && !text.as_bytes().contains(&0)
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
        let (_, property) = Property::read(&mut reader).ok()?;
        self.0.valid = reader.rest();
        Some(property)
    }
}
