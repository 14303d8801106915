//! What a device that starts again knows, and what it does if it does so too often.

use aldis_protocol::{Climate, Mode};
use aldis_world::broker::Config;
use aldis_world::broker::codec::Qos;

use super::rig::{Act, Rig, settings};
use crate::Settings;

/// A device whose board keeps readings.
fn keeping<const N: usize>(settings: Settings<'static>) -> Rig<N> {
    let mut rig = Rig::off(settings, Config::default());
    rig.board.kept = Some(Vec::new());
    rig.boot();
    rig
}

/// The readings that the broker has, in its order.
fn climate<const N: usize>(rig: &Rig<N>) -> Vec<Climate> {
    rig.climates()
        .into_iter()
        .map(|(_, climate)| climate)
        .collect()
}

/// Power fails while the broker is away: the readings of that time are lost.
#[test]
fn readings_outlive_a_restart() {
    let mut rig: Rig = keeping(settings());
    rig.wait(20_000);
    rig.begin_outage();
    rig.wait(100_000);
    rig.power_off();
    rig.sleep(1_000_000);
    rig.boot();
    rig.wait(7_000);
    let before = climate(&rig).len();
    rig.end_outage();
    rig.wait(10_000);
    let all = climate(&rig);
    let seqs: Vec<u32> = all.iter().map(|climate| climate.seq).collect();
    let last = *seqs.last().unwrap();
    assert!(last > 25, "{seqs:?}");
    // In order, nothing missing; one that was under way may come twice.
    let mut once = seqs.clone();
    once.dedup();
    assert_eq!(once, (1..=last).collect::<Vec<_>>());
    assert!(seqs.len() - once.len() <= 1, "{seqs:?}");
    let recalled: Vec<_> = all[before..]
        .iter()
        .filter(|climate| climate.taken.is_some())
        .collect();
    assert!(recalled.len() >= 19, "{recalled:?}");
    for pair in recalled.windows(2) {
        // Five seconds apart, as they were taken; sent within one.
        let apart = pair[0].age_ms - pair[1].age_ms;
        assert!((4_000..=6_000).contains(&apart), "{pair:?}");
    }
    for climate in recalled {
        assert_eq!((climate.boot, climate.taken), (2, Some(1)));
        assert!(climate.age_ms >= 1_000 && climate.age_ms < 1_000_000);
    }
    assert!(all[before..].iter().any(|climate| climate.taken.is_none()));
}

/// The board would write its flash for each delivery, or never: then everything
/// of a long outage comes twice after a restart.
#[test]
fn the_board_is_told_what_is_done() {
    let mut rig: Rig = keeping(settings());
    rig.wait(10_000);
    rig.begin_outage();
    rig.wait(200_000);
    rig.board.acts.clear();
    rig.end_outage();
    rig.wait(2_000);
    let told = rig.board.acts.iter().filter_map(|(_, act)| match act {
        Act::Done(done) => Some(*done),
        _ => None,
    });
    let told: Vec<u32> = told.collect();
    assert!((2..=3).contains(&told.len()), "{told:?}");
    assert!(told.is_sorted());
    let sent = climate(&rig).len();
    rig.power_off();
    rig.boot();
    rig.until_connected();
    rig.wait(500);
    let again = climate(&rig).len() - sent;
    assert!(again <= 24, "{again}");
    // Online, nothing is told: the next reading does it.
    rig.wait(20_000);
    rig.board.acts.clear();
    rig.wait(600_000);
    let acts = &rig.board.acts;
    assert!(!acts.iter().any(|(_, act)| matches!(act, Act::Done(_))));
    assert!(!acts.iter().any(|(_, act)| matches!(act, Act::Save(_))));
    let kept = rig.board.kept.as_ref().unwrap();
    let [.., last] = kept[..] else { panic!() };
    assert!(last.seq - last.done <= 2, "{last:?}");
}

/// What was taken back has to make room for newer readings as well, and that is told.
#[test]
fn what_has_no_room_is_superseded() {
    let mut rig: Rig<16> = keeping(settings());
    rig.begin_outage();
    rig.wait(150_000);
    rig.power_off();
    rig.boot();
    rig.end_outage();
    rig.wait(4_000);
    assert!(rig.diag(|diag| diag.dropped.unwrap().superseded) >= Some(1));
    let seqs = rig.seqs();
    assert!(seqs.is_sorted() && seqs.len() >= 16, "{seqs:?}");
}

fn limited() -> Settings<'static> {
    Settings {
        start_limit: Some(5),
        ..settings()
    }
}

