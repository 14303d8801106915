//! What clients and brokers talk about. Each conversation must reach its end over any connection,
//! so it waits for what it asked for and leaves the rest to the checks of [`super::replay`].

use crate::common::{Rig, Seen, Setup};
use aldis_mqtt::wire::Property;
use aldis_mqtt::{Options, Publication, QoS, SubscribeOptions, Version, Will};

use QoS::{AtLeastOnce as One, AtMostOnce as Zero, ExactlyOnce as Two};

/// A conversation and what it needs.
#[derive(Clone, Copy)]
pub struct Talk {
    pub setup: fn(Version) -> Setup,
    pub run: fn(&mut Rig),
    /// What it has subscribed to when it ends.
    pub filters: &'static [&'static str],
    /// Whether publications may end as dropped or superseded.
    pub loses: bool,
}

const PATIENCE_MS: u64 = 3_600_000;

impl Talk {
    const fn new(run: fn(&mut Rig), filters: &'static [&'static str]) -> Self {
        Self {
            setup: Setup::new,
            run,
            filters,
            loses: false,
        }
    }
}

fn wait(rig: &mut Rig, what: &str, done: impl Fn(&Rig) -> bool) {
    assert!(
        rig.until(PATIENCE_MS, done),
        "no end of {what}: {:?}",
        rig.seen
    );
}

/// Subscribes and waits until the broker holds it.
fn subscribe(rig: &mut Rig, filter: &'static str, qos: QoS) {
    rig.subscribe(filter, qos);
    wait(rig, "subscribing", |rig| holds(rig, filter));
}

fn holds(rig: &Rig, filter: &str) -> bool {
    let held = rig.broker.session(rig.client_id());
    held.is_some_and(|session| session.subscriptions.iter().any(|(held, _)| held == filter))
}

fn publish(rig: &mut Rig, publication: &Publication<'_>) {
    if publication.qos == Zero {
        // Without a connection it is refused, as it should be.
        let _ = rig.publish(publication);
    } else {
        rig.publish(publication).unwrap();
    }
    rig.settle();
}

fn finish(rig: &mut Rig) {
    wait(rig, "publishing", |rig| {
        rig.all_ended() && rig.session.pending() == 0 && rig.session.is_connected()
    });
}

/// One publication at each QoS, and two more of the topic.
fn publishing(rig: &mut Rig) {
    rig.connect();
    for (payload, qos) in [("a", Zero), ("b", One), ("c", Two), ("d", One), ("e", Two)] {
        publish(rig, &Publication::new("out/x", payload.as_bytes()).qos(qos));
    }
    finish(rig);
}

/// Publications that were made before there was any connection.
fn backlog(rig: &mut Rig) {
    for (payload, qos) in [("a", One), ("b", Two), ("c", Two), ("d", One)] {
        publish(rig, &Publication::new("out/x", payload.as_bytes()).qos(qos));
    }
    publish(rig, &Publication::new("out/y", b"e").qos(Two).retained());
    finish(rig);
}

/// Messages at each QoS from others.
fn receiving(rig: &mut Rig) {
    subscribe(rig, "in/#", Two);
    for (payload, qos) in [("a", Zero), ("b", One), ("c", Two), ("d", Two), ("e", One)] {
        rig.other("in/x", payload.as_bytes(), qos);
    }
    rig.advance(1_000);
    finish(rig);
}

/// Both directions at once.
fn both_ways(rig: &mut Rig) {
    subscribe(rig, "in/+", Two);
    for (payload, qos) in [("a", One), ("b", Two), ("c", Two)] {
        publish(rig, &Publication::new("out/x", payload.as_bytes()).qos(qos));
        rig.other("in/x", payload.as_bytes(), qos);
    }
    finish(rig);
}

/// Large ones and empty ones.
fn large_and_small(rig: &mut Rig) {
    subscribe(rig, "in/x", Two);
    let large = [b'L'; 300];
    publish(rig, &Publication::new("out/x", &large).qos(One));
    publish(rig, &Publication::new("out/x", &[]).qos(Two));
    rig.other("in/x", &large, Two);
    rig.other("in/x", &[], One);
    finish(rig);
}

/// Subscribing, ending that, subscribing again.
fn unsubscribing(rig: &mut Rig) {
    subscribe(rig, "in/x", One);
    subscribe(rig, "in/y", Two);
    rig.session.unsubscribe("in/x").unwrap();
    wait(rig, "unsubscribing", |rig| {
        rig.events().contains(&Seen::Unsubscribed("in/x".into()))
    });
    assert!(!holds(rig, "in/x"));
    rig.other("in/y", b"a", Two);
    finish(rig);
}

fn with_will(version: Version) -> Setup {
    let base = Setup::new(version).options;
    let will = Will {
        topic: "status",
        payload: b"offline",
        qos: One,
        retain: true,
        properties: Default::default(),
    };
    Setup::with(Options {
        will: Some(will),
        username: Some("user"),
        password: Some(b"password"),
        ..base
    })
}

/// A will, and a birth on the same topic.
fn will(rig: &mut Rig) {
    rig.connect();
    publish(
        rig,
        &Publication::new("status", b"online").qos(One).retained(),
    );
    finish(rig);
    let now = aldis_mqtt::Instant::from_millis(rig.now);
    rig.session.stop(now);
    wait(rig, "stopping", |rig| rig.session.is_stopped());
    rig.session.start(now);
    rig.connect();
    finish(rig);
}

