//! What is due is done and told although nothing else happens.

use crate::common::raw::{CONNACK, Raw};
use crate::common::{End, Rig, Seen, Setup, at, options};
use aldis_mqtt::{
    Cause, Dropped, Options, Publication, PublicationId, QoS, ReasonCode, SubscribeOptions,
    Timeouts, Version,
};

use QoS::AtLeastOnce as One;

fn ends(rig: &Rig, id: PublicationId) -> Vec<End> {
    rig.book.iter().find(|b| b.id == id).unwrap().ends.clone()
}

/// A publication that the broker's limits forbid is found out when it is its turn. Nothing is
/// written then, so a driver would sleep over the event, without keep-alive for ever.
#[test]
fn what_cannot_be_sent_is_told_at_once() {
    let mut raw = Raw::new(Options {
        keep_alive_s: 0,
        ..options(Version::V5)
    });
    // Retain is not available.
    raw.connect(&[0x20, 5, 0, 0, 2, 37, 0]);
    raw.wait(40_000);
    let publication = Publication::new("t", b"x").qos(One).retained();
    let published = raw.session.publish(&publication, at(raw.now)).unwrap();
    assert_eq!(raw.events(), []);
    assert_eq!(raw.sent(), []);
    assert!(raw.session.deadline() <= at(raw.now), "a driver sleeps");
    let why = Dropped::Refused(ReasonCode::RETAIN_NOT_SUPPORTED);
    assert_eq!(raw.events(), [Seen::Dropped(published.id, why)]);
}

/// The clock may go on between looking for what happened and looking for what is to be sent.
#[test]
fn what_expires_between_two_calls_lets_go_what_stands_behind_it() {
    let mut raw = Raw::new(Options {
        in_flight: 1,
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    raw.publish("t", One);
    let short = Publication::new("t", b"2").qos(One).expires(1);
    raw.session.publish(&short, at(raw.now)).unwrap();
    let subscribed = raw
        .session
        .subscribe("in", SubscribeOptions::default(), None);
    subscribed.unwrap();
    raw.events();
    raw.sent();
    raw.now += 1_000;
    let mut sent = raw.sent();
    raw.events();
    sent.extend(raw.sent());
    assert_eq!(sent.first(), Some(&0x82), "SUBSCRIBE waits for no quota");
}

/// A bound of nothing is no reason to look without end for what cannot have come.
#[test]
fn an_answer_that_may_take_no_time_is_no_endless_loop() {
    let mut raw = Raw::new(Options {
        timeouts: Timeouts {
            answer_ms: 0,
            ..Timeouts::default()
        },
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    for id in 1..=33u8 {
        raw.receive(&[0x32, 6, 0, 1, b'a', 0, id, 0]);
    }
    raw.publish("t", One);
    raw.sent();
    // It would not come back.
    raw.events();
    assert!(raw.session.deadline() > at(raw.now));
}

/// An answer has longer than what expires in five seconds.
fn patient() -> Options<'static> {
    Options {
        timeouts: Timeouts {
            answer_ms: 7_000,
            ..Timeouts::default()
        },
        ..options(Version::V5)
    }
}

/// The time of a publication that was going out passes while nobody may tell it.
#[test]
fn what_expired_while_it_went_out_is_told_when_the_connection_is_gone() {
    let mut rig = Setup::with(patient()).connected();
    rig.allowance = Some(3);
    let short = Publication::new("t", b"x").qos(One).expires(5);
    let id = rig.publish(&short).unwrap();
    rig.settle();
    rig.advance(6_000);
    assert_eq!(rig.lost(), None);
    rig.reachable = false;
    rig.sever();
    rig.advance(24 * 3_600_000);
    assert_eq!(ends(&rig, id), [End::Dropped(Dropped::Expired)]);
}

/// What was under way has no time to keep; in a new session it has again.
#[test]
fn what_is_to_be_sent_again_as_new_expires_again() {
    let mut rig = Setup::with(patient()).connected();
    let connect = rig.sent;
    rig.deaf = true;
    let long = Publication::new("t", b"a").qos(One).expires(100);
    let long = rig.publish(&long).unwrap();
    let short = Publication::new("t", b"b").qos(One).expires(5);
    rig.publish(&short).unwrap();
    rig.settle();
    // The timer has run, and both are under way.
    rig.advance(6_000);
    assert_eq!(rig.lost(), None);
    rig.sever();
    rig.broker.forget("client");
    rig.deaf = false;
    rig.allowance = Some(connect + 3);
    rig.advance(5_000);
    rig.reachable = false;
    rig.sever();
    rig.advance(24 * 3_600_000);
    assert_eq!(ends(&rig, long), [End::Dropped(Dropped::Expired)]);
}

/// DISCONNECT could not be written: the application hears of its own stop all the same, not of a
/// silent broker.
#[test]
fn a_stop_that_cannot_be_told_to_the_broker_is_a_stop() {
    let mut raw = Raw::new(Options {
        timeouts: Timeouts {
            answer_ms: 2_000,
            ..Timeouts::default()
        },
        ..options(Version::V5)
    });
    raw.connect(CONNACK);
    raw.publish("t", One);
    let len = raw.session.transmit(at(raw.now)).unwrap().len();
    raw.session.transmitted(1, at(raw.now));
    raw.session.stop(at(raw.now));
    raw.session.transmitted(len - 1, at(raw.now));
    raw.events();
    while !raw.session.is_stopped() {
        let _ = raw.session.transmit(at(raw.now));
        raw.now = raw.session.deadline().as_millis();
        raw.events();
    }
    let (_, last) = raw.seen.last().unwrap();
    assert_eq!(*last, Seen::Disconnected(Cause::Stopped));
}
