//! How long the session waits for an answer, when it asks for one, and what is silence.

use super::policy::{BOTH, STARTS, outage, with_keep_alive};
use crate::common::path::{Path, Way};
use crate::common::raw::{CONNACK, CONNACK_PRESENT, Raw, Vain};
use crate::common::{Rng, Seen, at, given_up_ms, keep_alive_ms, options, patience_ms};
use aldis_mqtt::{Cause, Network, Options, Publication, QoS, Timeouts, Version};
use aldis_world::broker::codec::{PacketType, reason};

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

// Slow networks.

/// What a slow network carries.
#[derive(Clone, Copy, Debug)]
enum Traffic {
    Pings,
    Published(QoS, u64),
    Mixed,
}

const TRAFFIC: [Traffic; 7] = [
    Traffic::Pings,
    Traffic::Published(Zero, 700),
    Traffic::Published(One, 5_000),
    Traffic::Published(One, 900),
    Traffic::Published(Two, 5_000),
    Traffic::Published(Two, 61_000),
    Traffic::Mixed,
];

fn carry(path: &mut Path, traffic: Traffic, ms: u64) {
    let end = path.now + ms;
    let mut round = 0;
    while path.now < end {
        match traffic {
            Traffic::Pings => path.advance(10_000),
            Traffic::Published(qos, each) => {
                path.publish(b"x", qos);
                path.advance(each);
            }
            Traffic::Mixed => {
                path.publish(b"x", [Zero, One, Two][round % 3]);
                path.other();
                // Busy for a while, and quiet for a while.
                path.advance(if round % 40 < 20 { 500 } else { 17_000 });
            }
        }
        round += 1;
    }
}

/// Everything comes to its end once there is time for it.
fn is_delivered(path: &mut Path) {
    path.advance(120_000);
    assert_eq!(path.delivered(), path.accepted);
    assert_eq!(path.session.pending(), 0);
}

/// Each reconnect over such a network costs a minute, and brings nothing.
#[test]
fn round_trips_of_eight_seconds_are_no_silence() {
    for keep_alive_s in [10, 15] {
        for traffic in TRAFFIC {
            for start in [0, u32::MAX as u64 - 1_800_000, u32::MAX as u64 - 45_000] {
                let mut path = Path::connected(with_keep_alive(keep_alive_s), 1, start, 8_000);
                path.subscribe("in");
                carry(&mut path, traffic, 3_600_000);
                assert_eq!(path.losses(), [], "{keep_alive_s} s, {traffic:?}");
                is_delivered(&mut path);
                assert_eq!(path.losses(), [], "{keep_alive_s} s, {traffic:?}");
            }
        }
    }
}

#[test]
fn round_trips_of_any_length_below_the_keep_alive_are_no_silence() {
    for keep_alive_s in [10, 15, 60] {
        for tenth in 1..10 {
            let round_trip = u64::from(keep_alive_s) * 100 * tenth;
            if round_trip >= u64::from(Timeouts::CONNECT_MOST_MS) {
                continue;
            }
            for traffic in [
                Traffic::Pings,
                Traffic::Published(One, 5_000),
                Traffic::Mixed,
            ] {
                let options = with_keep_alive(keep_alive_s);
                let mut path = Path::connected(options, 1, 0, round_trip);
                path.subscribe("in");
                carry(&mut path, traffic, 1_200_000);
                assert_eq!(
                    path.losses(),
                    [],
                    "{keep_alive_s} s, {round_trip} ms, {traffic:?}"
                );
            }
        }
    }
}

#[test]
fn a_network_that_becomes_slow_costs_one_connection_at_most() {
    for keep_alive_s in [10, 15] {
        for traffic in TRAFFIC {
            for phase in 0..15 {
                let mut path = Path::connected(with_keep_alive(keep_alive_s), phase, 0, 10);
                path.subscribe("in");
                carry(&mut path, traffic, 100_000);
                path.advance(phase * 1_000);
                path.one_way_ms = 4_000;
                carry(&mut path, traffic, 1_200_000);
                let losses = path.losses();
                assert!(
                    losses.len() <= 1,
                    "{keep_alive_s} s, {traffic:?}: {losses:?}"
                );
                is_delivered(&mut path);
            }
        }
    }
}

