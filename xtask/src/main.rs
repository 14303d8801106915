//! Chores of the Aldis repository: `cargo xtask <chore>`.

mod bench;
mod broken;
mod faults;
mod fuzz;
mod lab;
mod mutants;
mod package;
mod peers;
mod picture;
mod sizes;
mod soak;
mod test;

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

/// Chores of the Aldis repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    Bench(bench::Bench),
    Broken(broken::Broken),
    Faults(faults::Faults),
    Fuzz(fuzz::Fuzz),
    Mutants(mutants::Mutants),
    LabProxy(lab::proxy::LabProxy),
    Package(package::Package),
    Peers(peers::Peers),
    Picture(picture::Picture),
    Sizes(sizes::Sizes),
    Soak(soak::Soak),
    Test(test::Test),
}

fn main() -> ExitCode {
    let result = match Chore::parse() {
        Chore::Bench(bench) => bench.run(),
        Chore::Broken(broken) => broken.run(),
        Chore::Faults(faults) => faults.run(),
        Chore::Fuzz(fuzz) => fuzz.run(),
        Chore::Mutants(mutants) => mutants.run(),
        Chore::LabProxy(proxy) => proxy.run(),
        Chore::Package(package) => package.run(),
        Chore::Peers(peers) => peers.run(),
        Chore::Picture(picture) => picture.run(),
        Chore::Sizes(sizes) => sizes.run(),
        Chore::Soak(soak) => soak.run(),
        Chore::Test(test) => test.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The Cargo that called us.
fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Cargo in a folder.
fn cargo_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command(cargo());
    command.args(arguments).current_dir(folder);
    command
}

/// A program without what the outer Cargo tells us about ourselves: it would make build scripts
/// believe that something changed, and build half the workspace anew.
fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let told = name.to_string_lossy();
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "LD_LIBRARY_PATH"]
            .iter()
            .any(|prefix| told.starts_with(prefix));
        if told {
            command.env_remove(name);
        }
    }
    command
}

/// Where builds go.
fn target_dir() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // Relative to the directory that `cargo xtask` was called in.
    let target = target.unwrap_or_else(|| root().join("target"));
    env::current_dir().unwrap_or_default().join(target)
}
