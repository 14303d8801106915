//! Measuring, and what is published of it.

use aldis_mqtt::{Network, Version, Versions};
use aldis_protocol::{Climate, Reading, SensorState};
use aldis_world::broker::Config;
use aldis_world::broker::codec::Qos;

use super::rig::{Act, Rig, Sensor, rig, settings};
use crate::Settings;

fn measurements(rig: &Rig) -> Vec<u64> {
    let acts = rig.board.acts.iter();
    acts.filter(|(_, act)| *act == Act::Measure)
        .map(|(at, _)| *at)
        .collect()
}

/// A DHT22 that is asked more often than every two seconds answers with old
/// values, and one that is asked in its first second with none.
#[test]
fn measures_every_two_seconds() {
    let mut rig = rig();
    rig.wait(60_000);
    let beats: Vec<u64> = (0..30).map(|beat| 1_000 + beat * 2_000).collect();
    assert_eq!(measurements(&rig), beats);
}

/// Programs of before parse this line.
#[test]
fn the_readout_is_as_it_always_was() {
    let mut rig = rig();
    rig.board.sensor = Sensor::Fixed(Reading { t: 241, h: 265 });
    rig.wait(60_000);
    let readouts = rig.on("testincr");
    assert_eq!(readouts.len(), 13);
    assert!(readouts.iter().all(|(_, line)| line == "t=24.1C, h=26.5%."));
    assert!(readouts.is_sorted_by(|a, b| a.0 < b.0));
    let plain = |p: &&aldis_world::broker::Accepted| p.topic == "testincr";
    assert!(
        rig.log
            .iter()
            .filter(plain)
            .all(|p| p.qos == Qos::AtMostOnce && !p.retain)
    );
}

/// A recorder takes the wait of a reading in the broker for none, or the wait for its
/// acknowledgement for the broker's.
#[test]
fn a_reading_says_how_long_it_may_wait() {
    for version in [Version::V4, Version::V5] {
        let mut rig: Rig = Rig::off(
            Settings {
                versions: Versions::Only(version),
                ..settings()
            },
            Config::default(),
        );
        rig.boot();
        rig.wait(30_000);
        // One is under way when the contact breaks, and sent anew.
        rig.cut_down = Some(0);
        rig.wait(30_000);
        rig.cut_down = None;
        rig.begin_outage();
        rig.wait(3_000_000);
        rig.end_outage();
        rig.wait(60_000);
        rig.assert_ages();
        let of_readings = rig.log.iter().filter(|p| p.topic.ends_with("/climate"));
        let left: Vec<_> = of_readings
            .map(|p| p.properties.message_expiry_interval)
            .collect();
        let expected = match version {
            Version::V4 => None,
            Version::V5 => Some(Climate::EXPIRY_S),
        };
        assert!(left.len() > 80, "{}", left.len());
        assert!(left.iter().all(|left| *left == expected), "{left:?}");
        let dropped = rig.diag(|diag| diag.dropped.unwrap().expired);
        assert_eq!(dropped, Some(0));
    }
}

/// The longest topics and numbers: a reading does not fit beside what else is to be told.
#[test]
fn the_longest_readings_find_room() {
    const PREFIX: &str = "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp";
    const ID: &str = "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii";
    let mut rig: Rig = Rig::off(Settings::new(PREFIX, ID).unwrap(), Config::default());
    rig.board.kept = Some(Vec::new());
    rig.board.saved.boot = u32::MAX - 3;
    rig.board.saved.life = u16::MAX;
    rig.board.saved.seq = u32::MAX - 300;
    rig.board.sensor = Sensor::Fixed(Reading { t: -400, h: 1_000 });
    rig.boot();
    rig.wait(20_000);
    rig.begin_outage();
    rig.wait(200_000);
    rig.boot();
    rig.end_outage();
    rig.wait(1_000);
    let topic = format!("{PREFIX}/{ID}/climate");
    let seqs = rig.on(&topic).into_iter().map(|(_, text)| {
        let climate = Climate::decode(text.as_bytes()).unwrap();
        climate.seq
    });
    let seqs: std::collections::BTreeSet<u32> = seqs.collect();
    let first = u32::MAX - 300;
    let last = *seqs.last().unwrap();
    assert!(last > first + 40);
    assert_eq!(seqs.len() as u32, last - first + 1);
}

/// Recorders parse this.
#[test]
fn climate_is_the_designs() {
    let mut rig = rig();
    rig.board.sensor = Sensor::Fixed(Reading { t: 241, h: 265 });
    rig.wait(10_000);
    let life = rig.board.saved.life.to_string();
    assert_eq!(
        rig.on("aldis/kitchen/climate"),
        [
            (
                1_000,
                r#"{"seq":1,"boot":1,"age_ms":0,"t":24.1,"h":26.5,"life":X}"#.replace('X', &life)
            ),
            (
                5_000,
                r#"{"seq":2,"boot":1,"age_ms":0,"t":24.1,"h":26.5,"life":X}"#.replace('X', &life)
            ),
            (
                10_000,
                r#"{"seq":3,"boot":1,"age_ms":1000,"t":24.1,"h":26.5,"life":X}"#
                    .replace('X', &life)
            ),
        ]
    );
    rig.climates();
}

