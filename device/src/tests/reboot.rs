//! A device that is told to restart does so once, whatever becomes of the message.

use aldis_mqtt::{Version, Versions};
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Config, Keep, Message};

use super::rig::{Act, Rig, settings};
use crate::Settings;

const RESTART: &str = "aldis/kitchen/restart";
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const NAMED: &str = r#"{"id":"7","command":"restart"}"#;
const OLD: &str = "perhaps given before the device was started";

/// A device whose board keeps readings, a minute after its start.
fn running(settings: Settings<'static>) -> Rig {
    let mut rig = Rig::off(settings, Config::default());
    rig.board.kept = Some(Vec::new());
    rig.boot();
    rig.until_connected();
    rig.wait(60_000);
    rig
}

fn with(version: Version) -> Settings<'static> {
    Settings {
        versions: Versions::Only(version),
        ..settings()
    }
}

/// Whether the board was told to restart since this was asked last.
fn is_told(rig: &mut Rig) -> bool {
    let acts = &mut rig.board.acts;
    let told = acts.iter().filter(|(_, act)| *act == Act::Restart).count();
    acts.retain(|(_, act)| *act != Act::Restart);
    assert!(told <= 1);
    told == 1
}

/// Lets time pass, and restarts the device when its board is told to. Says how often.
fn live(rig: &mut Rig, ms: u64) -> u32 {
    let end = rig.now + ms;
    let mut times = 0;
    while rig.now < end {
        // What is told is done at once, and then nothing more.
        rig.wait(100);
        if is_told(rig) {
            times += 1;
            rig.power_off();
            rig.wait(300);
            rig.boot();
        }
    }
    times
}

/// It does not restart, or its broker and who asked are not told; or it does it again.
#[test]
fn a_restart_is_told_and_done_once() {
    for version in [Version::V4, Version::V5] {
        for (payload, qos) in ["restart", NAMED]
            .into_iter()
            .flat_map(|payload| QOS.map(|qos| (payload, qos)))
        {
            let case = format!("{version:?} {payload} {qos:?}");
            let mut rig = running(with(version));
            let before = rig.log.len();
            rig.publish(RESTART, payload, qos);
            rig.wait(1_000);
            assert!(is_told(&mut rig), "{case}");
            let said: Vec<_> = rig.log[before..]
                .iter()
                .map(|p| (p.topic.as_str(), String::from_utf8_lossy(&p.payload)))
                .filter(|(topic, _)| topic.ends_with("answer") || topic.ends_with("status"))
                .collect();
            let mut expected = vec![("aldis/kitchen/status", "offline".into())];
            if payload == NAMED {
                let done = r#"{"id":"7","done":true}"#.into();
                expected.insert(0, ("aldis/kitchen/answer", done));
            }
            assert_eq!(said, expected, "{case}");
            assert!(rig.session().is_stopped(), "{case}");
            // Nothing of it is left at the broker.
            let session = rig.broker.session("kitchen").unwrap();
            assert_eq!((session.queued, session.in_flight), (0, 0), "{case}");
            rig.boot();
            assert_eq!(live(&mut rig, 600_000), 0, "{case}");
            assert_eq!(rig.retained("aldis/kitchen/status"), "online");
            assert_eq!(rig.board.saved.boot, 2);
            // And it obeys the next one.
            let payload = payload.replace('7', "8");
            rig.publish(RESTART, &payload, qos);
            assert_eq!(live(&mut rig, 60_000), 1, "{case}");
        }
    }
}

