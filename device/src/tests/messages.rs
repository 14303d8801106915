//! Messages for the person at the device.

use aldis_mqtt::{Version, Versions};
use aldis_protocol::{Lamp, MessageReport, MessageState, Scratch};
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Config, Keep, Message};

use super::rig::{Rig, rig, settings};
use crate::{Facts, Mail, Settings};
use MessageState::{Expired, Read, Received, Refused, Replaced, Shown};

const SET: &str = "aldis/kitchen/message/set";

/// What became of messages, since this was asked last: id, state, age.
fn states(rig: &mut Rig) -> Vec<(String, MessageState, u64)> {
    let reports = rig.news("message/state");
    let read = reports.iter().map(|text| {
        let mut scratch = Scratch::new();
        let report = MessageReport::decode(text.as_bytes(), &mut scratch).unwrap();
        (report.id.unwrap().to_owned(), report.state, report.age_ms)
    });
    read.collect()
}

fn news(rig: &mut Rig) -> Vec<(String, MessageState)> {
    let states = states(rig).into_iter();
    states.map(|(id, state, _)| (id, state)).collect()
}

fn own(states: &[(&str, MessageState)]) -> Vec<(String, MessageState)> {
    let states = states.iter();
    states
        .map(|(id, state)| ((*id).to_owned(), *state))
        .collect()
}

/// The page that is shown, and seen.
fn page(rig: &mut Rig) -> String {
    let page = rig.page();
    let now = rig.instant();
    rig.device().drawn(now);
    rig.wait(5);
    page
}

fn sent(id: &str, text: &str) -> String {
    format!(r#"{{"id":"{id}","from":"hall","text":"{text}"}}"#)
}

/// A sender that does not know whether anybody saw it.
#[test]
fn each_state_is_told_in_its_order() {
    for version in [Version::V4, Version::V5] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let settings = Settings {
                versions: Versions::Only(version),
                ..settings()
            };
            let mut rig: Rig = Rig::start(settings, Config::default());
            rig.until_connected();
            assert_eq!(page(&mut rig), "readings");
            rig.publish(SET, &sent("7", "dinner is ready"), qos);
            assert_eq!(states(&mut rig), [("7".to_owned(), Received, 0)]);
            rig.wait(2_000);
            assert_eq!(page(&mut rig), "hall: dinner is ready");
            assert_eq!(states(&mut rig), [("7".to_owned(), Shown, 0)]);
            rig.wait(10_000);
            rig.press(100);
            rig.wait(400);
            assert_eq!(states(&mut rig), [("7".to_owned(), Read, 0)]);
            assert_eq!(page(&mut rig), "readings");
            rig.wait(100_000);
            assert_eq!(states(&mut rig), []);
            // Without a display it is read without having been shown.
            rig.publish(SET, &sent("8", "again"), qos);
            rig.press(100);
            rig.wait(400);
            assert_eq!(news(&mut rig), own(&[("8", Received), ("8", Read)]));
        }
    }
}

/// Plain text from any tool cannot be answered for.
#[test]
fn a_message_without_an_id_gets_one() {
    let mut rig = rig();
    rig.until_connected();
    rig.publish(SET, "Labas, ąžuole!", Qos::AtLeastOnce);
    assert_eq!(news(&mut rig), own(&[("1-1", Received)]));
    assert_eq!(page(&mut rig), ": Labas, ąžuole!");
    rig.publish(SET, "another", Qos::AtMostOnce);
    rig.publish(SET, "\u{7}", Qos::ExactlyOnce);
    rig.wait(100);
    let expected = [("1-1", Shown), ("1-2", Received), ("1-3", Received)];
    assert_eq!(news(&mut rig), own(&expected));
}

