//! What came out of a long life.

use std::time::Duration;

use serde_json::{Value, json};

use super::sample::Sample;
use super::slope::Slope;
use crate::lab::experiment::Seen;
use crate::lab::fault::Fault;
use crate::lab::verdict::Figures;

/// Below so many samples nothing is said about growth.
const FEW: usize = 8;

/// Something that should not grow.
struct Quantity {
    name: &'static str,
    unit: &'static str,
    of: fn(&Sample) -> u64,
    /// A growth per hour that may be.
    per_hour: f64,
    /// A growth over the whole time that is none.
    in_all: f64,
}

/// What the allocator and the operating system do by themselves is less than these bounds.
const QUANTITIES: [Quantity; 3] = [
    Quantity {
        name: "memory",
        unit: "KiB",
        of: |sample| sample.memory,
        per_hour: 64.0,
        in_all: 128.0,
    },
    Quantity {
        name: "open files",
        unit: "",
        of: |sample| sample.files,
        per_hour: 0.1,
        in_all: 1.0,
    },
    Quantity {
        name: "threads",
        unit: "",
        of: |sample| sample.threads,
        per_hour: 0.1,
        in_all: 1.0,
    },
];

/// How a quantity went.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Course {
    first: u64,
    last: u64,
    most: u64,
    /// Per hour.
    slope: Option<Slope>,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Flat,
    Growing,
    TooFewSamples,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Growing => "GROWING",
            Self::TooFewSamples => "too few samples",
        }
    }
}

/// The report.
#[derive(Debug)]
pub struct Report {
    /// What repeats the faults.
    pub seed: u64,
    /// How the device was before each fault, and in the end.
    pub samples: Vec<Sample>,
    /// What became of readings and commands.
    pub figures: Figures,
    /// Which promises were broken.
    pub lost: Vec<String>,
    faults: Vec<(Fault, Seen)>,
}

impl Report {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            samples: Vec::new(),
            figures: Figures::default(),
            lost: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Adds a fault and the sample before it, and says so to somebody who waits.
    pub fn add(&mut self, fault: Fault, lasts: Duration, seen: &Seen, sample: Sample) {
        let seconds = |time: Option<Duration>| match time {
            Some(time) => format!("{:.1} s", time.as_secs_f64()),
            None => "-".to_owned(),
        };
        let at = humantime::format_duration(Duration::from_secs(sample.at.as_secs()));
        eprintln!(
            "{at}: {} {:.1} s, noticed {}, back {}; before it {} KiB, {} files, {} threads",
            fault.name(),
            lasts.as_secs_f64(),
            seconds(seen.noticed),
            seconds(seen.back),
            sample.memory,
            sample.files,
            sample.threads
        );
        self.samples.push(sample);
        self.faults.push((fault, seen.clone()));
    }

    /// Everything that must not be.
    pub fn broken(&self) -> Vec<String> {
        let growing = QUANTITIES.iter().filter(|quantity| {
            self.course(quantity)
                .is_some_and(|course| course.verdict == Verdict::Growing)
        });
        let growing = growing.map(|quantity| format!("growing: {}", quantity.name));
        self.lost.iter().cloned().chain(growing).collect()
    }

    /// The first tenth, in which a program takes what it needs, says nothing about growth.
    fn course(&self, quantity: &Quantity) -> Option<Course> {
        let settled = self.samples.get(self.samples.len().div_ceil(10)..)?;
        let points: Vec<_> = settled
            .iter()
            .map(|sample| {
                (
                    sample.at.as_secs_f64() / 3_600.0,
                    (quantity.of)(sample) as f64,
                )
            })
            .collect();
        let slope = Slope::of(&points);
        let hours = points.last()?.0 - points.first()?.0;
        let verdict = match slope {
            _ if settled.len() < FEW => Verdict::TooFewSamples,
            Some(slope)
                if slope.low() > quantity.per_hour && slope.value * hours > quantity.in_all =>
            {
                Verdict::Growing
            }
            _ => Verdict::Flat,
        };
        let values = settled.iter().map(quantity.of);
        Some(Course {
            first: (quantity.of)(settled.first()?),
            last: (quantity.of)(settled.last()?),
            most: values.max()?,
            slope,
            verdict,
        })
    }

