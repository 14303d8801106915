//! The requirements of both specifications as bytes: packet by packet.

use aldis_mqtt::wire::{
    ConnAck, Fault, Packet, PacketId, Properties, ReasonCode, UnsubAck, Version,
};

use crate::spec::{accepted, refused};
use Fault::{Malformed, Protocol, TopicName};
use Version::{V4, V5};

#[test]
fn connect() {
    refused(&[
        (
            "MQTT-3.1.2-1: the name",
            V4,
            Malformed,
            b"\x10\x0c\0\x04MQTt\x04\x02\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-1: the name",
            V4,
            Malformed,
            b"\x10\x0e\0\x06MQIsdp\x03\x02\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-2: the level",
            V4,
            Protocol,
            b"\x10\x0c\0\x04MQTT\x03\x02\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-2: the level",
            V5,
            Protocol,
            b"\x10\x0c\0\x04MQTT\x06\x02\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-3: the reserved flag",
            V4,
            Malformed,
            b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-11: will QoS without will",
            V4,
            Malformed,
            b"\x10\x0c\0\x04MQTT\x04\x0a\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-13: will retain without will",
            V4,
            Malformed,
            b"\x10\x0c\0\x04MQTT\x04\x22\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-12: will QoS 3",
            V4,
            Malformed,
            b"\x10\x11\0\x04MQTT\x04\x1e\0\0\0\0\0\x01w\0\0",
        ),
        (
            "MQTT-3.1.3-11: will topic UTF-8",
            V4,
            Malformed,
            b"\x10\x11\0\x04MQTT\x04\x06\0\0\0\0\0\x01\xff\0\0",
        ),
        (
            "MQTT-4.7.1-1: no wildcard in a will's topic",
            V4,
            TopicName,
            b"\x10\x11\0\x04MQTT\x04\x06\0\0\0\0\0\x01#\0\0",
        ),
        (
            "MQTT-4.7.3-1: no empty will topic",
            V4,
            TopicName,
            b"\x10\x10\0\x04MQTT\x04\x06\0\0\0\0\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-22: password without user name",
            V4,
            Malformed,
            b"\x10\x0f\0\x04MQTT\x04\x42\0\0\0\0\0\x01p",
        ),
        (
            "MQTT-3.1.3-4: client id UTF-8",
            V4,
            Malformed,
            b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01\xff",
        ),
        (
            "MQTT-3.1.3-12: user name UTF-8",
            V4,
            Malformed,
            b"\x10\x0f\0\x04MQTT\x04\x82\0\0\0\0\0\x01\xff",
        ),
        (
            "MQTT-3.1.2-17: user name missing",
            V4,
            Malformed,
            b"\x10\x0c\0\x04MQTT\x04\x82\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-19: password missing",
            V5,
            Malformed,
            b"\x10\x0d\0\x04MQTT\x05\x42\0\0\0\0\0",
        ),
        (
            "MQTT-3.1.3-1: nothing after the fields",
            V4,
            Malformed,
            b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\0\0",
        ),
        (
            "MQTT-3.1.2-16: user name without its flag",
            V4,
            Malformed,
            b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\0\0\x01u",
        ),
    ]);
    accepted(&[
        ("3.1.1, 3.1", V5, b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0"),
        (
            "3.1.2.9: a password alone, in MQTT 5",
            V4,
            b"\x10\x10\0\x04MQTT\x05\x42\0\0\0\0\0\0\x01p",
        ),
        (
            "3.1.3.3: an empty will payload",
            V4,
            b"\x10\x11\0\x04MQTT\x04\x36\0\0\0\0\0\x01w\0\0",
        ),
        (
            "3.1.3.6: a password of any bytes",
            V4,
            b"\x10\x12\0\x04MQTT\x04\xc2\0\0\0\0\0\x01u\0\x01\0",
        ),
    ]);
}

/// A broker that does not speak our version answers in its own.
#[test]
fn connack() {
    refused(&[
        (
            "MQTT-3.2.2-1: reserved flags",
            V5,
            Malformed,
            &[0x20, 3, 2, 0, 0],
        ),
        (
            "MQTT-3.2.2-1: reserved flags",
            V4,
            Malformed,
            &[0x20, 2, 0x80, 0],
        ),
        (
            "MQTT-3.2.2-6: refused, yet a session",
            V5,
            Malformed,
            &[0x20, 3, 1, 0x87, 0],
        ),
        (
            "3.1.1, MQTT-3.2.2-4: refused, yet a session",
            V4,
            Malformed,
            &[0x20, 2, 1, 5],
        ),
        ("3.2: too short", V4, Malformed, &[0x20, 1, 0]),
        ("3.2: empty", V5, Malformed, &[0x20, 0]),
        (
            "3.2: success in the shape of 3.1.1",
            V5,
            Malformed,
            &[0x20, 2, 0, 0],
        ),
        (
            "3.2: success in the shape of 5",
            V4,
            Malformed,
            &[0x20, 3, 0, 0, 0],
        ),
        (
            "3.2: a return code of 3.1.1 with properties",
            V4,
            Malformed,
            &[0x20, 3, 0, 1, 0],
        ),
        (
            "3.2: bytes left over",
            V5,
            Malformed,
            &[0x20, 4, 0, 0, 0, 0],
        ),
        (
            "3.2: bytes left over",
            V4,
            Malformed,
            &[0x20, 4, 0, 0x84, 0, 0],
        ),
    ]);
    let reason = |bytes: &[u8], version| match Packet::decode(bytes, version) {
        Ok(Some((Packet::ConnAck(ack), _))) => ack.reason,
        other => panic!("{bytes:02x?}: {other:?}"),
    };
    for (code, expected) in [
        (0, ReasonCode::SUCCESS),
        (1, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
        (2, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
        (3, ReasonCode::SERVER_UNAVAILABLE),
        (4, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (5, ReasonCode::NOT_AUTHORIZED),
        (6, ReasonCode::UNSPECIFIED_ERROR),
        (127, ReasonCode::UNSPECIFIED_ERROR),
        (0x8a, ReasonCode::BANNED),
    ] {
        assert_eq!(
            reason(&[0x20, 2, 0, code], V4),
            expected,
            "3.1.1, table 3.1: {code}"
        );
        if code != 0 {
            assert_eq!(
                reason(&[0x20, 2, 0, code], V5),
                expected,
                "a broker of 3.1.1: {code}"
            );
        }
    }
    let unsupported = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
    assert_eq!(
        reason(&[0x20, 3, 0, 0x84, 0], V4),
        unsupported,
        "a broker of 5"
    );
}

/// A reason that 3.1.1 has no return code for is not turned into another one.
#[test]
fn connack_keeps_its_reason_in_3_1_1() {
    for code in [
        0, 0x80, 0x81, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x9f,
    ] {
        let ack = Packet::ConnAck(ConnAck {
            session_present: false,
            reason: ReasonCode(code),
            properties: Properties::NONE,
        });
        let mut room = [0; 16];
        let bytes = ack.encode(V4, &mut room).unwrap();
        assert_eq!(Packet::decode(bytes, V4), Ok(Some((ack, 4))), "{code:#04x}");
    }
}

#[test]
fn publish() {
    refused(&[
        (
            "MQTT-3.3.1-4: QoS 3",
            V5,
            Malformed,
            b"\x36\x06\0\x01t\0\x01\0",
        ),
        (
            "MQTT-3.3.1-4: QoS 3",
            V4,
            Malformed,
            b"\x36\x05\0\x01t\0\x01",
        ),
        (
            "MQTT-3.3.1-2: DUP at QoS 0",
            V5,
            Malformed,
            b"\x38\x04\0\x01t\0",
        ),
        (
            "MQTT-3.3.1-2: DUP at QoS 0",
            V4,
            Malformed,
            b"\x39\x03\0\x01t",
        ),
        (
            "MQTT-2.2.1-4: packet id 0 at QoS 1",
            V5,
            Protocol,
            b"\x32\x06\0\x01t\0\0\0",
        ),
        (
            "MQTT-2.2.1-4: packet id 0 at QoS 2",
            V4,
            Protocol,
            b"\x34\x05\0\x01t\0\0",
        ),
        (
            "3.3.2.2: packet id missing",
            V4,
            Malformed,
            b"\x32\x04\0\x01t\0",
        ),
        (
            "MQTT-3.3.2-2: wildcard #",
            V5,
            TopicName,
            b"\x30\x04\0\x01#\0",
        ),
        (
            "MQTT-3.3.2-2: wildcard +",
            V4,
            TopicName,
            b"\x30\x05\0\x03a/+",
        ),
        ("MQTT-4.7.3-1: no topic", V4, Protocol, b"\x30\x02\0\0"),
        (
            "3.3.2.1: no topic, and no alias",
            V5,
            Protocol,
            b"\x30\x03\0\0\0",
        ),
        ("MQTT-3.3.2-1: not even a length", V4, Malformed, b"\x30\0"),
        (
            "3.3.2.3.1: no properties",
            V5,
            Malformed,
            b"\x30\x03\0\x01t",
        ),
        (
            "MQTT-3.3.2-14: wildcard in a response topic",
            V5,
            TopicName,
            b"\x30\x08\0\x01t\x04\x08\0\x01#",
        ),
        (
            "MQTT-3.3.2-13: response topic UTF-8",
            V5,
            Malformed,
            b"\x30\x08\0\x01t\x04\x08\0\x01\xff",
        ),
    ]);
    accepted(&[
        ("3.3.3: no payload", V4, b"\x30\x03\0\x01t"),
        (
            "3.3.2.3.4: an alias for a topic",
            V5,
            b"\x30\x06\0\0\x03\x23\0\x01",
        ),
        ("3.3.1.1: DUP at QoS 1", V5, b"\x3a\x06\0\x01t\0\x01\0"),
        ("3.3.1.3: retained", V4, b"\x31\x03\0\x01t"),
        (
            "3.3.3: a payload of any bytes",
            V4,
            b"\x30\x05\0\x01t\0\xff",
        ),
    ]);
}

#[test]
fn acknowledgements() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        let refuse = |requirement, version, fault, body: &[u8]| {
            let mut bytes = vec![first, body.len() as u8];
            bytes.extend_from_slice(body);
            let decoded = Packet::decode(&bytes, version);
            assert_eq!(
                decoded,
                Err(fault),
                "{requirement}: {version:?} {bytes:02x?}"
            );
        };
        refuse("MQTT-2.2.1-3: packet id 0", V4, Protocol, &[0, 0]);
        refuse("MQTT-2.2.1-3: packet id 0", V5, Protocol, &[0, 0, 0]);
        refuse("3.4.2: no packet id", V5, Malformed, &[]);
        refuse("3.4.2: half a packet id", V4, Malformed, &[1]);
        refuse("3.1.1, 3.4: nothing more", V4, Malformed, &[0, 1, 0]);
        refuse(
            "3.4.2.2: properties shorter than they say",
            V5,
            Malformed,
            &[0, 1, 0, 1],
        );
        refuse("3.4.2.2: bytes left over", V5, Malformed, &[0, 1, 0, 0, 0]);
        refuse(
            "MQTT-1.5.5-1: the length of properties",
            V5,
            Malformed,
            &[0, 1, 0, 0x80, 0],
        );
    }
    accepted(&[
        (
            "3.4.2.1: reason and properties left out",
            V5,
            &[0x40, 2, 0, 1],
        ),
        ("3.4.2.2.1: properties left out", V5, &[0x50, 3, 0, 1, 0x10]),
        ("3.6.2.1", V5, &[0x62, 4, 0, 1, 0x92, 0]),
        ("2.4: a code that may yet come", V5, &[0x40, 3, 0, 1, 0xf0]),
    ]);
}

#[test]
fn subscribe_and_unsubscribe() {
    refused(&[
        ("MQTT-3.8.3-2: no filter", V5, Protocol, &[0x82, 3, 0, 1, 0]),
        ("MQTT-3.8.3-2: no filter", V4, Protocol, &[0x82, 2, 0, 1]),
        (
            "MQTT-2.2.1-3: packet id 0",
            V4,
            Protocol,
            &[0x82, 6, 0, 0, 0, 1, b'a', 0],
        ),
        (
            "MQTT-3.8.3-1: UTF-8",
            V4,
            Malformed,
            &[0x82, 6, 0, 1, 0, 1, 0xff, 0],
        ),
        (
            "3.8.3: no options",
            V4,
            Malformed,
            &[0x82, 5, 0, 1, 0, 1, b'a'],
        ),
        (
            "3.8.3.1: QoS 3",
            V5,
            Protocol,
            &[0x82, 7, 0, 1, 0, 0, 1, b'a', 3],
        ),
        (
            "3.1.1, MQTT-3.8.3-4: QoS 3",
            V4,
            Protocol,
            &[0x82, 6, 0, 1, 0, 1, b'a', 3],
        ),
        (
            "3.1.1, MQTT-3.8.3-4: reserved bits",
            V4,
            Malformed,
            &[0x82, 6, 0, 1, 0, 1, b'a', 4],
        ),
        (
            "3.1.1, MQTT-3.8.3-4: reserved bits",
            V4,
            Malformed,
            &[0x82, 6, 0, 1, 0, 1, b'a', 0x80],
        ),
        (
            "MQTT-3.8.3-5: reserved bits",
            V5,
            Malformed,
            &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40],
        ),
        (
            "MQTT-3.8.3-5: reserved bits",
            V5,
            Malformed,
            &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x80],
        ),
        (
            "3.8.3.1: retain handling 3",
            V5,
            Protocol,
            &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x30],
        ),
        (
            "MQTT-3.8.3-4: No Local on a shared one",
            V5,
            Protocol,
            b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04",
        ),
        (
            "MQTT-3.10.3-2: no filter",
            V5,
            Protocol,
            &[0xa2, 3, 0, 1, 0],
        ),
        ("MQTT-3.10.3-2: no filter", V4, Protocol, &[0xa2, 2, 0, 1]),
        (
            "MQTT-2.2.1-3: packet id 0",
            V5,
            Protocol,
            &[0xa2, 6, 0, 0, 0, 0, 1, b'a'],
        ),
        (
            "MQTT-3.10.3-1: UTF-8",
            V4,
            Malformed,
            &[0xa2, 5, 0, 1, 0, 1, 0xff],
        ),
        (
            "3.10.3: a filter cut short",
            V4,
            Malformed,
            &[0xa2, 5, 0, 1, 0, 2, b'a'],
        ),
    ]);
    accepted(&[
        (
            "3.8.3.1: all options",
            V5,
            &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x2e],
        ),
        (
            "3.8.3: two filters",
            V4,
            &[0x82, 10, 0, 1, 0, 1, b'a', 0, 0, 1, b'b', 2],
        ),
        (
            "3.8.4: a bad filter is the SUBACK's business",
            V4,
            &[0x82, 7, 0, 1, 0, 2, b'#', b'#', 0],
        ),
        (
            "3.10.3: two filters",
            V5,
            &[0xa2, 9, 0, 1, 0, 0, 1, b'a', 0, 1, b'b'],
        ),
    ]);
}

