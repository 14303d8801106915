//! Which numbers of a series are stored or lost, as intervals.

use std::collections::BTreeMap;

/// An interval of numbers that share a fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// Whether they are lost for good, rather than stored.
    pub lost: bool,
}

/// Intervals that neither overlap nor could be joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    by_first: BTreeMap<i64, (i64, bool)>,
}

impl Runs {
    /// The intervals, in order.
    pub fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        self.by_first
            .iter()
            .map(|(&first, &(last, lost))| Run { first, last, lost })
    }

    /// The interval that a number is in.
    pub fn at(&self, seq: i64) -> Option<Run> {
        let (&first, &(last, lost)) = self.by_first.range(..=seq).next_back()?;
        (seq <= last).then_some(Run { first, last, lost })
    }

    /// Notes a number as stored; gives whether it was not before.
    pub fn store(&mut self, seq: i64) -> bool {
        match self.at(seq) {
            Some(run) if !run.lost => return false,
            Some(run) => {
                self.by_first.remove(&run.first);
                if run.first < seq {
                    self.by_first.insert(run.first, (seq - 1, true));
                }
                if seq < run.last {
                    self.by_first.insert(seq + 1, (run.last, true));
                }
            }
            None => {}
        }
        self.join(Run {
            first: seq,
            last: seq,
            lost: false,
        });
        true
    }

    /// Notes what is neither stored nor lost from one number to another as lost; gives how many.
    pub fn lose(&mut self, from: i64, to: i64) -> i64 {
        let missing = self.missing(from, to);
        let mut count = 0;
        for (first, last) in missing {
            count += last - first + 1;
            self.join(Run {
                first,
                last,
                lost: true,
            });
        }
        count
    }

    /// What is neither stored nor lost from one number to another.
    pub fn missing(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let mut missing = Vec::new();
        let mut next = self.at(from).map_or(from, |run| run.last + 1);
        for (&first, &(last, _)) in self.by_first.range(next..) {
            if first > to {
                break;
            }
            if next < first {
                missing.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= to {
            missing.push((next, to));
        }
        missing
    }

    /// The last number of those that follow one another from `from` on, whatever their fate;
    /// `from - 1` if there is none.
    pub fn end(&self, from: i64) -> i64 {
        let mut end = from - 1;
        while let Some(run) = self.at(end + 1) {
            end = run.last;
        }
        end
    }

    /// What has to be deleted and what to be written to make `before` of what is stored into
    /// this.
    pub fn changes_from(&self, before: &Self) -> (Vec<i64>, Vec<Run>) {
        let gone = before
            .by_first
            .keys()
            .copied()
            .filter(|first| !self.by_first.contains_key(first))
            .collect();
        let written = self
            .iter()
            .filter(|run| before.by_first.get(&run.first) != Some(&(run.last, run.lost)))
            .collect();
        (gone, written)
    }

    /// Takes in an interval that overlaps none, and joins it with its neighbours.
    fn join(&mut self, mut run: Run) {
        if let Some((&first, &(last, lost))) = self.by_first.range(..run.first).next_back()
            && last + 1 == run.first
            && lost == run.lost
        {
            run.first = first;
        }
        if let Some(&(last, lost)) = self.by_first.get(&(run.last + 1))
            && lost == run.lost
        {
            self.by_first.remove(&(run.last + 1));
            run.last = last;
        }
        self.by_first.insert(run.first, (run.last, run.lost));
    }
}

impl FromIterator<Run> for Runs {
    fn from_iter<I: IntoIterator<Item = Run>>(runs: I) -> Self {
        let by_first = runs
            .into_iter()
            .map(|run| (run.first, (run.last, run.lost)))
            .collect();
        Self { by_first }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The fate of each number by itself, and what the intervals would have to be.
    fn intervals(fates: &BTreeMap<i64, bool>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (&seq, &lost) in fates {
            match runs.last_mut() {
                Some(run) if run.last + 1 == seq && run.lost == lost => run.last = seq,
                _ => runs.push(Run {
                    first: seq,
                    last: seq,
                    lost,
                }),
            }
        }
        runs
    }

    proptest! {
        /// A number counted twice or forgotten is a reading confirmed that nobody has.
        #[test]
        fn intervals_say_what_each_number_says(
            steps in prop::collection::vec((any::<bool>(), 0_i64..40, 0_i64..8), 0..80)
        ) {
            let mut runs = Runs::default();
            let mut stored = Runs::default();
            let mut fates = BTreeMap::new();
            for (lose, seq, width) in steps {
                if lose {
                    let missing = (seq..=seq + width).filter(|seq| !fates.contains_key(seq));
                    let missing: Vec<_> = missing.collect();
                    prop_assert_eq!(runs.lose(seq, seq + width), missing.len() as i64);
                    fates.extend(missing.into_iter().map(|seq| (seq, true)));
                } else {
                    let new = fates.insert(seq, false) != Some(false);
                    prop_assert_eq!(runs.store(seq), new);
                }
                prop_assert_eq!(runs.iter().collect::<Vec<_>>(), intervals(&fates));
                // What is written to the database is what makes the next of the last.
                let (gone, written) = runs.changes_from(&stored);
                for first in gone {
                    stored.by_first.remove(&first);
                }
                for run in written {
                    stored.by_first.insert(run.first, (run.last, run.lost));
                }
                prop_assert_eq!(&stored, &runs);
                let end = (seq..).find(|seq| !fates.contains_key(seq)).unwrap() - 1;
                prop_assert_eq!(runs.end(seq), end);
            }
        }
    }
}
