//! Bytes to packets, strictly: whatever the standard forbids is a [`Violation`].

use super::properties::{Place, Properties};
use super::{
    Ack, ConnAck, Connect, Packet, PacketType, Publish, Qos, Reason, SubAck, Subscribe,
    SubscribeFilter, Unsubscribe, Version, Violation, Will, reason,
};
use alloc::string::String;
use alloc::vec::Vec;

/// Where a packet ends, read from its fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes before the body.
    pub header: usize,
    /// Bytes of the whole packet.
    pub total: usize,
    /// Whether the length was written in more bytes than it needs.
    pub overlong: bool,
}

/// Reads a fixed header; `None` until all of it is there.
pub fn frame(bytes: &[u8]) -> Result<Option<Frame>, Violation> {
    let mut value = 0usize;
    for (i, &byte) in bytes.iter().skip(1).take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            let header = i + 2;
            return Ok(Some(Frame {
                header,
                total: header + value,
                overlong: i > 0 && byte == 0,
            }));
        }
    }
    if bytes.len() > 4 {
        return Err(Violation::malformed("the length takes more than 4 bytes"));
    }
    Ok(None)
}

/// A cursor that cannot run past the end.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Violation> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or(Violation::malformed("a field is longer than the packet"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Violation> {
        let (head, tail) = self
            .0
            .split_first_chunk()
            .ok_or(Violation::malformed("the packet ends within a field"))?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Violation> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Violation> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Violation> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u32, Violation> {
        let mut value = 0;
        for i in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << (7 * i);
            if byte & 0x80 == 0 {
                if i > 0 && byte == 0 {
                    return Err(Violation::malformed("a number has superfluous bytes"));
                }
                return Ok(value);
            }
        }
        Err(Violation::malformed("a number takes more than 4 bytes"))
    }

    pub(super) fn binary(&mut self) -> Result<Vec<u8>, Violation> {
        let length = self.u16()?;
        self.take(usize::from(length)).map(<[u8]>::to_vec)
    }

    pub(super) fn string(&mut self) -> Result<String, Violation> {
        let text = String::from_utf8(self.binary()?)
            .map_err(|_| Violation::malformed("a string is not UTF-8"))?;
        if text.contains('\0') {
            return Err(Violation::malformed("a string contains U+0000"));
        }
        Ok(text)
    }

    fn packet_id(&mut self) -> Result<u16, Violation> {
        match self.u16()? {
            0 => Err(Violation::protocol("packet identifier 0")),
            id => Ok(id),
        }
    }

    fn properties(&mut self, version: Version, kind: PacketType) -> Result<Properties, Violation> {
        match version {
            Version::V4 => Ok(Properties::default()),
            Version::V5 => Properties::read(self, Place::Packet(kind)),
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    fn end(&self) -> Result<(), Violation> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Violation::malformed("the packet has bytes left over"))
        }
    }
}

