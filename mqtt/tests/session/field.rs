//! What goes wrong in the field, each as a test.

use crate::common::raw::{CONNACK, CONNACK_V4, Raw, Vain};
use crate::common::{
    End, Rig, Seen, Setup, at, keep_alive_ms, leak, options, patience_ms, silent_ms,
};
use aldis_mqtt::{
    Backoff, Cause, Dropped, Network, Options, Publication, PublishError, QoS, ReasonCode, Version,
};
use aldis_world::broker::codec::{self, PacketType, reason};
use aldis_world::broker::{Hang, Keep};

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

const BOTH: [Version; 2] = [Version::V4, Version::V5];

// 1. Half-open connections.

#[test]
fn a_half_open_connection_is_noticed_without_any_traffic() {
    for version in BOTH {
        for deaf in [true, false] {
            let mut rig = Setup::new(version).connected();
            if deaf {
                rig.deaf = true;
            } else {
                let conn = rig.conn();
                rig.broker.hang(conn, Hang::Both, rig.now);
            }
            assert!(rig.until(100_000, |rig| rig.lost().is_some()));
            let noticed = silent_ms(&rig.options);
            assert_eq!(rig.lost(), Some((noticed, Cause::Silent)));
        }
    }
}

#[test]
fn each_kind_of_answer_is_awaited() {
    let kinds = [
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubComp,
        PacketType::SubAck,
        PacketType::UnsubAck,
        PacketType::PingResp,
    ];
    for version in BOTH {
        for kind in kinds {
            let mut rig = Setup::new(version).connected();
            rig.broker.withhold(kind, 0, 1);
            rig.send("t", b"1", One);
            rig.send("t", b"2", Two);
            rig.subscribe("in", One);
            rig.settle();
            if kind == PacketType::UnsubAck {
                rig.session.unsubscribe("in").unwrap();
            }
            rig.advance(60_000);
            assert_eq!(rig.causes(), [Cause::Silent], "{kind:?}");
            assert!(rig.all_ended(), "{kind:?}");
        }
    }
}

// 2. False timeouts.

#[test]
fn an_answer_that_was_received_counts_even_if_it_is_looked_at_late() {
    let mut raw = Raw::connected(Version::V5);
    let written = raw.wait(15_000);
    assert_eq!(written, [(15_000, vec![0xc0, 0])]);
    raw.arrive(&[0xd0, 0]);
    raw.now += 40_000;
    assert_eq!(raw.events(), []);
    assert!(raw.session.is_connected());
}

#[test]
fn an_answer_behind_another_packet_counts_as_well() {
    // PUBREL wants its PUBCOMP before the session looks further.
    let mut raw = Raw::connected(Version::V5);
    raw.wait(15_000);
    raw.arrive(&[0x62, 2, 0, 9, 0x62, 2, 0, 8, 0xd0, 0]);
    raw.now += 40_000;
    assert_eq!(raw.events(), []);
    assert_eq!(raw.sent(), [0x70, 3, 0, 9, 0x92]);
    assert_eq!(raw.events(), []);
    assert_eq!(raw.sent(), [0x70, 3, 0, 8, 0x92]);
    assert_eq!(raw.events(), []);
    assert!(raw.session.is_connected());
    // It was the answer: nothing is awaited any more.
    raw.now += 14_000;
    assert_eq!(raw.events(), []);
    assert!(raw.session.is_connected());
}

#[test]
fn the_wait_for_an_answer_begins_when_the_question_was_written() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.stalled = true;
    rig.send("t", b"x", One);
    let patience = patience_ms(&rig.options);
    rig.advance(patience - 100);
    rig.stalled = false;
    rig.deaf = true;
    rig.settle();
    rig.advance(patience - 100);
    rig.deaf = false;
    rig.settle();
    assert_eq!(rig.causes(), []);
    assert!(rig.all_ended());
}

#[test]
fn a_slow_answer_does_not_delay_the_next_ping() {
    // Else the broker would hear nothing for keep-alive and round trip together, which can be
    // more than one and a half times the keep-alive.
    for version in BOTH {
        let mut rig = Setup::with(Options {
            keep_alive_s: 10,
            ..options(version)
        })
        .connected();
        for _ in 0..40 {
            rig.deaf = true;
            rig.advance(patience_ms(&rig.options) - 100);
            rig.deaf = false;
            rig.settle();
        }
        assert_eq!(rig.causes(), [], "the broker gave the client up");
        let mut raw = Raw::connected(version);
        let keep_alive = keep_alive_ms(&options(version));
        assert_eq!(raw.wait(keep_alive).len(), 1);
        raw.now += patience_ms(&options(version)) - 1_000;
        raw.receive(&[0xd0, 0]);
        assert_eq!(raw.wait(keep_alive), [(2 * keep_alive, vec![0xc0, 0])]);
    }
}

