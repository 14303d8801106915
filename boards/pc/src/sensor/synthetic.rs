//! A DHT22 that is not there, in a room whose climate wanders slowly.

use aldis_device::dht::{Frame, Pulse, Wave};
use aldis_protocol::Reading;
use fastrand::Rng;

use super::PulseSource;

/// Makes the pulse trains of a DHT22, with the jitter of real ones (see [`Wave`]).
///
/// The climate is a function of seed and time alone; asking more often does not make it wander
/// faster.
#[derive(Clone, Debug)]
pub struct Synthetic {
    seed: u64,
    jitter: Rng,
    pulses: Vec<Pulse>,
}

/// A quantity that wanders around a mean: the sum of a slow swing and a quick one.
struct Wander {
    mean: f64,
    /// How far, and the time in which it may cross from one end to the other.
    swings: [(f64, u64); 2],
}

const TEMPERATURE: Wander = Wander {
    mean: 230.0,
    swings: [(25.0, 3_600_000), (3.0, 120_000)],
};
const HUMIDITY: Wander = Wander {
    mean: 450.0,
    swings: [(80.0, 3_600_000), (6.0, 120_000)],
};

impl Synthetic {
    /// A sensor whose climate and jitter the seed determines.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            jitter: Rng::with_seed(seed),
            pulses: Vec::with_capacity(Wave::PARTS),
        }
    }

    /// The climate at a time: what the next pulse train will carry.
    pub fn climate(&self, now_ms: u64) -> Reading {
        // The bounds are far inside those of the types.
        Reading {
            t: TEMPERATURE.at(self.seed, now_ms).round() as i16,
            h: HUMIDITY.at(!self.seed, now_ms).round() as u16,
        }
    }
}

impl Wander {
    fn at(&self, seed: u64, now_ms: u64) -> f64 {
        let swing = |(index, &(reach, period)): (u64, &(f64, u64))| {
            // A smooth path through a random point for each period.
            let point = |number: u64| {
                let mixed =
                    seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ index.rotate_right(8);
                2.0 * Rng::with_seed(mixed).f64() - 1.0
            };
            let number = now_ms / period;
            let part = (now_ms % period) as f64 / period as f64;
            let eased = part * part * (3.0 - 2.0 * part);
            let (from, to) = (point(number), point(number + 1));
            reach * (from + (to - from) * eased)
        };
        self.mean + (0..).zip(&self.swings).map(swing).sum::<f64>()
    }
}

impl PulseSource for Synthetic {
    fn measure(&mut self, now_ms: u64) -> &[Pulse] {
        let frame = Frame::dht22(self.climate(now_ms));
        self.pulses.clear();
        self.pulses.extend(Wave::new(frame).map(|part| Pulse {
            level: part.level,
            duration_us: self.jitter.u32(part.duration_us),
        }));
        &self.pulses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_device::dht::{self, Model};

    const STEP_MS: u64 = 2_000;

    /// The virtual device shows another climate than the one it was given.
    #[test]
    fn a_day_of_pulses_decodes_to_the_climate() {
        for seed in 0..3 {
            let mut sensor = Synthetic::new(seed);
            for now in (0..86_400_000).step_by(10 * STEP_MS as usize) {
                let climate = sensor.climate(now);
                let decoded = dht::decode(sensor.measure(now), Model::Auto);
                assert_eq!(decoded, Ok(climate), "seed {seed}, {now} ms");
            }
        }
    }

    /// A climate that jumps or never changes looks broken; one outside a room's, alarming.
    #[test]
    fn the_climate_wanders_slowly() {
        for seed in 0..20 {
            let sensor = Synthetic::new(seed);
            let climates: Vec<_> = (0..3_600_000)
                .step_by(STEP_MS as usize)
                .map(|now| sensor.climate(now))
                .collect();
            for pair in climates.windows(2) {
                assert!(pair[0].t.abs_diff(pair[1].t) <= 2, "seed {seed}: {pair:?}");
                assert!(pair[0].h.abs_diff(pair[1].h) <= 4, "seed {seed}: {pair:?}");
            }
            for Reading { t, h } in &climates {
                assert!(
                    (202..=258).contains(t) && (364..=536).contains(h),
                    "seed {seed}"
                );
            }
            let distinct = climates
                .iter()
                .collect::<std::collections::HashSet<_>>()
                .len();
            assert!(distinct > 20, "seed {seed}: {distinct} climates in an hour");
        }
    }

    /// A failure that its seed does not repeat.
    #[test]
    fn the_seed_determines_every_pulse() {
        let play = |seed| {
            let mut sensor = Synthetic::new(seed);
            (0..50)
                .flat_map(|n| sensor.measure(n * STEP_MS).to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(play(7), play(7));
        assert_ne!(play(7), play(8));
        let mut sensor = Synthetic::new(7);
        assert_ne!(
            sensor.measure(0).to_vec(),
            sensor.measure(0).to_vec(),
            "there is no jitter"
        );
    }

    /// Time at its end must not overflow.
    #[test]
    fn any_time_will_do() {
        let mut sensor = Synthetic::new(u64::MAX);
        for now in [0, 1 << 53, u64::MAX] {
            assert!(dht::decode(sensor.measure(now), Model::Dht22).is_ok());
        }
    }
}