/// The contact breaks at any byte, in either direction: the message comes again, and restarts
/// the device again, or not at all.
#[test]
fn a_restart_is_done_once_over_cuts_at_every_byte() {
    for version in [Version::V4, Version::V5] {
        for (payload, qos) in ["restart", NAMED]
            .into_iter()
            .flat_map(|payload| [Qos::AtLeastOnce, Qos::ExactlyOnce].map(|qos| (payload, qos)))
        {
            for down in [false, true] {
                for bytes in 0..120 {
                    let case = format!("{version:?} {payload} {qos:?}, {bytes} bytes, {down}");
                    let mut rig = running(with(version));
                    match down {
                        true => rig.cut_down = Some(bytes),
                        false => rig.cut_up = Some(bytes),
                    }
                    rig.publish(RESTART, payload, qos);
                    let mut times = live(&mut rig, 20_000);
                    (rig.cut_up, rig.cut_down) = (None, None);
                    times += live(&mut rig, 60_000);
                    assert_eq!(times, 1, "{case}");
                    let session = rig.broker.session("kitchen").unwrap();
                    assert_eq!((session.queued, session.in_flight), (0, 0), "{case}");
                    assert_eq!(rig.retained("aldis/kitchen/status"), "online", "{case}");
                }
            }
        }
    }
}

