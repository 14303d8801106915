//! The button: pages, replies, presets, and Morse code.

use aldis_protocol::Lamp;
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Config, Keep};

use super::rig::{Rig, rig, settings};
use crate::{Mail, Settings};

const SET: &str = "aldis/kitchen/message/set";

fn short(rig: &mut Rig) {
    rig.press(100);
    rig.wait(400);
}

fn double(rig: &mut Rig) {
    rig.press(100);
    rig.wait(80);
    rig.press(100);
    rig.wait(400);
}

fn long(rig: &mut Rig) {
    rig.press(1_000);
    rig.wait(400);
}

fn talkative() -> Settings<'static> {
    Settings {
        reply: Some("Coming"),
        presets: &["Come down", "Call me", "Good night"],
        peer: Some("attic"),
        ..settings()
    }
}

fn at(rig: &Rig, device: &str) -> Vec<String> {
    let topic = format!("aldis/{device}/message/set");
    let sent = rig.log.iter().filter(|accepted| accepted.topic == topic);
    sent.map(|accepted| String::from_utf8(accepted.payload.clone()).unwrap())
        .collect()
}

/// A page that cannot be left, or a message that cannot be found again.
#[test]
fn short_presses_turn_the_pages() {
    let mut rig = Rig::<64>::off(settings(), Config::default());
    rig.obstacle = Some(aldis_mqtt::Network::Unreachable);
    rig.boot();
    assert_eq!(rig.page(), "boot");
    rig.obstacle = None;
    rig.until_connected();
    assert_eq!(rig.page(), "readings");
    short(&mut rig);
    assert_eq!(rig.page(), "contact");
    short(&mut rig);
    assert_eq!(rig.page(), "readings");
    rig.publish(SET, "one", Qos::ExactlyOnce);
    rig.publish(SET, "two", Qos::ExactlyOnce);
    rig.publish(SET, r#"{"text":"now","priority":"high"}"#, Qos::ExactlyOnce);
    // The first stays until it is read; then what is urgent comes first.
    for text in [": one", ": now", ": two"] {
        assert_eq!(rig.page(), text);
        short(&mut rig);
    }
    // Those that were read, the newest first.
    for text in ["readings", "contact", ": now", ": two", ": one", "readings"] {
        assert_eq!(rig.page(), text);
        short(&mut rig);
    }
    // Left alone, it goes back.
    assert_eq!(rig.page(), "contact");
    rig.wait(61_000);
    assert_eq!(rig.page(), "readings");
}

/// A reply that goes to nobody, or to somebody else.
#[test]
fn a_long_press_replies_to_the_sender() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    let dinner = r#"{"id":"1","from":"hall","text":"dinner"}"#;
    rig.publish(SET, dinner, Qos::ExactlyOnce);
    rig.press(1_000);
    assert_eq!(rig.page(), "Sent");
    rig.wait(3_500);
    assert_eq!(rig.page(), "readings");
    let sent = at(&rig, "hall");
    assert_eq!(sent.len(), 1);
    let id = &sent[0][..sent[0].find(",\"from\"").unwrap()];
    assert!(id.starts_with("{\"id\":\"") && id.contains("-1-"), "{id}");
    assert!(
        sent[0].ends_with(r#","from":"kitchen","text":"Coming"}"#),
        "{sent:?}"
    );
    // It is read as well, and that is told after the reply has arrived.
    assert!(rig.news("message/state").last().unwrap().contains("read"));
    let position = |what: &str| {
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).contains(what);
        rig.log
            .iter()
            .position(|accepted| text(&accepted.payload))
            .unwrap()
    };
    assert!(position("Coming") < position("\"read\""));
    // A message from nobody cannot be replied to.
    rig.publish(SET, "plain", Qos::ExactlyOnce);
    long(&mut rig);
    assert_eq!(rig.page(), "Not sent");
    // Without a message, the first preset goes to the peer.
    rig.wait(4_000);
    long(&mut rig);
    assert_eq!(at(&rig, "attic").len(), 1);
    assert!(at(&rig, "attic")[0].contains("Come down"));
}

