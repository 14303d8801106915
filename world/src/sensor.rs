//! A DHT22 in a room: its pulses with the jitter of real ones, and what can be wrong with them.

use std::sync::LazyLock;

use aldis_device::dht::{Frame, Part, Pulse, Wave};
use aldis_protocol::Reading;

use crate::rng::Rng;

/// How the sensor is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It answers.
    #[default]
    Good,
    /// Nothing is on the line.
    Away,
    /// Answers are cut short, or have bits turned over, now and then.
    Noisy,
    /// The line is low.
    Stuck,
    /// It answers after 60 to 140 ms.
    Late,
}

/// What came of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What the sensor said, if that can be read.
    pub reading: Option<Reading>,
    /// After how many milliseconds; none: never.
    pub after_ms: Option<u32>,
}

/// The parts of a wave, to the next eight.
const PLACES: usize = Wave::PARTS.next_multiple_of(8);
/// Where the first bit is: after the release and the preamble.
const FIRST_BIT: usize = 4;

/// The shortest pulse of each part, and how many lengths it has, from [`Wave`].
struct Bounds {
    from: [u16; PLACES],
    lengths: [u16; PLACES],
    /// How much longer a bit is that is 1.
    longer: u16,
}

static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| {
    let mut bounds = Bounds {
        from: [0; PLACES],
        lengths: [0; PLACES],
        longer: 0,
    };
    let shortest = |part: &Part| *part.duration_us.start() as u16;
    let places = bounds.from.iter_mut().zip(&mut bounds.lengths);
    // These are no good answers: only the pulses of their bits are wanted.
    for ((from, lengths), part) in places.zip(Wave::new(Frame::dht11(0, 0))) {
        *from = shortest(&part);
        *lengths = part.duration_us.count() as u16;
    }
    if let Some(one) = Wave::new(Frame::dht11(0xff, 0)).nth(FIRST_BIT) {
        bounds.longer = shortest(&one) - bounds.from[FIRST_BIT];
    }
    bounds
});

/// A sensor's line.
pub(crate) struct Line {
    pub pulses: Vec<Pulse>,
    rng: Rng,
    bounds: &'static Bounds,
}

impl Line {
    pub fn new(rng: Rng) -> Self {
        Self {
            pulses: Vec::with_capacity(Wave::PARTS),
            rng,
            bounds: &BOUNDS,
        }
    }

    /// Measures.
    pub fn measure(&mut self, mode: Mode, reading: Reading) -> Answer {
        let good = Answer {
            reading: Some(reading),
            after_ms: Some(0),
        };
        let bad = Answer {
            reading: None,
            after_ms: Some(0),
        };
        match mode {
            Mode::Good => {
                self.answer(reading);
                good
            }
            Mode::Away => {
                self.pulses.clear();
                self.pulses.push(Pulse::high(1_000));
                bad
            }
            Mode::Stuck => {
                self.pulses.clear();
                self.pulses.push(Pulse::low(5_000));
                bad
            }
            Mode::Late => {
                self.answer(reading);
                Answer {
                    after_ms: Some(self.rng.between(60, 140) as u32),
                    ..good
                }
            }
            Mode::Noisy => {
                self.answer(reading);
                match self.rng.below(5) {
                    0 => return good,
                    1 => {
                        let keep = self.rng.below(70) as usize;
                        self.pulses.truncate(keep);
                    }
                    2 => {
                        self.pulses.clear();
                        return Answer {
                            after_ms: None,
                            ..bad
                        };
                    }
                    3 => {
                        // Spikes, too few for an answer.
                        let count = self.rng.between(1, 60) as usize;
                        self.pulses.truncate(count);
                        for pulse in &mut self.pulses {
                            pulse.duration_us = self.rng.between(1, 90) as u32;
                        }
                    }
                    // One bit is turned over: what a checksum always finds.
                    _ => {
                        let bit = 4 + 2 * self.rng.below(40) as usize;
                        if let Some(pulse) = self.pulses.get_mut(bit) {
                            pulse.duration_us = match pulse.duration_us {
                                ..50 => 73,
                                _ => 26,
                            };
                        }
                    }
                }
                bad
            }
        }
    }

