//! The model against the standard, in virtual time.

mod delivery;
mod fuzz;
mod limits;
mod sessions;

use super::codec::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, Qos, Reason, Subscribe, SubscribeFilter,
    Version, Will, frame, reason,
};
use super::*;

/// A client's end of a connection: whole packets in, whole packets out.
struct Peer {
    conn: ConnId,
    version: Version,
}

impl Peer {
    fn open(broker: &mut Broker, connect: Connect, now: u64) -> (Self, Vec<Packet>) {
        let peer = Self {
            conn: broker.open(now),
            version: connect.version,
        };
        let answers = peer.ask(broker, Packet::Connect(connect), now);
        (peer, answers)
    }

    /// Connects and insists on success; gives what follows CONNACK.
    fn connect(broker: &mut Broker, connect: Connect, now: u64) -> (Self, ConnAck, Vec<Packet>) {
        let (peer, mut answers) = Self::open(broker, connect, now);
        match answers.remove(0) {
            Packet::ConnAck(ack) if ack.code == 0 => (peer, ack, answers),
            other => panic!("not connected: {other:?}"),
        }
    }

    fn simple(broker: &mut Broker, version: Version, client_id: &str) -> Self {
        Self::connect(broker, Connect::new(version, client_id), 0).0
    }

    fn ask(&self, broker: &mut Broker, packet: Packet, now: u64) -> Vec<Packet> {
        broker.receive(self.conn, &packet.encode(self.version), now);
        self.read(broker)
    }

    fn read(&self, broker: &mut Broker) -> Vec<Packet> {
        let bytes = broker.output(self.conn);
        decode_all(self.version, &bytes)
    }

    fn subscribe(&self, broker: &mut Broker, filter: &str, qos: Qos) -> Vec<Packet> {
        self.ask(broker, subscribe(filter, qos), 0)
    }
}

fn decode_all(version: Version, mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let frame = frame(bytes).unwrap().expect("a whole header");
        let (packet, rest) = bytes.split_at(frame.total);
        packets.push(Packet::decode(version, packet).unwrap());
        bytes = rest;
    }
    packets
}

fn subscribe(filter: &str, qos: Qos) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: 77,
        filters: vec![SubscribeFilter {
            filter: filter.into(),
            qos,
            ..SubscribeFilter::default()
        }],
        ..Subscribe::default()
    })
}

fn publish(topic: &str, qos: Qos, packet_id: u16) -> Packet {
    Packet::Publish(Publish {
        topic: topic.into(),
        qos,
        packet_id,
        payload: b"payload".to_vec(),
        ..Publish::default()
    })
}

/// A v5 CONNECT that keeps its session for `expiry` seconds.
fn lasting(client_id: &str, expiry: u32) -> Connect {
    let mut connect = Connect::new(Version::V5, client_id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval = Some(expiry);
    connect
}

fn with_will(mut connect: Connect, delay: Option<u32>) -> Connect {
    connect.will = Some(Will {
        topic: "will".into(),
        payload: b"gone".to_vec(),
        properties: Properties {
            will_delay_interval: delay,
            ..Properties::default()
        },
        ..Will::default()
    });
    connect
}

/// The publications among packets.
fn publications(packets: &[Packet]) -> Vec<&Publish> {
    packets
        .iter()
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        })
        .collect()
}

fn disconnect_code(packets: &[Packet]) -> Option<u8> {
    packets.iter().find_map(|packet| match packet {
        Packet::Disconnect(Reason { code, .. }) => Some(*code),
        _ => None,
    })
}
