//! Readings that are missing, and how long they are waited for.
//!
//! Time counts while the device is heard: one that is away cannot send what is missing.

use std::collections::HashMap;
use std::time::Duration;

use aldis_history::DeviceKey;
use tokio::time::Instant;

/// What is longer than this between two readings is not waiting.
const PAUSE: Duration = Duration::from_secs(60);

/// The series of which something is missing.
#[derive(Debug)]
pub(crate) struct Behind {
    first_patience: Duration,
    patience: Duration,
    waits: HashMap<(DeviceKey, u64), Wait>,
}

#[derive(Debug)]
struct Wait {
    confirmed: u32,
    /// The highest number that had come when the wait began.
    highest: u32,
    heard: Instant,
    waited: Duration,
    settled: bool,
}

/// What is to be done about a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing: all is there, or may still come.
    Nothing,
    /// What is missing before the first that was heard will not come.
    Settle,
    /// What is missing up to this number will not come.
    GiveUp(u32),
}

impl Behind {
    /// What was before the first that was heard is waited for less long than the rest.
    pub fn new(first_patience: Duration, patience: Duration) -> Self {
        Self {
            first_patience,
            patience,
            waits: HashMap::new(),
        }
    }

    /// Some of a series was stored: up to `confirmed` nothing is missing, and `highest` is the
    /// highest number of what came.
    pub fn stored(
        &mut self,
        device: &DeviceKey,
        series: u64,
        confirmed: u32,
        highest: u32,
        now: Instant,
    ) -> Due {
        let key = (device.clone(), series);
        let begin = |highest, settled| Wait {
            confirmed,
            highest,
            heard: now,
            waited: Duration::ZERO,
            settled,
        };
        let Some(wait) = self.waits.get_mut(&key) else {
            if confirmed < highest {
                self.waits.insert(key, begin(highest, false));
            }
            return Due::Nothing;
        };
        if confirmed != wait.confirmed {
            let highest = highest.max(wait.highest);
            if confirmed < highest {
                *wait = begin(highest, wait.settled);
            } else {
                self.waits.remove(&key);
            }
            return Due::Nothing;
        }
        let since = now.saturating_duration_since(wait.heard);
        wait.waited += since.min(PAUSE);
        wait.heard = now;
        if wait.waited >= self.patience {
            return Due::GiveUp(wait.highest);
        }
        if wait.waited >= self.first_patience && !wait.settled {
            return Due::Settle;
        }
        Due::Nothing
    }

    /// What was before the first of a series is given up.
    pub fn settled(&mut self, device: &DeviceKey, series: u64) {
        if let Some(wait) = self.waits.get_mut(&(device.clone(), series)) {
            wait.settled = true;
        }
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

    /// Given up too soon a reading is confirmed that nobody has; never given up, the device
    /// keeps and repeats for ever.
    #[test]
    fn what_is_missing_is_waited_for_while_the_device_is_heard() {
        let start = Instant::now();
        let kitchen = DeviceKey::new("aldis", "kitchen").unwrap();
        let minute = Duration::from_secs(60);
        let mut behind = Behind::new(minute, 10 * minute);
        let stored = |behind: &mut Behind, confirmed, highest, seconds| {
            let now = at(start, seconds);
            behind.stored(&kitchen, 1, confirmed, highest, now)
        };
        assert_eq!(stored(&mut behind, 5, 5, 0), Due::Nothing);
        assert_eq!(stored(&mut behind, 5, 7, 10), Due::Nothing);
        assert_eq!(stored(&mut behind, 5, 8, 69), Due::Nothing);
        assert_eq!(stored(&mut behind, 5, 9, 70), Due::Settle);
        // Until that is done.
        assert_eq!(stored(&mut behind, 5, 10, 71), Due::Settle);
        behind.settled(&kitchen, 1);
        assert_eq!(stored(&mut behind, 5, 11, 72), Due::Nothing);
        // It is away for an hour, and can send nothing: that is a minute's waiting.
        assert_eq!(stored(&mut behind, 5, 12, 3_672), Due::Nothing);
        // Part of it comes: what is still missing gets its time anew.
        assert_eq!(stored(&mut behind, 6, 20, 4_000), Due::Nothing);
        for seconds in 1..600 {
            let at = 4_000 + u64::from(seconds);
            assert_eq!(stored(&mut behind, 6, 20 + seconds, at), Due::Nothing);
        }
        assert_eq!(stored(&mut behind, 6, 700, 4_600), Due::GiveUp(20));
        assert_eq!(stored(&mut behind, 20, 701, 4_605), Due::Nothing);
        assert_eq!(stored(&mut behind, 701, 701, 4_610), Due::Nothing);
        assert_eq!(stored(&mut behind, 702, 702, 4_615), Due::Nothing);
        assert_eq!(behind.len(), 0);
    }

    /// A device that measures each quarter of an hour would never be confirmed again.
    #[test]
    fn a_slow_device_is_waited_for_as_well() {
        let start = Instant::now();
        let kitchen = DeviceKey::new("aldis", "kitchen").unwrap();
        let minute = Duration::from_secs(60);
        let mut behind = Behind::new(2 * minute, 30 * minute);
        let mut dues = Vec::new();
        for number in 0..40 {
            let now = at(start, u64::from(number) * 900);
            dues.push(behind.stored(&kitchen, 1, 5, 7 + number, now));
            behind.settled(&kitchen, 1);
        }
        assert!(dues.contains(&Due::GiveUp(7)), "{dues:?}");
    }

    /// Repeated old readings would hide that newer ones are missing.
    #[test]
    fn old_readings_do_not_end_the_waiting() {
        let start = Instant::now();
        let kitchen = DeviceKey::new("aldis", "kitchen").unwrap();
        let second = Duration::from_secs(1);
        let mut behind = Behind::new(8 * second, 9 * second);
        behind.stored(&kitchen, 1, 5, 9, start);
        let due = behind.stored(&kitchen, 1, 5, 3, at(start, 8));
        assert_eq!(due, Due::Settle);
        let due = behind.stored(&kitchen, 1, 5, 5, at(start, 9));
        assert_eq!(due, Due::GiveUp(9));
    }
}
