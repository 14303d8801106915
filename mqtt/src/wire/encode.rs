//! Packets to bytes.

use super::packet::{Ack, Auth, Connect, Disconnect, Packet, kind};
use super::write::{NoRoom, Writer, varint_len};
use super::{MAX_REMAINING_LENGTH, Properties, ReasonCode, Version};

impl Connect<'_> {
    /// Appends the body of the packet, with this client identifier.
    pub(crate) fn write(
        &self,
        client_id: &[u8],
        version: Version,
        w: &mut Writer<'_>,
    ) -> Result<(), NoRoom> {
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
        w.binary(client_id)?;
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

impl Packet<'_> {
    /// Writes the packet into `buf` and gives the part of it that it fills.
    ///
    /// Five bytes more than the packet takes may be needed for a moment.
    pub fn encode<'b>(&self, version: Version, buf: &'b mut [u8]) -> Result<&'b [u8], NoRoom> {
        let body = buf.get_mut(HEADER_ROOM..).ok_or(NoRoom)?;
        let mut w = Writer::new(body);
        let first = self.write_body(version, &mut w)?;
        let len = w.len();
        if len > MAX_REMAINING_LENGTH as usize {
            return Err(NoRoom);
        }
        let start = write_header(buf, first, len as u32);
        buf.get(start..HEADER_ROOM + len).ok_or(NoRoom)
    }

    fn write_body(&self, version: Version, w: &mut Writer<'_>) -> Result<u8, NoRoom> {
        let kind = match self {
            Self::Connect(connect) => {
                connect.write(connect.client_id.as_bytes(), version, w)?;
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

/// Room for the longest fixed header, kept free in front of a body.
pub(crate) const HEADER_ROOM: usize = 5;

/// Writes a fixed header so that it ends where the body begins, at
/// [`HEADER_ROOM`], and says where it starts.
pub(crate) fn write_header(buf: &mut [u8], first: u8, len: u32) -> usize {
    let start = HEADER_ROOM - 1 - varint_len(len);
    let mut rest = len;
    let mut next = first;
    for place in buf.get_mut(start..HEADER_ROOM).unwrap_or(&mut []) {
        *place = next;
        next = rest as u8 & 0x7f | u8::from(rest >= 0x80) << 7;
        rest >>= 7;
    }
    start
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
