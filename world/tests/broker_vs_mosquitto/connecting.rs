//! CONNECT, sessions, takeover, wills.

use super::*;

#[test]
fn connect_ping_disconnect() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = client(&mut duel, version, "a");
        assert_eq!(duel.send(a, Packet::PingReq), [Packet::PingResp]);
        duel.send(a, disconnect(0));
    }
}

#[test]
fn one_byte_at_a_time() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = duel.open(version);
        let mut bytes = Packet::Connect(Connect::new(version, "a")).encode(version);
        bytes.extend(subscribe([filter("t", Qos::ExactlyOnce)]).encode(version));
        bytes.extend(Packet::Publish(publish("t", Qos::AtLeastOnce, 3)).encode(version));
        let (last, head) = bytes.split_last().expect("bytes");
        for byte in head {
            duel.put(a, &[*byte]);
        }
        assert_eq!(duel.raw(a, &[*last]).len(), 4);
    }
}

#[test]
fn a_session_is_present_only_if_it_was_kept() {
    for version in BOTH {
        let mut duel = Duel::new();
        for (clean, present) in [
            (false, false),
            (false, true),
            (true, false),
            (false, version == Version::V5),
        ] {
            let mut connect = lasting(version, "a");
            connect.clean_start = clean;
            let (a, seen) = connected(&mut duel, connect);
            assert!(matches!(&seen[0], Packet::ConnAck(ack) if ack.session_present == present));
            duel.lose(a);
        }
    }
}

#[test]
fn a_version_5_session_without_expiry_ends_with_the_connection() {
    let mut duel = Duel::new();
    for _ in 0..2 {
        let mut connect = Connect::new(Version::V5, "a");
        connect.clean_start = false;
        let (a, seen) = connected(&mut duel, connect);
        assert!(matches!(&seen[0], Packet::ConnAck(ack) if !ack.session_present));
        duel.lose(a);
    }
}

#[test]
fn disconnect_can_change_the_session_expiry() {
    let mut duel = Duel::new();
    for (expiry, present) in [
        (Some(0), false),
        (Some(100), false),
        (None, true),
        (None, true),
    ] {
        let (a, seen) = connected(&mut duel, lasting(Version::V5, "a"));
        assert!(matches!(&seen[0], Packet::ConnAck(ack) if ack.session_present == present));
        duel.send(
            a,
            Packet::Disconnect(Reason {
                code: 0,
                properties: Properties {
                    session_expiry_interval: expiry,
                    ..Properties::default()
                },
            }),
        );
    }
}

#[test]
fn session_expiry_in_disconnect_after_none_in_connect() {
    let mut duel = Duel::new();
    let a = client(&mut duel, Version::V5, "a");
    duel.send(
        a,
        Packet::Disconnect(Reason {
            code: 0,
            properties: Properties {
                session_expiry_interval: Some(10),
                ..Properties::default()
            },
        }),
    );
}

#[test]
fn a_client_without_an_identifier() {
    for version in BOTH {
        let mut duel = Duel::new();
        client(&mut duel, version, "");
        let mut connect = lasting(version, "");
        connect.clean_start = false;
        let b = duel.open(version);
        duel.send(b, Packet::Connect(connect));
    }
}

#[test]
fn protocol_levels_and_names_that_do_not_exist() {
    let connect = |name: &[u8], level: u8| {
        let mut body = vec![0, name.len() as u8];
        body.extend(name);
        body.extend([level, 2, 0, 10, 0, 1, b'a']);
        let mut packet = vec![0x10, body.len() as u8];
        packet.extend(body);
        packet
    };
    let mut duel = Duel::new();
    for (name, level) in [(&b"MQTT"[..], 6), (b"MQTT", 0x7F), (b"MQXT", 4), (b"", 4)] {
        let a = duel.open(Version::V4);
        duel.raw(a, &connect(name, level));
    }
}

#[test]
fn broken_connects_of_version_3() {
    let mut duel = Duel::new();
    for (flags, tail) in [
        (0x03, &b"\0\x01a"[..]),       // reserved flag
        (0x42, b"\0\x01a\0\x01p"),     // password without user name
        (0x1E, b"\0\x01a\0\x01w\0\0"), // will QoS 3
        (0x22, b"\0\x01a"),            // will retain without a will
        (0x0A, b"\0\x01a"),            // will QoS without a will
        (0x02, b"\0\x09a"),            // ends within the identifier
        (0x82, b"\0\x01a"),            // ends before the user name
        (0x02, b"\0\x02\xC3\x28"),     // not UTF-8
        (0x06, b"\0\x01a\0\x01#\0\0"), // wildcard in the will's topic
    ] {
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.extend([flags, 0, 10]);
        body.extend(tail);
        let mut packet = vec![0x10, body.len() as u8];
        packet.extend(body);
        let a = duel.open(Version::V4);
        duel.raw(a, &packet);
    }
}