// 3. Subscriptions.

#[test]
fn subscriptions_are_renewed_unless_the_broker_still_has_them() {
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        rig.subscribe("in/a", One);
        rig.subscribe("in/b", Two);
        rig.settle();
        for kept in [true, false] {
            rig.sever();
            if !kept {
                rig.broker.forget("client");
            }
            rig.packets();
            rig.connect();
            rig.settle();
            let kind = |p: &aldis_world::broker::codec::Packet| p.packet_type();
            let renewed = rig
                .packets()
                .iter()
                .map(kind)
                .filter(|k| *k == PacketType::Subscribe)
                .count();
            assert_eq!(renewed, if kept { 0 } else { 2 });
            assert_eq!(rig.broker.session("client").unwrap().subscriptions.len(), 2);
        }
    }
}

#[test]
fn a_refused_subscription_is_reported_and_tried_again() {
    for (version, code) in [(Version::V4, 0x80), (Version::V5, 0x87)] {
        let mut setup = Setup::new(version);
        setup.config.deny_subscribe = vec!["in".into()];
        let mut rig = setup.connected();
        rig.take_events();
        rig.subscribe("in", One);
        rig.settle();
        let refused = Seen::Subscribed("in".into(), Err(ReasonCode(code)));
        assert_eq!(rig.take_events(), [refused]);
        rig.advance(100_000);
        assert_eq!(rig.take_events(), [], "not again and again");
        rig.broker.config_mut().deny_subscribe.clear();
        rig.sever();
        rig.connect();
        rig.settle();
        let granted = Seen::Subscribed("in".into(), Ok(One));
        assert_eq!(rig.take_events().last(), Some(&granted));
    }
}

#[test]
fn a_lower_qos_than_asked_for_is_told() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.broker.answer_subscribe_with(Some(0));
    rig.subscribe("in", Two);
    rig.settle();
    let granted = Seen::Subscribed("in".into(), Ok(Zero));
    assert_eq!(rig.take_events().last(), Some(&granted));
}

#[test]
fn a_subscription_that_was_not_answered_is_made_again() {
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        rig.broker.withhold(PacketType::SubAck, 0, 1);
        rig.subscribe("in", One);
        rig.settle();
        rig.sever();
        rig.connect();
        rig.settle();
        let granted = Seen::Subscribed("in".into(), Ok(One));
        assert_eq!(rig.take_events().last(), Some(&granted));
    }
}

#[test]
fn a_lost_connack_does_not_hide_that_the_broker_lost_the_session() {
    // The second attempt finds the session that the first one began.
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        rig.subscribe("in", Two);
        rig.settle();
        // QoS 2, with the first packet id in either direction.
        rig.other("in", b"1", Two);
        rig.broker.withhold(PacketType::PubComp, 0, 1);
        rig.send("t", b"x", Two);
        rig.broker.withhold(PacketType::PubRel, 0, 1);
        rig.other("in", b"2", Two);
        rig.sever();
        rig.broker.forget("client");
        rig.deaf = true;
        assert!(rig.until(5_000, |rig| rig.attempts.len() == 2));
        rig.settle();
        rig.sever();
        rig.deaf = false;
        rig.connect();
        rig.settle();
        let seen = rig.take_events();
        let connected = Seen::Connected {
            session_present: true,
            version,
        };
        assert!(seen.contains(&connected), "{seen:?}");
        assert_eq!(rig.broker.session("client").unwrap().subscriptions.len(), 1);
        assert_eq!(rig.book[0].ends, [End::Dropped(Dropped::SessionLost)]);
        // The broker counts its packet ids from one again.
        for payload in [b"3", b"4", b"5"] {
            rig.other("in", payload, Two);
        }
        let payloads: Vec<_> = rig.messages().map(|m| m.payload.clone()).collect();
        assert_eq!(payloads, [b"3", b"4", b"5"]);
        rig.sever();
        rig.connect();
        rig.settle();
        assert_eq!(rig.messages().count(), 3);
    }
}

// 4. Broker restarts.

