//! The conversation for which all of this exists, with real programs: a device measures,
//! publishes and obeys, whichever broker and whichever clients there are.
#![cfg(unix)]

mod common;

use common::{BRISK, Broker, Folder, Kind, Program, Tools, aldis, device};

/// `t=24.1C, h=26.5%.`
fn is_readout(line: &str) -> bool {
    let number = |text: &str| {
        text.split_once('.').is_some_and(|(whole, tenth)| {
            whole.trim_start_matches('-').parse::<u16>().is_ok()
                && tenth.len() == 1
                && tenth.parse::<u8>().is_ok()
        })
    };
    line.strip_prefix("t=")
        .and_then(|rest| rest.strip_suffix("%."))
        .and_then(|rest| rest.split_once("C, h="))
        .is_some_and(|(t, h)| number(t) && number(h))
}

fn converse(kind: Kind, tools: Tools) {
    let mut broker = Broker::start(kind);
    let port = broker.port;
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let mut dev = Program::start(&mut device(&broker.url(), folder.path(), &config));
    dev.wait_for_line("lamp: off");
    dev.wait_for_line(&format!("mqtt: connected 127.0.0.1:{port} v5"));
    dev.wait_for_line("sensor: ok");

    let mut readouts = tools.sub(port, &["-t", "testincr"]);
    readouts.wait_for("a readout", is_readout);
    let mut echo = tools.sub(port, &["-t", "aldis/dev/led", "-v"]);
    echo.wait_for_line("aldis/dev/led off");
    let mut status = tools.sub(port, &["-t", "aldis/dev/status", "-q", "1"]);
    status.wait_for_line("online");

    let mut switch = |dev: &mut Program, state: &str| {
        tools.publish(port, &["-t", "output", "-m", state, "-q", "1"]);
        dev.wait_for_line(&format!("lamp: {state}"));
        echo.wait_for_line(&format!("aldis/dev/led {state}"));
    };
    switch(&mut dev, "on");
    switch(&mut dev, "off");

    // Twice, since something may work once.
    for _ in 0..2 {
        broker.kill();
        dev.wait_for_text("mqtt: lost: ");
        broker.restart();
        dev.wait_for_text("mqtt: connected");
        status.wait_for_line("online");
        readouts.wait_for("a readout after the restart", is_readout);
        switch(&mut dev, "on");
        switch(&mut dev, "off");
    }

    dev.terminate();
    status.wait_for_line("offline");
    let (ended, last) = dev.finish();
    assert!(ended.success(), "{ended}");
    assert_eq!(last.last().map(String::as_str), Some("device: stopped"));
    // Whoever comes later sees it too.
    let mut later = tools.sub(port, &["-t", "aldis/dev/status", "-C", "1"]);
    later.wait_for_line("offline");
    assert!(later.finish().0.success());
}

/// What people type with mosquitto's tools does not work with the programs they have.
#[test]
fn mosquitto_with_its_own_tools() {
    converse(Kind::Mosquitto, Tools::Mosquitto);
}

/// `aldis` does not stand in for mosquitto's tools.
#[test]
fn mosquitto_with_our_tools() {
    converse(Kind::Mosquitto, Tools::Aldis);
}

/// Our own parts do not fit together.
#[test]
fn the_hub_with_our_tools() {
    converse(Kind::Hub, Tools::Aldis);
}

/// With `-d`, the packets are not seen as mosquitto's users know them.
#[test]
fn packets_are_shown() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        let broker = Broker::start(kind);
        for tools in [Tools::Mosquitto, Tools::Aldis] {
            let args = ["-t", "output", "-m", "on", "-q", "1", "-r", "-d"];
            let said = tools.publish(broker.port, &args).join("\n");
            for packet in [
                "sending CONNECT",
                "received CONNACK (0)",
                "sending PUBLISH (d0, q1, r1, m1, 'output', ... (2 bytes))",
                "received PUBACK (Mid: 1, RC:",
                "sending DISCONNECT",
            ] {
                assert!(
                    said.contains(packet),
                    "{kind:?}, {tools:?}: no {packet} in\n{said}"
                );
            }
            let sub = tools.sub(broker.port, &["-t", "output", "-q", "1", "-d", "-C", "1"]);
            let (ended, said) = sub.finish();
            assert!(ended.success(), "{kind:?}, {tools:?}: {ended}");
            for line in [
                "received SUBACK",
                "received PUBLISH (d0, q1, r1, m1, 'output', ... (2 bytes))",
                "on",
            ] {
                let found = said.iter().any(|said| said.ends_with(line));
                assert!(
                    found,
                    "{kind:?}, {tools:?}: no {line} in\n{}",
                    said.join("\n")
                );
            }
        }
    }
}

/// The shell loop that switches a lamp on and off has no equal.
#[test]
fn blink_alternates_the_lamp() {
    let broker = Broker::start(Kind::Hub);
    let folder = Folder::new();
    let config = folder.file("device.toml", BRISK);
    let mut dev = Program::start(&mut device(&broker.url(), folder.path(), &config));
    dev.wait_for_text("mqtt: connected");
    let mut command = aldis("blink");
    command.args([
        "output",
        "--on",
        "1s",
        "--off",
        "1s",
        "-h",
        "127.0.0.1",
        "-p",
    ]);
    let blink = Program::start(command.arg(broker.port.to_string()));
    for state in ["on", "off", "on", "off"] {
        let line = dev.wait_for("the lamp", |line| line.starts_with("lamp: "));
        assert_eq!(line, format!("lamp: {state}"));
    }
    drop(blink);
}

/// The hub is not the broker that mosquitto's tools expect.
#[test]
fn the_hub_with_mosquittos_tools() {
    converse(Kind::Hub, Tools::Mosquitto);
}
