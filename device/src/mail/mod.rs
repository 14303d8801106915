//! Messages for the person at the device, and answers to who sent something.

mod held;
mod letters;
mod outgoing;
mod queue;
mod tray;

pub(crate) use held::{Held, Print, Prints};
pub(crate) use letters::Letters;
pub use letters::{Letter, Mark};
pub use outgoing::Outgoing;
pub(crate) use queue::Queue;
pub use tray::Note;
pub(crate) use tray::{Asker, Entry, Id, Outcome, Tray, Word};

/// Memory for messages and for answers, lent to a [`Device`](crate::Device).
#[derive(Debug)]
pub struct Mail {
    pub(crate) letters: Letters,
    pub(crate) tray: Tray,
    /// Messages that were handled and are not acknowledged yet.
    pub(crate) held: Held<{ Tray::HELD }>,
    pub(crate) outgoing: Queue<Outgoing, { Mail::OUTGOING }>,
}

impl Mail {
    /// How many messages are kept.
    pub const PLACES: usize = Letters::PLACES;
    /// How many notes of what became of messages there may be.
    pub const NOTES: usize = Tray::NOTES;
    /// How many messages of the person may be on their way.
    pub const OUTGOING: usize = 4;

    /// Empty.
    pub const fn new() -> Self {
        Self {
            letters: Letters::new(),
            tray: Tray::new(),
            held: Held::new(),
            outgoing: Queue::new(),
        }
    }
}

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}
