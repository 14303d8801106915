//! Chores of the Aldis repository: `cargo xtask <chore>`.

mod bench;
mod fuzz;
mod picture;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

/// Chores of the Aldis repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    Bench(bench::Bench),
    Fuzz(fuzz::Fuzz),
    Picture(picture::Picture),
}

fn main() -> ExitCode {
    let result = match Chore::parse() {
        Chore::Bench(bench) => bench.run(),
        Chore::Fuzz(fuzz) => fuzz.run(),
        Chore::Picture(picture) => picture.run(),
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