/// Its answer to CONNECT says nothing about how long the others take.
#[test]
fn a_broker_that_is_slow_to_acknowledge_is_learned() {
    for keep_alive_s in [10, 15] {
        for traffic in TRAFFIC {
            let mut path = Path::new(with_keep_alive(keep_alive_s), 1, 0);
            path.acknowledge_ms = 6_000;
            path.one_way_ms = 5;
            path.connect();
            path.subscribe("in");
            carry(&mut path, traffic, 600_000);
            let first = path.losses().len();
            assert!(
                first <= 2,
                "{keep_alive_s} s, {traffic:?}: {:?}",
                path.losses()
            );
            carry(&mut path, traffic, 3_000_000);
            assert_eq!(path.losses().len(), first, "{keep_alive_s} s, {traffic:?}");
            is_delivered(&mut path);
        }
    }
}

/// With a short keep-alive, five seconds would be longer than there is.
#[test]
fn patience_is_half_a_keep_alive_where_that_is_short() {
    for keep_alive_s in [1, 2, 5, 9, 10, 15, 65_535] {
        let options = with_keep_alive(keep_alive_s);
        let mut raw = Raw::new(options);
        raw.connect(CONNACK);
        let patience = patience_ms(&options);
        assert_eq!(u64::from(raw.session.patience_ms()), patience);
        raw.publish("t", One);
        raw.wait(patience);
        let silent = (patience, Seen::Disconnected(Cause::Silent));
        assert_eq!(raw.seen.last(), Some(&silent), "{keep_alive_s} s");
    }
    // Without one, the bound is that of the options, or two minutes.
    let mut raw = Raw::new(with_keep_alive(0));
    raw.connect(CONNACK);
    let least = Timeouts::default().answer_ms;
    assert_eq!(raw.session.patience_ms(), least);
    raw.publish("t", One);
    raw.sent();
    raw.now += u64::from(least) - 1;
    raw.receive(&[0x40, 2, 0, 1]);
    assert_eq!(raw.session.patience_ms(), 4 * (least - 1));
    for _ in 0..3 {
        raw.publish("t", One);
        raw.sent();
        raw.now += u64::from(raw.session.patience_ms()) - 1;
        let id = raw.seen.len() as u8;
        raw.receive(&[0x40, 2, 0, id]);
    }
    assert_eq!(raw.session.patience_ms(), Timeouts::ANSWER_MOST_MS);
}

/// Patience that was learned would outlive its reason, and hide what is lost.
#[test]
fn patience_ends_where_answers_are_quick_again() {
    let options = options(Version::V5);
    let mut path = Path::connected(options, 1, 0, 3_000);
    carry(&mut path, Traffic::Published(One, 5_000), 100_000);
    assert_eq!(u64::from(path.session.patience_ms()), 4 * 3_000);
    path.one_way_ms = 5;
    carry(&mut path, Traffic::Published(One, 1_000), 30_000);
    assert_eq!(u64::from(path.session.patience_ms()), patience_ms(&options));
}

/// A round trip that was none would make a broker look slow for a long time.
#[test]
fn only_answers_to_what_was_asked_are_round_trips() {
    // PUBREC, twice before PUBREL is sent.
    let mut raw = Raw::connected(Version::V5);
    let patience = raw.session.patience_ms();
    raw.wait(14_000);
    raw.publish("t", Two);
    raw.sent();
    raw.receive(&[0x50, 2, 0, 1, 0x50, 2, 0, 1]);
    assert_eq!(raw.sent(), [0x62, 2, 0, 1]);
    raw.receive(&[0x70, 2, 0, 1]);
    assert_eq!(raw.session.pending(), 0);
    assert_eq!(raw.session.patience_ms(), patience);
}

/// However long nobody looked, patience ends at the keep-alive, and comes back within a few
/// answers.
#[test]
fn one_late_look_is_forgotten_after_a_few_answers() {
    let mut raw = Raw::connected(Version::V5);
    raw.publish("t", One);
    raw.sent();
    raw.arrive(&[0x40, 2, 0, 1]);
    raw.now += 3_600_000;
    raw.events();
    assert_eq!(raw.session.patience_ms(), 15_000);
    for id in 2..30 {
        raw.publish("t", One);
        raw.sent();
        raw.receive(&[0x40, 2, 0, id]);
    }
    assert_eq!(
        u64::from(raw.session.patience_ms()),
        patience_ms(&options(Version::V5))
    );
}