    fn answer(&mut self, reading: Reading) {
        let [a, b, c, d, sum] = Frame::dht22(reading).bytes();
        let bits = u64::from_be_bytes([a, b, c, d, sum, 0, 0, 0]);
        let bounds = self.bounds;
        // In steps without a choice, so that a machine does several places at once.
        let mut longer = [0; PLACES];
        for (at, place) in longer[FIRST_BIT..Wave::PARTS - 1]
            .iter_mut()
            .step_by(2)
            .enumerate()
        {
            *place = (bits << at >> 63) as u16 * bounds.longer;
        }
        let mut chance = [0; PLACES];
        for eight in chance.chunks_exact_mut(8) {
            eight.copy_from_slice(&self.rng.bits().to_le_bytes());
        }
        let mut lengths = [0; PLACES];
        for at in 0..PLACES {
            let varies = (u16::from(chance[at]) * bounds.lengths[at]) >> 8;
            lengths[at] = bounds.from[at] + longer[at] + varies;
        }
        if self.pulses.len() != Wave::PARTS {
            let levels = (0..Wave::PARTS).map(|at| at % 2 == 0);
            self.pulses.clear();
            self.pulses.extend(levels.map(|level| Pulse {
                level,
                duration_us: 0,
            }));
        }
        for (pulse, length) in self.pulses.iter_mut().zip(lengths) {
            pulse.duration_us = length.into();
        }
    }
}

/// The climate of a room, which wanders slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(pub Reading);

impl Room {
    pub fn new(rng: &mut Rng) -> Self {
        Self(Reading {
            t: rng.between(50, 300) as i16 - 100,
            h: rng.between(200, 800) as u16,
        })
    }

    /// Two seconds go by.
    #[inline]
    pub fn wander(&mut self, rng: &mut Rng) -> Reading {
        let chance = rng.bits();
        let step = |bits: u64| [-1, 0, 0, 1][(bits & 3) as usize];
        self.0.t = (self.0.t + step(chance)).clamp(-390, 790);
        let h = self.0.h as i16 + step(chance >> 8);
        self.0.h = h.clamp(10, 990) as u16;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_device::dht::{Model, decode};

    /// A sensor whose pulses are not a DHT22's tests another decoder than that of the product.
    #[test]
    fn answers_are_those_of_a_wave() {
        let mut line = Line::new(Rng::new(3));
        let mut rng = Rng::new(4);
        let mut room = Room::new(&mut rng);
        for _ in 0..2_000 {
            let reading = room.wander(&mut rng);
            let answer = line.measure(Mode::Good, reading);
            assert_eq!(answer.reading, Some(reading));
            assert_eq!(decode(&line.pulses, Model::Auto), Ok(reading));
            let wave = Wave::new(Frame::dht22(reading));
            assert_eq!(line.pulses.len(), Wave::PARTS);
            for (pulse, part) in line.pulses.iter().zip(wave) {
                assert_eq!(pulse.level, part.level);
                assert!(
                    part.duration_us.contains(&pulse.duration_us),
                    "{pulse:?} {part:?}"
                );
            }
        }
        assert_ne!(
            line.measure(Mode::Good, room.0),
            line.measure(Mode::Away, room.0)
        );
    }

    /// A noisy sensor whose bad answers are read as values would accuse the decoder wrongly.
    #[test]
    fn what_is_no_answer_is_never_read() {
        let mut line = Line::new(Rng::new(5));
        let mut rng = Rng::new(6);
        let mut room = Room::new(&mut rng);
        let mut good = 0;
        for _ in 0..5_000 {
            let reading = room.wander(&mut rng);
            let answer = line.measure(Mode::Noisy, reading);
            let decoded = decode(&line.pulses, Model::Auto).ok();
            assert_eq!(decoded, answer.reading);
            good += u32::from(decoded.is_some());
        }
        assert!((500..2_000).contains(&good), "{good}");
        for mode in [Mode::Away, Mode::Stuck] {
            line.measure(mode, room.0);
            assert!(decode(&line.pulses, Model::Auto).is_err());
        }
    }
}
