//! From pulse trains to readings: the DHT family's single-wire answer.
//!
//! A sensor answers a start pulse with a preamble (low and high, about 80 µs
//! each) and 40 bits: each is a low of about 54 µs and a high whose length is the
//! bit, about 26 µs for 0 and 73 µs for 1. A last low of about 47 µs ends the last
//! bit, then the line idles high. The five bytes are humidity, temperature (two
//! each) and their sum.
//!
//! The decoder takes edges with their durations, whether an on-chip capture unit
//! or a logic analyser took them, and does not need to know where they begin: the
//! host's start pulse, the release edge and the preamble may all be missing. No
//! sensor of the family can send 1 as its first bit (humidity would exceed 100 %),
//! so a long first high is the preamble's.
//!
//! # Which sensor it was
//!
//! A DHT22 (AM2302, AM2301, AM2322) sends tenths in 16 bits, a DHT11 whole numbers
//! in a byte each, with a decimal digit (nearly always 0) in the next. The two
//! cannot be confused: at most 100.0 % of a DHT22 leave its first byte at 3 or
//! less, where a DHT11 has its whole percents, of which it measures no fewer than
//! 5. So [`Model::Auto`] goes by the values alone. Timing would not help: within
//! the family, sensors differ by no more than their own jitter.
//!
//! # Below zero
//!
//! The DHT22 sends a sign bit and a magnitude. Some clones send two's complement
//! instead. From -40 °C up, the two have no bit pattern in common, so both are
//! understood.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod frame;
mod wave;

pub use frame::Frame;
pub use wave::{Part, Wave};

use core::fmt;

use aldis_protocol::Reading;

/// How long the line stayed at one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// `true` while the line was high.
    pub level: bool,
    /// For how many microseconds.
    pub duration_us: u32,
}

impl Pulse {
    /// The line was high for so many microseconds.
    pub const fn high(duration_us: u32) -> Self {
        Self {
            level: true,
            duration_us,
        }
    }

    /// The line was low for so many microseconds.
    pub const fn low(duration_us: u32) -> Self {
        Self {
            level: false,
            duration_us,
        }
    }

    /// Whether it can be part of an answer.
    const fn is_short(self) -> bool {
        matches!(self.duration_us, 1..=IDLE_US)
    }
}

/// Which sensor is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// DHT22 or AM2302, and those that speak like it: AM2301 (DHT21), AM2322.
    Dht22,
    /// DHT11, with whole numbers.
    Dht11,
    /// Whichever of them the values show.
    #[default]
    Auto,
}

/// Why there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No answer: the sensor is detached, or ignored a start pulse that was too short.
    Missing,
    /// The answer was damaged on the wire.
    Checksum,
    /// A whole answer, but not one that the chosen model can give.
    Model,
    /// The answer is not all there.
    Truncated,
}

impl Error {
    /// The error in one word: `missing`, `checksum`, `model` or `truncated`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Checksum => "checksum",
            Self::Model => "model",
            Self::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for Error {}

/// A high at least this long is a 1: halfway between the two lengths.
const ONE_US: u32 = 50;
/// A high at least this long is the preamble's: between the longest 1 recorded (75 µs) and the
/// shortest preamble (81 µs).
const PREAMBLE_US: u32 = 78;
/// A level held longer than this is no part of an answer.
const IDLE_US: u32 = 200;
/// The bits of a frame.
const BITS: u32 = 40;
/// The AM2301 sends three zero bytes after the frame.
const BITS_AM2301: u32 = 64;

/// Decodes one measurement: the first answer in a capture.
///
/// # Errors
/// [`Error::Missing`] if there is no answer, else what is wrong with it.
pub fn decode(pulses: &[Pulse], model: Model) -> Result<Reading, Error> {
    let mut finder = Finder::new(model);
    let mut rest = pulses;
    loop {
        rest = finder.take_bits(rest);
        let Some((&pulse, behind)) = rest.split_first() else {
            return finder.finish().unwrap_or(Err(Error::Missing));
        };
        rest = behind;
        if finder.take(pulse)
            && let Some(answer) = finder.end_of_train()
        {
            return answer;
        }
    }
}

/// Every answer in a recording, in order.
pub fn answers<I>(pulses: I, model: Model) -> Answers<I::IntoIter>
where
    I: IntoIterator<Item = Pulse>,
{
    Answers {
        pulses: pulses.into_iter(),
        finder: Finder::new(model),
    }
}

/// The iterator of [`answers`].
#[derive(Clone, Debug)]
pub struct Answers<I> {
    pulses: I,
    finder: Finder,
}

impl<I: Iterator<Item = Pulse>> Iterator for Answers<I> {
    type Item = Result<Reading, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        for pulse in self.pulses.by_ref() {
            if let Some(answer) = self.finder.push(pulse) {
                return Some(answer);
            }
        }
        self.finder.finish()
    }
}

