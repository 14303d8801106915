//! `aldis world` as a user runs it.

use std::process::{Command, Output};

fn world(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
    command.arg("world").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A run that says nothing of what it was, or is not the same again.
#[test]
fn a_run_is_summed_up_and_repeats() {
    let arguments = ["--seed", "7", "--devices", "3", "--for", "6h"];
    let first = world(&arguments);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let table = text(&first.stdout);
    for part in ["seed 7: ", "readings  ", "commands  ", "violations   none"] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = world(&[arguments, &["--json"]].concat());
        assert!(output.status.success());
        assert_eq!(text(&output.stdout).lines().count(), 1);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (one, two) = (json(&arguments), json(&arguments));
    assert_eq!(one["hash"], two["hash"]);
    assert_eq!(one["violation"], serde_json::Value::Null);
    assert_eq!(one["virtual_ms"], 6 * 3_600_000);
    assert_eq!(
        one["command"],
        "aldis world --seed 7 --devices 3 --for 6h --faults all"
    );
    let other = json(&["--seed", "8", "--devices", "3", "--for", "6h"]);
    assert_ne!(one["hash"], other["hash"]);
}

/// A seed that nobody knows cannot be repeated.
#[test]
fn a_seed_is_chosen_and_printed() {
    let output = world(&["--devices", "1", "--for", "10m", "--faults", "none"]);
    assert!(output.status.success());
    let first = text(&output.stdout).lines().next().unwrap().to_owned();
    let seed = first
        .strip_prefix("seed ")
        .and_then(|rest| rest.split(':').next());
    assert!(
        seed.is_some_and(|seed| seed.parse::<u64>().is_ok()),
        "{first}"
    );
}

#[test]
fn each_event_is_a_line() {
    let output = world(&[
        "--seed",
        "1",
        "--devices",
        "1",
        "--for",
        "1m",
        "--faults",
        "none",
        "--trace",
    ]);
    let lines = text(&output.stdout);
    assert!(
        lines.contains("00:00:00.000 device 0: starts for the 1. time: power"),
        "{lines}"
    );
    assert!(
        lines.contains("device 0: reading 2 is at the broker"),
        "{lines}"
    );
}

/// A step of the sweep is repeated alone, as it is printed for one that failed.
#[test]
fn a_step_of_the_sweep_is_repeated() {
    let output = world(&["--seed", "1", "--inject", "tcp-reset@2000", "--trace"]);
    assert!(output.status.success());
    let lines = text(&output.stdout);
    assert!(
        lines.contains("device 0: fault begins: tcp-reset"),
        "{lines}"
    );
    assert!(lines.contains("violations   none"));
}

#[test]
fn a_picture_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("timeline.svg");
    let name = file.to_str().unwrap();
    let output = world(&[
        "--seed",
        "3",
        "--devices",
        "2",
        "--for",
        "3h",
        "--svg",
        name,
    ]);
    assert!(output.status.success());
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.contains("2 devices over 3 h, seed 3"));
    let missing = folder.path().join("no/such/folder.svg");
    let output = world(&["--for", "1m", "--svg", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot write"),
        "{}",
        text(&output.stderr)
    );
}

/// What does not exist, or does not fit together, is said so.
#[test]
fn mistakes_are_usage_errors() {
    for (arguments, words) in [
        (&["--faults", "tcp-rest"][..], "did you mean tcp-reset?"),
        (&["--for", "30"], "for example 30s"),
        (&["--devices", "0"], "1..=10000"),
        (&["--inject", "tcp-reset"], "tcp-reset@1234"),
        (&["--sweep", "--devices", "3"], "cannot be used with"),
    ] {
        let output = world(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
    let help = world(&["--help"]);
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("The access point restarts"));
}
