//! The recorder's signs of life, by which outages are dated that began while it was away.

use std::time::Duration;

use aldis_history::Listened;
use tokio::time::Instant;

/// How often a sign of life is stored while nothing comes.
pub(crate) const EACH: Duration = Duration::from_secs(10);
/// How old the last one is at least when another is stored behind a batch: with a reading each
/// five seconds, every second batch.
const AGE: Duration = Duration::from_secs(8);
/// How far the wall clock may be from where it ought to be after a sign of life. Farther, it was
/// set, or the machine slept: what was between is not known.
const DRIFT_MS: i64 = 30_000;

/// Whether the recorder listens, and since when.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// Since when there has been contact with the broker.
    back_ms: Option<i64>,
    stretch: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    of: Listened,
    /// When the last sign of life was, by a clock that nobody sets.
    alive: Instant,
    /// When one was stored.
    stored: Option<Instant>,
}

impl Listening {
    /// There is contact with the broker; what it kept comes now.
    pub fn connected(&mut self, now_ms: i64) {
        self.back_ms = Some(now_ms);
        self.stretch = None;
    }

    /// Contact with the broker is lost.
    pub fn disconnected(&mut self) {
        self.back_ms = None;
        self.stretch = None;
    }

    /// It listened at a moment, and nothing that comes from then on had waited.
    pub fn alive(&mut self, at_ms: i64, at: Instant) {
        let Some(back_ms) = self.back_ms else {
            return;
        };
        if let Some(stretch) = &mut self.stretch {
            let ran = at.saturating_duration_since(stretch.alive).as_millis();
            let due_ms = stretch
                .of
                .until_ms
                .saturating_add(i64::try_from(ran).unwrap_or(i64::MAX));
            if at_ms.abs_diff(due_ms) <= DRIFT_MS.unsigned_abs() {
                stretch.of.until_ms = stretch.of.until_ms.max(at_ms);
                stretch.alive = stretch.alive.max(at);
                return;
            }
        }
        let begins_ms = match self.stretch {
            // The clock jumped: nothing waited at the broker.
            Some(_) => at_ms,
            None => back_ms.min(at_ms),
        };
        self.stretch = Some(Stretch {
            of: Listened {
                // Positive, so that every store takes it.
                id: fastrand::i64(1..),
                back_ms: begins_ms,
                from_ms: at_ms,
                until_ms: at_ms,
            },
            alive: at,
            stored: None,
        });
    }

    /// What is to be stored now, if anything is.
    pub fn due(&self, now: Instant) -> Option<Listened> {
        let stretch = self.stretch.as_ref()?;
        let is_due = stretch
            .stored
            .is_none_or(|stored| now.saturating_duration_since(stored) >= AGE);
        is_due.then_some(stretch.of)
    }

    /// What is to be stored at the end.
    pub fn last(&self) -> Option<Listened> {
        self.stretch.as_ref().map(|stretch| stretch.of)
    }

    /// That was stored.
    pub fn stored(&mut self, listened: &Listened, now: Instant) {
        if let Some(stretch) = &mut self.stretch
            && stretch.of.id == listened.id
        {
            stretch.stored = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_790_000_000_000;

    fn at(start: Instant, ms: i64) -> (i64, Instant) {
        let after = Duration::from_millis(ms.unsigned_abs());
        (NOON + ms, start + after)
    }

    fn alive(listening: &mut Listening, (at_ms, at): (i64, Instant)) -> Option<(i64, i64, i64)> {
        listening.alive(at_ms, at);
        let of = listening.due(at)?;
        listening.stored(&of, at);
        Some((of.back_ms - NOON, of.from_ms - NOON, of.until_ms - NOON))
    }

    /// A sign of life that is stored with each message costs the disk; one that is not stored
    /// costs the time of an outage.
    #[test]
    fn signs_of_life_are_stored_now_and_then() {
        let start = Instant::now();
        let mut listening = Listening::default();
        assert_eq!(alive(&mut listening, at(start, 0)), None);
        listening.connected(NOON + 1_000);
        assert_eq!(listening.last(), None);
        let first = alive(&mut listening, at(start, 1_200));
        assert_eq!(first, Some((1_000, 1_200, 1_200)));
        assert_eq!(alive(&mut listening, at(start, 1_300)), None);
        let next = alive(&mut listening, at(start, 11_300));
        assert_eq!(next, Some((1_000, 1_200, 11_300)));
        listening.alive(NOON + 12_000, start + Duration::from_secs(12));
        assert_eq!(listening.last().map(|of| of.until_ms), Some(NOON + 12_000));
        listening.disconnected();
        assert_eq!(alive(&mut listening, at(start, 40_000)), None);
        listening.connected(NOON + 50_000);
        let other = alive(&mut listening, at(start, 50_100));
        assert_eq!(other, Some((50_000, 50_100, 50_100)));
    }

    /// A clock that was at 1970, or a machine that slept, would count as time of listening.
    #[test]
    fn a_jump_of_the_clock_begins_anew() {
        let start = Instant::now();
        let mut listening = Listening::default();
        listening.connected(0);
        listening.alive(100, start);
        let (_, soon) = at(start, 10_000);
        let jumped = alive(&mut listening, (NOON, soon));
        assert_eq!(jumped, Some((0, 0, 0)));
        // It goes back a little: that is no jump, and takes nothing back.
        let (_, later) = at(start, 25_000);
        let back = alive(&mut listening, (NOON - 5_000, later));
        assert_eq!(back, Some((0, 0, 0)));
        let jumped = alive(&mut listening, (NOON - 3_600_000, later));
        let gone = -3_600_000;
        assert_eq!(jumped, Some((gone, gone, gone)));
    }
}
