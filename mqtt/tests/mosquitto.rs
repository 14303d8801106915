//! The session and its tokio driver against the real mosquitto.

mod support;

use aldis_mqtt::{Cause, Event, Options, Publication, QoS, ReasonCode, SubscribeOptions, Version};
use support::{Mosquitto, PATIENCE, connected, link, options, until};
use tokio::time::timeout;

/// A message that goes wrong at any QoS or version would not come back once.
#[tokio::test]
async fn messages_of_every_qos_and_size_come_back() {
    let broker = Mosquitto::start("");
    for version in [Version::V4, Version::V5] {
        let mut link = link(broker.port, options(version));
        let exactly_once = SubscribeOptions {
            qos: QoS::ExactlyOnce,
            ..Default::default()
        };
        link.session()
            .subscribe("back/#", exactly_once, None)
            .unwrap();
        until(&mut link, |event| match event {
            Event::Subscribed {
                filter,
                result: Ok(QoS::ExactlyOnce),
            } if filter == "back/#" => Some(()),
            _ => None,
        })
        .await;
        let large = vec![b'x'; 3_000];
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for payload in [&b""[..], b"small", &large] {
                let (session, now) = link.parts();
                session
                    .publish(&Publication::new("back/to", payload).qos(qos), now)
                    .unwrap();
                let mut back = 0;
                let mut done = qos == QoS::AtMostOnce;
                until(&mut link, |event| {
                    match event {
                        Event::Message(message) => {
                            assert_eq!(
                                (message.topic, message.payload),
                                ("back/to".into(), payload)
                            );
                            assert_eq!(message.qos, qos);
                            back += 1;
                        }
                        Event::Delivered { .. } => done = true,
                        _ => {}
                    }
                    (back == 1 && done).then_some(())
                })
                .await;
            }
        }
        assert_eq!(link.session().pending(), 0);
    }
}

/// Without resumption or with a terminal state, what is published while the
/// broker is away would be lost, or the subscription would be.
#[tokio::test]
async fn a_restarted_broker_is_found_again_with_everything() {
    let broker = Mosquitto::start("");
    let port = broker.port;
    let mut link = link(port, options(Version::V5));
    link.session()
        .subscribe("t", SubscribeOptions::default(), None)
        .unwrap();
    connected(&mut link).await;
    drop(broker);
    until(&mut link, |event| {
        matches!(event, Event::Disconnected { .. }).then_some(())
    })
    .await;
    let (session, now) = link.parts();
    session
        .publish(&Publication::new("t", b"kept").qos(QoS::AtLeastOnce), now)
        .unwrap();
    let _again = Mosquitto::start_on(port, "");
    assert!(!connected(&mut link).await);
    until(&mut link, |event| match event {
        Event::Message(message) if message.payload == b"kept" => Some(()),
        _ => None,
    })
    .await;
}

/// A refusal that ends the client, or does not say why, helps nobody.
#[tokio::test]
async fn a_wrong_password_is_told_and_tried_again() {
    let dir = std::env::temp_dir().join(format!("aldis-mqtt-password-{}", std::process::id()));
    std::fs::write(&dir, "").unwrap();
    let more = format!("allow_anonymous false\npassword_file {}", dir.display());
    let broker = Mosquitto::start(&more);
    for version in [Version::V4, Version::V5] {
        let mut link = link(
            broker.port,
            Options {
                username: Some("user"),
                password: Some(b"wrong"),
                ..options(version)
            },
        );
        for _ in 0..2 {
            let reason = until(&mut link, |event| match event {
                Event::Disconnected {
                    cause: Cause::Refused(reason),
                    ..
                } => Some(*reason),
                _ => None,
            })
            .await;
            assert!(
                matches!(
                    reason,
                    ReasonCode::NOT_AUTHORIZED | ReasonCode::BAD_USER_NAME_OR_PASSWORD
                ),
                "{reason:?}"
            );
        }
    }
    let _ = std::fs::remove_file(&dir);
}

/// Dropping the future at any await may lose bytes if one of them is not safe.
#[tokio::test]
async fn dropping_the_future_again_and_again_loses_nothing() {
    let broker = Mosquitto::start("");
    let mut link = link(broker.port, options(Version::V5));
    link.session()
        .subscribe(
            "n",
            SubscribeOptions {
                qos: QoS::AtLeastOnce,
                ..Default::default()
            },
            None,
        )
        .unwrap();
    let mut published = 0u32;
    let mut received = 0u32;
    timeout(PATIENCE, async {
        while received < 500 {
            if published < 500 && link.session().pending() < 10 && link.session().is_connected() {
                let (session, now) = link.parts();
                let payload = published.to_be_bytes();
                session
                    .publish(&Publication::new("n", &payload).qos(QoS::AtLeastOnce), now)
                    .unwrap();
                published += 1;
            }
            // Polled once, then dropped.
            let mut token = None;
            tokio::select! {
                biased;
                event = link.next() => if let Event::Message(message) = event {
                    assert_eq!(message.payload, received.to_be_bytes());
                    received += 1;
                    token = message.token;
                },
                () = tokio::task::yield_now() => {}
            }
            if let Some(token) = token {
                link.session().acknowledge(token);
            }
        }
    })
    .await
    .expect("messages were lost");
}

/// mosquitto 2.0 sends its whole queue at once, whatever the receive maximum:
/// to end the connection for that would be to have none, and to let go of a
/// packet id would be to have a message twice.
#[tokio::test]
async fn a_long_queue_arrives_whole_in_order_and_once() {
    const COUNT: u32 = 300;
    let broker = Mosquitto::start("max_queued_messages 0");
    for version in [Version::V4, Version::V5] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut receiver = link(broker.port, options(version));
            let subscription = SubscribeOptions {
                qos,
                ..Default::default()
            };
            receiver
                .session()
                .subscribe("queue", subscription, None)
                .unwrap();
            let subscribed = |event: &Event<'_>| matches!(event, Event::Subscribed { .. });
            until(&mut receiver, |event| subscribed(event).then_some(())).await;
            let (session, now) = receiver.parts();
            session.stop(now);
            let stopped = |event: &Event<'_>| matches!(event, Event::Disconnected { .. });
            until(&mut receiver, |event| stopped(event).then_some(())).await;

            let sender = Options::new("sender");
            let mut sender = link(
                broker.port,
                Options {
                    versions: options(version).versions,
                    ..sender
                },
            );
            for number in 0..COUNT {
                let (session, now) = sender.parts();
                let payload = number.to_be_bytes();
                let publication = Publication::new("queue", &payload).qos(qos);
                session.publish(&publication, now).unwrap();
            }
            let mut delivered = 0;
            until(&mut sender, |event| {
                delivered += u32::from(matches!(event, Event::Delivered { .. }));
                (delivered == COUNT).then_some(())
            })
            .await;

            let (session, now) = receiver.parts();
            session.start(now);
            let mut next = 0;
            let began = std::time::Instant::now();
            until(&mut receiver, |event| {
                if let Event::Message(message) = event {
                    let number = u32::from_be_bytes(message.payload.try_into().unwrap());
                    // At QoS 1 some may come again.
                    assert!(
                        number <= next,
                        "{version:?} {qos:?}: {number} came before {next}"
                    );
                    if qos == QoS::ExactlyOnce {
                        assert_eq!(number, next, "{version:?}: twice");
                    }
                    next = next.max(number + 1);
                }
                (next == COUNT).then_some(())
            })
            .await;
            println!(
                "{version:?} {qos:?}: {COUNT} messages in {:?}",
                began.elapsed()
            );
        }
    }
}