// Silence.

/// What goes on beside the silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    Flood,
    Asking,
    Receiving,
    Stalled,
    Trickling,
}

const BESIDES: [Beside; 6] = [
    Beside::Nothing,
    Beside::Flood,
    Beside::Asking,
    Beside::Receiving,
    Beside::Stalled,
    Beside::Trickling,
];

/// Lets a broker answer for `phase`, then falls silent; says how long after the last answer that
/// was noticed, and what it was called.
fn silence(
    options: Options<'static>,
    beside: Beside,
    round_trip: u64,
    phase: u64,
    each: u64,
    start: u64,
) -> (u64, Cause) {
    let mut path = Path::connected(options, phase, start, round_trip);
    path.subscribe("in");
    let silent = path.now + phase;
    let mut began = false;
    while path.losses().is_empty() {
        let now = path.now;
        assert!(now < silent + 10 * keep_alive_ms(&options), "not noticed");
        if !began && now >= silent {
            began = true;
            path.way = match beside {
                Beside::Receiving => Way::DeadUp,
                Beside::Stalled => Way::Stalled,
                Beside::Trickling => Way::Trickling,
                _ => Way::Dead,
            };
        }
        match beside {
            Beside::Nothing => {}
            Beside::Flood | Beside::Stalled => path.publish(b"x", Zero),
            Beside::Asking => path.publish(b"x", One),
            Beside::Receiving => path.other(),
            Beside::Trickling => {
                path.publish(&[b'x'; 400], Zero);
                if began {
                    path.trickle();
                }
            }
        }
        let mut step = each;
        if began && beside == Beside::Trickling {
            // Just before the bound on writing.
            step = u64::from(path.session.patience_ms()).max(2) - 1;
        } else if !began {
            step = step.min(silent - now);
        }
        // Stopped as soon as it is noticed.
        let end = path.now + step;
        while path.now < end && path.losses().is_empty() {
            path.pass(end);
        }
    }
    let (lost, cause) = path.losses()[0];
    (lost - path.session.answered_at().as_millis(), cause)
}

/// The promise: never later, whatever the traffic.
#[test]
fn silence_is_noticed_within_one_and_a_half_keep_alives() {
    for keep_alive_s in [1, 2, 5, 10, 15, 60, 300, 65_535] {
        let options = with_keep_alive(keep_alive_s);
        let keep_alive = keep_alive_ms(&options);
        for beside in BESIDES {
            let mut longest = 0;
            for round_trip in [0, keep_alive / 20, keep_alive / 4, keep_alive / 2] {
                // Such a network would not let the first attempt through.
                let round_trip = round_trip.min(20_000);
                for step in 0..12u64 {
                    let mut rng = Rng(step);
                    let phase = keep_alive * step / 5 + rng.below(keep_alive as usize / 5) as u64;
                    for each in [keep_alive / 37, keep_alive / 3, keep_alive * 9 / 10] {
                        let start = STARTS[step as usize % STARTS.len()];
                        let (noticed, cause) =
                            silence(options, beside, round_trip, phase, each, start);
                        assert!(
                            noticed <= given_up_ms(&options),
                            "{noticed} ms: {keep_alive_s} s, {beside:?}, {round_trip} ms, \
                             phase {phase}, each {each}"
                        );
                        let told = matches!(cause, Cause::Silent | Cause::Stalled);
                        assert!(told, "{cause:?}: {keep_alive_s} s, {beside:?}");
                        longest = longest.max(noticed);
                    }
                }
            }
            // Not because everything ends at once.
            assert!(
                longest >= keep_alive / 4,
                "{keep_alive_s} s, {beside:?}: {longest}"
            );
        }
    }
}

/// What the application has not acknowledged keeps the answer from us, also where nobody looked
/// until it was too late to ask.
#[test]
fn a_busy_application_is_not_the_broker_s_silence() {
    for looked in [true, false] {
        let mut raw = Raw::connected(Version::V5);
        for id in 1..=33u8 {
            raw.receive(&[0x32, 6, 0, 1, b'a', 0, id, 0]);
        }
        if looked {
            raw.wait(60_000);
        } else {
            raw.now += 60_000;
            raw.events();
        }
        assert!(raw.session.is_connected(), "{looked}");
        let token = |(_, seen): &(u64, Seen)| match seen {
            Seen::Message(message) => message.token,
            _ => None,
        };
        for token in raw.seen.iter().filter_map(token).collect::<Vec<_>>() {
            raw.session.acknowledge(token);
        }
        raw.events();
        let sent = raw.sent();
        assert_eq!(
            sent.windows(2).filter(|two| *two == [0xc0, 0]).count(),
            1 - usize::from(looked)
        );
        raw.receive(&[0xd0, 0]);
        raw.wait(14_000);
        assert!(raw.session.is_connected(), "{looked}");
    }
}

