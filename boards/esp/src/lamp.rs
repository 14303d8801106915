//! The lamp: an LED that is on while its pin is high.

use aldis_protocol::Lamp as State;
use esp_hal::gpio::{AnyPin, Level, Output, OutputConfig};

/// The lamp.
pub struct Lamp {
    pin: Output<'static>,
}

impl Lamp {
    /// The lamp on this pin, in this state from the first moment.
    pub fn new(pin: AnyPin<'static>, state: State) -> Self {
        Self {
            pin: Output::new(pin, level(state), OutputConfig::default()),
        }
    }

    /// Lights or darkens it.
    pub fn light(&mut self, state: State) {
        self.pin.set_level(level(state));
    }
}

fn level(state: State) -> Level {
    match state {
        State::On => Level::High,
        State::Off => Level::Low,
    }
}
