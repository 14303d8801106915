//! Packets that must not be, where mosquitto answers as the standard says. The others are in
//! [`crate::deviations`].

use super::*;

/// Each packet to a connection of its own.
fn each(version: Version, packets: impl IntoIterator<Item = Vec<u8>>) {
    let mut duel = Duel::new();
    for packet in packets {
        let a = client(&mut duel, version, "a");
        duel.raw(a, &packet);
    }
}

#[test]
fn malformed_headers() {
    let all = [
        &b"\x36\x05\0\x01t\0\x01"[..], // QoS 3
        b"\x80\x06\0\x01\0\x01t\0",    // SUBSCRIBE with wrong flags
        b"\x00\x00",                   // type 0
        b"\x60\x02\0\x01",             // PUBREL with wrong flags
        b"\xF0\x00",                   // type 15
        b"\x30\xFF\xFF\xFF\xFF\x01",   // a length of five bytes
    ];
    each(Version::V4, all.iter().map(|bytes| bytes.to_vec()));
    each(Version::V5, all.iter().take(2).map(|bytes| bytes.to_vec()));
}

#[test]
fn topic_names_that_are_none() {
    for version in BOTH {
        let topics = ["a/+", "#", "", "a\0b"];
        each(
            version,
            topics.map(|topic| Packet::Publish(publish(topic, Qos::AtMostOnce, 0)).encode(version)),
        );
    }
}

#[test]
fn topic_filters_that_are_none() {
    for version in BOTH {
        let filters = ["a#", "#/a", "a+", "", "a/+b/c"];
        for packet in [
            |name: &str| subscribe([filter(name, Qos::AtMostOnce)]),
            |name: &str| unsubscribe(&[name]),
        ] {
            each(version, filters.map(|name| packet(name).encode(version)));
        }
    }
}

#[test]
fn half_a_share_prefix_is_a_filter_of_version_3() {
    let filters = ["$share/g", "$share//t"];
    each(
        Version::V4,
        filters.map(|name| subscribe([filter(name, Qos::AtMostOnce)]).encode(Version::V4)),
    );
}

#[test]
fn packet_identifier_zero() {
    let publication = Packet::Publish(publish("t", Qos::AtLeastOnce, 0));
    for version in BOTH {
        each(version, [publication.encode(version)]);
    }
    let answers = [ack(Packet::PubRel, 0), ack(Packet::PubAck, 0)];
    each(
        Version::V4,
        answers.map(|packet| packet.encode(Version::V4)),
    );
}

#[test]
fn subscribes_without_filters_and_with_reserved_options() {
    let odd = |retain_handling| {
        subscribe([SubscribeFilter {
            retain_handling,
            ..filter("t", Qos::AtMostOnce)
        }])
    };
    let packets = [subscribe([]), unsubscribe(&[]), odd(1), odd(4)];
    each(
        Version::V4,
        packets.map(|packet| packet.encode(Version::V4)),
    );
    each(Version::V5, [odd(4).encode(Version::V5)]);
}

#[test]
fn properties_of_other_packets() {
    let wrong = Properties {
        receive_maximum: Some(1),
        ..Properties::default()
    };
    let unknown = b"\x30\x08\0\x01t\x02\x7F\0xy";
    each(
        Version::V5,
        [
            Packet::Publish(Publish {
                properties: wrong,
                ..publish("t", Qos::AtMostOnce, 0)
            })
            .encode(Version::V5),
            unknown.to_vec(),
        ],
    );
}