#[test]
fn a_double_press_opens_the_presets() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    double(&mut rig);
    assert_eq!(rig.page(), "attic? Come down");
    for text in ["Call me", "Good night", "Come down", "Call me"] {
        short(&mut rig);
        assert_eq!(rig.page(), format!("attic? {text}"));
    }
    long(&mut rig);
    assert!(at(&rig, "attic")[0].contains("Call me"));
    rig.wait(4_000);
    double(&mut rig);
    double(&mut rig);
    assert_eq!(rig.page(), "readings");
    double(&mut rig);
    rig.wait(16_000);
    assert_eq!(rig.page(), "readings");
    // Without any, it says so.
    let mut rig = self::rig();
    rig.until_connected();
    double(&mut rig);
    assert_eq!(rig.page(), "Not sent");
}

/// What was sent while there was no contact is lost, or comes twice.
#[test]
fn what_is_sent_in_an_outage_is_delivered_after_it() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    rig.begin_outage();
    long(&mut rig);
    assert_eq!(rig.page(), "Sending");
    rig.wait(120_000);
    assert_eq!(at(&rig, "attic").len(), 0);
    rig.end_outage();
    rig.wait(1_000);
    assert_eq!(at(&rig, "attic").len(), 1);
    assert_eq!(rig.page(), "Sent");
    rig.wait(60_000);
    assert_eq!(at(&rig, "attic").len(), 1);
}

fn ids(sent: &[String]) -> Vec<&str> {
    let id = |text: &'_ String| text.find(",\"from\"").unwrap();
    sent.iter().map(|text| &text[..id(text)]).collect()
}

/// A reply that somebody chose, and that is gone with the power; or that comes as another
/// one.
#[test]
fn what_was_chosen_outlives_a_restart() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    rig.begin_outage();
    long(&mut rig);
    rig.wait(4_000);
    rig.publish(SET, "nothing", Qos::AtMostOnce);
    double(&mut rig);
    short(&mut rig);
    long(&mut rig);
    for _ in 0..2 {
        rig.boot();
        rig.wait(10_000);
    }
    rig.obstacle = None;
    rig.until_connected();
    rig.wait(1_000);
    let sent = at(&rig, "attic");
    assert!(
        sent[0].contains("Come down") && sent[1].contains("Call me"),
        "{sent:?}"
    );
    assert_eq!(sent.len(), 2);
    // It was chosen in the first start.
    assert!(ids(&sent)[0].contains("-1-"), "{sent:?}");
    assert!(rig.board.outgoing.is_empty());
    // What is done is done.
    rig.boot();
    rig.until_connected();
    rig.wait(10_000);
    assert_eq!(at(&rig, "attic").len(), 2);
    // The next one is another one.
    long(&mut rig);
    let sent = at(&rig, "attic");
    assert_eq!(sent.len(), 3);
    assert_ne!(ids(&sent)[2], ids(&sent)[0]);
}

/// The connection breaks at every byte, and the broker forgets or the power goes: it is
/// sent again under the same id, or is lost.
#[test]
fn what_was_on_its_way_comes_under_the_same_id() {
    let mut twice = 0;
    for restarts in [false, true] {
        for cut in 1..180 {
            for up in [true, false] {
                let mut rig: Rig = Rig::start(talkative(), Config::default());
                rig.until_connected();
                rig.wait(2_000);
                match up {
                    true => rig.cut_up = Some(cut),
                    false if cut < 16 => rig.cut_down = Some(cut),
                    false => continue,
                }
                rig.latency = 5;
                rig.obstacle = Some(aldis_mqtt::Network::Unreachable);
                long(&mut rig);
                (rig.cut_up, rig.cut_down) = (None, None);
                rig.obstacle = None;
                match restarts {
                    true => rig.boot(),
                    false => rig.broker.restart(Keep::Nothing, rig.now),
                }
                rig.until_connected();
                rig.wait(2_000);
                let sent = at(&rig, "attic");
                let mut ids = ids(&sent);
                assert!(!ids.is_empty(), "{restarts} {cut} {up}");
                twice += usize::from(ids.len() > 1);
                ids.dedup();
                assert_eq!(ids.len(), 1, "{restarts} {cut} {up}: {sent:?}");
                assert!(rig.board.outgoing.is_empty(), "{restarts} {cut} {up}");
            }
        }
    }
    assert!(twice > 0);
}

