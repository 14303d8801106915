//! Where mosquitto 2.0.11 leaves the standard, or uses a freedom in another way than the model.
//!
//! Both behaviours are fixed, so that the list shrinks when mosquitto is mended.

use super::*;

const V4: Version = Version::V4;
const V5: Version = Version::V5;

/// The connection is closed with a DISCONNECT of this code.
fn told(code: u8) -> Seen {
    Seen::end([disconnect(code)])
}

/// The connection is closed without a word.
fn silently() -> Seen {
    Seen::end([])
}

fn differ(client: Id, mosquitto: Seen, model: Seen) -> Difference {
    Difference {
        client,
        mosquitto,
        model,
    }
}

fn suback() -> Seen {
    Seen::packets([Packet::SubAck(SubAck {
        packet_id: 500,
        codes: vec![0],
        ..SubAck::default()
    })])
}

#[test]
fn packets_of_a_connected_client() {
    let odd = |options: SubscribeFilter| subscribe([options]).encode(V5);
    let with = |properties| {
        Packet::Publish(Publish {
            properties,
            ..publish("t", Qos::AtMostOnce, 0)
        })
        .encode(V5)
    };
    let none = Properties::default;
    let closes_silently = "4.13.1: the code of the error SHOULD be sent before closing";
    let cases: Vec<(Version, Vec<u8>, &str, Seen, Seen)> = vec![
        (
            V5,
            Packet::Connect(Connect::new(V5, "a")).encode(V5),
            closes_silently,
            silently(),
            told(0x82),
        ),
        (
            V5,
            b"\xF0\x00".to_vec(),
            closes_silently,
            silently(),
            told(0x82),
        ),
        (
            V5,
            b"\x60\x02\0\x01".to_vec(),
            closes_silently,
            silently(),
            told(0x81),
        ),
        (
            V5,
            b"\x30\xFF\xFF\xFF\xFF\x01".to_vec(),
            closes_silently,
            silently(),
            told(0x81),
        ),
        (
            V5,
            ack(Packet::PubRel, 0).encode(V5),
            closes_silently,
            silently(),
            told(0x82),
        ),
        (
            V5,
            ack(Packet::PubAck, 0).encode(V5),
            closes_silently,
            silently(),
            told(0x82),
        ),
        (
            V5,
            b"\x00\x00".to_vec(),
            "2.1.2: packet type 0 is malformed, 0x81",
            told(0x82),
            told(0x81),
        ),
        (
            V5,
            subscribe([]).encode(V5),
            "3.8.3: a SUBSCRIBE without filters is a protocol error, 0x82",
            told(0x81),
            told(0x82),
        ),
        (
            V5,
            unsubscribe(&[]).encode(V5),
            "3.10.3: an UNSUBSCRIBE without filters is a protocol error, 0x82",
            told(0x81),
            told(0x82),
        ),
        (
            V5,
            odd(SubscribeFilter {
                retain_handling: 3,
                ..filter("t", Qos::AtMostOnce)
            }),
            "3.8.3.1: retain handling 3 is a protocol error, 0x82",
            told(0x81),
            told(0x82),
        ),
        (
            V5,
            odd(SubscribeFilter {
                no_local: true,
                ..filter("$share/g/t", Qos::AtMostOnce)
            }),
            "MQTT-3.8.3-4: no local on a shared subscription is a protocol error",
            suback(),
            told(0x82),
        ),
        (
            V5,
            odd(filter("$share/g", Qos::AtMostOnce)),
            "MQTT-4.8.2-2: the share name must be followed by a topic filter",
            suback(),
            told(0x81),
        ),
        (
            V5,
            odd(filter("$share//t", Qos::AtMostOnce)),
            "MQTT-4.8.2-1: the share name has at least one character",
            suback(),
            told(0x81),
        ),
        (
            V5,
            with(Properties {
                payload_format_indicator: Some(2),
                ..none()
            }),
            "3.3.2.3.2: the payload format indicator is 0 or 1",
            Seen::nothing(),
            told(0x82),
        ),
        (
            V5,
            with(Properties {
                subscription_identifiers: vec![1],
                ..none()
            }),
            "MQTT-3.3.4-6: clients must not send subscription identifiers",
            Seen::nothing(),
            told(0x82),
        ),
        (
            V5,
            with(Properties {
                response_topic: Some("a/+".into()),
                ..none()
            }),
            "MQTT-3.3.2-14: the response topic must not contain wildcards",
            Seen::nothing(),
            told(0x82),
        ),
        (
            V5,
            with(Properties {
                topic_alias: Some(0),
                ..none()
            }),
            "3.14.2.1: topic alias invalid has a code of its own, 0x94",
            told(0x81),
            told(0x94),
        ),
        (
            V5,
            ack(Packet::PubRec, 9).encode(V5),
            "3.6.2.1: PUBREL for an identifier that is not known has code 0x92",
            Seen::packets([ack(Packet::PubRel, 9)]),
            Seen::packets([Packet::PubRel(Ack::new(9, 0x92))]),
        ),
        (
            V5,
            ack(Packet::PubRel, 9).encode(V5),
            "3.7.2.1: PUBCOMP for an identifier that is not known has code 0x92",
            Seen::packets([ack(Packet::PubComp, 9)]),
            Seen::packets([Packet::PubComp(Ack::new(9, 0x92))]),
        ),
    ];
    let mut duel = Duel::new();
    for (version, bytes, why, theirs, ours) in cases {
        let a = client(&mut duel, version, "a");
        duel.deviates(a, &bytes, why, &[differ(a, theirs, ours)]);
        duel.lose(a);
    }
}