/// One that was lost on the way would keep its publication for a keep-alive or more.
#[test]
fn one_lost_acknowledgement_costs_little() {
    for (kind, qos) in [
        (PacketType::PubAck, One),
        (PacketType::PubRec, Two),
        (PacketType::PubComp, Two),
    ] {
        for phase in 0..40 {
            let options = options(Version::V5);
            let mut path = Path::connected(options, phase, 0, 10);
            carry(&mut path, Traffic::Published(qos, 200), 5_000 + phase * 317);
            path.broker.withhold(kind, 0, 1);
            let asked = path.now;
            path.publish(b"lost", qos);
            let end = asked + 60_000;
            while path.delivered() < path.accepted {
                assert!(path.now < end, "{kind:?}");
                path.pass(end);
            }
            let [(noticed, Cause::Silent)] = path.losses()[..] else {
                panic!("{:?}", path.losses());
            };
            let patience = patience_ms(&options);
            assert!(noticed - asked <= patience + 20, "{} ms", noticed - asked);
            let prompt = u64::from(options.backoff.prompt_ms);
            let took = path.now - asked;
            assert!(took <= patience + prompt + 100, "{took} ms");
            assert_eq!(path.session.pending(), 0);
        }
    }
}

/// The same while others are answered.
#[test]
fn one_lost_acknowledgement_is_not_hidden_by_those_that_come() {
    for phase in 0..40 {
        let options = options(Version::V5);
        let mut path = Path::connected(options, phase, 0, 10);
        carry(&mut path, Traffic::Published(One, 200), 5_000 + phase * 317);
        path.broker.withhold(PacketType::PubAck, 0, 1);
        let asked = path.now;
        while path.losses().is_empty() {
            assert!(path.now < asked + 60_000);
            carry(&mut path, Traffic::Published(One, 200), 200);
        }
        let noticed = path.losses()[0].0 - asked;
        assert!(noticed <= 2 * patience_ms(&options), "{noticed} ms");
        is_delivered(&mut path);
    }
}

/// A broker that is slow once is given longer on the next connection, or it would be lost again.
#[test]
fn patience_grows_after_silence() {
    let options = options(Version::V5);
    let mut path = Path::connected(options, 1, 0, 10);
    let before = u64::from(path.session.patience_ms());
    path.broker.withhold(PacketType::PubAck, 0, 1);
    path.publish(b"x", One);
    path.advance(patience_ms(&options) + 1_000);
    assert_eq!(path.losses().len(), 1);
    let after = u64::from(path.session.patience_ms());
    assert!(after > before * 3 / 2 && after <= before * 2, "{after} ms");
    // And not without end.
    for _ in 0..5 {
        path.connect();
        path.way = Way::Dead;
        let losses = path.losses().len();
        while path.losses().len() == losses {
            path.advance(1_000);
        }
        path.way = Way::Open;
        path.connect();
        assert!(u64::from(path.session.patience_ms()) <= keep_alive_ms(&options));
    }
}

// Asking.

/// A router that forgets after five seconds would keep the broker's words from us.
#[test]
fn a_broker_is_asked_as_often_as_the_application_wants() {
    for (quiet, every) in [
        (u32::MAX, 15_000),
        (20_000, 15_000),
        (15_000, 15_000),
        (7_000, 7_000),
        (1_000, 1_000),
    ] {
        for early in [true, false] {
            let mut raw = Raw::new(options(Version::V5));
            if early {
                raw.session.ask_within(quiet);
            }
            raw.connect(CONNACK);
            if !early {
                raw.session.ask_within(quiet);
            }
            for round in 1..20 {
                let written = raw.wait(every * round - raw.now);
                assert_eq!(written, [(every * round, vec![0xc0, 0])], "{quiet}");
                raw.receive(&[0xd0, 0]);
            }
        }
    }
}

