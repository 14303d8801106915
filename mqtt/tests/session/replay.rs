//! Each conversation again, with the connection cut at every byte, and in every fragmentation.

use crate::common::{Chunks, Cut, End, Rig, Rng, Seen};
use crate::conversations::{self as talks, Talk};
use aldis_mqtt::{Dropped, QoS, Version};
use aldis_world::broker::Qos2Method;
use std::collections::BTreeMap;

/// How the broker treats a lost connection and QoS 2.
#[derive(Clone, Copy, Debug)]
struct Habits {
    version: Version,
    method: Qos2Method,
}

const HABITS: [Habits; 4] = [
    Habits {
        version: Version::V5,
        method: Qos2Method::OnPublish,
    },
    Habits {
        version: Version::V5,
        method: Qos2Method::OnPubRel,
    },
    Habits {
        version: Version::V4,
        method: Qos2Method::OnPublish,
    },
    Habits {
        version: Version::V4,
        method: Qos2Method::OnPubRel,
    },
];

fn rig(talk: &Talk, habits: Habits) -> Rig {
    let mut setup = (talk.setup)(habits.version);
    setup.config.qos2_method = habits.method;
    setup.rig()
}

/// The conversation over a connection that holds.
fn whole(talk: &Talk, habits: Habits) -> Rig {
    let mut rig = rig(talk, habits);
    (talk.run)(&mut rig);
    check(&mut rig, talk, false);
    rig
}

fn cut_everywhere(talk: Talk) {
    for habits in HABITS {
        let mut reference = rig(&talk, habits);
        (talk.run)(&mut reference);
        for (up, bytes) in [(true, reference.sent), (false, reference.received)] {
            for after in 0..bytes {
                for (forget, again) in [(false, false), (true, false), (false, true), (true, true)]
                {
                    let cut = Cut {
                        up,
                        after,
                        forget,
                        again,
                    };
                    let context = Context(habits, cut);
                    let mut rig = rig(&talk, habits);
                    rig.cut = Some(cut);
                    (talk.run)(&mut rig);
                    assert!(
                        rig.until(100_000, |rig| rig.cut.is_none()),
                        "it was not cut"
                    );
                    rig.connect();
                    rig.advance(1_000);
                    check(&mut rig, &talk, forget);
                    core::mem::forget(context);
                }
            }
        }
    }
}

/// Says which run it was when a check fails.
struct Context(Habits, Cut);

impl Drop for Context {
    fn drop(&mut self) {
        eprintln!("with {:?} and {:?}", self.0, self.1);
    }
}

/// Promises 1, 2 and 5.
fn check(rig: &mut Rig, talk: &Talk, forgot: bool) {
    assert!(
        !rig.causes()
            .iter()
            .any(|cause| matches!(cause, aldis_mqtt::Cause::Protocol(_))),
        "somebody broke the protocol: {:?}",
        rig.seen
    );
    every_end_is_told_once_and_true(rig, talk, forgot);
    topics_keep_their_order(rig);
    if !forgot {
        messages_come_as_often_as_they_should(rig);
    }
    no_message_at_qos_2_comes_twice(rig);
    subscriptions_hold(rig, talk);
}

fn every_end_is_told_once_and_true(rig: &Rig, talk: &Talk, forgot: bool) {
    let unsure = rig.again;
    let accepted = rig.accepted_by_topic();
    for booked in &rig.book {
        if booked.qos == QoS::AtMostOnce {
            assert_eq!(booked.ends, []);
            continue;
        }
        let count = accepted
            .get(&(booked.topic.clone(), booked.payload.clone()))
            .copied()
            .unwrap_or(0);
        match booked.ends[..] {
            [End::Delivered(reason)] => {
                assert!(count > 0, "told as delivered, and was not: {booked:?}");
                assert!(
                    reason.0 < 0x80 || (booked.qos == QoS::ExactlyOnce),
                    "{booked:?}"
                );
                let twice = booked.qos == QoS::ExactlyOnce && !forgot && count != 1;
                assert!(!twice, "{count} times: {booked:?}");
            }
            // After a lost CONNACK nobody can tell.
            [End::Dropped(Dropped::SessionLost)] if forgot || unsure => {
                assert_eq!(booked.qos, QoS::ExactlyOnce);
            }
            [End::Superseded] if talk.loses => assert_eq!(count, 0, "{booked:?}"),
            [End::Dropped(Dropped::Expired)] if talk.loses => assert_eq!(count, 0, "{booked:?}"),
            _ => panic!("{booked:?}"),
        }
    }
    assert_eq!(rig.session.pending(), 0);
}

