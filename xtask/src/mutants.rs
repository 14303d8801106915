//! Breaks session, outbox and supervisor by chance (`cargo mutants`), with the world as the test.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{broken, cargo_in, root, target_dir};

/// What is broken, and by what it has to be noticed.
struct Pass {
    files: &'static [&'static str],
    package: &'static str,
    /// A target of Cargo.
    test: &'static str,
    /// As little optimisation as makes building and running it quickest.
    optimised: &'static str,
    /// Some four times what it takes.
    timeout_s: &'static str,
}

/// The session, driven against the world's broker; then, for what that did not notice, its
/// driver; then, for what is left and for the supervisor, whole devices in the world.
const PASSES: [Pass; 3] = [
    Pass {
        files: &SESSION,
        package: "aldis-mqtt",
        test: "--test=session",
        optimised: "1",
        timeout_s: "15",
    },
    Pass {
        files: &SESSION,
        package: "aldis-mqtt",
        test: "--test=link",
        optimised: "1",
        timeout_s: "15",
    },
    Pass {
        files: &["device/src/supervisor.rs", SESSION[0], SESSION[1]],
        package: "aldis-world",
        test: "--example=proof",
        optimised: "2",
        timeout_s: "90",
    },
];

const SESSION: [&str; 2] = ["mqtt/src/session/*.rs", "mqtt/src/outbox/*.rs"];

/// Break session, outbox and supervisor by chance, and see what the world does not notice
///
/// It is cargo-mutants' work, in a copy; what it wrote is in `target/mutants/mutants.out`.
/// `missed.txt` has what nothing noticed: docs/mutants.md has the reasons. All of them
/// take some three hours. Example: `cargo xtask mutants --only Outbox --shard 0/4`.
#[derive(Args)]
pub struct Mutants {
    /// Only those with this in their name, a regular expression
    #[arg(long)]
    only: Option<String>,
    /// One part of so many: 0/4
    #[arg(long)]
    shard: Option<String>,
    /// Leave out what was noticed in an earlier run
    #[arg(long)]
    iterate: bool,
}

impl Mutants {
    /// Runs cargo-mutants.
    pub fn run(&self) -> Result<()> {
        let installed = cargo_in(root(), &["mutants", "--version"]).output();
        if !installed.is_ok_and(|version| version.status.success()) {
            bail!(
                "cargo-mutants is missing; install it with `cargo install --locked cargo-mutants`"
            );
        }
        let copy = broken::copy(&target_dir().join("mutants"))?;
        let mut all_noticed = true;
        for (at, pass) in PASSES.iter().enumerate() {
            all_noticed = self.pass(&copy, pass, self.iterate || at > 0)?;
        }
        match all_noticed {
            true => Ok(()),
            false => bail!("some were not noticed: see target/mutants/mutants.out/missed.txt"),
        }
    }

    /// Says whether everything was noticed.
    fn pass(&self, copy: &Path, pass: &Pass, iterate: bool) -> Result<bool> {
        println!("{} {}", pass.package, pass.test);
        let mut cargo = cargo_in(copy, &["mutants", "--in-place", "--baseline", "skip"]);
        cargo.args(["--timeout", pass.timeout_s, "--build-timeout", "600"]);
        cargo.args(["--package", "aldis-mqtt", "--package", "aldis-device"]);
        cargo.args(["--test-package", pass.package]);
        cargo.arg(format!("--cargo-arg={}", pass.test));
        for file in pass.files {
            cargo.args(["--file", file]);
        }
        if let Some(only) = &self.only {
            cargo.args(["--re", only]);
        }
        if let Some(shard) = &self.shard {
            cargo.args(["--shard", shard]);
        }
        if iterate {
            cargo.arg("--iterate");
        }
        cargo
            .env("CARGO_TARGET_DIR", copy.join("target"))
            // What overflows panics, which is noticed.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", pass.optimised)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "-Awarnings");
        let status = cargo.status().context("cannot start cargo")?;
        // 2: some were missed; 3: some ran into the time limit, which is noticing.
        match status.code() {
            Some(0 | 3) => Ok(true),
            Some(2) => Ok(false),
            _ => bail!("cargo mutants: {status}"),
        }
    }
}
