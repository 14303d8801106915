//! Pins by their GPIO numbers.

use core::cell::Cell;
use core::fmt;

use aldis_flash::Chip;
use aldis_flash::chip::{Refusal, Role};
use critical_section::Mutex;
use esp_hal::gpio::AnyPin;

/// The chip that this firmware is for.
pub const CHIP: Chip = if cfg!(feature = "esp32") {
    Chip::Esp32
} else if cfg!(feature = "esp32c3") {
    Chip::Esp32C3
} else if cfg!(feature = "esp32c6") {
    Chip::Esp32C6
} else {
    Chip::Esp32S3
};

/// Why a GPIO cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The chip cannot use it for that.
    Refused(Refusal),
    /// It is used already.
    Taken,
    /// What should use it does not start.
    Driver,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Taken => f.write_str("is used already"),
            Self::Driver => f.write_str("has no driver"),
        }
    }
}

/// Hands out a pin, once, for what the chip can use it for.
pub fn take(role: Role, number: u8) -> Result<AnyPin<'static>, Unusable> {
    // An atomic of 64 bits would bring 4 KiB of locks on the ESP32.
    static TAKEN: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

    CHIP.check(role, number).map_err(Unusable::Refused)?;
    let bit = 1u64.checked_shl(number.into()).unwrap_or(0);
    let before = critical_section::with(|cs| {
        let taken = TAKEN.borrow(cs);
        taken.replace(taken.get() | bit)
    });
    if before & bit != 0 {
        return Err(Unusable::Taken);
    }
    // SAFETY: nobody else has this pin: the pins of `Peripherals` are not used,
    // and this function gives each only once. `check` refuses numbers that the
    // chip does not have.
    Ok(unsafe { AnyPin::steal(number) })
}
