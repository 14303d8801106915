//! The bus of the display.

use aldis_flash::chip::Role;
use embedded_hal_async::i2c::{ErrorType, I2c, Operation};
use esp_hal::Async;
use esp_hal::gpio::AnyPin;
use esp_hal::i2c::master::{self, Config, Error};
use esp_hal::peripherals::I2C0;
use esp_hal::time::Rate;

use crate::pins;
use crate::tell;

/// As fast as the display takes it (SSD1306 data sheet, table 13-6).
const FREQUENCY: Rate = Rate::from_khz(400);

/// The I2C unit on two pins. It is started when it is used for the first time: in the
/// safe mode it never is.
///
/// esp-hal frees a bus on which something was cut off, by clocks of its own, and begins
/// anew after each error and each transfer that is given up.
pub struct Display {
    /// What it is started with: the unit, the clock's pin, the data's.
    parts: Option<(I2C0<'static>, u8, u8)>,
    /// None, if a pin cannot be used.
    bus: Option<master::I2c<'static, Async>>,
}

impl Display {
    /// The display on these pins.
    pub fn new(unit: I2C0<'static>, scl: u8, sda: u8) -> Self {
        Self {
            parts: Some((unit, scl, sda)),
            bus: None,
        }
    }
}

fn start(unit: I2C0<'static>, scl: u8, sda: u8) -> Option<master::I2c<'static, Async>> {
    let pin = |role, number| -> Option<AnyPin<'static>> {
        tell("display", number, pins::take(role, number))
    };
    let (clock, data) = (pin(Role::Scl, scl)?, pin(Role::Sda, sda)?);
    let bus = master::I2c::new(unit, Config::default().with_frequency(FREQUENCY));
    let bus = tell("display", scl, bus.map_err(|_| pins::Unusable::Driver))?;
    Some(bus.with_scl(clock).with_sda(data).into_async())
}

impl ErrorType for Display {
    type Error = Error;
}

impl I2c for Display {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Error> {
        if let Some((unit, scl, sda)) = self.parts.take() {
            self.bus = start(unit, scl, sda);
        }
        match &mut self.bus {
            Some(bus) => I2c::transaction(bus, address, operations).await,
            // As if there were none.
            None => Err(Error::AcknowledgeCheckFailed(
                master::AcknowledgeCheckFailedReason::Address,
            )),
        }
    }
}
