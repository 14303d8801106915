//! The fixed header: where a packet ends.

use super::{Fault, Version};

/// The largest remaining length there can be, in bytes (section 1.5.5).
pub const MAX_REMAINING_LENGTH: u32 = 268_435_455;

/// A fixed header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Packet type and flags.
    pub first: u8,
    /// Bytes of the fixed header itself: 2 to 5.
    pub header: usize,
    /// Bytes that follow it.
    pub remaining: usize,
}

impl Frame {
    /// The size of the whole packet.
    pub const fn size(&self) -> usize {
        self.header.wrapping_add(self.remaining)
    }
}

/// Reads the fixed header at the start of `bytes`, or nothing while it is not
/// all there.
///
/// MQTT 5 wants the length in its shortest form (MQTT-1.5.5-1); MQTT 3.1.1 lets
/// a sender pad it.
#[inline]
pub fn frame(bytes: &[u8], version: Version) -> Result<Option<Frame>, Fault> {
    match *bytes {
        [first, len @ 0..0x80, ..] => Ok(Some(Frame {
            first,
            header: 2,
            remaining: usize::from(len),
        })),
        _ => long_frame(bytes, version),
    }
}

#[cold]
#[inline(never)]
fn long_frame(bytes: &[u8], version: Version) -> Result<Option<Frame>, Fault> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0usize;
    let mut header = 1;
    for &byte in rest {
        remaining |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte < 0x80 {
            if byte == 0 && header > 2 && version == Version::V5 {
                return Err(Fault::Malformed);
            }
            return Ok(Some(Frame {
                first,
                header,
                remaining,
            }));
        }
        if header == 5 {
            return Err(Fault::Malformed);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::V5;

    #[test]
    fn a_header_is_taken_only_when_it_is_whole() {
        assert_eq!(frame(&[], V5), Ok(None));
        assert_eq!(frame(&[0xd0], V5), Ok(None));
        assert_eq!(frame(&[0x30, 0x80], V5), Ok(None));
        let ping = Frame {
            first: 0xd0,
            header: 2,
            remaining: 0,
        };
        assert_eq!(frame(&[0xd0, 0], V5), Ok(Some(ping)));
        let long = Frame {
            first: 0x30,
            header: 5,
            remaining: 268_435_455,
        };
        assert_eq!(
            frame(&[0x30, 0xff, 0xff, 0xff, 0x7f, 1], V5),
            Ok(Some(long))
        );
        assert_eq!(
            frame(&[0x30, 0xff, 0xff, 0xff, 0xff], V5),
            Err(Fault::Malformed)
        );
        assert_eq!(frame(&[0x30, 0x80, 0x00], V5), Err(Fault::Malformed));
    }
}
