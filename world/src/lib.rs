//! A deterministic world for devices: what is outside of them, without sockets,
//! clocks and chance, so that a test can repeat what happened in it.
//!
//! [`World`] runs the unchanged code of devices in it, on virtual time, with faults, and looks
//! at every step whether what is promised holds. A [`Plan`] determines a run.
//!
//! ```
//! use aldis_world::{FaultKind, FaultSet, Plan, World};
//!
//! let mut plan = Plan::new(7, 2, 3 * 3_600_000);
//! plan.faults = FaultSet::only(FaultKind::TcpReset);
//! let report = World::new(plan.clone()).run(|_| true);
//! assert!(report.violation.is_none());
//! assert!(report.counts.delivered > 1_000);
//! // The same plan is the same run.
//! assert_eq!(World::new(plan).run(|_| true).hash, report.hash);
//! ```
//!
//! [`broker`] is an MQTT broker as a model, with faults to order and a codec of its
//! own, so that no mistake of the session's codec can hide on both sides of a test.
//! [`flash`] is a flash memory with power cuts at any write.

extern crate alloc;

pub mod broker;
pub mod flash;

mod env;
mod fault;
mod frames;
mod invariant;
mod life;
mod log;
mod overseer;
mod plan;
mod policy;
mod queue;
mod report;
mod rng;
mod sensor;
mod sim;
mod sweep;
mod witness;

pub use fault::{FaultKind, FaultSet, Scope, UnknownFault};
pub use invariant::{Invariant, Violation};
pub use log::{Entry, Stamp, What, Why};
pub use plan::{Injection, Plan, Script};
pub use policy::Policy;
pub use report::{Cause, Lane, Recoveries, Report, Timeline};
pub use sim::World;
pub use sweep::{Sweep, inject, reference_steps};
pub use witness::Counts;

#[cfg(test)]
mod tests {
    use super::{FaultKind, Invariant};

    /// A fault or an invariant that the page does not have, or has in other words.
    #[test]
    fn the_page_has_every_fault_and_every_invariant() {
        let page = include_str!("../../docs/world.md");
        let faults = FaultKind::ALL
            .iter()
            .map(|kind| (kind.name(), kind.about()));
        let invariants = Invariant::ALL.iter().map(|i| (i.name(), i.words()));
        for (name, words) in faults.chain(invariants) {
            assert!(page.contains(&format!("| `{name}` | {words} |")), "{name}");
        }
    }
}
