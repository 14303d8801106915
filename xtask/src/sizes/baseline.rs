//! The recorded figures, and what has moved away from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::table::kib;
use super::{AGREE, Figures, Measured};
use crate::root;

/// How far a figure may move, in percent of the recorded one.
const PERCENT: u64 = 5;

/// The figures of each board.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(pub BTreeMap<String, Figures>);

fn path() -> PathBuf {
    root().join("xtask/sizes.json")
}

impl Baseline {
    /// Reads what is recorded.
    pub fn read() -> Result<Self> {
        let path = path();
        let wrong = || format!("{}: type `{AGREE}` to write it anew", path.display());
        let file = fs::read_to_string(&path).with_context(wrong)?;
        serde_json::from_str(&file).with_context(wrong)
    }

    /// Records a board's figures.
    pub fn set(&mut self, measured: &Measured) {
        let name = measured.board.as_str().to_owned();
        self.0.insert(name, measured.figures);
    }

    /// Writes everything.
    pub fn write(&self) -> Result<()> {
        let path = path();
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A line for each figure that has moved. What became smaller is said as well: the README
    /// would be wrong, and what was gained could be lost unnoticed.
    pub fn moved(&self, board: &str, figures: &Figures) -> Vec<String> {
        let Some(recorded) = self.0.get(board) else {
            return vec![format!("{board}: nothing is recorded; type `{AGREE}`")];
        };
        let pairs = [
            ("flash", recorded.flash, figures.flash),
            ("static RAM", recorded.static_ram, figures.static_ram),
            ("heap", recorded.heap, figures.heap),
            ("free RAM", recorded.free_ram, figures.free_ram),
            ("largest task", recorded.task, figures.task),
        ];
        let moved = pairs
            .into_iter()
            .filter(|(_, recorded, figure)| figure.abs_diff(*recorded) * 100 > recorded * PERCENT);
        moved
            .map(|(what, recorded, figure)| {
                let way = match figure > recorded {
                    true => "grew",
                    false => "shrank",
                };
                let by = match recorded {
                    0 => String::new(),
                    _ => {
                        let by = figure.abs_diff(recorded) as f64 * 100.0 / recorded as f64;
                        format!(" by {by:.1} %")
                    }
                };
                format!(
                    "{board}: {what} {way}{by}, from {} to {}: if that is wanted, type `{AGREE}`",
                    kib(recorded),
                    kib(figure)
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: Figures = Figures {
        flash: 600_000,
        static_ram: 100_000,
        heap: 0,
        free_ram: 160_000,
        task: 5_000,
    };

    fn moved(figures: Figures) -> Vec<String> {
        let baseline = Baseline(BTreeMap::from([("virt".to_owned(), FIGURES)]));
        baseline.moved("virt", &figures)
    }

    /// A check that fails with every other compiler would be switched off.
    #[test]
    fn a_little_growth_passes() {
        let mut figures = FIGURES;
        assert_eq!(moved(figures), [""; 0]);
        figures.flash = 630_000;
        figures.static_ram = 95_000;
        assert_eq!(moved(figures), [""; 0]);
    }

    /// Growth that goes unnoticed, or that nobody knows how to agree to.
    #[test]
    fn more_is_named_with_what_to_type() {
        let mut figures = FIGURES;
        figures.flash = 630_001;
        figures.static_ram = 120_000;
        figures.free_ram = 140_000;
        figures.heap = 1_024;
        assert_eq!(
            moved(figures),
            [
                "virt: flash grew by 5.0 %, from 585.9 KiB to 615.2 KiB",
                "virt: static RAM grew by 20.0 %, from 97.7 KiB to 117.2 KiB",
                "virt: heap grew, from none to 1.0 KiB",
                "virt: free RAM shrank by 12.5 %, from 156.2 KiB to 136.7 KiB",
            ]
            .map(|what| format!("{what}: if that is wanted, type `cargo xtask sizes --write`"))
        );
    }

    /// A new board that nobody watches.
    #[test]
    fn a_board_without_figures_is_named() {
        let said = Baseline::default().moved("virt", &FIGURES);
        assert!(said[0].contains("nothing is recorded"), "{said:?}");
    }

    /// What is written can be read again.
    #[test]
    fn figures_are_kept() {
        let baseline = Baseline(BTreeMap::from([("virt".to_owned(), FIGURES)]));
        let text = serde_json::to_string(&baseline).unwrap();
        let again: Baseline = serde_json::from_str(&text).unwrap();
        assert_eq!(again.0, baseline.0);
    }
}
