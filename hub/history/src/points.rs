//! Which level a chart is made of, and its points.

use std::collections::BTreeMap;

use crate::view::{Level, Point, Range};
use crate::when::{FIVE_MS, HOUR_MS, Sum, Sums, floor};

/// What a chart is made of, and how wide its points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub level: Level,
    /// 0: each reading by itself.
    pub width_ms: i64,
}

/// Chooses the finest level of which `max` points can be made from `from` to before `to`;
/// readings are there from `raw_from` on, five minutes from `five_from` on.
pub(crate) fn plan(from: i64, to: i64, max: i64, few: bool, raw_from: i64, five_from: i64) -> Plan {
    if few {
        return Plan {
            level: Level::Raw,
            width_ms: 0,
        };
    }
    let levels = [
        (Level::Raw, 1000, from >= raw_from, FIVE_MS),
        (Level::Five, FIVE_MS, from >= five_from, HOUR_MS),
        (Level::Hour, HOUR_MS, true, i64::MAX),
    ];
    for (level, step, there, too_wide) in levels {
        let width_ms = width(from, to, max, step);
        if there && width_ms < too_wide {
            return Plan { level, width_ms };
        }
    }
    Plan {
        level: Level::Hour,
        width_ms: width(from, to, max, HOUR_MS),
    }
}

/// The smallest multiple of `step` of which `max` cover the time.
fn width(from: i64, to: i64, max: i64, step: i64) -> i64 {
    let last = to.saturating_sub(1).max(from);
    let count = |width: i64| (floor(last, width) - floor(from, width)) / width + 1;
    let mut width = step;
    let wanted = (last - from) / max.max(1) / step;
    width = width.saturating_mul(wanted.max(1));
    while count(width) > max {
        width = width.saturating_add(width / 16 / step * step + step);
    }
    width
}

/// Gathers sums into points.
#[derive(Debug)]
pub(crate) struct Points {
    width_ms: i64,
    wide: BTreeMap<i64, Sums>,
    single: Vec<Point>,
}

impl Points {
    /// Of a width; 0: each one by itself.
    pub fn new(width_ms: i64) -> Self {
        Self {
            width_ms,
            wide: BTreeMap::new(),
            single: Vec::new(),
        }
    }

    /// Takes in what began at a moment.
    pub fn add(&mut self, ms: i64, sums: Sums) {
        if self.width_ms == 0 {
            self.single.push(point(ms, sums));
        } else {
            let start = floor(ms, self.width_ms);
            self.wide.entry(start).or_default().join(sums);
        }
    }

    /// The points, in order.
    pub fn end(self) -> Vec<Point> {
        let mut points = self.single;
        points.extend(self.wide.into_iter().map(|(ms, sums)| point(ms, sums)));
        points
    }
}

fn point(start_ms: i64, sums: Sums) -> Point {
    let range = |sum: Sum| Range {
        min: tenths(sum.min),
        max: tenths(sum.max),
        mean: sum.sum as f64 / sums.n.max(1) as f64,
    };
    Point {
        start_ms,
        n: u64::try_from(sums.n).unwrap_or(0),
        t: range(sums.t),
        h: range(sums.h),
    }
}

fn tenths(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A chart with more points than asked for, or so few that nothing is seen.
        #[test]
        fn points_are_as_many_as_asked(
            from in 0_i64..2_000_000_000_000,
            span in 1_i64..40_000_000_000,
            max in 1_i64..2000,
            step in prop::sample::select(vec![1000, FIVE_MS, HOUR_MS]),
        ) {
            let to = from + span;
            let width = width(from, to, max, step);
            prop_assert_eq!(width % step, 0);
            let count = (floor(to - 1, width) - floor(from, width)) / width + 1;
            prop_assert!(count <= max);
            // Half as many at least, where the step allows it.
            prop_assert!(width == step || max < 40 || count * 2 > max, "{count} of {max}");
        }
    }

    /// A year has to be drawn of hours, an hour of readings.
    #[test]
    fn the_level_fits_the_span() {
        const DAY: i64 = 24 * HOUR_MS;
        let now = 400 * DAY;
        let level = |span, raw_from, five_from| {
            plan(now - span, now, 1000, false, raw_from, five_from).level
        };
        assert_eq!(level(HOUR_MS, 0, 0), Level::Raw);
        assert_eq!(level(DAY, 0, 0), Level::Raw);
        assert_eq!(level(30 * DAY, 0, 0), Level::Five);
        assert_eq!(level(365 * DAY, 0, 0), Level::Hour);
        assert_eq!(level(DAY, now, 0), Level::Five);
        assert_eq!(level(DAY, now, now), Level::Hour);
        assert_eq!(plan(0, DAY, 1000, true, 0, 0).width_ms, 0);
    }
}
