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
    /// How many measurements in a row failed, and how many of them, to the
    /// last, had no answer at all.
    failures: u8,
    silences: u8,
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
                self.silences = 0;
                self.fresh = Some((reading, now));
                SensorState::Ok
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.silences = match error {
                    dht::Error::Missing => self.silences.saturating_add(1),
                    _ => 0,
                };
                if self.failures < FAILURES {
                    return None;
                }
                // A value of before, shown now, would be taken for the present.
                self.fresh = None;
                if self.silences >= FAILURES {
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
