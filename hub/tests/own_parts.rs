//! What the hub's own parts get more than others.

use std::time::Duration;

use aldis_client::{Broker, Options, Publish, QoS, start};
use aldis_hub::{Hub, HubConfig, Limits, RunningHub};
use aldis_testing::{connected, event};

/// The hub's broker, for one of its own parts and for another client.
fn brokers(hub: &RunningHub) -> [Broker; 2] {
    let other = Broker::new(hub.mqtt_addr().ip().to_string(), hub.mqtt_addr().port());
    let (username, password) = hub.inner();
    let inner = Broker {
        username: Some(username),
        password: Some(password),
        ..other.clone()
    };
    [inner, other]
}

/// What comes while a recorder cannot store would be dropped after the bound for devices.
#[tokio::test]
async fn more_waits_for_the_hubs_own_parts() {
    let hub = Hub::start(HubConfig {
        limits: Limits {
            queue: 10,
            ..Limits::default()
        },
        ..HubConfig::ephemeral()
    })
    .await
    .unwrap();
    let [inner, other] = brokers(&hub);
    let keep = |broker: Broker, id: &str| Options {
        keep: Some(Duration::from_secs(3_600)),
        ..Options::new(broker, id).subscribe("a", QoS::AtLeastOnce)
    };
    let options = [keep(inner, "inner"), keep(other.clone(), "other")];
    for options in &options {
        let (client, mut events) = start(options.clone()).unwrap();
        connected(&mut events).await;
        // The word comes back when the subscription is there.
        client.publish(Publish::new("a", "here")).await.unwrap();
        event(&mut events, "its word", |event| match event {
            aldis_client::Event::Message(message) => {
                client.acknowledge(message.token.into_iter().collect());
                Some(())
            }
            _ => None,
        })
        .await;
        client.stop().await;
    }
    let (sender, mut events) = start(Options::new(other, "sender")).unwrap();
    connected(&mut events).await;
    for number in 0..500 {
        let publish = Publish::new("a", number.to_string());
        sender.publish(publish).await.unwrap();
    }
    let mut counts = Vec::new();
    for options in &options {
        let (client, mut events) = start(options.clone()).unwrap();
        let mut count = 0;
        event(&mut events, "the last", |event| match event {
            aldis_client::Event::Message(message) => {
                client.acknowledge(message.token.into_iter().collect());
                count += u32::from(message.payload != b"here");
                (message.payload == b"499").then_some(())
            }
            _ => None,
        })
        .await;
        counts.push(count);
    }
    assert_eq!(counts[0], 500);
    assert!(counts[1] < 100, "{counts:?}");
    hub.shutdown().await;
}

/// A recorder that is sent sixty-four messages at a time stores sixty-four at a time.
#[tokio::test]
async fn more_is_on_its_way_to_the_hubs_own_parts() {
    let hub = Hub::start(HubConfig::ephemeral()).await.unwrap();
    let [inner, other] = brokers(&hub);
    let listening = |broker: Broker, id: &str| Options {
        receive_maximum: 4_096,
        ..Options::new(broker, id)
            .subscribe("a", QoS::AtLeastOnce)
            .subscribe(id, QoS::AtMostOnce)
    };
    let (sender, mut events) = start(Options::new(other.clone(), "sender")).unwrap();
    let mut inner = start(listening(inner, "inner")).unwrap();
    let mut other = start(listening(other, "other")).unwrap();
    connected(&mut events).await;
    for (id, (client, events)) in [("inner", &mut inner), ("other", &mut other)] {
        connected(events).await;
        // The word comes back when the subscriptions are there.
        client.publish(Publish::new(id, "here")).await.unwrap();
        event(events, "its word", |event| {
            matches!(event, aldis_client::Event::Message(_)).then_some(())
        })
        .await;
    }
    for number in 0..500 {
        let publish = Publish::new("a", number.to_string());
        sender.publish(publish).await.unwrap();
    }
    // Nothing is acknowledged.
    for (events, last) in [(&mut inner.1, "499"), (&mut other.1, "63")] {
        event(events, last, |event| match event {
            aldis_client::Event::Message(message) => {
                (message.payload == last.as_bytes()).then_some(())
            }
            _ => None,
        })
        .await;
    }
    assert!(other.1.try_next().is_none());
    hub.shutdown().await;
}