#[test]
fn a_thousand_broker_restarts_leave_the_session_as_it_was() {
    for version in BOTH {
        let mut rig = Setup {
            outbox: 400,
            ..Setup::new(version)
        }
        .connected();
        rig.subscribe("in", Two);
        for round in 0..1_000 {
            let keep = [Keep::Everything, Keep::Retained, Keep::Nothing][round % 3];
            rig.broker.restart(keep, rig.now);
            rig.send("t", b"x", One);
            rig.connect();
            rig.other("in", b"y", One);
            rig.until(1_000, Rig::all_ended);
            rig.book.clear();
            let heard = rig.messages().count();
            assert_eq!(heard, 1, "round {round}: {:?}", rig.seen);
            rig.take_events();
        }
        assert_eq!(rig.session.pending(), 0);
        let payload = vec![b'x'; 400 - 5 - 6 - 5 - 2 - 1 - 4 - 1];
        assert!(
            rig.publish(&Publication::new("t", &payload).qos(One))
                .is_ok()
        );
    }
}

// 15. The outbox is bounded.

#[test]
fn an_outage_fills_the_outbox_and_no_more() {
    let mut rig = Setup::new(Version::V5).rig();
    rig.reachable = false;
    let mut accepted = 0;
    for _ in 0..1_000 {
        rig.advance(100);
        match rig.publish(&Publication::new("t", b"payload").qos(One)) {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error, PublishError::Full),
        }
    }
    assert_eq!(accepted, 2048 / (5 + 3 + 2 + 1 + 7));
    // The application may choose what to give up.
    let (oldest, topic) = rig.session.oldest_unsent().unwrap();
    assert_eq!((oldest, topic), (rig.book[0].id, "t".into()));
    assert!(rig.session.withdraw(oldest));
    assert!(!rig.session.withdraw(oldest), "it is gone");
    rig.end(oldest, End::Withdrawn);
    rig.send("t", b"another", One);
    rig.reachable = true;
    rig.connect();
    assert!(rig.until(10_000, Rig::all_ended));
    assert_eq!(rig.broker.log().len(), accepted);
    assert_eq!(rig.session.pending(), 0);
}

#[test]
fn the_latest_of_a_topic_needs_room_but_once() {
    let mut rig = Setup {
        outbox: 128,
        ..Setup::new(Version::V5)
    }
    .rig();
    rig.reachable = false;
    for round in 0..100u8 {
        rig.advance(100);
        let state = [round; 40];
        rig.publish(&Publication::new("state", &state).qos(One).latest())
            .unwrap();
        assert_eq!(rig.session.pending(), 1);
    }
    rig.reachable = true;
    rig.connect();
    assert!(rig.until(1_000, Rig::all_ended));
    assert_eq!(rig.broker.log().len(), 1);
    assert_eq!(rig.broker.log()[0].payload, [99; 40]);
    let superseded = |ends: &[End]| ends == [End::Superseded];
    assert_eq!(rig.book.iter().filter(|b| superseded(&b.ends)).count(), 99);
}

#[test]
fn the_latest_does_not_supersede_what_is_on_its_way() {
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        rig.allowance = Some(4);
        let state = Publication::new("state", b"1").qos(One).latest();
        rig.publish(&state).unwrap();
        rig.settle();
        let newer = Publication {
            payload: b"2",
            ..state
        };
        rig.publish(&newer).unwrap();
        rig.allowance = None;
        rig.settle();
        let delivered = |b: &crate::common::Booked| matches!(b.ends[..], [End::Delivered(_)]);
        assert!(rig.book.iter().all(delivered), "{:?}", rig.book);
        assert_eq!(rig.broker.log().len(), 2);
    }
}

#[test]
fn what_replaces_too_small_a_place_is_refused_and_changes_nothing() {
    let mut rig = Setup {
        outbox: 100,
        ..Setup::new(Version::V5)
    }
    .rig();
    rig.reachable = false;
    rig.send("t", &[b'x'; 20], One);
    rig.publish(&Publication::new("state", b"1").qos(One).latest())
        .unwrap();
    let too_much = Publication::new("state", &[b'2'; 60]).qos(One).latest();
    assert_eq!(rig.publish(&too_much), Err(PublishError::Full));
    rig.reachable = true;
    rig.connect();
    assert!(rig.until(1_000, Rig::all_ended));
    assert_eq!(rig.broker.log()[1].payload, b"1");
}

