//! Bytes to packets.

use core::num::NonZeroU16;

use super::frame::{Frame, frame};
use super::packet::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, List, Packet, PacketId, Publish, QoS,
    SubAck, Subscribe, SubscribeOptions, UnsubAck, Unsubscribe, Will, kind,
};
use super::text::{Use, check};
use super::topic::valid_topic;
use super::{Fault, Properties, Reader, ReasonCode, Version};

fn properties<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    kind: u8,
) -> Result<Properties<'a>, Fault> {
    match version {
        Version::V4 => Ok(Properties::NONE),
        Version::V5 => Ok(Properties::checked(Properties::take(reader, kind)?)),
    }
}

fn packet_id(reader: &mut Reader<'_>) -> Result<PacketId, Fault> {
    PacketId::new(reader.u16()?).ok_or(Fault::Protocol)
}

/// Where the parts of a PUBLISH are, in its body, once it was found valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishLayout {
    /// Bytes of the topic name, which begins behind its length.
    pub topic: u16,
    pub packet_id: Option<PacketId>,
    pub alias: Option<NonZeroU16>,
    /// Where the properties begin; the payload follows them.
    pub properties: u32,
    pub payload: u32,
}

impl PublishLayout {
    /// Looks through the body of a PUBLISH with the flags of its first byte.
    pub fn scan(flags: u8, body: &[u8], version: Version) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let topic = reader.binary()?;
        check(topic, Use::TopicName)?;
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
            alias = NonZeroU16::new(Properties::checked(block).topic_alias().unwrap_or(0));
        }
        if topic.is_empty() && alias.is_none() {
            return Err(Fault::Protocol);
        }
        let payload = body.len() - reader.rest().len();
        Ok(Self {
            topic: topic.len() as u16,
            packet_id,
            alias,
            properties: (payload - block.len()) as u32,
            payload: payload as u32,
        })
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
            properties: Properties::checked(
                body.get(layout.properties as usize..layout.payload as usize)
                    .unwrap_or(&[]),
            ),
            payload: body.get(layout.payload as usize..).unwrap_or(&[]),
        })
    }
}

impl<'a> Ack<'a> {
    fn decode(kind: u8, body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let (packet_id, reason, properties) = acknowledgement(kind, body, version)?;
        Ok(Self {
            packet_id,
            reason,
            properties: Properties::checked(properties),
        })
    }
}

/// Reads the body of an acknowledgement: packet identifier, reason code and the
/// bytes of its properties.
#[inline]
pub(crate) fn acknowledgement(
    kind: u8,
    body: &[u8],
    version: Version,
) -> Result<(PacketId, ReasonCode, &[u8]), Fault> {
    let (id, rest) = body.split_first_chunk().ok_or(Fault::Malformed)?;
    let packet_id = PacketId::new(u16::from_be_bytes(*id)).ok_or(Fault::Protocol)?;
    if rest.is_empty() {
        return Ok((packet_id, ReasonCode::SUCCESS, rest));
    }
    let (reason, properties) = tail(rest, version, kind)?;
    Ok((packet_id, reason, properties))
}

impl<'a> Disconnect<'a> {
    fn decode(body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let (reason, properties) = tail(body, version, kind::DISCONNECT)?;
        let properties = Properties::checked(properties);
        Ok(Self { reason, properties })
    }
}

/// Reason code and properties, both of which may be left out at the end of
/// acknowledgements, DISCONNECT and AUTH.
pub(crate) fn tail(bytes: &[u8], version: Version, kind: u8) -> Result<(ReasonCode, &[u8]), Fault> {
    let Some((&reason, rest)) = bytes.split_first() else {
        return Ok((ReasonCode::SUCCESS, &[]));
    };
    if version == Version::V4 {
        return Err(Fault::Malformed);
    }
    let properties = match rest {
        [] => rest,
        rest => last_properties(rest, kind)?,
    };
    Ok((ReasonCode(reason), properties))
}

/// Properties behind which nothing comes.
fn last_properties(bytes: &[u8], kind: u8) -> Result<&[u8], Fault> {
    let mut reader = Reader::new(bytes);
    let properties = Properties::take(&mut reader, kind)?;
    match reader.is_empty() {
        true => Ok(properties),
        false => Err(Fault::Malformed),
    }
}

impl<'a> ConnAck<'a> {
    fn decode(body: &'a [u8], version: Version) -> Result<Self, Fault> {
        let (session_present, reason, properties) = connack(body, version)?;
        Ok(Self {
            session_present,
            reason,
            properties: Properties::checked(properties),
        })
    }
}

/// Reads the body of a CONNACK: whether the session is present, reason code and
/// the bytes of its properties.
///
/// A broker that does not speak the version asked for answers in its own, so the
/// shape decides, not `version`.
pub(crate) fn connack(body: &[u8], version: Version) -> Result<(bool, ReasonCode, &[u8]), Fault> {
    let Some((&[flags, code], rest)) = body.split_first_chunk() else {
        return Err(Fault::Malformed);
    };
    let success = code == ReasonCode::SUCCESS.0;
    // Only with success there is a session, and success in the shape of another
    // version is none.
    if flags > u8::from(success) || (success && rest.is_empty() == (version == Version::V5)) {
        return Err(Fault::Malformed);
    }
    let (reason, properties) = match rest {
        [] => (ReasonCode::from_connect_return_code(code), rest),
        rest if version == Version::V5 || code >= 0x80 => {
            (ReasonCode(code), last_properties(rest, kind::CONNACK)?)
        }
        _ => return Err(Fault::Malformed),
    };
    Ok((flags == 1, reason, properties))
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
                let (reason, properties) = tail(body, version, kind)?;
                let properties = Properties::checked(properties);
                return Ok(Self::Auth(Auth { reason, properties }));
            }
            _ => return Err(Fault::Malformed),
        };
        if reader.is_empty() {
            Ok(packet)
        } else {
            Err(Fault::Malformed)
        }
    }
}
