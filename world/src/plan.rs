//! What a run is to be.

use crate::fault::{FaultKind, FaultSet};
use crate::policy::Policy;

/// A plan determines a run: the same plan gives the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Chance.
    pub seed: u64,
    /// How many devices there are.
    pub devices: u32,
    /// How long it lasts, in milliseconds of virtual time.
    pub duration_ms: u64,
    /// What may go wrong.
    pub faults: FaultSet,
    /// How things happen.
    pub script: Script,
    /// What the session is held to.
    pub policy: Policy,
    /// How long it is calm between faults, on average, in milliseconds.
    pub calm_ms: u64,
    /// How long it is between two things that people do at or with a device, on average, in
    /// milliseconds: sending it messages, giving it commands with ids, pressing its button.
    pub people_ms: u64,
    /// Milliseconds between a device's readings; none: most have the default.
    pub interval_ms: Option<u32>,
    /// How many connections a second the broker takes; it closes the others before CONNACK.
    pub connections_a_second: Option<u32>,
    /// Every event is kept, for who wants to read them.
    pub keep_log: bool,
}

/// How things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Faults and commands by chance.
    Random,
    /// An hour in which everything happens that a device's life has, and one fault more.
    Reference(Option<Injection>),
    /// Nothing but what is called for.
    Manual,
}

/// A fault that begins at a step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Which.
    pub kind: FaultKind,
    /// At which step.
    pub step: u64,
}

impl Plan {
    /// A run with all faults.
    pub fn new(seed: u64, devices: u32, duration_ms: u64) -> Self {
        Self {
            seed,
            devices,
            duration_ms,
            faults: FaultSet::all(),
            script: Script::Random,
            policy: Policy::default(),
            calm_ms: 7_200_000,
            people_ms: 7_200_000,
            interval_ms: None,
            connections_a_second: None,
            keep_log: false,
        }
    }

    /// The reference hour of one device.
    pub fn reference(seed: u64, injection: Option<Injection>) -> Self {
        Self {
            faults: FaultSet::NONE,
            script: Script::Reference(injection),
            ..Self::new(seed, 1, 3_600_000)
        }
    }

    /// A run in which nothing goes wrong by itself.
    pub fn manual(seed: u64, devices: u32) -> Self {
        Self {
            faults: FaultSet::NONE,
            script: Script::Manual,
            ..Self::new(seed, devices, u64::MAX)
        }
    }
}
