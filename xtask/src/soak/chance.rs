//! Faults by chance, from a seed.

use std::time::Duration;

use crate::lab::broker;
use crate::lab::fault::{Fault, Kept, Place};
use crate::lab::network::Direction;

/// What may happen, unless the broker may forget something by it: then nothing could be said
/// about what is lost.
const FAULTS: [Fault; 9] = [
    Fault::Killed,
    Fault::Restarted,
    Fault::Hung,
    Fault::LinkDown,
    Fault::Silent(None),
    Fault::Silent(Some(Direction::ToBroker)),
    Fault::Silent(Some(Direction::ToDevice)),
    Fault::Reset,
    Fault::Forgotten(Place::Device),
];

/// What the broker keeps over all of it.
pub const KEPT: Kept = Kept {
    readings: true,
    commands: true,
};

/// A sequence of faults.
#[derive(Debug)]
pub struct Chance {
    random: fastrand::Rng,
    faults: Vec<Fault>,
    longest: Duration,
}

impl Chance {
    /// The sequence of this seed, for faults that come so often.
    pub fn new(seed: u64, broker: broker::Kind, every: Duration) -> Self {
        let keeps = |fault: &Fault| fault.keeps(broker) == KEPT;
        Self {
            random: fastrand::Rng::with_seed(seed),
            faults: FAULTS.into_iter().filter(keeps).collect(),
            longest: every / 2,
        }
    }

    /// The next fault, and how long it lasts.
    pub fn next(&mut self) -> (Fault, Duration) {
        let fault = self.faults[self.random.usize(..self.faults.len())];
        let longest = match fault {
            _ if fault.is_permanent() => return (fault, Duration::ZERO),
            Fault::Killed | Fault::Restarted => Duration::from_secs(10),
            _ => Duration::from_secs(30),
        };
        let longest = longest.min(self.longest).as_millis() as u64;
        let lasts = self.random.u64(100..=longest.max(100));
        (fault, Duration::from_millis(lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(seed: u64, broker: broker::Kind) -> Vec<(Fault, Duration)> {
        let mut chance = Chance::new(seed, broker, Duration::from_secs(60));
        (0..200).map(|_| chance.next()).collect()
    }

    /// A seed that does not repeat its run, or a fault that never comes.
    #[test]
    fn a_seed_repeats_its_faults() {
        let hub = broker::Kind::Hub;
        assert_eq!(sequence(7, hub), sequence(7, hub));
        assert_ne!(sequence(7, hub), sequence(8, hub));
        for fault in FAULTS {
            let come = |broker| sequence(7, broker).iter().any(|(one, _)| *one == fault);
            assert!(come(hub), "{fault:?}");
            // It promises nothing when it is killed.
            assert_eq!(come(broker::Kind::Mosquitto), fault != Fault::Killed);
        }
        let longest = sequence(7, hub).into_iter().map(|(_, lasts)| lasts).max();
        assert!(longest <= Some(Duration::from_secs(30)));
    }
}