/// A message that vanishes: nobody knows that it was not understood.
#[test]
fn what_is_not_understood_is_refused_with_a_reason() {
    let mut rig = rig();
    rig.until_connected();
    let long = "x".repeat(257);
    let wrong: [(&[u8], &str, &str); 7] = [
        (b"\xff\xfe", "1-1", "not UTF-8"),
        (b"", "1-2", "no text"),
        (b"{\"text\":\"x\"", "1-3", "malformed JSON"),
        (br#"{"id":"q","text":""}"#, "q", "no text"),
        (
            br#"{"id":"r","text":"x","priority":"now"}"#,
            "r",
            "priority",
        ),
        (br#"{"id":"s","text":"x","from":"a/b"}"#, "s", "from"),
        (long.as_bytes(), "1-4", "longer than 256 bytes"),
    ];
    for (payload, id, why) in wrong {
        rig.broker
            .publish(Message::new(SET, payload, Qos::ExactlyOnce), rig.now);
        rig.settle();
        let report = rig.news("message/state").pop().unwrap();
        assert!(
            report.starts_with(&format!(r#"{{"id":"{id}","state":"refused""#)),
            "{report}"
        );
        assert!(report.contains(why), "{report}");
    }
    assert_eq!(page(&mut rig), "readings");
    assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
}

/// A retained message comes again at each start.
#[test]
fn a_retained_message_is_ignored() {
    let mut rig = Rig::<64>::off(settings(), Config::default());
    let mut message = Message::new(SET, b"old news", Qos::AtLeastOnce);
    message.retain = true;
    rig.broker.publish(message, 0);
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    assert_eq!(page(&mut rig), "readings");
    assert_eq!(states(&mut rig), []);
}

/// 64 KiB for a device that has two and a half: lost, blocked, or cut off for ever.
#[test]
fn what_is_larger_than_the_device_does_no_harm() {
    for version in [Version::V4, Version::V5] {
        let settings = Settings {
            versions: Versions::Only(version),
            ..settings()
        };
        let mut rig: Rig = Rig::start(settings, Config::default());
        rig.until_connected();
        rig.publish(SET, &"x".repeat(65_536), Qos::ExactlyOnce);
        rig.publish(SET, &sent("1", "short"), Qos::ExactlyOnce);
        rig.wait(1_000);
        let expected = match version {
            // It is passed over and acknowledged.
            Version::V4 => own(&[("1-1", Refused), ("1", Received)]),
            // The broker knows what the device can take, and does not send it.
            Version::V5 => own(&[("1", Received)]),
        };
        assert_eq!(news(&mut rig), expected, "{version:?}");
        assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
        rig.wait(300_000);
        let lost = rig.board.acts.iter();
        let lost = lost.filter(|(_, act)| format!("{act:?}").contains("Lost"));
        assert_eq!(lost.count(), 0, "{version:?}");
        rig.wait(60_000);
        if version == Version::V4 {
            assert_eq!(rig.diag(|diag| diag.dropped.unwrap().too_large), Some(1));
        }
    }
}

/// A message that is shown twice because its sender was not sure.
#[test]
fn a_repeated_message_is_answered_and_not_shown_again() {
    let mut rig = rig();
    rig.until_connected();
    rig.publish(SET, &sent("7", "once"), Qos::AtLeastOnce);
    rig.publish(SET, &sent("7", "once"), Qos::AtLeastOnce);
    assert_eq!(news(&mut rig), own(&[("7", Received), ("7", Received)]));
    assert_eq!(page(&mut rig), "hall: once");
    rig.publish(SET, &sent("7", "once"), Qos::AtLeastOnce);
    assert_eq!(news(&mut rig), own(&[("7", Shown), ("7", Shown)]));
    rig.press(100);
    rig.wait(400);
    for _ in 0..3 {
        rig.publish(SET, &sent("7", "once"), Qos::AtLeastOnce);
        assert_eq!(news(&mut rig).last().unwrap(), &("7".to_owned(), Read));
        assert_eq!(page(&mut rig), "readings");
    }
    // After a restart as well.
    rig.boot();
    rig.until_connected();
    rig.publish(SET, &sent("7", "once"), Qos::AtLeastOnce);
    rig.wait(1_000);
    assert_eq!(news(&mut rig), own(&[("7", Read)]));
    assert_eq!(page(&mut rig), "readings");
}

/// News of an hour ago that call for somebody.
#[test]
fn what_is_of_no_interest_any_more_expires() {
    let mut rig = rig();
    rig.until_connected();
    let soon = r#"{"id":"1","text":"x","expires_s":60}"#;
    rig.publish(SET, soon, Qos::AtLeastOnce);
    assert_eq!(page(&mut rig), ": x");
    rig.wait(59_000);
    assert_eq!(news(&mut rig), own(&[("1", Received), ("1", Shown)]));
    rig.wait(2_000);
    assert_eq!(news(&mut rig), own(&[("1", Expired)]));
    assert_eq!(page(&mut rig), "readings");
    // On arrival; and the time at the broker counts.
    rig.publish(
        SET,
        r#"{"id":"2","text":"x","expires_s":0}"#,
        Qos::AtLeastOnce,
    );
    assert_eq!(news(&mut rig), own(&[("2", Expired)]));
    let mut message = Message::new(SET, br#"{"id":"3","text":"x"}"#, Qos::AtLeastOnce);
    message.properties.message_expiry_interval = Some(30);
    rig.broker.publish(message, rig.now);
    rig.wait(40_000);
    assert_eq!(news(&mut rig), own(&[("3", Received), ("3", Expired)]));
    // Read in time, it does not.
    rig.publish(SET, &soon.replace("\"1\"", "\"4\""), Qos::AtLeastOnce);
    rig.press(100);
    rig.wait(100_000);
    assert_eq!(news(&mut rig), own(&[("4", Received), ("4", Read)]));
    // Over a restart, the time that is known counts.
    rig.publish(SET, &soon.replace("\"1\"", "\"5\""), Qos::AtLeastOnce);
    rig.wait(10_000);
    rig.boot();
    rig.wait(61_000);
    assert_eq!(news(&mut rig).last().unwrap(), &("5".to_owned(), Expired));
}

/// The sixteenth message pushes out the first, and nobody knows.
#[test]
fn the_newest_sixteen_are_kept() {
    let mut rig = rig();
    rig.until_connected();
    for n in 0..20 {
        rig.publish(SET, &sent(&n.to_string(), "x"), Qos::ExactlyOnce);
    }
    rig.wait(1_000);
    let states = news(&mut rig);
    for n in 0..20 {
        let of: Vec<_> = states
            .iter()
            .filter(|(id, _)| *id == n.to_string())
            .collect();
        let expected = if n < 4 { Replaced } else { Received };
        assert_eq!(of.last().unwrap().1, expected, "{n}");
        assert_eq!(of[0].1, Received);
    }
    assert_eq!(rig.board.letters.len(), Mail::PLACES);
    // All sixteen are there after a restart, and read one after the other.
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    news(&mut rig);
    let unread = |rig: &mut Rig| {
        let now = rig.instant();
        rig.device().view(&Facts::default(), now).status.unread
    };
    assert_eq!(unread(&mut rig), 16);
    for n in 4..20 {
        rig.press(100);
        rig.wait(400);
        assert_eq!(news(&mut rig), own(&[(&n.to_string(), Read)]));
    }
    assert_eq!(unread(&mut rig), 0);
    // What is told is not told again at each start.
    rig.boot();
    rig.until_connected();
    rig.wait(10_000);
    assert_eq!(news(&mut rig), []);
}

/// A thousand messages at once: one that vanishes without a word.
#[test]
fn a_flood_leaves_none_without_a_state() {
    for version in [Version::V4, Version::V5] {
        for latency in [0, 40, 400] {
            let settings = Settings {
                versions: Versions::Only(version),
                ..settings()
            };
            let mut rig: Rig = Rig::start(settings, Config::default());
            rig.until_connected();
            rig.latency = latency;
            for n in 0..1_000 {
                let message =
                    Message::new(SET, sent(&n.to_string(), "x").as_bytes(), Qos::ExactlyOnce);
                rig.broker.publish(message, rig.now);
            }
            let mut known = vec![None; 1_000];
            let mut waited = 0;
            while known.iter().any(Option::is_none) {
                rig.wait(1_000);
                for (id, state) in news(&mut rig) {
                    known[id.parse::<usize>().unwrap()] = Some(state);
                }
                waited += 1;
                assert!(waited < 1_200, "{version:?} {latency}");
            }
            rig.wait(10_000);
            for (id, state) in news(&mut rig) {
                known[id.parse::<usize>().unwrap()] = Some(state);
            }
            let replaced = known.iter().filter(|state| **state == Some(Replaced));
            assert_eq!(
                replaced.count(),
                1_000 - Mail::PLACES,
                "{version:?} {latency}"
            );
            assert!(known[984..].iter().all(|state| *state == Some(Received)));
            let lost = rig.diag(|diag| diag.dropped.unwrap().full);
            assert_eq!(lost, Some(0));
            // Readings and lamp went on.
            rig.command("output", "on");
            rig.wait(3_000);
            assert_eq!(rig.device().lamp(), Lamp::On);
        }
    }
}

/// A state that was under way when the connection broke.
#[test]
fn states_survive_outages_with_their_age() {
    for sessions in [Keep::Everything, Keep::Nothing] {
        let mut rig = rig();
        rig.until_connected();
        rig.publish(SET, &sent("7", "x"), Qos::ExactlyOnce);
        assert_eq!(news(&mut rig), own(&[("7", Received)]));
        rig.begin_outage();
        rig.wait(1_000);
        assert_eq!(page(&mut rig), "hall: x");
        rig.press(100);
        rig.wait(60_000);
        rig.broker.restart(sessions, rig.now);
        rig.end_outage();
        rig.wait(1_000);
        let states = states(&mut rig);
        assert_eq!(states.len(), 2, "{states:?}");
        assert_eq!(states[0].1, Shown);
        assert_eq!(states[1].1, Read);
        assert!((60_000..130_000).contains(&states[1].2), "{states:?}");
        assert!(states[0].2 > states[1].2);
    }
}

/// The lamp calls until the message is read, and then is as it was.
#[test]
fn the_lamp_calls_for_a_person() {
    for before in [Lamp::Off, Lamp::On] {
        let mut rig = rig();
        rig.until_connected();
        rig.command("output", before.as_str());
        let lit = rig.lights().len();
        rig.publish(SET, &sent("7", "x"), Qos::ExactlyOnce);
        rig.wait(9_900);
        // A hundred milliseconds each one and a half seconds.
        let lights = rig.lights().split_off(lit);
        assert_eq!(lights.len(), 14, "{lights:?}");
        assert!(lights[0] != before && lights[1] == before);
        assert_eq!(rig.retained("aldis/kitchen/led"), before.as_str());
        // A command while it calls is done, and seen afterwards.
        rig.command("output", "off");
        rig.command("output", "on");
        assert_eq!(rig.retained("aldis/kitchen/led"), "on");
        rig.press(100);
        rig.wait(400);
        let lit = rig.lights().len();
        assert_eq!(rig.lights().last(), Some(&Lamp::On));
        rig.wait(60_000);
        assert_eq!(rig.lights().len(), lit);
    }
}

/// A broker that sends everything at once, as mosquitto 2.0 does: what it has to say of the
/// states is behind messages for which there is no room.
#[test]
fn a_broker_that_ignores_the_receive_maximum_makes_nobody_deaf() {
    for version in [Version::V4, Version::V5] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for latency in [0, 5] {
                let settings = Settings {
                    versions: Versions::Only(version),
                    ..settings()
                };
                let config = Config {
                    heeds_receive_maximum: false,
                    ..Config::default()
                };
                let mut rig: Rig = Rig::start(settings, config);
                rig.latency = latency;
                rig.until_connected();
                rig.wait(1_000);
                let count = 120;
                for n in 0..count {
                    let message = Message::new(SET, sent(&n.to_string(), "x").as_bytes(), qos);
                    rig.broker.publish(message, rig.now);
                }
                rig.wait(20_000);
                let states = news(&mut rig);
                for n in 0..count {
                    let of = |(id, state): &&(String, MessageState)| {
                        *id == n.to_string() && (*state == Replaced || n >= count - 16)
                    };
                    let what = format!("{version:?} {qos:?} {latency}: {n}");
                    assert!(states.iter().any(|state| of(&state)), "{what}");
                }
                assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
                // It still obeys.
                rig.publish("aldis/kitchen/led/set", "on", qos);
                rig.wait(1_000);
                assert_eq!(rig.device().lamp(), Lamp::On);
                rig.wait(61_000);
                assert_eq!(rig.diag(|diag| diag.dropped.unwrap().full), Some(0));
            }
        }
    }
}

/// What the broker sends again because its acknowledgement waited is handled twice, and what
/// is to be told of it has no room.
#[test]
fn a_flood_over_lost_connections_leaves_none_without_a_state() {
    for version in [Version::V4, Version::V5] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for (latency, after) in [(5, 15), (5, 25), (5, 60), (40, 120), (40, 320)] {
                for cuts in 1..4 {
                    let settings = Settings {
                        versions: Versions::Only(version),
                        ..settings()
                    };
                    let mut rig: Rig = Rig::start(settings, Config::default());
                    rig.until_connected();
                    rig.latency = latency;
                    let count = 120;
                    for n in 0..count {
                        let message = Message::new(SET, sent(&n.to_string(), "x").as_bytes(), qos);
                        rig.broker.publish(message, rig.now);
                    }
                    rig.wait(after);
                    for _ in 0..cuts {
                        rig.cut();
                        rig.until_connected();
                        rig.wait(after);
                    }
                    rig.wait(20_000);
                    let told = news(&mut rig);
                    for n in 0..count - 16 {
                        let last = told.iter().rfind(|(id, _)| *id == n.to_string());
                        let what = format!("{version:?} {qos:?} {latency} {after} {cuts}: {n}");
                        assert_eq!(last.map(|last| last.1), Some(Replaced), "{what}");
                    }
                    rig.wait(61_000);
                    assert_eq!(rig.diag(|diag| diag.dropped.unwrap().full), Some(0));
                }
            }
        }
    }
}

/// A message is sent twice, contact breaks when the device has the first and could not tell yet
/// what became of it, and the broker sends both again.
#[test]
fn what_looks_the_same_is_acknowledged_too() {
    for version in [Version::V4, Version::V5] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for cut in 1..100 {
                let settings = Settings {
                    versions: Versions::Only(version),
                    ..settings()
                };
                let mut rig: Rig = Rig::start(settings, Config::default());
                // It keeps no notes, and acknowledges what it has told.
                rig.board.worn = true;
                rig.until_connected();
                rig.latency = 20;
                let refused = r#"{"id":"same","text":""}"#;
                rig.publish(SET, refused, qos);
                rig.wait(10);
                rig.publish(SET, refused, qos);
                rig.wait(cut);
                rig.cut();
                rig.until_connected();
                rig.wait(2_000);
                let what = format!("{version:?} {qos:?} {cut}");
                assert_eq!(
                    rig.broker.session("kitchen").unwrap().in_flight,
                    0,
                    "{what}"
                );
                let states = news(&mut rig);
                assert!(states.len() >= 2, "{what}: {states:?}");
            }
        }
    }
}

