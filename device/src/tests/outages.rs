//! What becomes of readings while there is no broker.

use aldis_mqtt::{Network, Timeouts};
use aldis_world::broker::codec::PacketType;
use aldis_world::broker::{Config, Hang, Keep};

use super::rig::{Act, Rig, Sensor, rig, settings};
use crate::Settings;

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<u32> {
    range.collect()
}

/// An answer has longer than there is between two readings.
fn patient() -> Settings<'static> {
    Settings {
        timeouts: Timeouts {
            answer_ms: 7_000,
            ..Timeouts::default()
        },
        ..settings()
    }
}

/// Data gaps after every outage, and a wrong clock for what came late.
#[test]
fn readings_of_an_outage_come_afterwards_in_order_with_their_age() {
    let mut rig = rig();
    rig.wait(10_500);
    rig.begin_outage();
    rig.wait(120_000);
    rig.end_outage();
    rig.wait(10);
    let expected = numbers(1..=rig.board.saved.seq - 1);
    assert_eq!(rig.seqs(), expected);
    assert!(rig.climates().iter().any(|(_, c)| c.age_ms > 110_000));
    rig.assert_ages();
    assert_eq!(rig.device().backlog(), 0);
}

/// A readout of an hour ago would be taken for the present one.
#[test]
fn the_readout_is_never_replayed() {
    let mut rig: Rig = Rig::start(patient(), Config::default());
    rig.wait(10_500);
    let before = rig.on("testincr").len();
    rig.begin_outage();
    rig.wait(600_000);
    rig.end_outage();
    assert!(rig.on("testincr").len() <= before + 1);
    // Nor one that was written while the network took nothing.
    rig.wait(10_000);
    rig.stalled = true;
    rig.wait(6_500);
    let before = rig.on("testincr").len();
    rig.cut();
    rig.stalled = false;
    rig.until_connected();
    rig.wait(10);
    assert!(rig.on("testincr").len() <= before + 1);
}

/// A publication that was cut off is sent again with the age it has then.
#[test]
fn a_reading_under_way_is_sent_again_with_its_age() {
    let mut rig = rig();
    rig.wait(7_000);
    rig.broker.withhold(PacketType::PubAck, 0, u32::MAX);
    rig.wait(3_500);
    rig.broker.withhold_nothing();
    rig.begin_outage();
    rig.wait(30_000);
    rig.end_outage();
    rig.wait(10);
    let seqs = rig.seqs();
    assert_eq!(seqs[..4], [1, 2, 3, 3], "{seqs:?}");
    assert_eq!(seqs[3..], numbers(3..=rig.board.saved.seq - 1));
    rig.assert_ages();
}

/// A broker that takes one publication at a time must not make the others old
/// while they wait.
#[test]
fn ages_are_right_whatever_the_broker_allows() {
    for receive_maximum in [1, 2, 5, 20, 65_535] {
        let config = Config {
            receive_maximum,
            ..Config::default()
        };
        let mut rig: Rig = Rig::start(settings(), config);
        rig.wait(10_500);
        rig.begin_outage();
        rig.wait(200_000);
        rig.latency = 250;
        rig.end_outage();
        rig.wait(62_000);
        // One may be under way just now.
        while rig.device().backlog() > 0 {
            assert!(rig.now < 300_000, "receive maximum {receive_maximum}");
            rig.wait(100);
        }
        let settled = rig.now;
        let late: Vec<_> = rig
            .climates()
            .into_iter()
            .filter(|(at, _)| *at > 10_500)
            .map(|(at, c)| {
                let taken = rig.board.taken[&(c.reading.t, c.reading.h)];
                at - 250 - taken - c.age_ms
            })
            .collect();
        let worst = late.iter().max().unwrap();
        // The states that are told first may take the room of a round trip or two.
        assert!(
            *worst <= 2_000,
            "receive maximum {receive_maximum}: {worst} ms wrong at {settled}"
        );
        if receive_maximum >= 20 {
            assert_eq!(*worst, 0);
        }
    }
}

