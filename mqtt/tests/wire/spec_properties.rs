//! Section 2.2.2, property by property and packet by packet.

use aldis_mqtt::wire::{Fault, Packet, Version};

/// Identifier and a valid value of every property.
const PROPERTIES: [&[u8]; 27] = [
    &[1, 1],
    &[2, 0, 0, 0, 1],
    &[3, 0, 1, b'a'],
    &[8, 0, 1, b'a'],
    &[9, 0, 1, b'a'],
    &[11, 1],
    &[17, 0, 0, 0, 1],
    &[18, 0, 1, b'a'],
    &[19, 0, 1],
    &[21, 0, 1, b'a'],
    &[22, 0, 1, b'a'],
    &[23, 1],
    &[24, 0, 0, 0, 1],
    &[25, 1],
    &[26, 0, 1, b'a'],
    &[28, 0, 1, b'a'],
    &[31, 0, 1, b'a'],
    &[33, 0, 1],
    &[34, 0, 1],
    &[35, 0, 1],
    &[36, 1],
    &[37, 1],
    &[38, 0, 1, b'a', 0, 1, b'b'],
    &[39, 0, 0, 0, 1],
    &[40, 1],
    &[41, 1],
    &[42, 1],
];

/// A packet with a place for properties, and which may stand there, as the
/// section of that packet says.
struct Place {
    section: &'static str,
    first: u8,
    before: &'static [u8],
    after: &'static [u8],
    allowed: &'static [u8],
}

const PLACES: [Place; 14] = [
    Place {
        section: "3.1.2.11, CONNECT",
        first: 0x10,
        before: b"\0\x04MQTT\x05\x02\0\0",
        after: b"\0\0",
        allowed: &[17, 21, 22, 23, 25, 33, 34, 38, 39],
    },
    Place {
        section: "3.1.3.2, the will",
        first: 0x10,
        before: b"\0\x04MQTT\x05\x06\0\0\0\0\0",
        after: b"\0\x01w\0\0",
        allowed: &[1, 2, 3, 8, 9, 24, 38],
    },
    Place {
        section: "3.2.2.3, CONNACK",
        first: 0x20,
        before: &[0, 0],
        after: &[],
        allowed: &[
            17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42,
        ],
    },
    Place {
        section: "3.3.2.3, PUBLISH",
        first: 0x30,
        before: &[0, 1, b't'],
        after: &[0xff],
        allowed: &[1, 2, 3, 8, 9, 11, 35, 38],
    },
    Place {
        section: "3.4.2.2, PUBACK",
        first: 0x40,
        before: &[0, 1, 0],
        after: &[],
        allowed: &[31, 38],
    },
    Place {
        section: "3.5.2.2, PUBREC",
        first: 0x50,
        before: &[0, 1, 0],
        after: &[],
        allowed: &[31, 38],
    },
    Place {
        section: "3.6.2.2, PUBREL",
        first: 0x62,
        before: &[0, 1, 0],
        after: &[],
        allowed: &[31, 38],
    },
    Place {
        section: "3.7.2.2, PUBCOMP",
        first: 0x70,
        before: &[0, 1, 0],
        after: &[],
        allowed: &[31, 38],
    },
    Place {
        section: "3.8.2.1, SUBSCRIBE",
        first: 0x82,
        before: &[0, 1],
        after: &[0, 1, b'f', 0],
        allowed: &[11, 38],
    },
    Place {
        section: "3.9.2.1, SUBACK",
        first: 0x90,
        before: &[0, 1],
        after: &[0],
        allowed: &[31, 38],
    },
    Place {
        section: "3.10.2.1, UNSUBSCRIBE",
        first: 0xa2,
        before: &[0, 1],
        after: &[0, 1, b'f'],
        allowed: &[38],
    },
    Place {
        section: "3.11.2.1, UNSUBACK",
        first: 0xb0,
        before: &[0, 1],
        after: &[0],
        allowed: &[31, 38],
    },
    Place {
        section: "3.14.2.2, DISCONNECT",
        first: 0xe0,
        before: &[0],
        after: &[],
        allowed: &[17, 28, 31, 38],
    },
    Place {
        section: "3.15.2.2, AUTH",
        first: 0xf0,
        before: &[0x18],
        after: &[],
        allowed: &[21, 22, 31, 38],
    },
];