/// What a sender knows last, of each message.
fn known(rig: &mut Rig) -> std::collections::BTreeMap<String, MessageState> {
    news(rig).into_iter().collect()
}

/// Power goes after a message was acknowledged, and before anybody was told.
#[test]
fn what_became_of_a_message_outlives_a_restart() {
    let mut rig = rig();
    rig.until_connected();
    for n in 0..16 {
        rig.publish(SET, &sent(&format!("old{n}"), "x"), Qos::ExactlyOnce);
    }
    rig.wait(1_000);
    news(&mut rig);
    let refused = r#"{"id":"r","text":""}"#;
    let expired = r#"{"id":"e","text":"x","expires_s":0}"#;
    rig.latency = 300;
    for payload in [refused, expired, "\u{7f}\u{7f}", "", &sent("new", "x")] {
        rig.publish(SET, payload, Qos::AtLeastOnce);
    }
    while rig.broker.session("kitchen").unwrap().in_flight > 0 {
        rig.wait(10);
    }
    rig.power_off();
    rig.latency = 0;
    let before = known(&mut rig);
    assert!(rig.board.notes.len() >= 4, "{:?}", rig.board.notes);
    rig.wait(60_000);
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    let after = states(&mut rig);
    for (id, state) in [
        ("r", Refused),
        ("e", Expired),
        ("1-2", Refused),
        ("old0", Replaced),
    ] {
        let told = after.iter().find(|(of, ..)| of == id);
        let told = told.unwrap_or_else(|| panic!("{id}: {before:?} {after:?}"));
        assert_eq!((told.1, told.2), (state, 0), "{id}");
    }
    let reasons: Vec<_> = rig
        .log
        .iter()
        .filter_map(|accepted| {
            let text = String::from_utf8_lossy(&accepted.payload).into_owned();
            text.contains("no text").then_some(text)
        })
        .collect();
    assert!(
        reasons.iter().any(|text| text.contains("\"r\"")),
        "{reasons:?}"
    );
    assert!(rig.board.notes.is_empty());
    // Once.
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    assert!(!news(&mut rig).iter().any(|(_, state)| state.is_final()));
}