/// More than finds room is told, and takes nothing else with it.
#[test]
fn what_finds_no_room_is_told() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    rig.begin_outage();
    for n in 0..=Mail::OUTGOING {
        long(&mut rig);
        let expected = if n < Mail::OUTGOING {
            "Sending"
        } else {
            "Not sent"
        };
        assert_eq!(rig.page(), expected, "{n}");
        rig.wait(4_000);
    }
    rig.end_outage();
    rig.wait(1_000);
    assert_eq!(at(&rig, "attic").len(), Mail::OUTGOING);
}

/// Something that lies on the button sends a message each second.
#[test]
fn a_button_that_is_held_for_an_hour_sends_once() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    rig.press(3_600_000);
    rig.wait(10_000);
    assert_eq!(at(&rig, "attic").len(), 1);
}

/// Text that was keyed and nobody hears.
#[test]
fn the_button_is_a_morse_key() {
    let settings = Settings {
        morse_key: true,
        ..settings()
    };
    let mut rig: Rig = Rig::start(settings, Config::default());
    rig.until_connected();
    let key = |rig: &mut Rig, code: &str| {
        for stroke in code.chars() {
            match stroke {
                '.' => rig.press(100),
                '-' => rig.press(300),
                _ => {}
            }
            rig.wait(if stroke == ' ' { 200 } else { 100 });
        }
    };
    key(&mut rig, "... --- ...");
    assert_eq!(rig.lights().len(), 1 + 2 * 9, "the lamp shows the key");
    assert_eq!(rig.page(), "morse");
    rig.wait(3_000);
    assert_eq!(rig.page(), "morse");
    assert_eq!(rig.news("morse/heard"), [r#"{"text":"SOS","wpm":12}"#]);
    // In an outage, it is told afterwards.
    rig.begin_outage();
    key(&mut rig, ". -");
    rig.wait(10_000);
    rig.end_outage();
    rig.wait(1_000);
    assert_eq!(rig.news("morse/heard"), [r#"{"text":"ET","wpm":12}"#]);
    // What waits to be read is read by the first press, which is no stroke.
    rig.publish(SET, "hello", Qos::ExactlyOnce);
    key(&mut rig, ".");
    rig.wait(3_000);
    assert!(rig.news("message/state").last().unwrap().contains("read"));
    assert_eq!(rig.news("morse/heard").len(), 0);
    assert_eq!(rig.lights().last(), Some(&Lamp::Off));
}

/// The longest text that can be keyed is published as something that is none.
#[test]
fn the_longest_over_is_published() {
    let settings = Settings {
        morse_key: true,
        ..settings()
    };
    let mut rig: Rig = Rig::start(settings, Config::default());
    rig.until_connected();
    for _ in 0..256 {
        rig.press(100);
        rig.wait(1_000);
    }
    rig.wait(30_000);
    let heard = rig.news("morse/heard");
    assert!(heard.iter().any(|text| text.len() > 512), "{heard:?}");
    assert!(heard.iter().all(|text| text.starts_with("{\"text\":\"E")));
}

/// A message that comes while somebody keys spoils the text, and is read by nobody.
#[test]
fn a_message_does_not_come_between_strokes() {
    let settings = Settings {
        morse_key: true,
        ..settings()
    };
    let mut rig: Rig = Rig::start(settings, Config::default());
    rig.until_connected();
    for (n, ms) in [100, 100, 100, 300, 300, 300, 100, 100, 100]
        .into_iter()
        .enumerate()
    {
        rig.press(ms);
        if n == 3 {
            rig.publish(SET, "x", Qos::ExactlyOnce);
        }
        rig.wait(if n % 3 == 2 { 300 } else { 100 });
    }
    rig.wait(5_000);
    assert_eq!(rig.news("morse/heard"), [r#"{"text":"SOS","wpm":12}"#]);
    assert!(
        !rig.news("message/state")
            .iter()
            .any(|told| told.contains("read"))
    );
    // Now it is.
    rig.press(100);
    rig.wait(100);
    assert!(rig.news("message/state")[0].contains("read"));
}

/// A display that shows what it is given.
fn seen(rig: &mut Rig) {
    let now = rig.instant();
    rig.device().drawn(now);
    rig.wait(5);
}

/// The page changes under the finger: something is sent or read that nobody meant.
#[test]
fn a_press_means_the_page_on_which_it_began() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    // The list is about to close by itself.
    double(&mut rig);
    short(&mut rig);
    rig.wait(14_300);
    assert_eq!(rig.page(), "attic? Call me");
    long(&mut rig);
    assert_eq!(at(&rig, "attic").len(), 1);
    assert!(at(&rig, "attic")[0].contains("Call me"));
    // What was sent before is delivered while somebody chooses.
    rig.wait(4_000);
    rig.begin_outage();
    long(&mut rig);
    rig.wait(4_000);
    double(&mut rig);
    short(&mut rig);
    rig.end_outage();
    rig.wait(100);
    assert_eq!(rig.page(), "attic? Call me");
    long(&mut rig);
    assert!(at(&rig, "attic")[1].contains("Come down"));
    assert!(at(&rig, "attic")[2].contains("Call me"));
    rig.wait(8_000);
    assert_eq!(rig.page(), "readings");
    // A message comes before it is certain that the press was a short one.
    rig.press(100);
    rig.wait(200);
    rig.publish(SET, "hello", Qos::ExactlyOnce);
    rig.wait(400);
    assert_eq!(rig.page(), ": hello");
    assert!(
        !rig.news("message/state")
            .iter()
            .any(|told| told.contains("read"))
    );
}

/// Where there is a display, a message is told as read that nobody has seen.
#[test]
fn nothing_is_read_before_it_is_shown() {
    let mut rig: Rig = Rig::start(talkative(), Config::default());
    rig.until_connected();
    seen(&mut rig);
    for n in 1..4 {
        let text = format!(r#"{{"id":"{n}","from":"hall","text":"m{n}"}}"#);
        rig.publish(SET, &text, Qos::ExactlyOnce);
    }
    seen(&mut rig);
    rig.news("message/state");
    // It is answered; the next press is on the page that says so.
    long(&mut rig);
    assert_eq!(rig.page(), "Sent");
    seen(&mut rig);
    short(&mut rig);
    assert_eq!(rig.page(), "hall: m2");
    let told = rig.news("message/state");
    assert!(
        !told
            .iter()
            .any(|told| told.contains(r#""2","state":"read"#)),
        "{told:?}"
    );
    seen(&mut rig);
    short(&mut rig);
    let told = rig.news("message/state").join("");
    assert!(told.contains(r#""2","state":"shown"#) && told.contains(r#""2","state":"read"#));
    assert_eq!(rig.page(), "hall: m3");
    // After a restart without contact as well.
    rig.obstacle = Some(aldis_mqtt::Network::Unreachable);
    rig.boot();
    seen(&mut rig);
    short(&mut rig);
    assert_eq!(rig.page(), "hall: m3");
    seen(&mut rig);
    short(&mut rig);
    assert_eq!(rig.page(), "readings");
    // A display that is unplugged is none.
    rig.obstacle = None;
    rig.until_connected();
    rig.news("message/state");
    rig.wait(10_000);
    rig.publish(
        SET,
        r#"{"id":"4","from":"hall","text":"m4"}"#,
        Qos::ExactlyOnce,
    );
    rig.wait(3_000);
    short(&mut rig);
    let told = rig.news("message/state").join("");
    assert!(
        !told.contains("shown") && told.contains(r#""4","state":"read"#),
        "{told}"
    );
}

/// Somebody looks for a fault of the status, which was not refused.
#[test]
fn what_the_broker_refuses_is_named() {
    let config = Config {
        deny_publish: vec!["aldis/attic/#".into(), "aldis/kitchen/morse/heard".into()],
        ..Config::default()
    };
    let mut rig: Rig = Rig::start(talkative(), config.clone());
    rig.until_connected();
    long(&mut rig);
    assert_eq!(rig.page(), "Not sent");
    assert_eq!(rig.refused(), ["aldis/attic/message/set"]);
    let settings = Settings {
        morse_key: true,
        ..talkative()
    };
    let mut rig: Rig = Rig::start(settings, config);
    rig.until_connected();
    rig.press(100);
    rig.wait(5_000);
    assert_eq!(rig.refused(), ["aldis/kitchen/morse/heard"]);
}
