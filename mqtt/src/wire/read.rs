//! Reading the data types of section 1.5.

use super::text::{Use, check};
use super::{Fault, Text};

/// A cursor over bytes that were received.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(Fault::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Fault::Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Fault::Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A Two Byte Integer.
    pub fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    /// A Four Byte Integer.
    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer in its shortest form (MQTT-1.5.5-1).
    pub fn varint(&mut self) -> Result<u32, Fault> {
        let mut byte = self.byte()?;
        let mut value = u32::from(byte & 0x7f);
        let mut shift = 7;
        while byte >= 0x80 {
            byte = self.byte()?;
            if byte == 0 || shift > 21 {
                return Err(Fault::Malformed);
            }
            value |= u32::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Ok(value)
    }

    /// Binary Data: a length and that many bytes.
    pub fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }

    /// A UTF-8 Encoded String, without U+0000 (MQTT-1.5.4-2).
    pub fn text(&mut self) -> Result<Text<'a>, Fault> {
        let bytes = self.binary()?;
        check(bytes, Use::Any)?;
        Ok(Text::checked(bytes))
    }

    /// The same, as a string slice.
    pub fn string(&mut self) -> Result<&'a str, Fault> {
        Ok(self.text()?.as_str())
    }

    /// The rest as a reader of its own, of a length that is read first as a
    /// Variable Byte Integer.
    pub fn block(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.varint()?;
        self.bytes(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_are_read_in_their_shortest_form_only() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0x7f]), Ok(127));
        assert_eq!(read(&[0x80, 1]), Ok(128));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0x7f]), Ok(268_435_455));
        assert_eq!(read(&[0x80, 0]), Err(Fault::Malformed));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 1]), Err(Fault::Malformed));
        assert_eq!(read(&[0x80]), Err(Fault::Malformed));
    }

    #[test]
    fn strings_are_utf8_without_nul() {
        let read = |bytes: &'static [u8]| Reader::new(bytes).string();
        assert_eq!(read(b"\0\x02ab"), Ok("ab"));
        assert_eq!(read(b"\0\x02a\0"), Err(Fault::Malformed));
        assert_eq!(read(b"\0\x01\xff"), Err(Fault::Malformed));
        // An encoded surrogate (MQTT-1.5.4-1).
        assert_eq!(read(b"\0\x03\xed\xa0\x80"), Err(Fault::Malformed));
        assert_eq!(read(b"\0\x03ab"), Err(Fault::Malformed));
    }
}
