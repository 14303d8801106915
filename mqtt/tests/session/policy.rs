//! When the session tries again, and how long an attempt may take.

use crate::common::path::Path;
use crate::common::raw::{CONNACK, CONNACK_V4, Raw, Vain};
use crate::common::{Rng, at, options};
use aldis_mqtt::{Backoff, Cause, Network, Options, ReasonCode, Timeouts, Transport, Version};
use aldis_world::broker::codec::reason;

pub const BOTH: [Version; 2] = [Version::V4, Version::V5];

/// In so young an outage attempts follow each other fastest.
const YOUNGER_MS: u64 = 10_000;

/// Clocks that pass the end of their low half soon, and one that does not.
pub const STARTS: [u64; 4] = [
    0,
    u32::MAX as u64 - 5_000,
    u32::MAX as u64 - 45_000,
    (7 << 32) - 1,
];

pub fn with_keep_alive(keep_alive_s: u16) -> Options<'static> {
    Options {
        keep_alive_s,
        ..options(Version::V5)
    }
}

/// Attempts in vain until the outage is so old: how old it was at the end of each, and how long the
/// next one was waited for.
pub fn outage(raw: &mut Raw, vain: Vain, until: u64) -> Vec<(u64, u64)> {
    let mut waits = Vec::new();
    let mut began = None;
    loop {
        let (_, wait) = raw.fail(vain);
        let lost = raw.now - wait;
        let age = lost - *began.get_or_insert(lost);
        if age >= until {
            return waits;
        }
        waits.push((age, wait));
    }
}

/// What nobody answers, or what breaks: it is tried again soon while the outage is young.
const PROMPT: [Vain; 9] = [
    Vain::Failed(Network::ConnectionRefused),
    Vain::Failed(Network::Unreachable),
    Vain::Failed(Network::Dns),
    Vain::Failed(Network::Down),
    Vain::Failed(Network::TimedOut),
    Vain::Failed(Network::Reset),
    Vain::NotOpened,
    Vain::NotWritten,
    Vain::NotAnswered,
];

/// What a broker does that is there and will not have us, or not yet.
const UNWILLING: [Vain; 4] = [
    Vain::Closed,
    Vain::Refused(ReasonCode::NOT_AUTHORIZED),
    Vain::Refused(ReasonCode(0x89)),
    Vain::Nonsense,
];

// Waits.

/// A broker that is back would be found late, or a network that is not would be flooded.
#[test]
fn a_young_outage_is_tried_promptly_and_no_faster() {
    let Backoff {
        prompt_ms,
        young_ms,
        ..
    } = Backoff::default();
    let (prompt, young) = (u64::from(prompt_ms), u64::from(young_ms));
    for vain in PROMPT {
        for start in STARTS {
            let mut counts = [0; 2];
            for seed in 0..20 {
                let mut raw = Raw::seeded(options(Version::V5), seed, start);
                for (age, wait) in outage(&mut raw, vain, young) {
                    let (least, most) = match age {
                        0..YOUNGER_MS => (prompt / 2, prompt),
                        _ => (prompt, 2 * prompt),
                    };
                    assert!(
                        (least..=most).contains(&wait),
                        "{vain:?} from {start}: {wait} ms at {age} ms"
                    );
                    counts[usize::from(age >= YOUNGER_MS)] += 1;
                }
            }
            assert!(
                counts.iter().all(|count| *count > 20),
                "{vain:?}: {counts:?}"
            );
        }
    }
}

/// What a user sees of the prompt waits.
#[test]
fn a_broker_that_is_back_within_ten_seconds_is_asked_within_half_a_second() {
    for seed in 0..200 {
        let mut rng = Rng(seed);
        let mut raw = Raw::seeded(with_keep_alive(0), seed, 0);
        raw.connect(CONNACK);
        raw.wait(31_000);
        raw.cut();
        let back = raw.now + rng.below(10_000) as u64;
        raw.wanted();
        while raw.now < back {
            raw.fail(Vain::Failed(Network::ConnectionRefused));
        }
        // The attempt that is now made is the first after `back`.
        assert!(raw.now - back <= 500, "seed {seed}: {} ms", raw.now - back);
    }
}

