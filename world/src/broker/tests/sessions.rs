//! Connecting, taking over, wills and expiry.

use super::*;

#[test]
fn a_session_lives_as_long_as_its_expiry_and_no_longer() {
    for (gap, present) in [(9_999, true), (10_000, false)] {
        let mut broker = Broker::new(Config::default());
        let (peer, ack, _) = Peer::connect(&mut broker, lasting("c", 10), 0);
        assert!(!ack.session_present);
        broker.closed(peer.conn, 1_000);
        let (_, ack, _) = Peer::connect(&mut broker, lasting("c", 10), 1_000 + gap);
        assert_eq!(ack.session_present, present, "after {gap} ms");
    }
}

#[test]
fn a_will_waits_for_its_delay_and_a_return_cancels_it() {
    for (back_at, published) in [(4_999, 0), (5_000, 1)] {
        let mut broker = Broker::new(Config::default());
        let watcher = Peer::simple(&mut broker, Version::V4, "w");
        watcher.subscribe(&mut broker, "will", Qos::AtMostOnce);
        let (peer, ..) = Peer::connect(&mut broker, with_will(lasting("c", 60), Some(5)), 0);
        broker.closed(peer.conn, 0);
        assert_eq!(broker.deadline(), Some(5_000));
        Peer::connect(&mut broker, lasting("c", 60), back_at);
        broker.tick(100_000);
        let packets = watcher.read(&mut broker);
        assert_eq!(publications(&packets).len(), published, "back at {back_at}");
    }
}

#[test]
fn a_delayed_will_is_published_when_the_session_ends_first() {
    let mut broker = Broker::new(Config::default());
    let watcher = Peer::simple(&mut broker, Version::V5, "w");
    watcher.subscribe(&mut broker, "will", Qos::AtMostOnce);
    let (peer, ..) = Peer::connect(&mut broker, with_will(lasting("c", 3), Some(60)), 0);
    broker.closed(peer.conn, 0);
    broker.tick(2_999);
    assert!(watcher.read(&mut broker).is_empty());
    broker.tick(3_000);
    assert_eq!(publications(&watcher.read(&mut broker)).len(), 1);
    assert!(broker.session("c").is_none());
}

#[test]
fn a_takeover_tells_the_old_connection_and_treats_the_will_as_the_standard_says() {
    // (delay, clean start of the newcomer, wills published at once)
    for (delay, clean, published) in [
        (None, false, 1),
        (Some(9), false, 0),
        (Some(9), true, 1),
        (None, true, 1),
    ] {
        let mut broker = Broker::new(Config::default());
        let watcher = Peer::simple(&mut broker, Version::V5, "w");
        watcher.subscribe(&mut broker, "will", Qos::AtMostOnce);
        let (old, ..) = Peer::connect(&mut broker, with_will(lasting("c", 60), delay), 0);
        let mut connect = lasting("c", 60);
        connect.clean_start = clean;
        let (_, ack, _) = Peer::connect(&mut broker, connect, 1);
        assert_eq!(ack.session_present, !clean);
        let last = old.read(&mut broker);
        assert_eq!(disconnect_code(&last), Some(reason::SESSION_TAKEN_OVER));
        assert!(broker.is_closed(old.conn));
        broker.tick(50_000);
        let packets = watcher.read(&mut broker);
        let case = (delay, clean);
        assert_eq!(publications(&packets).len(), published, "{case:?}");
    }
}

