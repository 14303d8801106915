//! `aldis demo` as a user runs it: on a terminal, in a pipe, twice.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use common::terminal::{OnTerminal, ends};
use common::{PATIENCE, Program, Tools, aldis, free_port, succeed};

/// What a demo says in a pipe until it shows where it is.
fn port_of(demo: &mut Program) -> u16 {
    let line = demo.wait_for_text("hub: MQTT 3.1.1 and 5 on 127.0.0.1:");
    line.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// In a pipe there is a picture full of escape sequences, or nothing at all.
#[test]
fn in_a_pipe_there_are_plain_lines() {
    let mut demo = Program::start(&mut aldis("demo"));
    let port = port_of(&mut demo);
    let command = format!("mosquitto_sub -h 127.0.0.1 -p {port} -t testincr");
    demo.wait_for_text(&command);
    demo.wait_for_text(&format!("mqtt: connected 127.0.0.1:{port} v5"));
    demo.wait_for_text("message: testincr t=");
    Tools::Mosquitto.publish(port, &["-t", "output", "-m", "on", "-q", "1"]);
    demo.wait_for_line("lamp: on");
    let escape = ["-t", "x", "-m", "\x1b[2J"];
    Tools::Mosquitto.publish(port, &escape);
    demo.wait_for_text("message: x ");
    assert!(!demo.said().concat().contains('\x1b'));
    demo.terminate();
    let (ended, last) = demo.finish();
    assert!(ended.success());
    assert_eq!(last.last().map(String::as_str), Some("device: stopped"));
}

/// The second demo ends with an error about a port, or takes the first one's place.
#[test]
fn two_run_at_once() {
    let mut one = Program::start(&mut aldis("demo"));
    let mut other = Program::start(&mut aldis("demo"));
    assert_ne!(port_of(&mut one), port_of(&mut other));
    one.wait_for_text("mqtt: connected");
    other.wait_for_text("mqtt: connected");
}

/// A port that was asked for is replaced without a word.
#[test]
fn a_taken_port_is_an_error_if_it_was_asked_for() {
    let mut one = Program::start(&mut aldis("demo"));
    let listen = format!("127.0.0.1:{}", port_of(&mut one));
    let (ended, said) = Program::start(aldis("demo").args(["--listen", &listen])).finish();
    let said = said.join("\n");
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(
        said.contains("already taken") && said.contains("--listen"),
        "{said}"
    );
}

/// A program that reads the lines stumbles over one that is no JSON.
#[test]
fn json_is_one_object_a_line() {
    let mut demo = aldis("demo");
    let said = succeed(demo.args(["--json", "--for", "3s", "--listen", "127.0.0.1:0"]));
    assert!(said.len() > 3, "{said:?}");
    for line in said {
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(object["event"].is_string(), "{line}");
    }
}

/// `aldis demo | head` runs for ever.
#[test]
fn it_ends_when_nobody_reads() {
    let mut child = aldis("demo")
        .stdout(Stdio::piped())
        .spawn()
        .expect("cannot run aldis");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    assert!(ends(child).success());
}

/// A demo on a terminal, and its port.
fn on_terminal(before: &str) -> (OnTerminal, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    (
        OnTerminal::start(before, 24, 80, &["demo", "--listen", &listen]),
        port,
    )
}

/// The readout does not come, the lamp does not obey its key, or the terminal is left behind
/// unusable.
#[test]
fn on_a_terminal_there_is_a_readout() {
    for quit in ["q", "\x1b", "\x03"] {
        let (mut demo, _) = on_terminal("");
        demo.wait_for("\x1b[?1049h");
        demo.wait_for("In another terminal");
        demo.wait_for("○");
        demo.wait_for("t=");
        demo.press("l");
        demo.wait_for("toggle");
        demo.wait_for("●");
        demo.press(quit);
        demo.wait_for("\x1b[?1049l");
        demo.wait_for("\x1b[?25h");
        assert!(demo.ends().success());
    }
}

/// A key does not do with the button what the readout says, or what is sent goes nowhere.
#[test]
fn keys_stand_for_the_button() {
    let (mut demo, port) = on_terminal("");
    demo.wait_for("MQTT 5");
    let (port, id) = (port.to_string(), aldis_pc::default_id());
    let send = |text: &str, wait: &str| {
        let mut send = aldis("send");
        send.args(["-p", &port, &id, text, "--wait", wait]);
        Program::start(send.args(["--from", "hall"]))
    };
    let mut first = send("dinner is ready", "read");
    first.wait_for_text("shown");
    demo.press("b");
    let (ended, said) = first.finish();
    assert!(ended.success(), "{said:?}");

    let mut second = send("are you there?", "read");
    second.wait_for_text("shown");
    demo.press("r");
    second.wait_for_text(&format!("{id}: Coming"));
    let (ended, said) = second.finish();
    assert!(ended.success(), "{said:?}");

    // The first preset, to the device that can be started beside it.
    let topic = "aldis/demo-peer/message/set";
    let mut peer = Tools::Aldis.sub(port.parse().unwrap(), &["-t", topic, "-d"]);
    peer.wait_for_text("SUBACK");
    demo.press("pr");
    peer.wait_for_text("Dinner is ready");

    // There is no room for the panel beside all else.
    assert!(!demo.shown().contains('⣿'));
    demo.press("s");
    demo.wait_for("⠀⠀⠀");
    demo.press("q");
    assert!(demo.ends().success());
}

/// A demo whose terminal has vanished spins in the background for ever.
#[test]
fn it_ends_with_its_terminal() {
    for before in ["", "trap '' HUP;"] {
        let (mut demo, port) = on_terminal(before);
        demo.wait_for("In another terminal");
        // A client that sees the end of the hub.
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01w";
        client.write_all(connect).unwrap();
        let mut connack = [0; 4];
        client.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
        demo.vanish();
        let mut rest = Vec::new();
        // A reset is an end as well, but running out of time is none.
        if let Err(error) = client.read_to_end(&mut rest) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset,
                "{before}"
            );
        }
    }
}
