//! How a recorder is doing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a recorder is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Whether it is connected to the broker.
    pub connected: bool,
    /// Why it is not, or what it is refused.
    pub trouble: Option<String>,
    /// Why nothing can be stored at present.
    pub store_trouble: Option<String>,
    /// Readings that were stored.
    pub stored: u64,
    /// Readings that came again.
    pub repeated: u64,
    /// States, messages, answers, health reports that were stored.
    pub events: u64,
    /// Messages on devices' topics that could not be read.
    pub unreadable: u64,
    /// Messages of devices that were too many: nobody paired them, and they were new.
    pub turned_away: u64,
    /// Messages that the broker sent while they could not be taken, at QoS 0.
    pub dropped: u64,
    /// Readings that were given up.
    pub given_up: u64,
    /// Series of which something is missing.
    pub behind: usize,
    /// Messages in the batch that is being stored.
    pub waiting: usize,
    /// When a batch was last stored, in milliseconds since 1970.
    pub last_commit_ms: Option<i64>,
    /// How long storing took, of the last batches: half of them at most so long.
    pub commit_p50: Duration,
    /// And 99 of 100 of them.
    pub commit_p99: Duration,
}

/// Figures that many can look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<(Figures, Durations)>>);

impl Board {
    pub fn change(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).0);
    }

    pub fn took(&self, time: Duration) {
        let mut of = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of.1.note(time);
    }

    pub fn read(&self) -> Figures {
        let of = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            commit_p50: of.1.quantile(50),
            commit_p99: of.1.quantile(99),
            ..of.0.clone()
        }
    }
}

/// The last so many durations.
#[derive(Debug, Default)]
struct Durations {
    of: Vec<Duration>,
    next: usize,
}

impl Durations {
    const MOST: usize = 1_000;

    fn note(&mut self, time: Duration) {
        match self.of.get_mut(self.next) {
            Some(place) => *place = time,
            None => self.of.push(time),
        }
        self.next = (self.next + 1) % Self::MOST;
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.of.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A figure that is off by one place tells of the slowest, or of the fastest.
    #[test]
    fn quantiles_are_of_the_last_thousand() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(99), Duration::ZERO);
        for ms in (1..=2_000).rev() {
            durations.note(Duration::from_millis(ms));
        }
        assert_eq!(durations.quantile(50), Duration::from_millis(500));
        assert_eq!(durations.quantile(99), Duration::from_millis(990));
        assert_eq!(durations.quantile(100), Duration::from_millis(1_000));
    }
}