#[test]
fn packets_that_only_servers_send() {
    let mut duel = Duel::new();
    for (version, end) in [(V4, silently()), (V5, told(0x82))] {
        let suback = SubAck {
            packet_id: 1,
            codes: vec![0],
            ..SubAck::default()
        };
        for (packet, theirs) in [
            (Packet::PingResp, Seen::nothing()),
            (Packet::SubAck(suback), Seen::nothing()),
            (Packet::ConnAck(ConnAck::default()), silently()),
        ] {
            let a = client(&mut duel, version, "a");
            let why = "2.1.2: the direction of these packets is from server to client";
            let bytes = packet.encode(version);
            duel.deviates(a, &bytes, why, &[differ(a, theirs, end.clone())]);
        }
    }
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let mut duel = Duel::new();
    let a = client(&mut duel, V5, "a");
    let retained = Publish {
        retain: true,
        ..publish("t", Qos::AtMostOnce, 0)
    };
    duel.send(a, Packet::Publish(retained.clone()));
    let bytes = subscribe([filter("$share/g/t", Qos::AtMostOnce)]).encode(V5);
    let mut theirs = suback();
    theirs.packets.push(Packet::Publish(retained));
    let why = "4.8.2: no retained messages for a shared subscription";
    duel.deviates(a, &bytes, why, &[differ(a, theirs, suback())]);
}

#[test]
fn a_wrong_answer_is_a_protocol_error() {
    for version in BOTH {
        for kind in [Packet::PubRec as fn(Ack) -> Packet, Packet::PubComp] {
            let mut duel = Duel::new();
            let a = client(&mut duel, version, "a");
            duel.send(a, subscribe([filter("t", Qos::AtLeastOnce)]));
            let b = client(&mut duel, version, "b");
            duel.send(b, Packet::Publish(publish("t", Qos::AtLeastOnce, 1)));
            let ours = match version {
                V4 => silently(),
                V5 => told(0x82),
            };
            let why = "4.13.1: the code of the error SHOULD be sent before closing";
            let bytes = ack(kind, 1).encode(version);
            duel.deviates(a, &bytes, why, &[differ(a, silently(), ours)]);
        }
    }
}

#[test]
fn a_takeover_with_a_session_that_goes_on_publishes_the_will() {
    for version in BOTH {
        let mut duel = Duel::new();
        let watcher = client(&mut duel, version, "watcher");
        duel.send(watcher, subscribe([filter("will", Qos::AtMostOnce)]));
        let mut connect = lasting(version, "a");
        connect.will = Some(Will {
            topic: "will".into(),
            ..Will::default()
        });
        let (old, _) = connected(&mut duel, connect);
        let new = duel.open(version);
        let bytes = Packet::Connect(lasting(version, "a")).encode(version);
        let will = Seen::packets([Packet::Publish(Publish {
            topic: "will".into(),
            ..Publish::default()
        })]);
        let why = "MQTT-3.1.2-8: the will is published when the connection is closed; \
                   MQTT-3.1.4-3: the old connection is told 0x8E";
        let mut differences = vec![differ(watcher, Seen::nothing(), will)];
        if version == V5 {
            differences.push(differ(old, silently(), told(0x8E)));
        }
        duel.deviates(new, &bytes, why, &differences);
    }
}