/// It can be wanted at any moment, also when that is overdue already.
#[test]
fn asking_sooner_takes_hold_at_once() {
    let mut raw = Raw::connected(Version::V5);
    raw.wait(9_000);
    raw.session.ask_within(5_000);
    assert_eq!(raw.wait(0), [(9_000, vec![0xc0, 0])]);
    // While the answer is awaited it changes nothing.
    raw.session.ask_within(1_000);
    assert_eq!(raw.wait(3_000), []);
    raw.receive(&[0xd0, 0]);
    assert_eq!(raw.wait(0), [(12_000, vec![0xc0, 0])]);
    raw.receive(&[0xd0, 0]);
    // And later again.
    raw.session.ask_within(u32::MAX);
    assert_eq!(raw.wait(14_999), []);
    assert_eq!(raw.wait(1), [(27_000, vec![0xc0, 0])]);
    // Without a connection it is kept for the next one.
    raw.cut();
    raw.session.ask_within(2_000);
    raw.connect(CONNACK_PRESENT);
    let start = raw.now;
    assert_eq!(raw.wait(2_000), [(start + 2_000, vec![0xc0, 0])]);
}

/// PINGREQ after PINGREQ, as fast as they are answered.
#[test]
fn asking_within_no_time_does_not_spin() {
    for quiet in [0, 1, 10] {
        let mut path = Path::connected(options(Version::V5), 1, 0, 0);
        path.session.ask_within(quiet);
        path.advance(60_000);
        assert_eq!(path.losses(), []);
        assert!(
            (50..=60).contains(&path.pings.len()),
            "{}",
            path.pings.len()
        );
    }
}

/// Silence is noticed the sooner where the broker is asked more often.
#[test]
fn asking_sooner_notices_silence_sooner() {
    let options = options(Version::V5);
    let mut path = Path::connected(options, 1, 0, 10);
    path.session.ask_within(4_000);
    path.advance(60_000);
    path.way = Way::Dead;
    let silent = path.now;
    while path.losses().is_empty() {
        path.pass(silent + 60_000);
    }
    let noticed = path.losses()[0].0 - path.session.answered_at().as_millis();
    assert!(
        noticed <= 4_000 + patience_ms(&options) + 10,
        "{noticed} ms"
    );
}

/// The broker gives a client up that it has not heard for one and a half keep-alives.
#[test]
fn a_broker_hears_from_a_quiet_client_in_time() {
    for version in BOTH {
        for keep_alive_s in [1, 2, 5, 15, 300] {
            let options = Options {
                keep_alive_s,
                ..options(version)
            };
            let keep_alive = keep_alive_ms(&options);
            for round_trip in [0, keep_alive / 10, keep_alive / 3, keep_alive * 2 / 3] {
                let round_trip = round_trip.min(20_000);
                let mut path = Path::connected(options, 1, 0, round_trip);
                path.advance(100 * keep_alive);
                assert_eq!(path.losses(), [], "{keep_alive_s} s, {round_trip} ms");
                // And not more often than it must.
                let most = 100 * keep_alive / (keep_alive / 2).max(round_trip);
                assert!(path.pings.len() as u64 <= most, "{}", path.pings.len());
            }
        }
    }
}

/// A driver that was not asked for a long time, and a clock whose low half begins anew meanwhile.
#[test]
fn a_clock_whose_low_half_begins_anew_changes_nothing() {
    let run = |start: u64| {
        let mut path = Path::connected(options(Version::V5), 7, start, 40);
        path.subscribe("in");
        carry(&mut path, Traffic::Mixed, 20_000);
        path.broker.withhold(PacketType::PubAck, 3, 1);
        carry(&mut path, Traffic::Published(One, 700), 20_000);
        path.broker
            .kick("client", reason::SESSION_TAKEN_OVER, path.now);
        carry(&mut path, Traffic::Published(Two, 700), 10_000);
        path.way = Way::Dead;
        path.advance(100_000);
        path.way = Way::Open;
        carry(&mut path, Traffic::Mixed, 200_000);
        is_delivered(&mut path);
        let seen = path.seen.iter();
        let seen: Vec<(u64, Seen)> = seen
            .map(|(when, seen)| (when - start, seen.clone()))
            .collect();
        let since = |all: &[u64]| all.iter().map(|when| when - start).collect::<Vec<_>>();
        (seen, since(&path.attempts), since(&path.pings))
    };
    let expected = run(0);
    for before in [1, 5_000, 21_000, 45_000, 60_000, 170_000] {
        assert_eq!(run((1 << 32) - before), expected, "{before}");
    }
}