/// A broker that has forgotten the acknowledgement sends the message to each start: the device
/// restarts in a circle.
#[test]
fn a_message_that_comes_to_each_start_restarts_none() {
    for (payload, qos) in ["restart", NAMED]
        .into_iter()
        .flat_map(|payload| [Qos::AtLeastOnce, Qos::ExactlyOnce].map(|qos| (payload, qos)))
    {
        let mut rig = running(settings());
        rig.publish(RESTART, payload, qos);
        assert_eq!(live(&mut rig, 10_000), 1);
        for _ in 0..5 {
            rig.power_off();
            rig.broker
                .publish(Message::new(RESTART, payload.as_bytes(), qos), rig.now);
            rig.news("answer");
            rig.boot();
            assert_eq!(live(&mut rig, 100_000), 0, "{payload} {qos:?}");
            let expected: &[_] = match payload {
                // It was done.
                NAMED => &[r#"{"id":"7","done":true}"#.to_owned()],
                _ => &[],
            };
            assert_eq!(rig.news("answer"), expected);
        }
    }
    // One that was never done is not done then, and answered so.
    let mut rig = running(settings());
    rig.power_off();
    rig.broker.publish(
        Message::new(RESTART, NAMED.as_bytes(), Qos::ExactlyOnce),
        rig.now,
    );
    rig.boot();
    assert_eq!(live(&mut rig, 100_000), 0);
    let refused = format!(r#"{{"id":"7","done":false,"reason":"{OLD}"}}"#);
    assert_eq!(rig.news("answer"), [refused]);
}

/// Contact is lost before the broker knows that a message without an id was heard: it comes again
/// after the restart, or the restart is forgotten. One with an id waits for nothing.
#[test]
fn a_restart_without_an_id_waits_for_the_broker() {
    for (payload, qos, forgets) in [
        ("restart", Qos::AtLeastOnce, false),
        ("restart", Qos::ExactlyOnce, false),
        ("restart", Qos::AtLeastOnce, true),
        ("restart", Qos::AtMostOnce, false),
        (NAMED, Qos::AtLeastOnce, false),
    ] {
        let case = format!("{payload} {qos:?} {forgets}");
        let mut rig = running(settings());
        // It hears, and is not heard.
        rig.stalled = true;
        rig.publish(RESTART, payload, qos);
        rig.wait(10);
        rig.stalled = false;
        rig.begin_outage();
        let waits = payload != NAMED && qos != Qos::AtMostOnce;
        let mut times = live(&mut rig, 120_000);
        assert_eq!(times, u32::from(!waits), "{case}");
        if forgets {
            rig.broker.restart(Keep::Nothing, rig.now);
        }
        rig.obstacle = None;
        times += live(&mut rig, 120_000);
        assert_eq!(times, 1, "{case}");
        assert_eq!(rig.retained("aldis/kitchen/status"), "online", "{case}");
        assert_eq!(live(&mut rig, 600_000), 0, "{case}");
    }
}

/// What a broker keeps for whoever comes, or what is no command, restarts the device.
#[test]
fn what_is_no_command_restarts_nothing() {
    let mut rig = Rig::off(settings(), Config::default());
    let mut kept = Message::new(RESTART, b"restart", Qos::AtLeastOnce);
    kept.retain = true;
    rig.broker.publish(kept, 0);
    rig.boot();
    assert_eq!(live(&mut rig, 60_000), 0);
    for payload in ["", "on", "RESTART", "restart\n", r#"{"command":"on"}"#, "1"] {
        rig.publish(RESTART, payload, Qos::ExactlyOnce);
        assert_eq!(live(&mut rig, 1_000), 0, "{payload}");
        assert_eq!(
            rig.ignored().last(),
            Some(&(RESTART, "not the word restart"))
        );
    }
    rig.publish(RESTART, r#"{"id":"9","command":"off"}"#, Qos::AtLeastOnce);
    assert_eq!(live(&mut rig, 1_000), 0);
    let refused = r#"{"id":"9","done":false,"reason":"not the word restart"}"#;
    assert_eq!(rig.news("answer"), [refused]);
    // Nor is it a command to the lamp.
    rig.publish("output", "restart", Qos::ExactlyOnce);
    assert_eq!(live(&mut rig, 1_000), 0);
}

/// Whoever wants the answer elsewhere, or asks several times at once, is not answered.
#[test]
fn everybody_is_answered_before_it() {
    let mut rig = running(with(Version::V5));
    for (id, topic) in [("1", "there"), ("2", "elsewhere"), ("3", "there")] {
        let payload = NAMED.replace('7', id);
        let mut message = Message::new(RESTART, payload.as_bytes(), Qos::AtLeastOnce);
        message.properties.response_topic = Some(topic.to_owned());
        rig.broker.publish(message, rig.now);
    }
    rig.publish(RESTART, "restart", Qos::AtLeastOnce);
    assert_eq!(live(&mut rig, 10_000), 1);
    let done = |id: &str| format!(r#"{{"id":"{id}","done":true}}"#);
    assert_eq!(rig.words("there"), [done("1"), done("3")]);
    assert_eq!(rig.words("elsewhere"), [done("2")]);
}

/// Restarts that somebody wants are taken for starts that did not last: the sensor is left alone.
#[test]
fn restarts_on_command_are_no_failures() {
    let mut rig: Rig = Rig::off(
        Settings {
            start_limit: Some(5),
            ..settings()
        },
        Config::default(),
    );
    rig.board.kept = Some(Vec::new());
    rig.boot();
    for n in 0..8 {
        rig.until_connected();
        rig.wait(5_000);
        rig.publish(
            RESTART,
            &NAMED.replace('7', &n.to_string()),
            Qos::AtLeastOnce,
        );
        assert_eq!(live(&mut rig, 2_000), 1);
        assert!(!rig.device().is_safe());
        assert_eq!(rig.board.saved.unstable, 1);
    }
}

/// What was delivered comes again after a restart that was no accident, or what was not is lost.
#[test]
fn readings_are_seen_to_before_a_restart() {
    let mut rig = running(settings());
    rig.publish(RESTART, "restart", Qos::AtLeastOnce);
    assert_eq!(live(&mut rig, 60_000), 1);
    let seqs = rig.seqs();
    let last = *seqs.last().unwrap();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    assert!(last > 20);
    assert!(
        rig.climates()
            .iter()
            .all(|(_, climate)| climate.taken.is_none())
    );
}

/// A device that is to stop restarts instead, or waits for ever.
#[test]
fn a_stop_comes_before_a_restart() {
    for (stalled, connected) in [(false, true), (true, true), (false, false)] {
        let mut rig = running(settings());
        rig.stalled = stalled;
        rig.publish(RESTART, "restart", Qos::AtLeastOnce);
        if !connected {
            rig.begin_outage();
        }
        rig.stop();
        rig.wait(2_300);
        assert!(rig.session().is_stopped(), "{stalled} {connected}");
        rig.wait(100_000);
        assert!(!is_told(&mut rig), "{stalled} {connected}");
    }
}