#[test]
fn suback_and_unsuback() {
    refused(&[
        ("MQTT-3.8.4-6: no code", V5, Malformed, &[0x90, 3, 0, 1, 0]),
        ("MQTT-3.8.4-5: no code", V4, Malformed, &[0x90, 2, 0, 1]),
        (
            "MQTT-2.2.1-3: packet id 0",
            V4,
            Protocol,
            &[0x90, 3, 0, 0, 0],
        ),
        ("MQTT-3.11.3-1: no code", V5, Malformed, &[0xb0, 3, 0, 1, 0]),
        (
            "3.1.1, 3.11.3: UNSUBACK has no payload",
            V4,
            Malformed,
            &[0xb0, 3, 0, 1, 0],
        ),
        ("MQTT-2.2.1-3: packet id 0", V4, Protocol, &[0xb0, 2, 0, 0]),
    ]);
    accepted(&[
        ("3.9.3", V4, &[0x90, 6, 0, 1, 0, 1, 2, 0x80]),
        ("3.9.3", V5, &[0x90, 4, 0, 1, 0, 0x9e]),
        ("3.1.1, 3.11", V4, &[0xb0, 2, 0, 1]),
        ("3.11.3", V5, &[0xb0, 5, 0, 1, 0, 0, 0x11]),
    ]);
}