/// A long outage must not eat the memory, nor hide what it cost.
#[test]
fn the_oldest_are_superseded_and_counted() {
    let mut rig: Rig<16> = Rig::start(settings(), Config::default());
    rig.wait(10_500);
    rig.begin_outage();
    rig.wait(12 * 3_600_000);
    assert_eq!(rig.device().backlog(), 16);
    let next = rig.board.saved.seq;
    rig.end_outage();
    rig.wait(10);
    let last = rig.board.saved.seq - 1;
    let seqs = rig.seqs();
    assert_eq!(seqs[..3], [1, 2, 3]);
    assert_eq!(seqs[3..], numbers(last - (seqs.len() as u32 - 4)..=last));
    assert!(seqs.len() <= 3 + 17 && next > 8_000);
    rig.wait(60_000);
    let missing = rig.board.saved.seq - 1 - rig.seqs().len() as u32;
    rig.wait(60_000);
    let dropped = rig.diag(|diag| diag.dropped.unwrap());
    assert_eq!(dropped.superseded, Some(missing));
    assert_eq!((dropped.expired, dropped.full), (Some(0), Some(0)));
}

/// Who keeps account of readings would miss one, or count it twice.
#[test]
fn the_end_of_each_reading_is_told_once() {
    let mut rig: Rig<16> = Rig::start(settings(), Config::default());
    rig.wait(10_500);
    rig.begin_outage();
    rig.wait(600_000);
    rig.end_outage();
    rig.wait(61_000);
    let told = |what: &str| -> Vec<u32> {
        let notices = rig.board.acts.iter().filter_map(|(_, act)| match act {
            Act::Notice(notice) => notice.strip_prefix(what),
            _ => None,
        });
        let numbers = notices.map(|rest| rest.split([',', ' ']).next().unwrap());
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let (delivered, given_up) = (told("Delivered { seq: "), told("GivenUp { seq: "));
    let mut all = [&delivered[..], &given_up].concat();
    all.sort_unstable();
    assert_eq!(all, numbers(1..=rig.board.saved.seq - 1));
    assert_eq!(delivered, rig.seqs());
    assert!(given_up.len() > 90, "{given_up:?}");
}

/// A reading that is under way is neither counted as lost nor sent with an old
/// age later, when the ring is full of newer ones.
#[test]
fn what_is_under_way_is_not_superseded() {
    let settings = Settings {
        interval_ms: 2_000,
        ..patient()
    };
    let mut rig: Rig<10> = Rig::start(settings, Config::default());
    rig.wait(3_500);
    for _ in 0..5 {
        rig.begin_outage();
        rig.wait(60_000);
        rig.end_outage();
        rig.broker.hang_all(Hang::Writes, rig.now);
        rig.wait(6_500);
        rig.broker.hang_all(Hang::Not, rig.now);
        rig.wait(500);
        rig.broker.hang_all(Hang::Reads, rig.now);
        rig.wait(6_500);
        rig.cut();
        rig.broker.hang_all(Hang::Not, rig.now);
    }
    rig.until_connected();
    rig.wait(130_000);
    rig.assert_ages();
    let mut seqs = rig.seqs();
    seqs.sort_unstable();
    seqs.dedup();
    let at = rig.on("aldis/kitchen/diag").pop().unwrap().0;
    let recorded = rig
        .board
        .acts
        .iter()
        .filter(|(when, act)| *when <= at && matches!(act, Act::Save(saved) if saved.seq > 1));
    let recorded = recorded.count() as u32;
    let arrived = seqs.iter().filter(|seq| **seq <= recorded).count() as u32;
    let dropped = rig.diag(|diag| diag.dropped.unwrap());
    assert_eq!(dropped.superseded, Some(recorded - arrived));
}

/// Others send one reading a second after an outage, and never catch up.
#[test]
fn a_backlog_drains_faster_than_it_arises() {
    let mut rig: Rig<512> = Rig::start(settings(), Config::default());
    rig.latency = 50;
    rig.begin_outage();
    rig.wait(2_400_000);
    let waiting = rig.device().backlog();
    assert!(waiting > 470);
    rig.end_outage();
    let start = rig.now;
    while rig.device().backlog() > 0 {
        rig.wait(10);
        assert!(rig.now < start + 60_000);
    }
    let rate = waiting as u64 * 1_000 / (rig.now - start);
    println!("{rate} readings a second with a round trip of 100 ms");
    assert!(rate >= 60, "{rate} readings a second");
    assert!(rig.seqs().is_sorted());
    rig.assert_ages();
}

/// Fallbacks that work once per boot only.
#[test]
fn every_outage_is_survived() {
    let mut rig = rig();
    for round in 0..10 {
        rig.wait(60_000);
        match round % 4 {
            0 => rig.begin_outage(),
            1 => rig.broker.hang_all(Hang::Both, rig.now),
            2 => rig.stalled = true,
            _ => rig.broker.restart(Keep::Nothing, rig.now),
        }
        rig.wait(45_000);
        rig.stalled = false;
        rig.broker.hang_all(Hang::Not, rig.now);
        rig.obstacle = None;
        rig.until_connected();
    }
    rig.wait(10_000);
    let mut seqs = rig.seqs();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, numbers(1..=rig.board.saved.seq - 1));
    rig.assert_ages();
    rig.command("output", "on");
    assert_eq!(rig.retained("aldis/kitchen/led"), "on");
}

