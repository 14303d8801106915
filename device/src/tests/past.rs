//! What the broker has kept from before a start is told from what is new.

use aldis_mqtt::{Version, Versions};
use aldis_protocol::Lamp::{Off, On};
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Config, Keep, Message};

use super::rig::{Rig, rig, settings};
use crate::Settings;

const SET: &str = "aldis/kitchen/led/set";
const START: &str = "aldis/kitchen/start";

/// A command with this id comes to the broker.
fn toggle(rig: &mut Rig, id: u32) {
    toggle_at(rig, id, Qos::ExactlyOnce);
}

fn toggle_at(rig: &mut Rig, id: u32, qos: Qos) {
    let command = format!(r#"{{"id":"{id}","command":"toggle"}}"#);
    let message = Message::new(SET, command.as_bytes(), qos);
    rig.broker.publish(message, rig.now);
}

/// What was answered since this was asked last: whose command, and whether it was done.
fn answers(rig: &mut Rig) -> Vec<(u32, bool)> {
    let news = rig.news("answer").into_iter();
    let read = news.map(|text| {
        let id = text.split('"').nth(3).unwrap().parse().unwrap();
        let done = text.contains(r#""done":true"#);
        assert!(done || text.contains("perhaps given before the device was started"));
        (id, done)
    });
    read.collect()
}

/// Connected once, and then without power for ten minutes.
fn switched_off(config: Config) -> Rig {
    let mut rig: Rig = Rig::start(settings(), config);
    rig.until_connected();
    rig.wait(1_000);
    rig.power_off();
    rig.wait(600_000);
    rig
}

/// Commands come faster than anything goes to the broker and back: none is obeyed, for ever.
#[test]
fn a_stream_of_commands_over_a_slow_path_is_obeyed() {
    for every in [100, 500, 3_000] {
        let mut rig = switched_off(Config::default());
        (0..20).for_each(|id| toggle(&mut rig, id));
        rig.latency = 4_000;
        rig.boot();
        let mut next = 20;
        while rig.retained("aldis/kitchen/status") != "online" {
            toggle(&mut rig, next);
            next += 1;
            rig.wait(every);
            assert!(rig.now < 700_000);
        }
        // Whoever sees that the device is online is heard.
        let first = next;
        for _ in 0..40 {
            toggle(&mut rig, next);
            next += 1;
            rig.wait(every);
        }
        rig.wait(1_200_000);
        let answers = answers(&mut rig);
        let mut ids: Vec<_> = answers.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..next).collect::<Vec<_>>(), "every {every} ms");
        for (id, done) in answers {
            assert!(done || id < first, "{id} of {first}, every {every} ms");
            assert!(!done || id >= 20, "{id}, every {every} ms");
        }
    }
}

/// The device dies before its word comes back: the next start takes it for its own, and what
/// comes after it for new.
#[test]
fn a_word_of_an_earlier_start_is_not_that_of_this_one() {
    // A device without a memory counts each start as the first.
    for remembers in [true, false] {
        let mut rig = switched_off(Config::default());
        rig.latency = 500;
        for id in 0..4 {
            if !remembers {
                rig.board.saved = crate::Saved::default();
            }
            rig.boot();
            rig.until_connected();
            rig.wait(700);
            rig.power_off();
            assert_eq!(rig.words(START).len(), id as usize + 1);
            toggle(&mut rig, id);
        }
        rig.boot();
        rig.until_connected();
        rig.wait(10_000);
        assert_eq!(answers(&mut rig), [0, 1, 2, 3].map(|id| (id, false)));
        assert_eq!(rig.device().lamp(), Off);
    }
}

/// What anybody says on the topic is taken for the device's own word.
#[test]
fn a_word_of_another_changes_nothing() {
    let mut rig = switched_off(Config::default());
    for text in ["", "1", "2-", "2-0", "\u{1f4a3}", &"9".repeat(300)] {
        let message = Message::new(START, text.as_bytes(), Qos::ExactlyOnce);
        rig.broker.publish(message, rig.now);
    }
    toggle(&mut rig, 1);
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    assert_eq!(answers(&mut rig), [(1, false)]);
    toggle(&mut rig, 2);
    rig.wait(1_000);
    assert_eq!(answers(&mut rig), [(2, true)]);
}

