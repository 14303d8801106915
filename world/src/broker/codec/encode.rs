//! Packets to bytes.

use super::{Ack, Connect, Packet, PacketType, Properties, Publish, Qos, Reason, SubAck, Version};
use alloc::vec::Vec;

/// Grows a packet's body.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn varint(&mut self, mut value: u32) {
        loop {
            let byte = (value & 0x7F) as u8;
            value >>= 7;
            if value == 0 {
                return self.u8(byte);
            }
            self.u8(byte | 0x80);
        }
    }

    /// A field with its length in front, cut at what two bytes of length can say.
    pub(super) fn binary(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length);
        self.raw(bytes.get(..usize::from(length)).unwrap_or(bytes));
    }

    fn properties(&mut self, version: Version, properties: &Properties) {
        if version == Version::V5 {
            properties.write(self);
        }
    }
}

impl Packet {
    /// The packet's bytes in a version; a CONNECT has its own.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let mut w = Writer::default();
        let mut flags = 0;
        match self {
            Self::Connect(p) => connect(&mut w, p),
            Self::ConnAck(p) => {
                w.u8(u8::from(p.session_present));
                w.u8(p.code);
                w.properties(version, &p.properties);
            }
            Self::Publish(p) => {
                flags = u8::from(p.dup) << 3 | p.qos.number() << 1 | u8::from(p.retain);
                publish(&mut w, p, version);
            }
            Self::PubAck(p) | Self::PubRec(p) | Self::PubComp(p) => ack(&mut w, p, version),
            Self::PubRel(p) => {
                flags = 2;
                ack(&mut w, p, version);
            }
            Self::Subscribe(p) => {
                flags = 2;
                w.u16(p.packet_id);
                w.properties(version, &p.properties);
                for filter in &p.filters {
                    w.binary(filter.filter.as_bytes());
                    w.u8(filter.qos.number()
                        | u8::from(filter.no_local) << 2
                        | u8::from(filter.retain_as_published) << 3
                        | filter.retain_handling << 4);
                }
            }
            Self::SubAck(p) => {
                suback(&mut w, p, version);
                w.raw(&p.codes);
            }
            Self::Unsubscribe(p) => {
                flags = 2;
                w.u16(p.packet_id);
                w.properties(version, &p.properties);
                for filter in &p.filters {
                    w.binary(filter.as_bytes());
                }
            }
            Self::UnsubAck(p) => {
                suback(&mut w, p, version);
                if version == Version::V5 {
                    w.raw(&p.codes);
                }
            }
            Self::PingReq | Self::PingResp => {}
            Self::Disconnect(p) | Self::Auth(p) => ending(&mut w, p, version),
        }
        finish(self.packet_type(), flags, w)
    }
}

fn finish(kind: PacketType, flags: u8, body: Writer) -> Vec<u8> {
    let mut packet = Writer::default();
    packet.u8((kind as u8) << 4 | flags);
    packet.varint(u32::try_from(body.len()).unwrap_or(u32::MAX));
    packet.raw(&body.into_bytes());
    packet.into_bytes()
}

fn connect(w: &mut Writer, p: &Connect) {
    w.binary(b"MQTT");
    w.u8(match p.version {
        Version::V4 => 4,
        Version::V5 => 5,
    });
    let mut flags = u8::from(p.clean_start) << 1
        | u8::from(p.username.is_some()) << 7
        | u8::from(p.password.is_some()) << 6;
    if let Some(will) = &p.will {
        flags |= 0x04 | will.qos.number() << 3 | u8::from(will.retain) << 5;
    }
    w.u8(flags);
    w.u16(p.keep_alive);
    w.properties(p.version, &p.properties);
    w.binary(p.client_id.as_bytes());
    if let Some(will) = &p.will {
        w.properties(p.version, &will.properties);
        w.binary(will.topic.as_bytes());
        w.binary(&will.payload);
    }
    if let Some(username) = &p.username {
        w.binary(username.as_bytes());
    }
    if let Some(password) = &p.password {
        w.binary(password);
    }
}

fn publish(w: &mut Writer, p: &Publish, version: Version) {
    w.binary(p.topic.as_bytes());
    if p.qos != Qos::AtMostOnce {
        w.u16(p.packet_id);
    }
    w.properties(version, &p.properties);
    w.raw(&p.payload);
}

/// The short forms where nothing but success is to be said.
fn ack(w: &mut Writer, p: &Ack, version: Version) {
    w.u16(p.packet_id);
    reason(w, p.code, &p.properties, version);
}

fn ending(w: &mut Writer, p: &Reason, version: Version) {
    reason(w, p.code, &p.properties, version);
}

fn reason(w: &mut Writer, code: u8, properties: &Properties, version: Version) {
    if version == Version::V4 || (code == 0 && properties.is_empty()) {
        return;
    }
    w.u8(code);
    if !properties.is_empty() {
        properties.write(w);
    }
}

fn suback(w: &mut Writer, p: &SubAck, version: Version) {
    w.u16(p.packet_id);
    w.properties(version, &p.properties);
}
