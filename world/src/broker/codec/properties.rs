//! The properties of MQTT 5: one record for all packets, and a table of what may stand where.

use super::decode::Reader;
use super::encode::Writer;
use super::{PacketType, Violation, reason};
use alloc::string::String;
use alloc::vec::Vec;

/// Every property that a packet can carry.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub struct Properties {
    pub payload_format_indicator: Option<u8>,
    pub message_expiry_interval: Option<u32>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Vec<u8>>,
    pub subscription_identifiers: Vec<u32>,
    pub session_expiry_interval: Option<u32>,
    pub assigned_client_identifier: Option<String>,
    pub server_keep_alive: Option<u16>,
    pub authentication_method: Option<String>,
    pub authentication_data: Option<Vec<u8>>,
    pub request_problem_information: Option<u8>,
    pub will_delay_interval: Option<u32>,
    pub request_response_information: Option<u8>,
    pub response_information: Option<String>,
    pub server_reference: Option<String>,
    pub reason_string: Option<String>,
    pub receive_maximum: Option<u16>,
    pub topic_alias_maximum: Option<u16>,
    pub topic_alias: Option<u16>,
    pub maximum_qos: Option<u8>,
    pub retain_available: Option<u8>,
    pub user_properties: Vec<(String, String)>,
    pub maximum_packet_size: Option<u32>,
    pub wildcard_subscription_available: Option<u8>,
    pub subscription_identifier_available: Option<u8>,
    pub shared_subscription_available: Option<u8>,
}

/// Only what is there, so that a failed comparison can be read.
impl core::fmt::Debug for Properties {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let none = Self::default();
        let mut fields = f.debug_struct("Properties");
        macro_rules! field {
            ($name:ident) => {
                if self.$name != none.$name {
                    fields.field(stringify!($name), &self.$name);
                }
            };
        }
        field!(payload_format_indicator);
        field!(message_expiry_interval);
        field!(content_type);
        field!(response_topic);
        field!(correlation_data);
        field!(subscription_identifiers);
        field!(session_expiry_interval);
        field!(assigned_client_identifier);
        field!(server_keep_alive);
        field!(authentication_method);
        field!(authentication_data);
        field!(request_problem_information);
        field!(will_delay_interval);
        field!(request_response_information);
        field!(response_information);
        field!(server_reference);
        field!(reason_string);
        field!(receive_maximum);
        field!(topic_alias_maximum);
        field!(topic_alias);
        field!(maximum_qos);
        field!(retain_available);
        field!(user_properties);
        field!(maximum_packet_size);
        field!(wildcard_subscription_available);
        field!(subscription_identifier_available);
        field!(shared_subscription_available);
        fields.finish()
    }
}

/// Where properties stand: in a packet, or in the will of a CONNECT.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Packet(PacketType),
    Will,
}

impl Place {
    fn bit(self) -> u16 {
        match self {
            Self::Will => 1,
            Self::Packet(kind) => 1 << (kind as u8),
        }
    }
}

const WILL: u16 = 1;
const CONNECT: u16 = 1 << 1;
const CONNACK: u16 = 1 << 2;
const PUBLISH: u16 = 1 << 3;
const ACKS: u16 = 0b1111 << 4;
const SUBSCRIBE: u16 = 1 << 8;
const SUBACKS: u16 = 1 << 9 | 1 << 11;
const UNSUBSCRIBE: u16 = 1 << 10;
const DISCONNECT: u16 = 1 << 14;
const AUTH: u16 = 1 << 15;

