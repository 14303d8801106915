//! Which count of a device's life a reading belongs to.
//!
//! A device counts its readings one by one, and makes at most one in a second. A number that is
//! farther ahead than that allows is no later reading of the same count: somebody made it up, or
//! the device lost its place. It begins a count of its own, so that neither shows billions of
//! missing readings, and what is confirmed of one says nothing of the other.

use crate::arrival::HELD;

/// How often a device makes a reading, at most, in milliseconds (`interval_s` of its
/// `device.toml` is 1 at least).
const EACH_MS: i64 = 1_000;
/// How much earlier a reading can have been taken whose time is not certain: what a broker keeps
/// for a recorder waits no longer.
const UNKNOWN_MS: i64 = 35 * 24 * 60 * 60 * 1_000;
/// How many counts of a life there are, at most: made-up numbers must not fill the store. What
/// comes then is stored in the nearest one, with its gap.
const MOST: usize = 16;
/// Lives are below this in the keys of series.
const LIVES: i64 = 1 << 32;

/// The key of a series: a life, and which count of it.
pub(crate) fn key(life: u32, count: u32) -> i64 {
    // Counts are few.
    i64::from(life).saturating_add(LIVES.saturating_mul(i64::from(count & 0xffff)))
}

/// The life that a series is of.
pub(crate) fn life(key: i64) -> u32 {
    u32::try_from(key.rem_euclid(LIVES)).unwrap_or(u32::MAX)
}

/// Which count of its life a series is.
pub(crate) fn count(key: i64) -> u32 {
    u32::try_from(key.div_euclid(LIVES)).unwrap_or(0)
}

/// A count, as far as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// The key of its series.
    pub key: i64,
    /// Where it begins.
    pub base: i64,
    /// Its highest number.
    pub top: i64,
    /// The earliest moment at which that can have been taken.
    pub since_ms: i64,
}

/// A reading that is to be placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub seq: i64,
    pub received_ms: i64,
    pub taken_ms: i64,
    pub exact: bool,
}

impl Next {
    fn since_ms(self) -> i64 {
        since(self.taken_ms, self.exact)
    }
}

/// The earliest moment at which a reading can have been taken.
pub(crate) fn since(taken_ms: i64, exact: bool) -> i64 {
    match exact {
        true => taken_ms,
        false => taken_ms.saturating_sub(UNKNOWN_MS),
    }
}

impl Count {
    /// The highest number that the device can have given by a moment.
    fn reach(&self, at_ms: i64) -> i64 {
        let made = at_ms.saturating_sub(self.since_ms).max(0) / EACH_MS;
        // The clock may have been set back a little meanwhile.
        let allowed = made.saturating_add(i64::from(HELD));
        self.top.saturating_add(allowed)
    }
}

/// Finds the count of a life that a reading belongs to, notes it there, and gives the key.
/// `counts` are those of the life, the oldest first; one that begins anew is added, with the base
/// that `base` makes of its number.
pub(crate) fn place(
    counts: &mut Vec<Count>,
    of_life: u32,
    next: Next,
    base: impl FnOnce(i64) -> i64,
) -> i64 {
    let reaches = |count: &Count| next.seq <= count.reach(next.received_ms);
    // In the newest that it lies within; else in the oldest that can have got so far.
    let within = counts
        .iter()
        .rposition(|count| count.base <= next.seq && reaches(count));
    let found = within
        .or_else(|| counts.iter().position(reaches))
        .or_else(|| {
            let full = counts.len() >= MOST;
            full.then(|| counts.iter().rposition(|count| count.top < next.seq))?
        });
    match found.and_then(|found| counts.get_mut(found)) {
        Some(count) => {
            if next.seq > count.top {
                (count.top, count.since_ms) = (next.seq, next.since_ms());
            }
            count.key
        }
        None => {
            let number = counts.iter().map(|before| count(before.key)).max();
            let key = key(of_life, number.map_or(0, |number| number.saturating_add(1)));
            counts.push(Count {
                key,
                base: base(next.seq),
                top: next.seq,
                since_ms: next.since_ms(),
            });
            key
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_790_000_000_000;
    const DAY_MS: i64 = 86_400_000;

    fn at(seq: i64, ms: i64) -> Next {
        Next {
            seq,
            received_ms: ms,
            taken_ms: ms,
            exact: true,
        }
    }

    fn placed(counts: &mut Vec<Count>, next: Next) -> u32 {
        let key = place(counts, 7, next, |seq| (seq - i64::from(HELD)).max(1));
        assert_eq!(life(key), 7);
        count(key)
    }

    /// A number that was made up would show billions of readings as missing, or take the real
    /// ones with it.
    #[test]
    fn what_cannot_follow_begins_anew() {
        let mut counts = Vec::new();
        assert_eq!(placed(&mut counts, at(100, NOON)), 0);
        assert_eq!(placed(&mut counts, at(101, NOON + 5_000)), 0);
        assert_eq!(placed(&mut counts, at(4_000_000_000, NOON + 6_000)), 1);
        assert_eq!(placed(&mut counts, at(102, NOON + 10_000)), 0);
        assert_eq!(placed(&mut counts, at(4_000_000_001, NOON + 11_000)), 1);
        assert_eq!(placed(&mut counts, at(2_000_000_000, NOON + 12_000)), 1);
        assert_eq!(placed(&mut counts, at(7, NOON + 13_000)), 0);
    }

    /// After an outage the readings that were missed would be no gap.
    #[test]
    fn a_device_that_was_away_goes_on() {
        let mut counts = Vec::new();
        assert_eq!(placed(&mut counts, at(100, NOON)), 0);
        // A reading each second for a day.
        assert_eq!(placed(&mut counts, at(100 + 86_400, NOON + DAY_MS)), 0);
        // One that waited nobody knows how long may be of weeks ago.
        let mut late = at(100 + 86_401, NOON + DAY_MS + 1_000);
        late.exact = false;
        assert_eq!(placed(&mut counts, late), 0);
        let next = at(100 + 86_401 + 30 * 86_400, NOON + DAY_MS + 2_000);
        assert_eq!(placed(&mut counts, next), 0);
    }

    /// A device that did lose its place is split between two counts as time goes by.
    #[test]
    fn a_count_that_was_begun_goes_on() {
        let mut counts = Vec::new();
        placed(&mut counts, at(100, NOON));
        for number in 0..10_000 {
            let next = at(5_000 + number, NOON + 5_000 * (number + 1));
            assert_eq!(placed(&mut counts, next), 1, "{number}");
        }
    }

    /// Numbers by chance fill the store with counts.
    #[test]
    fn counts_are_bounded() {
        let mut counts = Vec::new();
        for number in 0..100 {
            placed(&mut counts, at(number * 1_000_000, NOON));
        }
        assert_eq!(counts.len(), MOST);
        assert_eq!(placed(&mut counts, at(0, NOON)), 0);
    }

    /// The keys of series of before have to mean what they did.
    #[test]
    fn keys_say_life_and_count() {
        for life_ in [0, 7, u32::MAX] {
            assert_eq!(key(life_, 0), i64::from(life_));
            for count_ in [0, 1, 15] {
                let key = key(life_, count_);
                assert_eq!((life(key), count(key)), (life_, count_));
            }
        }
    }
}
