//! Mosquitto's own programs talk through the hub, in both versions.

mod common;

use std::io::Write;
use std::net::TcpStream;

use common::raw::{self, Connect, Raw};
use common::{Program, VERSIONS, finish, hub, mosquitto, publish};

/// Messages that get lost, doubled or out of order on the way through.
#[tokio::test(flavor = "multi_thread")]
async fn every_quality_of_service_arrives_once_and_in_order() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let topic = format!("qos/{version}/{qos}");
            let mut subscriber =
                Program::subscriber(addr, &["-V", version, "-t", &topic, "-q", qos, "-C", "3"]);
            for payload in ["one", "two", "three"] {
                publish(
                    addr,
                    &["-V", version, "-t", &topic, "-q", qos, "-m", payload],
                );
            }
            for payload in ["one", "two", "three"] {
                assert_eq!(subscriber.message(), format!("{topic} {payload}"));
            }
            assert!(subscriber.wait().success());
        }
    }
    hub.shutdown().await;
}

/// A client of one version that does not hear those of the other.
#[tokio::test(flavor = "multi_thread")]
async fn versions_talk_to_each_other_on_one_port() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let mut old = Program::subscriber(addr, &["-V", "mqttv311", "-t", "t", "-q", "1"]);
    let mut new = Program::subscriber(addr, &["-V", "mqttv5", "-t", "t", "-q", "1"]);
    publish(
        addr,
        &[
            "-V",
            "mqttv5",
            "-t",
            "t",
            "-q",
            "1",
            "-m",
            "from 5",
            "-D",
            "publish",
            "content-type",
            "text",
        ],
    );
    publish(
        addr,
        &["-V", "mqttv311", "-t", "t", "-q", "1", "-m", "from 4"],
    );
    for subscriber in [&mut old, &mut new] {
        assert_eq!(subscriber.message(), "t from 5");
        assert_eq!(subscriber.message(), "t from 4");
    }
    hub.shutdown().await;
}

/// A late subscriber that does not learn the state, or learns one that was cleared.
#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_wait_for_subscribers_until_cleared() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    for version in VERSIONS {
        let (state, other) = (format!("{version}/state"), format!("{version}/other"));
        publish(
            addr,
            &["-V", version, "-t", &state, "-r", "-q", "1", "-m", "old"],
        );
        publish(
            addr,
            &["-V", version, "-t", &state, "-r", "-q", "1", "-m", "new"],
        );
        let filter = format!("{version}/+");
        let mut late = Program::subscriber(addr, &["-V", version, "-t", &filter, "-C", "1"]);
        assert_eq!(late.message(), format!("{state} new"));
        publish(addr, &["-V", version, "-t", &state, "-r", "-n", "-q", "1"]);
        publish(
            addr,
            &["-V", version, "-t", &other, "-r", "-q", "1", "-m", "left"],
        );
        let mut later = Program::subscriber(addr, &["-V", version, "-t", &filter, "-C", "1"]);
        assert_eq!(later.message(), format!("{other} left"));
    }
    hub.shutdown().await;
}

/// The broker's usual expiry of five minutes would silently drop every retained state.
#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_expire_only_when_told_to() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    publish(
        addr,
        &[
            "-V",
            "mqttv5",
            "-t",
            "short",
            "-r",
            "-q",
            "1",
            "-m",
            "x",
            "-D",
            "publish",
            "message-expiry-interval",
            "1",
        ],
    );
    publish(
        addr,
        &["-V", "mqttv5", "-t", "stays", "-r", "-q", "1", "-m", "x"],
    );
    let deadline = std::time::Instant::now() + common::PATIENCE;
    loop {
        let mut subscriber = mosquitto("mosquitto_sub", addr, &["-t", "#", "-F", "%t"]);
        let output = finish(subscriber.args(["--retained-only", "-W", "1"]));
        let topics = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(topics.contains("stays"), "{topics}");
        if !topics.contains("short") {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the message does not expire"
        );
    }
    hub.shutdown().await;
}

/// A client that dies and is believed to be alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_published_when_a_client_dies_and_not_when_it_leaves() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let mut witness = Program::subscriber(addr, &["-t", "will/#"]);
    for version in VERSIONS {
        let topic = format!("will/{version}");
        let will = [
            "-V",
            version,
            "-t",
            "x",
            "--will-topic",
            &topic,
            "--will-payload",
            "dead",
            "--will-qos",
            "1",
        ];
        let leaving = finish(mosquitto("mosquitto_sub", addr, &will).arg("-E"));
        assert!(leaving.status.success(), "{leaving:?}");
        Program::subscriber(addr, &will).kill();
        assert_eq!(witness.message(), format!("{topic} dead"));
        // Had the one that left had its will as well, it would come before this.
        publish(addr, &["-t", "will/end", "-m", version]);
        assert_eq!(witness.message(), format!("will/end {version}"));
    }
    hub.shutdown().await;
}

/// Two workers that both do the same job, or one that does it all.
#[tokio::test(flavor = "multi_thread")]
async fn shared_subscribers_take_turns() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    for version in VERSIONS {
        let filter = format!("$share/workers/jobs/{version}");
        let topic = format!("jobs/{version}");
        let subscribe = ["-V", version, "-t", &filter, "-q", "1"];
        let mut workers = [
            Program::subscriber(addr, &subscribe),
            Program::subscriber(addr, &subscribe),
        ];
        let jobs = ["1", "2", "3", "4", "5", "6"];
        for job in jobs {
            publish(addr, &["-V", version, "-t", &topic, "-q", "1", "-m", job]);
        }
        let mut done: Vec<String> = workers
            .iter_mut()
            .flat_map(|worker| [worker.message(), worker.message(), worker.message()])
            .collect();
        done.sort();
        assert_eq!(done, jobs.map(|job| format!("{topic} {job}")));
    }
    hub.shutdown().await;
}

