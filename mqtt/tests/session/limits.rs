//! What the broker allows.

use crate::common::raw::Raw;
use crate::common::{End, Rig, Seen, Setup, at, leak, options};
use aldis_mqtt::wire::Property;
use aldis_mqtt::{
    Buffers, Cause, Dropped, Options, Publication, PublicationId, PublishError, QoS, ReasonCode,
    SubscribeError, SubscribeOptions, Version,
};
use aldis_world::broker::Config;
use aldis_world::broker::codec::{Packet, PacketType, Qos};

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

const BOTH: [Version; 2] = [Version::V4, Version::V5];

fn rig(change: impl Fn(&mut Config)) -> Rig {
    let mut setup = Setup::new(Version::V5);
    change(&mut setup.config);
    setup.connected()
}

fn refused(code: ReasonCode) -> Vec<End> {
    vec![End::Dropped(Dropped::Refused(code))]
}

fn end_of(rig: &Rig, id: PublicationId) -> Vec<End> {
    rig.book.iter().find(|b| b.id == id).unwrap().ends.clone()
}

#[test]
fn the_receive_maximum_of_the_broker_is_kept() {
    for (allowed, ours, expected) in [(1, 32, 1), (3, 32, 3), (20, 2, 2), (20, 0, 1)] {
        let mut setup = Setup::with(Options {
            in_flight: ours,
            ..options(Version::V5)
        });
        setup.config.receive_maximum = allowed;
        let mut rig = setup.connected();
        rig.packets();
        rig.deaf = true;
        for index in 0..10u8 {
            rig.send("t", &[index], [One, Two][usize::from(index) % 2]);
        }
        rig.settle();
        assert_eq!(rig.packets().len(), expected);
        rig.deaf = false;
        rig.settle();
        assert!(rig.all_ended());
        assert_eq!(rig.causes(), []);
    }
}

#[test]
fn the_in_flight_option_holds_in_3_1_1_too() {
    let mut rig = Setup::with(Options {
        in_flight: 2,
        ..options(Version::V4)
    })
    .connected();
    rig.packets();
    rig.deaf = true;
    for _ in 0..5 {
        rig.send("t", b"x", One);
    }
    rig.settle();
    assert_eq!(rig.packets().len(), 2);
}

#[test]
fn our_receive_maximum_is_announced() {
    for (option, announced) in [(0, 1), (1, 1), (16, 16), (500, 32)] {
        let mut rig = Setup::with(Options {
            receive_maximum: option,
            ..options(Version::V5)
        })
        .connected();
        let Some(Packet::Connect(connect)) = rig.packets().into_iter().next() else {
            panic!("no CONNECT");
        };
        assert_eq!(connect.properties.receive_maximum, Some(announced));
    }
}

#[test]
fn packets_larger_than_the_broker_takes_are_reported_not_sent() {
    // PUBLISH: 2 for the header, 3 topic, 2 packet id, 1 properties.
    let mut rig = rig(|config| config.maximum_packet_size = Some(100));
    let fits = rig.send("t", &[b'x'; 92], One);
    let larger = Publication::new("t", &[b'x'; 93]).qos(One);
    // Known before it is taken, up to the length of the header.
    let taken = rig.publish(&larger);
    assert_eq!(
        rig.publish(&Publication::new("t", &[b'x'; 94]).qos(One)),
        Err(PublishError::TooLarge)
    );
    rig.settle();
    assert_eq!(end_of(&rig, fits).len(), 1);
    assert_eq!(
        end_of(&rig, taken.unwrap()),
        refused(ReasonCode::PACKET_TOO_LARGE)
    );
    assert_eq!(rig.broker.log().len(), 1);
    // What was taken before the limit was known.
    rig.sever();
    let backlog = rig.send("t", &[b'x'; 500], Two);
    let after = rig.send("t", b"y", One);
    rig.connect();
    rig.settle();
    assert_eq!(end_of(&rig, backlog), refused(ReasonCode::PACKET_TOO_LARGE));
    assert!(matches!(end_of(&rig, after)[..], [End::Delivered(_)]));
    assert_eq!(rig.causes().len(), 1);
}

#[test]
fn an_alias_does_not_make_a_packet_too_large() {
    for filler in 80..100 {
        let mut setup = Setup {
            aliases_out: 64,
            ..Setup::new(Version::V5)
        };
        setup.config.maximum_packet_size = Some(100);
        let mut rig = setup.connected();
        for _ in 0..2 {
            let payload = vec![b'x'; filler];
            let _ = rig.publish(&Publication::new("t", &payload).qos(One));
        }
        rig.settle();
        rig.send("t", b"y", One);
        rig.advance(100);
        assert_eq!(rig.causes(), [], "{filler}");
        assert!(rig.all_ended());
    }
}

