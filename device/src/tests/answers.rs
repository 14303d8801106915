//! Commands whose sender wants to know what was done.

use aldis_mqtt::Version;
use aldis_protocol::Lamp;
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Accepted, Message};

use super::rig::{Act, Rig, rig};
use crate::Saved;

const SET: &str = "aldis/kitchen/led/set";
const MORSE: &str = "aldis/kitchen/morse/set";

fn asking(topic: &str, payload: &str, response: &str, correlation: &[u8]) -> Message {
    let mut message = Message::new(topic, payload.as_bytes(), Qos::ExactlyOnce);
    message.properties.response_topic = Some(response.to_owned());
    message.properties.correlation_data = Some(correlation.to_vec());
    message
}

fn on<'r>(rig: &'r Rig, topic: &str) -> Vec<&'r Accepted> {
    let all = rig.log.iter();
    all.filter(|accepted| accepted.topic == topic).collect()
}

/// A toggle that was sent twice because nobody knew whether it was done.
#[test]
fn a_repeated_id_is_answered_and_not_done_again() {
    let mut rig = rig();
    rig.until_connected();
    for topic in [SET, "output"] {
        let toggle = r#"{"id":"7","command":"toggle"}"#;
        let on = r#"{"id":"8","command":"on"}"#;
        let command = if topic == SET { toggle } else { on };
        rig.publish(topic, command, Qos::AtLeastOnce);
        assert_eq!(rig.device().lamp(), Lamp::On);
        let id = &command[7..8];
        let done = format!(r#"{{"id":"{id}","done":true}}"#);
        assert_eq!(rig.news("answer"), [&*done]);
        let lit = rig.lights().len();
        rig.publish(topic, command, Qos::AtLeastOnce);
        assert_eq!(rig.news("answer"), [&*done]);
        // Over a restart, however it ended.
        rig.boot();
        rig.until_connected();
        rig.publish(topic, command, Qos::AtLeastOnce);
        assert_eq!(rig.news("answer"), [&*done]);
        assert_eq!(rig.device().lamp(), Lamp::On);
        // The start lights it once, the repetitions do not.
        assert_eq!(rig.lights().len(), lit + 1);
    }
}

/// A power cut between the deed and its note: the deed is done twice.
#[test]
fn deed_and_note_are_saved_together() {
    let mut rig = rig();
    rig.until_connected();
    rig.publish(SET, r#"{"id":"7","command":"toggle"}"#, Qos::ExactlyOnce);
    let saves = rig.board.acts.iter().filter_map(|(_, act)| match act {
        Act::Save(saved) => Some(saved),
        _ => None,
    });
    let saves: Vec<_> = saves.collect();
    let known = |saved: &Saved| saved.recent.ids[0] != 0;
    for saved in &saves {
        assert_eq!(known(saved), saved.lamp == Lamp::On);
    }
    assert!(saves.last().is_some_and(|saved| known(saved)));
}

/// An answer that its sender cannot tell from another's.
#[test]
fn mqtt_5_answers_go_where_they_are_wanted() {
    let mut rig = rig();
    rig.until_connected();
    assert_eq!(rig.session().version(), Version::V5);
    let now = rig.now;
    rig.broker
        .publish(asking(SET, "toggle", "pc/answers", b"abc"), now);
    rig.settle();
    let answers = on(&rig, "pc/answers");
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].payload, br#"{"id":"abc","done":true}"#);
    assert_eq!(
        answers[0].properties.correlation_data,
        Some(b"abc".to_vec())
    );
    assert_eq!(rig.device().lamp(), Lamp::On);
    // The same again is answered, and not done.
    rig.broker
        .publish(asking(SET, "toggle", "pc/answers", b"abc"), now);
    rig.settle();
    assert_eq!(on(&rig, "pc/answers").len(), 2);
    assert_eq!(rig.device().lamp(), Lamp::On);
    // Bytes that are no text are an id all the same.
    rig.broker
        .publish(asking(SET, "dim", "pc/answers", &[0, 255]), now);
    rig.settle();
    let answers = on(&rig, "pc/answers");
    let refused = br#"{"id":"00ff","done":false,"reason":"neither on, off nor toggle"}"#;
    assert_eq!(answers[2].payload, refused);
    assert_eq!(answers[2].properties.correlation_data, Some(vec![0, 255]));
    // Without a response topic, it goes to the device's own.
    let mut message = Message::new(SET, b"off", Qos::AtLeastOnce);
    message.properties.correlation_data = Some(b"z".to_vec());
    rig.broker.publish(message, now);
    rig.settle();
    assert_eq!(rig.news("answer"), [r#"{"id":"z","done":true}"#]);
    // Nobody asked.
    rig.publish(SET, "on", Qos::AtLeastOnce);
    assert_eq!(rig.news("answer").len(), 0);
}

/// Answers that cannot be given block all others, or are answered themselves.
#[test]
fn a_strange_response_topic_does_no_harm() {
    let mut rig = rig();
    rig.until_connected();
    let now = rig.now;
    for topic in [
        "$SYS/a",
        " ",
        &"t".repeat(500),
        SET,
        "aldis/kitchen/message/set",
    ] {
        rig.broker.publish(asking(SET, "on", topic, b"1"), now);
        rig.settle();
        rig.wait(1_000);
    }
    rig.publish(SET, r#"{"id":"2","command":"off"}"#, Qos::AtLeastOnce);
    rig.wait(1_000);
    assert_eq!(
        rig.news("answer").last().unwrap(),
        r#"{"id":"2","done":true}"#
    );
    assert!(rig.session().is_connected());
}

/// Commands with answers, faster than the answers are taken.
#[test]
fn a_flood_of_commands_is_answered() {
    let mut rig = rig();
    rig.until_connected();
    rig.latency = 100;
    for n in 0..200_u32 {
        let message = asking(SET, "toggle", "pc/answers", &n.to_be_bytes());
        rig.broker.publish(message, rig.now);
    }
    rig.wait(120_000);
    let answered = on(&rig, "pc/answers");
    let mut answered: Vec<_> = answered
        .iter()
        .map(|answer| answer.properties.correlation_data.clone().unwrap())
        .collect();
    let all = answered.len();
    answered.dedup();
    let expected: Vec<_> = (0..200_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(answered, expected);
    // Nothing was lost on the way: nothing is done or told twice.
    let done = |(_, act): &&(u64, Act)| matches!(act, Act::Lamp(_));
    assert_eq!(
        (all, rig.board.acts.iter().filter(done).count()),
        (200, 200)
    );
}

/// Correlation data that begins alike is taken for the same: a command is answered as done
/// and is not.
#[test]
fn correlation_data_is_an_id_as_a_whole() {
    for len in [0, 1, 18, 19, 36, 37, 64, 65] {
        let mut rig = rig();
        rig.until_connected();
        for last in [b'a', 0xff, b'b'] {
            let mut data = vec![b'x'; len];
            if let Some(byte) = data.last_mut() {
                *byte = last;
            }
            rig.broker
                .publish(asking(SET, "toggle", "pc/answers", &data), rig.now);
            rig.settle();
        }
        assert_eq!(rig.device().lamp(), Lamp::On, "{len}");
        let answers = on(&rig, "pc/answers");
        assert_eq!(answers.len(), 3, "{len}");
        for answer in answers {
            let text = std::str::from_utf8(&answer.payload).unwrap();
            assert_eq!(len == 0, text == r#"{"done":true}"#, "{len}: {text}");
            assert!(text.ends_with(r#""done":true}"#), "{len}: {text}");
        }
    }
}

/// A stop that comes once more stops a text that came after it.
#[test]
fn a_stop_is_not_done_again() {
    let mut rig = rig();
    rig.until_connected();
    let stop = r#"{"id":"s","text":""}"#;
    rig.publish(MORSE, stop, Qos::AtLeastOnce);
    rig.publish(MORSE, r#"{"id":"b","text":"ET"}"#, Qos::AtLeastOnce);
    rig.wait(50);
    rig.publish(MORSE, stop, Qos::AtLeastOnce);
    rig.wait(5_000);
    let done = |id: &str| format!(r#"{{"id":"{id}","done":true}}"#);
    assert_eq!(rig.news("answer"), [done("s"), done("s"), done("b")]);
}

/// One of two who ask for the same text never hears of it.
#[test]
fn each_who_asks_for_a_text_is_answered() {
    let mut rig = rig();
    rig.until_connected();
    for topic in ["pc/a", "pc/b", "pc/a"] {
        rig.broker.publish(
            asking(MORSE, r#"{"id":"7","text":"ET"}"#, topic, b"x"),
            rig.now,
        );
        rig.settle();
    }
    rig.wait(5_000);
    assert_eq!(on(&rig, "pc/a")[0].payload, br#"{"id":"7","done":true}"#);
    let not = br#"{"id":"7","done":false,"reason":"it is playing for somebody else"}"#;
    assert_eq!(on(&rig, "pc/b")[0].payload, not);
}

/// A text that is played on and on, or twice.
#[test]
fn morse_is_answered_when_it_was_played() {
    let mut rig = rig();
    rig.until_connected();
    let e = r#"{"id":"7","text":"ET","wpm":12}"#;
    rig.publish(MORSE, e, Qos::ExactlyOnce);
    assert_eq!(rig.news("answer").len(), 0);
    // Sent again while it plays, it does not begin anew.
    rig.wait(200);
    rig.publish(MORSE, e, Qos::ExactlyOnce);
    // The space that ends a word belongs to it.
    rig.wait(1_190);
    assert_eq!(rig.news("answer").len(), 0);
    rig.wait(20);
    assert_eq!(rig.news("answer"), [r#"{"id":"7","done":true}"#]);
    use Lamp::{Off, On};
    assert_eq!(rig.lights(), [Off, On, Off, On, Off]);
    rig.boot();
    rig.until_connected();
    rig.publish(MORSE, e, Qos::ExactlyOnce);
    assert_eq!(rig.news("answer"), [r#"{"id":"7","done":true}"#]);
    // Another text ends it, and so does nothing.
    rig.publish(
        MORSE,
        r#"{"id":"8","text":"PARIS PARIS"}"#,
        Qos::ExactlyOnce,
    );
    rig.wait(1_000);
    rig.publish(MORSE, "SOS", Qos::ExactlyOnce);
    let interrupted = r#"{"id":"8","done":false,"reason":"interrupted"}"#;
    assert_eq!(rig.news("answer"), [interrupted]);
    rig.publish(
        MORSE,
        r#"{"id":"8","text":"PARIS PARIS"}"#,
        Qos::ExactlyOnce,
    );
    assert_eq!(rig.news("answer"), [interrupted]);
    rig.wait(300);
    rig.command("output", "on");
    rig.publish(MORSE, r#"{"id":"9","text":""}"#, Qos::ExactlyOnce);
    assert_eq!(rig.news("answer"), [r#"{"id":"9","done":true}"#]);
    // The lamp's own state is back, as it was told meanwhile.
    assert_eq!(rig.lights().last(), Some(&On));
    let lit = rig.lights().len();
    rig.wait(10_000);
    assert_eq!(rig.lights().len(), lit);
    // What cannot be sent is said.
    rig.publish(MORSE, r#"{"id":"10","text":"дым"}"#, Qos::ExactlyOnce);
    let refused = rig.news("answer");
    assert!(
        refused[0].starts_with(r#"{"id":"10","done":false,"reason":"#),
        "{refused:?}"
    );
}
