//! `cargo xtask sizes`: what the firmware takes of a board's flash and RAM.
//!
//! The figures of the last time that somebody agreed to them are in `xtask/sizes.json`, and in
//! the README's table. Both are written together; a check finds what has moved away from them.

mod baseline;
pub mod board;
mod elf;
mod goals;
mod image;
mod readme;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use baseline::Baseline;
use board::Board;
use elf::{Contents, Function};

/// The command that agrees to new figures.
const AGREE: &str = "cargo xtask sizes --write";

/// Build the firmware and measure what it takes of flash and RAM.
///
/// RAM that is free is what is left of all that the linker may use, without data and code, the
/// stack and the heap that the radio has. What the display shows is among the data.
/// Example: `cargo xtask sizes esp32c3`.
#[derive(Args)]
pub struct Sizes {
    /// What to measure; else everything.
    #[arg(value_name = "CHIP")]
    boards: Vec<Board>,
    /// A program `aldis` that is built already; else one is built.
    #[arg(long, value_name = "FILE")]
    aldis: Option<PathBuf>,
    /// Print one JSON object per board instead of a table.
    #[arg(long)]
    json: bool,
    /// Record the figures, and renew the table in README.md.
    #[arg(long)]
    write: bool,
    /// Fail if a goal is missed, or if a figure has moved away from the recorded one.
    #[arg(long, conflicts_with = "write")]
    check: bool,
}

/// What a board's firmware takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// The application in the flash.
    flash: u64,
    /// Data and code that are in RAM all the time.
    static_ram: u64,
    /// The heap, which only the radio uses.
    heap: u64,
    /// RAM that is left for what does not exist yet.
    free_ram: u64,
    /// The largest task.
    task: u64,
}

/// A board's figures, and what is said beside them.
struct Measured {
    board: Board,
    figures: Figures,
    task: String,
    functions: Vec<Function>,
}

impl Sizes {
    /// Builds, measures and reports.
    pub fn run(self) -> Result<()> {
        let boards = match self.boards.is_empty() {
            true => Board::ALL.to_vec(),
            false => self.boards,
        };
        let aldis = self.aldis.as_deref();
        let measured = boards.into_iter().map(|board| measure(board, aldis));
        let measured = measured.collect::<Result<Vec<_>>>()?;
        match self.json {
            true => table::print_json(&measured),
            false => table::print(&measured),
        }
        if self.write {
            let mut baseline = Baseline::read().unwrap_or_default();
            measured.iter().for_each(|one| baseline.set(one));
            baseline.write()?;
            return readme::write(&baseline);
        }
        if self.check {
            return check(&measured);
        }
        Ok(())
    }
}

fn measure(board: Board, aldis: Option<&Path>) -> Result<Measured> {
    let program = board.build()?;
    let read = || {
        let bytes = fs::read(&program)?;
        elf::read(&bytes, &board.ram())
    };
    let contents = read().with_context(|| format!("in {}", program.display()))?;
    let flash = match board {
        Board::Esp32c3 | Board::Esp32c6 => image::application(board, &program, aldis)?,
        Board::Virt => contents.loaded,
    };
    Ok(Measured {
        board,
        figures: figures(&contents, flash, board.ram_len(), board.stack()?),
        task: contents.task.name,
        functions: contents.functions,
    })
}

fn figures(contents: &Contents, flash: u64, ram: u64, stack: u64) -> Figures {
    let used = contents.fixed + contents.heap + stack;
    Figures {
        flash,
        static_ram: contents.fixed,
        heap: contents.heap,
        free_ram: ram.saturating_sub(used),
        task: contents.task.size,
    }
}

/// The error names everything that is wrong.
fn check(measured: &[Measured]) -> Result<()> {
    let baseline = Baseline::read()?;
    let mut faults = Vec::new();
    for Measured { board, figures, .. } in measured {
        faults.extend(goals::missed(*board, figures));
        faults.extend(baseline.moved(board.as_str(), figures));
    }
    faults.extend(readme::stale(&baseline)?);
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "the firmware's size is not as agreed:\n{}",
        faults.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part that is forgotten makes the RAM look larger than it is.
    #[test]
    fn what_is_left_is_free() {
        let contents = Contents {
            loaded: 0,
            fixed: 100_000,
            heap: 80_000,
            task: Function {
                name: "main".into(),
                size: 5_000,
            },
            functions: vec![],
        };
        let figures = figures(&contents, 600_000, 380_000, 32_768);
        assert_eq!(figures.flash, 600_000);
        assert_eq!(figures.static_ram, 100_000);
        assert_eq!(figures.free_ram, 380_000 - 100_000 - 80_000 - 32_768);
        assert_eq!(super::figures(&contents, 0, 200_000, 32_768).free_ram, 0);
    }
}