#[test]
fn without_a_slot_nothing_is_taken_and_nothing_changes() {
    let slots = vec![aldis_mqtt::Slot::EMPTY; 3].leak();
    let buffers = aldis_mqtt::Buffers::new(leak(256), leak(1024), slots);
    let mut raw = Raw::with_buffers(options(Version::V5), buffers);
    raw.connect(CONNACK);
    let subscribe = aldis_mqtt::SubscribeOptions::default();
    raw.session.subscribe("a", subscribe, None).unwrap();
    let state = Publication::new("s", b"1").qos(One).latest();
    let old = raw.session.publish(&state, at(0)).unwrap();
    let other = raw.publish("t", One);
    let full = raw
        .session
        .publish(&Publication::new("t", b"").qos(One), at(0));
    assert_eq!(full, Err(PublishError::Full));
    let full = raw.session.subscribe("b", subscribe, None);
    assert_eq!(full, Err(aldis_mqtt::SubscribeError::Full));
    // What replaces another needs none.
    let newer = Publication {
        payload: b"2",
        ..state
    };
    let published = raw.session.publish(&newer, at(0)).unwrap();
    assert_eq!(published.superseded, Some(old.id));
    raw.sent();
    // The newer one goes out last, with a packet id of its own.
    let done = |id| Seen::Delivered(id, ReasonCode::SUCCESS);
    assert_eq!(raw.receive(&[0x40, 2, 0, 3]), [done(other)]);
    assert!(
        raw.session.publish(&newer, at(0)).is_ok(),
        "its slot is free"
    );
    assert_eq!(raw.session.pending(), 2);
}

#[test]
fn what_replaces_an_older_one_has_its_place_and_the_rest_of_the_room() {
    // Beside 16 bytes of another and 5 + 6 of its own.
    for (len, fits) in [(33, true), (34, false), (35, false)] {
        let mut rig = Setup {
            outbox: 60,
            ..Setup::new(Version::V5)
        }
        .rig();
        rig.reachable = false;
        rig.send("t", b"12345", One);
        let state = Publication::new("s", b"old").qos(One).latest();
        rig.publish(&state).unwrap();
        let payload = vec![b'n'; len];
        let newer = Publication {
            payload: &payload,
            ..state
        };
        let expected = if fits {
            Ok(())
        } else {
            Err(PublishError::Full)
        };
        assert_eq!(rig.publish(&newer).map(drop), expected, "{len}");
        rig.reachable = true;
        rig.connect();
        assert!(rig.until(1_000, Rig::all_ended));
        let last = &rig.broker.log()[1].payload[..];
        assert_eq!(last, if fits { &payload[..] } else { b"old" });
    }
}

#[test]
fn what_replaces_an_older_one_does_not_count_on_what_is_still_going_out() {
    // A subscription was replaced while it went out: both stand in the outbox for a while.
    let mut rig = Setup {
        outbox: 64,
        ..Setup::new(Version::V5)
    }
    .connected();
    rig.allowance = Some(0);
    rig.subscribe("a", One);
    rig.settle();
    rig.subscribe("a", Two);
    let state = Publication::new("s", b"old").qos(One).latest();
    rig.publish(&state).unwrap();
    let newer = Publication {
        payload: &[b'n'; 40],
        ..state
    };
    assert_eq!(rig.publish(&newer), Err(PublishError::Full));
    rig.allowance = None;
    rig.settle();
    assert!(rig.all_ended(), "the old one was given up for it");
    assert_eq!(rig.broker.log()[0].payload, b"old");
}

#[test]
fn what_expires_while_offline_is_reported_at_its_time_and_gives_its_room_back() {
    let mut rig = Setup {
        outbox: 128,
        ..Setup::new(Version::V5)
    }
    .rig();
    rig.reachable = false;
    rig.advance(500);
    let reading = Publication::new("t", &[b'x'; 60]).qos(One).expires(5);
    let id = rig.publish(&reading).unwrap();
    assert_eq!(rig.publish(&reading), Err(PublishError::Full));
    rig.advance(4_999);
    assert_eq!(rig.book[0].ends, []);
    rig.advance(1);
    let expired = Seen::Dropped(id, Dropped::Expired);
    assert_eq!(rig.seen.last(), Some(&(5_500, expired)));
    rig.publish(&reading).unwrap();
    rig.reachable = true;
    rig.connect();
    assert!(rig.until(1_000, Rig::all_ended));
    let log = rig.broker.log();
    assert_eq!(log.len(), 1);
    assert!(log[0].properties.message_expiry_interval.unwrap() <= 5);
}

// 16. One lost acknowledgement.

