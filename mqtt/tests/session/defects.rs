//! What breaks other MQTT clients, each as a test of this one.

use crate::common::raw::{CONNACK, CONNACK_PRESENT, Raw};
use crate::common::{
    End, Rig, Seen, Setup, at, given_up_ms, leak, options, patience_ms, silent_ms,
};
use aldis_mqtt::wire::Fault;
use aldis_mqtt::{
    Buffers, Cause, Dropped, Network, Options, Publication, QoS, ReasonCode, SubscribeOptions,
    Transport, Version,
};
use aldis_world::broker::codec::{Packet, PacketType, Qos};
use aldis_world::broker::{Hang, Message};
use std::collections::BTreeSet;

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

const BOTH: [Version; 2] = [Version::V4, Version::V5];
const PINGREQ: [u8; 2] = [0xc0, 0];

fn rig(version: Version) -> Rig {
    Setup::new(version).connected()
}

// 1. A stalled write blocks the whole client.

#[test]
fn a_stalled_write_does_not_stop_the_clock() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.advance(1_000);
        rig.stalled = true;
        rig.send("t", b"x", Zero);
        assert!(rig.until(60_000, |rig| rig.lost().is_some()));
        let noticed = 1_000 + patience_ms(&rig.options);
        assert_eq!(rig.lost(), Some((noticed, Cause::Stalled)));
        rig.stalled = false;
        rig.connect();
    }
}

#[test]
fn publishing_and_acknowledging_go_on_while_a_write_is_stalled() {
    let mut rig = rig(Version::V5);
    rig.subscribe("in", One);
    rig.settle();
    rig.stalled = true;
    rig.send("t", b"x", One);
    rig.settle();
    rig.other("in", b"y", One);
    assert_eq!(rig.messages().count(), 1, "receiving waits for writing");
    rig.send("t", b"z", One);
    rig.stalled = false;
    rig.settle();
    assert!(rig.all_ended());
    assert_eq!(rig.broker.session("client").unwrap().in_flight, 0);
}

#[test]
fn writes_that_trickle_do_not_hide_a_dead_peer() {
    for version in BOTH {
        let mut rig = Setup {
            outbox: 4096,
            ..Setup::new(version)
        }
        .connected();
        // A broker would give the client up sooner; a dead one does not.
        let conn = rig.conn();
        rig.broker.hang(conn, Hang::Reads, rig.now);
        rig.send("t", &[b'x'; 900], One);
        rig.allowance = Some(0);
        rig.settle();
        while rig.lost().is_none() {
            assert!(rig.now < 60_000, "not noticed");
            rig.advance(patience_ms(&rig.options) - 1_000);
            rig.allowance = Some(1);
            rig.settle();
        }
        // Each byte begins the bound on writing anew, and PINGREQ never gets its turn.
        let noticed = given_up_ms(&rig.options);
        assert_eq!(rig.lost().unwrap(), (noticed, Cause::Silent));
    }
}

// 2. Publishing hides a hung broker.

#[test]
fn constant_publishing_does_not_hide_a_hung_broker() {
    for version in BOTH {
        for hang in [Hang::Both, Hang::Writes] {
            let mut rig = rig(version);
            let conn = rig.conn();
            rig.broker.hang(conn, hang, rig.now);
            while rig.lost().is_none() {
                assert!(rig.now < 100_000, "not noticed");
                rig.send("t", b"x", Zero);
                rig.advance(100);
            }
            let noticed = silent_ms(&rig.options);
            assert_eq!(rig.lost(), Some((noticed, Cause::Silent)), "{hang:?}");
        }
    }
}

#[test]
fn constant_publishing_at_qos_1_does_not_hide_a_hung_broker() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.advance(5_000);
        let conn = rig.conn();
        rig.broker.hang(conn, Hang::Both, rig.now);
        while rig.lost().is_none() {
            assert!(rig.now < 100_000, "not noticed");
            rig.send("t", b"x", One);
            rig.advance(3_000);
        }
        let noticed = 5_000 + patience_ms(&rig.options);
        assert_eq!(rig.lost(), Some((noticed, Cause::Silent)));
    }
}

#[test]
fn constant_receiving_does_not_hide_a_broker_that_takes_nothing() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.subscribe("in", Zero);
        rig.settle();
        let conn = rig.conn();
        rig.broker.hang(conn, Hang::Reads, rig.now);
        while rig.lost().is_none() {
            assert!(rig.now < 100_000, "not noticed");
            rig.other("in", b"x", Zero);
            rig.advance(100);
        }
        let noticed = silent_ms(&rig.options);
        assert_eq!(rig.lost(), Some((noticed, Cause::Silent)));
    }
}

