//! Breaks session, outbox and supervisor by chance (`cargo mutants`), with the world as the test.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::broken::{self, optimised_little};
use crate::{cargo_in, root, target_dir};

/// What is broken.
const FILES: [&str; 3] = [
    "mqtt/src/session/*.rs",
    "mqtt/src/outbox/*.rs",
    "device/src/supervisor.rs",
];

/// Break session, outbox and supervisor by chance, and see what the world does not notice
///
/// It is cargo-mutants' work, in a copy; what it wrote is in `target/mutants/mutants.out`.
/// `missed.txt` has what nothing noticed: for each there must be a reason, see docs/world.md.
/// All of them take hours. Example: `cargo xtask mutants --only outbox --shard 0/4`.
#[derive(Args)]
pub struct Mutants {
    /// Only those with this in their name, a regular expression
    #[arg(long)]
    only: Option<String>,
    /// One part of so many: 0/4
    #[arg(long)]
    shard: Option<String>,
    /// List them
    #[arg(long)]
    list: bool,
    /// Leave out what was noticed in an earlier run
    #[arg(long)]
    iterate: bool,
}

impl Mutants {
    /// Runs cargo-mutants.
    pub fn run(&self) -> Result<()> {
        let installed = cargo_in(&root(), &["mutants", "--version"]).output();
        if !installed.is_ok_and(|version| version.status.success()) {
            bail!(
                "cargo-mutants is missing; install it with `cargo install --locked cargo-mutants`"
            );
        }
        let copy = broken::copy(&target_dir().join("mutants"))?;
        let mut cargo = cargo_in(&copy, &["mutants", "--in-place", "--profile", "release"]);
        cargo.args(["--package", "aldis-mqtt", "--package", "aldis-device"]);
        for file in FILES {
            cargo.args(["--file", file]);
        }
        if let Some(only) = &self.only {
            cargo.args(["--re", only]);
        }
        if let Some(shard) = &self.shard {
            cargo.args(["--shard", shard]);
        }
        if self.iterate {
            cargo.arg("--iterate");
        }
        if self.list {
            cargo.arg("--list");
        } else {
            cargo.args(["--test-package", "aldis-world"]);
            cargo.args(["--cargo-arg=--example=proof", "--baseline", "skip"]);
            cargo.args(["--timeout", "90", "--build-timeout", "600"]);
        }
        optimised_little(&mut cargo, &copy);
        // What overflows is a mistake.
        cargo.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
        let status = cargo.status().context("cannot start cargo")?;
        // 2: some were missed; 3: some ran into the time limit, which is noticing.
        match status.code() {
            Some(0 | 3) => Ok(()),
            Some(2) => bail!("some were not noticed: see target/mutants/mutants.out/missed.txt"),
            _ => bail!("cargo mutants: {status}"),
        }
    }
}
