//! Publications to subscribers: order, repetition, flow control, expiry, retained messages.

use super::*;

fn offline_subscriber(broker: &mut Broker, client_id: &str, filter: &str, qos: Qos) {
    let (peer, ..) = Peer::connect(broker, lasting(client_id, 600), 0);
    peer.subscribe(broker, filter, qos);
    broker.closed(peer.conn, 0);
}

#[test]
fn what_was_not_acknowledged_comes_again_in_order_and_marked() {
    let mut broker = Broker::new(Config::default());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    peer.subscribe(&mut broker, "#", Qos::ExactlyOnce);
    for (topic, qos) in [
        ("a", Qos::AtLeastOnce),
        ("b", Qos::ExactlyOnce),
        ("c", Qos::ExactlyOnce),
    ] {
        broker.publish(Message::new(topic, b"x", qos), 0);
    }
    let first = peer.read(&mut broker);
    let ids: Vec<u16> = publications(&first).iter().map(|p| p.packet_id).collect();
    assert_eq!(ids, [1, 2, 3]);
    let release = peer.ask(&mut broker, Packet::PubRec(Ack::new(2, 0)), 0);
    assert_eq!(release, [Packet::PubRel(Ack::new(2, 0))]);
    broker.closed(peer.conn, 0);
    broker.publish(Message::new("d", b"x", Qos::AtLeastOnce), 0);

    let (_, ack, again) = Peer::connect(&mut broker, lasting("c", 60), 1);
    assert!(ack.session_present);
    let summary: Vec<(u16, bool)> = again
        .iter()
        .map(|packet| match packet {
            Packet::Publish(p) => (p.packet_id, p.dup),
            Packet::PubRel(a) => (a.packet_id, false),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(summary, [(1, true), (2, false), (3, true), (4, false)]);
}

#[test]
fn the_receive_maximum_of_the_client_is_obeyed_until_pubcomp() {
    let mut broker = Broker::new(Config::default());
    let mut connect = Connect::new(Version::V5, "c");
    connect.properties.receive_maximum = Some(2);
    let (peer, ..) = Peer::connect(&mut broker, connect, 0);
    peer.subscribe(&mut broker, "t", Qos::ExactlyOnce);
    for _ in 0..4 {
        broker.publish(Message::new("t", b"x", Qos::ExactlyOnce), 0);
    }
    assert_eq!(publications(&peer.read(&mut broker)).len(), 2);
    let after = peer.ask(&mut broker, Packet::PubRec(Ack::new(1, 0)), 0);
    assert!(publications(&after).is_empty(), "PUBREC gives nothing back");
    let after = peer.ask(&mut broker, Packet::PubComp(Ack::new(1, 0)), 0);
    assert_eq!(publications(&after).len(), 1);
    let after = peer.ask(&mut broker, Packet::PubRec(Ack::new(2, 0x80)), 0);
    assert_eq!(publications(&after).len(), 1, "a refusing PUBREC does");
    assert_eq!(broker.take_dropped()[0].reason, DropReason::Refused(0x80));
}

#[test]
fn a_smaller_receive_maximum_holds_for_repetitions_too() {
    let mut broker = Broker::new(Config::default());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    peer.subscribe(&mut broker, "t", Qos::AtLeastOnce);
    for _ in 0..3 {
        broker.publish(Message::new("t", b"x", Qos::AtLeastOnce), 0);
    }
    broker.closed(peer.conn, 0);
    let mut connect = lasting("c", 60);
    connect.properties.receive_maximum = Some(1);
    let (peer, _, again) = Peer::connect(&mut broker, connect, 1);
    assert_eq!(publications(&again).len(), 1);
    let next = peer.ask(&mut broker, Packet::PubAck(Ack::new(1, 0)), 1);
    assert!(matches!(&next[..], [Packet::Publish(p)] if p.packet_id == 2 && p.dup));
}

#[test]
fn an_expired_message_is_dropped_and_a_fresh_one_tells_what_is_left() {
    let mut broker = Broker::new(Config::default());
    offline_subscriber(&mut broker, "c", "t", Qos::AtLeastOnce);
    for expiry in [5, 20] {
        let mut message = Message::new("t", b"x", Qos::AtLeastOnce);
        message.properties.message_expiry_interval = Some(expiry);
        broker.publish(message, 1_000);
    }
    let (_, _, packets) = Peer::connect(&mut broker, lasting("c", 60), 7_500);
    let received = publications(&packets);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].properties.message_expiry_interval, Some(14));
    assert_eq!(broker.take_dropped()[0].reason, DropReason::Expired);
}

