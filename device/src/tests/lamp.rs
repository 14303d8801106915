//! Commands to the lamp.

use aldis_mqtt::{Version, Versions};
use aldis_protocol::Lamp;
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Config, Keep, Message};

use super::rig::{Act, Rig, rig, settings};
use crate::Settings;

const LED: &str = "aldis/kitchen/led";
const SET: &str = "aldis/kitchen/led/set";

fn speaking(version: Version) -> Settings<'static> {
    Settings {
        versions: Versions::Only(version),
        ..settings()
    }
}

#[test]
fn commands_are_obeyed_and_echoed() {
    for version in [Version::V4, Version::V5] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut rig: Rig = Rig::start(speaking(version), Config::default());
            rig.until_connected();
            rig.wait(10);
            let mut lamp = "off";
            for (topic, command, after) in [
                ("output", "on", "on"),
                ("output", "on", "on"),
                ("output", "off", "off"),
                (SET, "on", "on"),
                (SET, "toggle", "off"),
                (SET, "toggle", "on"),
                (SET, "off", "off"),
            ] {
                assert_eq!(rig.retained(LED), lamp);
                rig.publish(topic, command, qos);
                lamp = after;
                assert_eq!(rig.retained(LED), lamp, "after {command} on {topic}");
                assert_eq!(rig.board.saved.lamp.as_str(), lamp);
                assert_eq!(rig.lights().last().unwrap().as_str(), lamp);
            }
            assert_eq!(rig.lights().len(), 1 + 7);
        }
    }
}

/// A wrong word must not switch anything, nor vanish unseen.
#[test]
fn other_words_are_ignored_with_a_notice() {
    let mut rig = rig();
    rig.until_connected();
    let wrong = ["", "ON", "on\n", " on", "1", "true", "onn", "t"];
    for word in wrong {
        rig.command("output", word);
        rig.command(SET, word);
    }
    rig.command("output", "toggle");
    assert_eq!(rig.lights(), [Lamp::Off]);
    let ignored = rig.ignored();
    assert_eq!(ignored.len(), 2 * wrong.len() + 1);
    assert_eq!(ignored[0], ("output", "neither on nor off"));
    assert_eq!(ignored[1], (SET, "neither on, off nor toggle"));
    assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
    let huge = "x".repeat(5_000);
    for version in [Version::V4, Version::V5] {
        let mut rig: Rig = Rig::start(speaking(version), Config::default());
        rig.until_connected();
        rig.command("output", &huge);
        rig.command("output", "on");
        rig.wait(1_000);
        assert_eq!(rig.device().lamp(), Lamp::On, "{version:?}");
        assert_eq!(rig.session().version(), version);
    }
}

/// Ghost switching: a command of last week is obeyed at each start.
#[test]
fn retained_commands_are_ignored() {
    for version in [Version::V4, Version::V5] {
        let mut rig: Rig = Rig::off(speaking(version), Config::default());
        for topic in ["output", SET] {
            let command = Message::new(topic, b"on", Qos::AtLeastOnce).retained();
            rig.broker.publish(command, 0);
        }
        rig.boot();
        rig.until_connected();
        rig.wait(10_000);
        for _ in 0..3 {
            rig.broker.restart(Keep::Retained, rig.now);
            rig.until_connected();
            rig.wait(10_000);
        }
        assert_eq!(rig.lights(), [Lamp::Off]);
        assert_eq!(rig.retained(LED), "off");
        let ignored = rig.ignored();
        if version == Version::V4 {
            assert_eq!(ignored.len(), 2 * 4);
            assert!(ignored.iter().all(|(_, why)| *why == "a retained command"));
        } else {
            assert_eq!(ignored, []);
        }
        // One that comes now is for now, whether the broker keeps it or not.
        let command = Message::new("output", b"on", Qos::AtLeastOnce).retained();
        rig.broker.publish(command, rig.now);
        rig.settle();
        assert_eq!(rig.retained(LED), "on");
    }
}

/// Power that fails after the acknowledgement would undo the command.
#[test]
fn a_command_is_applied_and_kept_before_it_is_acknowledged() {
    for (qos, first) in [(Qos::AtLeastOnce, 0x40), (Qos::ExactlyOnce, 0x50)] {
        let mut rig = rig();
        rig.until_connected();
        rig.wait(10);
        rig.board.acts.clear();
        rig.publish(SET, "toggle", qos);
        let order: Vec<&str> = rig
            .board
            .acts
            .iter()
            .filter_map(|(_, act)| match act {
                Act::Light(Lamp::On) => Some("light"),
                Act::Save(saved) => {
                    assert_eq!(saved.lamp, Lamp::On);
                    Some("save")
                }
                Act::Sent(bytes) if bytes[0] == first => Some("acknowledge"),
                _ => None,
            })
            .collect();
        assert_eq!(order, ["light", "save", "acknowledge"]);
    }
}