/// Finds answers in pulses that arrive one by one, in constant memory.
///
/// Neighbours of one level count as one pulse; pulses of no length (the end
/// markers of capture units) are passed over.
#[derive(Clone, Debug)]
pub struct Finder {
    model: Model,
    /// The level now, and for how long.
    level: bool,
    duration_us: u32,
    train: Train,
}

/// A run of short pulses.
#[derive(Clone, Copy, Debug, Default)]
struct Train {
    /// A low has passed, so that the next high follows one.
    after_low: bool,
    /// Highs between two lows.
    highs: u32,
    /// The length of the first of them.
    first_us: u32,
    /// The first 41 of them as bits, the latest lowest.
    bits: u64,
}

impl Finder {
    /// A finder that has seen nothing yet.
    pub const fn new(model: Model) -> Self {
        Self {
            model,
            level: true,
            duration_us: 0,
            train: Train {
                after_low: false,
                highs: 0,
                first_us: 0,
                bits: 0,
            },
        }
    }

    /// Takes the next pulse; gives an answer when the line goes idle after it.
    pub fn push(&mut self, pulse: Pulse) -> Option<Result<Reading, Error>> {
        if self.take(pulse) {
            self.end_of_train()
        } else {
            None
        }
    }

    /// Takes the bits of a frame, as long as highs and lows come in turn, and gives the rest:
    /// what [`Finder::take`] does with each pulse, at once.
    #[inline]
    fn take_bits<'p>(&mut self, pulses: &'p [Pulse]) -> &'p [Pulse] {
        let train = &mut self.train;
        if self.level || self.duration_us > IDLE_US || !(1..=BITS).contains(&train.highs) {
            return pulses;
        }
        let (pairs, _) = pulses.as_chunks();
        // One more than a frame has: the preamble's may be the first.
        let room = BITS.saturating_add(1).saturating_sub(train.highs);
        let pairs = pairs.get(..room as usize).unwrap_or(pairs);
        let mut taken: u32 = 0;
        for [high, low] in pairs {
            if !high.level || low.level || !high.is_short() || !low.is_short() {
                break;
            }
            train.bits = train.bits << 1 | u64::from(high.duration_us >= ONE_US);
            self.duration_us = low.duration_us;
            taken = taken.wrapping_add(1);
        }
        train.highs = train.highs.wrapping_add(taken);
        pulses
            .get(taken.wrapping_mul(2) as usize..)
            .unwrap_or_default()
    }

    /// Takes the next pulse; true if the line is idle after it.
    #[inline]
    fn take(&mut self, pulse: Pulse) -> bool {
        if pulse.duration_us == 0 {
            return false;
        }
        if pulse.level == self.level {
            self.duration_us = self.duration_us.saturating_add(pulse.duration_us);
        } else {
            if self.duration_us <= IDLE_US {
                self.train.pulse_ended(self.level, self.duration_us);
            }
            self.level = pulse.level;
            self.duration_us = pulse.duration_us;
        }
        self.duration_us > IDLE_US
    }

    /// Ends the recording; gives the answer in it that was not followed by an idle line, if any.
    pub fn finish(&mut self) -> Option<Result<Reading, Error>> {
        // The last level was cut short by the end, so its length says nothing.
        let answer = self.end_of_train();
        *self = Self::new(self.model);
        answer
    }

    #[inline]
    fn end_of_train(&mut self) -> Option<Result<Reading, Error>> {
        core::mem::take(&mut self.train).answer(self.model)
    }
}

impl Train {
    fn pulse_ended(&mut self, level: bool, duration_us: u32) {
        if !level {
            self.after_low = true;
        } else if self.after_low {
            if self.highs <= BITS {
                if self.highs == 0 {
                    self.first_us = duration_us;
                }
                self.bits = self.bits << 1 | u64::from(duration_us >= ONE_US);
            }
            self.highs = self.highs.saturating_add(1);
        }
    }

    // Apart, so that what is done with each pulse is small.
    #[inline(never)]
    fn answer(self, model: Model) -> Option<Result<Reading, Error>> {
        self.frame().map(|frame| frame?.reading(model))
    }

    /// The frame in the train, or what is wrong with it; nothing if this is no answer at all.
    fn frame(self) -> Option<Result<Frame, Error>> {
        if self.highs == 0 {
            return None;
        }
        if self.highs < BITS {
            return Some(Err(Error::Truncated));
        }
        // Of the first 41 highs, 40 are the frame.
        if self.first_us < ONE_US {
            let spare = u32::from(self.highs > BITS);
            return Some(Ok(Frame::from_bits(self.bits >> spare)));
        }
        // A long first high is the preamble's, unless that leaves the count one short.
        Some(match self.highs {
            BITS | BITS_AM2301 if self.first_us < PREAMBLE_US => Err(Error::Checksum),
            BITS => Err(Error::Truncated),
            _ => Ok(Frame::from_bits(self.bits)),
        })
    }
}