// 3. The send quota.

/// CONNACK with Receive Maximum 1.
const CONNACK_ONE: &[u8] = &[0x20, 6, 0, 0, 3, 0x21, 0, 1];

#[test]
fn the_send_quota_returns_on_pubcomp_not_pubrec() {
    let mut raw = Raw::new(options(Version::V5));
    raw.connect(CONNACK_ONE);
    raw.publish("a", Two);
    raw.publish("b", Two);
    assert_eq!(raw.sent(), [0x34, 7, 0, 1, b'a', 0, 1, 0, b'x']);
    raw.receive(&[0x50, 2, 0, 1]);
    assert_eq!(raw.sent(), [0x62, 2, 0, 1], "PUBREL alone");
    raw.receive(&[0x70, 2, 0, 1]);
    assert_eq!(raw.sent(), [0x34, 7, 0, 1, b'b', 0, 2, 0, b'x']);
}

#[test]
fn the_send_quota_returns_when_pubrec_refuses() {
    let mut raw = Raw::new(options(Version::V5));
    raw.connect(CONNACK_ONE);
    let id = raw.publish("a", Two);
    raw.publish("b", Two);
    raw.sent();
    let refused = Dropped::Refused(ReasonCode::NOT_AUTHORIZED);
    assert_eq!(
        raw.receive(&[0x50, 3, 0, 1, 0x87]),
        [Seen::Dropped(id, refused)]
    );
    assert_eq!(raw.sent(), [0x34, 7, 0, 1, b'b', 0, 2, 0, b'x']);
}

// 4. Control packets leak.

#[test]
fn control_packets_do_not_leak_into_the_next_connection() {
    // Each leaves something unsent behind.
    let pingreq = |raw: &mut Raw| {
        raw.now += 15_000;
        raw.events();
    };
    let puback = |raw: &mut Raw| {
        let seen = raw.receive(&[0x32, 6, 0, 1, b't', 0, 9, 0]);
        let Some(Seen::Message(message)) = seen.first() else {
            panic!("{seen:?}");
        };
        raw.session.acknowledge(message.token.unwrap());
    };
    let pubcomp = |raw: &mut Raw| {
        raw.receive(&[0x62, 2, 0, 9]);
    };
    let disconnect = |raw: &mut Raw| {
        raw.receive(&[0xff, 0]);
    };
    let half = |raw: &mut Raw| {
        pubcomp_half(raw);
    };
    fn pubcomp_half(raw: &mut Raw) {
        raw.receive(&[0x62, 2, 0, 9]);
        raw.session.transmit(at(raw.now));
        raw.session.transmitted(1, at(raw.now));
    }
    let leaves: [&dyn Fn(&mut Raw); 5] = [&pingreq, &puback, &pubcomp, &disconnect, &half];
    for (place, leave) in leaves.into_iter().enumerate() {
        for connack in [CONNACK, CONNACK_PRESENT] {
            let mut raw = Raw::connected(Version::V5);
            leave(&mut raw);
            raw.cut();
            raw.connect(connack);
            assert_eq!(raw.sent(), [], "{place}");
            let deadline = raw.session.deadline().as_millis();
            assert_eq!(deadline, raw.now + 15_000, "a timer of the old connection");
        }
    }
}

#[test]
fn a_half_written_publication_starts_again_on_the_next_connection() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.allowance = Some(6);
        rig.send("topic", b"payload", One);
        rig.settle();
        rig.sever();
        rig.allowance = None;
        rig.connect();
        assert!(rig.until(1_000, Rig::all_ended));
        assert_eq!(rig.broker.log().len(), 1);
        assert!(!rig.broker.log()[0].dup, "the broker never had it");
    }
}

// 5. The broker lost the session.

#[test]
fn in_flight_publications_survive_a_broker_that_forgot_the_session() {
    for version in BOTH {
        let mut rig = rig(version);
        let conn = rig.conn();
        rig.broker.hang(conn, Hang::Both, rig.now);
        for qos in [One, Two] {
            rig.send("t", &[b'0' + qos.bits()], qos);
        }
        rig.settle();
        rig.sever();
        rig.broker.forget("client");
        rig.connect();
        assert!(rig.until(1_000, Rig::all_ended));
        let log: Vec<_> = rig.broker.log().iter().map(|a| &a.payload[..]).collect();
        assert_eq!(log, [b"1", b"2"]);
        assert!(rig.broker.log().iter().all(|accepted| !accepted.dup));
        assert!(
            rig.book
                .iter()
                .all(|b| matches!(b.ends[..], [End::Delivered(_)]))
        );
    }
}

