//! Text into a buffer, without the weight of `core::fmt`.

use crate::{BufferTooSmall, Tenths};

/// Appends to a buffer; once something did not fit, nothing more is written.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    written: Option<usize>,
}

impl<'a> Writer<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer,
            written: Some(0),
        }
    }

    /// The length of what was written.
    pub fn finish(&self) -> Result<usize, BufferTooSmall> {
        self.written.ok_or(BufferTooSmall)
    }

    /// What was written.
    pub fn finish_str(self) -> Result<&'a str, BufferTooSmall> {
        let written = self.written.and_then(|end| self.buffer.get(..end));
        // Only whole strings and digits were written, so this is text.
        Ok(core::str::from_utf8(written.ok_or(BufferTooSmall)?).unwrap_or_default())
    }

    pub fn str(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, text: &[u8]) -> &mut Self {
        self.written = self.written.and_then(|start| {
            let end = start.checked_add(text.len())?;
            // Not copy_from_slice: that would bring a check of the lengths that can panic.
            let free = self.buffer.get_mut(start..end)?;
            free.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
            Some(end)
        });
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        // As many digits as the largest has.
        let mut digits = [b'0'; 20];
        let mut rest = number;
        let mut length = 0usize;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
            length = length.saturating_add(1);
            if rest == 0 {
                break;
            }
        }
        let start = digits.len().saturating_sub(length);
        self.bytes(digits.get(start..).unwrap_or_default())
    }

    pub fn signed(&mut self, number: i64) -> &mut Self {
        self.str(if number < 0 { "-" } else { "" })
            .number(number.unsigned_abs())
    }

    pub fn tenths(&mut self, tenths: Tenths) -> &mut Self {
        let magnitude = u64::from(tenths.0.unsigned_abs());
        self.str(if tenths.0 < 0 { "-" } else { "" })
            .number(magnitude / 10)
            .str(".")
            .number(magnitude % 10)
    }

    /// A JSON string with its quotes.
    pub fn quoted(&mut self, text: &str) -> &mut Self {
        self.str("\"").escaped(text).str("\"")
    }

    /// What is between the quotes of a JSON string.
    pub fn escaped(&mut self, text: &str) -> &mut Self {
        const HEX: [&str; 16] = [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f",
        ];
        let hex = |digit: u8| HEX.get(usize::from(digit)).copied().unwrap_or_default();
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..=0x1f);
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(special) {
            let (plain, behind) = rest.split_at_checked(at).unwrap_or_default();
            self.bytes(plain);
            let Some((&byte, behind)) = behind.split_first() else {
                break;
            };
            match byte {
                b'"' => self.str("\\\""),
                b'\\' => self.str("\\\\"),
                b'\n' => self.str("\\n"),
                code => self.str("\\u00").str(hex(code / 16)).str(hex(code % 16)),
            };
            rest = behind;
        }
        self.bytes(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number cut short at either end of its range is another number.
    #[test]
    fn numbers_are_written_in_full() {
        let mut buffer = [0; 100];
        let mut writer = Writer::new(&mut buffer);
        writer
            .number(0)
            .str(" ")
            .number(u64::MAX)
            .str(" ")
            .signed(i64::MIN)
            .str(" ");
        writer.tenths(Tenths(-5)).str(" ").tenths(Tenths(i32::MIN));
        assert_eq!(
            writer.finish_str(),
            Ok("0 18446744073709551615 -9223372036854775808 -0.5 -214748364.8")
        );
    }

    /// A later, shorter piece must not hide that an earlier one did not fit.
    #[test]
    fn what_does_not_fit_is_an_error_for_good() {
        let mut buffer = [0; 3];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(writer.str("ab").finish(), Ok(2));
        assert_eq!(writer.str("cd").str("").finish(), Err(BufferTooSmall));
        assert_eq!(writer.str("c").finish(), Err(BufferTooSmall));
    }
}