/// Flash wears out: what does not change is not written.
#[test]
fn the_same_state_is_not_saved_again() {
    let mut rig = rig();
    rig.until_connected();
    rig.command("output", "on");
    let saves = |rig: &Rig| {
        let saves = rig.board.acts.iter();
        saves.filter(|(_, act)| matches!(act, Act::Save(_))).count()
    };
    let before = saves(&rig);
    for _ in 0..100 {
        rig.command("output", "on");
    }
    assert_eq!(saves(&rig), before);
}

/// A glitch of the lamp at each start.
#[test]
fn the_lamp_is_restored_before_anything_else() {
    let mut rig = rig();
    rig.until_connected();
    rig.command("output", "on");
    rig.power_off();
    rig.wait(60_000);
    rig.board.acts.clear();
    rig.boot();
    assert_eq!(rig.board.acts[0].1, Act::Light(Lamp::On));
    assert_eq!(rig.lights(), [Lamp::On]);
    rig.until_connected();
    rig.wait(10);
    assert_eq!(rig.retained(LED), "on");
    assert_eq!(rig.lights(), [Lamp::On]);
}

/// A command that comes while the device is away is obeyed when it is back.
#[test]
fn commands_wait_for_the_device() {
    let mut rig = rig();
    rig.until_connected();
    rig.wait(10);
    rig.begin_outage();
    rig.wait(1_000);
    rig.command(SET, "toggle");
    rig.command(SET, "toggle");
    rig.command("output", "on");
    assert_eq!(rig.lights(), [Lamp::Off]);
    rig.end_outage();
    rig.wait(10);
    assert_eq!(rig.lights(), [Lamp::Off, Lamp::On, Lamp::Off, Lamp::On]);
    assert_eq!(rig.retained(LED), "on");
}

/// A state of before the outage, told after the present one or shortly before
/// it, makes a dashboard's switch flicker.
#[test]
fn an_old_state_is_not_told_after_an_outage() {
    use aldis_world::broker::codec::PacketType;
    let mut rig = rig();
    rig.until_connected();
    rig.wait(10);
    rig.broker.withhold(PacketType::PubAck, 0, u32::MAX);
    rig.command("output", "on");
    rig.command("output", "off");
    rig.command("output", "on");
    rig.begin_outage();
    rig.broker.withhold_nothing();
    let before = rig.words(LED).len();
    rig.command("output", "off");
    rig.wait(5_000);
    rig.end_outage();
    rig.wait(5_000);
    let after = rig.words(LED).split_off(before);
    assert_eq!(after.last().unwrap(), "off");
    assert!(after.iter().filter(|word| *word == "off").count() >= 1);
    assert!(after.len() <= 2, "{after:?}");
    assert_eq!(rig.retained(LED), "off");
}

/// The lamp must end up toggled wherever the connection breaks: neither not at
/// all nor twice.
#[test]
fn a_toggle_is_executed_once_over_cuts_at_every_byte() {
    for version in [Version::V4, Version::V5] {
        for up in [false, true] {
            let mut cuts = 0;
            for at in 1..200 {
                let mut rig: Rig = Rig::start(speaking(version), Config::default());
                rig.until_connected();
                rig.wait(100);
                assert_eq!(rig.session().pending(), 0);
                *(if up {
                    &mut rig.cut_up
                } else {
                    &mut rig.cut_down
                }) = Some(at);
                rig.command(SET, "toggle");
                rig.wait(50);
                let cut = rig.cut_up.take().or(rig.cut_down.take()).is_none();
                cuts += u32::from(cut);
                rig.until_connected();
                rig.wait(100);
                assert_eq!(
                    rig.lights(),
                    [Lamp::Off, Lamp::On],
                    "{version:?}, cut after {at} bytes {}",
                    if up { "up" } else { "down" }
                );
                assert_eq!(rig.retained(LED), "on");
                assert_eq!(rig.broker.session("kitchen").unwrap().in_flight, 0);
                if !cut {
                    break;
                }
            }
            assert!(cuts > 30, "{cuts} cuts were made");
        }
    }
}

/// A second cut while the first is being mended.
#[test]
fn a_toggle_is_executed_once_over_two_cuts() {
    for version in [Version::V4, Version::V5] {
        for first in 1..12 {
            for second in 1..60 {
                let mut rig: Rig = Rig::start(speaking(version), Config::default());
                rig.until_connected();
                rig.wait(100);
                rig.cut_up = Some(first);
                rig.command(SET, "toggle");
                rig.cut_up = None;
                rig.cut_down = Some(second);
                rig.wait(5_000);
                rig.cut_down = None;
                rig.until_connected();
                rig.wait(100);
                assert_eq!(
                    rig.lights(),
                    [Lamp::Off, Lamp::On],
                    "{version:?}, cut after {first} bytes up and {second} down"
                );
            }
        }
    }
}