#[test]
fn a_publication_that_the_broker_took_and_forgot_is_reported() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.broker.withhold(PacketType::PubComp, 0, 1);
        rig.send("t", b"x", Two);
        rig.settle();
        rig.sever();
        rig.broker.forget("client");
        rig.connect();
        assert_eq!(rig.book[0].ends, [End::Dropped(Dropped::SessionLost)]);
        assert_eq!(rig.session.pending(), 0);
        // It does not take part of the quota any more.
        rig.send("t", b"y", Two);
        assert!(rig.until(1_000, Rig::all_ended));
    }
}

// 6. Acknowledging is the application's.

#[test]
fn puback_waits_for_the_application() {
    for version in BOTH {
        for (qos, answer) in [(One, PacketType::PubAck), (Two, PacketType::PubRec)] {
            let mut rig = rig(version);
            rig.automatic = false;
            rig.subscribe("in", Two);
            rig.settle();
            rig.packets();
            rig.other("in", b"x", qos);
            rig.advance(5_000);
            let sent = rig.packets();
            assert!(sent.is_empty(), "{sent:?}");
            let token = rig.messages().last().unwrap().token.unwrap();
            rig.session.acknowledge(token);
            rig.settle();
            assert_eq!(rig.packets()[0].packet_type(), answer);
        }
    }
}

#[test]
fn a_message_that_was_not_acknowledged_comes_again() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.automatic = false;
        rig.subscribe("in", One);
        rig.settle();
        rig.other("in", b"x", One);
        rig.sever();
        rig.connect();
        rig.settle();
        let messages: Vec<_> = rig.messages().cloned().collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[1].dup);
        // The first one's token is of another connection.
        rig.packets();
        rig.session.acknowledge(messages[0].token.unwrap());
        rig.settle();
        assert!(rig.packets().is_empty());
        rig.session.acknowledge(messages[1].token.unwrap());
        rig.settle();
        assert_eq!(rig.packets().len(), 1);
    }
}

// 7. Connecting for ever.

#[test]
fn connect_has_a_deadline() {
    for version in BOTH {
        let mut rig = Setup::new(version).rig();
        rig.broker.hang_all(Hang::Both, 0);
        assert!(rig.until(60_000, |rig| rig.lost().is_some()));
        let bound = u64::from(rig.options.timeouts.connect_ms);
        assert_eq!(rig.lost(), Some((bound, Cause::ConnectTimeout)));
        rig.broker.hang_all(Hang::Not, rig.now);
        rig.connect();
    }
}

#[test]
fn opening_has_a_deadline() {
    let bound = u64::from(options(Version::V5).timeouts.connect_ms);
    let mut raw = Raw::new(options(Version::V5));
    raw.events();
    assert_eq!(raw.session.transport(), Transport::Open(1));
    raw.wait(bound);
    let timeout = Seen::Disconnected(Cause::ConnectTimeout);
    assert_eq!(raw.seen, [(bound, timeout)]);
    // A driver that succeeds too late changes nothing.
    raw.session.opened(at(raw.now));
    assert_eq!(raw.session.transport(), Transport::Closed);
    assert_eq!(raw.sent(), []);
    raw.connect(CONNACK);
    assert!(raw.session.is_connected());
}

#[test]
fn a_connack_that_trickles_does_not_move_the_deadline() {
    let mut raw = Raw::new(options(Version::V5));
    let bound = u64::from(options(Version::V5).timeouts.connect_ms);
    raw.open();
    raw.sent();
    for byte in &CONNACK[..4] {
        raw.receive(&[*byte]);
        raw.wait(bound / 4 - 1);
    }
    assert_eq!(raw.seen, []);
    raw.wait(4);
    let timeout = Seen::Disconnected(Cause::ConnectTimeout);
    assert_eq!(raw.seen, [(bound, timeout)]);
}

// 8. The end of a connection inside a packet.

#[test]
fn eof_inside_a_fixed_header_does_not_poison_the_next_connection() {
    let mut publish = vec![0x32, 0x8d, 0x01, 0, 1, b't', 0, 1, 0];
    publish.resize(3 + 141, b'x');
    for cut in 1..publish.len() {
        let mut raw = Raw::connected(Version::V5);
        assert_eq!(raw.receive(&publish[..cut]), []);
        raw.session.failed(Network::Closed, at(raw.now));
        raw.connect(CONNACK_PRESENT);
        assert!(raw.session.is_connected(), "after {cut} bytes");
        assert_eq!(raw.receive(&publish).len(), 1, "after {cut} bytes");
    }
}

