//! What a climate sensor measured.

use core::fmt;

/// One measurement of temperature and relative humidity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Temperature in tenths of a degree Celsius.
    pub t: i16,
    /// Relative humidity in tenths of a percent.
    pub h: u16,
}

impl Reading {
    /// The temperature, to print it in degrees Celsius.
    pub const fn temperature(self) -> Tenths {
        Tenths(self.t as i32)
    }

    /// The relative humidity, to print it in percent.
    pub const fn humidity(self) -> Tenths {
        Tenths(self.h as i32)
    }
}

/// A number of tenths, printed with one decimal: `Tenths(-78)` is `-7.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenths(pub i32);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{}", magnitude / 10, magnitude % 10)
    }
}