impl Place {
    fn with(&self, properties: &[u8]) -> Vec<u8> {
        let body = [
            self.before,
            &[properties.len() as u8],
            properties,
            self.after,
        ]
        .concat();
        [&[self.first, body.len() as u8], &body[..]].concat()
    }

    fn fault(&self, properties: &[u8]) -> Option<Fault> {
        Packet::decode(&self.with(properties), Version::V5).err()
    }
}

/// Authentication Data stands with its method.
fn complete(property: &[u8]) -> Vec<u8> {
    match property {
        [22, ..] => [&[21, 0, 1, b'm'], property].concat(),
        _ => property.to_vec(),
    }
}

#[test]
fn each_property_stands_where_table_2_4_allows_it() {
    for place in &PLACES {
        assert_eq!(place.fault(&[]), None, "{}", place.section);
        for property in PROPERTIES {
            let allowed = place.allowed.contains(&property[0]);
            let expected = (!allowed).then_some(Fault::Protocol);
            let section = place.section;
            let fault = place.fault(&complete(property));
            assert_eq!(
                fault, expected,
                "2.2.2.2 and {section}: property {}",
                property[0]
            );
        }
    }
}

/// "It is a Protocol Error to include ... more than once."
#[test]
fn each_property_stands_once_but_those_that_may_be_many() {
    for place in &PLACES {
        for property in PROPERTIES.iter().filter(|p| place.allowed.contains(&p[0])) {
            let many = property[0] == 38 || (property[0] == 11 && place.first == 0x30);
            let twice = [&complete(property)[..], property].concat();
            let expected = (!many).then_some(Fault::Protocol);
            let section = place.section;
            assert_eq!(
                place.fault(&twice),
                expected,
                "{section}: property {} twice",
                property[0]
            );
        }
    }
}

#[test]
fn unknown_properties_are_malformed() {
    let known: Vec<u8> = PROPERTIES.iter().map(|property| property[0]).collect();
    for place in &PLACES {
        for id in (0..=255).filter(|id| !known.contains(id)) {
            let fault = place.fault(&[id, 0, 0, 0, 0, 0]);
            assert_eq!(
                fault,
                Some(Fault::Malformed),
                "{}: property {id}",
                place.section
            );
        }
        // MQTT-1.5.5-1: identifiers are Variable Byte Integers, too.
        let fault = place.fault(&[0xa6, 0, 0, 0, 0, 0]);
        assert_eq!(
            fault,
            Some(Fault::Malformed),
            "{}: identifier padded",
            place.section
        );
    }
}

/// A value may be cut by the end of the block though the packet goes on.
#[test]
fn no_property_reaches_over_the_end_of_the_block() {
    for place in &PLACES {
        for property in PROPERTIES.iter().filter(|p| place.allowed.contains(&p[0])) {
            for len in 1..property.len() {
                let fault = place.fault(&property[..len]);
                let section = place.section;
                assert_eq!(
                    fault,
                    Some(Fault::Malformed),
                    "{section}: {:02x?}",
                    &property[..len]
                );
            }
        }
    }
}

