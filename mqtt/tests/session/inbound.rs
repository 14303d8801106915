//! Messages from the broker.

use crate::common::raw::{CONNACK, CONNACK_PRESENT, Raw};
use crate::common::{Received, Rig, Seen, Setup, leak, options};
use aldis_mqtt::{Buffers, Options, QoS, ReasonCode, Token, Version};
use aldis_world::broker::DropReason;
use aldis_world::broker::codec::{Packet, PacketType};

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

const BOTH: [Version; 2] = [Version::V4, Version::V5];

/// A PUBLISH of MQTT 5 on topic `t`.
fn publish(qos: QoS, id: u8, payload: u8) -> Vec<u8> {
    vec![0x30 | qos.bits() << 1, 7, 0, 1, b't', 0, id, 0, payload]
}

fn message(seen: &[Seen]) -> &Received {
    match seen {
        [Seen::Message(message)] => message,
        other => panic!("{other:?}"),
    }
}

fn token(seen: &[Seen]) -> Token {
    message(seen).token.expect("a token")
}

#[test]
fn acknowledgements_out_of_order_go_out_in_order() {
    let mut raw = Raw::connected(Version::V5);
    let tokens: Vec<Token> = (1..=4)
        .map(|id| token(&raw.receive(&publish(One, id, 0))))
        .collect();
    raw.session.acknowledge(tokens[2]);
    raw.session.acknowledge(tokens[1]);
    assert_eq!(raw.sent(), []);
    raw.session.acknowledge(tokens[0]);
    assert_eq!(raw.sent(), [0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3]);
    raw.session.acknowledge(tokens[3]);
    raw.session.acknowledge(tokens[3]);
    assert_eq!(raw.sent(), [0x40, 2, 0, 4], "once");
}

#[test]
fn the_two_qualities_do_not_wait_for_each_other() {
    let mut raw = Raw::connected(Version::V5);
    token(&raw.receive(&publish(One, 1, 0)));
    let two = token(&raw.receive(&publish(Two, 2, 0)));
    let three = token(&raw.receive(&publish(Two, 3, 0)));
    raw.session.acknowledge(three);
    assert_eq!(raw.sent(), []);
    raw.session.acknowledge(two);
    assert_eq!(raw.sent(), [0x50, 2, 0, 2, 0x50, 2, 0, 3]);
}

#[test]
fn a_message_at_qos_2_comes_once_however_often_it_is_sent() {
    let mut raw = Raw::connected(Version::V5);
    let token = token(&raw.receive(&publish(Two, 1, 0)));
    assert_eq!(raw.receive(&publish(Two, 1, 0)), []);
    raw.session.acknowledge(token);
    assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
    // Again, since PUBREC got lost in the broker.
    assert_eq!(raw.receive(&publish(Two, 1, 0)), []);
    assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
    // And on another connection.
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    assert_eq!(
        raw.sent(),
        [],
        "PUBREC belongs to the PUBLISH of this connection"
    );
    assert_eq!(raw.receive(&publish(Two, 1, 0)), []);
    assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
    raw.receive(&[0x62, 2, 0, 1]);
    assert_eq!(raw.sent(), [0x70, 2, 0, 1]);
    // Now the packet id is free.
    assert_eq!(raw.receive(&publish(Two, 1, 0)).len(), 1);
}

#[test]
fn a_message_that_the_application_still_has_is_acknowledged_on_the_next_connection() {
    let mut raw = Raw::connected(Version::V5);
    let early = token(&raw.receive(&publish(Two, 1, 0)));
    let late = token(&raw.receive(&publish(Two, 2, 0)));
    raw.cut();
    raw.session.acknowledge(early);
    raw.connect(CONNACK_PRESENT);
    assert_eq!(raw.sent(), []);
    assert_eq!(raw.receive(&publish(Two, 1, 0)), []);
    assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
    assert_eq!(raw.receive(&publish(Two, 2, 0)), []);
    assert_eq!(raw.sent(), []);
    raw.session.acknowledge(late);
    assert_eq!(raw.sent(), [0x50, 2, 0, 2]);
}