/// A device that was away for a moment and missed its commands.
#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_a_session_that_is_offline() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    for version in VERSIONS {
        for qos in ["1", "2"] {
            let topic = format!("q/{version}/{qos}");
            let id = format!("sleeper-{version}-{qos}");
            let mut session = vec!["-V", version, "-i", &id, "-c", "-q", qos, "-t", &topic];
            if version == "mqttv5" {
                session.extend(["-x", "600"]);
            }
            let first = finish(mosquitto("mosquitto_sub", addr, &session).arg("-E"));
            assert!(first.status.success(), "{first:?}");
            for payload in ["one", "two", "three"] {
                publish(
                    addr,
                    &["-V", version, "-t", &topic, "-q", qos, "-m", payload],
                );
            }
            let back = finish(mosquitto("mosquitto_sub", addr, &session).args(["-C", "3"]));
            assert_eq!(
                String::from_utf8_lossy(&back.stdout),
                "one\ntwo\nthree\n",
                "{id}"
            );
        }
    }
    hub.shutdown().await;
}

/// A session that stays for ever, or ends before its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_expiry_says() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let mut witness = Program::subscriber(addr, &["-t", "end"]);
    let connect = Connect {
        id: "brief",
        clean: false,
        v5_expiry: Some(1),
        will: Some(("end", 600)),
        ..Connect::default()
    };
    let (client, present) = Raw::connect(addr, connect);
    assert!(!present);
    drop(client);
    let (client, present) = Raw::connect(addr, connect);
    assert!(present, "the session ended with its connection");
    drop(client);
    // A will that is delayed longer than the session lives comes when the session ends.
    assert_eq!(witness.message(), "end gone");
    let (_client, present) = Raw::connect(addr, connect);
    assert!(!present, "the session outlived its expiry");
    hub.shutdown().await;
}

/// Unacknowledged messages that are lost, renumbered or shuffled on a new connection.
#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_messages_come_again_in_order() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let connect = Connect {
        id: "slow",
        ..Connect::default()
    };
    let (mut client, _) = Raw::connect(addr, connect);
    client.subscribe("t", 1);
    for payload in ["1", "2", "3"] {
        publish(addr, &["-t", "t", "-q", "1", "-m", payload]);
    }
    let sent = [
        client.read().publish(),
        client.read().publish(),
        client.read().publish(),
    ];
    drop(client);
    let (mut client, present) = Raw::connect(addr, connect);
    assert!(present);
    for expected in sent {
        let again = client.read();
        assert!(again.is_duplicate(), "{again:?}");
        assert_eq!(again.publish(), expected);
        client.write(&raw::ack(0x40, expected.0));
    }
    hub.shutdown().await;
}

/// A message is lost that was being written to a connection which its client has given up
/// already, as after a broker that stood still for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_client_that_gave_up_waits_for_the_next_connection() {
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let connect = Connect {
        id: "impatient",
        ..Connect::default()
    };
    let mut witness = Program::subscriber(addr, &["-t", "end"]);
    let (mut client, _) = Raw::connect(addr, connect);
    client.subscribe("t", 1);
    drop(client);
    for round in 0..40 {
        for number in 0..3 {
            let payload = format!("{round}.{number}");
            publish(addr, &["-t", "t", "-q", "1", "-m", &payload]);
        }
        let mut gave_up = TcpStream::connect(addr).expect("the hub accepts connections");
        let with_will = Connect {
            will: Some(("end", 0)),
            ..connect
        };
        gave_up
            .write_all(&with_will.packet())
            .expect("the hub reads");
        drop(gave_up);
        // Then the hub has seen that it is gone.
        assert_eq!(witness.message(), "end gone");
        let (mut client, present) = Raw::connect(addr, connect);
        assert!(present, "the session is gone in round {round}");
        for number in 0..3 {
            let (id, payload) = client.read().publish();
            assert_eq!(payload, format!("{round}.{number}"));
            client.write(&raw::ack(0x40, id));
        }
        client.ping();
    }
    hub.shutdown().await;
}

/// The moment between two connections, in which the broker would lose or shuffle messages.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_keeps_reconnecting_gets_everything_in_order() {
    const COUNT: u16 = 600;
    let hub = hub().await;
    let addr = hub.mqtt_addr();
    let connect = Connect {
        id: "restless",
        ..Connect::default()
    };
    let (mut client, _) = Raw::connect(addr, connect);
    client.subscribe("t", 1);
    let publisher = std::thread::spawn(move || {
        let (mut publisher, _) = Raw::connect(
            addr,
            Connect {
                id: "steady",
                clean: true,
                ..Connect::default()
            },
        );
        for number in 1..=COUNT {
            publisher.write(&raw::publish("t", number, &number.to_string()));
            assert_eq!(publisher.read().head, 0x40);
        }
    });
    let mut expected = 1;
    let (mut until_reconnect, mut reconnects) = (7, 0);
    while expected <= COUNT {
        let (id, payload) = client.read().publish();
        let number: u16 = payload.parse().expect("a number");
        // What was sent but not acknowledged may come again; nothing may be missing.
        assert!(number <= expected, "{expected} is missing: {number} came");
        if number == expected {
            expected += 1;
        }
        if until_reconnect == 0 {
            // The old connection is still there: the new one takes over from it.
            client = Raw::connect(addr, connect).0;
            reconnects += 1;
            until_reconnect = 1 + reconnects % 11;
        } else {
            client.write(&raw::ack(0x40, id));
            until_reconnect -= 1;
        }
    }
    publisher.join().expect("everything was published");
    hub.shutdown().await;
}
