//! Where a rule begins and ends.

use crate::common::raw::{CONNACK, CONNACK_PRESENT, Raw};
use crate::common::{Seen, at, leak, options};
use aldis_mqtt::wire::Fault;
use aldis_mqtt::{
    Buffers, Cause, Dropped, Network, Options, OptionsError, Publication, PublishError, QoS,
    ReasonCode, SubscribeError, Transport, Version,
};

use QoS::{AtLeastOnce as One, ExactlyOnce as Two};

const BOTH: [Version; 2] = [Version::V4, Version::V5];

/// Bytes that came too early would overwrite the CONNECT that is going out.
#[test]
fn nothing_is_received_before_connect_is_written() {
    let mut raw = Raw::new(options(Version::V5));
    assert!(raw.session.receive_space().is_empty(), "no connection");
    raw.open();
    assert!(raw.session.receive_space().is_empty(), "CONNECT is there");
    let len = raw.session.transmit(at(raw.now)).unwrap().len();
    raw.session.transmitted(len - 1, at(raw.now));
    assert!(raw.session.receive_space().is_empty(), "some of it");
    raw.session.transmitted(1, at(raw.now));
    assert!(!raw.session.receive_space().is_empty());
}

/// The connection breaks while DISCONNECT is on its way: it was stopped, all the same.
#[test]
fn a_stop_is_told_as_one_although_the_connection_breaks() {
    let mut raw = Raw::connected(Version::V5);
    raw.session.stop(at(raw.now));
    assert_eq!(raw.cut(), [Seen::Disconnected(Cause::Stopped)]);
    assert!(raw.session.is_stopped());
}

/// Maximum QoS 1 is not Maximum QoS 0.
#[test]
fn the_maximum_qos_is_itself_allowed() {
    for (maximum, one, two) in [(0, false, false), (1, true, false)] {
        let mut raw = Raw::new(options(Version::V5));
        raw.connect(&[0x20, 5, 0, 0, 2, 36, maximum]);
        for (qos, allowed) in [(One, one), (Two, two)] {
            raw.publish("t", qos);
            let sent = raw.sent();
            let told = raw.events();
            assert_eq!(!sent.is_empty(), allowed, "{maximum} {qos:?}");
            assert_eq!(told.is_empty(), allowed, "{maximum} {qos:?}: {told:?}");
        }
    }
}

/// What a broker says it offers is offered.
#[test]
fn what_is_said_to_be_available_is() {
    for (available, sent) in [(0, false), (1, true)] {
        let mut raw = Raw::new(options(Version::V5));
        raw.connect(&[0x20, 5, 0, 0, 2, 37, available]);
        let publication = Publication::new("t", b"x").qos(One).retained();
        raw.session.publish(&publication, at(raw.now)).unwrap();
        assert_eq!(!raw.sent().is_empty(), sent);
    }
}

/// Where both sides are heard within the keep-alive, there is nothing to ask.
#[test]
fn an_answer_puts_off_the_next_question() {
    let mut raw = Raw::connected(Version::V5);
    let start = raw.now;
    raw.wait(10_000);
    raw.publish("t", One);
    raw.sent();
    raw.receive(&[0x40, 2, 0, 1]);
    assert_eq!(raw.wait(14_999), []);
    assert_eq!(raw.wait(1), [(start + 25_000, vec![0xc0, 0])]);
}

/// Asking sooner would cost a battery, and later the connection.
#[test]
fn a_quiet_connection_is_asked_at_the_keep_alive_and_not_before() {
    for keep_alive_s in [1, 15, 3_600] {
        let mut raw = Raw::new(Options {
            keep_alive_s,
            ..options(Version::V5)
        });
        raw.connect(CONNACK);
        let start = raw.now;
        for round in 1..4 {
            let due = start + round * u64::from(keep_alive_s) * 1_000;
            assert_eq!(raw.wait(due - raw.now - 1), [], "{keep_alive_s} s");
            assert_eq!(raw.wait(1), [(due, vec![0xc0, 0])], "{keep_alive_s} s");
            raw.receive(&[0xd0, 0]);
        }
    }
}