#[test]
fn ending_a_dead_connection_is_harmless() {
    let mut raw = Raw::connected(Version::V5);
    raw.cut();
    assert_eq!(raw.cut(), [], "it was lost already");
    raw.session.transmitted(3, at(raw.now));
    raw.session.received(0);
    raw.session.stop(at(raw.now));
    assert_eq!(raw.events(), [Seen::Disconnected(Cause::Stopped)]);
    raw.cut();
    raw.session.stop(at(raw.now));
    assert_eq!(raw.events(), []);
    raw.session.start(at(raw.now));
    raw.connect(CONNACK);
    assert!(raw.session.is_connected());
}

// 9. Malformed packets, DISCONNECT, and more QoS 2 than there is room for.

#[test]
fn malformed_packets_end_the_connection_with_a_reason() {
    let cases: [(&[u8], Fault, u8); 7] = [
        (&[0x40, 1, 0], Fault::Malformed, 0x81),
        (&[0x36, 5, 0, 1, b't', 0, 1], Fault::Malformed, 0x81),
        (&[0x30, 3, 0, 0, 0], Fault::Protocol, 0x82),
        (&[0x30, 4, 0, 1, b'#', 0], Fault::TopicName, 0x90),
        (&[0xd0, 0xff, 0xff, 0xff, 0xff], Fault::Malformed, 0x81),
        (CONNACK, Fault::Protocol, 0x82),
        (&[0xc0, 0], Fault::Malformed, 0x81),
    ];
    for (bytes, fault, code) in cases {
        let mut raw = Raw::connected(Version::V5);
        assert_eq!(raw.receive(bytes), [], "{bytes:x?}");
        assert_eq!(raw.sent(), [0xe0, 1, code], "{bytes:x?}");
        let lost = Seen::Disconnected(Cause::Protocol(fault));
        assert_eq!(raw.events(), [lost], "{bytes:x?}");
        raw.connect(CONNACK);
        assert!(raw.session.is_connected());
    }
}

#[test]
fn malformed_packets_end_the_connection_of_3_1_1_without_a_word() {
    let mut raw = Raw::connected(Version::V4);
    let lost = Seen::Disconnected(Cause::Protocol(Fault::Malformed));
    assert_eq!(raw.receive(&[0x40, 1, 0]), [lost]);
    assert_eq!(raw.session.transport(), Transport::Closed);
    assert_eq!(raw.sent(), []);
}

#[test]
fn a_disconnect_of_the_broker_is_reported_with_its_reason() {
    let mut raw = Raw::connected(Version::V5);
    let cause = Cause::Disconnected(ReasonCode::SERVER_SHUTTING_DOWN);
    assert_eq!(raw.receive(&[0xe0, 1, 0x8b]), [Seen::Disconnected(cause)]);
    let mut raw = Raw::connected(Version::V5);
    let cause = Cause::Disconnected(ReasonCode::SUCCESS);
    assert_eq!(raw.receive(&[0xe0, 0]), [Seen::Disconnected(cause)]);
    // MQTT 3.1.1 has none.
    let mut raw = Raw::connected(Version::V4);
    let cause = Cause::Protocol(Fault::Malformed);
    assert_eq!(raw.receive(&[0xe0, 0]), [Seen::Disconnected(cause)]);
}

