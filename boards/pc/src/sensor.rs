//! Sensors without a sensor: each gives pulse trains for the decoder that runs on the chip.

mod recording;
mod synthetic;

pub use recording::{Player, Recording, RecordingError};
pub use synthetic::Synthetic;

use aldis_device::dht::Pulse;

/// Where the pulses of a measurement come from.
pub trait PulseSource {
    /// Asks the sensor and gives what came over the wire, without the host's start pulse.
    fn measure(&mut self, now_ms: u64) -> &[Pulse];
}

/// No sensor: nothing ever answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detached;

impl PulseSource for Detached {
    fn measure(&mut self, _now_ms: u64) -> &[Pulse] {
        &[]
    }
}
