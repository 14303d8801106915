//! Runs the fuzz targets of `mqtt/fuzz`, each for a while.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{root, target_dir};

/// The version of cargo-fuzz that is installed where there is none.
const VERSION: &str = "0.13.2";

const TARGETS: [&str; 4] = ["decode", "roundtrip", "session", "payloads"];

/// Run every fuzz target for a while, from the committed corpora.
///
/// What is found is kept in `mqtt/fuzz/artifacts`; the command that repeats it is printed.
/// Example: `cargo xtask fuzz --seconds 600`.
#[derive(Args)]
pub struct Fuzz {
    /// How long each target runs.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

impl Fuzz {
    /// Runs them all.
    pub fn run(&self) -> Result<()> {
        run(self.seconds)
    }
}

/// Runs each target for so many seconds; the first finding is an error.
pub fn run(seconds: u64) -> Result<()> {
    check()?;
    let folder = root().join("mqtt/fuzz");
    for target in TARGETS {
        eprintln!("fuzzing {target} for {seconds} s");
        // New inputs go to the target folder, not among the committed ones.
        let found = folder.join("target/corpus").join(target);
        std::fs::create_dir_all(&found)
            .with_context(|| format!("cannot create {}", found.display()))?;
        let status = cargo()
            .args(["+nightly", "fuzz", "run", "--fuzz-dir", ".", target])
            .arg(&found)
            .arg(folder.join("corpus").join(target))
            .args([
                "--",
                "-max_len=2048",
                "-verbosity=0",
                "-print_final_stats=1",
            ])
            .arg(format!("-max_total_time={seconds}"))
            .current_dir(&folder)
            .status()
            .context("cannot start cargo")?;
        if !status.success() {
            bail!(
                "{target} found something (see above); the input is in mqtt/fuzz/artifacts/{target}"
            );
        }
    }
    Ok(())
}

/// Installs what is missing: a nightly toolchain by rustup, and cargo-fuzz among our own builds.
/// Where that fails, [`check`] says what to type.
pub fn set_up() {
    let install = |program: &str, arguments: &[&str], missing: Result<()>| {
        if missing.is_err() {
            println!("{program} {}", arguments.join(" "));
            let mut command = clean(program);
            let _ = command.args(arguments).stdin(Stdio::null()).status();
        }
    };
    let nightly = ["toolchain", "install", "nightly", "--profile", "minimal"];
    install("rustup", &nightly, has_nightly());
    let tools = tools().display().to_string();
    let fuzz = ["install", "cargo-fuzz", "--version", VERSION, "--locked"];
    let fuzz = [&fuzz[..], &["--quiet", "--root", &tools]].concat();
    install("cargo", &fuzz, has_cargo_fuzz());
}

/// Says what to type where something is missing.
pub fn check() -> Result<()> {
    has_nightly()?;
    has_cargo_fuzz()
}

fn has_nightly() -> Result<()> {
    require(
        &["+nightly", "--version"],
        "rustup toolchain install nightly --profile minimal",
    )
}

fn has_cargo_fuzz() -> Result<()> {
    require(&["fuzz", "--version"], "cargo install cargo-fuzz --locked")
}

/// Where our own tools are installed.
fn tools() -> PathBuf {
    target_dir().join("tools")
}

/// Cargo with our own tools.
fn cargo() -> Command {
    let mut command = clean("cargo");
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([tools().join("bin")]);
    if let Ok(path) = env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}

/// A program through rustup's proxy: `+nightly` is meant for that, and the
/// variables that an outer cargo sets would bind it to its own toolchain.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

fn require(arguments: &[&str], remedy: &str) -> Result<()> {
    let output = cargo().args(arguments).output();
    if output.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    bail!(
        "`cargo {}` does not work, which fuzzing needs: type `{remedy}`",
        arguments.join(" ")
    );
}
