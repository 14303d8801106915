//! Publications to clients: repetition, flow control, odd answers.

use super::*;

#[test]
fn what_was_not_acknowledged_comes_again_in_order() {
    for version in BOTH {
        let mut duel = Duel::new();
        let publisher = client(&mut duel, version, "publisher");
        let (a, _) = connected(&mut duel, lasting(version, "a"));
        duel.send(a, subscribe([filter("t/#", Qos::AtLeastOnce)]));
        let publication = |qos, id| Packet::Publish(publish("t/x", qos, id));
        for id in 1..=3 {
            duel.send(publisher, publication(Qos::AtLeastOnce, id));
        }
        duel.send(a, ack(Packet::PubAck, 2));
        duel.lose(a);
        duel.send(publisher, publication(Qos::AtLeastOnce, 4));
        duel.send(publisher, publication(Qos::AtMostOnce, 0));
        let (_, seen) = connected(&mut duel, lasting(version, "a"));
        let dups: Vec<bool> = publications(&seen).iter().map(|p| p.dup).collect();
        assert_eq!(dups, [true, true, false]);
    }
}

#[test]
fn a_qos_2_delivery_is_taken_up_where_it_was() {
    for version in BOTH {
        let mut duel = Duel::new();
        let (a, _) = connected(&mut duel, lasting(version, "a"));
        duel.send(a, subscribe([filter("t", Qos::ExactlyOnce)]));
        let publisher = client(&mut duel, version, "publisher");
        for id in 1..=2 {
            duel.put(
                publisher,
                &Packet::Publish(publish("t", Qos::ExactlyOnce, id)).encode(version),
            );
            duel.put(publisher, &ack(Packet::PubRel, id).encode(version));
        }
        duel.send(publisher, Packet::PingReq);
        duel.send(a, ack(Packet::PubRec, 1));
        for _ in 0..2 {
            duel.lose(a);
            let (again, seen) = connected(&mut duel, lasting(version, "a"));
            assert_eq!(seen.len(), 3);
            duel.send(again, Packet::PingReq);
            duel.lose(again);
        }
        let (a, _) = connected(&mut duel, lasting(version, "a"));
        duel.send(a, ack(Packet::PubComp, 1));
        duel.send(a, ack(Packet::PubRec, 2));
        duel.send(a, ack(Packet::PubRec, 2));
        duel.send(a, ack(Packet::PubComp, 2));
    }
}

#[test]
fn the_maximum_packet_size_of_the_client() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut duel = Duel::new();
        let mut connect = Connect::new(Version::V5, "a");
        connect.properties.maximum_packet_size = Some(40);
        let (a, _) = connected(&mut duel, connect);
        duel.send(a, subscribe([filter("t", qos)]));
        let b = client(&mut duel, Version::V5, "b");
        for (id, size) in [(1, 10), (2, 100), (3, 10)] {
            duel.send(
                b,
                Packet::Publish(Publish {
                    payload: vec![b'x'; size],
                    ..publish("t", Qos::AtLeastOnce, id)
                }),
            );
        }
    }
}

#[test]
fn answers_to_nothing() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = client(&mut duel, version, "a");
        duel.send(a, ack(Packet::PubAck, 9));
        duel.send(a, ack(Packet::PubComp, 9));
        if version == Version::V4 {
            duel.send(a, ack(Packet::PubRec, 9));
        }
    }
}

#[test]
fn a_client_that_refuses_a_publication() {
    let mut duel = Duel::new();
    let mut connect = Connect::new(Version::V5, "a");
    connect.properties.receive_maximum = Some(1);
    let (a, _) = connected(&mut duel, connect);
    duel.send(a, subscribe([filter("t", Qos::AtLeastOnce)]));
    let b = client(&mut duel, Version::V5, "b");
    for id in 1..=2 {
        duel.send(b, Packet::Publish(publish("t", Qos::AtLeastOnce, id)));
    }
    duel.send(a, Packet::PubAck(Ack::new(1, 0x83)));
}