/// The later of two would be looked for without end, or be told with the first.
#[test]
fn each_publication_expires_at_its_own_time() {
    let mut raw = Raw::new(options(Version::V5));
    let ids = [20, 10, 30].map(|seconds| {
        let publication = Publication::new("t", b"x").qos(One).expires(seconds);
        let published = raw.session.publish(&publication, at(raw.now));
        published.unwrap().id
    });
    for (end, id) in [(10_000, ids[1]), (20_000, ids[0]), (30_000, ids[2])] {
        while raw.now < end {
            raw.session.failed(Network::Down, at(raw.now));
            raw.events();
            raw.now = end.min(raw.session.deadline().as_millis().max(raw.now + 1));
        }
        raw.events();
        let is = |seen: &Seen| matches!(seen, Seen::Dropped(told, Dropped::Expired) if *told == id);
        let told: Vec<_> = raw.seen.iter().filter(|(_, seen)| is(seen)).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, end);
    }
}

/// Two topics in one piece of the network: each has the alias that came with it.
#[test]
fn aliases_belong_to_the_topics_of_their_own_packets() {
    let buffers = Buffers {
        inbound_aliases: leak(16),
        ..Buffers::new(
            leak(256),
            leak(256),
            vec![aldis_mqtt::Slot::EMPTY; 8].leak(),
        )
    };
    let mut raw = Raw::with_buffers(options(Version::V5), buffers);
    raw.connect(CONNACK);
    let named = |alias, topic| [0x30, 8, 0, 1, topic, 3, 35, 0, alias, b'x'];
    let unnamed = |alias| [0x30, 7, 0, 0, 3, 35, 0, alias, b'x'];
    let topics = |seen: Vec<Seen>| -> Vec<String> {
        let topic = |seen| match seen {
            Seen::Message(message) => message.topic,
            other => panic!("{other:?}"),
        };
        seen.into_iter().map(topic).collect()
    };
    let both = [&named(1, b'a')[..], &named(2, b'b')].concat();
    assert_eq!(topics(raw.receive(&both)), ["a", "b"]);
    let both = [&unnamed(2)[..], &unnamed(1)].concat();
    assert_eq!(topics(raw.receive(&both)), ["b", "a"]);
    assert_eq!(topics(raw.receive(&named(2, b'c'))), ["c"]);
    let both = [&unnamed(2)[..], &unnamed(1)].concat();
    assert_eq!(topics(raw.receive(&both)), ["c", "a"]);
    // Two is all there is room for.
    raw.receive(&named(3, b'd'));
    assert!(!raw.session.is_connected());
}

/// DUP is the broker's word, not ours.
#[test]
fn dup_and_retain_are_told_as_they_came() {
    for flags in [0u8, 1, 8, 9] {
        let mut raw = Raw::connected(Version::V4);
        let seen = raw.receive(&[0x32 | flags, 5, 0, 1, b't', 0, 7]);
        let [Seen::Message(message)] = &seen[..] else {
            panic!("{seen:?}");
        };
        let told = (message.dup, message.retain);
        assert_eq!(told, (flags & 8 != 0, flags & 1 != 0));
    }
}

/// PINGRESP has no body (section 3.13), and AUTH does not exist in MQTT 3.1.1.
#[test]
fn what_no_broker_may_send_ends_the_connection() {
    for version in BOTH {
        let mut raw = Raw::connected(version);
        raw.receive(&[0xd0, 1, 0]);
        assert!(!raw.session.is_connected(), "{version:?}");
    }
    let mut raw = Raw::connected(Version::V4);
    let cause = Cause::Protocol(Fault::Malformed);
    assert_eq!(raw.receive(&[0xf0, 0]), [Seen::Disconnected(cause)]);
}