/// The contact breaks before the word is back: it is waited for in vain, or not at all.
#[test]
fn the_word_comes_through_an_outage() {
    for (lose_session, outage) in [(false, 1_000), (false, 900_000), (true, 1_000)] {
        for after in [0, 100, 600, 1_100] {
            let mut rig = switched_off(Config::default());
            (0..3).for_each(|id| toggle(&mut rig, id));
            rig.latency = 500;
            rig.boot();
            rig.until_connected();
            rig.wait(after);
            rig.begin_outage();
            toggle(&mut rig, 3);
            rig.wait(outage);
            if lose_session {
                rig.broker.restart(Keep::Nothing, rig.now);
            }
            rig.end_outage();
            rig.wait(20_000);
            toggle(&mut rig, 4);
            rig.wait(5_000);
            let answers = answers(&mut rig);
            let case = format!("{lose_session} {outage} {after}: {answers:?}");
            assert!(answers.contains(&(4, true)), "{case}");
            let old = answers.iter().filter(|(id, _)| *id < 3);
            for (_, done) in old.clone() {
                assert!(!done, "{case}");
            }
            // An answer that was under way comes twice.
            assert!(lose_session || old.count() >= 3, "{case}");
            let lost = !answers.iter().any(|(id, _)| *id == 3);
            assert_eq!(lost, lose_session, "{case}");
        }
    }
}

/// The broker had no room for the word, and says nothing about that.
#[test]
fn the_word_is_said_again() {
    let mut rig = switched_off(Config {
        maximum_queued: 30,
        ..Config::default()
    });
    (0..30).for_each(|id| toggle(&mut rig, id));
    rig.latency = 200;
    rig.boot();
    rig.until_connected();
    (30..90).for_each(|id| toggle(&mut rig, id));
    rig.wait(30_000);
    assert!(rig.words(START).len() > 2, "nothing was lost");
    answers(&mut rig);
    toggle(&mut rig, 99);
    rig.wait(5_000);
    assert_eq!(answers(&mut rig), [(99, true)]);
}

/// A broker lets the device not talk to itself: it obeys nobody, for ever.
#[test]
fn a_device_that_may_not_talk_to_itself_obeys() {
    for (publish, subscribe) in [(true, false), (false, true)] {
        let denied = |denies: bool| denies.then(|| START.into()).into_iter().collect();
        let mut rig = switched_off(Config {
            deny_publish: denied(publish),
            deny_subscribe: denied(subscribe),
            ..Config::default()
        });
        toggle(&mut rig, 1);
        rig.boot();
        rig.until_connected();
        rig.wait(1_000);
        assert!(rig.refused().iter().all(|topic| *topic == START));
        assert!(!rig.refused().is_empty());
        assert_eq!(rig.retained("aldis/kitchen/status"), "online");
        // With somebody who does not stop, and connections that do not last.
        let mut next = 2;
        while rig.device().lamp() == Off {
            toggle(&mut rig, next);
            next += 1;
            rig.wait(20_000);
            rig.cut();
            rig.until_connected();
            assert!(next < 10);
        }
        rig.wait(1_000);
        rig.publish("output", "off", Qos::AtLeastOnce);
        rig.wait(1_000);
        assert_eq!(rig.device().lamp(), Off);
    }
}

/// A broker that says nothing about that: a stream of commands keeps the device waiting for
/// ever.
#[test]
fn a_device_that_does_not_hear_itself_obeys_in_the_end() {
    let mut rig: Rig = Rig::start(
        Settings {
            versions: Versions::Only(Version::V4),
            ..settings()
        },
        Config {
            deny_publish: vec![START.into()],
            ..Config::default()
        },
    );
    rig.until_connected();
    rig.wait(1_000);
    rig.boot();
    rig.until_connected();
    let begin = rig.now;
    let mut next = 1;
    while rig.device().lamp() == Off {
        toggle(&mut rig, next);
        next += 1;
        rig.wait(50_000);
        rig.cut();
        rig.until_connected();
        assert!(rig.now - begin < 3_900_000, "never");
    }
    assert!(rig.now - begin > 3_300_000);
}

/// Contact is lost just when the word is back: what was refused comes again, and is obeyed.
#[test]
fn what_was_refused_is_refused_when_it_comes_again() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for count in [3, 40, 70] {
            for cut in (0..8_000).step_by(100) {
                let mut rig = switched_off(Config::default());
                for id in 0..count {
                    toggle_at(&mut rig, id, qos);
                    // Without an id as well.
                    let message = Message::new("output", b"on", qos);
                    rig.broker.publish(message, rig.now);
                }
                rig.latency = 500;
                rig.boot();
                rig.until_connected();
                rig.wait(cut);
                rig.cut();
                rig.until_connected();
                rig.wait(60_000);
                let case = format!("{qos:?}, {count} commands, cut after {cut} ms");
                assert_eq!(rig.device().lamp(), Off, "{case}");
                assert!(!rig.lights().contains(&On), "{case}");
                let mut answers = answers(&mut rig);
                assert!(answers.iter().all(|(_, done)| !done), "{case}");
                answers.sort_unstable();
                answers.dedup();
                assert_eq!(answers.len(), count as usize, "{case}");
                toggle(&mut rig, 999);
                rig.wait(5_000);
                assert_eq!(rig.device().lamp(), On, "{case}");
            }
        }
    }
}

