//! The conversation for which all of this exists, with a board.

use std::time::Duration;

use crate::common::{Broker, Kind, Program, Tools};
use crate::machine::{Machine, config};
use crate::recorder::{Diags, KEEPING, Recorder};

const TOOLS: Tools = Tools::Mosquitto;

fn switch(port: u16, echo: &mut Program, machine: &mut Machine, state: &str) {
    TOOLS.publish(port, &["-t", "output", "-m", state, "-q", "1"]);
    machine.console().wait_for_line(&format!("lamp: {state}"));
    echo.wait_for_line(state);
}

/// Boot, readings, commands; and all of it again after the broker was killed, twice.
#[test]
fn a_conversation_and_two_dead_brokers() {
    let mut broker = Broker::start(Kind::Mosquitto);
    let port = broker.port;
    let mut machine = Machine::new(&config(port, ""));
    let console = machine.start();
    let connected = format!("mqtt: connected 10.0.2.2:{port} v5");
    console.wait_for_line("boot: aldis 0.1.0 dev start 1 reset power");
    console.wait_for_line("lamp: off");
    console.wait_for_line("ip: 10.0.2.15");
    console.wait_for_all(&[&connected, "sensor: ok"]);
    let mut readouts = TOOLS.sub(port, &["-t", "testincr"]);
    let mut echo = TOOLS.sub(port, &["-t", "aldis/dev/led"]);
    let mut status = TOOLS.sub(port, &["-t", "aldis/dev/status"]);
    status.wait_for_line("online");
    // What the recording of a real sensor says.
    readouts.wait_for_line("t=23.8C, h=72.1%.");
    switch(port, &mut echo, &mut machine, "on");
    switch(port, &mut echo, &mut machine, "off");
    TOOLS.publish(
        port,
        &["-t", "aldis/dev/led/set", "-m", "toggle", "-q", "2"],
    );
    echo.wait_for_line("on");
    for _ in 0..2 {
        broker.kill();
        machine.console().wait_for_text("mqtt: lost ");
        broker.restart();
        machine.console().wait_for_line(&connected);
        status.wait_for_line("online");
        readouts.wait_for_line("t=23.8C, h=72.1%.");
        switch(port, &mut echo, &mut machine, "off");
        switch(port, &mut echo, &mut machine, "on");
    }
    let console = machine.console();
    console.tell("memory");
    let memory = console.wait_for_text("memory: static ");
    println!("{memory}");
    let numbers: Vec<u32> = memory
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [fixed, stack, used] = numbers[..] else {
        panic!("{memory}");
    };
    assert!(fixed + stack <= 192 * 1024 && used * 4 < stack, "{memory}");
    machine.kill();
    status.wait_for_line("offline");
}

/// A broker that is restarted, as after an update: what was measured meanwhile comes
/// late, in order, and nothing is missing.
#[test]
fn readings_of_an_outage_come_after_it() {
    let mut broker = Broker::start_with(Kind::Mosquitto, keeping, |_| String::new());
    let mut recorder = Recorder::start(broker.port);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start();
    recorder.wait_for(3);
    for _ in 0..2 {
        broker.stop();
        let console = machine.console();
        console.wait_for_text("mqtt: lost ");
        console.listen(Duration::from_secs(8));
        broker.restart();
        machine.console().wait_for_text("mqtt: connected");
        recorder.wait_for_more(10);
    }
    recorder.settle();
    recorder.assert_complete();
    let late = recorder
        .readings()
        .values()
        .filter(|climate| climate.age_ms > 2_000);
    assert!(late.count() >= 4, "{:?}", recorder.readings());
}

pub fn keeping(folder: &crate::common::Folder) -> String {
    format!(
        "{KEEPING}persistence_location {}/\n",
        folder.path().display()
    )
}

/// A broker that hangs: its machine answers, and it does not.
#[test]
fn a_broker_that_hangs_is_noticed() {
    let broker = Broker::start_with(Kind::Mosquitto, keeping, |_| String::new());
    let mut recorder = Recorder::start(broker.port);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start().wait_for_text("mqtt: connected");
    recorder.wait_for(2);
    let mut diags = Diags::start(broker.port);
    broker.signal("-STOP");
    let console = machine.console();
    console.wait_for_line("mqtt: lost the broker does not answer");
    // Sensor and lamp go on meanwhile, and so do the attempts.
    console.listen(Duration::from_secs(12));
    broker.signal("-CONT");
    console.wait_for_text("mqtt: connected");
    diags.wait_for(|diag| diag.reconnects.and_then(|reconnects| reconnects.silent) >= Some(1));
    recorder.wait_for_more(15);
    recorder.settle();
    recorder.assert_complete();
}

/// A password that was mistyped, and a broker that comes later than the device: tried
/// again until it is right, and the board stays up.
#[test]
fn a_broker_that_is_absent_or_refuses_is_tried_again() {
    let locked = |folder: &crate::common::Folder| {
        let file = folder.path().join("passwords");
        let mut command = std::process::Command::new("mosquitto_passwd");
        command
            .args(["-c", "-b"])
            .arg(&file)
            .args(["kitchen", "right"]);
        crate::common::succeed(&mut command);
        format!("allow_anonymous false\npassword_file {}\n", file.display())
    };
    let mut broker = Broker::start_with(Kind::Mosquitto, locked, |_| String::new());
    broker.stop();
    let port = broker.port;
    let with = |password: &str| {
        let url = format!("kitchen:{password}@10.0.2.2:{port}");
        crate::machine::config_for(&url, "")
    };
    let mut machine = Machine::new(&with("wrong"));
    let console = machine.start();
    console.wait_for_all(&[
        "mqtt: not connected nothing listens at the broker's address and port",
        "sensor: ok",
    ]);
    broker.restart();
    let console = machine.console();
    console.wait_for_text("mqtt: not connected the broker refused the connection: ");
    // Told once, however often it is tried.
    let said = console.listen(Duration::from_secs(6));
    assert!(said.is_empty(), "{said:?}");
    machine.kill();
    machine.configure(&with("right"));
    machine.start().wait_for_text("mqtt: connected ");
}
