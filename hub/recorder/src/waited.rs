//! How long nothing could be stored, and what waited meanwhile: told once, when it is over.

use std::fmt;

use tokio::time::Instant;

/// A time in which nothing could be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    since: Instant,
    /// When storing went on, in milliseconds since 1970 and by a clock that nobody sets.
    until: Option<(i64, Instant)>,
    readings: u64,
}

impl Waited {
    /// Something cannot be stored.
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            until: None,
            readings: 0,
        }
    }

    /// A batch was stored, with readings that came at these moments. Gives whether all that had
    /// waited here is stored.
    pub fn stored(&mut self, received_ms: &[i64], now_ms: i64, now: Instant) -> bool {
        let (until_ms, _) = *self.until.get_or_insert((now_ms, now));
        let waited = received_ms.iter().filter(|at_ms| **at_ms <= until_ms);
        let waited = waited.count();
        self.readings = self
            .readings
            .saturating_add(u64::try_from(waited).unwrap_or(u64::MAX));
        waited < received_ms.len()
    }

    /// Whether storing went on.
    pub fn is_over(&self) -> bool {
        self.until.is_some()
    }
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.until.map_or_else(Instant::now, |(_, until)| until);
        let long = until.saturating_duration_since(self.since);
        write!(f, "storing works again after {} s", long.as_secs())?;
        match self.readings {
            0 => write!(f, "; no reading waited"),
            1 => write!(f, "; 1 reading waited, and is stored"),
            count => write!(f, "; {count} readings waited, and are stored"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What is told would be of the first batch alone, or never told.
    #[test]
    fn all_that_waited_is_counted() {
        let start = Instant::now();
        let later = start + Duration::from_secs(90);
        let mut waited = Waited::new(start);
        assert!(!waited.is_over());
        assert!(!waited.stored(&[1_000], 91_000, later));
        assert!(waited.is_over());
        assert!(!waited.stored(&[2_000, 91_000], 92_000, later));
        assert!(!waited.stored(&[], 93_000, later));
        let until = later + Duration::from_secs(3);
        assert!(waited.stored(&[90_999, 91_001], 94_000, until));
        assert_eq!(
            waited.to_string(),
            "storing works again after 90 s; 4 readings waited, and are stored"
        );
    }
}