/// Who answers and refuses has something against us, or too much to do: a thousand clients that
/// come again at once would keep it there.
#[test]
fn an_unwilling_broker_is_left_alone_for_longer_each_time() {
    let backoff = Backoff::default();
    for vain in UNWILLING {
        for start in STARTS {
            let mut sums = [0; 20];
            for seed in 0..200 {
                let mut raw = Raw::seeded(options(Version::V5), seed, start);
                for (index, sum) in sums.iter_mut().enumerate() {
                    let (_, wait) = raw.fail(vain);
                    let bound = u64::from(backoff.base_ms) << index;
                    let bound = bound.min(u64::from(backoff.cap_ms));
                    assert!(wait < bound, "{vain:?}: {wait} ms after attempt {index}");
                    *sum += wait * 1_000 / bound;
                }
            }
            for sum in sums {
                let mean = sum / 200;
                assert!((400..600).contains(&mean), "{vain:?}: {mean} of 1000");
            }
        }
    }
}

/// One that accepts and then talks nonsense is no better than one that does not accept.
#[test]
fn a_broker_that_breaks_the_rules_is_left_alone_for_longer_each_time() {
    let backoff = Backoff::default();
    for version in BOTH {
        let connack = match version {
            Version::V4 => CONNACK_V4,
            Version::V5 => CONNACK,
        };
        let mut sums = [0; 10];
        for seed in 0..200 {
            let mut raw = Raw::seeded(options(version), seed, 0);
            for (index, sum) in sums.iter_mut().enumerate() {
                raw.connect(connack);
                // Malformed: PUBACK without a packet id.
                raw.receive(&[0x40, 0]);
                raw.sent();
                raw.events();
                let lost = raw.now;
                raw.wanted();
                let bound = u64::from(backoff.base_ms) << index;
                let bound = bound.min(u64::from(backoff.cap_ms));
                let wait = raw.now - lost;
                assert!(wait < bound, "{wait} ms after {index}");
                *sum += wait * 1_000 / bound;
            }
        }
        for sum in sums {
            let mean = sum / 200;
            assert!((400..600).contains(&mean), "{version:?}: {mean} of 1000");
        }
    }
}

/// A broker that closes a few times while it starts would be found seconds late, since the
/// connection to its forerunner had broken first.
#[test]
fn an_unwilling_broker_is_asked_soon_at_first_however_the_outage_began() {
    let base = u64::from(Backoff::default().base_ms);
    for seed in 0..100 {
        let mut raw = Raw::seeded(options(Version::V5), seed, 0);
        raw.connect(CONNACK);
        raw.cut();
        raw.fail(Vain::Failed(Network::ConnectionRefused));
        raw.fail(Vain::NotOpened);
        for bound in [base, 2 * base, 4 * base] {
            let (_, wait) = raw.fail(Vain::Closed);
            assert!(wait < bound, "seed {seed}: {wait} of {bound} ms");
        }
    }
}

/// Devices whose broker is gone for hours would keep a network busy for nothing.
#[test]
fn an_old_outage_is_tried_less_and_less_up_to_the_cap() {
    let backoff = Backoff::default();
    let (base, cap) = (u64::from(backoff.base_ms), u64::from(backoff.cap_ms));
    for vain in PROMPT {
        for start in STARTS {
            let mut sums = [0; 12];
            for seed in 0..200 {
                let mut raw = Raw::seeded(options(Version::V5), seed, start);
                outage(&mut raw, vain, u64::from(backoff.young_ms));
                // The first wait by chance was for four times the base; here is the second.
                for (index, sum) in sums.iter_mut().enumerate() {
                    let (_, wait) = raw.fail(vain);
                    let bound = (base << (3 + index)).min(cap);
                    assert!(wait < bound, "{vain:?}: {wait} of {bound} ms");
                    *sum += wait * 1_000 / bound;
                }
            }
            for sum in sums {
                let mean = sum / 200;
                assert!((400..600).contains(&mean), "{vain:?}: {mean} of 1000");
            }
        }
    }
    // The first one.
    let mut longest = 0;
    for seed in 0..200 {
        let mut raw = Raw::seeded(options(Version::V5), seed, 0);
        raw.fail(Vain::Failed(Network::Unreachable));
        raw.now += u64::from(backoff.young_ms);
        raw.session.failed(Network::Unreachable, at(raw.now));
        let lost = raw.now;
        raw.wanted();
        longest = longest.max(raw.now - lost);
    }
    assert!((3 * base..4 * base).contains(&longest), "{longest} ms");
}

