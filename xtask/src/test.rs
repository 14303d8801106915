//! `cargo xtask test`: sets up what the tests need and runs every one.

mod lanes;
pub mod setup;
mod step;
mod xtensa;

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::sizes::board::Board;
use crate::{cargo_in, fuzz, root};
use lanes::Lanes;
use step::{Step, seconds};

/// The features with which every test of the workspace is built, all in one build.
const FEATURES: [&str; 2] = ["--features", "aldis-mqtt/embassy,aldis-mqtt/tls"];

/// The manifests beside the workspace's own.
const APART: [&str; 4] = [
    "bench/Cargo.toml",
    "mqtt/fuzz/Cargo.toml",
    "boards/esp/Cargo.toml",
    "boards/virt/Cargo.toml",
];

/// The tests of the board under QEMU, which `cargo test` leaves out.
const BOARD_TESTS: [&str; 2] = ["--test", "virt"];

/// How long each fuzz target runs.
const FUZZ_SECONDS: u64 = 5;

/// Set up what the tests need and run every one.
///
/// Missing programs are installed where that is allowed, else named with the command to type.
/// The full output of each step is kept in `target/xtask-test`.
/// Example: `cargo xtask test --quick`.
#[derive(Args)]
pub struct Test {
    /// Leave out what seldom breaks alone: firmware, documentation, faults, benchmarks, fuzzing.
    #[arg(long)]
    quick: bool,
}

impl Test {
    /// Runs every step, also after one that failed.
    pub fn run(self) -> Result<()> {
        let start = Instant::now();
        setup::run()?;
        if !self.quick {
            fuzz::set_up();
            xtensa::set_up();
        }
        let mut lanes = self.lanes()?;
        let failed = lanes.run()?;
        let took = seconds(start.elapsed());
        ensure!(
            failed.is_empty(),
            "{} of {} steps failed, in {took}: {}",
            failed.len(),
            lanes.len(),
            failed.join(", ")
        );
        println!("All {} steps passed, in {took}.", lanes.len());
        Ok(())
    }

    /// The boards' own code: that of QEMU's machine, and that of the chips by one of them.
    fn board_lints(&self) -> Step {
        let boards = match self.quick {
            true => &[Board::Virt][..],
            false => &[Board::Virt, Board::Esp32c3],
        };
        let commands = boards.iter().map(|board| {
            let mut command = board.cargo("clippy");
            command.args(["--", "-D", "warnings"]);
            command
        });
        Step::new("lints for the boards", commands)
    }

    fn lanes(&self) -> Result<Lanes> {
        let lints = [lints(), chip_lints(), self.board_lints()];
        let mut lanes = Lanes {
            first: vec![formatting()],
            ..Lanes::default()
        };
        if self.quick {
            lanes.first.extend(lints);
            lanes.first.push(tests());
            return Ok(lanes);
        }
        // The tests come after what else builds the programs that they start.
        lanes.first.extend([cluster(), build()]);
        let ourselves = env::current_exe().context("cannot find this program's file")?;
        let ourselves = |arguments: &[&str]| {
            let mut command = Command::new(&ourselves);
            command.args(arguments);
            command
        };
        lanes.waiting.extend([
            tests(),
            web(),
            board(),
            faults(ourselves(&["faults", "--quick", "--aldis"])),
            Step::new(
                "beside other clients",
                [ourselves(&[
                    "peers",
                    "--only",
                    "aldis-mqtt",
                    "--quick",
                    "--json",
                ])],
            )
            .noting(step::contact),
            match fuzz::check() {
                Ok(()) => {
                    let seconds = FUZZ_SECONDS.to_string();
                    Step::new("fuzzing", [ourselves(&["fuzz", "--seconds", &seconds])])
                }
                Err(missing) => Step::without("fuzzing", missing.to_string()),
            },
        ]);
        let mut sizes = ourselves(&["sizes", "--check", "--json", "--aldis"]);
        sizes.arg(built("aldis"));
        lanes.meanwhile.extend([
            // These build in a folder of their own: Cargo is free for the tests to begin.
            benchmarks(),
            Step::new(
                "size, instructions",
                [ourselves(&["bench", "--check", "--json"])],
            )
            .noting(step::costs),
        ]);
        lanes.meanwhile.extend(lints);
        lanes.meanwhile.extend([
            cluster_lints(),
            match xtensa::check() {
                Ok(()) => Step::new("firmware for Xtensa", xtensa::commands()),
                Err(missing) => Step::without("firmware for Xtensa", missing.to_string()),
            },
            Step::new("firmware", [sizes]).noting(step::sizes),
            chip_release(),
            // A product that is broken on purpose, each promise once: whether the world notices.
            Step::new("broken on purpose", [ourselves(&["broken", "--quick"])])
                .noting(step::last_line),
            documentation(),
        ]);
        Ok(lanes)
    }
}

/// Cargo at the root of the repository.
fn cargo_with(arguments: &[&str]) -> Command {
    cargo_in(root(), arguments)
}

fn formatting() -> Step {
    let mut commands = vec![cargo_with(&["fmt", "--all", "--check"])];
    commands.extend(
        APART.map(|manifest| cargo_with(&["fmt", "--all", "--check", "--manifest-path", manifest])),
    );
    Step::new("formatting", commands)
}

fn lints() -> Step {
    // Cargo does not take what is tested by itself for one of all targets.
    let commands = [&["--all-targets"][..], &BOARD_TESTS].map(|targets| {
        let mut command = cargo_with(&["clippy", "--workspace", "--locked"]);
        command.args(targets).args(FEATURES);
        command.args(["--", "-D", "warnings"]);
        command
    });
    Step::new("lints", commands)
}

