//! What boards with embassy's network and clock share: all of a device but its
//! hardware.
//!
//! A board brings its [`Hardware`], its [`Sensor`], its flash and an embassy-net
//! stack; [`run`] is the device. What it says on the console is in [`console`];
//! what it does without a configuration, in [`without_config`].
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

pub mod console;
pub mod radio;
pub mod witness;

mod board;
mod display;
mod network;
mod run;
mod signals;

pub use network::{SOCKETS, dhcp};
pub use run::{CONFIG_LEN, Memory, Parts, Start, read_config, run};
pub use signals::{flashes, without_config};

use core::fmt;

use aldis_device::dht::Pulse;
use aldis_device::screen::Wifi;
use aldis_device::{Order, Radio, Vitals};
use aldis_flash::config::Level;
use aldis_protocol::Lamp;

/// What a board has but for sensor, flash and network.
pub trait Hardware {
    /// Lights or darkens the lamp.
    fn light(&mut self, lamp: Lamp);

    /// How the board is; the losses of addresses are counted here already.
    fn vitals(&mut self) -> Vitals;

    /// How well the access point is heard, for the display.
    fn wifi(&mut self) -> Wifi {
        Wifi::Absent
    }

    /// Feeds the watchdog.
    fn feed(&mut self);

    /// How the radio is. Asked once a second.
    fn radio(&mut self) -> Radio;

    /// Does what the supervisor wants of the radio.
    fn order(&mut self, order: Order);

    /// Restarts the board, as somebody told it to. It may return before that.
    fn restart(&mut self);

    /// Prints a line on the console, if it is to say that much.
    fn print(&mut self, level: Level, line: fmt::Arguments<'_>);
}

/// The climate sensor.
pub trait Sensor {
    /// Asks it and gives how many pulses came. Takes less than
    /// [`Device::MEASUREMENT_MS`](aldis_device::Device::MEASUREMENT_MS), whatever
    /// the wire does.
    fn measure(&mut self, pulses: &mut [Pulse]) -> impl Future<Output = usize>;
}

/// The button.
pub trait Button {
    /// Waits until the contact closes or opens, and says whether it is closed. Dropped
    /// meanwhile, it loses nothing that the next call does not find.
    fn edge(&mut self) -> impl Future<Output = bool>;
}

/// A board without a button.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoButton;

impl Button for NoButton {
    async fn edge(&mut self) -> bool {
        core::future::pending().await
    }
}

/// The most pulses of a measurement: an AM2301 sends 64 bits.
pub const PULSES: usize = 140;
