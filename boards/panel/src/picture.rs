//! A picture of the panel's size, in black and white.

use core::fmt;

use crate::{HEIGHT, WIDTH};

/// 128x64 pixels, lit or not.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// A row each; the lowest bit is at the left.
    rows: [u128; HEIGHT as usize],
}

impl Default for Picture {
    fn default() -> Self {
        Self::DARK
    }
}

impl Picture {
    /// Nothing is lit.
    pub const DARK: Self = Self {
        rows: [0; HEIGHT as usize],
    };

    /// The columns of [`half_block`](Self::half_block).
    pub const HALF_BLOCK_COLUMNS: u8 = WIDTH;
    /// The rows of [`half_block`](Self::half_block).
    pub const HALF_BLOCK_ROWS: u8 = HEIGHT / 2;
    /// The columns of [`braille`](Self::braille).
    pub const BRAILLE_COLUMNS: u8 = WIDTH / 2;
    /// The rows of [`braille`](Self::braille).
    pub const BRAILLE_ROWS: u8 = HEIGHT / 4;

    /// The picture in which `lit` says of each pixel whether it is lit, `x` from the
    /// left and `y` from the top.
    #[must_use]
    pub fn from_fn(mut lit: impl FnMut(u8, u8) -> bool) -> Self {
        let mut picture = Self::DARK;
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                if lit(x, y) {
                    picture.set(x, y, true);
                }
            }
        }
        picture
    }

    /// Whether a pixel is lit. Outside, none is.
    #[must_use]
    pub fn get(&self, x: u8, y: u8) -> bool {
        match (self.rows.get(usize::from(y)), 1_u128.checked_shl(x.into())) {
            (Some(row), Some(bit)) => row & bit != 0,
            _ => false,
        }
    }

    /// Lights a pixel or puts it out. Outside, there is none.
    pub fn set(&mut self, x: u8, y: u8, lit: bool) {
        if let (Some(row), Some(bit)) = (
            self.rows.get_mut(usize::from(y)),
            1_u128.checked_shl(x.into()),
        ) {
            if lit {
                *row |= bit;
            } else {
                *row &= !bit;
            }
        }
    }

    /// How many pixels are lit.
    #[must_use]
    pub fn lit(&self) -> u32 {
        self.rows
            .iter()
            .fold(0, |lit, row| row.count_ones().saturating_add(lit))
    }

    /// How many pixels are not the same in the other.
    #[must_use]
    pub fn differs(&self, other: &Self) -> u32 {
        self.rows
            .iter()
            .zip(&other.rows)
            .fold(0, |sum, (a, b)| (a ^ b).count_ones().saturating_add(sum))
    }

    /// The same, seen upside down.
    #[must_use]
    pub fn rotated_180(&self) -> Self {
        let mut rotated = Self::DARK;
        for (to, from) in rotated.rows.iter_mut().zip(self.rows.iter().rev()) {
            *to = from.reverse_bits();
        }
        rotated
    }

    /// Two pixels, one above the other, as one character: `▀`, `▄`, `█` or a space.
    /// There are 128 columns and 32 rows of them.
    #[must_use]
    pub fn half_block(&self, column: u8, row: u8) -> char {
        let y = row.saturating_mul(2);
        match (self.get(column, y), self.get(column, y.saturating_add(1))) {
            (false, false) => ' ',
            (true, false) => '▀',
            (false, true) => '▄',
            (true, true) => '█',
        }
    }

    /// Eight pixels, two beside each other and four above each other, as one braille
    /// character. There are 64 columns and 16 rows of them.
    #[must_use]
    pub fn braille(&self, column: u8, row: u8) -> char {
        // Dots 1 to 8, which are the bits of the character's number from U+2800 on.
        const DOTS: [(u8, u8); 8] = [
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 0),
            (1, 1),
            (1, 2),
            (0, 3),
            (1, 3),
        ];
        let (x, y) = (column.saturating_mul(2), row.saturating_mul(4));
        let mut dots = 0_u32;
        for (bit, (right, down)) in (0_u32..).zip(DOTS) {
            if self.get(x.saturating_add(right), y.saturating_add(down)) {
                dots |= 1_u32.wrapping_shl(bit);
            }
        }
        char::from_u32(0x2800 | dots).unwrap_or(' ')
    }

    /// The picture as 32 lines of 128 half blocks.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn half_blocks(&self) -> std::vec::Vec<std::string::String> {
        (0..Self::HALF_BLOCK_ROWS)
            .map(|row| {
                (0..Self::HALF_BLOCK_COLUMNS)
                    .map(|column| self.half_block(column, row))
                    .collect()
            })
            .collect()
    }

    /// The picture as 16 lines of 64 braille characters, for narrow terminals.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn brailles(&self) -> std::vec::Vec<std::string::String> {
        (0..Self::BRAILLE_ROWS)
            .map(|row| {
                (0..Self::BRAILLE_COLUMNS)
                    .map(|column| self.braille(column, row))
                    .collect()
            })
            .collect()
    }
}

/// Lines of half blocks, each ended.
impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for row in 0..Self::HALF_BLOCK_ROWS {
            for column in 0..Self::HALF_BLOCK_COLUMNS {
                f.write_char(self.half_block(column, row))?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

/// The picture itself, so that an assertion that fails shows it.
impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture of {} lit pixels:\n{self}", self.lit())
    }
}
