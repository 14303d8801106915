//! What the firmware may take, whatever was recorded.

use super::board::Board;
use super::{Figures, table::kib};

/// The chip that the goals are set for: the smallest.
const BOARD: Board = Board::Esp32c3;
/// The application is not larger than this. Half of what it has are the radio's binary
/// libraries. A slot has 1,920.
const FLASH: u64 = 672 * 1024;
/// So much RAM is free at least.
const FREE_RAM: u64 = 96 * 1024;

/// A line for each goal that is missed.
pub fn missed(board: Board, figures: &Figures) -> Vec<String> {
    if board != BOARD {
        return vec![];
    }
    let name = board.as_str();
    let mut missed = vec![];
    if figures.flash > FLASH {
        missed.push(format!(
            "{name}: the application takes {} of flash, {} bytes more than the goal of {}: leave \
             something out; the largest functions are named above",
            kib(figures.flash),
            figures.flash - FLASH,
            kib(FLASH)
        ));
    }
    if figures.free_ram < FREE_RAM {
        missed.push(format!(
            "{name}: {} of RAM are free, {} bytes less than the goal of {}: make statics, tasks or \
             the heap smaller",
            kib(figures.free_ram),
            FREE_RAM - figures.free_ram,
            kib(FREE_RAM)
        ));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check that refuses what it allows would be switched off; one that compares the wrong
    /// way round would let everything pass.
    #[test]
    fn only_what_is_beyond_a_goal_is_named() {
        let mut figures = Figures {
            flash: FLASH,
            static_ram: 0,
            heap: 0,
            free_ram: FREE_RAM,
            task: 0,
        };
        assert_eq!(missed(BOARD, &figures), [""; 0]);
        figures.flash += 1;
        figures.free_ram -= 1;
        let said = missed(BOARD, &figures);
        assert!(said[0].contains("flash, 1 bytes more than the goal of 672.0 KiB"));
        assert!(said[1].contains("free, 1 bytes less than the goal of 96.0 KiB"));
        assert_eq!(missed(Board::Virt, &figures), [""; 0]);
    }
}
