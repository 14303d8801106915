//! The requirements of both specifications as bytes: fixed headers and types of
//! data.

use aldis_mqtt::wire::{Fault, Frame, Packet, Reader, Version, frame};

use Fault::Malformed;
use Version::{V4, V5};

/// What must be refused: the requirement, the version, the fault, the bytes.
type Refused = (&'static str, Version, Fault, &'static [u8]);

/// What must be accepted.
type Accepted = (&'static str, Version, &'static [u8]);

pub fn refused(table: &[Refused]) {
    for (requirement, version, fault, bytes) in table {
        let decoded = Packet::decode(bytes, *version);
        assert_eq!(
            decoded,
            Err(*fault),
            "{requirement}: {version:?} {bytes:02x?}"
        );
    }
}

pub fn accepted(table: &[Accepted]) {
    for (requirement, version, bytes) in table {
        match Packet::decode(bytes, *version) {
            Ok(Some((_, len))) if len == bytes.len() => {}
            other => panic!("{requirement}: {version:?} {bytes:02x?}: {other:?}"),
        }
    }
}

/// Section 2.1 and, in 3.1.1, 2.2: packet types and their flags.
#[test]
fn fixed_headers() {
    // The shortest valid packet of each type, with the flags that it must have.
    let bodies: [(&str, u8, &[u8]); 12] = [
        ("MQTT-2.1.3-1, CONNECT", 0x10, b"\0\x04MQTT\x04\x02\0\0\0\0"),
        ("MQTT-2.1.3-1, CONNACK", 0x20, &[0, 0]),
        ("MQTT-2.1.3-1, PUBACK", 0x40, &[0, 1]),
        ("MQTT-2.1.3-1, PUBREC", 0x50, &[0, 1]),
        ("MQTT-3.6.1-1, PUBREL", 0x62, &[0, 1]),
        ("MQTT-2.1.3-1, PUBCOMP", 0x70, &[0, 1]),
        ("MQTT-3.8.1-1, SUBSCRIBE", 0x82, &[0, 1, 0, 1, b'a', 0]),
        ("MQTT-2.1.3-1, SUBACK", 0x90, &[0, 1, 0]),
        ("MQTT-3.10.1-1, UNSUBSCRIBE", 0xa2, &[0, 1, 0, 1, b'a']),
        ("MQTT-2.1.3-1, UNSUBACK", 0xb0, &[0, 1]),
        ("MQTT-2.1.3-1, PINGREQ", 0xc0, &[]),
        ("MQTT-3.14.1-1, DISCONNECT", 0xe0, &[]),
    ];
    for (requirement, first, body) in bodies {
        for flags in 0..16 {
            let wrong = first & 0xf0 | flags;
            let mut bytes = vec![wrong, body.len() as u8];
            bytes.extend_from_slice(body);
            let decoded = Packet::decode(&bytes, V4);
            let right = wrong == first;
            assert_eq!(
                decoded.is_ok(),
                right,
                "{requirement}: {wrong:#04x}: {decoded:?}"
            );
        }
    }
    refused(&[
        ("2.1.2: packet type 0 is reserved", V5, Malformed, &[0, 0]),
        ("2.1.2: packet type 0 is reserved", V4, Malformed, &[0, 0]),
        (
            "3.1.1, 2.2.1: packet type 15 is reserved",
            V4,
            Malformed,
            &[0xf0, 0],
        ),
        (
            "MQTT-3.15.1-1: the flags of AUTH",
            V5,
            Malformed,
            &[0xf1, 0],
        ),
        (
            "MQTT-2.1.3-1: the flags of PINGRESP",
            V5,
            Malformed,
            &[0xd8, 0],
        ),
        ("3.12: PINGREQ has no body", V5, Malformed, &[0xc0, 1, 0]),
        ("3.13: PINGRESP has no body", V4, Malformed, &[0xd0, 1, 0]),
        (
            "3.1.1, 3.14: DISCONNECT has no body",
            V4,
            Malformed,
            &[0xe0, 1, 0],
        ),
    ]);
}

