//! The pulses that a sensor would send: for synthetic sensors, simulation and tests.

use core::ops::RangeInclusive;

use super::{Frame, Pulse};

/// One pulse of an answer, with the bounds between which it varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `true` if the line is high.
    pub level: bool,
    /// The durations seen in recordings of real sensors, in microseconds.
    pub duration_us: RangeInclusive<u32>,
}

impl Part {
    /// The pulse halfway between its bounds.
    pub fn nominal(&self) -> Pulse {
        Pulse {
            level: self.level,
            duration_us: self.duration_us.start().midpoint(*self.duration_us.end()),
        }
    }
}

/// The release edge and the answer that carries a frame, part by part.
///
/// The bounds are the shortest and the longest pulse of each kind in the recordings of the
/// DHT22 (AM2302): 22 answers, 880 bits.
#[derive(Clone, Debug)]
pub struct Wave {
    bits: u64,
    next: u8,
}

impl Wave {
    /// How many parts a wave has: release, preamble, 40 bits and the last low.
    pub const PARTS: usize = 84;

    /// The wave that carries a frame.
    pub const fn new(frame: Frame) -> Self {
        let [a, b, c, d, sum] = frame.bytes();
        Self {
            bits: u64::from_be_bytes([a, b, c, d, sum, 0, 0, 0]),
            next: 0,
        }
    }
}

impl Iterator for Wave {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let position = self.next;
        let (level, duration_us) = match position {
            0 => (true, 22..=45),
            1 => (false, 61..=79),
            2 => (true, 81..=82),
            83 => (false, 46..=47),
            84.. => return None,
            // The sensor pauses before each byte but the first.
            19 | 35 | 51 | 67 => (false, 64..=67),
            low if low % 2 == 1 => (false, 53..=54),
            _ => {
                let one = self.bits >> 63 == 1;
                self.bits <<= 1;
                (true, if one { 72..=74 } else { 25..=27 })
            }
        };
        self.next = position.saturating_add(1);
        Some(Part { level, duration_us })
    }
}
