use aldis_world::{FaultSet, Plan, World};

use super::{HOUR, holds};

fn plan(seed: u64) -> Plan {
    Plan {
        calm_ms: HOUR / 2,
        ..Plan::new(seed, 5, 24 * HOUR)
    }
}

/// A failure that its seed does not repeat.
#[test]
fn the_seed_determines_everything() {
    let first = holds(plan(3));
    let second = holds(plan(3));
    assert_eq!(first, second);
    let third = holds(plan(4));
    assert_ne!(first.hash, third.hash);
    assert!(first.outages() > 20, "{}", first.outages());
}

/// Whether somebody looks changes what is seen.
#[test]
fn looking_changes_nothing() {
    let quiet = holds(plan(5));
    let mut looked = World::new(Plan {
        keep_log: true,
        ..plan(5)
    });
    let mut entries = 0;
    let report = looked.run(|world| {
        entries += world.take_log().len();
        true
    });
    assert_eq!(report.hash, quiet.hash);
    assert!(entries > 10_000);
    // Step by step, and in pieces.
    let mut stepped = World::new(plan(5));
    for hour in 1..=24 {
        assert!(stepped.run_until(hour * HOUR));
    }
    assert_eq!(stepped.report().hash, quiet.hash);
}

/// A device that another one's presence changes cannot be looked at alone.
#[test]
fn calm_devices_do_not_meet() {
    let calm = |devices| {
        holds(Plan {
            faults: FaultSet::NONE,
            devices,
            ..plan(6)
        })
    };
    let (one, three) = (calm(1), calm(3));
    assert_eq!(one.outages() + three.outages(), 0);
    assert_eq!(three.counts.connections, 3);
    assert_eq!(one.counts.duplicates, 0);
    // One each five seconds, from the first second on.
    assert!((17_278..=17_281).contains(&one.counts.accepted));
    assert!(one.counts.accepted - one.counts.delivered <= 1);
}