/// What no publication could be: an expired one is no reason to look at the clock's low half.
#[test]
fn a_publication_that_outlives_the_low_half_of_the_clock_is_kept() {
    let mut raw = Raw::seeded(options(Version::V5), 1, u64::from(u32::MAX) - 5_000);
    let long = Publication::new("t", b"x").qos(One).expires(3_600);
    raw.session.publish(&long, at(raw.now)).unwrap();
    outage(&mut raw, Vain::Failed(Network::Unreachable), 600_000);
    assert_eq!(raw.session.pending(), 1);
    raw.connect(CONNACK);
    assert!(!raw.sent().is_empty());
}

/// What is put under way on a dead connection comes twice, over the next one.
#[test]
fn little_is_put_under_way_while_an_answer_is_overdue() {
    for version in BOTH {
        for qos in [One, Two] {
            let options = Options {
                keep_alive_s: 10,
                ..options(version)
            };
            let mut path = Path::connected(options, 3, 0, 20);
            for _ in 0..50 {
                path.publish(b"x", qos);
                path.advance(200);
            }
            path.broker.take_log();
            assert!(!path.session.is_overdue());
            let accepted = path.accepted;
            let mut overdue = false;
            // The broker goes on receiving; its answers are lost.
            path.broker.withhold(PacketType::PubAck, 0, u32::MAX);
            path.broker.withhold(PacketType::PubRec, 0, u32::MAX);
            while path.losses().is_empty() {
                path.publish(b"x", qos);
                path.advance(200);
                overdue |= path.session.is_overdue();
            }
            assert!(overdue, "who publishes may want to wait");
            let twice = path.broker.take_log().len();
            assert!((1..=8).contains(&twice), "{version:?} {qos:?}: {twice}");
            assert!(path.accepted - accepted > 20);
            path.broker.withhold_nothing();
            path.connect();
            path.advance(2_000);
            assert_eq!(path.delivered(), path.accepted, "{version:?} {qos:?}");
            assert!(!path.session.is_overdue());
        }
    }
}

/// A broker that pauses, also over a subscription, would be brought one publication at a time
/// from then on.
#[test]
fn after_a_pause_as_much_goes_out_as_before() {
    for pause in [PacketType::PubAck, PacketType::SubAck] {
        let mut path = Path::connected(with_keep_alive(60), 4, 0, 0);
        path.one_way_ms = 1_500;
        match pause {
            PacketType::SubAck => path.subscribe("in"),
            _ => path.publish(b"x", One),
        }
        path.advance(4_000);
        path.one_way_ms = 0;
        path.publish(b"x", One);
        assert_eq!(path.delivered(), path.accepted);
        path.broker.take_log();
        path.broker.withhold(PacketType::PubAck, 0, u32::MAX);
        for _ in 0..16 {
            path.publish(b"x", One);
        }
        assert_eq!(path.broker.take_log().len(), 16, "{pause:?}");
    }
}

/// On a slow network answers are always overdue in this sense: it must not go on one by one.
#[test]
fn a_slow_network_carries_many_at_once() {
    let mut path = Path::connected(with_keep_alive(15), 5, 0, 8_000);
    for _ in 0..60 {
        for _ in 0..4 {
            path.publish(b"x", One);
        }
        path.advance(2_000);
    }
    path.advance(120_000);
    assert_eq!(path.delivered(), path.accepted);
    assert_eq!(path.losses(), []);
}

/// The first half of a packet is all that ever comes.
#[test]
fn a_packet_that_does_not_end_is_silence() {
    for version in BOTH {
        let mut raw = Raw::connected(version);
        let mut publish = vec![0x30, 100, 0, 1, b't'];
        publish.resize(50, 0);
        raw.receive(&publish);
        raw.wait(given_up_ms(&options(version)) + 1);
        let lost = raw.seen.iter().map(|(_, seen)| seen);
        assert!(
            lost.clone()
                .any(|seen| *seen == Seen::Disconnected(Cause::Silent)),
            "{version:?}"
        );
    }
}
