//! Stretches of time, and what is counted of them.

use aldis_protocol::Reading;

/// Five minutes in milliseconds.
pub(crate) const FIVE_MS: i64 = 300_000;
/// An hour in milliseconds.
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Recorders write some seconds apart. A time that is further back than this is no late arrival
/// of another one: the clock was set.
pub(crate) const LATE_MS: i64 = 10_000;

/// Where a stretch of this width begins that a moment is in.
pub(crate) fn floor(ms: i64, width: i64) -> i64 {
    ms.saturating_sub(ms.rem_euclid(width.max(1)))
}

/// Where the five minutes begin that a moment is in.
pub(crate) fn five(ms: i64) -> i64 {
    floor(ms, FIVE_MS)
}

/// Whether something that was told now and happened at `at` is newer than what happened at
/// `before`, rather than late.
pub(crate) fn is_later(at: i64, before: i64) -> bool {
    at >= before || before.saturating_sub(at) > LATE_MS
}

/// Readings, counted and summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub n: i64,
    pub t: Sum,
    pub h: Sum,
}

/// Values, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub min: i64,
    pub max: i64,
    pub sum: i64,
}

impl Sum {
    fn of(value: i64) -> Self {
        Self {
            min: value,
            max: value,
            sum: value,
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: self.sum.saturating_add(other.sum),
        }
    }
}

impl Sums {
    /// Of one reading.
    pub fn of(reading: Reading) -> Self {
        Self {
            n: 1,
            t: Sum::of(reading.t.into()),
            h: Sum::of(reading.h.into()),
        }
    }

    /// Counts a reading.
    pub fn add(&mut self, reading: Reading) {
        self.join(Self::of(reading));
    }

    /// Counts what others count.
    pub fn join(&mut self, other: Self) {
        *self = match (self.n, other.n) {
            (_, 0) => *self,
            (0, _) => other,
            _ => Self {
                n: self.n.saturating_add(other.n),
                t: self.t.with(other.t),
                h: self.h.with(other.h),
            },
        };
    }
}
