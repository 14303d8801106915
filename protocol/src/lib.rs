//! Topics and payloads that an Aldis device and its hub share.
//!
//! Everything encodes into a buffer of the caller's and decodes by borrowing; no
//! input makes it panic, and none of it needs a heap. Temperatures and humidities
//! are whole tenths throughout, so that no rounding happens on the way.
#![no_std]
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

#[cfg(test)]
extern crate std;

pub mod topic;

mod climate;
mod diag;
mod error;
mod json;
mod reading;
mod words;
mod writer;

pub use climate::{Climate, decode_ack, encode_ack, encode_readout};
pub use diag::{Diag, Dropped, Reconnects};
pub use error::{BufferTooSmall, DecodeError};
pub use reading::{Reading, Tenths};
pub use topic::{Topic, Topics};
pub use words::{Availability, Lamp, LampCommand, ResetReason, SensorState};
