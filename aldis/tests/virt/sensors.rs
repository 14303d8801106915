//! What a sensor can do wrong, and that nothing else suffers from it.

use std::time::Duration;

use crate::common::{Broker, Kind, Tools};
use crate::machine::{Machine, config};

/// Each fault is told in one word; no reading comes of it; the lamp obeys all the
/// same; and the sensor is back as soon as the fault is gone.
#[test]
fn faults_of_the_sensor_are_told_and_survived() {
    let broker = Broker::start(Kind::Mosquitto);
    let port = broker.port;
    let mut machine = Machine::new(&config(port, ""));
    let console = machine.start();
    let connected = format!("mqtt: connected 10.0.2.2:{port} v5");
    console.wait_for_all(&[&connected, "sensor: ok"]);
    let mut all = Tools::Mosquitto.sub(port, &["-v", "-t", "aldis/dev/#", "-t", "testincr"]);
    let mut lamp = "off";
    for (fault, states) in [
        ("absent", &["missing"][..]),
        ("ground", &["missing"]),
        ("supply", &["missing"]),
        ("slow", &["missing"]),
        ("damaged", &["stale"]),
        ("broken", &["stale"]),
        ("noisy", &["stale", "missing"]),
    ] {
        machine.console().tell(&format!("sensor {fault}"));
        let told = machine
            .console()
            .wait_for(&format!("the state with {fault}"), |line| {
                states
                    .iter()
                    .any(|state| line == format!("sensor: {state}"))
            });
        let state = told.trim_start_matches("sensor: ").to_owned();
        all.wait_for_line(&format!("aldis/dev/sensor {state}"));
        lamp = if lamp == "on" { "off" } else { "on" };
        Tools::Mosquitto.publish(port, &["-t", "output", "-m", lamp, "-q", "1"]);
        machine.console().wait_for_line(&format!("lamp: {lamp}"));
        for line in all.listen(Duration::from_secs(3)) {
            assert!(
                !line.contains("climate") && !line.contains("testincr"),
                "{fault}: {line}"
            );
        }
        machine.console().tell("sensor changing");
        machine.console().wait_for_line("sensor: ok");
        all.wait_for_line("aldis/dev/sensor ok");
        all.wait_for_text("aldis/dev/climate ");
    }
    // None of it restarted the board.
    assert!(
        !machine
            .console()
            .said()
            .iter()
            .any(|line| line.contains("start 2"))
    );
}
