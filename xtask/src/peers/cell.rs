//! What the runs of one client against one fault say together.

use super::fault::{Fault, Unit};
use super::measure::Run;

/// Seconds that runs may differ by for no reason: the interval of publications, and a busy machine.
pub const NOISE: f64 = 0.25;

/// All runs of one client against one fault.
#[derive(Clone, Debug)]
pub struct Cell {
    pub fault: Fault,
    pub runs: Vec<Run>,
}

impl Cell {
    /// The figures, the best first; never is worse than anything.
    fn sorted(&self) -> Vec<f64> {
        let values = self
            .runs
            .iter()
            .map(|run| run.value.unwrap_or(f64::INFINITY));
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The best, the median and the worst.
    pub fn spread(&self) -> Option<[f64; 3]> {
        let values = self.sorted();
        let median = *values.get(values.len() / 2)?;
        Some([*values.first()?, median, *values.last()?])
    }

    /// The most of a count in any run.
    pub fn most(&self, count: impl Fn(&Run) -> usize) -> usize {
        self.runs.iter().map(count).max().unwrap_or(0)
    }

    /// Whether another client does better than this one, beyond what is noise: in its worst run
    /// better than this one in its best.
    pub fn is_beaten_by(&self, other: &Self) -> bool {
        let (Some([best, median, _]), Some([_, other_median, worst])) =
            (self.spread(), other.spread())
        else {
            return false;
        };
        let noise = match self.fault.unit() {
            Unit::Seconds => NOISE,
            Unit::Reconnects => 0.0,
        };
        worst < best && median - other_median > noise
    }

    /// What is wrong with ours, if something is.
    pub fn failure(&self) -> Option<String> {
        let [_, _, worst] = self.spread()?;
        let mut wrong = Vec::new();
        let goal = self.fault.goal();
        // As the figure is printed.
        if tenths(worst) > goal {
            wrong.push(match worst.is_finite() {
                true => format!("{worst:.2} instead of {goal} at most"),
                false => format!("never instead of {goal} at most"),
            });
        }
        for (count, words) in [
            (self.most(|run| run.lost), "accepted, and never arrived"),
            (self.most(|run| run.dropped), "accepted, and dropped"),
            (self.most(|run| run.refused), "not accepted"),
            (self.most(|run| run.ended.into()), "ended by itself"),
        ] {
            if count > 0 {
                wrong.push(format!("{count} {words}"));
            }
        }
        (!wrong.is_empty()).then(|| format!("{}: {}", self.fault.title(), wrong.join("; ")))
    }
}

/// To one decimal place, as the table shows it.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(fault: Fault, values: &[f64]) -> Cell {
        let run = |value: &f64| Run {
            value: value.is_finite().then_some(*value),
            ..Run::default()
        };
        Cell {
            fault,
            runs: values.iter().map(run).collect(),
        }
    }

    const NEVER: f64 = f64::INFINITY;

    /// A cell that is marked by chance is looked into for nothing; one that is not marked is a bug
    /// that stays.
    #[test]
    fn better_is_better_in_each_run_and_by_more_than_noise() {
        let beaten = |ours: &[f64], theirs: &[f64]| {
            let [ours, theirs] = [ours, theirs].map(|values| cell(Fault::Killed, values));
            ours.is_beaten_by(&theirs)
        };
        assert!(beaten(&[1.0, 1.2, 2.0], &[0.2, 0.3, 0.9]));
        assert!(beaten(&[NEVER, NEVER, NEVER], &[9.0, 20.0, 50.0]));
        // One run that is no better.
        assert!(!beaten(&[1.0, 1.2, 2.0], &[0.2, 0.3, 1.1]));
        assert!(!beaten(&[0.4, 0.4, NEVER], &[0.1, 0.2, 0.5]));
        // Better by less than the noise.
        assert!(!beaten(&[0.3, 0.3, 0.3], &[0.1, 0.1, 0.1]));
        assert!(!beaten(&[NEVER; 3], &[NEVER; 3]));
        assert!(!beaten(&[1.0], &[]));
    }

    #[test]
    fn reconnects_are_counted_without_noise() {
        let [one, none] = [1.0, 0.0].map(|value| cell(Fault::Slow, &[value]));
        assert!(one.is_beaten_by(&none));
        assert!(!none.is_beaten_by(&one) && !none.is_beaten_by(&none));
    }

    #[test]
    fn the_worst_run_has_to_reach_the_goal() {
        assert_eq!(cell(Fault::Killed, &[0.1, 0.54]).failure(), None);
        let failure = cell(Fault::Killed, &[0.1, 0.56]).failure().unwrap();
        assert_eq!(
            failure,
            "broker killed, back after 5 s: 0.56 instead of 0.5 at most"
        );
        let failure = cell(Fault::Dead, &[0.1, NEVER]).failure().unwrap();
        assert!(failure.ends_with("never instead of 6 at most"), "{failure}");
        assert!(cell(Fault::Slow, &[1.0]).failure().is_some());
    }

    /// A loss in a run that was fast all the same.
    #[test]
    fn nothing_may_be_lost_in_any_run() {
        let mut cell = cell(Fault::Killed, &[0.1, 0.2]);
        cell.runs[1].lost = 2;
        cell.runs[0].ended = true;
        let failure = cell.failure().unwrap();
        assert!(
            failure.ends_with("2 accepted, and never arrived; 1 ended by itself"),
            "{failure}"
        );
    }
}