#[test]
fn a_retained_message_expires() {
    let mut broker = Broker::new(Config::default());
    let mut message = Message::new("t", b"x", Qos::AtMostOnce).retained();
    message.properties.message_expiry_interval = Some(2);
    broker.publish(message, 0);
    broker.tick(1_999);
    assert!(broker.retained("t").is_some());
    broker.tick(2_000);
    assert!(broker.retained("t").is_none());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    assert_eq!(peer.subscribe(&mut broker, "t", Qos::AtMostOnce).len(), 1);
}

#[test]
fn what_is_too_large_for_the_client_is_left_out_and_the_rest_goes_on() {
    let mut broker = Broker::new(Config::default());
    let mut connect = Connect::new(Version::V5, "c");
    connect.properties.maximum_packet_size = Some(40);
    let (peer, ..) = Peer::connect(&mut broker, connect, 0);
    peer.subscribe(&mut broker, "t", Qos::AtLeastOnce);
    for (size, qos) in [
        (100, Qos::AtLeastOnce),
        (100, Qos::AtMostOnce),
        (10, Qos::AtLeastOnce),
    ] {
        broker.publish(Message::new("t", &vec![b'x'; size], qos), 0);
    }
    let packets = peer.read(&mut broker);
    assert_eq!(publications(&packets)[0].payload.len(), 10);
    assert_eq!(packets.len(), 1);
    let reasons: Vec<_> = broker.take_dropped().iter().map(|d| d.reason).collect();
    assert_eq!(reasons, [DropReason::TooLarge; 2]);
}

#[test]
fn outgoing_topic_aliases_stay_within_what_the_client_allows() {
    let mut broker = Broker::new(Config {
        assign_topic_aliases: true,
        ..Config::default()
    });
    let mut connect = Connect::new(Version::V5, "c");
    connect.properties.topic_alias_maximum = Some(1);
    let (peer, ..) = Peer::connect(&mut broker, connect, 0);
    peer.subscribe(&mut broker, "#", Qos::AtMostOnce);
    for topic in ["a", "b", "a", "b"] {
        broker.publish(Message::new(topic, b"x", Qos::AtMostOnce), 0);
    }
    let packets = peer.read(&mut broker);
    let seen: Vec<_> = publications(&packets)
        .iter()
        .map(|p| (p.topic.clone(), p.properties.topic_alias))
        .collect();
    let expected = [("a", Some(1)), ("b", None), ("", Some(1)), ("b", None)];
    assert_eq!(
        seen,
        expected.map(|(topic, alias)| (topic.to_string(), alias))
    );
}

#[test]
fn a_share_group_takes_turns_and_prefers_who_is_there() {
    let mut broker = Broker::new(Config::default());
    let a = Peer::simple(&mut broker, Version::V5, "a");
    let b = Peer::simple(&mut broker, Version::V5, "b");
    offline_subscriber(&mut broker, "0", "$share/g/t", Qos::AtLeastOnce);
    for peer in [&a, &b] {
        peer.subscribe(&mut broker, "$share/g/t", Qos::AtLeastOnce);
    }
    for _ in 0..4 {
        broker.publish(Message::new("t", b"x", Qos::AtLeastOnce), 0);
    }
    for peer in [&a, &b] {
        assert_eq!(publications(&peer.read(&mut broker)).len(), 2);
    }
    assert_eq!(broker.session("0").unwrap().queued, 0);
    broker.closed(a.conn, 0);
    broker.closed(b.conn, 0);
    broker.publish(Message::new("t", b"x", Qos::AtLeastOnce), 0);
    assert_eq!(broker.session("0").unwrap().queued, 1);
}