/// An interval that drifts, or that is taken for another unit.
#[test]
fn publishes_every_interval() {
    for (interval_ms, expected) in [(5_000, 720), (60_000, 60), (1_000, 1_800), (0, 1_800)] {
        let settings = Settings {
            interval_ms,
            ..settings()
        };
        let mut rig: Rig = Rig::start(settings, Config::default());
        rig.wait(3_600_000);
        let climates = rig.climates();
        assert!(
            climates.len().abs_diff(expected) <= 1,
            "{} of {expected} at {interval_ms} ms",
            climates.len()
        );
        assert_eq!(rig.on("testincr").len(), climates.len());
        rig.assert_ages();
    }
}

/// A failed measurement would be published as 99.0 / 88.0, as other firmwares do.
#[test]
fn a_failed_measurement_is_never_published() {
    for sensor in [Sensor::Damaged, Sensor::Silent, Sensor::Dead] {
        let mut rig = rig();
        rig.wait(30_500);
        let (before, readouts) = (rig.climates(), rig.on("testincr").len());
        rig.board.sensor = sensor;
        rig.wait(600_000);
        let after = rig.climates();
        assert!(after.len() <= before.len() + 1, "{sensor:?}");
        assert!(rig.on("testincr").len() <= readouts + 1);
        rig.assert_ages();
        rig.board.sensor = Sensor::Good;
        rig.wait(60_000);
        assert_eq!(rig.climates().len(), after.len() + 12);
        let seqs: Vec<u32> = (1..=rig.climates().len() as u32).collect();
        assert_eq!(rig.seqs(), seqs, "a failure must not use up a number");
    }
}

/// The readout has no age: a value that was good a minute ago would be taken
/// for the present one.
#[test]
fn a_value_is_not_published_when_the_sensor_is_gone() {
    let settings = Settings {
        interval_ms: 60_000,
        ..settings()
    };
    let mut rig: Rig = Rig::start(settings, Config::default());
    rig.wait(20_000);
    rig.board.sensor = Sensor::Silent;
    rig.wait(300_000);
    assert_eq!(rig.on("testincr").len(), 1);
    assert_eq!(rig.seqs(), [1]);
}

#[test]
fn sensor_states_are_told_and_kept() {
    let mut rig = rig();
    rig.wait(20_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "ok");
    rig.board.sensor = Sensor::Silent;
    rig.wait(4_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "ok", "two may fail");
    rig.wait(2_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "missing");
    rig.board.sensor = Sensor::Good;
    rig.wait(2_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "ok");
    rig.board.sensor = Sensor::Damaged;
    rig.wait(10_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "stale");
    rig.board.sensor = Sensor::Silent;
    rig.wait(10_000);
    assert_eq!(
        rig.retained("aldis/kitchen/sensor"),
        "missing",
        "a sensor that was damaged and then detached"
    );
    rig.board.sensor = Sensor::Damaged;
    rig.wait(2_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "stale");
    assert_eq!(
        rig.words("aldis/kitchen/sensor"),
        ["ok", "missing", "ok", "stale", "missing", "stale"]
    );
    let kept = rig.log.iter().filter(|p| p.topic.ends_with("sensor"));
    for publication in kept {
        assert!(publication.retain && publication.qos == Qos::AtLeastOnce);
    }
}

/// Loose contacts fail now and then: that is not worth a word.
#[test]
fn single_failures_change_no_state() {
    let mut rig = rig();
    rig.wait(2_000);
    for _ in 0..100 {
        rig.board.sensor = Sensor::Damaged;
        rig.wait(2_000);
        rig.board.sensor = Sensor::Silent;
        rig.wait(2_000);
        rig.board.sensor = Sensor::Good;
        rig.wait(2_000);
    }
    assert_eq!(rig.words("aldis/kitchen/sensor"), ["ok"]);
}

/// Detaching the sensor would reset the chip, as it does with other firmwares.
#[test]
fn without_a_sensor_everything_else_works() {
    for sensor in [Sensor::Silent, Sensor::Dead] {
        let mut rig: Rig = Rig::off(settings(), Config::default());
        rig.board.sensor = sensor;
        rig.boot();
        rig.wait(600_000);
        assert_eq!(rig.words("aldis/kitchen/sensor"), ["missing"]);
        assert_eq!(rig.climates(), []);
        assert_eq!(rig.on("testincr"), []);
        rig.command("output", "on");
        assert_eq!(rig.retained("aldis/kitchen/led"), "on");
        assert_eq!(rig.retained("aldis/kitchen/status"), "online");
        assert_eq!(rig.on("aldis/kitchen/diag").len(), 11);
        let measured = measurements(&rig).len();
        assert!((299..=301).contains(&measured), "{measured} measurements");
    }
}

