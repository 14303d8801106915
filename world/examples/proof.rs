//! A quick fixed set of runs, up to the first that does not hold: `cargo xtask broken` runs it
//! with code that is broken on purpose, `cargo xtask mutants` with code that is broken by chance.

use std::process::ExitCode;

use aldis_world::{FaultKind, FaultSet, Injection, Plan, Report, Violation, World, inject};

const HOUR_MS: u64 = 3_600_000;

fn main() -> ExitCode {
    match first_violation() {
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

fn first_violation() -> Option<Violation> {
    // A panic of the device's code is one of the things that are looked for.
    std::panic::set_hook(Box::new(|_| {}));
    let each = FaultKind::ALL.iter().map(|&kind| Plan {
        faults: FaultSet::only(kind),
        calm_ms: HOUR_MS / 6,
        people_ms: HOUR_MS / 6,
        ..Plan::new(kind.index() as u64, 4, 5 * HOUR_MS)
    });
    // What a recorder missed comes within an hour and a half of calm.
    let mut recorder = FaultSet::only(FaultKind::RecorderAway);
    recorder.insert(FaultKind::BrokerForgets);
    let calm = (0..2).map(move |seed| Plan {
        faults: recorder,
        ..Plan::new(seed, 4, 72 * HOUR_MS)
    });
    let storms = (0..4).map(|seed| Plan {
        calm_ms: HOUR_MS,
        people_ms: HOUR_MS / 4,
        ..Plan::new(seed, 8, 24 * HOUR_MS)
    });
    // Many messages and commands, and restarts of those who have them.
    let restarts = [
        FaultKind::FlashCut,
        FaultKind::PowerCut,
        FaultKind::Panic,
        FaultKind::BrokerRestart,
        FaultKind::BrokerAway,
    ];
    let mut faults = FaultSet::NONE;
    for kind in restarts {
        faults.insert(kind);
    }
    let people = (0..2).map(move |seed| Plan {
        faults,
        calm_ms: HOUR_MS / 3,
        people_ms: HOUR_MS / 60,
        ..Plan::new(seed, 4, 12 * HOUR_MS)
    });
    // Notes that are to be told when power goes, or within the write of which it goes.
    let mut notes = FaultSet::only(FaultKind::BlackholeUp);
    notes.insert(FaultKind::PowerCut);
    let writes = FaultSet::only(FaultKind::FlashCut);
    let notes = [notes, writes].into_iter().flat_map(|faults| {
        (0..2).map(move |seed| Plan {
            faults,
            calm_ms: HOUR_MS / 6,
            people_ms: HOUR_MS / 1_200,
            ..Plan::new(seed, 4, 24 * HOUR_MS)
        })
    });
    let runs = each
        .chain(calm)
        .chain(storms)
        .chain(people)
        .chain(notes)
        .map(|plan| World::new(plan).run(|_| true));
    let steps = (0..6_000).step_by(60).map(|step| {
        let kinds = FaultKind::ALL;
        let kind = kinds[step as usize / 60 % kinds.len()];
        inject(1, Injection { kind, step }, false).0
    });
    let fails = |report: &Report| report.violation.is_some();
    runs.chain(steps)
        .find(fails)
        .and_then(|report| report.violation)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_holds() {
        if let Some(violation) = super::first_violation() {
            panic!("{violation}");
        }
    }
}
