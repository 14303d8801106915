//! A quick fixed set of runs, up to the first that does not hold: `cargo xtask broken` runs it
//! with code that is broken on purpose.

use std::process::ExitCode;

use aldis_world::{FaultKind, FaultSet, Injection, Plan, Report, World, inject};

const HOUR_MS: u64 = 3_600_000;

fn main() -> ExitCode {
    // A panic of the device's code is one of the things that are looked for.
    std::panic::set_hook(Box::new(|_| {}));
    let each = FaultKind::ALL.iter().map(|&kind| Plan {
        faults: FaultSet::only(kind),
        calm_ms: HOUR_MS / 6,
        ..Plan::new(kind.index() as u64, 4, 8 * HOUR_MS)
    });
    let storms = (0..4).map(|seed| Plan {
        calm_ms: HOUR_MS,
        ..Plan::new(seed, 10, 24 * HOUR_MS)
    });
    let runs = each
        .chain(storms)
        .map(|plan| World::new(plan).run(|_| true));
    let steps = (0..6_000).step_by(60).map(|step| {
        let kinds = FaultKind::ALL;
        let kind = kinds[step as usize / 60 % kinds.len()];
        inject(1, Injection { kind, step }, false).0
    });
    let fails = |report: &Report| report.violation.is_some();
    match runs
        .chain(steps)
        .find(fails)
        .and_then(|report| report.violation)
    {
        Some(violation) => {
            println!("{violation}\nviolated {}", violation.invariant);
            ExitCode::FAILURE
        }
        None => {
            println!("held");
            ExitCode::SUCCESS
        }
    }
}
