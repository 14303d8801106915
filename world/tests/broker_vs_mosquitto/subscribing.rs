//! Subscriptions, filters and retained messages.

use super::*;

#[test]
fn filters_match_the_same_topics() {
    for version in BOTH {
        let mut duel = Duel::new();
        let publisher = client(&mut duel, version, "publisher");
        let filters = [
            "#", "+", "+/+", "/+", "/#", "a/#", "a/+", "a/+/c", "+/b/#", "a/b/c", "a//c", "a/",
            "$x/#", "$x/+", "+/y",
        ];
        for (i, name) in filters.iter().enumerate() {
            let id = client(&mut duel, version, &format!("c{i}"));
            duel.send(id, subscribe([filter(name, Qos::AtMostOnce)]));
        }
        for topic in [
            "a", "b", "/", "/a", "a/", "a/b", "a/b/c", "a//c", "a/b/c/d", "$x/y", "$x", "A/b", " ",
        ] {
            duel.send(
                publisher,
                Packet::Publish(publish(topic, Qos::AtMostOnce, 0)),
            );
        }
    }
}

#[test]
fn several_filters_in_one_packet_and_their_end() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = client(&mut duel, version, "a");
        duel.send(
            a,
            subscribe(QOS.map(|qos| filter(&format!("t/{}", qos.number()), qos))),
        );
        duel.send(a, subscribe([filter("t/0", Qos::ExactlyOnce)]));
        duel.send(a, Packet::Publish(publish("t/0", Qos::AtLeastOnce, 1)));
        duel.send(a, unsubscribe(&["t/0", "nothing"]));
        duel.send(a, unsubscribe(&["t/0"]));
        duel.send(a, Packet::Publish(publish("t/0", Qos::AtLeastOnce, 2)));
    }
}

#[test]
fn retained_messages_are_set_replaced_and_deleted() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = client(&mut duel, version, "a");
        let b = client(&mut duel, version, "b");
        duel.send(b, subscribe([filter("r/#", Qos::AtLeastOnce)]));
        for (id, payload) in [(1, "one"), (2, "two"), (3, ""), (4, "three"), (5, "")] {
            duel.send(
                a,
                Packet::Publish(Publish {
                    retain: true,
                    payload: payload.into(),
                    ..publish("r/x", Qos::AtLeastOnce, id)
                }),
            );
            let late = client(&mut duel, version, &format!("late-{id}"));
            for granted in [Qos::AtMostOnce, Qos::AtLeastOnce] {
                duel.send(late, subscribe([filter("r/+", granted)]));
            }
        }
    }
}

#[test]
fn retain_handling_and_retain_as_published() {
    let mut duel = Duel::new();
    let a = client(&mut duel, Version::V5, "a");
    let retained = Publish {
        retain: true,
        ..publish("r", Qos::AtMostOnce, 0)
    };
    duel.send(a, Packet::Publish(retained.clone()));
    for retain_handling in 0..3 {
        for retain_as_published in [false, true] {
            let name = format!("b{retain_handling}{retain_as_published}");
            let b = client(&mut duel, Version::V5, &name);
            for _ in 0..2 {
                duel.send(
                    b,
                    subscribe([SubscribeFilter {
                        retain_handling,
                        retain_as_published,
                        ..filter("r", Qos::AtMostOnce)
                    }]),
                );
            }
        }
    }
    duel.send(a, Packet::Publish(retained));
    duel.send(a, Packet::Publish(publish("r", Qos::AtMostOnce, 0)));
}

#[test]
fn no_local_spares_the_publisher_only() {
    let mut duel = Duel::new();
    let a = client(&mut duel, Version::V5, "a");
    let b = client(&mut duel, Version::V5, "b");
    for id in [a, b] {
        duel.send(
            id,
            subscribe([SubscribeFilter {
                no_local: true,
                ..filter("t", Qos::AtLeastOnce)
            }]),
        );
    }
    duel.send(a, Packet::Publish(publish("t", Qos::AtLeastOnce, 1)));
    duel.send(b, Packet::Publish(publish("t", Qos::AtMostOnce, 0)));
}

#[test]
fn subscription_identifiers_come_with_what_they_caused() {
    let mut duel = Duel::new();
    let a = client(&mut duel, Version::V5, "a");
    for (id, name) in [(1, "t"), (268_435_455, "u"), (7, "t")] {
        let Packet::Subscribe(mut packet) = subscribe([filter(name, Qos::AtMostOnce)]) else {
            unreachable!()
        };
        packet.properties.subscription_identifiers = vec![id];
        duel.send(a, Packet::Subscribe(packet));
        for topic in ["t", "u"] {
            duel.send(a, Packet::Publish(publish(topic, Qos::AtMostOnce, 0)));
        }
    }
}

#[test]
fn shared_subscriptions_get_one_copy() {
    for version in BOTH {
        let mut duel = Duel::new();
        let a = client(&mut duel, version, "a");
        let b = client(&mut duel, version, "b");
        duel.send(b, subscribe([filter("$share/g/t/+", Qos::AtMostOnce)]));
        let c = client(&mut duel, version, "c");
        duel.send(c, subscribe([filter("$share/g/t/+", Qos::AtMostOnce)]));
        for _ in 0..4 {
            duel.send(a, Packet::Publish(publish("t/x", Qos::AtMostOnce, 0)));
        }
        duel.send(b, unsubscribe(&["$share/g/t/+"]));
        for _ in 0..2 {
            duel.send(a, Packet::Publish(publish("t/x", Qos::AtMostOnce, 0)));
        }
    }
}

/// One copy or several are permitted; mosquitto chooses by the version.
#[test]
fn overlapping_subscriptions() {
    for version in BOTH {
        let config = Config {
            copy_per_subscription: version == Version::V5,
            ..Config::default()
        };
        let mut duel = Duel::with("allow_anonymous true", "", config);
        let a = client(&mut duel, version, "a");
        duel.send(
            a,
            subscribe([filter("t", Qos::AtLeastOnce), filter("#", Qos::AtLeastOnce)]),
        );
        duel.send(a, Packet::Publish(publish("t", Qos::AtLeastOnce, 1)));
    }
}
