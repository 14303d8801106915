//! As much of MQTT as the proxy and the recorder need: where packets end, and a few fields.

/// Cuts a stream of bytes into packets.
#[derive(Debug, Default)]
pub struct Packets {
    bytes: Vec<u8>,
}

impl Packets {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, if all of it has come.
    pub fn next(&mut self) -> Option<Packet> {
        let (length, digits) = remaining_length(self.bytes.get(1..)?)?;
        let end = 1 + digits + length;
        if self.bytes.len() < end {
            return None;
        }
        let rest = self.bytes.split_off(end);
        Some(Packet {
            bytes: std::mem::replace(&mut self.bytes, rest),
            body: 1 + digits,
        })
    }

    /// What is left of a packet that has not come to its end.
    pub fn rest(self) -> Vec<u8> {
        self.bytes
    }
}

/// The length and its size. An invalid one never ends, like a stream that is none of MQTT.
fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((length, index + 1));
        }
    }
    None
}

/// A whole packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    bytes: Vec<u8>,
    /// Where the variable header begins.
    body: usize,
}

/// What is known of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With the protocol's level: 4 is MQTT 3.1.1, 5 is MQTT 5.
    Connect {
        level: u8,
    },
    /// With the first reason for which it could be refused: 0 is none.
    Connack {
        code: u8,
    },
    /// With its packet id, where it has one.
    Publish {
        id: Option<u16>,
        payload: Vec<u8>,
    },
    Puback {
        id: u16,
    },
    Suback,
    Other,
}

impl Packet {
    /// The packet as it came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What it is, on a connection of this protocol level.
    pub fn kind(&self, level: u8) -> Kind {
        self.known(level).unwrap_or(Kind::Other)
    }

    fn known(&self, level: u8) -> Option<Kind> {
        let first = *self.bytes.first()?;
        let body = self.bytes.get(self.body..)?;
        Some(match first >> 4 {
            1 => Kind::Connect {
                level: *body.get(2 + usize::from(number(body)?))?,
            },
            2 => Kind::Connack {
                code: *body.get(1)?,
            },
            3 => {
                let mut at = 2 + usize::from(number(body)?);
                let mut id = None;
                if first & 0x06 != 0 {
                    id = Some(number(body.get(at..)?)?);
                    at += 2;
                }
                if level >= 5 {
                    let (length, digits) = remaining_length(body.get(at..)?)?;
                    at += digits + length;
                }
                Kind::Publish {
                    id,
                    payload: body.get(at..)?.to_vec(),
                }
            }
            4 => Kind::Puback { id: number(body)? },
            9 => Kind::Suback,
            _ => Kind::Other,
        })
    }
}

fn number(bytes: &[u8]) -> Option<u16> {
    let bytes = bytes.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

/// CONNECT of MQTT 3.1.1 for a clean session without a keep-alive.
pub fn connect(client_id: &str) -> Vec<u8> {
    packet(0x10, &[&string("MQTT"), &[4, 2, 0, 0], &string(client_id)])
}

/// SUBSCRIBE of MQTT 3.1.1 at QoS 0.
pub fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 1], &string(filter), &[0]])
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// A packet of less than 128 bytes.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128, "a longer packet than was thought of");
    [&[first, body.len() as u8][..], &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy that loses step would swallow something else than it was told to.
    #[test]
    fn packets_are_found_in_any_pieces() {
        let mut long = vec![0x30, 0x82, 0x01, 0, 1, b'n'];
        long.resize(3 + 130, b'x');
        let all = [&[0xd0, 0][..], &long, &[0x40, 2, 0, 7]].concat();
        for piece in 1..=all.len() {
            let mut packets = Packets::default();
            let mut found = vec![];
            for bytes in all.chunks(piece) {
                packets.push(bytes);
                while let Some(packet) = packets.next() {
                    found.push(packet.into_bytes());
                }
            }
            assert_eq!(
                found,
                [vec![0xd0, 0], long.clone(), vec![0x40, 2, 0, 7]],
                "in pieces of {piece}"
            );
            assert!(packets.rest().is_empty());
        }
    }

    fn kind(bytes: &[u8], level: u8) -> Kind {
        let mut packets = Packets::default();
        packets.push(bytes);
        packets.next().unwrap().kind(level)
    }

    #[test]
    fn fields_are_those_of_the_version() {
        assert_eq!(kind(&connect("a"), 0), Kind::Connect { level: 4 });
        assert_eq!(kind(&[0x20, 2, 0, 5], 4), Kind::Connack { code: 5 });
        let publish = |payload: &[u8]| Kind::Publish {
            id: Some(258),
            payload: payload.to_vec(),
        };
        let plain = [0x32, 7, 0, 1, b'n', 1, 2, b'4', b'2'];
        assert_eq!(kind(&plain, 4), publish(b"42"));
        let with_properties = [0x3a, 10, 0, 1, b'n', 1, 2, 2, 1, 1, b'4', b'2'];
        assert_eq!(kind(&with_properties, 5), publish(b"42"));
        let at_most_once = [0x30, 4, 0, 1, b'n', b'4'];
        assert_eq!(
            kind(&at_most_once, 4),
            Kind::Publish {
                id: None,
                payload: b"4".to_vec()
            }
        );
        assert_eq!(kind(&[0x40, 3, 0, 9, 0x10], 5), Kind::Puback { id: 9 });
    }

    /// Bytes from outside: nothing of them may end the measurement.
    #[test]
    fn what_is_cut_short_is_something_else() {
        for bytes in [
            &[0x10, 0][..],
            &[0x10, 3, 0, 4, b'M'],
            &[0x32, 3, 0, 1, b'n'],
            &[0x40, 1, 0],
            &[0x32, 6, 0, 1, b'n', 0, 1, 0xff],
        ] {
            assert_eq!(kind(bytes, 5), Kind::Other, "{bytes:?}");
        }
        let mut packets = Packets::default();
        packets.push(&[0x30, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        assert_eq!(packets.next(), None);
    }
}