#[test]
fn overlapping_subscriptions_give_one_copy_or_one_each() {
    for (each, expected) in [
        (false, vec![(2, vec![1, 2])]),
        (true, vec![(2, vec![1]), (1, vec![2])]),
    ] {
        let mut broker = Broker::new(Config {
            copy_per_subscription: each,
            ..Config::default()
        });
        let peer = Peer::simple(&mut broker, Version::V5, "c");
        for (id, filter, qos) in [(1, "#", Qos::ExactlyOnce), (2, "t", Qos::AtLeastOnce)] {
            let Packet::Subscribe(mut packet) = subscribe(filter, qos) else {
                unreachable!()
            };
            packet.properties.subscription_identifiers = vec![id];
            peer.ask(&mut broker, Packet::Subscribe(packet), 0);
        }
        broker.publish(Message::new("t", b"x", Qos::ExactlyOnce), 0);
        let packets = peer.read(&mut broker);
        let seen: Vec<_> = publications(&packets)
            .iter()
            .map(|p| {
                (
                    p.qos.number(),
                    p.properties.subscription_identifiers.clone(),
                )
            })
            .collect();
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_full_queue_drops_the_newest_and_says_so() {
    let mut broker = Broker::new(Config {
        maximum_queued: 2,
        ..Config::default()
    });
    offline_subscriber(&mut broker, "c", "t", Qos::AtLeastOnce);
    for payload in [b"1", b"2", b"3"] {
        broker.publish(Message::new("t", payload, Qos::AtLeastOnce), 0);
    }
    let (_, _, packets) = Peer::connect(&mut broker, lasting("c", 60), 1);
    let payloads: Vec<_> = publications(&packets)
        .iter()
        .map(|p| p.payload.clone())
        .collect();
    assert_eq!(payloads, [b"1", b"2"]);
    assert_eq!(broker.take_dropped()[0].reason, DropReason::QueueFull);
}

#[test]
fn packet_ids_wrap_past_65535_and_skip_those_in_use() {
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    peer.subscribe(&mut broker, "t", Qos::AtLeastOnce);
    for expected in (1..=u16::MAX).chain(2..=3) {
        broker.publish(Message::new("t", b"x", Qos::AtLeastOnce), 0);
        let packets = peer.read(&mut broker);
        assert_eq!(publications(&packets)[0].packet_id, expected);
        if expected != 1 {
            peer.ask(&mut broker, Packet::PubAck(Ack::new(expected, 0)), 0);
        }
    }
}

#[test]
fn a_qos_2_publication_counts_once_however_often_it_comes() {
    for method in [Qos2Method::OnPublish, Qos2Method::OnPubRel] {
        let mut broker = Broker::new(Config {
            qos2_method: method,
            ..Config::default()
        });
        let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
        peer.ask(&mut broker, publish("t", Qos::ExactlyOnce, 9), 0);
        broker.closed(peer.conn, 0);
        let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 1);
        let answer = peer.ask(&mut broker, publish("t", Qos::ExactlyOnce, 9), 1);
        assert_eq!(answer, [Packet::PubRec(Ack::new(9, 0))]);
        for code in [0, reason::PACKET_ID_NOT_FOUND] {
            let answer = peer.ask(&mut broker, Packet::PubRel(Ack::new(9, 0)), 1);
            assert_eq!(answer, [Packet::PubComp(Ack::new(9, code))]);
        }
        assert_eq!(broker.take_log().len(), 1, "{method:?}");
    }
}

#[test]
fn withheld_answers_do_not_come_and_later_ones_do() {
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V4, "c");
    broker.withhold(PacketType::PubAck, 1, 1);
    let answered: Vec<bool> = (1..=3)
        .map(|id| {
            !peer
                .ask(&mut broker, publish("t", Qos::AtLeastOnce, id), 0)
                .is_empty()
        })
        .collect();
    assert_eq!(answered, [true, false, true]);
    assert_eq!(broker.log().len(), 3);
}