#[test]
fn the_old_connection_going_away_after_a_takeover_harms_nothing() {
    let mut broker = Broker::new(Config::default());
    let (old, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    let (new, ..) = Peer::connect(&mut broker, lasting("c", 60), 1);
    broker.closed(old.conn, 2);
    let session = broker.session("c").unwrap();
    assert_eq!(session.connection, Some(new.conn));
    assert_eq!(new.ask(&mut broker, Packet::PingReq, 3), [Packet::PingResp]);
}

#[test]
fn silence_is_ended_after_one_and_a_half_keep_alives() {
    let mut broker = Broker::new(Config::default());
    let mut connect = with_will(Connect::new(Version::V5, "c"), None);
    connect.keep_alive = 10;
    let (peer, ..) = Peer::connect(&mut broker, connect, 0);
    let watcher = Peer::simple(&mut broker, Version::V5, "w");
    watcher.subscribe(&mut broker, "will", Qos::AtMostOnce);
    peer.ask(&mut broker, Packet::PingReq, 5_000);
    assert_eq!(broker.deadline(), Some(20_000));
    broker.tick(19_999);
    assert!(peer.read(&mut broker).is_empty());
    broker.tick(20_000);
    let packets = peer.read(&mut broker);
    assert_eq!(disconnect_code(&packets), Some(reason::KEEP_ALIVE_TIMEOUT));
    assert!(broker.is_closed(peer.conn));
    assert_eq!(publications(&watcher.read(&mut broker)).len(), 1);
}

#[test]
fn half_a_packet_does_not_count_as_a_sign_of_life() {
    let mut broker = Broker::new(Config::default());
    let mut connect = Connect::new(Version::V4, "c");
    connect.keep_alive = 10;
    let (peer, ..) = Peer::connect(&mut broker, connect, 0);
    broker.receive(peer.conn, &[0xC0], 14_000);
    broker.tick(15_000);
    assert!(broker.is_closed(peer.conn));
}

#[test]
fn the_keep_alive_of_the_server_counts_for_version_5() {
    let mut broker = Broker::new(Config {
        server_keep_alive: Some(4),
        ..Config::default()
    });
    let (peer, ack, _) = Peer::connect(&mut broker, Connect::new(Version::V5, "c"), 0);
    assert_eq!(ack.properties.server_keep_alive, Some(4));
    broker.tick(6_000);
    assert!(disconnect_code(&peer.read(&mut broker)).is_some());
}

#[test]
fn a_connection_without_connect_does_not_stay() {
    let mut broker = Broker::new(Config::default());
    let conn = broker.open(0);
    broker.tick(29_999);
    assert!(!broker.is_closed(conn));
    broker.tick(30_000);
    assert!(broker.is_closed(conn));
}

#[test]
fn a_version_that_is_not_spoken_gets_the_old_refusal() {
    for (spoken, asked) in [(Version::V4, Version::V5), (Version::V5, Version::V4)] {
        let mut broker = Broker::new(Config {
            versions: Versions::Only(spoken),
            ..Config::default()
        });
        let conn = broker.open(0);
        let connect = Packet::Connect(Connect::new(asked, "c")).encode(asked);
        broker.receive(conn, &connect, 0);
        assert_eq!(broker.output(conn), [0x20, 2, 0, 1], "{asked:?}");
        assert!(broker.is_closed(conn));
    }
}

#[test]
fn every_refusal_comes_in_the_code_of_the_version() {
    for (given, old, new) in [
        (0x84, 1, 0x84),
        (2, 2, 0x85),
        (0x88, 3, 0x88),
        (0x86, 4, 0x86),
        (5, 5, 0x87),
        (0x97, 3, 0x97),
    ] {
        let mut broker = Broker::new(Config {
            refuse: Some(given),
            ..Config::default()
        });
        for (version, code) in [(Version::V4, old), (Version::V5, new)] {
            let (peer, answers) = Peer::open(&mut broker, Connect::new(version, "c"), 0);
            assert!(
                matches!(&answers[..], [Packet::ConnAck(ack)] if ack.code == code),
                "{given:#x} for {version:?}: {answers:?}"
            );
            assert!(broker.is_closed(peer.conn));
            assert!(broker.session("c").is_none());
        }
    }
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_is_not() {
    let mut broker = Broker::new(Config {
        credentials: Some([("u".into(), b"p".to_vec())].into()),
        ..Config::default()
    });
    for (user, password, code) in [
        (Some("u"), Some("p"), 0),
        (Some("u"), Some("q"), reason::BAD_CREDENTIALS),
        (Some("x"), Some("p"), reason::BAD_CREDENTIALS),
        (Some("u"), None, reason::BAD_CREDENTIALS),
        (None, None, reason::BAD_CREDENTIALS),
    ] {
        let mut connect = Connect::new(Version::V5, "c");
        connect.username = user.map(Into::into);
        connect.password = password.map(|p: &str| p.as_bytes().to_vec());
        let (_, answers) = Peer::open(&mut broker, connect, 0);
        assert!(matches!(&answers[..], [Packet::ConnAck(ack)] if ack.code == code));
    }
}

#[test]
fn a_restart_keeps_what_it_is_told_to_keep() {
    for (keep, present, retained) in [
        (Keep::Everything, true, true),
        (Keep::Retained, false, true),
        (Keep::Nothing, false, false),
    ] {
        let mut broker = Broker::new(Config::default());
        let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
        broker.publish(Message::new("t", b"x", Qos::AtMostOnce).retained(), 0);
        broker.restart(keep, 1);
        assert!(broker.is_closed(peer.conn));
        assert_eq!(broker.retained("t").is_some(), retained);
        let (_, ack, _) = Peer::connect(&mut broker, lasting("c", 60), 2);
        assert_eq!(ack.session_present, present, "{keep:?}");
    }
}

#[test]
fn a_forgotten_session_is_gone() {
    let mut broker = Broker::new(Config::default());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    broker.forget("c");
    assert!(broker.is_closed(peer.conn));
    let (_, ack, _) = Peer::connect(&mut broker, lasting("c", 60), 1);
    assert!(!ack.session_present);
}

#[test]
fn session_expiry_in_disconnect_holds_unless_it_was_zero_before() {
    let mut broker = Broker::new(Config::default());
    let end = |expiry| {
        Packet::Disconnect(Reason {
            code: 0,
            properties: Properties {
                session_expiry_interval: Some(expiry),
                ..Properties::default()
            },
        })
    };
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    peer.ask(&mut broker, end(0), 0);
    assert!(broker.session("c").is_none());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 0), 0);
    let packets = peer.ask(&mut broker, end(5), 0);
    assert_eq!(disconnect_code(&packets), Some(reason::PROTOCOL_ERROR));
}

