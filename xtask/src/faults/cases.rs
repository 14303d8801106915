//! Which faults, and where.

use std::time::Duration;

use crate::lab::broker::Kind as Broker;
use crate::lab::device::Kind as Device;
use crate::lab::experiment::Setting;
use crate::lab::fault::{Absent, Fault, Place};
use crate::lab::network::{Direction, Topology};

/// A fault, how long it lasts, and where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// The fault.
    pub fault: Fault,
    /// How long it lasts; how long is looked on, if it does not end.
    pub lasts: Duration,
    /// Where.
    pub setting: Setting,
    /// It is among the quick ones.
    quick: bool,
}

impl Case {
    /// Its name: the fault's, and how long it lasts where that varies.
    pub fn name(&self) -> String {
        let name = self.fault.name();
        let seconds = self.lasts.as_secs();
        match self.fault {
            Fault::Silent(_) if seconds < 60 => format!("{name}-{seconds}s"),
            Fault::Silent(_) => format!("{name}-{}min", seconds / 60),
            _ => name.to_owned(),
        }
    }
}

const AT_MOSQUITTO: Setting = Setting {
    broker: Broker::Mosquitto,
    device: Device::Pc,
    topology: Topology::Single,
};
const AT_FORGETFUL: Setting = Setting {
    broker: Broker::Forgetful,
    ..AT_MOSQUITTO
};
const AT_HUB: Setting = Setting {
    broker: Broker::Hub,
    ..AT_MOSQUITTO
};
const VIRT: Setting = Setting {
    device: Device::Virt,
    ..AT_MOSQUITTO
};
const VIRT_AT_HUB: Setting = Setting {
    device: Device::Virt,
    ..AT_HUB
};
const DOUBLE: Setting = Setting {
    topology: Topology::Double,
    ..AT_MOSQUITTO
};
const FORWARDED: Setting = Setting {
    topology: Topology::Forwarded,
    ..AT_MOSQUITTO
};

/// Both ways, and each alone.
const WAYS: [Option<Direction>; 3] = [None, Some(Direction::ToBroker), Some(Direction::ToDevice)];

/// All, or those that take a few minutes together.
pub fn all(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |fault, seconds, setting, quick| {
        cases.push(Case {
            fault,
            lasts: Duration::from_secs(seconds),
            setting,
            quick,
        });
    };
    // Those that last long begin first.
    for seconds in [600, 120] {
        for way in WAYS {
            add(Fault::Silent(way), seconds, AT_MOSQUITTO, false);
            add(Fault::Silent(way), seconds, AT_HUB, false);
        }
    }
    add(Fault::Silent(None), 120, VIRT, false);
    add(Fault::Silent(None), 120, DOUBLE, false);
    add(Fault::Silent(None), 120, FORWARDED, false);
    add(Fault::Duplicate, 20, AT_MOSQUITTO, false);
    add(Fault::Duplicate, 20, AT_HUB, false);
    add(Fault::Duplicate, 20, VIRT, false);
    for setting in [AT_MOSQUITTO, DOUBLE, FORWARDED, VIRT] {
        add(Fault::Idle, 240, setting, false);
    }
    add(Fault::Late, 60, AT_MOSQUITTO, true);
    add(Fault::Late, 60, AT_HUB, false);
    add(Fault::Late, 60, VIRT, false);
    for way in WAYS {
        add(Fault::Silent(way), 30, AT_MOSQUITTO, true);
        add(Fault::Silent(way), 30, AT_HUB, way.is_none());
        add(Fault::Silent(way), 30, VIRT, false);
    }
    add(Fault::Silent(None), 30, DOUBLE, true);
    add(Fault::Silent(None), 30, FORWARDED, false);
    add(Fault::Trickle, 30, AT_MOSQUITTO, true);
    add(Fault::Trickle, 30, AT_HUB, false);
    add(Fault::Trickle, 30, VIRT, false);
    add(Fault::Hung, 20, AT_MOSQUITTO, true);
    add(Fault::Hung, 20, AT_HUB, true);
    add(Fault::Hung, 20, VIRT, true);
    for setting in [AT_MOSQUITTO, AT_HUB, VIRT] {
        let at_mosquitto = setting == AT_MOSQUITTO;
        add(Fault::Moved, 0, setting, at_mosquitto);
        add(Fault::LinkDown, 10, setting, setting != AT_HUB);
        add(Fault::Reset, 0, setting, at_mosquitto);
        add(Fault::Forgotten(Place::Device), 0, setting, at_mosquitto);
        add(Fault::Takeover, 0, setting, setting != VIRT);
        for absent in [Absent::Broker, Absent::Router, Absent::Link] {
            let seconds = if absent == Absent::Broker { 8 } else { 15 };
            let quick = at_mosquitto && absent != Absent::Router;
            add(Fault::Cold(absent), seconds, setting, quick);
        }
        for way in WAYS {
            add(
                Fault::Silent(way),
                5,
                setting,
                at_mosquitto && way.is_none(),
            );
        }
    }
    for setting in [AT_MOSQUITTO, AT_FORGETFUL, AT_HUB, VIRT, VIRT_AT_HUB] {
        let quick = setting != VIRT_AT_HUB;
        add(Fault::Killed, 5, setting, quick && setting != AT_FORGETFUL);
        add(Fault::Restarted, 2, setting, quick && setting != VIRT);
    }
    for setting in [DOUBLE, FORWARDED] {
        add(Fault::Killed, 5, setting, setting == FORWARDED);
        add(Fault::Hung, 20, setting, false);
        add(Fault::LinkDown, 10, setting, false);
        add(Fault::Reset, 0, setting, false);
        add(Fault::Takeover, 0, setting, false);
        add(Fault::Forgotten(Place::Device), 0, setting, false);
        add(Fault::Forgotten(Place::Broker), 0, setting, true);
        add(Fault::Cold(Absent::Broker), 8, setting, false);
    }
    cases.retain(|case| case.quick || !quick);
    cases
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// An experiment that cannot be told from another, or a fault that nobody tries.
    #[test]
    fn every_fault_is_there_and_has_its_name() {
        let all = all(false);
        let names: HashSet<_> = all.iter().map(|case| (case.name(), case.setting)).collect();
        assert_eq!(names.len(), all.len());
        for name in [
            "killed",
            "restarted",
            "hung",
            "moved",
            "link-down",
            "silent-5s",
            "silent-30s",
            "silent-2min",
            "silent-10min",
            "silent-to-broker-10min",
            "silent-to-device-10min",
            "reset",
            "nat-flushed",
            "nat-flushed-outer",
            "nat-idle",
            "takeover",
            "duplicate-id",
            "cold-broker",
            "cold-router",
            "cold-link",
            "trickle",
            "late",
        ] {
            assert!(all.iter().any(|case| case.name() == name), "{name}");
        }
    }

    /// A check that takes half an hour is left out by everybody.
    #[test]
    fn the_quick_ones_are_quick() {
        let quick = super::all(true);
        assert!(quick.len() > 20 && quick.len() < 40, "{}", quick.len());
        assert!(
            quick
                .iter()
                .all(|case| case.lasts <= Duration::from_secs(60))
        );
        let settings: HashSet<_> = quick.iter().map(|case| case.setting).collect();
        assert!(settings.len() >= 6, "{settings:?}");
    }
}
