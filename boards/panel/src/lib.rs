//! A model of the SSD1306 display controller and of the panel of 128x64 pixels that
//! is glued to it, as seen from the I2C bus.
//!
//! [`Ssd1306`] is an I2C bus with this one device on it: give it to a driver in place
//! of the chip's bus. It implements `I2c` of `embedded-hal` and of
//! `embedded-hal-async`, so any driver will do, and the one under test is the one that
//! runs on a chip. What the driver sent becomes a [`Picture`]: what is in the RAM, and
//! what a person sees on the panel. The bus counts its bits, for what a transfer takes,
//! and can fail in the ways that buses fail.
//!
//! ```
//! use aldis_panel::Ssd1306;
//! use embedded_hal::i2c::I2c;
//!
//! let mut panel = Ssd1306::new();
//! // Horizontal addressing, charge pump on, display on.
//! panel.write(0x3C, &[0x00, 0x20, 0x00, 0x8D, 0x14, 0xAF])?;
//! panel.write(0x3C, &[0x40; 1 + 1024])?;
//! assert!(panel.ram().get(0, 6) && !panel.ram().get(0, 7));
//! // The second transaction: control byte and RAM, nine bits each, between START,
//! // address and STOP.
//! assert_eq!(panel.traffic().longest, 1 + 9 + 9 * 1025 + 1);
//! # Ok::<(), aldis_panel::Error>(())
//! ```
//!
//! The model follows the data sheet, SSD1306 revision 1.1 of April 2008; where that is
//! silent or real panels differ, the item's documentation says what the model does.
//!
//! To hold on to a panel that a driver owns, lend it (`&mut Ssd1306` is a bus too), or
//! use [`Wired`] or, with the feature `std`, `Shared`.
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

#[cfg(feature = "std")]
extern crate std;

mod bus;
mod controller;
#[cfg(feature = "std")]
pub mod golden;
mod picture;
#[cfg(feature = "std")]
pub mod png;
mod shared;
mod ssd1306;

pub use bus::{Error, Traffic, micros};
#[cfg(feature = "std")]
pub use golden::assert_golden;
pub use picture::Picture;
#[cfg(feature = "std")]
pub use shared::Shared;
pub use shared::Wired;
pub use ssd1306::Ssd1306;

/// The columns of the panel.
pub const WIDTH: u8 = 128;
/// The rows of the panel.
pub const HEIGHT: u8 = 64;