/// An answer that comes too late belongs to a measurement that was given up.
#[test]
fn late_answers_are_not_taken() {
    let mut rig = rig();
    rig.board.sensor = Sensor::Late(99);
    rig.wait(10_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "ok");
    rig.assert_ages();
    rig.board.sensor = Sensor::Late(101);
    rig.wait(10_000);
    assert_eq!(rig.retained("aldis/kitchen/sensor"), "missing");
}

/// The state is told again to a broker that forgot it, and a change during an
/// outage after it.
#[test]
fn the_sensor_state_is_told_after_an_outage() {
    let mut rig = rig();
    rig.wait(10_000);
    rig.begin_outage();
    rig.board.sensor = Sensor::Silent;
    rig.wait(60_000);
    rig.end_outage();
    rig.wait(10);
    assert_eq!(rig.words("aldis/kitchen/sensor"), ["ok", "missing"]);
    let told = rig.board.acts.iter().rev().find_map(|(_, act)| match act {
        Act::Sensor(state) => Some(*state),
        _ => None,
    });
    assert_eq!(told, Some(SensorState::Missing));
}

/// After a pause of the whole machine the beats that were missed are left out.
#[test]
fn jumps_of_the_clock_do_no_harm() {
    let mut rig = rig();
    rig.wait(10_000);
    for ms in [1_999, 2_001, 3_600_000, 40 * 86_400_000, 60 * 86_400_000] {
        let before = measurements(&rig).len();
        rig.sleep(ms);
        rig.wait(1);
        assert!(measurements(&rig).len() <= before + 2, "after {ms} ms");
        rig.until_connected();
        rig.wait(30_000);
        assert!(measurements(&rig).len() >= before + 15);
    }
    rig.assert_ages();
    assert!(rig.seqs().is_sorted());
    assert_eq!(rig.retained("aldis/kitchen/status"), "online");
}

#[test]
fn topics_are_configurable() {
    let settings = Settings {
        topics: aldis_protocol::Topics::new("home/lab", "k1").unwrap(),
        readout_topic: None,
        command_topic: None,
        ..settings()
    };
    let mut rig: Rig = Rig::start(settings, Config::default());
    rig.wait(10_000);
    rig.command("output", "on");
    assert_eq!(rig.device().lamp(), aldis_protocol::Lamp::Off);
    rig.command("home/lab/k1/led/set", "on");
    assert_eq!(rig.retained("home/lab/k1/led"), "on");
    assert_eq!(rig.retained("home/lab/k1/status"), "online");
    assert!(rig.log.iter().all(|p| p.topic.starts_with("home/lab/k1/")));
    let subscriptions = rig.broker.session("k1").unwrap().subscriptions.len();
    assert_eq!(
        subscriptions, 5,
        "lamp, messages, Morse, restart, its start"
    );

    let settings = Settings {
        readout_topic: Some("a/b"),
        command_topic: Some("c/d"),
        ..settings
    };
    let mut rig: Rig = Rig::start(settings, Config::default());
    rig.wait(10_000);
    assert_eq!(rig.on("a/b").len(), 3);
    rig.command("c/d", "on");
    assert_eq!(rig.retained("home/lab/k1/led"), "on");
}

/// The memory of a device is sized once for every configuration.
#[test]
fn the_longest_names_have_room() {
    let prefix: &str = Box::leak("p".repeat(64).into_boxed_str());
    let id: &str = Box::leak("i".repeat(64).into_boxed_str());
    let long: &str = Box::leak("t".repeat(141).into_boxed_str());
    let command: &str = Box::leak("c".repeat(141).into_boxed_str());
    let settings = Settings {
        readout_topic: Some(long),
        command_topic: Some(command),
        confirm: true,
        username: Some(id),
        password: Some(id.as_bytes()),
        ..Settings::new(prefix, id).unwrap()
    };
    let mut rig: Rig = Rig::off(settings, Config::default());
    rig.latency = 500;
    rig.board.vitals = crate::Vitals {
        reset: Some(aldis_protocol::ResetReason::Watchdog),
        rssi_dbm: Some(-100),
        free: Some(u32::MAX),
        free_min: Some(u32::MAX),
        wifi_losses: Some(u32::MAX),
        dhcp_losses: Some(u32::MAX),
    };
    rig.obstacle = Some(Network::Dns);
    rig.boot();
    rig.wait(600_000);
    rig.end_outage();
    rig.wait(60_000);
    let topic = |what: &str| format!("{prefix}/{id}/{what}");
    assert_eq!(rig.retained(&topic("status")), "online");
    assert_eq!(rig.retained(&topic("sensor")), "ok");
    rig.command(command, "on");
    rig.wait(2_000);
    assert_eq!(rig.retained(&topic("led")), "on");
    assert!(!rig.on(&topic("diag")).is_empty());
    assert!(rig.on(&topic("climate")).len() > 12);
    assert_eq!(rig.refused(), Vec::<&str>::new());
    assert!(rig.on(long).len() >= 10);
}
