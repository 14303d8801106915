//! What the broker forbids, and how it says so.

use super::*;

fn ends_with(config: Config, packets: &[Packet], code: u8) {
    for version in [Version::V4, Version::V5] {
        let mut broker = Broker::new(config.clone());
        let peer = Peer::simple(&mut broker, version, "c");
        let mut last = Vec::new();
        for packet in packets {
            last = peer.ask(&mut broker, packet.clone(), 0);
        }
        assert!(broker.is_closed(peer.conn), "{version:?} {packets:?}");
        let expected = (version == Version::V5).then_some(code);
        assert_eq!(disconnect_code(&last), expected, "{packets:?}");
    }
}

#[test]
fn packets_that_are_not_allowed_end_the_connection_with_their_code() {
    let config = Config::default;
    ends_with(
        config(),
        &[Packet::Connect(Connect::new(Version::V5, "c"))],
        reason::PROTOCOL_ERROR,
    );
    ends_with(config(), &[Packet::PingResp], reason::PROTOCOL_ERROR);
    ends_with(
        config(),
        &[publish("a/+", Qos::AtMostOnce, 0)],
        reason::PROTOCOL_ERROR,
    );
    ends_with(
        config(),
        &[publish("", Qos::AtMostOnce, 0)],
        reason::PROTOCOL_ERROR,
    );
    ends_with(
        config(),
        &[subscribe("a#", Qos::AtMostOnce)],
        reason::MALFORMED_PACKET,
    );
    ends_with(
        Config {
            maximum_qos: Qos::AtLeastOnce,
            ..config()
        },
        &[publish("a", Qos::ExactlyOnce, 1)],
        reason::QOS_NOT_SUPPORTED,
    );
    ends_with(
        Config {
            maximum_packet_size: Some(30),
            ..config()
        },
        &[publish(&"a".repeat(40), Qos::AtMostOnce, 0)],
        reason::PACKET_TOO_LARGE,
    );
}

#[test]
fn a_packet_that_is_too_large_is_refused_before_it_has_arrived() {
    let mut broker = Broker::new(Config {
        maximum_packet_size: Some(1000),
        ..Config::default()
    });
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    broker.receive(peer.conn, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 0);
    let packets = peer.read(&mut broker);
    assert_eq!(disconnect_code(&packets), Some(reason::PACKET_TOO_LARGE));
}

#[test]
fn a_client_that_exceeds_the_receive_maximum_is_cut_off() {
    let mut broker = Broker::new(Config {
        receive_maximum: 2,
        ..Config::default()
    });
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    for id in 1..=2 {
        peer.ask(&mut broker, publish("t", Qos::ExactlyOnce, id), 0);
    }
    peer.ask(&mut broker, publish("t", Qos::ExactlyOnce, 2), 0);
    assert!(!broker.is_closed(peer.conn), "a repetition counts once");
    let packets = peer.ask(&mut broker, publish("t", Qos::AtLeastOnce, 3), 0);
    assert_eq!(
        disconnect_code(&packets),
        Some(reason::RECEIVE_MAXIMUM_EXCEEDED)
    );
}

#[test]
fn withheld_answers_fill_the_receive_maximum() {
    let mut broker = Broker::new(Config {
        receive_maximum: 2,
        ..Config::default()
    });
    broker.withhold(PacketType::PubAck, 0, u32::MAX);
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    for id in 1..=2 {
        let answer = peer.ask(&mut broker, publish("t", Qos::AtLeastOnce, id), 0);
        assert!(answer.is_empty());
    }
    let packets = peer.ask(&mut broker, publish("t", Qos::AtLeastOnce, 3), 0);
    assert!(disconnect_code(&packets).is_some());
}

#[test]
fn topic_aliases_work_within_the_maximum_and_for_one_connection() {
    let aliased = |topic: &str, alias| {
        let Packet::Publish(mut p) = publish(topic, Qos::AtMostOnce, 0) else {
            unreachable!()
        };
        p.properties.topic_alias = Some(alias);
        Packet::Publish(p)
    };
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    for topic in ["one", "", "two", ""] {
        peer.ask(&mut broker, aliased(topic, 10), 0);
    }
    let topics: Vec<_> = broker.take_log().into_iter().map(|a| a.topic).collect();
    assert_eq!(topics, ["one", "one", "two", "two"]);
    let packets = peer.ask(&mut broker, aliased("x", 11), 0);
    assert_eq!(disconnect_code(&packets), Some(reason::TOPIC_ALIAS_INVALID));

    let peer = Peer::simple(&mut broker, Version::V5, "c");
    let packets = peer.ask(&mut broker, aliased("", 10), 0);
    assert_eq!(disconnect_code(&packets), Some(reason::PROTOCOL_ERROR));
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    let packets = peer.ask(&mut broker, aliased("x", 0), 0);
    assert_eq!(disconnect_code(&packets), Some(reason::TOPIC_ALIAS_INVALID));
}

