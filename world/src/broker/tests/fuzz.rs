//! Bytes that nobody meant: nothing panics, and whatever is decoded can be encoded again.

use super::*;

/// A small generator (xorshift); a failing run names its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// One of everything, with every property in some packet.
pub(super) fn specimens() -> Vec<Packet> {
    let mut connect = with_will(lasting("client", 99), Some(3));
    connect.username = Some("user".into());
    connect.password = Some(b"password".to_vec());
    connect.keep_alive = 15;
    let p = &mut connect.properties;
    p.receive_maximum = Some(7);
    p.maximum_packet_size = Some(5000);
    p.topic_alias_maximum = Some(3);
    p.request_problem_information = Some(1);
    p.request_response_information = Some(0);
    let message = Properties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(60),
        content_type: Some("text/plain".into()),
        response_topic: Some("answer".into()),
        correlation_data: Some(vec![0, 1, 255]),
        user_properties: vec![("a".into(), "b".into()), ("a".into(), String::new())],
        ..Properties::default()
    };
    let publication = |qos, packet_id| {
        Packet::Publish(Publish {
            qos,
            packet_id,
            topic: "t/ä".into(),
            payload: vec![7; 300],
            properties: Properties {
                topic_alias: Some(2),
                ..message.clone()
            },
            ..Publish::default()
        })
    };
    let Packet::Subscribe(mut options) = subscribe("t/#", Qos::ExactlyOnce) else {
        unreachable!()
    };
    options.properties.subscription_identifiers = vec![200];
    let reason = Properties {
        reason_string: Some("because".into()),
        ..Properties::default()
    };
    let ack = |code| Ack {
        packet_id: 5,
        code,
        properties: reason.clone(),
    };
    vec![
        Packet::Connect(connect),
        Packet::ConnAck(ConnAck {
            session_present: true,
            code: 0,
            properties: Properties {
                assigned_client_identifier: Some("x".into()),
                server_keep_alive: Some(9),
                maximum_qos: Some(1),
                retain_available: Some(0),
                wildcard_subscription_available: Some(0),
                subscription_identifier_available: Some(0),
                shared_subscription_available: Some(0),
                response_information: Some("r".into()),
                server_reference: Some("s".into()),
                ..Properties::default()
            },
        }),
        Packet::Subscribe(options),
        publication(Qos::AtMostOnce, 0),
        publication(Qos::AtLeastOnce, 4),
        publication(Qos::ExactlyOnce, 5),
        Packet::PubAck(ack(0x10)),
        Packet::PubRec(ack(0x99)),
        Packet::PubRel(ack(0)),
        Packet::PubComp(ack(0x92)),
        Packet::PingReq,
        Packet::Unsubscribe(codec::Unsubscribe {
            packet_id: 6,
            filters: vec!["t/#".into(), "u".into()],
            ..codec::Unsubscribe::default()
        }),
        Packet::Auth(Reason {
            code: 0x18,
            properties: Properties {
                authentication_method: Some("m".into()),
                authentication_data: Some(vec![1]),
                ..Properties::default()
            },
        }),
        Packet::Disconnect(Reason {
            code: 4,
            properties: Properties {
                session_expiry_interval: Some(1),
                ..Properties::default()
            },
        }),
    ]
}

#[test]
fn every_packet_comes_back_as_it_was() {
    for packet in specimens() {
        let bytes = packet.encode(Version::V5);
        assert_eq!(Packet::decode(Version::V5, &bytes), Ok(packet));
    }
}

#[test]
fn a_packet_cut_short_is_never_taken_for_a_whole_one() {
    for packet in specimens() {
        let bytes = packet.encode(Version::V5);
        for end in 0..bytes.len() {
            assert!(Packet::decode(Version::V5, &bytes[..end]).is_err());
        }
    }
}

#[test]
fn one_byte_at_a_time_is_the_same_as_all_at_once() {
    for version in [Version::V4, Version::V5] {
        let mut stream = Vec::new();
        for mut packet in specimens() {
            if let Packet::Connect(connect) = &mut packet {
                connect.version = version;
            }
            if !matches!(packet, Packet::ConnAck(_) | Packet::Auth(_)) {
                stream.extend(packet.encode(version));
            }
        }
        let run = |piece: usize| {
            let mut broker = Broker::new(Config::default());
            let conn = broker.open(0);
            for bytes in stream.chunks(piece) {
                broker.receive(conn, bytes, 0);
            }
            (broker.output(conn), broker.take_log())
        };
        let whole = run(stream.len());
        assert_eq!(run(1), whole);
        assert_eq!(run(3), whole);
        assert_eq!(whole.1.len(), 3, "{version:?}");
    }
}

#[test]
fn mutated_conversations_never_panic() {
    for seed in 1..=400_u64 {
        let result = std::panic::catch_unwind(|| mutate(seed));
        assert!(result.is_ok(), "panicked with seed {seed}");
    }
}

/// Two connections, damaged packets, faults and jumps in time.
fn mutate(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut broker = Broker::new(Config {
        trace: true,
        assign_topic_aliases: true,
        maximum_packet_size: seed.is_multiple_of(3).then_some(200),
        ..Config::default()
    });
    let packets = specimens();
    let mut now = 0;
    for round in 0..8 {
        let version = if random.below(3) == 0 {
            Version::V4
        } else {
            Version::V5
        };
        let conn = broker.open(now);
        let mut connect = lasting("client", 5);
        connect.version = version;
        connect.properties.topic_alias_maximum = Some(2);
        broker.receive(conn, &Packet::Connect(connect).encode(version), now);
        for _ in 0..30 {
            let mut bytes = packets[random.below(packets.len())].encode(version);
            match random.below(4) {
                0 => {
                    let at = random.below(bytes.len());
                    bytes[at] = random.next() as u8;
                }
                1 => bytes.truncate(random.below(bytes.len() + 1)),
                2 if round == 7 => bytes = (0..40).map(|_| random.next() as u8).collect(),
                _ => {}
            }
            broker.receive(conn, &bytes, now);
            match random.below(12) {
                0 => broker.publish(Message::new("t/x", b"x", Qos::ExactlyOnce), now),
                1 => broker.hang(conn, Hang::Reads, now),
                2 => broker.hang(conn, Hang::Not, now),
                3 => now += random.below(4000) as u64,
                _ => {}
            }
            let _ = broker.output(conn);
        }
        match random.below(4) {
            0 => broker.closed(conn, now),
            1 => broker.forget("client"),
            2 => broker.restart(Keep::Everything, now),
            _ => {}
        }
    }
    broker.tick(u64::MAX);
}

#[test]
fn random_bytes_never_panic_the_decoder() {
    let mut random = Random(0x5EED);
    for _ in 0..20_000 {
        let length = random.below(30);
        let body: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let mut bytes = vec![random.next() as u8, length as u8];
        bytes.extend(body);
        for version in [Version::V4, Version::V5] {
            if let Ok(packet) = Packet::decode(version, &bytes) {
                let version = match &packet {
                    Packet::Connect(connect) => connect.version,
                    _ => version,
                };
                let again = Packet::decode(version, &packet.encode(version));
                assert_eq!(again.as_ref(), Ok(&packet), "{bytes:02X?}");
            }
        }
    }
}