#[test]
fn the_session_expiry_is_capped_and_the_client_is_told() {
    let mut broker = Broker::new(Config {
        maximum_session_expiry: 100,
        ..Config::default()
    });
    let (_, ack, _) = Peer::connect(&mut broker, lasting("c", 101), 0);
    assert_eq!(ack.properties.session_expiry_interval, Some(100));
    let (_, ack, _) = Peer::connect(&mut broker, lasting("d", 100), 0);
    assert_eq!(ack.properties.session_expiry_interval, None);
}

#[test]
fn a_hung_broker_answers_nothing_and_catches_up_when_it_goes_on() {
    let mut broker = Broker::new(Config::default());
    let mut connect = Connect::new(Version::V5, "c");
    connect.keep_alive = 10;
    let (peer, ..) = Peer::connect(&mut broker, connect, 0);
    broker.hang_all(Hang::Both, 0);
    assert!(peer.ask(&mut broker, Packet::PingReq, 1_000).is_empty());
    broker.tick(60_000);
    assert!(!broker.is_closed(peer.conn));
    broker.hang_all(Hang::Not, 60_000);
    assert_eq!(peer.read(&mut broker), [Packet::PingResp]);
}

#[test]
fn a_broker_that_hangs_while_reading_still_delivers() {
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    peer.subscribe(&mut broker, "t", Qos::AtMostOnce);
    broker.hang(peer.conn, Hang::Reads, 0);
    assert!(peer.ask(&mut broker, Packet::PingReq, 1).is_empty());
    broker.publish(Message::new("t", b"x", Qos::AtMostOnce), 2);
    assert_eq!(publications(&peer.read(&mut broker)).len(), 1);
}

#[test]
fn kicked_clients_are_told_why_and_keep_their_session() {
    let mut broker = Broker::new(Config::default());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", 60), 0);
    let old = Peer::simple(&mut broker, Version::V4, "old");
    broker.kick("c", reason::SERVER_SHUTTING_DOWN, 1);
    broker.kick("old", reason::SERVER_SHUTTING_DOWN, 1);
    let last = peer.read(&mut broker);
    assert_eq!(disconnect_code(&last), Some(reason::SERVER_SHUTTING_DOWN));
    assert!(old.read(&mut broker).is_empty());
    for peer in [peer, old] {
        assert!(broker.is_closed(peer.conn));
    }
    assert!(broker.session("c").is_some_and(|s| s.connection.is_none()));
    assert!(broker.session("old").is_none());
}

#[test]
fn a_client_whose_maximum_does_not_even_hold_a_connack_is_cut_off() {
    let mut broker = Broker::new(Config::default());
    let mut connect = Connect::new(Version::V5, "c");
    connect.properties.maximum_packet_size = Some(3);
    let (peer, answers) = Peer::open(&mut broker, connect, 0);
    assert!(answers.is_empty());
    assert!(broker.is_closed(peer.conn));
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    let mut other = broker.clone();
    peer.ask(&mut other, publish("t", Qos::AtLeastOnce, 1), 0);
    assert_eq!((broker.log().len(), other.log().len()), (0, 1));
}

#[test]
fn a_session_without_end_outlives_everything() {
    let mut broker = Broker::new(Config::default());
    let (peer, ..) = Peer::connect(&mut broker, lasting("c", u32::MAX), 0);
    broker.closed(peer.conn, 0);
    assert_eq!(broker.deadline(), None);
    broker.tick(u64::MAX);
    assert!(broker.session("c").is_some());
}

#[test]
fn no_answer_comes_to_what_follows_a_disconnect() {
    let mut broker = Broker::new(Config::default());
    let peer = Peer::simple(&mut broker, Version::V5, "c");
    let mut bytes = Packet::Disconnect(Reason::default()).encode(Version::V5);
    bytes.extend(publish("t", Qos::AtLeastOnce, 1).encode(Version::V5));
    broker.receive(peer.conn, &bytes, 0);
    assert!(broker.output(peer.conn).is_empty());
    assert!(broker.log().is_empty());
}