#[test]
fn numbers_go_on_over_restarts() {
    let mut rig = rig();
    for boot in 1..=5 {
        assert_eq!(rig.board.saved.boot, boot);
        rig.wait(10_500);
        assert_eq!(rig.climates().last().unwrap().1.boot, boot);
        rig.boot();
    }
    assert_eq!(rig.seqs(), numbers(1..=15));
}

/// A broker that refuses a reading would be asked for ever.
#[test]
fn refused_readings_are_counted() {
    let config = Config {
        deny_publish: vec!["aldis/+/climate".into()],
        ..Config::default()
    };
    let mut rig: Rig = Rig::start(settings(), config);
    rig.wait(61_000);
    let full = rig.diag(|diag| diag.dropped.unwrap().full.unwrap());
    assert!(full >= 12, "{full}");
    assert_eq!(rig.device().backlog(), 0);
    assert!(
        rig.refused()
            .iter()
            .all(|topic| *topic == "aldis/kitchen/climate")
    );
    assert_eq!(rig.on("testincr").len(), 13);
}

/// The notice about a refusal must name the topic that was refused.
#[test]
fn refused_states_are_noticed_by_name() {
    let config = Config {
        deny_publish: vec!["aldis/+/led".into()],
        ..Config::default()
    };
    let mut rig: Rig = Rig::start(settings(), config);
    rig.wait(61_000);
    assert_eq!(rig.refused(), ["aldis/kitchen/led"]);
}

/// A broker that takes only small packets is told about once a connection, and
/// readings wait for one that takes them.
#[test]
fn too_small_a_broker_is_noticed_once() {
    let config = Config {
        maximum_packet_size: Some(72),
        ..Config::default()
    };
    let mut rig: Rig = Rig::start(settings(), config);
    rig.wait(61_000);
    assert_eq!(rig.climates(), []);
    let climate = |topic: &&&str| **topic == "aldis/kitchen/climate";
    assert_eq!(rig.refused().iter().filter(climate).count(), 1);
    assert!(!rig.on("testincr").is_empty());
    rig.broker.config_mut().maximum_packet_size = None;
    rig.cut();
    rig.until_connected();
    rig.wait(10);
    assert_eq!(rig.seqs(), numbers(1..=rig.board.saved.seq - 1));
}

/// What is never acknowledged must not fill the outbox, connection by connection.
#[test]
fn states_do_not_pile_up() {
    let mut rig = rig();
    rig.wait(10_500);
    rig.broker.withhold(PacketType::PubAck, 0, u32::MAX);
    for _ in 0..100 {
        rig.cut();
        rig.until_connected();
        rig.wait(1_000);
        assert!(rig.session().pending() <= 3 + 8 + 1);
    }
    rig.broker.withhold_nothing();
    rig.wait(30_000);
    assert_eq!(rig.session().pending(), 0);
    rig.assert_ages();
}