/// By the first time that each came, at one QoS.
fn topics_keep_their_order(rig: &Rig) {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for accepted in rig.broker.log() {
            let place = rig.book.iter().position(|booked| {
                (&booked.topic, &booked.payload, booked.qos)
                    == (&accepted.topic, &accepted.payload, qos)
            });
            let places = topics.entry(&accepted.topic).or_default();
            if let Some(place) = place.filter(|place| !places.contains(place)) {
                places.push(place);
            }
        }
        for (topic, places) in topics {
            assert!(places.is_sorted(), "{topic}: {places:?}");
        }
        let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for message in rig.messages() {
            let place = rig.from_others.iter().position(|(topic, payload, at)| {
                (topic, payload, *at) == (&message.topic, &message.payload, qos)
            });
            let places = topics.entry(&message.topic).or_default();
            if let Some(place) = place.filter(|place| !places.contains(place)) {
                places.push(place);
            }
        }
        for (topic, places) in topics {
            assert!(places.is_sorted(), "{topic}: {places:?}");
        }
    }
}

fn count(rig: &Rig, topic: &str, payload: &[u8]) -> usize {
    rig.messages()
        .filter(|message| message.topic == topic && message.payload == payload)
        .count()
}

fn messages_come_as_often_as_they_should(rig: &Rig) {
    for (topic, payload, qos) in &rig.from_others {
        let count = count(rig, topic, payload);
        match qos {
            QoS::AtMostOnce => assert!(count <= 1),
            QoS::AtLeastOnce => assert!(count >= 1, "{topic} {payload:?} got lost"),
            QoS::ExactlyOnce => assert_eq!(count, 1, "{topic} {payload:?}"),
        }
    }
}

fn no_message_at_qos_2_comes_twice(rig: &Rig) {
    for (topic, payload, qos) in &rig.from_others {
        assert!(*qos != QoS::ExactlyOnce || count(rig, topic, payload) <= 1);
    }
}

fn subscriptions_hold(rig: &mut Rig, talk: &Talk) {
    let held = rig.broker.session("client").map(|s| s.subscriptions);
    let held: Vec<String> = held
        .unwrap_or_default()
        .into_iter()
        .map(|(filter, _)| filter)
        .collect();
    assert_eq!(held, talk.filters, "{:?}", rig.seen);
    if !talk.filters.is_empty() {
        let topic = if held[0].ends_with('y') {
            "in/y"
        } else {
            "in/x"
        };
        rig.other(topic, b"probe", QoS::ExactlyOnce);
        assert_eq!(count(rig, topic, b"probe"), 1, "{:?}", rig.seen);
    }
}

/// Without tokens, which differ from connection to connection.
fn told(rig: &Rig) -> Vec<Seen> {
    let mut events = rig.events();
    for event in &mut events {
        if let Seen::Message(message) = event {
            message.token = None;
        }
    }
    events
}

/// Each kind of event by itself: how the directions interleave is chance.
fn told_by_kind(rig: &Rig) -> BTreeMap<u8, Vec<String>> {
    let mut kinds: BTreeMap<u8, Vec<String>> = BTreeMap::new();
    for event in told(rig) {
        let kind = match &event {
            Seen::Connected { .. } | Seen::Disconnected(_) => 0,
            Seen::Message(_) | Seen::Oversized(..) => 1,
            Seen::Delivered(id, _) | Seen::Dropped(id, _) => {
                let qos = rig.book.iter().find(|booked| booked.id == *id);
                2 + qos.map_or(0, |booked| booked.qos.bits())
            }
            Seen::Subscribed(..) | Seen::Unsubscribed(..) => 5,
        };
        kinds.entry(kind).or_default().push(format!("{event:?}"));
    }
    kinds
}

fn fragment(talk: Talk) {
    for habits in HABITS {
        let reference = whole(&talk, habits);
        let mut bytewise = rig(&talk, habits);
        bytewise.chunks = Chunks::Bytes;
        (talk.run)(&mut bytewise);
        check(&mut bytewise, &talk, false);
        assert_eq!(
            told_by_kind(&bytewise),
            told_by_kind(&reference),
            "{habits:?}"
        );
        for seed in 0..30 {
            let mut random = rig(&talk, habits);
            random.chunks = Chunks::Random(Rng(seed));
            (talk.run)(&mut random);
            check(&mut random, &talk, false);
            assert_eq!(
                told_by_kind(&random),
                told_by_kind(&reference),
                "{habits:?}, seed {seed}"
            );
        }
    }
}

macro_rules! replay {
    ($($name:ident = $talk:ident;)*) => {
        $(
            mod $name {
                use super::*;

                #[test]
                fn survives_a_cut_at_every_byte() {
                    cut_everywhere(talks::$talk);
                }

                #[test]
                fn gives_the_same_events_in_any_fragmentation() {
                    fragment(talks::$talk);
                }
            }
        )*
    };
}

replay! {
    publishing = PUBLISHING;
    backlog = BACKLOG;
    receiving = RECEIVING;
    both_ways = BOTH_WAYS;
    large_and_small = LARGE_AND_SMALL;
    unsubscribing = UNSUBSCRIBING;
    will = WILL;
    aliases = ALIASES;
    flow_control = FLOW_CONTROL;
    resumption = RESUMPTION;
    latest = LATEST;
    expiry = EXPIRY;
    properties = PROPERTIES;
}
