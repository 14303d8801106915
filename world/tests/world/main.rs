//! Runs of the world: the same each time, with each fault, with many at once, and scenes in
//! which it is known how long contact may take.

mod faults;
mod repeat;
mod restarts;
mod scenes;
mod talk;

use aldis_world::{Plan, Report, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Runs a plan, in which everything must hold.
fn holds(plan: Plan) -> Report {
    let command = format!(
        "aldis world --seed {} --devices {} --for {}s --faults {}",
        plan.seed,
        plan.devices,
        plan.duration_ms / 1_000,
        plan.faults
    );
    let report = World::new(plan).run(|_| true);
    if let Some(violation) = &report.violation {
        panic!("{violation}\n{command}");
    }
    report
}
