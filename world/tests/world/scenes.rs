//! Scenes with a known end. The bounds are those of docs/contact.md.

use aldis_protocol::LampCommand;
use aldis_world::{FaultKind, Plan, World};

use super::{HOUR, MINUTE, SECOND};

/// A device that has been well for a while.
fn well(seed: u64, devices: u32) -> World {
    let mut world = World::new(Plan::manual(seed, devices));
    run(&mut world, 3 * MINUTE + seed * 137 % 5_000);
    for device in 0..devices as usize {
        assert!(world.is_connected(device), "device {device}");
    }
    world
}

fn run(world: &mut World, ms: u64) {
    let until = world.now() + ms;
    let holds = world.run_until(until);
    if let Some(violation) = world.violation().filter(|_| !holds) {
        panic!("{violation}\nseed {}", world.plan().seed);
    }
}

/// How long the broker hears nothing of a device from now on.
fn silence(world: &mut World, device: usize, most_ms: u64) -> u64 {
    let begin = world.now();
    while world.last_heard(device) < begin {
        assert!(
            world.now() - begin <= most_ms,
            "nothing after {most_ms} ms, seed {}",
            world.plan().seed
        );
        run(world, 10);
    }
    world.last_heard(device) - begin
}

/// A fault goes by; how long the broker hears nothing after it.
fn after(kind: FaultKind, seed: u64, lasts_ms: u64, most_ms: u64) -> u64 {
    let mut world = well(seed, 1);
    world.inflict(kind, 0, lasts_ms);
    run(&mut world, lasts_ms + 1);
    silence(&mut world, 0, most_ms)
}

#[test]
fn a_broker_that_is_back_soon_has_contact_within_half_a_second() {
    for seed in 0..30 {
        let away = 300 + seed * 317;
        let took = after(FaultKind::BrokerRestart, seed, away, 500);
        assert!(took <= 500, "{took} ms after {away} ms, seed {seed}");
    }
}

#[test]
fn a_broker_that_is_back_within_a_minute_has_contact_within_a_second() {
    for seed in 0..20 {
        after(FaultKind::BrokerAway, seed, 11_000 + seed * 2_400, 1_000);
    }
}

#[test]
fn a_path_that_was_dark_for_half_a_minute_has_contact_within_a_second_and_a_half() {
    for seed in 0..20 {
        after(FaultKind::Blackhole, seed, 30 * SECOND, 1_500);
    }
}

/// Its network stack alone would send the next SYN up to eight seconds later.
#[test]
fn a_board_knocks_while_its_path_is_dark() {
    const BOARD: usize = 1;
    for seed in 0..20 {
        let dark = 30 * SECOND + seed * 700;
        let mut world = well(seed, 2);
        world.inflict(FaultKind::Blackhole, BOARD, dark);
        run(&mut world, dark + 1);
        silence(&mut world, BOARD, 1_500);
    }
}

/// From the first reading that is not answered, five to six seconds.
#[test]
fn a_connection_that_died_silently_is_made_anew() {
    for seed in 0..20 {
        let mut world = well(seed, 1);
        // The next reading comes within five seconds.
        world.inflict(FaultKind::HalfOpen, 0, 1);
        let begin = world.now();
        run(&mut world, 20);
        silence(&mut world, 0, 11 * SECOND);
        assert!(world.now() - begin <= 12 * SECOND, "seed {seed}");
    }
}

/// A client that throws out others for ever, or does not come back.
#[test]
fn a_takeover_is_answered_once_and_then_held_back() {
    let mut world = well(3, 1);
    world.inflict(FaultKind::Takeover, 0, 1_000);
    run(&mut world, 1_000);
    assert!(world.is_connected(0), "back within a second, once");
    run(&mut world, 5 * SECOND);
    let before = world.counts(0).attempts;
    world.inflict(FaultKind::Takeover, 0, 500);
    run(&mut world, 60 * SECOND);
    assert!(world.counts(0).attempts <= before + 1, "held back");
    run(&mut world, 70 * SECOND);
    assert!(world.is_connected(0));
}

/// Power comes back for a thousand devices, to a broker that takes a hundred connections a
/// second and closes the others.
#[test]
fn a_herd_is_back_within_a_minute() {
    const HERD: u32 = 1_000;
    let mut world = World::new(Plan {
        connections_a_second: Some(100),
        ..Plan::manual(1, HERD)
    });
    run(&mut world, 60 * SECOND);
    let mut missing = 0;
    let mut most = 0;
    for device in 0..HERD as usize {
        missing += u32::from(!world.is_connected(device));
        most = most.max(world.counts(device).attempts);
    }
    println!("{missing} of {HERD} are missing, at most {most} attempts");
    assert_eq!(missing, 0);
    assert!(most <= 10, "{most} attempts");
}

/// A broker that is away for long is asked by all devices together, again and again.
#[test]
fn a_herd_without_a_broker_grows_quiet() {
    const HERD: u32 = 1_000;
    let mut world = World::new(Plan {
        interval_ms: Some(60_000),
        ..Plan::manual(2, HERD)
    });
    run(&mut world, MINUTE);
    world.inflict(FaultKind::BrokerAway, 0, HOUR);
    run(&mut world, 50 * MINUTE);
    let attempts = |world: &World| -> u64 {
        (0..HERD as usize)
            .map(|device| world.counts(device).attempts)
            .sum()
    };
    let before = attempts(&world);
    run(&mut world, 10 * MINUTE - 1);
    let a_second = (attempts(&world) - before) as f64 / 600.0;
    println!("{a_second:.1} attempts a second");
    assert!(a_second < 50.0, "{a_second}");
    run(&mut world, 2 * MINUTE);
    let missing = (0..HERD as usize)
        .filter(|device| !world.is_connected(*device))
        .count();
    assert_eq!(missing, 0);
}

/// Readings of half an hour come one by one.
#[test]
fn a_backlog_drains_faster_than_two_hundred_a_second() {
    let mut world = well(4, 1);
    world.inflict(FaultKind::BrokerAway, 0, 30 * MINUTE);
    run(&mut world, 30 * MINUTE);
    let waiting = world.backlog(0) as u64;
    assert!(waiting > 350, "{waiting}");
    let delivered = world.counts(0).delivered;
    silence(&mut world, 0, MINUTE);
    run(&mut world, waiting * SECOND / 200);
    let came = world.counts(0).delivered - delivered;
    assert!(came >= waiting, "{came} of {waiting}");
}

/// Evidence that a path is dead, where it is only slow.
#[test]
fn a_slow_path_costs_two_connections_at_most() {
    for seed in 0..10 {
        let mut world = well(seed, 1);
        let before = world.counts(0).connections;
        world.inflict(FaultKind::SlowPath, 0, HOUR);
        run(&mut world, HOUR);
        let lost = world.counts(0).connections - before;
        assert!(lost <= 2, "{lost} connections, seed {seed}");
    }
}

/// A command that is given while the device is away is executed once, when it is back.
#[test]
fn commands_wait_for_the_device() {
    let mut world = well(5, 1);
    world.inflict(FaultKind::ApAway, 0, 10 * MINUTE);
    run(&mut world, MINUTE);
    for _ in 0..5 {
        assert!(world.command(0, LampCommand::Toggle));
    }
    run(&mut world, 12 * MINUTE);
    let counts = world.counts(0);
    assert_eq!((counts.commands, counts.executed), (5, 5));
}
