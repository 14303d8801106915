//! What is there after a restart, however it came.

use std::time::Duration;

use aldis_protocol::{Mode, ResetReason};

use crate::common::{Broker, Kind, Tools};
use crate::conversation::keeping;
use crate::machine::{Machine, config};
use crate::recorder::{Diags, Recorder};

/// The power is taken away in the middle of whatever is being written, again and
/// again: the lamp comes back as it was, and no reading is missing.
#[test]
fn power_cuts_lose_nothing() {
    let mut random = fastrand::Rng::with_seed(0xa1d15);
    // Five starts that do not last a minute would end in the safe mode.
    for _ in 0..4 {
        some_power_cuts(&mut random);
    }
}

fn some_power_cuts(random: &mut fastrand::Rng) {
    let broker = Broker::start_with(Kind::Mosquitto, keeping, |_| String::new());
    let mut recorder = Recorder::start(broker.port);
    let mut machine = Machine::new(&config(broker.port, ""));
    let mut lamp = "off";
    for boot in 1..=4 {
        let console = machine.start();
        console.wait_for_line(&format!("boot: aldis 0.1.0 dev start {boot} reset power"));
        // Before the network.
        console.wait_for_line(&format!("lamp: {lamp}"));
        console.wait_for_text("ip: ");
        console.wait_for_text("mqtt: connected");
        recorder.wait_for_more(1);
        if random.bool() {
            lamp = if lamp == "on" { "off" } else { "on" };
            Tools::Mosquitto.publish(broker.port, &["-t", "output", "-m", lamp, "-q", "2"]);
            machine.console().wait_for_line(&format!("lamp: {lamp}"));
        }
        machine
            .console()
            .listen(Duration::from_millis(random.u64(0..2_500)));
        machine.kill();
        // What comes later is of the next start, which has subscribed by then.
        recorder.settle();
    }
    machine.start();
    recorder.wait_for_more(2);
    recorder.settle();
    recorder.assert_complete();
    let boots: Vec<_> = recorder
        .readings()
        .values()
        .map(|climate| climate.boot)
        .collect();
    assert!(boots.is_sorted() && boots.last() == Some(&5), "{boots:?}");
}

/// Nobody is there to take the readings, and then the power fails.
#[test]
fn readings_outlive_the_power() {
    let mut broker = Broker::start_with(Kind::Mosquitto, keeping, |_| String::new());
    let mut recorder = Recorder::start(broker.port);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start().wait_for_text("mqtt: connected");
    recorder.wait_for(2);
    broker.stop();
    let console = machine.console();
    console.wait_for_text("mqtt: lost ");
    console.listen(Duration::from_secs(8));
    machine.kill();
    machine.start().wait_for_line("sensor: ok");
    broker.restart();
    recorder.wait_for_more(8);
    recorder.settle();
    recorder.assert_complete();
    let before = |climate: &&aldis_protocol::Climate| climate.taken == Some(1) && climate.boot == 2;
    let kept = recorder.readings().values().filter(before);
    assert!(kept.count() >= 3, "{:?}", recorder.readings());
}

/// Why it started is told to whoever looks.
#[test]
fn the_reason_of_a_restart_is_published() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start().wait_for_text("mqtt: connected");
    for (order, reason) in [
        ("restart", ResetReason::Software),
        ("panic", ResetReason::Panic),
        ("hang", ResetReason::Watchdog),
    ] {
        let mut diags = Diags::start(broker.port);
        machine.console().tell(order);
        machine.console().wait_for("the start", |line| {
            line.ends_with(&format!(" reset {reason}"))
        });
        diags.wait_for(|diag| diag.reset == Some(reason));
    }
}

/// The board does not restart on command, or does so before the broker knows, and then again.
#[test]
fn a_restart_on_command_is_done_once() {
    for kind in [Kind::Mosquitto, Kind::Hub] {
        let broker = Broker::start(kind);
        let mut machine = Machine::new(&config(broker.port, ""));
        machine.start();
        let mut heard = Tools::Mosquitto.sub(broker.port, &["-t", "aldis/dev/#", "-v"]);
        let mut start = 1;
        for (payload, qos) in [
            ("restart", "1"),
            ("restart", "2"),
            (r#"{"id":"7","command":"restart"}"#, "1"),
        ] {
            heard.wait_for_line("aldis/dev/status online");
            let restart = ["-t", "aldis/dev/restart", "-m", payload, "-q", qos];
            Tools::Mosquitto.publish(broker.port, &restart);
            heard.wait_for_line("aldis/dev/status offline");
            start += 1;
            let begins = format!("boot: aldis 0.1.0 dev start {start} reset software");
            machine.console().wait_for_line(&begins);
        }
        let diag = heard.wait_for_text(r#""reset":"software""#);
        assert!(diag.starts_with("aldis/dev/diag "), "{diag}");
        let said = machine.console().listen(Duration::from_secs(5));
        assert!(
            !said.iter().any(|line| line.starts_with("boot: ")),
            "{said:?}"
        );
    }
}

/// A fault that resets the chip again and again must not cost the contact.
#[test]
fn a_boot_loop_ends_in_safe_mode() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.start();
    let mut diags = Diags::start(broker.port);
    for _ in 0..5 {
        machine.console().wait_for_line("sensor: ok");
        machine.console().tell("panic");
    }
    let console = machine.console();
    console.wait_for_text("boot: safe mode");
    console.wait_for_text("mqtt: connected");
    diags.wait_for(|diag| diag.mode == Some(Mode::Safe));
    // It obeys what is given after it says that it is online.
    let mut status = Tools::Mosquitto.sub(broker.port, &["-t", "aldis/dev/status"]);
    status.wait_for_line("online");
    Tools::Mosquitto.publish(broker.port, &["-t", "output", "-m", "on", "-q", "1"]);
    let console = machine.console();
    console.wait_for_line("lamp: on");
    let said = console.listen(Duration::from_secs(5));
    assert!(
        !said.iter().any(|line| line.starts_with("sensor:")),
        "{said:?}"
    );
}

/// A flash that takes nothing any more: told once, and readings and commands go on.
#[test]
fn a_worn_flash_is_told_and_survived() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut machine = Machine::new(&config(broker.port, ""));
    machine.wear_out();
    let console = machine.start();
    console.wait_for_text("store: the flash does not take it");
    console.wait_for_text("mqtt: connected");
    let mut readouts = Tools::Mosquitto.sub(broker.port, &["-t", "testincr"]);
    readouts.wait_for_text("t=");
    Tools::Mosquitto.publish(broker.port, &["-t", "output", "-m", "on", "-q", "1"]);
    let console = machine.console();
    console.wait_for_line("lamp: on");
    let said = console.listen(Duration::from_secs(5));
    assert!(
        !said.iter().any(|line| line.starts_with("store:")),
        "{said:?}"
    );
    readouts.wait_for_text("t=");
}