fn with_aliases(version: Version) -> Setup {
    let mut setup = Setup {
        aliases_in: 64,
        aliases_out: 24,
        ..Setup::new(version)
    };
    setup.config.assign_topic_aliases = true;
    setup.config.topic_alias_maximum = 3;
    setup
}

/// Topic aliases in both directions, more topics than there is room for.
fn aliases(rig: &mut Rig) {
    subscribe(rig, "in/#", Two);
    for round in ["1", "2"] {
        for (topic, other) in [("out/a", "in/a"), ("out/b", "in/b"), ("out/c", "in/c")] {
            let payload = format!("{topic}{round}");
            publish(rig, &Publication::new(topic, payload.as_bytes()).qos(Two));
            rig.other(other, payload.as_bytes(), One);
        }
    }
    finish(rig);
}

fn one_at_a_time(version: Version) -> Setup {
    let base = Setup::new(version).options;
    let mut setup = Setup::with(Options {
        receive_maximum: 1,
        in_flight: 1,
        ..base
    });
    setup.config.receive_maximum = 1;
    setup.config.inflight_limit = 1;
    setup
}

/// One publication under way at a time, in both directions.
fn flow_control(rig: &mut Rig) {
    subscribe(rig, "in/x", Two);
    for (payload, qos) in [("a", Two), ("b", One), ("c", Two)] {
        rig.publish(&Publication::new("out/x", payload.as_bytes()).qos(qos))
            .unwrap();
        rig.broker.publish(
            aldis_world::broker::Message::new(
                "in/x",
                payload.as_bytes(),
                aldis_world::broker::codec::Qos::from_number(qos.bits()).unwrap(),
            ),
            rig.now,
        );
        rig.from_others
            .push(("in/x".into(), payload.as_bytes().into(), qos));
    }
    rig.settle();
    finish(rig);
}

/// A connection that breaks by itself, with messages waiting on either side.
fn resumption(rig: &mut Rig) {
    subscribe(rig, "in/x", Two);
    rig.send("out/x", b"a", Two);
    rig.send("out/x", b"b", One);
    rig.sever();
    rig.send("out/x", b"c", Two);
    rig.other("in/x", b"a", Two);
    rig.other("in/x", b"b", One);
    finish(rig);
}

/// The latest of a topic takes the place of those that were not sent.
fn latest(rig: &mut Rig) {
    for payload in ["a", "b", "c"] {
        let publication = Publication::new("state", payload.as_bytes()).qos(One);
        publish(rig, &publication.latest().retained());
        publish(rig, &Publication::new("out/x", payload.as_bytes()).qos(Two));
    }
    finish(rig);
    let state = rig.broker.retained("state").map(|m| m.payload.clone());
    assert_eq!(state.as_deref(), Some(&b"c"[..]));
}

/// Publications that are worth nothing after a while.
fn expiry(rig: &mut Rig) {
    rig.reachable = false;
    publish(rig, &Publication::new("out/x", b"old").qos(One).expires(5));
    rig.advance(10_000);
    rig.reachable = true;
    publish(rig, &Publication::new("out/x", b"a").qos(Two).expires(900));
    publish(rig, &Publication::new("out/x", b"b").qos(One).expires(900));
    finish(rig);
}

/// A request with its answer, and other properties of MQTT 5.
fn properties(rig: &mut Rig) {
    let options = SubscribeOptions {
        qos: Two,
        no_local: true,
        ..SubscribeOptions::default()
    };
    rig.session.subscribe("in/x", options, Some(7)).unwrap();
    wait(rig, "subscribing", |rig| holds(rig, "in/x"));
    let request = [
        Property::ResponseTopic("in/x"),
        Property::CorrelationData(b"17"),
        Property::UserProperty("name", "value"),
        Property::ContentType("text/plain"),
    ];
    publish(
        rig,
        &Publication::new("out/x", b"a").qos(Two).with(&request),
    );
    rig.other("in/x", b"b", Two);
    finish(rig);
}

pub const PUBLISHING: Talk = Talk::new(publishing, &[]);
pub const BACKLOG: Talk = Talk::new(backlog, &[]);
pub const RECEIVING: Talk = Talk::new(receiving, &["in/#"]);
pub const BOTH_WAYS: Talk = Talk::new(both_ways, &["in/+"]);
pub const LARGE_AND_SMALL: Talk = Talk::new(large_and_small, &["in/x"]);
pub const UNSUBSCRIBING: Talk = Talk::new(unsubscribing, &["in/y"]);
pub const WILL: Talk = Talk {
    setup: with_will,
    ..Talk::new(will, &[])
};
pub const ALIASES: Talk = Talk {
    setup: with_aliases,
    ..Talk::new(aliases, &["in/#"])
};
pub const FLOW_CONTROL: Talk = Talk {
    setup: one_at_a_time,
    ..Talk::new(flow_control, &["in/x"])
};
pub const RESUMPTION: Talk = Talk::new(resumption, &["in/x"]);
pub const LATEST: Talk = Talk {
    loses: true,
    ..Talk::new(latest, &[])
};
pub const EXPIRY: Talk = Talk {
    loses: true,
    ..Talk::new(expiry, &[])
};
pub const PROPERTIES: Talk = Talk::new(properties, &["in/x"]);
