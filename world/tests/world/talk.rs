//! Two people talk through their devices.

use aldis_protocol::MessageState;
use aldis_world::{FaultKind, FaultSet, Plan, World};

use super::{DAY, HOUR, MINUTE, SECOND, holds};

fn run(world: &mut World, ms: u64) {
    let until = world.now() + ms;
    if !world.run_until(until)
        && let Some(violation) = world.violation()
    {
        panic!("{violation}");
    }
}

/// Two devices that are each other's peers, with contact.
fn pair(seed: u64) -> World {
    let mut world = World::new(Plan::manual(seed, 2));
    run(&mut world, 2 * MINUTE);
    assert!(world.is_connected(0) && world.is_connected(1));
    world
}

fn short(world: &mut World, device: usize) {
    world.press(device, 120);
    run(world, SECOND);
}

fn long(world: &mut World, device: usize) {
    world.press(device, 1_200);
    run(world, 2 * SECOND);
}

/// What a device has of its peer.
fn letter(world: &World, device: usize, text: &str) -> Option<MessageState> {
    let letters = world.letters(device);
    assert!(letters.len() <= 1, "{letters:?}");
    let (from, said, told) = letters.into_iter().next()?;
    assert_eq!(from, format!("d{}", device ^ 1));
    assert_eq!(said, text);
    told
}

/// A preset goes to the peer, is shown there and answered, and the answer is read, whatever
/// becomes of the broker in between.
#[test]
fn two_devices_converse() {
    const PRESET: &str = "All is well";
    const REPLY: &str = "I am coming";
    for seed in 0..20 {
        let mut world = pair(seed);
        // The broker goes away, and somebody wants to say something.
        world.inflict(FaultKind::BrokerAway, 0, 5 * MINUTE);
        run(&mut world, MINUTE);
        long(&mut world, 0);
        assert_eq!(world.letters(1), []);
        run(&mut world, 6 * MINUTE);
        assert_eq!(letter(&world, 1, PRESET), Some(MessageState::Shown));
        // It is answered while the broker is away once more, by a long press.
        world.inflict(FaultKind::BrokerDark, 0, 2 * MINUTE);
        run(&mut world, seed * SECOND);
        long(&mut world, 1);
        assert_eq!(world.letters(0), []);
        run(&mut world, 4 * MINUTE);
        assert_eq!(letter(&world, 1, PRESET), Some(MessageState::Read));
        assert_eq!(letter(&world, 0, REPLY), Some(MessageState::Shown));
        // The answer outlives a restart, and is read.
        world.inflict(FaultKind::PowerCut, 0, 30 * SECOND);
        run(&mut world, MINUTE);
        assert!(world.is_connected(0));
        run(&mut world, 10 * SECOND);
        short(&mut world, 0);
        run(&mut world, 10 * SECOND);
        assert_eq!(letter(&world, 0, REPLY), Some(MessageState::Read));
        // Nothing came twice, and all is accounted for.
        run(&mut world, HOUR);
        assert_eq!(world.counts(0).messages, 1);
        assert_eq!(world.counts(1).messages, 1);
        assert!(world.settled() > 4);
    }
}

/// A message that nobody reads waits, and is told to wait.
#[test]
fn a_message_waits_for_who_is_away() {
    let mut world = pair(7);
    assert!(world.message(0, None, "the door is open"));
    run(&mut world, 10 * SECOND);
    let waits = |world: &World| {
        let letters = world.letters(0);
        assert_eq!(letters.len(), 1);
        letters[0].2
    };
    assert_eq!(waits(&world), Some(MessageState::Shown));
    run(&mut world, HOUR);
    assert_eq!(waits(&world), Some(MessageState::Shown));
    short(&mut world, 0);
    run(&mut world, 10 * SECOND);
    assert_eq!(waits(&world), Some(MessageState::Read));
}

/// Much is said and asked while boards and brokers restart.
#[test]
fn what_is_said_outlives_restarts() {
    let mut faults = FaultSet::NONE;
    for kind in [
        FaultKind::FlashCut,
        FaultKind::PowerCut,
        FaultKind::FlashWorn,
        FaultKind::BrokerRestart,
        FaultKind::BrokerForgets,
        FaultKind::SlowPath,
        FaultKind::SmallPackets,
    ] {
        faults.insert(kind);
    }
    for seed in 300..304 {
        let report = holds(Plan {
            faults,
            calm_ms: 20 * MINUTE,
            people_ms: 2 * MINUTE,
            ..Plan::new(seed, 5, DAY / 2)
        });
        let counts = report.counts;
        assert!(counts.messages > 500, "{counts:?}");
        assert!(counts.reports > 2 * counts.messages, "{counts:?}");
        assert!(counts.answers > 200, "{counts:?}");
        assert!(counts.restarts > 20, "{counts:?}");
    }
}

/// Runs in which the world was wrong once about what people are owed: which of two messages
/// alike had come, and whether an id is known that a worn flash did not take.
#[test]
fn talks_that_once_failed() {
    holds(Plan {
        faults: FaultSet::only(FaultKind::PowerCut),
        calm_ms: 10 * MINUTE,
        people_ms: 10 * MINUTE,
        ..Plan::new(FaultKind::PowerCut.index() as u64, 4, 5 * HOUR)
    });
    holds(Plan {
        calm_ms: HOUR,
        people_ms: 5 * MINUTE,
        ..Plan::new(70_025, 10, 15 * HOUR)
    });
}
