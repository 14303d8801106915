//! The broker model and mosquitto 2.0.11 in the same conversations.
//!
//! Where mosquitto leaves the standard, the step is a `deviates` that names the requirement and
//! fixes both behaviours; everything else must be equal, packet for packet.

mod connecting;
mod delivering;
mod deviations;
mod duel;
mod errors;
mod mosquitto;
mod publishing;
mod subscribing;

use aldis_world::broker::codec::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, Qos, Reason, SubAck, Subscribe,
    SubscribeFilter, Unsubscribe, Version, Will,
};
use aldis_world::broker::{Config, Qos2Method};
use duel::{Difference, Duel, Id, Seen};

const BOTH: [Version; 2] = [Version::V4, Version::V5];
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// Opens a connection and sends a CONNECT with clean start.
fn client(duel: &mut Duel, version: Version, name: &str) -> Id {
    connected(duel, Connect::new(version, name)).0
}

/// The same with a CONNECT of one's own; insists on success.
fn connected(duel: &mut Duel, connect: Connect) -> (Id, Vec<Packet>) {
    let id = duel.open(connect.version);
    let seen = duel.send(id, Packet::Connect(connect));
    assert!(
        matches!(seen.first(), Some(Packet::ConnAck(ack)) if ack.code == 0),
        "not connected: {seen:?}"
    );
    (id, seen)
}

/// A CONNECT whose session outlives the connection.
fn lasting(version: Version, name: &str) -> Connect {
    let mut connect = Connect::new(version, name);
    connect.clean_start = false;
    if version == Version::V5 {
        connect.properties.session_expiry_interval = Some(600);
    }
    connect
}

fn publish(topic: &str, qos: Qos, packet_id: u16) -> Publish {
    Publish {
        topic: topic.into(),
        qos,
        packet_id,
        payload: b"payload".to_vec(),
        ..Publish::default()
    }
}

fn filter(filter: &str, qos: Qos) -> SubscribeFilter {
    SubscribeFilter {
        filter: filter.into(),
        qos,
        ..SubscribeFilter::default()
    }
}

fn subscribe(filters: impl Into<Vec<SubscribeFilter>>) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: 500,
        filters: filters.into(),
        ..Subscribe::default()
    })
}

fn unsubscribe(filters: &[&str]) -> Packet {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: 501,
        filters: filters.iter().map(|&f| f.into()).collect(),
        ..Unsubscribe::default()
    })
}

fn ack(kind: fn(Ack) -> Packet, packet_id: u16) -> Packet {
    kind(Ack::new(packet_id, 0))
}

fn disconnect(code: u8) -> Packet {
    Packet::Disconnect(Reason {
        code,
        ..Reason::default()
    })
}

fn publications(seen: &[Packet]) -> Vec<&Publish> {
    seen.iter()
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        })
        .collect()
}