#[test]
fn the_first_packet_must_be_connect() {
    let mut duel = Duel::new();
    for packet in [
        Packet::PingReq,
        Packet::Publish(publish("t", Qos::AtMostOnce, 0)),
    ] {
        let a = duel.open(Version::V4);
        duel.send(a, packet);
    }
}

#[test]
fn a_second_connection_with_the_same_identifier_takes_over() {
    let mut duel = Duel::new();
    let (old, _) = connected(&mut duel, lasting(Version::V4, "a"));
    duel.send(old, subscribe([filter("t", Qos::AtLeastOnce)]));
    let (new, seen) = connected(&mut duel, lasting(Version::V4, "a"));
    assert!(matches!(&seen[0], Packet::ConnAck(ack) if ack.session_present));
    let publication = Packet::Publish(publish("t", Qos::AtLeastOnce, 1));
    let seen = duel.send(new, publication);
    assert_eq!(publications(&seen).len(), 1, "the subscription lives on");
}

#[test]
fn a_takeover_that_ends_the_session_publishes_the_will() {
    let mut duel = Duel::new();
    let watcher = client(&mut duel, Version::V4, "watcher");
    duel.send(watcher, subscribe([filter("will", Qos::AtMostOnce)]));
    for _ in 0..2 {
        let mut connect = Connect::new(Version::V4, "a");
        connect.will = Some(Will {
            topic: "will".into(),
            ..Will::default()
        });
        connected(&mut duel, connect);
    }
}

#[test]
fn a_session_moves_between_versions() {
    let mut duel = Duel::new();
    for version in [Version::V4, Version::V5, Version::V4] {
        let (a, _) = connected(&mut duel, lasting(version, "a"));
        duel.send(a, subscribe([filter("t", Qos::AtLeastOnce)]));
        duel.lose(a);
        let b = client(&mut duel, Version::V4, "b");
        duel.send(b, Packet::Publish(publish("t", Qos::AtLeastOnce, 1)));
        duel.lose(b);
    }
}

#[test]
fn a_will_is_published_when_the_connection_is_lost_and_only_then() {
    for version in BOTH {
        for (qos, retain) in [(Qos::AtMostOnce, false), (Qos::AtLeastOnce, true)] {
            let mut duel = Duel::new();
            let watcher = client(&mut duel, version, "watcher");
            duel.send(watcher, subscribe([filter("will", Qos::ExactlyOnce)]));
            let mut connect = Connect::new(version, "a");
            connect.will = Some(Will {
                topic: "will".into(),
                payload: b"gone".to_vec(),
                qos,
                retain,
                ..Will::default()
            });
            let (a, _) = connected(&mut duel, connect.clone());
            duel.send(a, disconnect(0));
            let (a, _) = connected(&mut duel, connect.clone());
            duel.lose(a);
            let (a, _) = connected(&mut duel, connect.clone());
            duel.raw(a, &[0x80, 0x00]);
            if version == Version::V5 {
                let (a, _) = connected(&mut duel, connect);
                duel.send(a, disconnect(4));
            }
            let late = client(&mut duel, version, "late");
            let seen = duel.send(late, subscribe([filter("will", Qos::ExactlyOnce)]));
            assert_eq!(publications(&seen).len(), usize::from(retain));
        }
    }
}

#[test]
fn a_will_keeps_its_properties() {
    let mut duel = Duel::new();
    let watcher = client(&mut duel, Version::V5, "watcher");
    duel.send(watcher, subscribe([filter("will", Qos::AtMostOnce)]));
    let mut connect = Connect::new(Version::V5, "a");
    connect.will = Some(Will {
        topic: "will".into(),
        payload: b"gone".to_vec(),
        properties: Properties {
            payload_format_indicator: Some(1),
            content_type: Some("text".into()),
            response_topic: Some("answer".into()),
            correlation_data: Some(vec![1, 2]),
            user_properties: vec![("k".into(), "v".into())],
            ..Properties::default()
        },
        ..Will::default()
    });
    let (a, _) = connected(&mut duel, connect);
    duel.lose(a);
}

#[test]
fn enhanced_authentication_is_refused() {
    let mut duel = Duel::new();
    let mut connect = Connect::new(Version::V5, "a");
    connect.properties.authentication_method = Some("SCRAM".into());
    let a = duel.open(Version::V5);
    duel.send(a, Packet::Connect(connect));
}
