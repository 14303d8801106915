//! `aldis blink`: the lamp, the line for each change, and how it ends.

use crate::common::{Dir, Mosquitto, Running, Tool, aldis, run, start};

fn lamp(broker: &Mosquitto) -> Running {
    let args = ["-t", "output", "-q", "2"];
    let lamp = start(&mut Tool::Mosquitto.at("sub", broker.port, args), b"");
    broker.subscribed();
    lamp
}

/// A lamp that is not switched, or twice the same way, does not blink.
#[test]
fn the_lamp_goes_on_and_off_in_turn_and_is_off_at_the_end() {
    let broker = Mosquitto::start();
    for qos in ["0", "1", "2"] {
        let lamp = lamp(&broker);
        let mut command = aldis("blink");
        command.args(["output", "-h", "127.0.0.1", "-p", &broker.port.to_string()]);
        // The end comes while the lamp is on for the third time.
        command.args([
            "--on", "100ms", "--off", "100ms", "--for", "450ms", "-q", qos,
        ]);
        let done = run(&mut command);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
        let states: Vec<&str> = done
            .text()
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert!(
            states.len() >= 2 && states.len().is_multiple_of(2),
            "{states:?}"
        );
        for pair in states.chunks(2) {
            assert_eq!(pair, ["on", "off"]);
        }
        for state in states {
            assert_eq!(lamp.line(""), format!("{state}\n"), "-q {qos}");
        }
    }
}

/// A lamp that burns all night because somebody pressed Ctrl-C.
#[test]
fn ctrl_c_leaves_the_lamp_off() {
    let broker = Mosquitto::start();
    let lamp = lamp(&broker);
    let mut command = aldis("blink");
    command.args([
        "output",
        "-h",
        "127.0.0.1",
        "-p",
        &broker.port.to_string(),
        "--json",
    ]);
    let blink = start(&mut command, b"");
    assert_eq!(lamp.line(""), "on\n");
    let line = blink.line("");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&json["topic"], &json["state"]),
        (&"output".into(), &"on".into())
    );
    blink.signal("INT");
    let done = blink.done();
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.text().contains(r#""state":"off""#));
    assert_eq!(lamp.line(""), "off\n");
}

/// The loop stops to switch the lamp when the broker is restarted.
#[test]
fn a_restarted_broker_is_found_again() {
    let broker = Mosquitto::start();
    let mut command = aldis("blink");
    command.args(["output", "-h", "127.0.0.1", "-p", &broker.port.to_string()]);
    command.args(["--on", "50ms", "--off", "50ms"]);
    let blink = start(&mut command, b"");
    blink.line("on");
    let port = broker.terminate();
    blink.error_line("Connection lost: ");
    blink.line("off");
    let broker = Mosquitto::start_on(port);
    blink.error_line("Connected again");
    let lamp = lamp(&broker);
    let first = lamp.line("");
    let second = lamp.line("");
    assert_ne!(first, second);
    blink.signal("TERM");
    assert_eq!(blink.done().code, Some(0));
}

/// Its exit codes are not mosquitto's: 1 failed, 2 usage.
#[test]
fn failures_are_told() {
    let dir = Dir::new();
    let rules = dir.file("rules", "topic readwrite allowed\n");
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\nacl_file {}",
        rules.display()
    ));
    let blink = |args: &[&str]| {
        let mut command = aldis("blink");
        run(command
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string()])
            .args(args))
    };
    let done = blink(&["forbidden"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("Not authorized"), "{done:?}");
    assert_eq!(blink(&["a/#"]).code, Some(2));
    assert_eq!(blink(&[]).code, Some(2));
    assert_eq!(blink(&["t", "--on", "5"]).code, Some(2));
    let port = crate::common::free_port().to_string();
    let done = blink(&["t"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let done = run(aldis("blink").args(["t", "-h", "127.0.0.1", "-p", &port]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("Connection refused"), "{done:?}");
}