#[test]
fn retained_messages_come_before_or_after_suback_as_configured() {
    for before in [false, true] {
        let mut broker = Broker::new(Config {
            retained_before_suback: before,
            ..Config::default()
        });
        broker.publish(Message::new("t", b"x", Qos::AtLeastOnce).retained(), 0);
        let peer = Peer::simple(&mut broker, Version::V5, "c");
        let packets = peer.subscribe(&mut broker, "t", Qos::AtLeastOnce);
        let position = packets
            .iter()
            .position(|p| matches!(p, Packet::Publish(p) if p.retain));
        assert_eq!(position, Some(usize::from(!before)));
    }
}

#[test]
fn a_message_that_expires_in_flight_is_still_repeated() {
    let mut broker = Broker::new(Config::default());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    peer.subscribe(&mut broker, "t", Qos::AtLeastOnce);
    let mut message = Message::new("t", b"x", Qos::AtLeastOnce);
    message.properties.message_expiry_interval = Some(2);
    broker.publish(message, 0);
    assert_eq!(publications(&peer.read(&mut broker)).len(), 1);
    broker.closed(peer.conn, 1);
    let (_, _, again) = Peer::connect(&mut broker, lasting("c", 60), 5_000);
    let again = publications(&again);
    assert!(again[0].dup);
    assert_eq!(again[0].properties.message_expiry_interval, Some(0));
}

#[test]
fn only_properties_of_the_message_are_passed_on() {
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    peer.subscribe(&mut broker, "t", Qos::AtMostOnce);
    let mut message = Message::new("t", b"x", Qos::AtMostOnce);
    message.properties.topic_alias = Some(3);
    message.properties.content_type = Some("text".into());
    broker.publish(message, 0);
    let packets = peer.read(&mut broker);
    let properties = &publications(&packets)[0].properties;
    assert_eq!(properties.topic_alias, None);
    assert_eq!(properties.content_type.as_deref(), Some("text"));
}

#[test]
fn forced_answers_decide_whether_a_publication_is_accepted() {
    for (code, accepted) in [(0x10, 1), (0x97, 0)] {
        for (qos, id) in [(Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2)] {
            let mut broker = Broker::new(Config {
                reason_strings: false,
                ..Config::default()
            });
            let peer = Peer::simple(&mut broker, Version::V5, "c");
            broker.answer_publish_with(Some(code));
            let answer = peer.ask(&mut broker, publish("t", qos, id), 0);
            let expected = Ack::new(id, code);
            let expected = match qos {
                Qos::AtLeastOnce => Packet::PubAck(expected),
                _ => Packet::PubRec(expected),
            };
            assert_eq!(answer, [expected]);
            assert_eq!(broker.log().len(), accepted);
        }
    }
}

#[test]
fn no_local_and_retain_as_published_change_only_their_own_subscription() {
    let mut broker = Broker::new(Config::default());
    let retained = |topic: &str| {
        Packet::Publish(Publish {
            topic: topic.into(),
            retain: true,
            payload: b"x".to_vec(),
            ..Publish::default()
        })
    };
    let option = |no_local, retain_as_published| {
        Packet::Subscribe(Subscribe {
            packet_id: 1,
            filters: vec![SubscribeFilter {
                filter: "t".into(),
                no_local,
                retain_as_published,
                ..SubscribeFilter::default()
            }],
            ..Subscribe::default()
        })
    };
    let a = Peer::simple(&mut broker, Version::V5, "a");
    let b = Peer::simple(&mut broker, Version::V5, "b");
    a.ask(&mut broker, option(true, false), 0);
    b.ask(&mut broker, option(true, true), 0);
    assert!(a.ask(&mut broker, retained("t"), 0).is_empty());
    let seen = b.read(&mut broker);
    assert!(matches!(&seen[..], [Packet::Publish(p)] if p.retain));
    b.ask(&mut broker, publish("t", Qos::AtMostOnce, 0), 0);
    let seen = a.read(&mut broker);
    assert!(matches!(&seen[..], [Packet::Publish(p)] if !p.retain));
    b.ask(&mut broker, retained("t"), 0);
    let seen = a.read(&mut broker);
    assert!(matches!(&seen[..], [Packet::Publish(p)] if !p.retain));
    assert!(broker.retained("t").is_some());
}
