//! The project's own client session on the embedded broker, in both versions.

mod common;
#[path = "../../mqtt/tests/support/mod.rs"]
mod support;

use aldis_hub::{Access, Action, RunningHub};
use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{
    Backoff, Buffers, Cause, Dropped, Event, Options, Publication, QoS, ReasonCode, Session, Slot,
    SubscribeOptions, Version, Versions,
};
use common::{allow, hub, hub_with, user};
use support::{TestLink, until};

const BOTH: [Version; 2] = [Version::V4, Version::V5];
const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn options(version: Version, client_id: &'static str) -> Options<'static> {
    Options {
        versions: Versions::Only(version),
        backoff: Backoff {
            base_ms: 20,
            cap_ms: 100,
            ..Backoff::default()
        },
        ..Options::new(client_id)
    }
}

fn link(hub: &RunningHub, options: Options<'static>) -> TestLink {
    support::link(hub.mqtt_addr().port(), options)
}

fn subscription(qos: QoS) -> SubscribeOptions {
    SubscribeOptions {
        qos,
        ..SubscribeOptions::default()
    }
}

async fn subscribed(link: &mut TestLink) {
    let is = |event: &Event<'_>| matches!(event, Event::Subscribed { result: Ok(_), .. });
    until(link, |event| is(event).then_some(())).await;
}

/// A packet that one side writes and the other reads differently.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_qos_come_back() {
    let hub = hub().await;
    for version in BOTH {
        let mut link = link(&hub, options(version, "echo"));
        let session = link.session();
        session
            .subscribe("back/#", subscription(QoS::ExactlyOnce), None)
            .expect("there is room");
        subscribed(&mut link).await;
        for qos in ALL {
            let (session, now) = link.parts();
            let publication = Publication::new("back/to", b"payload").qos(qos);
            session.publish(&publication, now).expect("there is room");
            let mut back = false;
            let mut done = qos == QoS::AtMostOnce;
            until(&mut link, |event| {
                match event {
                    Event::Message(message) => {
                        assert!(!back, "{version:?} {qos:?}: twice");
                        assert_eq!((message.payload, message.qos), (&b"payload"[..], qos));
                        back = true;
                    }
                    Event::Delivered { .. } => done = true,
                    _ => {}
                }
                (back && done).then_some(())
            })
            .await;
        }
    }
    hub.shutdown().await;
}

/// What waits for a client that was away is lost, out of order or twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_waits_for_a_client_that_was_away() {
    const COUNT: u32 = 100;
    let hub = hub().await;
    for version in BOTH {
        let mut receiver = link(&hub, options(version, "receiver"));
        let session = receiver.session();
        session
            .subscribe("queue", subscription(QoS::ExactlyOnce), None)
            .expect("there is room");
        subscribed(&mut receiver).await;
        let (session, now) = receiver.parts();
        session.stop(now);
        let stopped = |event: &Event<'_>| matches!(event, Event::Disconnected { .. });
        until(&mut receiver, |event| stopped(event).then_some(())).await;

        let mut sender = link(&hub, options(version, "sender"));
        for number in 0..COUNT {
            let (session, now) = sender.parts();
            let payload = number.to_be_bytes();
            let publication = Publication::new("queue", &payload).qos(QoS::ExactlyOnce);
            session.publish(&publication, now).expect("there is room");
        }
        let mut delivered = 0;
        until(&mut sender, |event| {
            delivered += u32::from(matches!(event, Event::Delivered { .. }));
            (delivered == COUNT).then_some(())
        })
        .await;

        let (session, now) = receiver.parts();
        session.start(now);
        let mut next = 0u32;
        until(&mut receiver, |event| {
            if let Event::Message(message) = event {
                assert_eq!(message.payload, next.to_be_bytes(), "{version:?}");
                next += 1;
            }
            (next == COUNT).then_some(())
        })
        .await;
    }
    hub.shutdown().await;
}

