//! Packets in the words of mosquitto's tools, for `-d`.

use std::io::{self, Write};

use aldis_mqtt::wire::{Packet, Property, Publish};

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// What the lines name, as the packets tell it.
#[derive(Default)]
pub struct Names {
    client_id: String,
    /// Publications at QoS 0, which have no packet identifier, are counted.
    published: u16,
}

impl Names {
    /// Prints a packet; `bytes` is the whole of it.
    pub fn print(
        &mut self,
        direction: Direction,
        packet: &Packet<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match direction {
            Direction::Sent => self.sent(packet, &mut out)?,
            Direction::Received => self.received(packet, bytes, &mut out)?,
        }
        out.flush()
    }

    fn sent(&mut self, packet: &Packet<'_>, out: &mut impl Write) -> io::Result<()> {
        if let Packet::Connect(connect) = packet {
            connect.client_id.clone_into(&mut self.client_id);
        }
        let id = &self.client_id;
        match packet {
            Packet::Connect(_) => writeln!(out, "Client {id} sending CONNECT"),
            Packet::Publish(publish) => {
                self.published = self.published.wrapping_add(1).max(1);
                let packet_id = publish.delivery.packet_id();
                let mid = packet_id.map_or(self.published, |id| id.get());
                write!(out, "Client {id} sending ")?;
                publication(publish, mid, out)
            }
            Packet::PubAck(ack) => {
                let (mid, code) = (ack.packet_id, ack.reason.0);
                writeln!(out, "Client {id} sending PUBACK (m{mid}, rc{code})")
            }
            Packet::PubRec(ack) => {
                let (mid, code) = (ack.packet_id, ack.reason.0);
                writeln!(out, "Client {id} sending PUBREC (m{mid}, rc{code})")
            }
            Packet::PubRel(ack) => writeln!(out, "Client {id} sending PUBREL (m{})", ack.packet_id),
            Packet::PubComp(ack) => {
                writeln!(out, "Client {id} sending PUBCOMP (m{})", ack.packet_id)
            }
            Packet::Subscribe(subscribe) => subscribe.filters().try_for_each(|filter| {
                let options = filter.options;
                writeln!(
                    out,
                    "Client {id} sending SUBSCRIBE (Mid: {}, Topic: {}, QoS: {}, Options: {:#04x})",
                    subscribe.packet_id,
                    filter.filter,
                    options.qos.bits(),
                    u8::from(options.no_local) << 2
                        | u8::from(options.retain_as_published) << 3
                        | (options.retain_handling as u8) << 4,
                )
            }),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.filters().try_for_each(|filter| {
                let mid = unsubscribe.packet_id;
                writeln!(
                    out,
                    "Client {id} sending UNSUBSCRIBE (Mid: {mid}, Topic: {filter})"
                )
            }),
            Packet::PingReq => writeln!(out, "Client {id} sending PINGREQ"),
            Packet::Disconnect(_) => writeln!(out, "Client {id} sending DISCONNECT"),
            // What only brokers send.
            _ => Ok(()),
        }
    }

    fn received(
        &mut self,
        packet: &Packet<'_>,
        bytes: &[u8],
        out: &mut impl Write,
    ) -> io::Result<()> {
        if let Packet::ConnAck(ack) = packet {
            for property in ack.properties {
                if let Property::AssignedClientIdentifier(id) = property {
                    id.clone_into(&mut self.client_id);
                }
            }
        }
        let id = &self.client_id;
        match packet {
            Packet::ConnAck(_) => {
                // As it stands there: the packet has it translated to MQTT 5.
                let code = bytes.get(3).copied().unwrap_or(0);
                writeln!(out, "Client {id} received CONNACK ({code})")
            }
            Packet::Publish(publish) => {
                let mid = publish.delivery.packet_id().map_or(0, |id| id.get());
                write!(out, "Client {id} received ")?;
                publication(publish, mid, out)
            }
            Packet::PubAck(ack) => {
                let (mid, code) = (ack.packet_id, ack.reason.0);
                writeln!(out, "Client {id} received PUBACK (Mid: {mid}, RC:{code})")
            }
            Packet::PubRec(ack) => {
                writeln!(out, "Client {id} received PUBREC (Mid: {})", ack.packet_id)
            }
            Packet::PubRel(ack) => {
                writeln!(out, "Client {id} received PUBREL (Mid: {})", ack.packet_id)
            }
            Packet::PubComp(ack) => {
                let (mid, code) = (ack.packet_id, ack.reason.0);
                writeln!(out, "Client {id} received PUBCOMP (Mid: {mid}, RC:{code})")
            }
            Packet::SubAck(ack) => {
                writeln!(out, "Client {id} received SUBACK")?;
                write!(out, "Subscribed (mid: {}): ", ack.packet_id)?;
                for (index, code) in ack.codes.iter().enumerate() {
                    write!(out, "{}{code}", if index > 0 { ", " } else { "" })?;
                }
                writeln!(out)
            }
            Packet::UnsubAck(_) => writeln!(out, "Client {id} received UNSUBACK"),
            Packet::PingResp => writeln!(out, "Client {id} received PINGRESP"),
            Packet::Disconnect(disconnect) => {
                writeln!(out, "Received DISCONNECT ({})", disconnect.reason.0)
            }
            Packet::Auth(_) => writeln!(out, "Client {id} received AUTH"),
            // What only clients send.
            _ => Ok(()),
        }
    }
}

fn publication(publish: &Publish<'_>, mid: u16, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "PUBLISH (d{}, q{}, r{}, m{mid}, '{}', ... ({} bytes))",
        u8::from(publish.delivery.dup()),
        publish.delivery.qos().bits(),
        u8::from(publish.retain),
        publish.topic,
        publish.payload.len()
    )
}
