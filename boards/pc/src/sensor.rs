//! Sensors without a sensor: each gives pulse trains for the decoder that runs on the chip.

mod recording;
mod synthetic;

pub use recording::{Player, Recording, RecordingError};
pub use synthetic::Synthetic;

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

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

/// Which sensor a virtual device has, as users name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// `synthetic`: one in a room that does not exist.
    #[default]
    Synthetic,
    /// `none`: detached.
    None,
    /// Anything else is the file of a recording.
    Recording(PathBuf),
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "synthetic" => Self::Synthetic,
            "none" => Self::None,
            file => Self::Recording(file.into()),
        })
    }
}

impl Choice {
    /// Connects the sensor; the seed determines what a synthetic one measures.
    ///
    /// # Errors
    /// If the recording cannot be read.
    pub fn open(&self, seed: u64) -> Result<Box<dyn PulseSource + Send>, RecordingError> {
        Ok(match self {
            Self::Synthetic => Box::new(Synthetic::new(seed)),
            Self::None => Box::new(Detached),
            Self::Recording(path) => Box::new(Player::new(&Recording::read(path)?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_device::dht::{self, Error, Model};

    fn measure(choice: &str) -> Result<Result<aldis_protocol::Reading, Error>, RecordingError> {
        let Ok(choice) = choice.parse::<Choice>();
        let mut sensor = choice.open(1)?;
        Ok(dht::decode(sensor.measure(0), Model::Auto))
    }

    /// The user asks for one sensor and gets another.
    #[test]
    fn choices_give_what_they_name() {
        let dht11 = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../device/tests/captures/dht/dht11_1mhz.csv"
        );
        assert_eq!(measure("none").unwrap(), Err(Error::Missing));
        assert_eq!(
            measure(dht11).unwrap(),
            Ok(aldis_protocol::Reading { t: 270, h: 360 })
        );
        assert_eq!(
            measure("synthetic").unwrap(),
            Ok(Synthetic::new(1).climate(0))
        );
        assert!(
            measure("sythetic")
                .unwrap_err()
                .to_string()
                .starts_with("sythetic: ")
        );
    }
}
