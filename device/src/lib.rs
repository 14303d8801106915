//! What every device does, written against board traits.
//!
//! A [`Device`] is a state machine like the session it speaks through: it takes
//! events, measurements and the time, and tells its [`Board`] what to do. It
//! never waits, so sensor and lamp go on whatever the network does.
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

mod backlog;
mod board;
mod counters;
mod device;
mod sensor;
mod settings;
#[cfg(test)]
mod tests;

pub use board::{Board, Notice, Saved, Vitals};
pub use device::{Device, Reaction};
pub use settings::{Memory, Settings};