/// One that comes back after a month is found as one after an hour.
#[test]
fn no_outage_is_the_last() {
    let cap = u64::from(Backoff::default().cap_ms);
    for vain in PROMPT.into_iter().chain(UNWILLING) {
        for start in STARTS {
            let mut raw = Raw::seeded(options(Version::V5), 1, start);
            // More than the low half of the clock can count.
            for _ in 0..60 {
                raw.now += 86_400_000;
                for _ in 0..3 {
                    let (took, wait) = raw.fail(vain);
                    assert!(wait <= cap, "{vain:?}");
                    assert!(took <= u64::from(Timeouts::CONNECT_MOST_MS), "{vain:?}");
                    raw.seen.clear();
                }
            }
            raw.connect(CONNACK);
            assert!(raw.session.is_connected(), "{vain:?}");
        }
    }
}

/// A broker that falls over as soon as it has accepted would be asked twice a second for ever.
#[test]
fn only_a_stable_connection_ends_an_outage() {
    let backoff = Backoff::default();
    let stable = u64::from(backoff.stable_ms);
    for start in STARTS {
        for (lasted, ends) in [(stable - 1, false), (stable, true)] {
            let mut longest = 0;
            for seed in 0..20 {
                let mut raw = Raw::seeded(with_keep_alive(0), seed, start);
                // Old and grown.
                outage(
                    &mut raw,
                    Vain::Failed(Network::ConnectionRefused),
                    3_600_000,
                );
                raw.connect(CONNACK);
                raw.now += lasted;
                raw.events();
                raw.cut();
                let (_, wait) = raw.fail(Vain::Failed(Network::ConnectionRefused));
                longest = longest.max(wait);
            }
            let prompt = u64::from(backoff.prompt_ms);
            assert_eq!(longest <= prompt, ends, "{longest} ms after {lasted} ms");
        }
    }
}

#[test]
fn a_broker_that_accepts_and_falls_over_is_not_tried_promptly_for_ever() {
    for network in [Network::Closed, Network::Reset] {
        let mut raw = Raw::new(options(Version::V5));
        let mut accepted = Vec::new();
        while raw.now < 3_600_000 {
            raw.connect(CONNACK);
            accepted.push(raw.now);
            raw.now += 1_000;
            raw.events();
            raw.session.failed(network, at(raw.now));
            raw.events();
        }
        let in_the_first_minute = accepted.iter().filter(|when| **when < 60_000).count();
        let in_the_last = accepted.iter().filter(|when| **when >= 3_000_000).count();
        assert!(
            in_the_first_minute <= 50,
            "{network:?}: {in_the_first_minute}"
        );
        assert!(
            in_the_last <= 40,
            "{network:?}: {in_the_last} in ten minutes"
        );
        assert!(
            in_the_last >= 4,
            "{network:?}: {in_the_last} in ten minutes"
        );
    }
}

/// What was stopped and started again is wanted now.
#[test]
fn starting_again_begins_a_new_outage() {
    let backoff = Backoff::default();
    for (vain, bound) in [
        (Vain::Failed(Network::Unreachable), backoff.prompt_ms),
        (Vain::Closed, backoff.base_ms),
    ] {
        let mut raw = Raw::new(options(Version::V5));
        outage(&mut raw, vain, 3_600_000);
        raw.session.stop(at(raw.now));
        raw.events();
        raw.session.start(at(raw.now));
        let now = raw.now;
        raw.wanted();
        assert_eq!(raw.now, now, "at once");
        let (_, wait) = raw.fail(vain);
        assert!(wait <= u64::from(bound), "{vain:?}: {wait} ms");
    }
}

