//! Which time deleting goes by: a clock may be wrong, and what is deleted is gone.

use crate::when::HOUR_MS;

/// How far a clock may be from where it ought to be, and how long it has to run to be believed
/// where it is farther.
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// What is known of a recorder's clock. It is kept in the store: a restart neither makes a wrong
/// clock right nor begins its day anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// What it said last, when it was believed.
    pub believed_ms: Option<i64>,
    /// What it says instead, since it jumped.
    pub told_ms: Option<i64>,
    /// How long the recorder has been running since.
    pub ran_ms: i64,
}

/// The time, as far as it is believed: see [`History::believe`](crate::History::believe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Believed {
    /// What is certainly over. Nothing until a clock was believed for the first time.
    pub(crate) until_ms: Option<i64>,
    /// What the clock says, where it is believed.
    pub(crate) now_ms: Option<i64>,
    ahead_ms: Option<i64>,
}

impl Believed {
    /// How many milliseconds a clock that is not believed is from where it was, forwards or
    /// backwards. A store's first clock has nothing to be far from.
    pub fn is_off_by(&self) -> Option<i64> {
        self.ahead_ms
    }
}

impl Clock {
    /// Takes what the clock says, so many milliseconds of running after it was taken before.
    pub fn tell(&mut self, now: i64, ran_ms: i64) -> Believed {
        let ran_ms = ran_ms.max(0);
        let follows = |before: Option<i64>| {
            before.is_some_and(|before| {
                now >= before.saturating_sub(DAY_MS)
                    && now <= before.saturating_add(ran_ms).saturating_add(DAY_MS)
            })
        };
        if !follows(self.believed_ms) {
            // The time from before the jump is not counted.
            self.ran_ms = match follows(self.told_ms) {
                true => self.ran_ms.saturating_add(ran_ms),
                false => 0,
            };
            self.told_ms = Some(now);
            if self.ran_ms < DAY_MS {
                return Believed {
                    until_ms: self.believed_ms.map(|believed| believed.min(now)),
                    now_ms: None,
                    ahead_ms: self
                        .believed_ms
                        .map(|believed| now.saturating_sub(believed)),
                };
            }
        }
        *self = Self {
            believed_ms: Some(now),
            ..Self::default()
        };
        Believed {
            until_ms: Some(now),
            now_ms: Some(now),
            ahead_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const NOW: i64 = 1_790_000_000_000;
    const YEARS: i64 = 3650 * DAY_MS;

    /// Tells a clock the minutes of so long; gives what is believed at last.
    fn run(clock: &mut Clock, from: i64, long: i64) -> Believed {
        let mut believed = clock.tell(from, 0);
        for minute in 1..=long / MINUTE {
            believed = clock.tell(from + minute * MINUTE, MINUTE);
        }
        believed
    }

    fn right() -> Clock {
        let mut clock = Clock::default();
        assert_eq!(clock.tell(NOW - DAY_MS, 0).until_ms, None);
        run(&mut clock, NOW - DAY_MS, DAY_MS - MINUTE);
        assert_eq!(clock.believed_ms, None);
        assert_eq!(clock.tell(NOW, MINUTE).until_ms, Some(NOW));
        clock
    }

    /// A clock that is set wrong deletes at once, or one that is right never does again.
    #[test]
    fn a_jump_is_believed_after_a_day_of_running() {
        let mut clock = right();
        let believed = run(&mut clock, NOW + YEARS, DAY_MS - MINUTE);
        assert_eq!((believed.until_ms, believed.now_ms), (Some(NOW), None));
        assert_eq!(believed.is_off_by(), Some(YEARS + DAY_MS - MINUTE));
        // Right again in time: as if nothing had been.
        let back = clock.tell(NOW + DAY_MS, MINUTE);
        assert_eq!(
            (back.until_ms, back.is_off_by()),
            (Some(NOW + DAY_MS), None)
        );
        assert_eq!((clock.told_ms, clock.ran_ms), (None, 0));
        // It stays there.
        let there = NOW + YEARS;
        assert_eq!(
            run(&mut clock, there, DAY_MS).until_ms,
            Some(there + DAY_MS)
        );
    }

    /// A hub that begins at 1970 until it has the time deletes nothing for ever, or takes the
    /// right time for a jump.
    #[test]
    fn a_clock_that_begins_at_1970_is_waited_for() {
        let mut clock = right();
        let believed = run(&mut clock, 0, 60 * MINUTE);
        assert_eq!(believed.until_ms, Some(60 * MINUTE));
        assert_eq!(
            clock.tell(NOW + DAY_MS, MINUTE).until_ms,
            Some(NOW + DAY_MS)
        );
    }

    /// Hours in which the machine was off, or each restart, would begin the day anew.
    #[test]
    fn a_day_of_running_may_have_breaks() {
        let mut clock = right();
        let mut now = NOW + 7 * DAY_MS;
        for _ in 0..24 {
            assert_eq!(run(&mut clock, now, 60 * MINUTE - MINUTE).now_ms, None);
            now += 90 * MINUTE;
        }
        assert_eq!(
            run(&mut clock, now, 24 * MINUTE).now_ms,
            Some(now + 24 * MINUTE)
        );
    }

    /// Jumps one after the other would add up to a day.
    #[test]
    fn each_jump_begins_the_day() {
        let mut clock = right();
        for jump in 1..10 {
            let believed = run(&mut clock, NOW + jump * YEARS / 10, DAY_MS - MINUTE);
            assert_eq!(believed.until_ms, Some(NOW));
        }
    }

    /// Times at the ends of what a number can say.
    #[test]
    fn nothing_overflows() {
        let mut clock = Clock::default();
        for now in [i64::MAX, i64::MIN, 0, i64::MIN, i64::MAX] {
            for ran in [i64::MIN, 0, i64::MAX] {
                clock.tell(now, ran);
            }
        }
    }
}
