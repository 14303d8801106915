//! Every fault at every step of the reference hour.

use crate::fault::{FaultKind, FaultSet};
use crate::invariant::{Invariant, Violation};
use crate::plan::{Injection, Plan};
use crate::report::Report;
use crate::sim::World;

/// How long a run goes on after its fault began, at most, in milliseconds.
const PATIENCE_MS: u64 = 4 * 3_600_000;

/// A sweep: one run for each fault and each step of the reference hour.
#[derive(Clone, Debug)]
pub struct Sweep {
    kinds: Vec<FaultKind>,
    steps: u64,
    next: u64,
}

impl Sweep {
    /// Of these faults.
    pub fn new(seed: u64, faults: FaultSet) -> Self {
        Self {
            kinds: faults.iter().collect(),
            steps: reference_steps(seed),
            next: 0,
        }
    }

    /// How many steps the reference hour has.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many runs it takes.
    pub fn runs(&self) -> u64 {
        self.steps * self.kinds.len() as u64
    }
}

impl Iterator for Sweep {
    type Item = Injection;

    fn next(&mut self) -> Option<Injection> {
        let count = self.kinds.len() as u64;
        let step = self.next.checked_div(count)?;
        let kind = *self.kinds.get((self.next % count) as usize)?;
        if step >= self.steps {
            return None;
        }
        self.next += 1;
        Some(Injection { kind, step })
    }
}

/// How many steps the reference hour has.
pub fn reference_steps(seed: u64) -> u64 {
    let report = World::new(Plan::reference(seed, None)).run(|_| true);
    report.steps
}

/// The reference hour with a fault more, until contact is back and everything is accounted for.
pub fn inject(seed: u64, injection: Injection, keep_log: bool) -> (Report, World) {
    let mut plan = Plan::reference(seed, Some(injection));
    plan.keep_log = keep_log;
    let mut world = World::new(plan);
    while world.holds() && !world.is_injected() && world.step(u64::MAX) {}
    let begin = world.now();
    let settled = world.settled();
    let patience = begin + PATIENCE_MS;
    while world.holds() && world.settled() == settled && world.step(patience) {}
    let mut report = world.report();
    if report.violation.is_none() && report.settled == settled {
        report.violation = Some(Violation {
            invariant: Invariant::ContactReturns,
            at: world.now(),
            device: Some(0),
            detail: format!("nothing was settled within {PATIENCE_MS} ms"),
            last: world.last_events(),
        });
    }
    (report, world)
}