/// Losses are counted by their cause, where a person looks for it.
#[test]
fn diag_counts_each_cause() {
    let mut rig = rig();
    rig.wait(1_000);
    let counts = |rig: &mut Rig| {
        rig.wait(61_000);
        rig.diag(|diag| {
            let r = diag.reconnects.unwrap();
            [r.dns, r.tcp, r.refused, r.silent, r.taken_over, r.broker].map(Option::unwrap)
        })
    };
    assert_eq!(counts(&mut rig), [0, 0, 0, 0, 0, 0]);
    rig.obstacle = Some(Network::Dns);
    rig.cut();
    wait_for_losses(&mut rig, "Network(Dns)", 2);
    rig.obstacle = None;
    rig.until_connected();
    assert_eq!(counts(&mut rig), [2, 1, 0, 0, 0, 0]);
    rig.broker.config_mut().refuse = Some(0x97);
    rig.broker.kick("kitchen", 0x8b, rig.now);
    wait_for_losses(&mut rig, "Refused", 1);
    rig.broker.config_mut().refuse = None;
    rig.until_connected();
    assert_eq!(counts(&mut rig), [2, 1, 1, 0, 0, 1]);
    rig.broker.hang_all(Hang::Both, rig.now);
    wait_for_losses(&mut rig, "Silent", 1);
    rig.broker.hang_all(Hang::Not, rig.now);
    rig.until_connected();
    assert_eq!(counts(&mut rig), [2, 1, 1, 1, 0, 1]);
    rig.broker.kick("kitchen", 0x8e, rig.now);
    rig.settle();
    rig.until_connected();
    assert_eq!(counts(&mut rig), [2, 1, 1, 1, 1, 1]);
}

fn wait_for_losses(rig: &mut Rig, cause: &str, count: usize) {
    let notice = format!("Lost({cause}");
    for _ in 0..10_000 {
        rig.wait(10);
        let lost = |(_, act): &&(u64, Act)| matches!(act, Act::Notice(n) if n.starts_with(&notice));
        if rig.board.acts.iter().filter(lost).count() >= count {
            return;
        }
    }
    panic!(
        "no {cause}: {:?}",
        rig.board
            .acts
            .iter()
            .rev()
            .filter(|a| matches!(a.1, Act::Notice(_)))
            .take(9)
            .collect::<Vec<_>>()
    );
}

/// A reading that was delivered before an older one keeps its place, and another one
/// that was not has to go.
#[test]
fn what_is_done_makes_room_first() {
    // So patient that an answer is not yet overdue when the next reading is due.
    let settings = Settings {
        keep_alive_s: 60,
        timeouts: Timeouts {
            answer_ms: 30_000,
            ..Timeouts::default()
        },
        ..settings()
    };
    let mut rig: Rig<16> = Rig::start(settings, Config::default());
    rig.wait(12_000);
    rig.broker.withhold(PacketType::PubAck, 0, 1);
    // One that is not acknowledged, and one behind it that is.
    rig.wait(9_500);
    assert_eq!(rig.device().backlog(), 1);
    rig.begin_outage();
    while rig.device().backlog() < 16 {
        rig.wait(1_000);
        assert!(rig.now < 200_000, "there is never room for all");
    }
    // No more of them, however long it takes to connect.
    rig.board.sensor = Sensor::Silent;
    rig.end_outage();
    rig.wait(2_000);
    assert_eq!(rig.diag(|diag| diag.dropped.unwrap().superseded), Some(0));
    let mut seqs = rig.seqs();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, numbers(1..=20));
}

/// Behind a router that forgets quiet connections after half a minute, a device with
/// little to say would be lost each minute, for ever.
#[test]
fn a_path_that_forgets_quiet_connections_is_kept_awake() {
    let mut rig: Rig = Rig::start(
        Settings {
            keep_alive_s: 60,
            interval_ms: 600_000,
            ..settings()
        },
        Config::default(),
    );
    rig.idle_ms = Some(30_000);
    rig.wait(600_000);
    let losses = |rig: &Rig| {
        let lost =
            |act: &&(u64, Act)| matches!(&act.1, Act::Notice(text) if text.starts_with("Lost"));
        rig.board.acts.iter().filter(lost).count()
    };
    let before = losses(&rig);
    assert!((2..=8).contains(&before), "{before}");
    let told = |act: &(u64, Act)| matches!(&act.1, Act::Notice(text) if text.starts_with("Quiet"));
    assert!(rig.board.acts.iter().any(told));
    // A command reaches it at any moment.
    for minute in 0..50 {
        rig.wait(60_000 + minute);
        rig.command("aldis/kitchen/led/set", "toggle");
        rig.wait(1_000);
    }
    assert_eq!(losses(&rig), before);
    let lit = rig
        .board
        .acts
        .iter()
        .filter(|act| matches!(act.1, Act::Lamp(_)));
    assert_eq!(lit.count(), 50);
    // No lower bound would help a path that is well.
    rig.idle_ms = None;
    rig.wait(86_400_000 * 2);
    assert_eq!(losses(&rig), before);
}
