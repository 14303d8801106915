use aldis_world::{FaultKind, FaultSet, Plan};

use super::{DAY, MINUTE, holds};

/// A device that restarts in a circle, because of a message that comes again, or of an old one; or
/// that does not do it.
#[test]
fn devices_restart_as_often_as_they_are_told() {
    let mut faults = FaultSet::NONE;
    for kind in [
        FaultKind::ToldToRestart,
        FaultKind::PowerCut,
        FaultKind::FlashCut,
        FaultKind::BrokerAway,
        FaultKind::BrokerRestart,
        FaultKind::BrokerForgets,
        FaultKind::Blackhole,
        FaultKind::SessionForgotten,
    ] {
        faults.insert(kind);
    }
    let (mut told, mut done) = (0, 0);
    for seed in 0..3 {
        let report = holds(Plan {
            faults,
            calm_ms: 2 * MINUTE,
            ..Plan::new(seed, 3, DAY)
        });
        told += report.faults[&FaultKind::ToldToRestart];
        done += report.counts.told_restarts;
    }
    assert!(told > 30 && done * 2 > told, "{done} of {told}");
}

/// Readings that do not outlive the power, numbers that are given twice, a lamp that forgets.
#[test]
fn what_the_flash_has_outlives_every_cut() {
    let mut faults = FaultSet::NONE;
    for kind in [
        FaultKind::FlashCut,
        FaultKind::PowerCut,
        FaultKind::Brownout,
        FaultKind::BrokerAway,
        FaultKind::Blackhole,
        FaultKind::RecorderAway,
    ] {
        faults.insert(kind);
    }
    let mut restarts = 0;
    for seed in 0..4 {
        let report = holds(Plan {
            faults,
            calm_ms: 2 * MINUTE,
            ..Plan::new(seed, 5, 2 * DAY)
        });
        restarts += report.counts.restarts;
        // What the flash took is never lost with the power, but for what is too much for it.
        let counts = report.counts;
        assert!(
            counts.lost_with_power <= counts.accepted / 50,
            "{} of {}",
            counts.lost_with_power,
            counts.accepted
        );
    }
    assert!(restarts > 200, "{restarts}");
}
