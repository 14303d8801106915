//! The client at a real broker that stops, comes back and forgets.

use std::time::Duration;

use aldis_client::{Broker, Client, Event, Options, Publish, QoS, start};
use aldis_mqtt::link::tokio::Tls;
use aldis_testing::{Mosquitto, PATIENCE, connected, event, message};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

async fn publish(client: &Client, text: &str) {
    timeout(PATIENCE, client.publish(Publish::new("a/b", text)))
        .await
        .expect("the broker takes it")
        .unwrap();
}

/// What was not handled when a recorder died would never come again.
#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let broker = Mosquitto::start("");
    let options = Options {
        keep: Some(Duration::from_secs(3_600)),
        ..broker.client("keeper").subscribe("a/+", QoS::AtLeastOnce)
    };
    let (client, mut events) = start(options.clone()).unwrap();
    assert!(!connected(&mut events).await);
    let (sender, mut other) = start(broker.client("sender")).unwrap();
    connected(&mut other).await;
    // The subscription may be on its way: its echo says that it is there.
    publish(&sender, "1").await;
    publish(&sender, "2").await;
    let first = message(&mut events).await;
    let second = message(&mut events).await;
    assert_eq!(
        (&first.payload[..], &second.payload[..]),
        (&b"1"[..], &b"2"[..])
    );
    client.acknowledge(first.token.into_iter().collect());
    client.stop().await;
    drop((client, events));

    let (client, mut events) = start(options).unwrap();
    assert!(connected(&mut events).await);
    let again = message(&mut events).await;
    assert_eq!(again.payload, b"2");
    assert!(again.dup);
    client.acknowledge(again.token.into_iter().collect());
    publish(&sender, "3").await;
    assert_eq!(message(&mut events).await.payload, b"3");
}

/// A command would be lost because the broker was just being restarted.
#[tokio::test]
async fn a_publication_waits_for_a_broker_that_is_away() {
    let mut broker = Mosquitto::start("");
    let (client, mut events) =
        start(broker.client("c").subscribe("a/b", QoS::AtLeastOnce)).unwrap();
    connected(&mut events).await;
    assert!(client.is_connected());
    broker.stop();
    let why = event(&mut events, "the end", |event| match event {
        Event::Disconnected { why } => Some(why.clone()),
        _ => None,
    })
    .await;
    assert!(!why.is_empty());
    assert!(!client.is_connected());
    let error = client
        .publish(Publish::new("a/b", "now").qos(QoS::AtMostOnce))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "there is no connection to the broker");
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish(Publish::new("a/b", "later")).await }
    });
    broker.again();
    timeout(PATIENCE, publishing)
        .await
        .expect("the broker takes it")
        .unwrap()
        .unwrap();
    connected(&mut events).await;
    // The subscription came about again, before or after it.
    publish(&client, "again").await;
    let last = event(&mut events, "the message", |event| match event {
        Event::Message(message) if message.payload == b"again" => Some(message.qos),
        _ => None,
    })
    .await;
    assert_eq!(last, QoS::AtLeastOnce);
}

/// Many at once would be refused for want of room instead of waiting for it.
#[tokio::test]
async fn more_than_the_outbox_holds_goes_out_in_the_end() {
    let broker = Mosquitto::start("");
    let (client, mut events) = start(broker.client("c")).unwrap();
    connected(&mut events).await;
    let mut all = Vec::new();
    for _ in 0..5_000 {
        let client = client.clone();
        all.push(tokio::spawn(async move {
            client.publish(Publish::new("a", vec![b'x'; 1_000])).await
        }));
    }
    for one in all {
        timeout(PATIENCE, one).await.unwrap().unwrap().unwrap();
    }
}

/// A mistake that shows only as silence.
#[tokio::test]
async fn mistakes_are_told() {
    let broker = Mosquitto::start("");
    let error = start(broker.client("c").subscribe("a/#/b", QoS::AtMostOnce)).unwrap_err();
    assert!(error.to_string().contains("a/#/b"), "{error}");
    let (client, mut events) = start(broker.client("c")).unwrap();
    client.subscribe("+a", QoS::AtMostOnce);
    let filter = event(&mut events, "a refusal", |event| match event {
        Event::Denied { filter, .. } => Some(filter.clone()),
        _ => None,
    })
    .await;
    assert_eq!(filter, "+a");
    let error = client.publish(Publish::new("a/+", "x")).await.unwrap_err();
    assert!(error.to_string().contains('+'), "{error}");
    client.stop().await;
    let error = client.publish(Publish::new("a", "x")).await.unwrap_err();
    assert_eq!(error.to_string(), "the client has ended");
    while timeout(PATIENCE, events.next()).await.unwrap().is_some() {}
}

/// A name that nobody has, or a broker that says no, would be a riddle.
#[tokio::test]
async fn why_there_is_no_connection_is_told_in_words() {
    let (_client, mut events) =
        start(Options::new(Broker::new("no-such-host.invalid", 1883), "c")).unwrap();
    let why = event(&mut events, "a failure", |event| match event {
        Event::Disconnected { why } => Some(why.clone()),
        _ => None,
    })
    .await;
    assert!(why.contains('('), "{why}");
}

/// A broker whose certificate is mended, or that was not TLS for a moment, would be tried once.
#[tokio::test]
async fn a_broker_that_fails_at_tls_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let broker = Broker {
        tls: Some(Tls::system().unwrap()),
        ..Broker::new("127.0.0.1", port)
    };
    let (_client, mut events) = start(Options::new(broker, "c")).unwrap();
    for attempt in 1..=3 {
        let why = event(&mut events, "a failure", |event| match event {
            Event::Disconnected { why } => Some(why.clone()),
            _ => None,
        })
        .await;
        assert!(why.contains("TLS"), "attempt {attempt}: {why}");
    }
    answering.abort();
}
