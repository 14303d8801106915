use aldis_world::{FaultKind, FaultSet, Plan, Script, Sweep, inject};

use super::{DAY, HOUR, MINUTE, holds};

/// Each fault alone: what it does to one device must not be hidden by another.
#[test]
fn each_fault_alone() {
    for &kind in FaultKind::ALL {
        let report = holds(Plan {
            faults: FaultSet::only(kind),
            calm_ms: 10 * MINUTE,
            ..Plan::new(kind.index() as u64, 4, 12 * HOUR)
        });
        let times = report.faults.get(&kind).copied().unwrap_or(0);
        assert!(times >= 2, "{kind} came {times} times");
        assert!(report.settled > 20, "{kind}: {}", report.settled);
    }
}

/// Pairs and storms of all faults.
#[test]
fn all_faults_at_once() {
    for seed in 100..108 {
        let report = holds(Plan::new(seed, 8, 2 * DAY));
        assert!(report.counts.executed > 500);
    }
}

/// Runs in which the world was wrong once about what a device may do or lose.
#[test]
fn runs_that_once_failed() {
    for (seed, devices, hours) in [
        (5_039, 10, 3),
        (41, 10, 48),
        (5, 8, 10),
        (60_214, 10, 6),
        (60_264, 10, 73),
        (60_685, 10, 68),
        (7_200_070, 4, 71),
        (9_400_032, 10, 214),
    ] {
        holds(Plan::new(seed, devices, hours * HOUR));
    }
}

/// Storm after storm, with little calm between.
#[test]
fn hardly_any_calm() {
    for seed in 200..204 {
        let report = holds(Plan {
            calm_ms: MINUTE,
            ..Plan::new(seed, 6, DAY)
        });
        assert!(report.outages() > 100, "{}", report.outages());
    }
}

/// Each fault at steps all over the reference hour. `aldis world --sweep` takes every step.
#[test]
fn each_fault_at_some_steps() {
    let sweep = Sweep::new(1, FaultSet::all());
    assert!(sweep.steps() > 3_000, "{}", sweep.steps());
    let few = sweep.filter(|at| (at.step * 31 + at.kind.index() as u64).is_multiple_of(997));
    let mut count = 0;
    for injection in few {
        count += 1;
        let (report, _) = inject(1, injection, false);
        if let Some(violation) = report.violation {
            panic!(
                "{violation}\naldis world --seed 1 --inject {}@{}",
                injection.kind, injection.step
            );
        }
    }
    assert!(count > 300, "{count}");
}

/// The reference hour has what a device's life has.
#[test]
fn the_reference_hour_is_not_empty() {
    let report = holds(Plan::reference(1, None));
    assert_eq!(report.faults.len(), 3);
    assert!(report.outages() >= 3, "{}", report.outages());
    assert!(report.counts.executed >= 10, "{}", report.counts.executed);
    assert!((719..=721).contains(&report.counts.accepted));
    assert!(matches!(Plan::manual(1, 1).script, Script::Manual));
}
