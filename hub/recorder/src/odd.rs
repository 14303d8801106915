//! What comes as readings and is none: how much of it is kept.

use std::collections::HashMap;
use std::time::Duration;

use aldis_history::DeviceKey;
use tokio::time::Instant;

/// How often one of a device is kept.
const EACH: Duration = Duration::from_secs(10 * 60);
/// Of how many devices it is known when that was. Beyond it all are forgotten: one more of each
/// is kept.
const MOST: usize = 4_096;

/// When one of a device was kept last, and how many came since.
#[derive(Debug, Default)]
pub(crate) struct Odd {
    of: HashMap<DeviceKey, (Instant, u64)>,
}

impl Odd {
    /// Whether one that came now is kept; if so, how many were passed over since the last one.
    pub fn keep(&mut self, device: &DeviceKey, now: Instant) -> Option<u64> {
        if let Some((kept, passed_over)) = self.of.get_mut(device) {
            if now.saturating_duration_since(*kept) < EACH {
                *passed_over = passed_over.saturating_add(1);
                return None;
            }
            *kept = now;
            return Some(std::mem::take(passed_over));
        }
        if self.of.len() >= MOST {
            self.of.clear();
        }
        self.of.insert(device.clone(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who sends garbage fills the store with it, or it is not seen at all.
    #[test]
    fn one_of_many_is_kept() {
        let mut odd = Odd::default();
        let start = Instant::now();
        let kitchen = DeviceKey::new("aldis", "kitchen").unwrap();
        assert_eq!(odd.keep(&kitchen, start), Some(0));
        for number in 1..600 {
            assert_eq!(
                odd.keep(&kitchen, start + Duration::from_secs(number)),
                None
            );
        }
        assert_eq!(odd.keep(&kitchen, start + EACH), Some(599));
        for number in 0..2 * MOST {
            let device = DeviceKey::new("aldis", &format!("d{number}")).unwrap();
            assert_eq!(odd.keep(&device, start), Some(0));
        }
        assert!(odd.of.len() <= MOST);
    }
}
