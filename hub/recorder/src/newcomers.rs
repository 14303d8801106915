//! Devices that speak for the first time: how many are let into the store.
//!
//! Whoever may publish can make up as many devices as they like.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use aldis_history::DeviceKey;
use tokio::time::Instant;

/// In which time they are counted.
const SPAN: Duration = Duration::from_secs(60 * 60);
/// How often the devices of the store are looked at: one that was removed is new again.
const LOOK: Duration = Duration::from_secs(60);

/// Which devices are known, and how many came lately.
#[derive(Debug)]
pub(crate) struct Newcomers {
    at_most: Option<usize>,
    known: HashSet<DeviceKey>,
    /// When the store was looked at last; until then everybody may be known.
    looked: Option<Instant>,
    came: VecDeque<Instant>,
    told: Option<Instant>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It is taken.
    Open,
    /// Its device is one too many.
    Full,
    /// The same, for the first time in an hour.
    FullNow,
}

impl Newcomers {
    /// So many devices that nobody paired may come in an hour; absent: as many as like.
    pub fn new(at_most: Option<u32>) -> Self {
        Self {
            at_most: at_most.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            known: HashSet::new(),
            looked: None,
            came: VecDeque::new(),
            told: None,
        }
    }

    /// Whether the store has to be looked at.
    pub fn is_due(&self, now: Instant) -> bool {
        self.at_most.is_some()
            && self
                .looked
                .is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK)
    }

    /// These are in the store, now that everything is that was let in.
    pub fn look(&mut self, known: impl Iterator<Item = DeviceKey>, now: Instant) {
        self.known = known.collect();
        self.looked = Some(now);
    }

    /// A device says something.
    pub fn admit(
        &mut self,
        device: &DeviceKey,
        paired: impl FnOnce() -> bool,
        now: Instant,
    ) -> Entry {
        let Some(at_most) = self.at_most.filter(|_| self.looked.is_some()) else {
            return Entry::Open;
        };
        if self.known.contains(device) {
            return Entry::Open;
        }
        if !paired() {
            let old = |came: &Instant| now.saturating_duration_since(*came) >= SPAN;
            while self.came.front().is_some_and(old) {
                self.came.pop_front();
            }
            if self.came.len() >= at_most {
                if self.told.is_some_and(|told| !old(&told)) {
                    return Entry::Full;
                }
                self.told = Some(now);
                return Entry::FullNow;
            }
            self.came.push_back(now);
        }
        self.known.insert(device.clone());
        Entry::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u32) -> DeviceKey {
        DeviceKey::new("aldis", &format!("d{number}")).unwrap()
    }

    /// One client fills the list of devices, or keeps those out that were there or were paired.
    #[test]
    fn so_many_come_in_an_hour() {
        let start = Instant::now();
        let mut newcomers = Newcomers::new(Some(3));
        // Nothing is turned away before it is known who is there.
        assert!(newcomers.is_due(start));
        assert_eq!(newcomers.admit(&device(1), || false, start), Entry::Open);
        newcomers.look([device(1), device(2)].into_iter(), start);
        assert!(!newcomers.is_due(start));
        let enter = |newcomers: &mut Newcomers, number, minutes: u64| {
            let now = start + Duration::from_secs(60 * minutes);
            newcomers.admit(&device(number), || number >= 1_000, now)
        };
        for number in 3..6 {
            assert_eq!(enter(&mut newcomers, number, 10), Entry::Open);
        }
        assert_eq!(enter(&mut newcomers, 6, 11), Entry::FullNow);
        assert_eq!(enter(&mut newcomers, 7, 12), Entry::Full);
        for number in [1, 2, 3, 5, 1_000, 1_001] {
            assert_eq!(enter(&mut newcomers, number, 13), Entry::Open, "{number}");
        }
        assert_eq!(enter(&mut newcomers, 6, 69), Entry::Full);
        assert_eq!(enter(&mut newcomers, 6, 70), Entry::Open);
        assert_eq!(enter(&mut newcomers, 7, 70), Entry::Open);
        assert_eq!(enter(&mut newcomers, 8, 70), Entry::Open);
        assert_eq!(enter(&mut newcomers, 9, 72), Entry::FullNow);
        // One that was removed is new again.
        newcomers.look([device(1)].into_iter(), start);
        assert_eq!(enter(&mut newcomers, 2, 73), Entry::Full);
        assert_eq!(enter(&mut newcomers, 1, 73), Entry::Open);
    }

    /// A limit that was switched off keeps somebody out.
    #[test]
    fn without_a_limit_everybody_comes_in() {
        let mut newcomers = Newcomers::new(None);
        let now = Instant::now();
        assert!(!newcomers.is_due(now));
        for number in 0..1_000 {
            assert_eq!(newcomers.admit(&device(number), || false, now), Entry::Open);
        }
        assert!(newcomers.known.is_empty());
    }
}
