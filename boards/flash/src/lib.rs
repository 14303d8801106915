//! What lies in the flash of a board, and how it is read and written there.
//!
//! - [`layout`]: which part of the flash holds what.
//! - [`config`]: the configuration, as a record that a PC writes and a board reads.
//! - [`store`]: what the board itself keeps, so that a power cut at any moment
//!   leaves the old state or the new one.
//! - [`chip`]: which pins a chip has, for whoever makes a configuration.
//!
//! Nothing here knows how a flash is reached: it is anything with the traits of
//! `embedded-storage-async`.
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

pub mod chip;
pub mod config;
pub mod layout;
pub mod store;

mod crc;

pub use chip::Chip;
pub use config::Config;
pub use crc::crc32;
pub use store::Store;