#[test]
fn what_the_broker_does_not_support_is_reported_not_sent() {
    let mut rig = rig(|config| {
        config.maximum_qos = Qos::AtLeastOnce;
        config.retain_available = false;
    });
    rig.packets();
    let two = rig.send("t", b"x", Two);
    let retained = rig.publish(&Publication::new("t", b"x").qos(One).retained());
    let one = rig.send("t", b"x", One);
    rig.settle();
    assert_eq!(end_of(&rig, two), refused(ReasonCode::QOS_NOT_SUPPORTED));
    assert_eq!(
        end_of(&rig, retained.unwrap()),
        refused(ReasonCode::RETAIN_NOT_SUPPORTED)
    );
    assert!(matches!(end_of(&rig, one)[..], [End::Delivered(_)]));
    assert_eq!(rig.packets().len(), 1);
    assert_eq!(rig.session.pending(), 0);
    assert_eq!(rig.causes(), []);

    let mut rig = self::rig(|config| config.maximum_qos = Qos::AtMostOnce);
    let one = rig.send("t", b"x", One);
    rig.send("t", b"x", Zero);
    rig.settle();
    assert_eq!(end_of(&rig, one), refused(ReasonCode::QOS_NOT_SUPPORTED));
    assert_eq!(rig.broker.log().len(), 1);
}