/// A board without room for notes, or more of them than its flash bears: a message that is
/// acknowledged, and what became of it is lost with the power.
#[test]
fn what_is_not_kept_is_acknowledged_when_it_was_told() {
    for worn in [true, false] {
        let mut rig = rig();
        rig.board.worn = worn;
        rig.until_connected();
        rig.latency = 20;
        let first = if worn { 0 } else { 16 };
        for n in 0..60 {
            rig.publish(
                SET,
                &format!(r#"{{"id":"{n}","text":""}}"#),
                Qos::AtLeastOnce,
            );
        }
        let mut told = 0;
        for _ in 0..20_000 {
            rig.wait(1);
            told += news(&mut rig).len();
            let held = rig.broker.session("kitchen").unwrap().in_flight;
            let queued = rig.broker.session("kitchen").unwrap().queued;
            let acknowledged = 60 - held - queued;
            assert!(acknowledged <= told + first, "{worn} {acknowledged} {told}");
        }
        assert_eq!((told, rig.board.notes.len()), (60, 0));
        // In the long run, one in two minutes is kept.
        rig.wait(600_000);
        rig.begin_outage();
        rig.end_outage();
        for n in 0..10 {
            rig.publish(
                SET,
                &format!(r#"{{"id":"{n}","text":""}}"#),
                Qos::AtLeastOnce,
            );
        }
        let most = if worn { 0 } else { 6 };
        assert!(rig.board.notes.len() <= most, "{:?}", rig.board.notes);
        rig.wait(1_000);
        assert_eq!(news(&mut rig).len(), 10);
        assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
    }
}

/// Power goes at any moment while a message takes the place of another one: one of them is
/// lost without a word, or told to be replaced and there.
#[test]
fn power_goes_while_a_message_is_replaced() {
    for power in 0..6 {
        let mut rig = rig();
        rig.until_connected();
        for n in 0..16 {
            rig.publish(SET, &sent(&n.to_string(), "x"), Qos::ExactlyOnce);
        }
        rig.wait(1_000);
        news(&mut rig);
        // What it says after the power has gone does not come through.
        rig.board.power = Some(power);
        rig.latency = 50;
        rig.publish(SET, &sent("new", "x"), Qos::AtLeastOnce);
        rig.wait(60);
        rig.power_off();
        rig.board.power = None;
        rig.boot();
        rig.until_connected();
        rig.wait(1_000);
        let known = known(&mut rig);
        let ids: Vec<_> = rig
            .board
            .letters
            .values()
            .map(|(of, _)| of.id.to_string())
            .collect();
        assert_eq!(ids.len(), 16, "{power}");
        for (id, state) in &known {
            assert_eq!(
                ids.contains(id),
                *state == Received,
                "{power} {id} {state:?}"
            );
        }
        // The broker sends again what was not acknowledged.
        assert!(ids.contains(&"new".to_owned()), "{power}");
        assert_eq!(known.get("0"), Some(&Replaced), "{power}");
        assert!(rig.board.notes.is_empty(), "{power}");
    }
}

/// A message that was sent to a device that is switched off is lost, and nobody says so.
#[test]
fn messages_wait_for_a_device_that_is_switched_off() {
    for version in [Version::V4, Version::V5] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for count in [1, 100] {
                let settings = Settings {
                    versions: Versions::Only(version),
                    ..settings()
                };
                let mut rig: Rig = Rig::start(settings, Config::default());
                rig.latency = 10;
                rig.until_connected();
                rig.wait(1_000);
                rig.power_off();
                rig.wait(600_000);
                for n in 0..count {
                    let message = Message::new(SET, sent(&n.to_string(), "x").as_bytes(), qos);
                    rig.broker.publish(message, rig.now);
                    // Among them are commands, which nobody wants to be obeyed now.
                    for topic in ["output", "aldis/kitchen/led/set", "aldis/kitchen/morse/set"] {
                        let on = format!(r#"{{"id":"c{n}","command":"on","text":"E"}}"#);
                        rig.broker
                            .publish(Message::new(topic, on.as_bytes(), qos), rig.now);
                    }
                }
                rig.boot();
                rig.until_connected();
                rig.wait(30_000);
                let known = known(&mut rig);
                for n in 0..count {
                    let expected = if n < count - 16 { Replaced } else { Received };
                    assert_eq!(
                        known.get(&n.to_string()),
                        Some(&expected),
                        "{version:?} {n}"
                    );
                }
                assert_eq!(rig.device().lamp(), Lamp::Off);
                let answers = rig.news("answer");
                let old =
                    |text: &String| text.contains("perhaps given before the device was started");
                assert!(answers.iter().all(old), "{answers:?}");
                assert_eq!(answers.len(), 3 * count as usize, "{version:?}");
                // What is new is obeyed.
                rig.publish("output", "on", qos);
                rig.wait(100);
                assert_eq!(rig.device().lamp(), Lamp::On);
            }
        }
    }
}

/// An id of the device's own is that of a message that is kept, and the new one is taken for
/// it.
#[test]
fn own_ids_are_given_once() {
    let mut rig = rig();
    rig.until_connected();
    rig.publish(SET, &sent("1-1", "a"), Qos::AtLeastOnce);
    rig.publish(SET, "b", Qos::AtLeastOnce);
    assert_eq!(news(&mut rig), own(&[("1-1", Received), ("1-2", Received)]));
    // The store has lost everything but the messages.
    rig.board.saved = crate::Saved::default();
    rig.boot();
    rig.until_connected();
    news(&mut rig);
    rig.publish(SET, "c", Qos::AtLeastOnce);
    assert_eq!(news(&mut rig), own(&[("1-3", Received)]));
    assert_eq!(rig.board.letters.len(), 3);
}

/// What nobody waits for takes the room of what was acknowledged: that vanishes without a
/// word.
#[test]
fn a_flood_at_qos_0_costs_no_other_message_its_state() {
    for worn in [false, true] {
        let mut rig = rig();
        rig.board.worn = worn;
        rig.until_connected();
        for n in 0..16 {
            rig.publish(SET, &sent(&n.to_string(), "x"), Qos::ExactlyOnce);
        }
        rig.latency = 200;
        for n in 0..500 {
            let flood = Message::new(SET, b"x", Qos::AtMostOnce);
            rig.broker.publish(flood, rig.now);
            if n == 250 {
                let message = sent("in between", "x");
                let message = Message::new(SET, message.as_bytes(), Qos::AtLeastOnce);
                rig.broker.publish(message, rig.now);
            }
            rig.wait(1);
        }
        rig.wait(70_000);
        let known = known(&mut rig);
        let here: Vec<_> = rig.board.letters.values().collect();
        for id in (0..16)
            .map(|n| n.to_string())
            .chain(["in between".to_owned()])
        {
            let is_here = here.iter().any(|(letter, _)| *letter.id == *id);
            let expected = if is_here { Received } else { Replaced };
            assert_eq!(known.get(&id), Some(&expected), "{worn} {id}");
        }
        let ignored = rig.ignored();
        let dropped = ignored.iter().filter(|(_, why)| *why == "too much at once");
        let dropped = u32::try_from(dropped.count()).unwrap();
        assert!((100..500).contains(&dropped), "{worn} {dropped}");
        assert_eq!(rig.diag(|diag| diag.dropped.unwrap().full), Some(dropped));
        assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
        assert!(rig.board.notes.is_empty());
    }
}