impl Packet {
    /// Decodes one whole packet, whose length must be that of its [`frame`].
    ///
    /// `version` is the one of the connection; a CONNECT says its own.
    pub fn decode(version: Version, bytes: &[u8]) -> Result<Self, Violation> {
        let Some(frame) = frame(bytes)? else {
            return Err(Violation::malformed("the packet ends within its header"));
        };
        let (Some(&first), Some(body)) = (bytes.first(), bytes.get(frame.header..)) else {
            return Err(Violation::malformed("the packet ends within its header"));
        };
        if bytes.len() != frame.total {
            return Err(Violation::malformed("the packet is not as long as it says"));
        }
        let kind =
            PacketType::from_number(first >> 4).ok_or(Violation::malformed("packet type 0"))?;
        if frame.overlong && version == Version::V5 && kind != PacketType::Connect {
            return Err(Violation::malformed("the length has superfluous bytes"));
        }
        let flags = first & 0x0F;
        let expected = match kind {
            PacketType::Publish => flags,
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 2,
            _ => 0,
        };
        if flags != expected {
            return Err(Violation::malformed("reserved bits of the header are set"));
        }
        let mut r = Reader::new(body);
        let packet = match kind {
            PacketType::Connect => Self::Connect(connect(&mut r)?),
            PacketType::ConnAck => Self::ConnAck(connack(&mut r, version)?),
            PacketType::Publish => Self::Publish(publish(&mut r, version, flags)?),
            PacketType::PubAck => Self::PubAck(ack(&mut r, version, kind)?),
            PacketType::PubRec => Self::PubRec(ack(&mut r, version, kind)?),
            PacketType::PubRel => Self::PubRel(ack(&mut r, version, kind)?),
            PacketType::PubComp => Self::PubComp(ack(&mut r, version, kind)?),
            PacketType::Subscribe => Self::Subscribe(subscribe(&mut r, version)?),
            PacketType::SubAck => Self::SubAck(suback(&mut r, version, kind)?),
            PacketType::Unsubscribe => Self::Unsubscribe(unsubscribe(&mut r, version)?),
            PacketType::UnsubAck => Self::UnsubAck(suback(&mut r, version, kind)?),
            PacketType::PingReq => Self::PingReq,
            PacketType::PingResp => Self::PingResp,
            PacketType::Disconnect => Self::Disconnect(ending(&mut r, version, kind)?),
            PacketType::Auth if version == Version::V4 => {
                return Err(Violation::malformed("packet type 15"));
            }
            PacketType::Auth => Self::Auth(ending(&mut r, version, kind)?),
        };
        r.end()?;
        Ok(packet)
    }
}

/// The protocol level of a CONNECT, if so much of it can be read.
pub(in crate::broker) fn connect_level(bytes: &[u8]) -> Option<u8> {
    let frame = frame(bytes).ok()??;
    let mut r = Reader::new(bytes.get(frame.header..)?);
    (bytes.first()? >> 4 == PacketType::Connect as u8).then_some(())?;
    r.binary().ok()?;
    r.u8().ok()
}

fn connect(r: &mut Reader<'_>) -> Result<Connect, Violation> {
    let name = r.string()?;
    let level = r.u8()?;
    let version = match (name.as_str(), level) {
        ("MQTT", 4) => Version::V4,
        ("MQTT", 5) => Version::V5,
        ("MQTT", _) | ("MQIsdp", _) => {
            return Err(Violation::new(
                reason::UNSUPPORTED_VERSION,
                "unsupported protocol version",
            ));
        }
        _ => return Err(Violation::protocol("the protocol is not named MQTT")),
    };
    let flags = r.u8()?;
    if flags & 0x01 != 0 {
        return Err(Violation::malformed("the reserved connect flag is set"));
    }
    let (has_will, has_username, has_password) =
        (flags & 0x04 != 0, flags & 0x80 != 0, flags & 0x40 != 0);
    let will_qos = Qos::from_number(flags >> 3 & 3).ok_or(Violation::malformed("will QoS 3"))?;
    let will_retain = flags & 0x20 != 0;
    if !has_will && (will_retain || will_qos != Qos::AtMostOnce) {
        return Err(Violation::malformed("will flags without a will"));
    }
    if version == Version::V4 && has_password && !has_username {
        return Err(Violation::malformed("a password without a user name"));
    }
    let keep_alive = r.u16()?;
    let properties = r.properties(version, PacketType::Connect)?;
    if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
        return Err(Violation::protocol("authentication data without a method"));
    }
    let client_id = r.string()?;
    let will = if has_will {
        let properties = match version {
            Version::V4 => Properties::default(),
            Version::V5 => Properties::read(r, Place::Will)?,
        };
        Some(Will {
            properties,
            topic: r.string()?,
            payload: r.binary()?,
            qos: will_qos,
            retain: will_retain,
        })
    } else {
        None
    };
    Ok(Connect {
        version,
        clean_start: flags & 0x02 != 0,
        keep_alive,
        client_id,
        will,
        username: has_username.then(|| r.string()).transpose()?,
        password: has_password.then(|| r.binary()).transpose()?,
        properties,
    })
}

