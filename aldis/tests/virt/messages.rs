//! Messages, the display and the button of a board.

use std::time::Duration;

use crate::common::{Broker, Kind, Program, Tools};
use crate::machine::{Machine, config, config_for};

const TOOLS: Tools = Tools::Mosquitto;

fn send(port: u16, message: &str) {
    let topic = "aldis/dev/message/set";
    TOOLS.publish(port, &["-t", topic, "-m", message, "-q", "2"]);
}

/// What the display shows, as lines of braille.
fn screen(console: &mut Program) -> Vec<String> {
    console.tell("screen");
    let lines = (0..16).map(|_| console.wait_for_text("screen: "));
    lines.collect()
}

fn lit(screen: &[String]) -> usize {
    let dark = '\u{2800}';
    let characters = screen
        .iter()
        .flat_map(|line| line["screen: ".len()..].chars());
    characters.filter(|character| *character != dark).count()
}

/// A message is shown, read with the button, and kept over a restart.
#[test]
fn a_message_is_shown_read_and_kept() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut states = TOOLS.sub(broker.port, &["-t", "aldis/dev/message/state"]);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start().wait_for_text("mqtt: connected");
    machine.console().wait_for_line("sensor: ok");
    let readings = screen(machine.console());
    assert!(lit(&readings) > 100, "{readings:#?}");
    send(
        broker.port,
        r#"{"id":"7","from":"hall","text":"dinner is ready"}"#,
    );
    states.wait_for_text(r#"{"id":"7","state":"received""#);
    states.wait_for_text(r#"{"id":"7","state":"shown""#);
    let message = screen(machine.console());
    assert_ne!(message, readings);
    // Power fails before anybody has read it, and after.
    machine.kill();
    machine.start().wait_for_text("mqtt: connected");
    states.wait_for_text(r#"{"id":"7","state":"shown""#);
    machine.console().tell("button 100");
    states.wait_for_text(r#"{"id":"7","state":"read""#);
    machine.console().wait_for_line("message: 7 read");
    machine.console().listen(Duration::from_secs(1));
    machine.kill();
    machine.start().wait_for_text("mqtt: connected");
    machine.console().wait_for_line("sensor: ok");
    // Sent again, it is answered and not shown.
    send(
        broker.port,
        r#"{"id":"7","from":"hall","text":"dinner is ready"}"#,
    );
    states.wait_for_text(r#"{"id":"7","state":"read""#);
    machine
        .console()
        .wait_for_text("ignored: aldis/dev/message/set: it came before");
}

/// A display that is pulled out while it draws, or holds the bus.
#[test]
fn a_display_that_fails_stops_nothing() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut readouts = TOOLS.sub(broker.port, &["-t", "testincr"]);
    let mut states = TOOLS.sub(broker.port, &["-t", "aldis/dev/message/state"]);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start().wait_for_text("mqtt: connected");
    // What it subscribes to comes before what it publishes.
    readouts.wait_for_line("t=23.8C, h=72.1%.");
    for (at, fault) in ["panel absent", "panel held"].into_iter().enumerate() {
        machine.console().tell(fault);
        send(
            broker.port,
            &format!(r#"{{"id":"{at}","text":"is anybody there?"}}"#),
        );
        states.wait_for_text(&format!(r#"{{"id":"{at}","state":"received""#));
        for _ in 0..4 {
            readouts.wait_for_line("t=23.8C, h=72.1%.");
        }
        // Nobody can have seen it until then.
        assert!(
            !states
                .said()
                .iter()
                .any(|state| state.contains(&format!(r#""{at}","state":"shown""#)))
        );
        machine.console().tell("panel back");
        states.wait_for_text(&format!(r#"{{"id":"{at}","state":"shown""#));
        machine.console().tell("button 100");
        states.wait_for_text(&format!(r#"{{"id":"{at}","state":"read""#));
    }
}

/// Two boards converse with nothing but a broker between them.
#[test]
fn two_boards_converse() {
    let broker = Broker::start(Kind::Mosquitto);
    let host = format!("10.0.2.2:{}", broker.port);
    let board = |id: &str, peer: &str| {
        let more = format!(
            "[messages]\npeer = \"{peer}\"\npresets = [\"Coffee?\"]\nreply = \"With pleasure\"\n"
        );
        let config = config_for(&host, &more);
        Machine::new(&config.replace("id = \"dev\"", &format!("id = \"{id}\"")))
    };
    let (mut first, mut second) = (board("attic", "cellar"), board("cellar", "attic"));
    for machine in [&mut first, &mut second] {
        machine.start().wait_for_text("mqtt: connected");
    }
    let mut wire = TOOLS.sub(broker.port, &["-t", "aldis/+/message/#", "-v"]);
    wire.listen(Duration::from_millis(500));
    first.console().tell("button 1000");
    first.console().wait_for_line("message: sending to cellar");
    let asked = wire.wait_for_text("aldis/cellar/message/set ");
    assert!(
        asked.contains(r#""from":"attic","text":"Coffee?""#),
        "{asked}"
    );
    wire.wait_for_text("aldis/cellar/message/state ");
    wire.wait_for("it is shown", |line| {
        line.starts_with("aldis/cellar/") && line.contains(r#""state":"shown""#)
    });
    second.console().tell("button 1000");
    let answer = wire.wait_for_text("aldis/attic/message/set ");
    assert!(
        answer.contains(r#""from":"cellar","text":"With pleasure""#),
        "{answer}"
    );
    wire.wait_for("the answer is shown", |line| {
        line.starts_with("aldis/attic/") && line.contains(r#""state":"shown""#)
    });
    first.console().tell("button 100");
    wire.wait_for("the answer is read", |line| {
        line.starts_with("aldis/attic/") && line.contains(r#""state":"read""#)
    });
}

/// A reply that was chosen without contact is gone with the power, or comes as another one.
#[test]
fn what_a_person_sends_outlives_the_power() {
    let mut broker = Broker::start(Kind::Mosquitto);
    let more = "[messages]\npeer = \"cellar\"\npresets = [\"Coffee?\"]\n";
    let mut machine = Machine::new(&config(broker.port, more));
    broker.kill();
    machine.start().wait_for_text("mqtt: not connected");
    machine.console().tell("button 1000");
    machine
        .console()
        .wait_for_line("message: sending to cellar");
    machine.kill();
    broker.restart();
    let mut wire = TOOLS.sub(broker.port, &["-t", "aldis/cellar/message/set"]);
    wire.listen(Duration::from_millis(500));
    machine.start().wait_for_line("message: sending to cellar");
    let sent = wire.wait_for_text(r#""from":"dev","text":"Coffee?""#);
    // It has the id of the first start.
    assert!(sent.starts_with("{\"id\":\"f8371c10-1-"), "{sent}");
    machine.console().wait_for_line("sensor: ok");
    machine.kill();
    machine.start().wait_for_text("mqtt: connected");
    machine.console().wait_for_line("sensor: ok");
    machine.console().listen(Duration::from_secs(1));
    let said = machine.console().said();
    assert!(
        !said.iter().any(|line| line.contains("sending")),
        "{said:?}"
    );
}
