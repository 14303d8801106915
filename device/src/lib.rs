//! What every device does, written against board traits.
//!
//! A [`Device`] is a state machine like the session it speaks through: it takes
//! events, measurements and the time, and tells its [`Board`] what to do. It
//! never waits, so sensor and lamp go on whatever the network does.
//!
//! # How a board runs it
//!
//! ```
//! use aldis_device::{Backlog, Board, Device, Mail, Memory, Notice, Saved, Settings, Vitals};
//! use aldis_mqtt::{Instant, Session};
//! use aldis_protocol::Lamp;
//!
//! /// A board with nothing on it.
//! struct Bare;
//!
//! impl Board for Bare {
//!     fn measure(&mut self) {} // start the sensor; its pulses go to Device::measured
//!     fn light(&mut self, _lamp: Lamp) {}
//!     fn save(&mut self, _saved: &Saved) {}
//!     fn restart(&mut self) {}
//!     fn vitals(&mut self) -> Vitals {
//!         Vitals::default()
//!     }
//!     fn notice(&mut self, _notice: Notice<'_>) {}
//! }
//!
//! /// One turn: everything that has happened, then everything that is due.
//! /// Says when the next turn is at the latest.
//! fn turn(
//!     device: &mut Device<'_>,
//!     session: &mut Session<'_>,
//!     board: &mut Bare,
//!     now: Instant,
//! ) -> Instant {
//!     while let Some(event) = session.poll(now) {
//!         let reaction = device.event(&event, now, board);
//!         device.react(reaction, session, board);
//!     }
//!     device.run(session, now, board)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new("aldis", "kitchen")?;
//! let (mut memory, mut backlog, mut mail) = (Memory::new(), Backlog::new(), Mail::new());
//! let mut board = Bare;
//! let now = Instant::from_millis(0);
//! let saved = Saved::default();
//! let mut device: Device<'_> =
//!     Device::new(settings, saved, &mut backlog, &mut mail, now, &mut board);
//! let mut session = memory.session(&settings, 42, now)?;
//! device.subscribe(&mut session)?;
//! let next = turn(&mut device, &mut session, &mut board, now);
//! assert!(next > now);
//! # Ok(())
//! # }
//! ```
//!
//! The session is driven beside it, by a driver of [`aldis_mqtt::link`] or by
//! hand. A message is acknowledged in [`Device::react`], after what it asks for
//! was done and saved.
//!
//! # What it keeps, and for how long
//!
//! The lamp and the numbers ([`Saved`]) outlive a restart, and so do readings where
//! the board can keep them ([`Board::keep`], [`Device::recall`]), messages, what became
//! of those that are not kept, and what the person sends. Readings wait in
//! memory, the newest 512 of them (the parameter of [`Device`]), until the broker
//! has them or, with [`Settings::confirm`], until a recorder does. When the
//! connection ends, those under way are taken back from the session and sent with
//! their true age on the next one.
//!
//! # What keeps it running
//!
//! A device that restarts again and again without lasting for a minute leaves its
//! sensor alone ([`Settings::start_limit`]): contact matters more. The
//! [`Supervisor`] says when a board's radio is to be helped.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod dht;
pub mod morse;
pub mod screen;

mod backlog;
mod board;
mod button;
mod counters;
mod device;
mod lights;
mod mail;
mod quiet;
mod recent;
mod sensor;
mod settings;
mod supervisor;
#[cfg(test)]
mod tests;
mod ui;

pub use backlog::Backlog;
pub use board::{Board, GivenUp, Kept, Notice, Recalled, Saved, Vitals};
pub use button::{Button, Certain, Press};
pub use device::{Device, Facts, Reaction};
pub use mail::{Letter, Mail, Mark, Note, Outgoing};
pub use recent::Recent;
pub use settings::{Memory, Settings};
pub use supervisor::{Order, Radio, Supervisor};