/// What runs on a chip compiles without the standard library, as the chips have it.
fn chip_lints() -> Step {
    let rooms = [
        "-p",
        "aldis-mqtt",
        "-p",
        "aldis-protocol",
        "-p",
        "aldis-device",
        "-p",
        "aldis-panel",
    ];
    let mut commands = Vec::new();
    for target in setup::TARGETS {
        for features in [&[][..], &["--features", "aldis-mqtt/embassy"]] {
            let mut command = cargo_with(&["clippy", "--locked", "--target", target]);
            command.args(rooms).args(features);
            commands.push(command);
            if let Some(command) = commands.last_mut() {
                command.args(["--", "-D", "warnings"]);
            }
        }
    }
    Step::new("lints for the chips", commands)
}

/// The tests of the workspace, and the programs that they start.
fn build() -> Step {
    let commands = [&[][..], &BOARD_TESTS].map(|targets| {
        let mut command = cargo_with(&["test", "--workspace", "--locked", "--no-run"]);
        command.args(targets).args(FEATURES);
        command
    });
    Step::new("build", commands)
}

/// A program that the build of the tests has made.
fn built(name: &str) -> PathBuf {
    crate::target_dir().join("debug").join(name)
}

fn tests() -> Step {
    let mut command = cargo_with(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(FEATURES);
    Step::new("tests", [command]).noting(step::tests)
}

/// The dashboard's front end: by itself, in a browser with a made-up hub, and with ours.
fn web() -> Step {
    let name = "dashboard in a browser";
    let npm = |arguments: &[&str]| {
        let mut command = Command::new("npm");
        command.args(arguments).current_dir(root().join("web"));
        command
    };
    let there = npm(&["--version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return Step::without(
            name,
            "npm is missing; install Node.js 20 (https://nodejs.org)".to_owned(),
        );
    }
    let mut real = npm(&["run", "e2e:real"]);
    real.env("ALDIS_SERVE", built("examples/serve"));
    let commands = [
        npm(&["ci", "--no-audit", "--no-fund"]),
        npm(&["test"]),
        npm(&["run", "e2e"]),
        real,
    ];
    Step::new(name, commands)
}

/// They wait most of the time, and take turns only if there are few threads.
fn board() -> Step {
    let mut command = cargo_with(&["test", "--workspace", "--locked"]);
    command.args(BOARD_TESTS).args(FEATURES);
    command.args(["--", "--test-threads", "8"]);
    let mut note: fn(&str) -> String = step::tests;
    if !setup::is_root() {
        command.env("ALDIS_SKIP_NAMESPACES", "1");
        note =
            |output| step::tests(output) + "; WITHOUT NETWORKS THAT FAIL, which only root can make";
    }
    Step::new("board under QEMU", [command]).noting(note)
}

/// Cargo for the build of a hub that joins others.
///
/// All of the workspace is selected each time: of a single package Cargo would choose other
/// features, and build its dependencies once more.
fn cargo_for_cluster(arguments: &[&str]) -> Command {
    let features = format!("{},aldis/cluster", FEATURES[1]);
    let mut command = cargo_with(arguments);
    command.args(["--workspace", "--locked", FEATURES[0], &features]);
    command
}

fn cluster_lints() -> Step {
    let mut command = cargo_for_cluster(&["clippy", "--test", "cluster"]);
    command.args(["--", "-D", "warnings"]);
    Step::new("lints for the cluster", [command])
}

/// Three hubs that are one broker, and the tests beside the code that only they have.
fn cluster() -> Step {
    let mut beside = cargo_for_cluster(&["test", "--lib"]);
    beside.args(["--", "cluster::", "peers::", "reach::"]);
    let hubs = cargo_for_cluster(&["test", "--test", "cluster"]);
    Step::new("cluster", [beside, hubs]).noting(step::tests)
}

/// The device at real brokers, over networks that fail.
fn faults(mut command: Command) -> Step {
    const NAME: &str = "faults";
    if !setup::is_root() {
        let why = "THE DEVICE MEETS NO NETWORK THAT FAILS, which only root can make";
        return Step::without(NAME, why.to_owned());
    }
    command.arg(built("aldis"));
    Step::new(NAME, [command]).noting(step::faults)
}

fn documentation() -> Step {
    let mut command = cargo_with(&["doc", "--workspace", "--no-deps", "--locked"]);
    command.args(FEATURES).env("RUSTDOCFLAGS", "-D warnings");
    Step::new("documentation", [command])
}

/// Optimised as on a chip: what only an optimised build refuses would be found by its users.
fn chip_release() -> Step {
    let commands = setup::TARGETS.map(|target| {
        let mut command = cargo_with(&["build", "--release", "--locked", "--target", target]);
        command.args([
            "-p",
            "aldis-mqtt",
            "-p",
            "aldis-protocol",
            "-p",
            "aldis-device",
        ]);
        command
    });
    Step::new("release for the chips", commands)
}

/// The benchmark's programs compile; each client is built by itself.
fn benchmarks() -> Step {
    let programs = [
        ["bench-instructions", "--features", "aldis-mqtt"],
        ["bench-roundtrip", "--bin", "bench-roundtrip"],
        [
            "bench-peers",
            "--features",
            "aldis-mqtt,rumqttc,minimq,rust-mqtt",
        ],
    ];
    let commands = programs.map(|[package, option, value]| {
        let mut command = cargo_with(&["clippy", "--locked", "--manifest-path", APART[0]]);
        command
            .args(["-p", package, option, value, "--target-dir"])
            .arg(crate::target_dir().join("bench"))
            .args(["--", "-D", "warnings"]);
        command
    });
    Step::new("benchmarks", commands)
}