#[test]
fn tokens_of_a_session_that_is_gone_are_ignored() {
    let mut raw = Raw::connected(Version::V5);
    let one = token(&raw.receive(&publish(One, 1, 0)));
    let two = token(&raw.receive(&publish(Two, 2, 0)));
    raw.cut();
    raw.connect(CONNACK);
    // The new session uses the same packet ids for other messages.
    raw.receive(&publish(One, 1, 0));
    raw.receive(&publish(Two, 2, 0));
    raw.session.acknowledge(one);
    raw.session.acknowledge(two);
    assert_eq!(raw.sent(), []);
}

#[test]
fn a_token_of_qos_1_is_of_one_connection() {
    let mut raw = Raw::connected(Version::V5);
    let old = token(&raw.receive(&publish(One, 1, 0)));
    raw.cut();
    raw.session.acknowledge(old);
    raw.connect(CONNACK_PRESENT);
    let new = token(&raw.receive(&publish(One, 1, 1)));
    raw.session.acknowledge(old);
    assert_eq!(raw.sent(), []);
    raw.session.acknowledge(new);
    assert_eq!(raw.sent(), [0x40, 2, 0, 1]);
}

#[test]
fn a_message_can_be_refused() {
    let mut raw = Raw::connected(Version::V5);
    for qos in [One, Two] {
        let token = token(&raw.receive(&publish(qos, 1, 0)));
        raw.session
            .refuse(token, ReasonCode::PAYLOAD_FORMAT_INVALID);
        let kind = if qos == One { 0x40 } else { 0x50 };
        assert_eq!(raw.sent(), [kind, 3, 0, 1, 0x99]);
        // That was its end.
        assert_eq!(raw.receive(&publish(qos, 1, 0)).len(), 1);
        raw.cut();
        raw.connect(CONNACK);
    }
    // MQTT 3.1.1 has no word for it.
    let mut raw = Raw::connected(Version::V4);
    let token = token(&raw.receive(&[0x32, 5, 0, 1, b't', 0, 1]));
    raw.session
        .refuse(token, ReasonCode::PAYLOAD_FORMAT_INVALID);
    assert_eq!(raw.sent(), [0x40, 2, 0, 1]);
}

#[test]
fn a_message_that_was_refused_in_3_1_1_does_not_come_again() {
    let mut raw = Raw::connected(Version::V4);
    let publish = [0x34, 5, 0, 1, b't', 0, 1];
    let token = token(&raw.receive(&publish));
    raw.session
        .refuse(token, ReasonCode::PAYLOAD_FORMAT_INVALID);
    assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
    // PUBREC got lost.
    raw.cut();
    raw.connect(crate::common::raw::CONNACK_V4_PRESENT);
    assert_eq!(raw.receive(&publish), []);
    assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
    raw.receive(&[0x62, 2, 0, 1]);
    assert_eq!(raw.sent(), [0x70, 2, 0, 1]);
}

#[test]
fn a_release_of_something_unknown_is_answered() {
    let mut raw = Raw::connected(Version::V5);
    raw.receive(&[0x62, 2, 0, 9]);
    assert_eq!(raw.sent(), [0x70, 3, 0, 9, 0x92]);
    raw.receive(&[0x50, 2, 0, 9]);
    assert_eq!(raw.sent(), [0x62, 3, 0, 9, 0x92]);
    let mut raw = Raw::connected(Version::V4);
    raw.receive(&[0x62, 2, 0, 9]);
    assert_eq!(raw.sent(), [0x70, 2, 0, 9]);
}