/// A PUBREC that is an error ends the exchange (MQTT-4.3.3): no PUBREL.
#[test]
fn a_refused_exchange_that_is_not_known_gets_no_pubrel() {
    let mut raw = Raw::connected(Version::V5);
    raw.receive(&[0x50, 3, 0, 9, 0x97]);
    assert_eq!(raw.sent(), []);
    raw.receive(&[0x50, 2, 0, 9]);
    assert_eq!(raw.sent(), [0x62, 3, 0, 9, 0x92]);
}

/// What comes late on the next connection is an answer to what was sent on the one before, before
/// it is sent again.
#[test]
fn an_answer_may_come_before_the_repetition() {
    let mut raw = Raw::connected(Version::V5);
    let id = raw.publish("t", One);
    raw.sent();
    raw.cut();
    raw.connect(CONNACK_PRESENT);
    let seen = raw.receive(&[0x40, 2, 0, 1]);
    assert_eq!(seen, [Seen::Delivered(id, ReasonCode::SUCCESS)]);
    // Of what was never sent there is no answer.
    raw.publish("t", One);
    raw.receive(&[0x40, 2, 0, 2]);
    assert!(!raw.session.is_connected());
}

/// Three connections that were soon closed are taken for another client with the same id; a broker
/// that was away between them was only being restarted.
#[test]
fn a_broker_that_was_away_was_restarted_not_taken_over() {
    // So is one that was there for longer.
    for (away, lasted, restarted) in [
        (false, 0, false),
        (false, 9_999, false),
        (false, 10_000, true),
        (true, 0, true),
    ] {
        let mut raw = Raw::connected(Version::V5);
        for round in 0..3 {
            raw.now += lasted;
            raw.events();
            raw.session.failed(Network::Closed, at(raw.now));
            raw.events();
            if round == 2 {
                break;
            }
            if away {
                while raw.session.transport() == Transport::Closed {
                    raw.now = raw.session.deadline().as_millis();
                    raw.events();
                }
                raw.session.failed(Network::ConnectionRefused, at(raw.now));
            }
            raw.open();
            raw.sent();
            raw.receive(CONNACK_PRESENT);
        }
        let wait = raw.session.deadline().as_millis() - raw.now;
        let least = u64::from(Options::new("c").backoff.taken_over_ms);
        assert_eq!(wait >= least, !restarted, "{lasted} ms, then {wait} ms");
    }
}

/// Words that are missing leave a person with nothing to change.
#[test]
fn every_error_has_words() {
    let mut words = vec![
        PublishError::Full.to_string(),
        SubscribeError::Full.to_string(),
        OptionsError::InvalidWill.to_string(),
    ];
    for network in [
        Network::Down,
        Network::Dns,
        Network::ConnectionRefused,
        Network::Unreachable,
        Network::TimedOut,
        Network::Tls,
        Network::Closed,
        Network::Reset,
    ] {
        words.push(Cause::Network(network).to_string());
    }
    assert!(words.iter().all(|words| words.len() > 10), "{words:?}");
    words.sort();
    words.dedup();
    // Two are full in the same words.
    assert_eq!(words.len(), 10);
}

/// A driver that says that it has read more than there was room for has read what there was room
/// for.
#[test]
fn no_more_is_received_than_there_is_room_for() {
    let mut raw = Raw::connected(Version::V5);
    // 250 of 256 bytes: messages of ten, of which the last is not all there.
    let message = [0x30, 8, 0, 1, b't', 0, 1, 2, 3, 4];
    let bytes: Vec<u8> = message.into_iter().cycle().take(256).collect();
    raw.session.receive_space()[..256].copy_from_slice(&bytes);
    raw.session.received(usize::MAX);
    raw.session.received(1);
    assert_eq!(raw.events().len(), 25);
    assert_eq!(raw.session.receive_space().len(), 250);
    assert!(raw.session.is_connected());
}