fn connack(r: &mut Reader<'_>, version: Version) -> Result<ConnAck, Violation> {
    let flags = r.u8()?;
    if flags > 1 {
        return Err(Violation::malformed("reserved bits of CONNACK are set"));
    }
    Ok(ConnAck {
        session_present: flags == 1,
        code: r.u8()?,
        properties: r.properties(version, PacketType::ConnAck)?,
    })
}

fn publish(r: &mut Reader<'_>, version: Version, flags: u8) -> Result<Publish, Violation> {
    let qos = Qos::from_number(flags >> 1 & 3).ok_or(Violation::malformed("QoS 3"))?;
    let dup = flags & 0x08 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(Violation::malformed("DUP is set at QoS 0"));
    }
    let topic = r.string()?;
    let packet_id = match qos {
        Qos::AtMostOnce => 0,
        _ => r.packet_id()?,
    };
    Ok(Publish {
        dup,
        qos,
        retain: flags & 0x01 != 0,
        topic,
        packet_id,
        properties: r.properties(version, PacketType::Publish)?,
        payload: r.rest().to_vec(),
    })
}

fn ack(r: &mut Reader<'_>, version: Version, kind: PacketType) -> Result<Ack, Violation> {
    let mut ack = Ack::new(r.packet_id()?, 0);
    if version == Version::V5 && !r.is_empty() {
        ack.code = r.u8()?;
        if !r.is_empty() {
            ack.properties = r.properties(version, kind)?;
        }
    }
    let known = match kind {
        PacketType::PubAck | PacketType::PubRec => matches!(
            ack.code,
            0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99
        ),
        _ => matches!(ack.code, 0x00 | 0x92),
    };
    if !known {
        return Err(Violation::malformed("unknown reason code"));
    }
    Ok(ack)
}

fn subscribe(r: &mut Reader<'_>, version: Version) -> Result<Subscribe, Violation> {
    let packet_id = r.packet_id()?;
    let properties = r.properties(version, PacketType::Subscribe)?;
    let mut filters = Vec::new();
    while !r.is_empty() {
        let filter = r.string()?;
        let options = r.u8()?;
        let reserved = match version {
            Version::V4 => 0xFC,
            Version::V5 => 0xC0,
        };
        if options & reserved != 0 {
            return Err(Violation::malformed(
                "reserved subscription options are set",
            ));
        }
        if options >> 4 == 3 {
            return Err(Violation::protocol("retain handling 3"));
        }
        filters.push(SubscribeFilter {
            filter,
            qos: Qos::from_number(options & 3).ok_or(Violation::malformed("QoS 3"))?,
            no_local: options & 0x04 != 0,
            retain_as_published: options & 0x08 != 0,
            retain_handling: options >> 4,
        });
    }
    if filters.is_empty() {
        return Err(Violation::protocol("SUBSCRIBE without a filter"));
    }
    Ok(Subscribe {
        packet_id,
        properties,
        filters,
    })
}

fn suback(r: &mut Reader<'_>, version: Version, kind: PacketType) -> Result<SubAck, Violation> {
    Ok(SubAck {
        packet_id: r.packet_id()?,
        properties: r.properties(version, kind)?,
        codes: match (version, kind) {
            (Version::V4, PacketType::UnsubAck) => Vec::new(),
            _ => r.rest().to_vec(),
        },
    })
}

fn unsubscribe(r: &mut Reader<'_>, version: Version) -> Result<Unsubscribe, Violation> {
    let packet_id = r.packet_id()?;
    let properties = r.properties(version, PacketType::Unsubscribe)?;
    let mut filters = Vec::new();
    while !r.is_empty() {
        filters.push(r.string()?);
    }
    if filters.is_empty() {
        return Err(Violation::protocol("UNSUBSCRIBE without a filter"));
    }
    Ok(Unsubscribe {
        packet_id,
        properties,
        filters,
    })
}

fn ending(r: &mut Reader<'_>, version: Version, kind: PacketType) -> Result<Reason, Violation> {
    let mut ending = Reason::default();
    if version == Version::V5 && !r.is_empty() {
        ending.code = r.u8()?;
        if !r.is_empty() {
            ending.properties = r.properties(version, kind)?;
        }
    }
    Ok(ending)
}