#[test]
fn a_broker_that_exceeds_the_receive_maximum_is_not_cut_off() {
    // mosquitto 2.0 sends all that it has after the first PUBACK: to end the
    // connection for that would be to have none.
    let mut raw = Raw::new(Options {
        receive_maximum: 2,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    let tokens: Vec<Token> = (1..=32)
        .map(|id| token(&raw.receive(&publish(One, id, 0))))
        .collect();
    assert_eq!(raw.receive(&publish(One, 33, 0)), []);
    raw.session.acknowledge(tokens[0]);
    assert_eq!(raw.sent(), [0x40, 2, 0, 1]);
    token(&raw.events());
}

#[test]
fn what_has_no_room_may_be_left_for_what_is_behind_it() {
    // The application waits for the end of its own publication, and that for the application.
    let mut raw = Raw::connected(Version::V5);
    raw.session.leave();
    let tokens: Vec<Token> = (1..=32)
        .map(|id| token(&raw.receive(&publish(One, id, 0))))
        .collect();
    assert!(!raw.session.is_blocked());
    raw.receive(&publish(One, 33, 0));
    raw.receive(&publish(One, 34, 0));
    assert!(raw.session.is_blocked());
    // A release that is behind them is answered now.
    raw.receive(&[0x62, 2, 0, 99]);
    assert_eq!(raw.sent(), []);
    raw.session.leave();
    assert!(!raw.session.is_blocked());
    assert_eq!(raw.events(), []);
    assert_eq!(raw.sent()[0], 0x70);
    // When all is acknowledged, what was left is asked for over another connection.
    let (last, first) = tokens.split_last().unwrap();
    for token in first {
        raw.session.acknowledge(*token);
    }
    raw.sent();
    assert!(raw.session.is_connected());
    raw.session.acknowledge(*last);
    let sent = raw.sent();
    assert_eq!((&sent[..4], sent[4]), (&[0x40, 2, 0, 32][..], 0xe0));
}

#[test]
fn the_end_of_a_message_of_an_earlier_connection_gives_the_broker_its_quota() {
    // Section 4.9: the quota starts anew with the connection, and grows with each PUBCOMP.
    let mut raw = Raw::new(Options {
        receive_maximum: 1,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    let first = token(&raw.receive(&publish(Two, 1, 0)));
    raw.session.acknowledge(first);
    raw.sent();
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    raw.receive(&[0x62, 2, 0, 1]);
    assert_eq!(raw.receive(&publish(One, 2, 0)), [], "PUBCOMP comes first");
    assert_eq!(raw.sent(), [0x70, 2, 0, 1]);
    assert_eq!(raw.events().len(), 1);
    assert_eq!(raw.receive(&publish(Two, 3, 0)).len(), 1);
}

#[test]
fn a_message_that_is_still_to_be_sent_again_is_not_forgotten_for_another() {
    let mut raw = Raw::new(Options {
        receive_maximum: 1,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    // Two under way, as a broker may have it after this.
    raw.receive(&[0x62, 2, 0, 9]);
    raw.sent();
    raw.receive(&publish(One, 1, 0));
    let two = token(&raw.receive(&publish(Two, 2, 0)));
    raw.session.acknowledge(two);
    assert_eq!(raw.sent(), [0x50, 2, 0, 2]);
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    let one = token(&raw.receive(&publish(One, 1, 0)));
    raw.session.acknowledge(one);
    assert_eq!(raw.sent(), [0x40, 2, 0, 1]);
    assert_eq!(raw.receive(&publish(Two, 2, 0)), [], "it came before");
    assert_eq!(raw.sent(), [0x50, 2, 0, 2]);
}

#[test]
fn a_table_full_of_what_the_broker_forgot_takes_new_messages() {
    let mut raw = Raw::new(Options {
        receive_maximum: 32,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    for round in 0..3 {
        for id in 0..32 {
            let token = token(&raw.receive(&publish(Two, round * 32 + id + 1, 0)));
            raw.session.acknowledge(token);
        }
        raw.sent();
        raw.cut();
        raw.connect(CONNACK_PRESENT);
        // It may still come again, for a while; then there is room for others.
        let id = (round + 1) * 32 + 1;
        assert_eq!(raw.receive(&publish(Two, id, 0)), []);
        let mut sent = raw.wait(15_000);
        assert_eq!(sent.pop(), Some((raw.now, vec![0xc0, 0])));
        assert_eq!(raw.receive(&[0xd0, 0]), []);
        raw.now += 15_000;
        assert_eq!(raw.events(), []);
        let sent = raw.sent();
        assert!(sent.ends_with(&[0xe0, 0]), "{sent:x?}");
        raw.connect(CONNACK_PRESENT);
    }
}

#[test]
fn what_the_broker_forgot_to_send_again_does_not_take_the_place_of_others() {
    let mut raw = Raw::new(Options {
        receive_maximum: 1,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    let old = token(&raw.receive(&publish(Two, 1, 0)));
    raw.session.acknowledge(old);
    raw.sent();
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    assert_eq!(raw.receive(&publish(Two, 2, 0)).len(), 1);
}

#[test]
fn oversized_messages_are_skipped_in_3_1_1_without_losing_step() {
    for qos in [Zero, One, Two] {
        for size in [257, 258, 300, 512, 1_000, 5_000] {
            let mut raw = Raw::connected(Version::V4);
            let mut bytes = vec![0x30 | qos.bits() << 1, 0, 0];
            let remaining = size - 3;
            bytes[1] = (remaining % 128) as u8 | 0x80;
            bytes[2] = (remaining / 128) as u8;
            bytes.extend([0, 3, b'b', b'i', b'g', 0, 7]);
            bytes.resize(size, 0x30);
            bytes.extend([0x30, 4, 0, 1, b't', b'!']);
            let (seen, answers) = raw.converse(&bytes);
            assert_eq!(seen[0], Seen::Oversized("big".into(), size));
            assert_eq!(message(&seen[1..]).payload, b"!", "{qos:?} {size}");
            let expected: &[u8] = match qos {
                Zero => &[],
                One => &[0x40, 2, 0, 7],
                Two => &[0x50, 2, 0, 7],
            };
            assert_eq!(answers, expected);
        }
    }
}

/// What is there of it so far is taken for the whole, and its topic cut in the middle.
#[test]
fn an_oversized_message_may_come_in_pieces() {
    for piece in [1, 2, 7, 100] {
        let mut raw = Raw::connected(Version::V4);
        let mut large = vec![0x32, 0xb0, 2, 0, 5, b't', b'o', b'p', b'i', b'c', 0, 2];
        large.resize(3 + 304, b'x');
        let mut seen = Vec::new();
        let mut answers = Vec::new();
        for piece in large.chunks(piece) {
            let (happened, answered) = raw.converse(piece);
            seen.extend(happened);
            answers.extend(answered);
        }
        assert_eq!(seen, [Seen::Oversized("topic".into(), 307)], "{piece}");
        assert_eq!(answers, [0x40, 2, 0, 2]);
    }
}

#[test]
fn an_oversized_message_of_3_1_1_does_not_come_again() {
    for qos in [One, Two] {
        let mut rig = Setup {
            receive: 128,
            ..Setup::new(Version::V4)
        }
        .connected();
        rig.subscribe("in", Two);
        rig.settle();
        rig.other("in", &[b'x'; 500], qos);
        rig.other("in", b"after", qos);
        assert_eq!(rig.messages().count(), 1);
        assert!(rig.events().contains(&Seen::Oversized("in".into(), 509)));
        let session = rig.broker.session("client").unwrap();
        assert_eq!((session.in_flight, session.queued), (0, 0));
        rig.sever();
        rig.connect();
        rig.advance(1_000);
        assert_eq!(rig.messages().count(), 1);
        assert_eq!(rig.causes().len(), 1);
    }
}

#[test]
fn oversized_messages_are_not_sent_by_a_broker_of_5() {
    let mut rig = Setup {
        receive: 128,
        ..Setup::new(Version::V5)
    }
    .connected();
    rig.subscribe("in", Two);
    rig.settle();
    rig.other("in", &[b'x'; 500], Two);
    assert_eq!(rig.broker.take_dropped()[0].reason, DropReason::TooLarge);
    assert_eq!(rig.causes(), []);
}

#[test]
fn topic_aliases_of_the_broker_are_understood_and_end_with_the_connection() {
    let set: &[u8] = &[0x30, 9, 0, 1, b'a', 3, 0x23, 0, 1, b'x', b'y'];
    let used: &[u8] = &[0x30, 7, 0, 0, 3, 0x23, 0, 1, b'z'];
    let buffers = || Buffers {
        inbound_aliases: leak(24),
        ..Buffers::new(
            leak(256),
            leak(256),
            vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
        )
    };
    let mut raw = Raw::with_buffers(options(Version::V5), buffers());
    let connect = raw.connect(CONNACK);
    assert!(
        connect.windows(3).any(|w| w == [0x22, 0, 3]),
        "three aliases"
    );
    raw.receive(set);
    let seen = raw.receive(used);
    assert_eq!(
        (message(&seen).topic.as_str(), &message(&seen).payload[..]),
        ("a", &b"z"[..])
    );
    // It may stand for something else later.
    raw.receive(&[0x30, 8, 0, 1, b'b', 3, 0x23, 0, 1, b'x']);
    assert_eq!(message(&raw.receive(used)).topic, "b");
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    assert_eq!(raw.receive(used), []);
    assert_eq!(raw.sent(), [0xe0, 1, 0x94]);

    for (bytes, code) in [
        (&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0][..], 0x94),
        (&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 4][..], 0x94),
        (&[0x30, 3, 0, 0, 0][..], 0x82),
    ] {
        let mut raw = Raw::with_buffers(options(Version::V5), buffers());
        raw.connect(CONNACK);
        raw.receive(bytes);
        assert_eq!(raw.sent(), [0xe0, 1, code], "{bytes:x?}");
    }
}

#[test]
fn aliases_for_topics_too_long_for_the_memory_do_not_disconnect_for_ever() {
    let mut setup = Setup {
        aliases_in: 32,
        ..Setup::new(Version::V5)
    };
    setup.config.assign_topic_aliases = true;
    let mut rig = setup.connected();
    rig.subscribe("in/#", One);
    rig.settle();
    for round in 0..10 {
        for topic in ["in/a/rather/long/topic", "in/another/rather/long/topic"] {
            rig.other(topic, &[round], One);
            rig.until(100_000, |rig| rig.session.is_connected());
        }
    }
    rig.advance(100_000);
    assert!(rig.causes().len() <= 1, "{:?}", rig.causes());
    let last = |m: &&Received| m.payload == [9];
    assert_eq!(rig.messages().filter(last).count(), 2);
}

#[test]
fn properties_come_with_the_message() {
    use aldis_world::broker::Message;
    let mut rig = Setup::new(Version::V5).connected();
    rig.session
        .subscribe("in", Default::default(), Some(300))
        .unwrap();
    rig.settle();
    let mut request = Message::new("in", b"x", aldis_world::broker::codec::Qos::AtMostOnce);
    request.properties.response_topic = Some("answer".into());
    request.properties.correlation_data = Some(b"17".to_vec());
    request.properties.user_properties = vec![("a".into(), "b".into()), ("a".into(), "c".into())];
    request.properties.message_expiry_interval = Some(9);
    rig.broker.publish(request, rig.now);
    rig.settle();
    let mut properties = rig.messages().next().unwrap().properties.clone();
    properties.sort();
    assert_eq!(
        properties,
        [
            "CorrelationData([49, 55])",
            "MessageExpiryInterval(9)",
            "ResponseTopic(\"answer\")",
            "SubscriptionIdentifier(300)",
            "UserProperty(\"a\", \"b\")",
            "UserProperty(\"a\", \"c\")",
        ]
    );
}

#[test]
fn a_retained_message_is_marked() {
    use aldis_world::broker::Message;
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        let kept = Message::new("in", b"x", aldis_world::broker::codec::Qos::AtLeastOnce);
        rig.broker.publish(kept.retained(), rig.now);
        rig.subscribe("in", One);
        rig.settle();
        rig.other("in", b"y", One);
        let marks: Vec<bool> = rig.messages().map(|m| m.retain).collect();
        assert_eq!(marks, [true, false]);
    }
}

#[test]
fn what_comes_after_the_application_was_slow_is_not_lost() {
    // All that may be under way comes at once, and is acknowledged much later.
    for version in BOTH {
        let mut rig: Rig = Setup::new(version).connected();
        rig.automatic = false;
        rig.subscribe("in", Two);
        rig.settle();
        for index in 0..100 {
            rig.other("in", &[index], [One, Two][usize::from(index) % 2]);
        }
        let mut done = 0;
        for _ in 0..50 {
            rig.advance(20_000);
            let tokens: Vec<_> = rig.messages().filter_map(|m| m.token).collect();
            for token in tokens.into_iter().skip(done) {
                rig.session.acknowledge(token);
                done += 1;
            }
        }
        assert_eq!(done, 100);
        assert_eq!(rig.causes(), [], "{version:?}");
        let session = rig.broker.session("client").unwrap();
        assert_eq!((session.in_flight, session.queued), (0, 0));
        let kinds: Vec<_> = rig.packets().iter().map(Packet::packet_type).collect();
        let count = |kind| kinds.iter().filter(|k| **k == kind).count();
        assert_eq!(count(PacketType::PubAck), 50);
        assert_eq!(count(PacketType::PubComp), 50);
    }
}

/// A broker that releases a message before it was received takes it out of the line: what waited
/// behind it for its acknowledgement is due.
#[test]
fn a_pubrel_that_comes_too_early_leaves_nothing_unacknowledged() {
    let mut raw = Raw::connected(Version::V5);
    let mut tokens = Vec::new();
    for id in 1..=2 {
        tokens.extend(message(&raw.receive(&publish(Two, id, 0))).token);
    }
    raw.session.acknowledge(tokens[1]);
    assert_eq!(raw.sent(), []);
    raw.receive(&[0x62, 2, 0, 1]);
    let sent = raw.sent();
    assert!(sent.ends_with(&[0x50, 2, 0, 2]), "{sent:x?}");
}

/// MQTT-4.6.0-2: the acknowledgement of a message that was too large does not overtake others.
#[test]
fn what_was_passed_over_is_acknowledged_in_its_turn() {
    let mut raw = Raw::connected(Version::V4);
    let token = message(&raw.receive(&[0x32, 6, 0, 1, b't', 0, 1, 0])).token;
    let mut large = vec![0x32, 0xac, 2, 0, 1, b't', 0, 2];
    large.resize(3 + 300, b'x');
    let (seen, answers) = raw.converse(&large);
    assert_eq!(seen, [Seen::Oversized("t".into(), 303)]);
    assert_eq!(answers, []);
    raw.session.acknowledge(token.unwrap());
    assert_eq!(raw.sent(), [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
}

/// The application may be done with a message at QoS 2 before the broker sends it again on the next
/// connection: then it is acknowledged, with PUBREC, and not told again.
#[test]
fn what_was_handled_between_two_connections_is_acknowledged_when_it_comes_again() {
    let mut raw = Raw::connected(Version::V5);
    let two = token(&raw.receive(&publish(Two, 7, 0)));
    raw.cut();
    raw.session.acknowledge(two);
    raw.connect(CONNACK_PRESENT);
    assert_eq!(raw.sent(), [], "it has not come again");
    let mut again = publish(Two, 7, 0);
    again[0] |= 8;
    assert_eq!(raw.receive(&again), []);
    assert_eq!(raw.sent(), [0x50, 2, 0, 7]);

    // Or after the connection, and before it comes again.
    let mut raw = Raw::connected(Version::V5);
    let two = token(&raw.receive(&publish(Two, 7, 0)));
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    raw.session.acknowledge(two);
    assert_eq!(raw.sent(), [], "it has not come again");
    assert_eq!(raw.receive(&again), []);
    assert_eq!(raw.sent(), [0x50, 2, 0, 7]);
}