#[test]
fn more_messages_at_qos_2_than_there_is_room_for_wait() {
    let publish = |version: Version, id: u8, dup: bool| {
        let first = 0x34 | u8::from(dup) << 3;
        match version {
            Version::V4 => vec![first, 5, 0, 1, b't', 0, id],
            Version::V5 => vec![first, 6, 0, 1, b't', 0, id, 0],
        }
    };
    for version in BOTH {
        let mut raw = Raw::connected(version);
        let mut tokens = Vec::new();
        for id in 1..=32 {
            let seen = raw.receive(&publish(version, id, false));
            let [Seen::Message(message)] = &seen[..] else {
                panic!("{seen:?}");
            };
            tokens.push(message.token.unwrap());
        }
        // The rest waits for the application.
        assert_eq!(raw.receive(&publish(version, 33, false)), []);
        assert_eq!(raw.wait(14_000), [], "neither an answer nor a loss");
        raw.session.acknowledge(tokens[0]);
        assert_eq!(raw.events(), []);
        assert_eq!(raw.sent(), [0x50, 2, 0, 1]);
        for token in &tokens[1..] {
            raw.session.acknowledge(*token);
        }
        raw.sent();
        // Now the broker would wait for itself: what has no room comes again.
        assert_eq!(raw.events(), []);
        assert_eq!(raw.receive(&publish(version, 34, false)), [], "in order");
        for id in 1..=31 {
            raw.receive(&[0x62, 2, 0, id]);
            assert_eq!(raw.sent(), [0x70, 2, 0, id]);
        }
        raw.receive(&[0x62, 2, 0, 32]);
        assert_eq!(raw.sent(), [0x70, 2, 0, 32, 0xe0, 0]);
        let now = raw.now;
        raw.connect(match version {
            Version::V4 => crate::common::raw::CONNACK_V4_PRESENT,
            Version::V5 => crate::common::raw::CONNACK_PRESENT,
        });
        assert_eq!(raw.now, now, "at once");
        for id in [33, 34] {
            assert_eq!(raw.receive(&publish(version, id, true)).len(), 1);
        }
    }
}

// 10. Receiving is not sending.

#[test]
fn receive_only_clients_ping() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.subscribe("in", Zero);
        rig.settle();
        rig.packets();
        let mut pings = 0;
        for _ in 0..1_000 {
            rig.advance(100);
            rig.other("in", b"x", Zero);
            pings += rig
                .packets()
                .iter()
                .filter(|p| **p == Packet::PingReq)
                .count();
        }
        assert_eq!(pings, 6, "in 100 s, every 15 s");
        assert_eq!(rig.causes(), []);
    }
}

// 11. The peer must not choose how much memory is used.

