//! Whether the climate sensor can be believed.

use aldis_mqtt::Instant;
use aldis_protocol::{Reading, SensorState};

use crate::dht;

/// How many measurements in a row may fail before the sensor is no longer `ok`.
const FAILURES: u8 = 3;

/// What the last measurements said.
#[derive(Debug, Default)]
pub(crate) struct Sensor {
    /// Nothing is said before the first measurement.
    state: Option<SensorState>,
    failures: u8,
    /// Of the failures since the last success, none had an answer.
    silent: bool,
    /// A reading that was not recorded yet, and when it was taken.
    fresh: Option<(Reading, Instant)>,
}

impl Sensor {
    pub const fn state(&self) -> Option<SensorState> {
        self.state
    }

    /// A measurement ended. Says the state if that changed.
    pub fn measured(
        &mut self,
        result: Result<Reading, dht::Error>,
        now: Instant,
    ) -> Option<SensorState> {
        let state = match result {
            Ok(reading) => {
                self.failures = 0;
                self.fresh = Some((reading, now));
                SensorState::Ok
            }
            Err(error) => {
                let missing = error == dht::Error::Missing;
                self.silent = missing && (self.silent || self.failures == 0);
                self.failures = self.failures.saturating_add(1);
                if self.failures < FAILURES {
                    return None;
                }
                if self.silent {
                    SensorState::Missing
                } else {
                    SensorState::Stale
                }
            }
        };
        let changed = self.state != Some(state);
        self.state = Some(state);
        changed.then_some(state)
    }

    pub const fn has_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// The newest reading, if it was not taken before: none is recorded twice.
    pub fn take(&mut self) -> Option<(Reading, Instant)> {
        self.fresh.take()
    }
}