#[test]
fn values_out_of_range() {
    let [connect, will, connack, publish] = [0, 1, 2, 3].map(|at| &PLACES[at]);
    let (subscribe, auth) = (&PLACES[8], &PLACES[13]);
    let cases: &[(&str, &Place, &[u8], Fault)] = &[
        ("3.3.2.3.2", publish, &[1, 2], Fault::Protocol),
        ("3.1.3.2.3", will, &[1, 255], Fault::Protocol),
        (
            "3.1.2.11.3: receive maximum 0",
            connect,
            &[33, 0, 0],
            Fault::Protocol,
        ),
        (
            "3.2.2.3.3: receive maximum 0",
            connack,
            &[33, 0, 0],
            Fault::Protocol,
        ),
        (
            "3.1.2.11.4: packet size 0",
            connect,
            &[39, 0, 0, 0, 0],
            Fault::Protocol,
        ),
        (
            "3.2.2.3.6: packet size 0",
            connack,
            &[39, 0, 0, 0, 0],
            Fault::Protocol,
        ),
        ("3.1.2.11.6", connect, &[25, 2], Fault::Protocol),
        ("3.1.2.11.7", connect, &[23, 2], Fault::Protocol),
        (
            "3.1.2.11.10: data without method",
            connect,
            &[22, 0, 1, b'a'],
            Fault::Protocol,
        ),
        (
            "3.15.2.2.2: data without method",
            auth,
            &[22, 0, 1, b'a'],
            Fault::Protocol,
        ),
        (
            "3.2.2.3.4: maximum QoS 2",
            connack,
            &[36, 2],
            Fault::Protocol,
        ),
        ("3.2.2.3.5", connack, &[37, 2], Fault::Protocol),
        ("3.2.2.3.11", connack, &[40, 2], Fault::Protocol),
        ("3.2.2.3.12", connack, &[41, 2], Fault::Protocol),
        ("3.2.2.3.13", connack, &[42, 2], Fault::Protocol),
        (
            "MQTT-3.3.2-8: alias 0",
            publish,
            &[35, 0, 0],
            Fault::TopicAlias,
        ),
        (
            "MQTT-3.3.2-14: response topic",
            publish,
            &[8, 0, 1, b'+'],
            Fault::TopicName,
        ),
        (
            "MQTT-3.3.2-14: response topic",
            will,
            &[8, 0, 1, b'#'],
            Fault::TopicName,
        ),
        (
            "MQTT-4.7.3-1: response topic",
            publish,
            &[8, 0, 0],
            Fault::TopicName,
        ),
        (
            "3.3.2.3.8: identifier 0",
            publish,
            &[11, 0],
            Fault::Protocol,
        ),
        (
            "3.8.2.1.2: identifier 0",
            subscribe,
            &[11, 0],
            Fault::Protocol,
        ),
        (
            "MQTT-1.5.5-1: identifier padded",
            subscribe,
            &[11, 0x81, 0],
            Fault::Malformed,
        ),
        (
            "1.5.5: identifier above",
            subscribe,
            &[11, 255, 255, 255, 255, 1],
            Fault::Malformed,
        ),
        (
            "MQTT-3.3.2-19: content type UTF-8",
            publish,
            &[3, 0, 1, 0xff],
            Fault::Malformed,
        ),
        (
            "MQTT-1.5.7-1: user property UTF-8",
            publish,
            &[38, 0, 1, 0xff, 0, 0],
            Fault::Malformed,
        ),
        (
            "MQTT-1.5.7-1: user property UTF-8",
            publish,
            &[38, 0, 0, 0, 1, 0],
            Fault::Malformed,
        ),
    ];
    for (requirement, place, properties, fault) in cases {
        let section = place.section;
        assert_eq!(
            place.fault(properties),
            Some(*fault),
            "{requirement} in {section}"
        );
    }
    for (place, properties) in [
        (publish, &[35, 255, 255][..]),
        (publish, &[11, 255, 255, 255, 127]),
        (publish, &[2, 0, 0, 0, 0]),
        (connect, &[17, 255, 255, 255, 255]),
        (connect, &[33, 255, 255]),
        (connack, &[39, 255, 255, 255, 255]),
        (connack, &[34, 0, 0]),
        (connack, &[19, 0, 0]),
        (publish, &[38, 0, 0, 0, 0]),
        (publish, &[9, 0, 0]),
    ] {
        assert_eq!(
            place.fault(properties),
            None,
            "{}: {properties:02x?}",
            place.section
        );
    }
}

/// The block of properties says its own length, and that can be wrong.
#[test]
fn the_length_of_the_block_is_checked() {
    for place in &PLACES {
        let body = [place.before, &[0x7f], place.after].concat();
        let bytes = [&[place.first, body.len() as u8], &body[..]].concat();
        let decoded = Packet::decode(&bytes, Version::V5);
        assert_eq!(decoded, Err(Fault::Malformed), "{}", place.section);
        let body = [place.before, &[0x80, 0], place.after].concat();
        let bytes = [&[place.first, body.len() as u8], &body[..]].concat();
        let decoded = Packet::decode(&bytes, Version::V5);
        assert_eq!(
            decoded,
            Err(Fault::Malformed),
            "MQTT-1.5.5-1, {}",
            place.section
        );
    }
}