#[test]
fn one_lost_acknowledgement_does_not_hang_the_queue() {
    for version in BOTH {
        let mut rig = Setup::with(Options {
            in_flight: 1,
            ..options(version)
        })
        .connected();
        rig.broker.withhold(PacketType::PubAck, 1, 1);
        for payload in [b"1", b"2", b"3"] {
            rig.send("t", payload, One);
        }
        assert!(rig.until(20_000, Rig::all_ended), "{:?}", rig.seen);
        assert_eq!(rig.causes(), [Cause::Silent]);
    }
}

#[test]
fn an_overdue_answer_is_noticed_though_later_ones_come() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.broker.withhold(PacketType::PubAck, 0, 1);
    for _ in 0..20 {
        rig.send("t", b"x", One);
        rig.advance(700);
        if rig.lost().is_some() {
            break;
        }
    }
    let noticed = patience_ms(&rig.options);
    assert_eq!(rig.lost(), Some((noticed, Cause::Silent)));
}

// 17. The backlog.

#[test]
fn a_backlog_drains_at_once() {
    let mut rig = Setup {
        outbox: 8192,
        ..Setup::new(Version::V5)
    }
    .rig();
    rig.reachable = false;
    for _ in 0..200 {
        rig.send("t", b"x", One);
    }
    rig.advance(1_000);
    rig.reachable = true;
    rig.connect();
    assert!(rig.all_ended(), "it waits for something");
}

// 20. Reconnect storms.

fn waits(vain: Vain, seed: u64) -> Vec<u64> {
    let mut raw = Raw::seeded(options(Version::V5), seed, 0);
    (0..40).map(|_| raw.fail(vain).1).collect()
}

#[test]
fn waiting_grows_up_to_its_cap_with_full_jitter() {
    let backoff = Backoff::default();
    let bound = |index: usize| {
        let grown = u64::from(backoff.base_ms) << index.min(20);
        grown.min(u64::from(backoff.cap_ms))
    };
    let mut sums = [0; 40];
    for seed in 0..300 {
        let waits = waits(Vain::Closed, seed);
        for (index, wait) in waits.into_iter().enumerate() {
            let bound = bound(index);
            assert!(wait <= bound, "{wait} ms after attempt {index}");
            sums[index] += wait;
        }
    }
    for (index, sum) in sums.into_iter().enumerate() {
        let bound = bound(index);
        let mean = sum / 300;
        assert!(
            (bound * 4 / 10..=bound * 6 / 10).contains(&mean),
            "{index}: {mean} of {bound}"
        );
    }
}

/// After a power cut they would all come at once, again and again.
#[test]
fn devices_of_different_seeds_wait_differently() {
    let vains = [
        Vain::Closed,
        Vain::Failed(Network::ConnectionRefused),
        Vain::NotOpened,
    ];
    for vain in vains {
        let all: std::collections::BTreeSet<_> = (0..100)
            .map(|seed| waits(vain, seed)[..4].to_vec())
            .collect();
        assert!(all.len() > 95, "{vain:?}");
        // Already the first time they come apart.
        let first: std::collections::BTreeSet<_> =
            (0..100).map(|seed| waits(vain, seed)[0]).collect();
        assert!(first.len() > 60, "{vain:?}: {}", first.len());
    }
}

#[test]
fn odd_bounds_of_the_back_off_do_no_harm() {
    for (base_ms, cap_ms) in [(0, 0), (u32::MAX, u32::MAX), (1, u32::MAX), (3, 5), (9, 5)] {
        let backoff = Backoff {
            base_ms,
            cap_ms,
            ..Backoff::default()
        };
        let mut raw = Raw::new(Options {
            backoff,
            ..options(Version::V5)
        });
        for _ in 0..100 {
            raw.open();
            let before = raw.now;
            raw.cut();
            raw.open();
            assert!(raw.now - before <= u64::from(cap_ms));
            raw.cut();
        }
    }
}

#[test]
fn the_back_off_starts_again_only_after_a_stable_connection() {
    let lasting = |ms: u64| {
        let mut longest = 0;
        for seed in 0..40 {
            let mut setup = Setup::new(Version::V5);
            setup.seed = seed;
            let mut rig = setup.rig();
            rig.reachable = false;
            // Long enough for the waits to reach their cap.
            rig.advance(3_600_000);
            rig.reachable = true;
            rig.connect();
            rig.advance(ms);
            let lost = rig.now;
            rig.sever();
            rig.connect();
            longest = longest.max(rig.now - lost);
        }
        longest
    };
    assert!(
        lasting(29_999) > 30_000,
        "a flapping connection resets the back-off"
    );
    assert!(lasting(30_000) <= u64::from(Backoff::default().prompt_ms));
}

