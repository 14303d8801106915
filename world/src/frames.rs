//! Where packets begin and end in a stream of bytes.

/// A packet that went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Its type.
    pub kind: u8,
    /// The first two bytes after the fixed header: the packet id of acknowledgements.
    pub id: u16,
    /// It is the first of its connection.
    pub first: bool,
}

/// One direction of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    state: State,
    kind: u8,
    value: u32,
    shift: u8,
    id: u16,
    id_len: u8,
    count: u32,
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Kind,
    Length,
    Body,
}

impl Frames {
    /// Whether it stands between two packets.
    #[cfg(test)]
    pub fn is_whole(&self) -> bool {
        self.state == State::Kind
    }

    /// Whether what came is no stream of packets.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The type of the first packet, as soon as it is known.
    pub fn first_kind(&self) -> Option<u8> {
        (self.count == 0 && self.state != State::Kind).then_some(self.kind)
    }

    /// Bytes go by.
    #[inline]
    pub fn feed(&mut self, mut bytes: &[u8], mut passed: impl FnMut(Passed)) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.state {
                State::Kind => {
                    self.kind = byte >> 4;
                    self.value = 0;
                    self.shift = 0;
                    self.id = 0;
                    self.id_len = 0;
                    self.state = State::Length;
                    bytes = rest;
                    continue;
                }
                State::Length => {
                    bytes = rest;
                    self.value |= u32::from(byte & 0x7f) << self.shift;
                    self.shift += 7;
                    if byte & 0x80 != 0 {
                        self.broken |= self.shift > 21;
                        self.shift = self.shift.min(21);
                        continue;
                    }
                    self.state = State::Body;
                }
                State::Body => {
                    while self.id_len < 2 && self.value > 0 && !bytes.is_empty() {
                        self.id = self.id << 8 | u16::from(bytes[0]);
                        self.id_len += 1;
                        self.value -= 1;
                        bytes = &bytes[1..];
                    }
                    let skipped = bytes.len().min(self.value as usize);
                    self.value -= skipped as u32;
                    bytes = &bytes[skipped..];
                }
            }
            if self.value == 0 {
                self.state = State::Kind;
                passed(Passed {
                    kind: self.kind,
                    id: self.id,
                    first: self.count == 0,
                });
                self.count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgement that is overlooked where it was cut, or seen in a payload.
    #[test]
    fn packets_are_found_however_they_are_cut() {
        let mut stream = vec![0x10, 2, 0, 0, 0xC0, 0, 0x50, 2, 1, 2, 0x32, 0x80 | 2, 1];
        stream.extend([0x50; 130]);
        stream.extend([0x40, 3, 0, 9, 0x10]);
        for step in [1, 2, 3, 7, 500] {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                frames.feed(piece, |passed| {
                    seen.push((passed.kind, passed.id, passed.first))
                });
            }
            let expected = [
                (1, 0, true),
                (12, 0, false),
                (5, 0x102, false),
                (3, 0x5050, false),
                (4, 9, false),
            ];
            assert_eq!(seen, expected, "in pieces of {step}");
            assert!(frames.is_whole() && !frames.is_broken());
        }
        let mut frames = Frames::default();
        frames.feed(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff], |_| {});
        assert!(frames.is_broken());
    }
}
