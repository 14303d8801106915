//! Topics and payloads that an Aldis device and its hub share.
//!
//! Everything encodes into a buffer of the caller's and decodes by borrowing; no
//! input makes it panic, and none of it needs a heap. Temperatures and humidities
//! are whole tenths throughout, so that no rounding happens on the way.
#![no_std]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod reading;

pub use reading::{Reading, Tenths};