#[test]
fn forbidden_topics_are_refused_where_the_version_can_say_so() {
    let config = Config {
        deny_publish: vec!["secret/#".into()],
        deny_subscribe: vec!["secret/#".into()],
        ..Config::default()
    };
    for (version, qos, code) in [
        (Version::V4, Qos::AtLeastOnce, 0),
        (Version::V4, Qos::ExactlyOnce, 0),
        (Version::V5, Qos::AtLeastOnce, reason::NOT_AUTHORIZED),
        (Version::V5, Qos::ExactlyOnce, reason::NOT_AUTHORIZED),
    ] {
        let mut broker = Broker::new(config.clone());
        let peer = Peer::simple(&mut broker, version, "c");
        let answer = peer.ask(&mut broker, publish("secret/x", qos, 5), 0);
        let ok = match &answer[..] {
            [Packet::PubAck(ack)] => qos == Qos::AtLeastOnce && ack.code == code,
            [Packet::PubRec(ack)] => qos == Qos::ExactlyOnce && ack.code == code,
            _ => false,
        };
        assert!(ok, "{version:?} {answer:?}");
        assert!(broker.log().is_empty());
        let refused = match version {
            Version::V4 => 0x80,
            Version::V5 => reason::NOT_AUTHORIZED,
        };
        let answer = peer.subscribe(&mut broker, "secret/+", Qos::AtMostOnce);
        assert!(matches!(&answer[..], [Packet::SubAck(ack)] if ack.codes == [refused]));
    }
}

#[test]
fn features_that_are_off_are_announced_and_refused() {
    let mut broker = Broker::new(Config {
        wildcards_available: false,
        shared_available: false,
        subscription_ids_available: false,
        retain_available: false,
        maximum_qos: Qos::AtLeastOnce,
        ..Config::default()
    });
    let (peer, ack, _) = Peer::connect(&mut broker, Connect::new(Version::V5, "c"), 0);
    assert_eq!(ack.properties.wildcard_subscription_available, Some(0));
    assert_eq!(ack.properties.shared_subscription_available, Some(0));
    assert_eq!(ack.properties.subscription_identifier_available, Some(0));
    assert_eq!(ack.properties.retain_available, Some(0));
    assert_eq!(ack.properties.maximum_qos, Some(1));
    for (filter, code) in [("a/#", 0xA2), ("$share/g/a", 0x9E), ("a", 1)] {
        let answer = peer.subscribe(&mut broker, filter, Qos::ExactlyOnce);
        assert!(matches!(&answer[..], [Packet::SubAck(ack)] if ack.codes == [code]));
    }
}

#[test]
fn a_reason_string_is_left_out_when_it_does_not_fit_or_is_not_wanted() {
    for (maximum, problem, length) in [
        (None, None, true),
        (Some(20), None, false),
        (None, Some(0), false),
    ] {
        let mut broker = Broker::new(Config {
            deny_publish: vec!["#".into()],
            ..Config::default()
        });
        let mut connect = Connect::new(Version::V5, "c");
        connect.properties.maximum_packet_size = maximum;
        connect.properties.request_problem_information = problem;
        let (peer, ..) = Peer::connect(&mut broker, connect, 0);
        let answer = peer.ask(&mut broker, publish("t", Qos::AtLeastOnce, 1), 0);
        assert!(
            matches!(&answer[..], [Packet::PubAck(ack)]
                if ack.code == 0x87 && ack.properties.reason_string.is_some() == length),
            "{answer:?}"
        );
    }
}

#[test]
fn enhanced_authentication_is_refused_cleanly() {
    let mut broker = Broker::new(Config::default());
    let mut connect = Connect::new(Version::V5, "c");
    connect.properties.authentication_method = Some("SCRAM".into());
    let (_, answers) = Peer::open(&mut broker, connect, 0);
    assert!(matches!(&answers[..], [Packet::ConnAck(ack)] if ack.code == 0x8C));
}
