//! Days in which everything goes wrong, at random.
//!
//! `ALDIS_SOAK_SEED` repeats one run, `ALDIS_SOAK_DAYS` makes it longer.

use std::collections::BTreeSet;

use aldis_mqtt::{Network, Version, Versions};
use aldis_protocol::Lamp;
use aldis_world::broker::{Config, Hang, Keep};

use super::rig::{Act, Rig, Sensor, settings};
use crate::Settings;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const N: usize = 24;
const SET: &str = "aldis/kitchen/led/set";

/// What the soak expects.
struct Expected {
    /// Commands that must be executed, each once.
    toggles: usize,
    /// Readings that were lost with the power, or superseded before a restart.
    forgiven: u32,
    /// The readings that came.
    seen: BTreeSet<u32>,
}

fn switched(rig: &Rig<N>) -> usize {
    let lamps = rig.board.acts.iter();
    lamps.filter(|(_, act)| matches!(act, Act::Lamp(_))).count()
}

/// Everything mended; the device has told all that it has to tell.
fn recover(rig: &mut Rig<N>) {
    rig.obstacle = None;
    rig.stalled = false;
    rig.cut_up = None;
    rig.cut_down = None;
    rig.broker.hang_all(Hang::Not, rig.now);
    rig.settle();
    rig.until_connected();
    for _ in 0..600 {
        rig.wait(200);
        if rig.device().backlog() == 0
            && rig.session().is_connected()
            && rig.session().pending() == 0
        {
            return;
        }
    }
    panic!("the backlog does not drain");
}

/// What must hold whenever the device has recovered.
fn check(rig: &mut Rig<N>, expected: &mut Expected) {
    assert_eq!(rig.device().backlog(), 0);
    rig.wait(60_500);
    // Bytes may be held up until the device notices.
    rig.assert_ages_within(20_000);
    // Each first arrival is newer than those before it.
    for seq in rig.seqs() {
        if expected.seen.insert(seq) {
            let newest = expected.seen.last();
            assert_eq!(newest, Some(&seq), "reading {seq} overtook another");
        }
    }
    let dropped = rig.diag(|diag| diag.dropped.unwrap());
    let now = rig.on("aldis/kitchen/diag").pop().unwrap().0;
    let recorded = rig.board.acts.iter().rev().find_map(|(at, act)| match act {
        Act::Save(saved) if *at <= now => Some(saved.seq - 1),
        _ => None,
    });
    let recorded = recorded.unwrap();
    let lost = recorded - expected.seen.range(..=recorded).count() as u32;
    let counted = dropped.superseded.unwrap() + expected.forgiven;
    assert!(
        lost <= counted,
        "{lost} readings did not come, {counted} were counted"
    );
    // A reading may have come, and the word of that not.
    let cut_off = rig.board.acts.iter().filter(|(_, act)| match act {
        Act::Notice(notice) => notice.starts_with("Lost"),
        _ => false,
    });
    assert!(counted - lost <= cut_off.count() as u32);
    assert_eq!((dropped.expired, dropped.full), (Some(0), Some(0)));
    // The lamp is as the last command left it, and everybody knows.
    let last = rig.board.acts.iter().rev().find_map(|(_, act)| match act {
        Act::Lamp(lamp) => Some(*lamp),
        _ => None,
    });
    let last = last.unwrap_or(Lamp::Off);
    assert_eq!(rig.device().lamp(), last);
    assert_eq!(*rig.lights().last().unwrap(), last);
    assert_eq!(rig.board.saved.lamp, last);
    assert_eq!(rig.retained("aldis/kitchen/led"), last.as_str());
    assert_eq!(rig.retained("aldis/kitchen/status"), "online");
    assert_eq!(switched(rig), expected.toggles, "commands executed");
    // What was looked at need not be looked at again.
    rig.log.clear();
    rig.board.acts.retain(|(_, act)| match act {
        Act::Lamp(_) | Act::Light(_) => true,
        Act::Notice(notice) => notice.starts_with("Lost"),
        _ => false,
    });
    let saved = Act::Save(rig.board.saved);
    rig.board.acts.push((rig.now, saved));
}

fn soak(seed: u64, days: u64) {
    println!("ALDIS_SOAK_SEED={seed} ALDIS_SOAK_DAYS={days} repeats this run");
    let mut random = Random(seed);
    let versions = random.of(&[Version::V4, Version::V5]);
    let settings = Settings {
        versions: Versions::Only(versions),
        ..settings()
    };
    let config = Config {
        receive_maximum: random.of(&[1, 3, 20]),
        ..Config::default()
    };
    let mut rig: Rig<N> = Rig::off(settings, config);
    rig.seed = seed;
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    let mut expected = Expected {
        toggles: 0,
        forgiven: 0,
        seen: BTreeSet::new(),
    };
    while rig.now < days * 86_400_000 {
        for _ in 0..random.below(12) {
            match random.below(12) {
                0 => rig.cut(),
                1 => rig.cut_up = Some(1 + random.below(300) as usize),
                2 => rig.cut_down = Some(1 + random.below(60) as usize),
                3 => {
                    let obstacles = [Network::Dns, Network::Unreachable, Network::TimedOut];
                    rig.obstacle = Some(random.of(&obstacles));
                    rig.cut();
                }
                4 => rig
                    .broker
                    .hang_all(random.of(&[Hang::Reads, Hang::Writes, Hang::Both]), rig.now),
                5 => rig.broker.restart(Keep::Everything, rig.now),
                6 => rig.stalled = !rig.stalled,
                7 => {
                    rig.board.sensor = random.of(&[
                        Sensor::Good,
                        Sensor::Good,
                        Sensor::Silent,
                        Sensor::Damaged,
                        Sensor::Dead,
                        Sensor::Late(40),
                    ]);
                }
                8..=10 => {
                    // The broker holds the session, connected or not.
                    for _ in 0..=random.below(4) {
                        rig.command(SET, "toggle");
                        expected.toggles += 1;
                    }
                }
                _ => {
                    rig.obstacle = None;
                    rig.stalled = false;
                    rig.broker.hang_all(Hang::Not, rig.now);
                }
            }
            rig.settle();
            let most = random.of(&[10, 3_000, 20_000, 300_000]);
            rig.wait(random.below(most));
        }
        recover(&mut rig);
        check(&mut rig, &mut expected);
        if random.below(4) == 0 {
            rig.board.sensor = Sensor::Good;
            recover(&mut rig);
            // The count begins anew, and what is not yet there is lost.
            expected.seen.extend(rig.seqs());
            expected.forgiven = rig.board.saved.seq - 1 - expected.seen.len() as u32;
            rig.boot();
            rig.until_connected();
            rig.wait(1_000);
        }
        if random.below(4) == 0 {
            rig.broker
                .restart(random.of(&[Keep::Nothing, Keep::Retained]), rig.now);
            rig.settle();
            recover(&mut rig);
        }
    }
    let count = expected.seen.len();
    println!("{count} readings, {} commands", expected.toggles);
    assert!(count > 100 && expected.toggles > 5);
}

#[test]
fn nothing_is_lost_unseen_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let days = number("ALDIS_SOAK_DAYS").unwrap_or(1);
    match number("ALDIS_SOAK_SEED") {
        Some(seed) => soak(seed, days),
        None => (0..4).for_each(|seed| soak(seed, days)),
    }
}