#[test]
fn packet_size_is_bounded() {
    let mut rig = rig(Version::V5);
    let Some(Packet::Connect(connect)) = rig.packets().into_iter().next() else {
        panic!("no CONNECT");
    };
    assert_eq!(connect.properties.maximum_packet_size, Some(1024));

    // A header is enough to know.
    let mut raw = Raw::connected(Version::V5);
    raw.receive(&[0x30, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(raw.sent(), [0xe0, 1, 0x95]);
    let mut raw = Raw::connected(Version::V4);
    let lost = Seen::Disconnected(Cause::Protocol(Fault::TooLarge));
    assert_eq!(raw.receive(&[0x90, 0xff, 0xff, 0xff, 0x7f]), [lost]);
}

#[test]
fn a_packet_that_fits_exactly_is_taken() {
    for version in BOTH {
        let mut raw = Raw::connected(version);
        let mut publish = vec![0x30, 0xfd, 0x01, 0, 1, b't'];
        publish.resize(256, 0);
        let (seen, _) = raw.converse(&publish);
        assert!(matches!(seen[..], [Seen::Message(_)]), "{seen:?}");
    }
}

// 12. The clients of MicroPython.

#[test]
fn packet_ids_wrap() {
    // One publication and two subscriptions hold theirs all the time.
    let mut raw = Raw::connected(Version::V5);
    for filter in ["a", "b"] {
        let options = SubscribeOptions::default();
        raw.session.subscribe(filter, options, None).unwrap();
        let sent = raw.sent();
        raw.receive(&[0x90, 4, sent[2], sent[3], 0, 0]);
    }
    raw.publish("held", One);
    raw.sent();
    let mut ids = BTreeSet::new();
    for _ in 0..140_000 {
        raw.publish("t", One);
        let sent = raw.sent();
        assert_eq!(sent.len(), 9);
        let id = [sent[5], sent[6]];
        assert!(u16::from_be_bytes(id) > 3, "zero, or in use");
        ids.insert(id);
        assert_eq!(raw.receive(&[0x40, 2, id[0], id[1]]).len(), 1);
        raw.seen.clear();
    }
    assert_eq!(
        ids.len(),
        65_532,
        "all but zero and the three that are held"
    );
}

#[test]
fn packet_ids_do_not_run_out() {
    // A search for one that is free would never end.
    let slots = vec![aldis_mqtt::Slot::EMPTY; 70_000].leak();
    let buffers = Buffers::new(leak(256), leak(4 << 20), slots);
    let mut raw = Raw::with_buffers(options(Version::V5), buffers);
    let publication = Publication::new("t", b"x").qos(One);
    for _ in 0..16_384 {
        raw.session.publish(&publication, at(0)).unwrap();
    }
    let full = raw.session.publish(&publication, at(0));
    assert_eq!(full, Err(aldis_mqtt::PublishError::Full));
    let (id, _) = raw.session.oldest_unsent().unwrap();
    assert!(raw.session.withdraw(id));
    assert!(raw.session.publish(&publication, at(0)).is_ok());
}

#[test]
fn a_publication_without_an_answer_ends_the_connection_and_comes_again_with_its_packet_id() {
    for version in BOTH {
        let mut rig = rig(version);
        rig.broker.withhold(PacketType::PubAck, 0, 1);
        rig.send("t", b"x", One);
        assert!(rig.until(60_000, |rig| rig.all_ended()));
        assert_eq!(rig.causes(), [Cause::Silent]);
        assert_eq!(rig.seen[1].0, patience_ms(&rig.options));
        let log = rig.broker.log();
        assert_eq!(log.len(), 2);
        assert_eq!(log[0].packet_id, log[1].packet_id);
        assert!(log[1].dup);
    }
}

#[test]
fn the_first_connection_is_retried_like_any_other() {
    let mut rig = Setup::new(Version::V5).rig();
    rig.reachable = false;
    rig.advance(600_000);
    assert!(rig.attempts.len() > 8, "{:?}", rig.attempts);
    assert!(
        rig.causes()
            .iter()
            .all(|c| *c == Cause::Network(Network::Unreachable))
    );
    rig.reachable = true;
    rig.connect();
}

#[test]
fn each_attempt_is_a_new_connection() {
    // So that the driver asks for the broker's address again each time.
    let mut raw = Raw::new(options(Version::V5));
    let mut numbers = BTreeSet::new();
    for _ in 0..50 {
        raw.open();
        let Transport::Open(number) = raw.session.transport() else {
            panic!();
        };
        assert!(numbers.insert(number));
        raw.cut();
    }
}

#[test]
fn a_message_that_finds_no_room_is_not_dropped() {
    // Ten times as many as may be under way.
    for version in BOTH {
        let mut rig = Setup {
            receive: 128,
            ..Setup::with(Options {
                receive_maximum: 2,
                ..options(version)
            })
        }
        .connected();
        rig.subscribe("in", Two);
        rig.settle();
        rig.automatic = false;
        for index in 0..200u8 {
            let qos = if index % 2 == 0 {
                Qos::AtLeastOnce
            } else {
                Qos::ExactlyOnce
            };
            rig.broker
                .publish(Message::new("in", &[index], qos), rig.now);
        }
        rig.settle();
        while rig.messages().count() < 200 {
            let tokens: Vec<_> = rig.messages().filter_map(|m| m.token).collect();
            let before = rig.messages().count();
            for token in tokens {
                rig.session.acknowledge(token);
            }
            rig.settle();
            assert!(rig.messages().count() > before, "it got stuck: {version:?}");
        }
        let payloads: Vec<u8> = rig.messages().map(|m| m.payload[0]).collect();
        assert_eq!(payloads, (0..200).collect::<Vec<u8>>());
        assert_eq!(rig.causes(), []);
    }
}

#[test]
fn the_outbox_takes_nothing_it_could_not_keep() {
    let buffers = Buffers::new(
        leak(256),
        leak(80),
        vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
    );
    let mut raw = Raw::with_buffers(options(Version::V5), buffers);
    let publish = |raw: &mut Raw, len: usize| {
        let payload = vec![b'x'; len];
        raw.session
            .publish(&Publication::new("t", &payload).qos(One), at(raw.now))
    };
    // Topic 3, packet id 2, properties 1, and 5 for each.
    assert_eq!(
        publish(&mut raw, 70),
        Err(aldis_mqtt::PublishError::TooLarge)
    );
    assert!(publish(&mut raw, 69).is_ok());
    assert_eq!(publish(&mut raw, 0), Err(aldis_mqtt::PublishError::Full));
    raw.connect(CONNACK);
    assert_eq!(raw.sent().len(), 2 + 75);
    raw.receive(&[0x40, 2, 0, 1]);
    assert!(publish(&mut raw, 69).is_ok(), "the room comes back");
}

#[test]
fn a_ping_is_sent_and_its_answer_awaited() {
    let mut raw = Raw::connected(Version::V4);
    let written = raw.wait(60_000);
    assert_eq!(written[0], (15_000, PINGREQ.to_vec()));
    let silent = silent_ms(&options(Version::V4));
    assert_eq!(raw.seen[1], (silent, Seen::Disconnected(Cause::Silent)));
}