/// A sensor that resets the chip, again and again, costs the contact as well.
#[test]
fn too_many_starts_leave_the_sensor_alone() {
    let mut rig: Rig = keeping(limited());
    for start in 1..=5 {
        assert!(!rig.device().is_safe(), "{start}");
        rig.wait(59_000);
        rig.board.acts.clear();
        rig.boot();
    }
    assert!(rig.device().is_safe());
    rig.until_connected();
    rig.command("output", "on");
    rig.wait(20_000);
    let acts = &rig.board.acts;
    assert!(!acts.iter().any(|(_, act)| matches!(act, Act::Measure)));
    assert_eq!(rig.on("aldis/kitchen/led").last().unwrap().1, "on");
    assert_eq!(rig.diag(|diag| diag.mode), Some(Mode::Safe));
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "stale");
    // What made it restart may be gone after a while.
    rig.wait(600_000);
    assert!(!rig.device().is_safe());
    rig.wait(10_000);
    let acts = &rig.board.acts;
    assert!(acts.iter().any(|(_, act)| matches!(act, Act::Measure)));
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "ok");
    // It is not: the next start knows it at once.
    rig.boot();
    assert!(rig.device().is_safe());
    // It is: a minute that lasts clears the count.
    rig.wait(600_000 + 61_000);
    assert_eq!(rig.board.saved.unstable, 0);
    rig.boot();
    assert!(!rig.device().is_safe());
    rig.until_connected();
    rig.wait(4_000);
    assert_eq!(rig.diag(|diag| diag.mode), None);
}

/// Starts that last, and starts of a program on a PC, are nothing unusual.
#[test]
fn starts_that_last_do_not_count() {
    let mut rig: Rig = keeping(limited());
    for _ in 0..20 {
        rig.wait(60_000);
        rig.boot();
        assert!(!rig.device().is_safe());
    }
    let mut rig: Rig = keeping(settings());
    for _ in 0..20 {
        rig.wait(1_000);
        rig.boot();
        assert!(!rig.device().is_safe());
        assert_eq!(rig.board.saved.unstable, 0);
    }
}

/// The power fails while the broker has not said that it has a reading; or has said
/// it, and the recorder has not.
#[test]
fn what_is_under_way_is_not_done() {
    let mut rig: Rig = keeping(settings());
    rig.wait(20_000);
    // The broker gets it, and its acknowledgement is lost with the power.
    rig.cut_down = Some(0);
    let before = rig.seqs().len();
    while rig.seqs().len() == before {
        rig.wait(500);
    }
    let sent = *rig.seqs().last().unwrap();
    rig.power_off();
    rig.cut_down = None;
    rig.boot();
    rig.until_connected();
    rig.wait(500);
    assert!(
        rig.climates()
            .iter()
            .any(|(_, climate)| { climate.seq == sent && climate.taken == Some(1) })
    );
    let mut rig: Rig = keeping(Settings {
        confirm: true,
        ..settings()
    });
    rig.wait(101_000);
    let done = |rig: &Rig| rig.board.kept.as_ref().unwrap().last().unwrap().done;
    assert_eq!(done(&rig), 0, "acknowledged, and not confirmed");
    rig.publish("aldis/kitchen/climate/ack", "10", Qos::AtLeastOnce);
    rig.wait(6_000);
    assert_eq!(done(&rig), 10);
    rig.boot();
    rig.until_connected();
    rig.wait(2_000);
    let again = rig.climates();
    let mut again = again.iter().filter(|(_, climate)| climate.boot == 2);
    assert_eq!(again.next().map(|(_, climate)| climate.seq), Some(11));
}

/// Starts that end before a reading is taken: what was delivered comes again each time.
#[test]
fn readings_taken_back_do_not_come_again_and_again() {
    let mut rig: Rig = keeping(settings());
    rig.wait(10_000);
    rig.begin_outage();
    rig.wait(40_000);
    rig.boot();
    rig.obstacle = None;
    rig.until_connected();
    rig.wait(100);
    let last = rig.seqs().last().copied().unwrap();
    for _ in 0..5 {
        rig.boot();
        rig.until_connected();
        rig.wait(100);
    }
    let seqs = rig.seqs();
    // The last one may: it is not known whether it was delivered.
    for seq in 1..last {
        let times = seqs.iter().filter(|sent| **sent == seq).count();
        assert_eq!(times, 1, "{seq} of {seqs:?}");
    }
}

/// Power goes in the first minute: a recorder takes the numbers that go on for another device's,
/// and has the readings of that minute twice.
#[test]
fn numbers_that_go_on_have_the_same_life() {
    let mut rig: Rig = keeping(limited());
    rig.wait(20_000);
    rig.begin_outage();
    rig.wait(20_000);
    rig.boot();
    rig.end_outage();
    rig.wait(20_000);
    let all = climate(&rig);
    let life = all[0].life;
    assert!(life != 0 && all.iter().all(|c| c.life == life), "{all:?}");
    assert!(all.iter().any(|c| c.taken.is_some()));
}

/// A recorder takes the numbers of a device that has lost its memory for those it has already.
#[test]
fn numbers_that_begin_anew_have_another_life() {
    let mut rig: Rig = Rig::start(settings(), Config::default());
    rig.wait(20_000);
    rig.boot();
    rig.wait(20_000);
    rig.board.saved = crate::Saved::default();
    rig.boot();
    rig.wait(20_000);
    let numbers: Vec<_> = climate(&rig).iter().map(|c| (c.life, c.seq)).collect();
    let (first, last) = (numbers[0].0, numbers[numbers.len() - 1].0);
    assert!(first != 0 && last != 0 && first != last, "{numbers:?}");
    let of = |life: u16| numbers.iter().filter(move |(of, _)| *of == life);
    for life in [first, last] {
        let seqs: Vec<_> = of(life).map(|(_, seq)| *seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u32).collect::<Vec<_>>());
    }
    assert_eq!(of(first).count() + of(last).count(), numbers.len());
}