#[test]
fn odd_waits_do_no_harm() {
    let odd = [0, 1, u32::MAX];
    for prompt_ms in odd {
        for young_ms in odd {
            for base_ms in odd {
                let backoff = Backoff {
                    prompt_ms,
                    young_ms,
                    base_ms,
                    ..Backoff::default()
                };
                let mut raw = Raw::new(Options {
                    backoff,
                    ..options(Version::V5)
                });
                for _ in 0..10 {
                    for vain in [
                        Vain::Failed(Network::Reset),
                        Vain::NotAnswered,
                        Vain::Closed,
                    ] {
                        let (_, wait) = raw.fail(vain);
                        assert!(wait <= u64::from(u32::MAX));
                    }
                }
                raw.connect(CONNACK);
                assert!(raw.session.is_connected());
            }
        }
    }
}

// Takeover.

/// This device itself may have been the other one, with a connection that it had lost. Two devices
/// of one id would throw each other out without end.
#[test]
fn a_takeover_is_answered_once_and_then_held_back() {
    let backoff = Backoff::default();
    let least = u64::from(backoff.taken_over_ms);
    let prompt = u64::from(backoff.prompt_ms);
    for start in STARTS {
        for seed in 0..20 {
            let mut path = Path::connected(options(Version::V5), seed, start, 0);
            let kick = |path: &mut Path| {
                path.broker
                    .kick("client", reason::SESSION_TAKEN_OVER, path.now);
                path.settle();
                let lost = path.now;
                assert_eq!(path.losses().last(), Some(&(lost, Cause::TakenOver)));
                path.connect();
                path.now - lost
            };
            let wait = kick(&mut path);
            assert!(wait <= prompt, "{wait} ms");
            path.advance(u64::from(backoff.stable_ms) - 1);
            for _ in 0..2 {
                let wait = kick(&mut path);
                assert!((least..=2 * least).contains(&wait), "{wait} ms");
            }
            // A connection that lasted is a new beginning.
            path.advance(u64::from(backoff.stable_ms));
            let wait = kick(&mut path);
            assert!(wait <= prompt, "{wait} ms");
        }
    }
}

// How long an attempt may take.

/// A network that takes eight seconds would never carry a connection, were each attempt given up
/// after two; and a dead address would cost half a minute, were the first one.
#[test]
fn attempts_without_an_answer_become_longer_until_one_succeeds() {
    let first = u64::from(Timeouts::default().connect_ms);
    let most = u64::from(Timeouts::CONNECT_MOST_MS);
    for vain in [Vain::NotOpened, Vain::NotAnswered] {
        for start in STARTS {
            let mut raw = Raw::seeded(options(Version::V5), 1, start);
            for round in 0..3 {
                let mut bound = first;
                for attempt in 0..12 {
                    let (took, _) = raw.fail(vain);
                    assert_eq!(took, bound.min(most), "{vain:?} {round} {attempt}");
                    // Who refuses has answered nothing about how long answers take.
                    raw.fail(Vain::Failed(Network::ConnectionRefused));
                    bound *= 2;
                }
                raw.connect(CONNACK);
                raw.cut();
            }
        }
    }
    assert_eq!((first, most), (2_000, 30_000));
}

/// The time to CONNACK does not begin with the question for a connection.
#[test]
fn connack_has_as_long_as_opening_had() {
    let bound = u64::from(Timeouts::default().connect_ms);
    for late in [false, true] {
        let mut raw = Raw::new(options(Version::V5));
        raw.wanted();
        raw.wait(bound - 1);
        raw.session.opened(at(raw.now));
        raw.sent();
        raw.wait(bound - 1);
        if late {
            raw.wait(1);
        }
        assert_eq!(raw.session.transport() == Transport::Open(1), !late);
        if !late {
            raw.receive(CONNACK);
        }
        assert_eq!(raw.session.is_connected(), !late);
    }
}

#[test]
fn odd_bounds_of_an_attempt_do_no_harm() {
    for connect_ms in [1, 29_999, 30_000, 30_001, u32::MAX] {
        let mut raw = Raw::new(Options {
            timeouts: Timeouts {
                connect_ms,
                ..Timeouts::default()
            },
            ..options(Version::V5)
        });
        for _ in 0..300 {
            let (took, _) = raw.fail(Vain::NotAnswered);
            assert!((1..=u64::from(Timeouts::CONNECT_MOST_MS)).contains(&took));
        }
    }
}