    /// Prints tables: the faults by name, what could grow, and what could be lost.
    pub fn print(&self) {
        println!(
            "{:<18} {:>6} {:>9} {:>9} {:>9}",
            "fault", "times", "noticed", "back", "latest"
        );
        for (name, seen) in self.by_name() {
            let noticed = seen.iter().filter(|seen| seen.noticed.is_some()).count();
            let mut back: Vec<_> = seen.iter().filter_map(|seen| seen.back).collect();
            back.sort_unstable();
            let middle = back.get(back.len() / 2).copied().unwrap_or_default();
            let latest = back.last().copied().unwrap_or_default();
            println!(
                "{name:<18} {:>6} {noticed:>9} {:>9.1} {:>9.1}",
                seen.len(),
                middle.as_secs_f64(),
                latest.as_secs_f64()
            );
        }
        println!("noticed: how often. back: seconds to contact, the median and the latest.\n");
        println!(
            "{:<12} {:>9} {:>9} {:>9} {:>26}  verdict",
            "", "first", "last", "most", "per hour (95 %)"
        );
        for quantity in &QUANTITIES {
            let Some(course) = self.course(quantity) else {
                continue;
            };
            let slope = match course.slope {
                Some(slope) => {
                    format!("{:.2} ± {:.2} {}", slope.value, slope.margin, quantity.unit)
                }
                None => "-".to_owned(),
            };
            println!(
                "{:<12} {:>9} {:>9} {:>9} {:>26}  {}",
                quantity.name,
                course.first,
                course.last,
                course.most,
                slope.trim_end(),
                course.verdict.as_str()
            );
        }
        let figures = &self.figures;
        println!(
            "\nreadings: {} published, {} delivered, {} lost, {} given up or waiting, {} twice; \
             commands: {} confirmed by the broker, {} executed; connections lost: {}; seed {}",
            figures.published,
            figures.delivered,
            figures.lost,
            figures.told,
            figures.duplicated,
            figures.commands,
            figures.executed,
            figures.losses,
            self.seed
        );
    }

    /// What was seen of each fault, in the order of their first appearance.
    fn by_name(&self) -> Vec<(&'static str, Vec<&Seen>)> {
        let mut all: Vec<(&'static str, Vec<&Seen>)> = Vec::new();
        for (fault, seen) in &self.faults {
            match all.iter_mut().find(|(name, _)| *name == fault.name()) {
                Some((_, of)) => of.push(seen),
                None => all.push((fault.name(), vec![seen])),
            }
        }
        all
    }

    /// Prints one JSON object.
    pub fn print_json(&self) {
        println!("{}", self.object());
    }

    fn object(&self) -> Value {
        let mut object = json!({
            "seed": self.seed,
            "samples": self.samples.len(),
            "faults": self.faults.len(),
            "losses": self.figures.losses,
            "published": self.figures.published,
            "delivered": self.figures.delivered,
            "lost": self.figures.lost,
            "told": self.figures.told,
            "twice": self.figures.duplicated,
            "commands": self.figures.commands,
            "executed": self.figures.executed,
            "broken": self.broken(),
        });
        for quantity in &QUANTITIES {
            if let Some(course) = self.course(quantity) {
                object[quantity.name.replace(' ', "_")] = json!({
                    "first": course.first,
                    "last": course.last,
                    "most": course.most,
                    "per_hour": course.slope.map(|slope| slope.value),
                    "low": course.slope.map(|slope| slope.low()),
                    "high": course.slope.map(|slope| slope.high()),
                    "verdict": course.verdict.as_str(),
                });
            }
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(samples: u64, memory: impl Fn(u64) -> u64) -> Report {
        let mut report = Report::new(1);
        report.samples = (0..samples)
            .map(|index| Sample {
                at: Duration::from_secs(60 * index),
                memory: memory(index),
                files: 10,
                threads: 2,
            })
            .collect();
        report
    }

    /// A leak of some KiB at each fault is not seen; or what a program takes at its start, or
    /// noise, is taken for one.
    #[test]
    fn growth_is_told_from_a_beginning_and_from_noise() {
        let leak = report(120, |index| 5_000 + 8 * index);
        assert_eq!(leak.broken(), ["growing: memory"]);
        let start = report(120, |index| if index < 10 { 4_000 } else { 5_000 });
        assert!(start.broken().is_empty());
        let noise = report(120, |index| 5_000 + index * 37 % 64);
        assert!(noise.broken().is_empty());
        let short = report(6, |index| 5_000 + 500 * index);
        assert!(short.broken().is_empty());
        assert_eq!(short.object()["memory"]["verdict"], "too few samples");
        assert_eq!(report(0, |_| 0).object()["samples"], 0);
    }
}