/// A message that is larger than a client takes ends its connection, again and again; or one
/// that just fits does not come.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_a_client_is_left_out() {
    const MOST: usize = 1_024;
    let hub = hub().await;
    for version in BOTH {
        for qos in ALL {
            let connector = TcpConnector::new("127.0.0.1", hub.mqtt_addr().port());
            let slots = vec![Slot::EMPTY; 64].leak();
            let buffers = Buffers::new(vec![0; MOST].leak(), vec![0; MOST].leak(), slots);
            let clock = TokioClock::new();
            let session = Session::new(options(version, "small"), buffers, 1, clock.now());
            let mut small = Link::new(session.unwrap(), connector, clock).gather(&mut []);
            let subscription = subscription(QoS::ExactlyOnce);
            small
                .session()
                .subscribe("sizes", subscription, None)
                .expect("there is room");
            subscribed(&mut small).await;

            let mut sender = link(&hub, options(version, "sender"));
            let connected = |event: &Event<'_>| matches!(event, Event::Connected { .. });
            until(&mut sender, |event| connected(event).then_some(())).await;
            let overhead = match (version, qos) {
                (Version::V4, QoS::AtMostOnce) => 10,
                (Version::V4, _) => 12,
                // The longest fixed header counts.
                (Version::V5, QoS::AtMostOnce) => 13,
                (Version::V5, _) => 15,
            };
            let fits = MOST - overhead;
            let lens = [1, fits - 1, fits, fits + 1, 2 * MOST, 20 * MOST, 2];
            for len in lens {
                let (session, now) = sender.parts();
                let payload = vec![b'x'; len];
                let publication = Publication::new("sizes", &payload).qos(qos);
                session.publish(&publication, now).expect("there is room");
            }
            let sending = async {
                loop {
                    let _ = sender.next().await;
                }
            };
            let mut came = Vec::new();
            let receiving = until(&mut small, |event| {
                match event {
                    Event::Message(message) => came.push(message.payload.len()),
                    Event::Disconnected { cause, .. } => panic!("{version:?} {qos:?}: {cause}"),
                    _ => {}
                }
                (came.last() == Some(&2)).then_some(())
            });
            tokio::select! {
                () = receiving => {}
                () = sending => {}
            }
            assert_eq!(came, [1, fits - 1, fits, 2], "{version:?} {qos:?}");
            let (session, now) = small.parts();
            session.stop(now);
            let stopped = |event: &Event<'_>| matches!(event, Event::Disconnected { .. });
            until(&mut small, |event| stopped(event).then_some(())).await;
        }
    }
    hub.shutdown().await;
}

/// Access rules that the client is not told of, or that end its connection for good.
#[tokio::test(flavor = "multi_thread")]
async fn access_rules_and_passwords_are_told() {
    let access = Access {
        users: vec![user("kitchen", "right")],
        rules: vec![
            allow(Some(Action::Publish), "open/#"),
            allow(Some(Action::Subscribe), "open/#"),
        ],
        ..Access::default()
    };
    let hub = hub_with(access).await;
    for version in BOTH {
        let with = |password| Options {
            username: Some("kitchen"),
            password: Some(password),
            ..options(version, "rules")
        };
        let mut wrong = link(&hub, with(b"wrong"));
        for _ in 0..2 {
            let reason = until(&mut wrong, |event| match event {
                Event::Disconnected {
                    cause: Cause::Refused(reason),
                    ..
                } => Some(*reason),
                _ => None,
            })
            .await;
            assert_eq!(reason, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        }
        let mut right = link(&hub, with(b"right"));
        let session = right.session();
        session
            .subscribe("closed/#", subscription(QoS::AtLeastOnce), None)
            .expect("there is room");
        let refused = until(&mut right, |event| match event {
            Event::Subscribed { result, .. } => Some(result.is_err()),
            _ => None,
        })
        .await;
        assert!(refused, "{version:?}");
        if version == Version::V5 {
            let (session, now) = right.parts();
            let closed = Publication::new("closed/t", b"x").qos(QoS::AtLeastOnce);
            let id = session.publish(&closed, now).expect("there is room").id;
            let reason = until(&mut right, |event| match event {
                Event::Dropped {
                    id: dropped,
                    reason,
                } if *dropped == id => Some(*reason),
                Event::Delivered { .. } => panic!("it was forbidden"),
                _ => None,
            })
            .await;
            assert_eq!(reason, Dropped::Refused(ReasonCode::NOT_AUTHORIZED));
        }
        let (session, now) = right.parts();
        let open = Publication::new("open/t", b"x").qos(QoS::ExactlyOnce);
        session.publish(&open, now).expect("there is room");
        let is = |event: &Event<'_>| matches!(event, Event::Delivered { .. });
        until(&mut right, |event| is(event).then_some(())).await;
    }
    hub.shutdown().await;
}