#[test]
fn a_takeover_tells_the_old_connection() {
    for clean_start in [false, true] {
        let mut duel = Duel::new();
        let watcher = client(&mut duel, V5, "watcher");
        duel.send(watcher, subscribe([filter("will", Qos::AtMostOnce)]));
        let mut connect = lasting(V5, "a");
        connect.will = clean_start.then(|| Will {
            topic: "will".into(),
            ..Will::default()
        });
        let (old, _) = connected(&mut duel, connect.clone());
        connect.clean_start = clean_start;
        let new = duel.open(V5);
        let bytes = Packet::Connect(connect).encode(V5);
        let why = "MQTT-3.1.4-3: the old connection is told 0x8E";
        duel.deviates(new, &bytes, why, &[differ(old, silently(), told(0x8E))]);
        duel.send(new, Packet::PingReq);
    }
}

#[test]
fn refused_credentials() {
    for (version, theirs, ours) in [(V4, 5, 4), (V5, 0x87, 0x86)] {
        let config = Config {
            credentials: Some([("u".into(), b"p".to_vec())].into()),
            ..Config::default()
        };
        let mut duel = Duel::with("allow_anonymous false", "", config);
        let a = duel.open(version);
        let refused = |code| {
            Seen::end([Packet::ConnAck(ConnAck {
                code,
                ..ConnAck::default()
            })])
        };
        let bytes = Packet::Connect(Connect::new(version, "a")).encode(version);
        let why = "3.2.2: both codes are permitted";
        duel.deviates(a, &bytes, why, &[differ(a, refused(theirs), refused(ours))]);
    }
}

#[test]
fn the_limit_of_publications_in_flight() {
    for version in BOTH {
        let config = Config {
            inflight_limit: 2,
            ..Config::default()
        };
        let settings = "allow_anonymous true\nmax_inflight_messages 2";
        let mut duel = Duel::with(settings, "", config);
        let mut connect = Connect::new(version, "a");
        if version == V5 {
            connect.properties.receive_maximum = Some(2);
        }
        let (a, _) = connected(&mut duel, connect);
        duel.send(a, subscribe([filter("t", Qos::AtLeastOnce)]));
        let b = client(&mut duel, version, "b");
        for id in 1..=4 {
            duel.send(b, Packet::Publish(publish("t", Qos::AtLeastOnce, id)));
        }
        let sent = |ids: &[u16]| {
            let packet = |&id| Packet::Publish(publish("t", Qos::AtLeastOnce, id));
            Seen::packets(ids.iter().map(packet).collect::<Vec<_>>())
        };
        let why = "MQTT-3.3.4-9: never more unacknowledged than the receive maximum";
        for (id, theirs, ours) in [(1, &[3, 4][..], &[3][..]), (2, &[], &[4])] {
            let bytes = ack(Packet::PubAck, id).encode(version);
            duel.deviates(a, &bytes, why, &[differ(a, sent(theirs), sent(ours))]);
        }
        duel.send(a, ack(Packet::PubAck, 3));
    }
}

#[test]
fn exceeding_the_receive_maximum_of_the_broker() {
    let config = Config {
        receive_maximum: 3,
        qos2_method: Qos2Method::OnPubRel,
        ..Config::default()
    };
    let mut duel = Duel::with("allow_anonymous true\nmax_inflight_messages 3", "", config);
    let a = client(&mut duel, V5, "a");
    for id in 1..=3 {
        duel.send(a, Packet::Publish(publish("t", Qos::ExactlyOnce, id)));
    }
    let bytes = Packet::Publish(publish("t", Qos::ExactlyOnce, 4)).encode(V5);
    let theirs = Seen::packets([Packet::PubRec(Ack::new(4, 0x97))]);
    let why = "3.1.2.11.3, 3.14.2.1: the connection ends with 0x93";
    duel.deviates(a, &bytes, why, &[differ(a, theirs, told(0x93))]);
}
