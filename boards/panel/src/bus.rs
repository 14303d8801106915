//! What passes over the bus, and how it fails.

use core::fmt;

use embedded_hal::i2c::{self, ErrorKind, NoAcknowledgeSource};

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nobody acknowledged this byte.
    NoAcknowledge(NoAcknowledgeSource),
    /// A line is held low, so that no transfer can begin; or the bus is in use.
    Bus,
}

impl i2c::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAcknowledge(source) => ErrorKind::NoAcknowledge(*source),
            Self::Bus => ErrorKind::Bus,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAcknowledge(NoAcknowledgeSource::Address) => {
                f.write_str("no device acknowledged its address")
            }
            Self::NoAcknowledge(_) => f.write_str("the device did not acknowledge a byte"),
            Self::Bus => f.write_str("the bus is held low or in use"),
        }
    }
}

impl core::error::Error for Error {}

/// What passed over the bus.
///
/// A byte takes nine bit times, its acknowledgement included; START, repeated START and
/// STOP take one each. Clock stretching and the pauses between transactions are not in
/// it: the SSD1306 does not stretch, and pauses are the bus master's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Transactions, from START to STOP, failed ones included.
    pub transactions: u32,
    /// Of these, the ones that failed.
    pub failed: u32,
    /// Bytes, with addresses and those that nobody acknowledged.
    pub bytes: u32,
    /// Bit times.
    pub bits: u64,
    /// The bit times of the longest transaction.
    pub longest: u64,
}

/// How long so many bit times take at a clock of `hz`, in microseconds, rounded up.
/// Without a clock it takes for ever.
#[must_use]
pub const fn micros(bits: u64, hz: u32) -> u64 {
    match bits
        .saturating_mul(1_000_000)
        .checked_next_multiple_of(hz as u64)
    {
        Some(scaled) => match scaled.checked_div(hz as u64) {
            Some(micros) => micros,
            None => u64::MAX,
        },
        None => u64::MAX,
    }
}
