//! Messages for the person at the device, and answers to who sent something.

mod held;
mod letters;
mod queue;
mod tray;

pub(crate) use held::{Held, Print};
pub(crate) use letters::Letters;
pub use letters::{Letter, Mark};
pub(crate) use tray::{Asker, Id, Note, Outcome, Tray, Word};

/// Memory for messages and for answers, lent to a [`Device`](crate::Device).
#[derive(Debug)]
pub struct Mail {
    pub(crate) letters: Letters,
    pub(crate) tray: Tray,
    /// Messages that were handled and are not acknowledged yet.
    pub(crate) held: Held<{ Tray::HELD }>,
}

impl Mail {
    /// How many messages are kept.
    pub const PLACES: usize = Letters::PLACES;

    /// Empty.
    pub const fn new() -> Self {
        Self {
            letters: Letters::new(),
            tray: Tray::new(),
            held: Held::new(),
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}
