//! Readings that are missing, and how long they are waited for.
//!
//! Time counts while the device is heard: one that is away cannot send what is missing.

use std::collections::HashMap;
use std::time::Duration;

use aldis_history::DeviceKey;
use tokio::time::Instant;

/// A pause longer than this between two readings is not waiting.
const PAUSE: Duration = Duration::from_secs(60);

/// The series of which something is missing.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    waits: HashMap<(DeviceKey, u32), Wait>,
}

#[derive(Debug)]
struct Wait {
    confirmed: u32,
    /// The highest number that had come when the wait began.
    highest: u32,
    heard: Instant,
    waited: Duration,
}

/// What is to be done about a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing is missing, or it may still come.
    Nothing,
    /// So long nothing of what is missing has come, of what is below this number.
    Waited {
        /// For so long.
        so_long: Duration,
        /// Above it, nothing was missing when that began.
        highest: u32,
    },
}

impl Behind {
    /// Some of a series was stored: up to `confirmed` nothing is missing, and `highest` is the
    /// highest number that came.
    pub fn stored(
        &mut self,
        device: &DeviceKey,
        life: u32,
        confirmed: u32,
        highest: u32,
        now: Instant,
    ) -> Due {
        let key = (device.clone(), life);
        if confirmed >= highest && !self.waits.contains_key(&key) {
            return Due::Nothing;
        }
        let wait = self.waits.entry(key).or_insert(Wait {
            confirmed,
            highest,
            heard: now,
            waited: Duration::ZERO,
        });
        if confirmed != wait.confirmed {
            if confirmed >= highest.max(wait.highest) {
                self.waits.remove(&(device.clone(), life));
                return Due::Nothing;
            }
            *wait = Wait {
                confirmed,
                highest: highest.max(wait.highest),
                heard: now,
                waited: Duration::ZERO,
            };
            return Due::Nothing;
        }
        let since = now.saturating_duration_since(wait.heard);
        if since <= PAUSE {
            wait.waited += since;
        }
        wait.heard = now;
        Due::Waited {
            so_long: wait.waited,
            highest: wait.highest,
        }
    }

    /// Something was done about a series: the wait begins anew if need be.
    pub fn done(&mut self, device: &DeviceKey, life: u32) {
        self.waits.remove(&(device.clone(), life));
    }

    /// How many series there are of which something is missing.
    pub fn len(&self) -> usize {
        self.waits.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn waited(due: Due) -> (u64, u32) {
        match due {
            Due::Waited { so_long, highest } => (so_long.as_secs(), highest),
            Due::Nothing => panic!("it waits"),
        }
    }

    /// Given up too soon a reading is confirmed that nobody has; never given up, the device
    /// keeps and repeats for ever.
    #[test]
    fn what_is_missing_is_waited_for_while_the_device_is_heard() {
        let start = Instant::now();
        let kitchen = DeviceKey::new("aldis", "kitchen").unwrap();
        let mut behind = Behind::default();
        let mut stored = |confirmed, highest, seconds| {
            let now = at(start, seconds);
            behind.stored(&kitchen, 1, confirmed, highest, now)
        };
        assert_eq!(stored(5, 5, 0), Due::Nothing);
        assert_eq!(waited(stored(5, 7, 10)), (0, 7));
        assert_eq!(waited(stored(5, 8, 15)), (5, 7));
        assert_eq!(waited(stored(5, 9, 20)), (10, 7));
        // It is away for an hour, and can send nothing.
        assert_eq!(waited(stored(5, 10, 3_620)), (10, 7));
        assert_eq!(waited(stored(5, 11, 3_625)), (15, 7));
        // Part of it comes.
        assert_eq!(stored(6, 12, 3_630), Due::Nothing);
        assert_eq!(waited(stored(6, 13, 3_635)), (5, 12));
        assert_eq!(stored(13, 13, 3_640), Due::Nothing);
        assert_eq!(stored(14, 14, 3_645), Due::Nothing);
        assert_eq!(behind.len(), 0);
    }

    /// Repeated old readings would hide that newer ones are missing.
    #[test]
    fn old_readings_do_not_end_the_waiting() {
        let start = Instant::now();
        let kitchen = DeviceKey::new("aldis", "kitchen").unwrap();
        let mut behind = Behind::default();
        behind.stored(&kitchen, 1, 5, 9, start);
        let due = behind.stored(&kitchen, 1, 5, 3, at(start, 9));
        assert_eq!(waited(due), (9, 9));
        behind.done(&kitchen, 1);
        assert_eq!(behind.len(), 0);
    }
}
