//! Short words made of numbers.

use core::fmt::{self, Write};

use super::Due;

/// A short text in memory of its own. What does not fit is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    bytes: [u8; Self::LEN],
    len: usize,
}

impl Words {
    const LEN: usize = 48;

    /// What `write!` makes of these arguments.
    pub fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut words = Self {
            bytes: [0; Self::LEN],
            len: 0,
        };
        // All it can say is that the end is missing.
        let _cut = words.write_fmt(arguments);
        words
    }

    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let end = self.len.saturating_add(c.len_utf8());
            let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
            c.encode_utf8(room);
            self.len = end;
        }
        Ok(())
    }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long ago, in a number and a letter: `4s`, `12m`, `3h`, `2d`.
pub fn age(ms: u64, due: &mut Due) -> Words {
    let (unit, letter) = match ms {
        0..MINUTE => (SECOND, 's'),
        MINUTE..HOUR => (MINUTE, 'm'),
        HOUR..DAY => (HOUR, 'h'),
        _ => (DAY, 'd'),
    };
    due.every(ms, unit);
    Words::of(format_args!(
        "{}{letter}",
        ms.checked_div(unit).unwrap_or(0)
    ))
}

/// How long, in two numbers: `12m 05s`, `3h 12m`, `2d 03h`.
pub fn duration(ms: u64, due: &mut Due) -> Words {
    let (large, letter, small, letter_of_small) = match ms {
        0..HOUR => (MINUTE, 'm', SECOND, 's'),
        HOUR..DAY => (HOUR, 'h', MINUTE, 'm'),
        _ => (DAY, 'd', HOUR, 'h'),
    };
    due.every(ms, small);
    Words::of(format_args!(
        "{}{letter} {:02}{letter_of_small}",
        ms.checked_div(large).unwrap_or(0),
        ms.checked_rem(large)
            .and_then(|ms| ms.checked_div(small))
            .unwrap_or(0),
    ))
}
