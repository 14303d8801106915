//! What a run came to.

use std::collections::BTreeMap;

use crate::fault::FaultKind;
use crate::invariant::Violation;
use crate::witness::Counts;

/// What contact was lost for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// This fault alone.
    Fault(FaultKind),
    /// Several at once, or soon after one another.
    Several,
    /// None that was ordered.
    None,
}

/// How long contact took to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recoveries {
    /// From the end of the fault to the next publication at the broker, in milliseconds.
    pub ms: Vec<u64>,
    /// How often contact was lost, also where it was back before the fault ended.
    pub outages: u64,
}

impl Recoveries {
    /// The time within which so many of a hundred came back.
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.ms.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        sorted
            .get((sorted.len() * percent / 100).min(last))
            .copied()
    }

    /// The longest.
    pub fn max(&self) -> Option<u64> {
        self.ms.iter().max().copied()
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many milliseconds of virtual time went by.
    pub virtual_ms: u64,
    /// How many devices there were.
    pub devices: u32,
    /// How many events were dispatched.
    pub steps: u64,
    /// What was counted, of all devices.
    pub counts: Counts,
    /// How contact came back, by what it was lost for.
    pub recoveries: BTreeMap<Cause, Recoveries>,
    /// How often each fault began.
    pub faults: BTreeMap<FaultKind, u64>,
    /// How often a calm device was found to have everything accounted for.
    pub settled: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// The same for each run of the same plan.
    pub hash: u64,
}

impl Report {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.virtual_ms += other.virtual_ms;
        self.devices = self.devices.max(other.devices);
        self.steps += other.steps;
        self.counts.add(&other.counts);
        for (cause, recoveries) in &other.recoveries {
            let sum = self.recoveries.entry(*cause).or_default();
            sum.ms.extend(&recoveries.ms);
            sum.outages += recoveries.outages;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        self.settled += other.settled;
        if self.violation.is_none() {
            self.violation.clone_from(&other.violation);
        }
        self.hash ^= other.hash;
    }

    /// How often contact was lost.
    pub fn outages(&self) -> u64 {
        self.recoveries
            .values()
            .map(|recoveries| recoveries.outages)
            .sum()
    }

    /// All recoveries together.
    pub fn all(&self) -> Recoveries {
        let mut all = Recoveries::default();
        for recoveries in self.recoveries.values() {
            all.ms.extend(&recoveries.ms);
            all.outages += recoveries.outages;
        }
        all
    }

    /// How many days devices lived, all together.
    pub fn device_days(&self) -> f64 {
        self.virtual_ms as f64 * f64::from(self.devices) / 86_400_000.0
    }
}

impl Counts {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        let Self {
            accepted,
            delivered,
            duplicates,
            dropped,
            lost_with_power,
            publications,
            commands,
            executed,
            forgotten,
            messages,
            reports,
            answers,
            attempts,
            connections,
            restarts,
            told_restarts,
            measurements,
            turns,
        } = other;
        self.accepted += accepted;
        self.delivered += delivered;
        self.duplicates += duplicates;
        self.dropped += dropped;
        self.lost_with_power += lost_with_power;
        self.publications += publications;
        self.commands += commands;
        self.executed += executed;
        self.forgotten += forgotten;
        self.messages += messages;
        self.reports += reports;
        self.answers += answers;
        self.attempts += attempts;
        self.connections += connections;
        self.restarts += restarts;
        self.told_restarts += told_restarts;
        self.measurements += measurements;
        self.turns += turns;
    }
}

/// What a device's contact was like over a run, for a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// One for each device.
    pub devices: Vec<Lane>,
    /// Faults of the broker: which, from when, until when.
    pub broker: Vec<(FaultKind, u64, u64)>,
    /// How long all of it is, in milliseconds.
    pub duration_ms: u64,
    /// How long one of the [`Lane::deliveries`] is.
    pub bin_ms: u64,
}

/// One device's part of a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// From when until when it was connected.
    pub contact: Vec<(u64, u64)>,
    /// From when until when it had power.
    pub power: Vec<(u64, u64)>,
    /// Its faults.
    pub faults: Vec<(FaultKind, u64, u64)>,
    /// How many readings came to the broker for the first time, bin by bin.
    pub deliveries: Vec<u32>,
}
