//! The board as the device sees it.

use core::fmt;

use aldis_device::screen::Wifi;
use aldis_device::{Order, Radio, Vitals};
use aldis_embassy::{Hardware, radio};
use aldis_flash::config::Level;
use aldis_protocol::{Lamp, ResetReason};

use crate::watchdog::Watchdog;
use crate::{console, lamp, memory, reset};

/// Lamp, watchdog, radio and console.
pub struct Board {
    /// None, if it has no pin that can be used.
    lamp: Option<lamp::Lamp>,
    watchdog: Watchdog,
    radio: &'static radio::State,
    reset: Option<ResetReason>,
}

impl Board {
    /// A board that started for this reason.
    pub fn new(
        lamp: Option<lamp::Lamp>,
        watchdog: Watchdog,
        radio: &'static radio::State,
        reset: Option<ResetReason>,
    ) -> Self {
        Self {
            lamp,
            watchdog,
            radio,
            reset,
        }
    }
}

impl Hardware for Board {
    fn light(&mut self, state: Lamp) {
        if let Some(lamp) = &mut self.lamp {
            lamp.light(state);
        }
    }

    fn vitals(&mut self) -> Vitals {
        let heap = memory::heap();
        Vitals {
            reset: self.reset,
            rssi_dbm: self.radio.rssi_dbm(),
            free: Some(heap.free),
            free_min: Some(heap.least),
            wifi_losses: Some(self.radio.losses()),
            dhcp_losses: None,
        }
    }

    fn wifi(&mut self) -> Wifi {
        match self.radio.look().joined {
            true => Wifi::Joined(self.radio.rssi_dbm().unwrap_or(i8::MIN)),
            false => Wifi::Lost,
        }
    }

    fn feed(&mut self) {
        self.watchdog.feed();
    }

    fn radio(&mut self) -> Radio {
        self.radio.look()
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Reset => reset::order(format_args!("supervisor")),
            Order::Rejoin | Order::Reinitialise => self.radio.order(order),
        }
    }

    fn restart(&mut self) {
        reset::order(format_args!("command"))
    }

    fn print(&mut self, level: Level, line: fmt::Arguments<'_>) {
        console::line(level, line);
    }
}
