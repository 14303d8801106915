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

/// A wave is highs, each with the low after it: the release, the preamble, and the bits.
const PAIRS: usize = Wave::PARTS / 2;
/// Room for them in whole eights.
const ROOM: usize = PAIRS.next_multiple_of(8);
/// Which high is the first bit.
const FIRST_BIT: usize = 2;

/// The shortest pulse of each part of one level, and how many lengths it has, from [`Wave`].
struct Spans {
    from: [u16; ROOM],
    lengths: [u16; ROOM],
}

impl Spans {
    /// Every second part, from the first or the second on.
    fn new(first: usize) -> Self {
        let mut spans = Self {
            from: [0; ROOM],
            lengths: [0; ROOM],
        };
        let places = spans.from.iter_mut().zip(&mut spans.lengths);
        // These are no good answers: only the pulses of their bits are wanted.
        let parts = Wave::new(Frame::dht11(0, 0)).skip(first).step_by(2);
        for ((from, lengths), part) in places.zip(parts) {
            *from = shortest(&part);
            *lengths = part.duration_us.count() as u16;
        }
        spans
    }

    /// Lengths by chance, of eight bits each.
    fn pick(&self, chance: &[u8; ROOM]) -> [u16; ROOM] {
        // Without a choice, so that a machine does several at once.
        let mut picked = [0; ROOM];
        for at in 0..ROOM {
            let varies = (u16::from(chance[at]) * self.lengths[at]) >> 8;
            picked[at] = self.from[at] + varies;
        }
        picked
    }
}

fn shortest(part: &Part) -> u16 {
    *part.duration_us.start() as u16
}

struct Bounds {
    highs: Spans,
    lows: Spans,
    /// How much longer than those of zeros the eight highs of a byte are, for each byte.
    longer: [[u16; 8]; 256],
}

static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| {
    let highs = Spans::new(0);
    let one = Wave::new(Frame::dht11(0xff, 0)).nth(2 * FIRST_BIT);
    let longer = one.as_ref().map_or(0, shortest) - highs.from[FIRST_BIT];
    let is_one = |byte: usize, at: usize| byte & (0x80 >> at) != 0;
    let of_byte = |byte| std::array::from_fn(|at| if is_one(byte, at) { longer } else { 0 });
    Bounds {
        longer: std::array::from_fn(of_byte),
        highs,
        lows: Spans::new(1),
    }
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
        let bounds = self.bounds;
        // A byte for each part: 42 and 42 of 88.
        let mut chance = [[0; 8]; 2 * ROOM / 8];
        for eight in &mut chance[..Wave::PARTS.div_ceil(8)] {
            *eight = self.rng.bits().to_le_bytes();
        }
        let chance = chance.as_flattened();
        let (Some(first), Some(second)) = (chance.first_chunk(), chance[PAIRS..].first_chunk())
        else {
            return;
        };
        let mut highs = bounds.highs.pick(first);
        let lows = bounds.lows.pick(second);
        let (bits, _) = highs[FIRST_BIT..].as_chunks_mut::<8>();
        for (eight, byte) in bits.iter_mut().zip(Frame::dht22(reading).bytes()) {
            for (high, longer) in eight.iter_mut().zip(bounds.longer[usize::from(byte)]) {
                *high += longer;
            }
        }
        if self.pulses.len() != Wave::PARTS {
            self.pulses.clear();
            let pair = [Pulse::high(0), Pulse::low(0)];
            self.pulses.extend([pair; PAIRS].as_flattened());
        }
        let (pairs, _) = self.pulses.as_chunks_mut();
        for ([first, second], (high, low)) in pairs.iter_mut().zip(highs.iter().zip(&lows)) {
            first.duration_us = (*high).into();
            second.duration_us = (*low).into();
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