#[test]
fn subscriptions_that_the_broker_does_not_support_are_reported_not_sent() {
    type Case = (fn(&mut Config), &'static str, Option<u32>, ReasonCode);
    let cases: [Case; 4] = [
        (
            |c| c.wildcards_available = false,
            "in/#",
            None,
            ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (
            |c| c.wildcards_available = false,
            "+/in",
            None,
            ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (
            |c| c.shared_available = false,
            "$share/group/in",
            None,
            ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
        ),
        (
            |c| c.subscription_ids_available = false,
            "in",
            Some(7),
            ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
        ),
    ];
    for (change, filter, identifier, reason) in cases {
        let mut rig = rig(change);
        rig.packets();
        let options = SubscribeOptions::default();
        rig.session.subscribe(filter, options, identifier).unwrap();
        rig.session.subscribe("plain", options, None).unwrap();
        rig.settle();
        let events = rig.take_events();
        assert!(
            events.contains(&Seen::Subscribed(filter.into(), Err(reason))),
            "{events:?}"
        );
        assert!(events.contains(&Seen::Subscribed("plain".into(), Ok(Zero))));
        assert_eq!(rig.packets().len(), 1);
        // A broker that has learned it gets it on the next connection.
        *rig.broker.config_mut() = Config {
            trace: true,
            ..Config::default()
        };
        rig.sever();
        rig.connect();
        rig.settle();
        assert!(
            rig.take_events()
                .contains(&Seen::Subscribed(filter.into(), Ok(Zero)))
        );
    }
}

#[test]
fn topic_aliases_are_used_as_far_as_the_broker_allows() {
    let mut setup = Setup {
        aliases_out: 64,
        ..Setup::new(Version::V5)
    };
    setup.config.topic_alias_maximum = 2;
    let mut rig = setup.connected();
    rig.packets();
    for _ in 0..2 {
        for topic in ["a", "b", "c"] {
            rig.send(topic, b"x", One);
        }
    }
    rig.settle();
    let used: Vec<(String, Option<u16>)> = rig
        .packets()
        .into_iter()
        .filter_map(|packet| match packet {
            Packet::Publish(publish) => Some((publish.topic, publish.properties.topic_alias)),
            _ => None,
        })
        .collect();
    let sent = |topic: &str, alias| (topic.to_string(), alias);
    assert_eq!(
        used,
        [
            sent("a", Some(1)),
            sent("b", Some(2)),
            sent("c", None),
            sent("", Some(1)),
            sent("", Some(2)),
            sent("c", None)
        ]
    );
    let topics: Vec<_> = rig.broker.log().iter().map(|a| a.topic.as_str()).collect();
    assert_eq!(topics, ["a", "b", "c", "a", "b", "c"]);
    // They end with the connection.
    rig.sever();
    rig.connect();
    rig.packets();
    rig.send("b", b"x", One);
    rig.settle();
    let packets = rig.packets();
    let Packet::Publish(publish) = &packets[0] else {
        panic!("{packets:?}");
    };
    assert_eq!(
        (publish.topic.as_str(), publish.properties.topic_alias),
        ("b", Some(1))
    );
}

#[test]
fn no_alias_is_used_where_none_is_allowed() {
    let mut setup = Setup {
        aliases_out: 64,
        ..Setup::new(Version::V5)
    };
    setup.config.topic_alias_maximum = 0;
    let mut rig = setup.connected();
    rig.send("a", b"x", One);
    rig.send("a", b"x", One);
    rig.settle();
    assert!(
        rig.broker
            .log()
            .iter()
            .all(|a| a.properties.topic_alias.is_none())
    );
    assert_eq!(rig.causes(), []);
}

#[test]
fn an_alias_goes_with_properties_of_any_size() {
    for len in [
        0, 1, 100, 110, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 300,
    ] {
        let value: &'static str = "v".repeat(len).leak();
        let properties = [Property::UserProperty("k", value)];
        let mut rig = Setup {
            aliases_out: 64,
            outbox: 8192,
            ..Setup::new(Version::V5)
        }
        .connected();
        for payload in [b"1", b"2", b"3"] {
            for qos in [Zero, One, Two] {
                let publication = Publication::new("topic", payload).qos(qos);
                rig.publish(&publication.with(&properties)).unwrap();
            }
        }
        rig.settle();
        assert_eq!(rig.causes(), []);
        assert_eq!(rig.broker.log().len(), 9);
        for accepted in rig.broker.log() {
            assert_eq!(accepted.topic, "topic");
            assert_eq!(accepted.payload.len(), 1);
            let user = vec![("k".to_string(), value.to_string())];
            assert_eq!(accepted.properties.user_properties, user);
        }
    }
}

#[test]
fn a_refused_publication_is_reported_with_the_reason() {
    let mut rig = rig(|config| config.deny_publish = vec!["secret".into()]);
    for qos in [One, Two] {
        let id = rig.send("secret", b"x", qos);
        rig.settle();
        assert_eq!(end_of(&rig, id), refused(ReasonCode::NOT_AUTHORIZED));
    }
    let id = rig.send("t", b"x", One);
    rig.settle();
    let nobody = End::Delivered(ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(end_of(&rig, id), [nobody]);
    assert_eq!(rig.session.pending(), 0);
}

#[test]
fn publications_that_cannot_be_are_refused_at_once() {
    let mut rig = Setup::new(Version::V5).connected();
    for topic in ["", "a/#", "+", "a\0"] {
        let publication = Publication::new(topic, b"x").qos(One);
        assert_eq!(rig.publish(&publication), Err(PublishError::InvalidTopic));
    }
    for property in [
        Property::TopicAlias(1),
        Property::MessageExpiryInterval(1),
        Property::SubscriptionIdentifier(1),
        Property::ReceiveMaximum(1),
    ] {
        let properties = [property];
        let publication = Publication::new("t", b"x").qos(One).with(&properties);
        assert_eq!(
            rig.publish(&publication),
            Err(PublishError::InvalidProperty)
        );
    }
    let options = SubscribeOptions::default();
    for filter in ["", "a#", "#/a", "a+/b", "$share/x"] {
        let refused = rig.session.subscribe(filter, options, None);
        assert_eq!(refused, Err(SubscribeError::InvalidFilter), "{filter}");
    }
    // One to 268,435,455: MQTT 5, 3.8.2.1.2.
    for identifier in [0, 268_435_456] {
        let refused = rig.session.subscribe("a", options, Some(identifier));
        assert_eq!(refused, Err(SubscribeError::InvalidFilter), "{identifier}");
    }
    let most = rig.session.subscribe("most", options, Some(268_435_455));
    assert_eq!(most, Ok(()));
    let unknown = rig.session.unsubscribe("a");
    assert_eq!(unknown, Err(SubscribeError::NotSubscribed));
    rig.subscribe("a", One);
    rig.session.unsubscribe("a").unwrap();
    assert_eq!(
        rig.session.unsubscribe("a"),
        Err(SubscribeError::NotSubscribed)
    );
}

#[test]
fn subscribing_again_replaces_the_options_and_takes_no_more_room() {
    for version in BOTH {
        let mut rig = Setup {
            outbox: 120,
            ..Setup::new(version)
        }
        .connected();
        for round in 0..100 {
            rig.subscribe("in", [One, Two][round % 2]);
            if round % 3 == 0 {
                rig.settle();
            }
        }
        rig.settle();
        let session = rig.broker.session("client").unwrap();
        assert_eq!(
            session.subscriptions,
            [("in".to_string(), Qos::ExactlyOnce)]
        );
        let last = rig.take_events().pop();
        assert_eq!(last, Some(Seen::Subscribed("in".into(), Ok(Two))));
        assert_eq!(rig.causes(), []);
    }
}

#[test]
fn a_subscription_that_is_replaced_while_it_goes_out_is_made_anew() {
    for version in BOTH {
        let mut rig = Setup::new(version).connected();
        rig.packets();
        rig.subscribe("in", One);
        rig.allowance = Some(4);
        rig.settle();
        rig.subscribe("in", Two);
        rig.allowance = None;
        rig.settle();
        let kinds: Vec<_> = rig.packets().iter().map(Packet::packet_type).collect();
        assert_eq!(kinds, [PacketType::Subscribe, PacketType::Subscribe]);
        let session = rig.broker.session("client").unwrap();
        assert_eq!(
            session.subscriptions,
            [("in".to_string(), Qos::ExactlyOnce)]
        );
        rig.advance(60_000);
        assert_eq!(rig.causes(), [], "it waits for an answer that came");
    }
}

#[test]
fn subscription_options_of_mqtt_5_are_not_sent_to_3_1_1() {
    let options = SubscribeOptions {
        qos: Two,
        no_local: true,
        retain_as_published: true,
        retain_handling: aldis_mqtt::RetainHandling::Never,
    };
    let mut raw = Raw::connected(Version::V4);
    raw.session.subscribe("f", options, None).unwrap();
    assert_eq!(raw.sent(), [0x82, 6, 0, 1, 0, 1, b'f', 2]);
    let mut raw = Raw::connected(Version::V5);
    raw.session.subscribe("f", options, None).unwrap();
    assert_eq!(raw.sent(), [0x82, 7, 0, 1, 0, 0, 1, b'f', 0x2e]);
}

#[test]
fn unsubscribing_holds_though_the_answer_got_lost() {
    for version in BOTH {
        for forget in [false, true] {
            let mut rig = Setup::new(version).connected();
            rig.subscribe("in", One);
            rig.settle();
            rig.broker.withhold(PacketType::UnsubAck, 0, 1);
            rig.session.unsubscribe("in").unwrap();
            rig.settle();
            rig.sever();
            if forget {
                rig.broker.forget("client");
            }
            rig.connect();
            rig.settle();
            assert_eq!(
                rig.take_events().last(),
                Some(&Seen::Unsubscribed("in".into()))
            );
            assert_eq!(rig.broker.session("client").unwrap().subscriptions, []);
        }
    }
}

#[test]
fn answers_that_nobody_asked_for_are_refused() {
    let mut raw = Raw::connected(Version::V5);
    let id = raw.publish("t", One);
    raw.sent();
    // PUBREC and PUBCOMP for QoS 1.
    raw.receive(&[0x50, 2, 0, 1]);
    assert_eq!(raw.sent(), [0xe0, 1, 0x82]);
    raw.events();
    raw.connect(crate::common::raw::CONNACK_PRESENT);
    raw.sent();
    let delivered = Seen::Delivered(id, ReasonCode::SUCCESS);
    assert_eq!(raw.receive(&[0x40, 2, 0, 1]), [delivered]);
    // Once more is no harm, nor is one of an unknown id.
    assert_eq!(raw.receive(&[0x40, 2, 0, 1]), []);
    assert_eq!(raw.receive(&[0x70, 2, 9, 9]), []);
    assert!(raw.session.is_connected());
    // An answer to what was never sent.
    let mut raw = Raw::connected(Version::V5);
    raw.publish("t", One);
    raw.receive(&[0x40, 2, 0, 1]);
    assert_eq!(raw.sent()[..3], [0xe0, 1, 0x82]);
    // PUBACK for QoS 2, and PUBCOMP before PUBREC.
    for answer in [[0x40, 2, 0, 1], [0x70, 2, 0, 1]] {
        let mut raw = Raw::connected(Version::V5);
        raw.publish("t", Two);
        raw.sent();
        raw.receive(&answer);
        assert_eq!(raw.sent(), [0xe0, 1, 0x82]);
    }
}

#[test]
fn a_suback_must_fit_its_subscribe() {
    for (answer, cause) in [
        (&[0x90, 3, 0, 1, 0][..], Some(0x82)),
        (&[0x90, 5, 0, 1, 0, 0, 0][..], Some(0x82)),
        (&[0x90, 4, 0, 1, 0, 3][..], Some(0x81)),
        (&[0x90, 4, 0, 0, 0, 0][..], Some(0x82)),
        (&[0x90, 4, 0, 7, 0, 0][..], None),
        (&[0xb0, 4, 0, 1, 0, 0][..], None),
    ] {
        let mut raw = Raw::connected(Version::V5);
        let options = SubscribeOptions::default();
        raw.session.subscribe("f", options, None).unwrap();
        raw.sent();
        assert_eq!(raw.receive(answer), []);
        let sent = raw.sent();
        match cause {
            Some(code) => assert_eq!(sent, [0xe0, 1, code], "{answer:x?}"),
            None => assert_eq!(sent, [], "{answer:x?}"),
        }
    }
}

#[test]
fn a_publication_says_how_long_it_is_worth_something() {
    let mut raw = Raw::with_buffers(
        options(Version::V5),
        Buffers::new(
            leak(256),
            leak(256),
            vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
        ),
    );
    raw.now = 500;
    let publication = Publication::new("t", b"x").qos(One).expires(10);
    raw.session.publish(&publication, at(raw.now)).unwrap();
    raw.now = 4_000;
    raw.connect(crate::common::raw::CONNACK);
    // Six and a half seconds are left.
    assert_eq!(
        raw.sent(),
        [0x32, 12, 0, 1, b't', 0, 1, 5, 2, 0, 0, 0, 6, b'x']
    );
    // And again, later: at least one.
    raw.now = 20_000;
    raw.cut();
    raw.connect(crate::common::raw::CONNACK_PRESENT);
    assert_eq!(
        raw.sent(),
        [0x3a, 12, 0, 1, b't', 0, 1, 5, 2, 0, 0, 0, 1, b'x']
    );
    assert_eq!(raw.session.pending(), 1);
}

#[test]
fn what_the_broker_may_have_at_qos_2_cannot_be_withdrawn() {
    let mut rig = Setup::new(Version::V5).connected();
    rig.deaf = true;
    let ids = [One, Two].map(|qos| rig.send("t", &[b'0' + qos.bits()], qos));
    rig.settle();
    assert_eq!(
        ids.map(|id| rig.session.withdraw(id)),
        [false, false],
        "connected"
    );
    rig.sever();
    assert_eq!(ids.map(|id| rig.session.withdraw(id)), [true, false]);
    rig.end(ids[0], End::Withdrawn);
    rig.deaf = false;
    rig.connect();
    rig.settle();
    assert!(rig.all_ended());
    assert_eq!(rig.broker.log().len(), 2, "nothing came again");
    assert_eq!(rig.session.pending(), 0);
}

#[test]
fn a_broker_that_keeps_sessions_shortly_is_told_everything_again() {
    let mut rig = rig(|config| config.maximum_session_expiry = 10);
    rig.subscribe("in", Two);
    rig.settle();
    for away in [5_000, 20_000] {
        rig.deaf = true;
        let id = rig.send("t", b"x", Two);
        rig.settle();
        rig.reachable = false;
        rig.sever();
        rig.advance(away);
        rig.reachable = true;
        rig.deaf = false;
        assert!(rig.until(200_000, |rig| rig.all_ended()));
        assert!(matches!(end_of(&rig, id)[..], [End::Delivered(_)]));
        rig.other("in", b"y", Two);
    }
    assert_eq!(rig.messages().count(), 2);
}

#[test]
fn flushed_means_that_nothing_is_left_to_write() {
    let mut rig = Setup::with(Options {
        in_flight: 1,
        ..options(Version::V5)
    })
    .connected();
    assert!(rig.session.is_flushed());
    rig.allowance = Some(3);
    rig.send("t", b"x", One);
    assert!(!rig.session.is_flushed(), "not begun");
    rig.settle();
    assert!(!rig.session.is_flushed(), "half written");
    rig.allowance = None;
    rig.deaf = true;
    rig.settle();
    assert!(rig.session.is_flushed(), "written, not acknowledged");
    rig.send("t", b"y", One);
    rig.settle();
    assert!(!rig.session.is_flushed(), "behind a full quota");
}

/// A program that acknowledges and leaves when all is flushed would get the message again.
#[test]
fn flushed_means_that_nothing_is_left_to_acknowledge() {
    for (qos, answer) in [(One, 0x40), (Two, 0x50)] {
        let mut raw = Raw::connected(Version::V5);
        let seen = raw.receive(&[0x30 | qos.bits() << 1, 6, 0, 1, b't', 0, 1, 0]);
        raw.sent();
        assert!(raw.session.is_flushed(), "the application has it");
        let [Seen::Message(message)] = &seen[..] else {
            panic!("{seen:?}");
        };
        raw.session.acknowledge(message.token.unwrap());
        assert!(!raw.session.is_flushed(), "{qos:?}");
        assert_eq!(raw.sent(), [answer, 2, 0, 1]);
        assert!(raw.session.is_flushed());
    }
}

/// A subscription needs no send quota; it waits for one only as long as something in front of it
/// does.
#[test]
fn what_stood_behind_a_withdrawn_publication_is_sent() {
    let mut rig = Setup::with(Options {
        in_flight: 1,
        ..options(Version::V5)
    })
    .connected();
    rig.deaf = true;
    rig.send("t", b"1", One);
    let waiting = rig.send("t", b"2", One);
    rig.subscribe("in", One);
    rig.settle();
    assert!(!rig.session.is_flushed());
    assert!(rig.session.withdraw(waiting));
    rig.settle();
    assert!(rig.session.is_flushed());
}

#[test]
fn what_expires_behind_a_full_quota_is_not_sent() {
    let mut rig = Setup::with(Options {
        in_flight: 1,
        // An answer has longer than the other publication.
        keep_alive_s: 0,
        timeouts: aldis_mqtt::Timeouts {
            answer_ms: 60_000,
            ..Default::default()
        },
        ..options(Version::V5)
    })
    .connected();
    rig.deaf = true;
    rig.send("t", b"1", One);
    let stale = rig
        .publish(&Publication::new("t", b"2").qos(One).expires(5))
        .unwrap();
    rig.advance(10_000);
    assert_eq!(end_of(&rig, stale), [End::Dropped(Dropped::Expired)]);
    rig.deaf = false;
    rig.settle();
    assert_eq!(rig.broker.log().len(), 1);
    assert_eq!(rig.causes(), [] as [Cause; 0]);
}

/// A publication would be taken back of which half is with the broker, or the
/// one behind it would not be found.
#[test]
fn what_is_going_out_is_not_unsent() {
    let mut raw = Raw::connected(Version::V5);
    // A subscription stands in front of them.
    let subscribed = raw
        .session
        .subscribe("f", SubscribeOptions::default(), None);
    subscribed.unwrap();
    raw.sent();
    let publication = Publication::new("t", b"x").qos(One);
    let ids: Vec<PublicationId> = (0..2)
        .map(|_| raw.session.publish(&publication, at(raw.now)).unwrap().id)
        .collect();
    assert_eq!(raw.session.oldest_unsent(), Some((ids[0], "t".into())));
    assert!(raw.session.transmit(at(raw.now)).is_some());
    raw.session.transmitted(1, at(raw.now));
    assert_eq!(raw.session.oldest_unsent(), Some((ids[1], "t".into())));
    assert!(!raw.session.withdraw(ids[0]));
    assert!(raw.session.withdraw(ids[1]));
    assert_eq!(raw.session.oldest_unsent(), None);
    assert_eq!(raw.sent(), [7, 0, 1, b't', 0, 2, 0, b'x']);
}

/// A broker may answer in another order than it was asked (MQTT-4.6.0), and twice where it is not
/// sure. An answer that is not found would leave its publication under way until the connection is
/// lost, and one that is taken for another's would end the connection.
#[test]
fn answers_are_found_in_any_order_and_passed_over_when_they_come_again() {
    let mut raw = Raw::connected(Version::V5);
    let ids: Vec<PublicationId> = (0..4).map(|_| raw.publish("t", One)).collect();
    raw.sent();
    for packet_id in [3, 1, 2, 1, 3, 4, 2, 4] {
        let events = raw.receive(&[0x40, 2, 0, packet_id]);
        let ends = raw.seen.iter().filter(|(_, seen)| {
            matches!(seen, Seen::Delivered(id, _) if *id == ids[usize::from(packet_id) - 1])
        });
        assert_eq!(ends.count(), 1, "{packet_id}: {events:?}");
        assert!(raw.session.is_connected());
    }
    assert_eq!(raw.session.pending(), 0);
}