/// Section 2.1.4: a length that never ends would make us wait for ever.
#[test]
fn remaining_lengths() {
    for version in [V4, V5] {
        let at = |bytes: &[u8]| frame(bytes, version).map(|frame| frame.map(|f| f.size()));
        assert_eq!(at(&[0x30]), Ok(None));
        assert_eq!(at(&[0x30, 0x7f]), Ok(Some(129)));
        assert_eq!(at(&[0x30, 0x80, 1]), Ok(Some(131)));
        assert_eq!(at(&[0x30, 0xff, 0x7f]), Ok(Some(16_386)));
        assert_eq!(at(&[0x30, 0x80, 0x80, 1]), Ok(Some(16_388)));
        assert_eq!(at(&[0x30, 0x80, 0x80, 0x80, 1]), Ok(Some(2_097_157)));
        assert_eq!(at(&[0x30, 0xff, 0xff, 0xff, 0x7f]), Ok(Some(268_435_460)));
        assert_eq!(at(&[0x30, 0xff, 0xff, 0xff]), Ok(None));
        // 1.5.5: at most four bytes.
        assert_eq!(at(&[0x30, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
        assert_eq!(at(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01]), Err(Malformed));
    }
}

/// MQTT 5 wants the shortest form; MQTT 3.1.1 does not, and a broker that pads
/// is none that breaks the rules.
#[test]
fn padded_remaining_lengths() {
    refused(&[
        (
            "MQTT-1.5.5-1: the fewest bytes",
            V5,
            Malformed,
            &[0xd0, 0x80, 0],
        ),
        (
            "MQTT-1.5.5-1: the fewest bytes",
            V5,
            Malformed,
            &[0xd0, 0x80, 0x80, 0],
        ),
        (
            "MQTT-1.5.5-1: the fewest bytes",
            V5,
            Malformed,
            &[0x40, 0x82, 0, 0, 1],
        ),
    ]);
    accepted(&[
        ("3.1.1, 2.2.3", V4, &[0xd0, 0x80, 0]),
        ("3.1.1, 2.2.3", V4, &[0xd0, 0x80, 0x80, 0x80, 0]),
        ("3.1.1, 2.2.3", V4, &[0x40, 0x82, 0, 0, 1]),
    ]);
    let padded = Frame {
        first: 0x40,
        header: 3,
        remaining: 2,
    };
    assert_eq!(frame(&[0x40, 0x82, 0, 0, 1], V4), Ok(Some(padded)));
}

#[test]
fn variable_byte_integers() {
    let read = |bytes: &[u8]| Reader::new(bytes).varint();
    for (bytes, value) in [
        (&[0x7f][..], 127),
        (&[0x80, 1], 128),
        (&[0xff, 0x7f], 16_383),
        (&[0x80, 0x80, 1], 16_384),
        (&[0xff, 0xff, 0x7f], 2_097_151),
        (&[0x80, 0x80, 0x80, 1], 2_097_152),
        (&[0xff, 0xff, 0xff, 0x7f], 268_435_455),
    ] {
        assert_eq!(read(bytes), Ok(value));
    }
    // MQTT-1.5.5-1: the fewest bytes; at most four; all of them there.
    for bytes in [
        &[0x80, 0][..],
        &[0xff, 0],
        &[0x80, 0x80, 0],
        &[0x80, 0x80, 0x80, 0],
        &[0x80, 0x80, 0x80, 0x80, 1],
        &[0x80],
        &[],
    ] {
        assert_eq!(read(bytes), Err(Malformed), "{bytes:02x?}");
    }
}

/// Section 1.5.4, as topics of PUBLISH.
#[test]
fn strings() {
    refused(&[
        (
            "MQTT-1.5.4-1: UTF-8",
            V5,
            Malformed,
            b"\x30\x04\0\x01\xff\0",
        ),
        ("MQTT-1.5.4-1: UTF-8", V4, Malformed, b"\x30\x03\0\x01\x80"),
        (
            "MQTT-1.5.4-1: no surrogates",
            V4,
            Malformed,
            b"\x30\x05\0\x03\xed\xa0\x80",
        ),
        (
            "MQTT-1.5.4-1: no surrogates",
            V4,
            Malformed,
            b"\x30\x05\0\x03\xed\xbf\xbf",
        ),
        (
            "RFC 3629: the shortest form",
            V4,
            Malformed,
            b"\x30\x04\0\x02\xc1\x81",
        ),
        (
            "RFC 3629: not above U+10FFFF",
            V4,
            Malformed,
            b"\x30\x06\0\x04\xf4\x90\x80\x80",
        ),
        (
            "1.5.4: a character cut in two",
            V4,
            Malformed,
            b"\x30\x03\0\x01\xc3",
        ),
        (
            "MQTT-1.5.4-2: no U+0000",
            V4,
            Malformed,
            b"\x30\x05\0\x03a\0b",
        ),
        (
            "1.5.4: longer than the packet",
            V4,
            Malformed,
            b"\x30\x03\0\x02a",
        ),
        ("1.5.4: a length cut in two", V4, Malformed, b"\x30\x01\0"),
    ]);
    accepted(&[
        (
            "MQTT-1.5.4-3: U+FEFF is a character",
            V4,
            b"\x30\x06\0\x04\xef\xbb\xbfa",
        ),
        ("1.5.4: U+10FFFF", V4, b"\x30\x06\0\x04\xf4\x8f\xbf\xbf"),
        (
            "1.5.4: control characters SHOULD NOT, but may",
            V4,
            b"\x30\x03\0\x01\x7f",
        ),
        (
            "1.5.4: non-characters likewise",
            V4,
            b"\x30\x05\0\x03\xef\xbf\xbf",
        ),
    ]);
    let bytes = b"\x30\x06\0\x04\xef\xbb\xbfa";
    let Ok(Some((Packet::Publish(publish), _))) = Packet::decode(bytes, V4) else {
        panic!("refused");
    };
    assert_eq!(
        publish.topic, "\u{feff}a",
        "MQTT-1.5.4-3: it must not be stripped"
    );
}