#[test]
fn reconnecting_has_no_terminal_state() {
    let networks = [
        Network::Down,
        Network::Dns,
        Network::ConnectionRefused,
        Network::Unreachable,
        Network::TimedOut,
        Network::Tls,
        Network::Closed,
        Network::Reset,
    ];
    for network in networks {
        let mut raw = Raw::new(options(Version::V5));
        for _ in 0..300 {
            raw.open();
            raw.session.failed(network, at(raw.now));
        }
        raw.connect(CONNACK);
        assert!(raw.session.is_connected());
    }
}

// 21. Two devices with one id.

/// The first time it may be this device itself, with a connection of which the broker did not see
/// the end. Who comes back at once the second time too is the one who kicks.
#[test]
fn a_kick_by_another_client_backs_off_long_the_second_time() {
    let backoff = Backoff::default();
    for seed in 0..50 {
        let mut setup = Setup::new(Version::V5);
        setup.seed = seed;
        let mut rig = setup.connected();
        let mut kick = || {
            rig.broker
                .kick("client", reason::SESSION_TAKEN_OVER, rig.now);
            rig.settle();
            assert_eq!(rig.causes().last(), Some(&Cause::TakenOver));
            let lost = rig.now;
            rig.connect();
            rig.now - lost
        };
        let wait = kick();
        assert!(wait <= u64::from(backoff.prompt_ms), "{wait}");
        for _ in 0..3 {
            let wait = kick();
            let least = u64::from(backoff.taken_over_ms);
            assert!((least..=2 * least).contains(&wait), "{wait}");
        }
    }
}

/// A broker that takes the session over without a word looks like one that closes.
#[test]
fn a_kick_without_a_word_backs_off_long_after_the_third() {
    for version in BOTH {
        let mut raw = Raw::new(Options {
            keep_alive_s: 0,
            ..options(version)
        });
        let connack = match version {
            Version::V4 => CONNACK_V4,
            Version::V5 => CONNACK,
        };
        raw.connect(connack);
        let mut waits = Vec::new();
        for _ in 0..4 {
            raw.session.failed(Network::Closed, at(raw.now));
            raw.events();
            let lost = raw.now;
            raw.connect(connack);
            waits.push(raw.now - lost);
        }
        let backoff = Backoff::default();
        let prompt = u64::from(backoff.prompt_ms);
        let least = u64::from(backoff.taken_over_ms);
        assert!(waits[..2].iter().all(|wait| *wait <= prompt), "{waits:?}");
        assert!(waits[2..].iter().all(|wait| *wait >= least), "{waits:?}");
        // A connection that lasts is no kick.
        raw.wait(40_000);
        raw.session.failed(Network::Closed, at(raw.now));
        raw.events();
        let lost = raw.now;
        raw.connect(connack);
        assert!(raw.now - lost <= prompt);
    }
}

/// Another client of the same id, or an attempt of ours that was given up and whose CONNECT came
/// late, begins a new session. The broker calls that one present on our next connection, and
/// what we subscribed to is not in it.
#[test]
fn subscriptions_are_renewed_after_another_client_had_the_session() {
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        rig.subscribe("in", QoS::ExactlyOnce);
        rig.settle();
        let mut connect = codec::Connect::new(codec::Version::V5, "client");
        connect.properties.session_expiry_interval = Some(3_600);
        let connect = codec::Packet::Connect(connect);
        // Without a word, if the version has none for it.
        let other = rig.broker.open(rig.now);
        rig.broker
            .receive(other, &connect.encode(codec::Version::V5), rig.now);
        rig.settle();
        assert!(!rig.session.is_connected());
        let session = rig.broker.session("client").unwrap();
        assert_eq!(session.subscriptions, []);
        rig.connect();
        rig.advance(1_000);
        rig.other("in", b"heard", QoS::ExactlyOnce);
        rig.settle();
        let heard = rig.messages().any(|message| message.payload == b"heard");
        assert!(heard, "{version:?}");
    }
}

#[test]
fn two_devices_with_one_id_do_not_kick_each_other_all_the_time() {
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        let mut kicks = 0;
        // The other one comes back one second after it was kicked.
        while rig.now < 3_600_000 {
            rig.advance(1_000);
            if rig.session.is_connected() {
                rig.broker
                    .kick("client", reason::SESSION_TAKEN_OVER, rig.now);
                kicks += 1;
                rig.settle();
            }
        }
        assert!(kicks < 130, "{kicks} in an hour");
    }
}