/// What is new comes again as well, and is taken for what was refused.
#[test]
fn what_is_new_is_obeyed_when_it_comes_again() {
    for cut in (0..3_000).step_by(50) {
        let mut rig = switched_off(Config::default());
        (0..3).for_each(|id| toggle_at(&mut rig, id, Qos::AtLeastOnce));
        rig.latency = 500;
        rig.boot();
        rig.until_connected();
        // It waits behind the word.
        while rig.words(START).is_empty() {
            rig.wait(10);
        }
        toggle_at(&mut rig, 3, Qos::AtLeastOnce);
        rig.wait(cut);
        rig.cut();
        rig.until_connected();
        rig.wait(20_000);
        assert_eq!(rig.device().lamp(), On, "cut after {cut} ms");
        assert!(answers(&mut rig).contains(&(3, true)), "cut after {cut} ms");
    }
}

/// The time is up while old commands are still on their way: they are obeyed.
#[test]
fn however_much_was_kept_none_of_it_is_obeyed() {
    for (count, latency, heeds) in [
        (1_000, 1_300, true),
        (700, 2_000, true),
        (400, 4_000, true),
        (300, 4_000, false),
    ] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut rig = switched_off(Config {
                heeds_receive_maximum: heeds,
                maximum_queued: 10_000,
                ..Config::default()
            });
            (0..count).for_each(|id| toggle_at(&mut rig, id, qos));
            rig.latency = latency;
            rig.boot();
            rig.until_connected();
            let case = format!("{count} at {latency} ms, {qos:?}, {heeds}");
            let mut told = std::collections::BTreeSet::new();
            let begin = rig.now;
            while told.len() < count as usize {
                rig.wait(60_000);
                for (id, done) in answers(&mut rig) {
                    assert!(!done, "{case}: {id}");
                    told.insert(id);
                }
                assert!(rig.now - begin < 10_000_000, "{case}: {}", told.len());
            }
            rig.wait(60_000);
            toggle_at(&mut rig, count, qos);
            rig.wait(60_000);
            assert_eq!(rig.device().lamp(), On, "{case}");
        }
    }
}

/// A message without an id is kept, and power goes before it is acknowledged: it is shown
/// twice.
#[test]
fn a_message_that_was_kept_is_not_taken_in_again() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut rig = rig();
        rig.until_connected();
        rig.wait(1_000);
        rig.latency = 500;
        let text = b"dinner";
        for _ in 0..2 {
            let message = Message::new("aldis/kitchen/message/set", text, qos);
            rig.broker.publish(message, rig.now);
            let letters = rig.board.letters.len();
            while rig.board.letters.len() == letters {
                rig.wait(10);
            }
            rig.boot();
            rig.until_connected();
            rig.wait(10_000);
            assert_eq!(rig.board.letters.len(), letters + 1, "{qos:?}");
        }
    }
}

/// The word is refused when it is not wanted any more, and another topic is named.
#[test]
fn the_word_is_named_when_it_is_refused() {
    let mut rig = switched_off(Config::default());
    rig.latency = 500;
    rig.boot();
    rig.until_connected();
    rig.wait(100);
    rig.begin_outage();
    rig.broker.restart(Keep::Nothing, rig.now);
    rig.broker.config_mut().deny_publish = vec![START.into()];
    rig.end_outage();
    rig.wait(10_000);
    assert!(rig.refused().iter().all(|topic| *topic == START));
}

/// A command was done, and its answer is lost with the power: who asks again is told that it
/// was not done.
#[test]
fn what_was_done_before_the_start_is_answered_so() {
    let mut rig = rig();
    rig.until_connected();
    let on = r#"{"id":"7","command":"on"}"#;
    rig.publish(SET, on, Qos::ExactlyOnce);
    rig.news("answer");
    rig.power_off();
    let message = Message::new(SET, on.as_bytes(), Qos::ExactlyOnce);
    rig.broker.publish(message, rig.now);
    rig.boot();
    rig.until_connected();
    rig.wait(1_000);
    assert_eq!(rig.news("answer"), [r#"{"id":"7","done":true}"#]);
}
