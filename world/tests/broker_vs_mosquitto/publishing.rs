//! Publications from clients: acknowledgements, repetitions, aliases, limits.

use super::*;

#[test]
fn publications_that_nobody_has_subscribed() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = client(&mut duel, version, "a");
        for (id, qos) in [(0, Qos::AtMostOnce), (1, Qos::AtLeastOnce)] {
            duel.send(a, Packet::Publish(publish("t", qos, id)));
        }
    }
}

#[test]
fn every_qos_to_every_subscription() {
    for version in BOTH {
        for granted in QOS {
            let mut duel = Duel::new();
            let a = client(&mut duel, version, "a");
            let b = client(&mut duel, version, "b");
            duel.send(b, subscribe([filter("t", granted)]));
            duel.send(a, Packet::Publish(publish("t", Qos::AtMostOnce, 0)));
            duel.send(a, Packet::Publish(publish("t", Qos::AtLeastOnce, 1)));
            duel.send(
                a,
                Packet::Publish(Publish {
                    payload: Vec::new(),
                    ..publish("t", Qos::AtLeastOnce, 2)
                }),
            );
        }
    }
}

#[test]
fn a_qos_2_publication_in_both_directions() {
    for version in BOTH {
        let mut duel = Duel::with("allow_anonymous true", "", on_pubrel());
        let a = client(&mut duel, version, "a");
        let b = client(&mut duel, version, "b");
        duel.send(b, subscribe([filter("t", Qos::ExactlyOnce)]));
        for id in [7, 65_535] {
            duel.send(a, Packet::Publish(publish("t", Qos::ExactlyOnce, id)));
            duel.send(a, ack(Packet::PubRel, id));
        }
        for id in [1, 2] {
            duel.send(b, ack(Packet::PubRec, id));
            duel.send(b, ack(Packet::PubComp, id));
        }
    }
}

/// mosquitto passes QoS 2 on when PUBREL comes.
fn on_pubrel() -> Config {
    Config {
        qos2_method: Qos2Method::OnPubRel,
        ..Config::default()
    }
}

#[test]
fn a_repeated_qos_2_publication_is_passed_on_once() {
    for version in BOTH {
        let mut duel = Duel::with("allow_anonymous true", "", on_pubrel());
        let watcher = client(&mut duel, version, "watcher");
        duel.send(watcher, subscribe([filter("t", Qos::AtMostOnce)]));
        let (a, _) = connected(&mut duel, lasting(version, "a"));
        let again = Publish {
            dup: true,
            ..publish("t", Qos::ExactlyOnce, 7)
        };
        duel.send(a, Packet::Publish(publish("t", Qos::ExactlyOnce, 7)));
        duel.send(a, Packet::Publish(again.clone()));
        duel.lose(a);
        let (a, _) = connected(&mut duel, lasting(version, "a"));
        duel.send(a, Packet::Publish(again));
        duel.send(a, ack(Packet::PubRel, 7));
    }
}

#[test]
fn properties_are_passed_on() {
    let mut duel = Duel::new();
    let a = client(&mut duel, Version::V5, "a");
    let b = client(&mut duel, Version::V5, "b");
    let old = client(&mut duel, Version::V4, "old");
    for id in [b, old] {
        duel.send(id, subscribe([filter("t", Qos::AtMostOnce)]));
    }
    duel.send(
        a,
        Packet::Publish(Publish {
            properties: Properties {
                payload_format_indicator: Some(1),
                message_expiry_interval: Some(3600),
                content_type: Some("text/plain".into()),
                response_topic: Some("answer/ä".into()),
                correlation_data: Some(vec![0, 255]),
                user_properties: vec![
                    ("k".into(), "1".into()),
                    ("k".into(), "2".into()),
                    ("a".into(), String::new()),
                ],
                ..Properties::default()
            },
            ..publish("t", Qos::AtMostOnce, 0)
        }),
    );
}

fn aliased(topic: &str, alias: u16) -> Packet {
    Packet::Publish(Publish {
        properties: Properties {
            topic_alias: Some(alias),
            ..Properties::default()
        },
        ..publish(topic, Qos::AtMostOnce, 0)
    })
}

#[test]
fn topic_aliases_from_the_client() {
    let mut duel = Duel::new();
    let b = client(&mut duel, Version::V5, "b");
    duel.send(b, subscribe([filter("#", Qos::AtMostOnce)]));
    for bad in [aliased("x", 11), aliased("", 3)] {
        let a = client(&mut duel, Version::V5, "a");
        for (topic, alias) in [
            ("one", 1),
            ("", 1),
            ("two", 10),
            ("three", 1),
            ("", 1),
            ("", 10),
        ] {
            duel.send(a, aliased(topic, alias));
        }
        duel.send(a, bad);
    }
}

#[test]
fn publications_that_access_rules_forbid() {
    for version in BOTH {
        let config = Config {
            deny_publish: vec!["secret/#".into()],
            ..Config::default()
        };
        let mut duel = Duel::with("allow_anonymous true", "topic readwrite open/#\n", config);
        let a = client(&mut duel, version, "a");
        duel.send(a, subscribe([filter("open/#", Qos::AtMostOnce)]));
        duel.send(a, Packet::Publish(publish("secret/x", Qos::AtMostOnce, 0)));
        duel.send(a, Packet::Publish(publish("secret/x", Qos::AtLeastOnce, 1)));
        duel.send(a, Packet::Publish(publish("secret/x", Qos::ExactlyOnce, 2)));
        duel.send(a, Packet::Publish(publish("open/x", Qos::AtLeastOnce, 3)));
    }
}

#[test]
fn the_maximum_packet_size_of_the_broker() {
    for version in BOTH {
        let config = Config {
            maximum_packet_size: Some(100),
            ..Config::default()
        };
        let mut duel = Duel::with("allow_anonymous true\nmax_packet_size 100", "", config);
        let a = client(&mut duel, version, "a");
        let sized = |length| {
            let overhead = Packet::Publish(Publish {
                payload: Vec::new(),
                ..publish("t", Qos::AtLeastOnce, 1)
            });
            let payload = vec![0; length - overhead.encode(version).len()];
            Packet::Publish(Publish {
                payload,
                ..publish("t", Qos::AtLeastOnce, 1)
            })
        };
        assert_eq!(duel.send(a, sized(100)).len(), 1);
        duel.send(a, sized(102));
    }
}

#[test]
fn the_receive_maximum_of_the_broker() {
    let mut duel = Duel::with(
        "allow_anonymous true\nmax_inflight_messages 3",
        "",
        Config {
            receive_maximum: 3,
            ..on_pubrel()
        },
    );
    let a = client(&mut duel, Version::V5, "a");
    for id in 1..=3 {
        duel.send(a, Packet::Publish(publish("t", Qos::ExactlyOnce, id)));
    }
    duel.send(a, ack(Packet::PubRel, 1));
    duel.send(a, Packet::Publish(publish("t", Qos::ExactlyOnce, 4)));
}
