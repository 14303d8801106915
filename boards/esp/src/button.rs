//! The button: a contact that pulls its pin low.

use aldis_flash::chip::Role;
use esp_hal::gpio::{Input, InputConfig, Pull};

use crate::pins;

/// The button.
pub struct Button {
    /// None, if it has no pin that can be used.
    pin: Option<Input<'static>>,
    /// What was told last.
    pressed: bool,
}

impl Button {
    /// The button on this pin.
    pub fn new(number: u8) -> Self {
        let pin = pins::take(Role::Button, number)
            .map(|pin| Input::new(pin, InputConfig::default().with_pull(Pull::Up)));
        Self {
            pin: crate::tell("button", number, pin),
            pressed: false,
        }
    }
}

impl aldis_embassy::Button for Button {
    async fn edge(&mut self) -> bool {
        let Some(pin) = &mut self.pin else {
            return core::future::pending().await;
        };
        // By level, not by edge: what changed while nobody waited is told as well.
        match self.pressed {
            false => pin.wait_for_low().await,
            true => pin.wait_for_high().await,
        }
        self.pressed = !self.pressed;
        self.pressed
    }
}