/// Table 2-4 of the standard.
fn allowed(id: u32) -> u16 {
    match id {
        0x01 | 0x02 | 0x03 | 0x08 | 0x09 => PUBLISH | WILL,
        0x0B => PUBLISH | SUBSCRIBE,
        0x11 => CONNECT | CONNACK | DISCONNECT,
        0x12 | 0x13 | 0x1A | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => CONNACK,
        0x15 | 0x16 => CONNECT | CONNACK | AUTH,
        0x17 | 0x19 => CONNECT,
        0x18 => WILL,
        0x1C => CONNACK | DISCONNECT,
        0x1F => CONNACK | ACKS | SUBACKS | DISCONNECT | AUTH,
        0x21 | 0x22 | 0x27 => CONNECT | CONNACK,
        0x23 => PUBLISH,
        0x26 => {
            WILL | CONNECT
                | CONNACK
                | PUBLISH
                | ACKS
                | SUBSCRIBE
                | SUBACKS
                | UNSUBSCRIBE
                | DISCONNECT
                | AUTH
        }
        _ => 0,
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Violation> {
    if slot.replace(value).is_some() {
        return Err(Violation::protocol("a property is there twice"));
    }
    Ok(())
}

fn flag(value: u8) -> Result<u8, Violation> {
    if value > 1 {
        return Err(Violation::protocol("a property that is 0 or 1 is neither"));
    }
    Ok(value)
}

fn nonzero<T: PartialEq + Default>(value: T) -> Result<T, Violation> {
    if value == T::default() {
        return Err(Violation::protocol("a property that cannot be 0 is 0"));
    }
    Ok(value)
}

impl Properties {
    pub(super) fn read(reader: &mut Reader<'_>, place: Place) -> Result<Self, Violation> {
        let length = reader.varint()?;
        let mut r = Reader::new(reader.take(length as usize)?);
        let mut p = Self::default();
        while !r.is_empty() {
            let id = r.varint()?;
            match allowed(id) {
                0 => return Err(Violation::malformed("unknown property")),
                places if places & place.bit() == 0 => {
                    return Err(Violation::malformed("property of another packet"));
                }
                _ => {}
            }
            match id {
                0x01 => once(&mut p.payload_format_indicator, flag(r.u8()?)?)?,
                0x02 => once(&mut p.message_expiry_interval, r.u32()?)?,
                0x03 => once(&mut p.content_type, r.string()?)?,
                0x08 => once(&mut p.response_topic, r.string()?)?,
                0x09 => once(&mut p.correlation_data, r.binary()?)?,
                0x0B => {
                    if matches!(place, Place::Packet(PacketType::Subscribe))
                        && !p.subscription_identifiers.is_empty()
                    {
                        return Err(Violation::protocol("a property is there twice"));
                    }
                    p.subscription_identifiers.push(nonzero(r.varint()?)?);
                }
                0x11 => once(&mut p.session_expiry_interval, r.u32()?)?,
                0x12 => once(&mut p.assigned_client_identifier, r.string()?)?,
                0x13 => once(&mut p.server_keep_alive, r.u16()?)?,
                0x15 => once(&mut p.authentication_method, r.string()?)?,
                0x16 => once(&mut p.authentication_data, r.binary()?)?,
                0x17 => once(&mut p.request_problem_information, flag(r.u8()?)?)?,
                0x18 => once(&mut p.will_delay_interval, r.u32()?)?,
                0x19 => once(&mut p.request_response_information, flag(r.u8()?)?)?,
                0x1A => once(&mut p.response_information, r.string()?)?,
                0x1C => once(&mut p.server_reference, r.string()?)?,
                0x1F => once(&mut p.reason_string, r.string()?)?,
                0x21 => once(&mut p.receive_maximum, nonzero(r.u16()?)?)?,
                0x22 => once(&mut p.topic_alias_maximum, r.u16()?)?,
                0x23 => match r.u16()? {
                    0 => {
                        return Err(Violation::new(
                            reason::TOPIC_ALIAS_INVALID,
                            "topic alias is 0",
                        ));
                    }
                    alias => once(&mut p.topic_alias, alias)?,
                },
                0x24 => once(&mut p.maximum_qos, flag(r.u8()?)?)?,
                0x25 => once(&mut p.retain_available, flag(r.u8()?)?)?,
                0x26 => p.user_properties.push((r.string()?, r.string()?)),
                0x27 => once(&mut p.maximum_packet_size, nonzero(r.u32()?)?)?,
                0x28 => once(&mut p.wildcard_subscription_available, flag(r.u8()?)?)?,
                0x29 => once(&mut p.subscription_identifier_available, flag(r.u8()?)?)?,
                0x2A => once(&mut p.shared_subscription_available, flag(r.u8()?)?)?,
                _ => return Err(Violation::malformed("unknown property")),
            }
        }
        Ok(p)
    }

    pub(super) fn write(&self, w: &mut Writer) {
        let mut body = Writer::default();
        self.write_each(&mut body);
        w.varint(body.len() as u32);
        w.raw(&body.into_bytes());
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn write_each(&self, w: &mut Writer) {
        let byte = |w: &mut Writer, id: u8, value: Option<u8>| {
            if let Some(value) = value {
                w.u8(id);
                w.u8(value);
            }
        };
        let two = |w: &mut Writer, id: u8, value: Option<u16>| {
            if let Some(value) = value {
                w.u8(id);
                w.u16(value);
            }
        };
        let four = |w: &mut Writer, id: u8, value: Option<u32>| {
            if let Some(value) = value {
                w.u8(id);
                w.u32(value);
            }
        };
        let text = |w: &mut Writer, id: u8, value: &Option<String>| {
            if let Some(value) = value {
                w.u8(id);
                w.binary(value.as_bytes());
            }
        };
        let binary = |w: &mut Writer, id: u8, value: &Option<Vec<u8>>| {
            if let Some(value) = value {
                w.u8(id);
                w.binary(value);
            }
        };
        byte(w, 0x01, self.payload_format_indicator);
        four(w, 0x02, self.message_expiry_interval);
        text(w, 0x03, &self.content_type);
        text(w, 0x08, &self.response_topic);
        binary(w, 0x09, &self.correlation_data);
        for &id in &self.subscription_identifiers {
            w.u8(0x0B);
            w.varint(id);
        }
        four(w, 0x11, self.session_expiry_interval);
        text(w, 0x12, &self.assigned_client_identifier);
        two(w, 0x13, self.server_keep_alive);
        text(w, 0x15, &self.authentication_method);
        binary(w, 0x16, &self.authentication_data);
        byte(w, 0x17, self.request_problem_information);
        four(w, 0x18, self.will_delay_interval);
        byte(w, 0x19, self.request_response_information);
        text(w, 0x1A, &self.response_information);
        text(w, 0x1C, &self.server_reference);
        text(w, 0x1F, &self.reason_string);
        two(w, 0x21, self.receive_maximum);
        two(w, 0x22, self.topic_alias_maximum);
        two(w, 0x23, self.topic_alias);
        byte(w, 0x24, self.maximum_qos);
        byte(w, 0x25, self.retain_available);
        for (name, value) in &self.user_properties {
            w.u8(0x26);
            w.binary(name.as_bytes());
            w.binary(value.as_bytes());
        }
        four(w, 0x27, self.maximum_packet_size);
        byte(w, 0x28, self.wildcard_subscription_available);
        byte(w, 0x29, self.subscription_identifier_available);
        byte(w, 0x2A, self.shared_subscription_available);
    }
}
