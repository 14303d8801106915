//! Writing the data types of section 1.5.

/// The buffer is too small for what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A cursor over bytes to be sent.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the first byte.
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// How many bytes were written.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// These bytes, as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let room = self.buf.get_mut(self.len..).ok_or(NoRoom)?;
        let (room, _) = room.split_at_mut_checked(bytes.len()).ok_or(NoRoom)?;
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    fn array<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), NoRoom> {
        let room = self.buf.get_mut(self.len..).ok_or(NoRoom)?;
        *room.first_chunk_mut().ok_or(NoRoom)? = bytes;
        self.len += N;
        Ok(())
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) -> Result<(), NoRoom> {
        self.array([byte])
    }

    /// A Two Byte Integer.
    pub fn u16(&mut self, value: u16) -> Result<(), NoRoom> {
        self.array(value.to_be_bytes())
    }

    /// A Four Byte Integer.
    pub fn u32(&mut self, value: u32) -> Result<(), NoRoom> {
        self.array(value.to_be_bytes())
    }

    /// A Variable Byte Integer; above 268,435,455 there is none.
    pub fn varint(&mut self, mut value: u32) -> Result<(), NoRoom> {
        if value > super::MAX_REMAINING_LENGTH {
            return Err(NoRoom);
        }
        while value >= 0x80 {
            self.byte(value as u8 | 0x80)?;
            value >>= 7;
        }
        self.byte(value as u8)
    }

    /// Binary Data, at most 65,535 bytes.
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.u16(u16::try_from(bytes.len()).map_err(|_| NoRoom)?)?;
        self.bytes(bytes)
    }

    /// A UTF-8 Encoded String.
    pub fn string(&mut self, text: &str) -> Result<(), NoRoom> {
        self.binary(text.as_bytes())
    }
}

/// How many bytes [`Writer::varint`] takes for `value`.
pub(crate) const fn varint_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