/// 3.1.1 knows no codes in UNSUBACK: given some, it must not send what its peer
/// has to refuse.
#[test]
fn unsuback_of_3_1_1_is_written_without_codes() {
    let ack = Packet::UnsubAck(UnsubAck {
        packet_id: PacketId::MIN,
        properties: Properties::NONE,
        codes: &[0],
    });
    let mut room = [0; 16];
    assert_eq!(ack.encode(V4, &mut room), Ok(&[0xb0, 2, 0, 1][..]));
    assert_eq!(ack.encode(V5, &mut room), Ok(&[0xb0, 4, 0, 1, 0, 0][..]));
}

#[test]
fn disconnect_and_auth() {
    refused(&[
        (
            "3.14.2: bytes left over",
            V5,
            Malformed,
            &[0xe0, 3, 0, 0, 0],
        ),
        (
            "3.14.2.2: properties cut short",
            V5,
            Malformed,
            &[0xe0, 2, 0, 1],
        ),
        (
            "3.15.2: bytes left over",
            V5,
            Malformed,
            &[0xf0, 3, 0, 0, 0],
        ),
    ]);
    accepted(&[
        ("3.14.2.1: reason and properties left out", V5, &[0xe0, 0]),
        ("3.14.2.2.1: properties left out", V5, &[0xe0, 1, 0x8e]),
        ("3.15.2.1: reason and properties left out", V5, &[0xf0, 0]),
        ("3.15.2.2.2", V5, &[0xf0, 6, 0x18, 4, 0x15, 0, 1, b'm']),
    ]);
}
