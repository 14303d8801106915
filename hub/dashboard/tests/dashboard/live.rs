//! What happens, as it happens, to browsers fast and slow.

use std::time::Duration;

use aldis_client::{Publish, QoS};
use aldis_hub::{Hub, HubConfig};
use serde_json::json;

use crate::rig::{NOW, Rig, climate, until};

/// A reading that never arrives, arrives twice, or makes an old one the newest.
#[tokio::test]
async fn readings_arrive_once_and_late_ones_say_so() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&[]).await;
    let mut events = browser.events("/api/live").await;
    let (name, hello) = events.next().await.unwrap();
    assert_eq!(
        (name.as_str(), hello),
        ("hello", json!({"hub_ms": NOW, "connected": true}))
    );
    device
        .say("aldis/kitchen/climate", &climate(5, "24.1"))
        .await;
    device
        .say("aldis/kitchen/climate", &climate(5, "24.1"))
        .await;
    let late = r#"{"seq":4,"boot":1,"age_ms":60000,"t":20.0,"h":40.5,"life":7}"#;
    device.say("aldis/kitchen/climate", late).await;
    device
        .keep("aldis/kitchen/climate", &climate(9, "99.0"))
        .await;
    device
        .say("aldis/kitchen/climate", &climate(6, "24.2"))
        .await;
    let reading = |taken_ms, t, late| json!({"key": "aldis/kitchen", "taken_ms": taken_ms, "t": t, "h": 40.5, "late": late});
    let mut readings = Vec::new();
    for _ in 0..4 {
        readings.push(events.wait("reading", |_| true).await);
    }
    // What is kept by the broker comes to those who were there as something new.
    assert_eq!(readings[0], reading(NOW, 24.1, false));
    assert_eq!(readings[1], reading(NOW - 60_000, 20.0, true));
    assert_eq!(readings[3], reading(NOW, 24.2, false));
    assert_eq!(
        browser.get("/api/devices").await.json()["devices"][0]["t"],
        24.2
    );
}

/// Each of a hundred changes of a moment is told to each of a hundred browsers.
#[tokio::test]
async fn changes_of_a_moment_are_told_together() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&[]).await;
    let mut events = browser.events("/api/live").await;
    for n in 0..200 {
        let lamp = if n % 2 == 0 { "on" } else { "off" };
        device.say("aldis/kitchen/led", lamp).await;
    }
    device.say("aldis/kitchen/sensor", "missing").await;
    device
        .say("aldis/end/morse/heard", r#"{"text":"E","wpm":12}"#)
        .await;
    let mut told = 0;
    let mut last = json!(null);
    while last["sensor"] != "missing" {
        let (name, data) = events.next().await.unwrap();
        if name == "device" && data["key"] == "aldis/kitchen" {
            told += 1;
            last = data;
        }
    }
    assert_eq!(last["lamp"], "off");
    assert!(told < 100, "{told}");
}

/// A page says "done" of a lamp whose switch has not turned: the one is told at once, the other at
/// its pace.
#[tokio::test]
async fn an_answer_comes_after_what_it_led_to() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&[]).await;
    let mut events = browser.events("/api/live").await;
    let mut lamp = json!(null);
    for n in 0..20 {
        let wanted = if n % 2 == 0 { "on" } else { "off" };
        device.say("aldis/kitchen/led", wanted).await;
        let answer = json!({"id": format!("c{n}"), "done": true}).to_string();
        device.say("aldis/kitchen/answer", &answer).await;
        loop {
            let (name, data) = events.next().await.unwrap();
            match name.as_str() {
                "device" if data["key"] == "aldis/kitchen" => lamp = data["lamp"].clone(),
                "answer" => break assert_eq!(data["id"], format!("c{n}")),
                _ => {}
            }
        }
        assert_eq!(lamp, wanted, "at answer {n}");
    }
}

/// The broker is gone and the page shows an hour-old world as if it were now.
#[tokio::test]
async fn a_broker_that_goes_and_comes_back_is_told() {
    let mut rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&[]).await;
    device.say("aldis/kitchen/status", "online").await;
    let mut events = browser.events("/api/live").await;
    until("it is known", async || {
        browser.get("/api/devices/aldis%2Fkitchen").await.status == 200
    })
    .await;
    let hub = rig.hub.take().unwrap();
    let addr = hub.mqtt_addr();
    hub.shutdown().await;
    let gone = events
        .wait("broker", |broker| broker["connected"] == false)
        .await;
    assert!(
        gone["why"].as_str().is_some_and(|why| !why.is_empty()),
        "{gone}"
    );
    let lamp = browser
        .send(
            "POST",
            "/api/devices/aldis%2Fkitchen/lamp",
            r#"{"state":"on"}"#,
        )
        .await;
    assert_eq!(
        (lamp.status, lamp.code().as_str()),
        (503, "broker_unavailable")
    );
    assert_eq!(
        browser
            .send("DELETE", "/api/devices/aldis%2Fkitchen", "")
            .await
            .status,
        503
    );
    assert_eq!(
        browser.get("/api/devices/aldis%2Fkitchen").await.status,
        200
    );
    let health = browser.get("/api/health").await.json();
    assert_eq!(health["broker"]["connected"], false);
    // Who comes now is told as well.
    let mut late = browser.events("/api/live").await;
    assert_eq!(late.next().await.unwrap().1["connected"], false);

    let config = HubConfig {
        listen: addr,
        ..HubConfig::ephemeral()
    };
    rig.hub = Some(Hub::start(config).await.unwrap());
    events
        .wait("broker", |broker| broker["connected"] == true)
        .await;
    until("the device is back", async || device.client.is_connected()).await;
    // Kept, as devices do it: the dashboard may be connected and not subscribed yet.
    device.keep("aldis/kitchen/led", "on").await;
    events.wait("device", |device| device["lamp"] == "on").await;
}

/// One page that sleeps, or a thousand events that it does not take, hold up all others or fill
/// the memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_sleeps_holds_nobody_up_and_is_let_go() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let device = rig.device(&[]).await;
    let mut sleeper = browser.sleepy_events("/api/live").await;
    let mut awake = browser.events("/api/live").await;
    awake.wait("hello", |_| true).await;
    until("both are there", async || {
        browser.get("/api/health").await.json()["dashboard"]["live_clients"] == 2
    })
    .await;
    // More than the ring and the system's buffers hold.
    let text = "x".repeat(250);
    let count = 10_000;
    let sending = tokio::spawn(async move {
        for n in 0..count {
            let heard = format!(r#"{{"text":"{n} {text}","wpm":12}}"#);
            let publish = Publish::new("aldis/kitchen/morse/heard", heard).qos(QoS::AtLeastOnce);
            // As fast as the broker takes them, and no faster than a browser that is awake reads.
            device.client.publish(publish).await.unwrap();
        }
        device
    });
    for n in 0..count {
        let morse = awake.wait("morse", |_| true).await;
        assert!(
            morse["text"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{n} ")),
            "{n}: {morse}"
        );
    }
    let _device = sending.await.unwrap();
    // It wakes, finds the end of what it can still have, and comes back.
    sleeper.end().await;
    until("the sleeper is let go", async || {
        browser.get("/api/health").await.json()["dashboard"]["live_clients"] == 1
    })
    .await;
    let mut back = browser.events("/api/live").await;
    back.wait("hello", |_| true).await;
}

/// What is published on other topics, in other forms, or faster than it can be shown.
#[tokio::test(flavor = "multi_thread")]
async fn topics_are_shown_as_they_fit() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&[]).await;
    let mut all = browser.events("/api/topics/live").await;
    let mut some = browser.events("/api/topics/live?filter=a/%2B").await;
    until("topics are followed", async || {
        device.say("probe", "x").await;
        browser.get("/api/topics?filter=probe").await.json()["known"] == 1
    })
    .await;
    device.say("b/c", "no").await;
    device
        .client
        .publish(
            Publish::new("a/b", vec![0xff, 0])
                .qos(QoS::ExactlyOnce)
                .retained(),
        )
        .await
        .unwrap();
    device
        .client
        .publish(Publish::new("a/c", vec![b'x'; 10_000]))
        .await
        .unwrap();
    let (_, first) = some.next().await.unwrap();
    assert_eq!(
        first,
        json!({
            "topic": "a/b", "payload": null, "base64": "/wA=", "bytes": 2, "qos": 0, "retain": false, "at_ms": NOW,
        })
    );
    let (_, second) = some.next().await.unwrap();
    assert_eq!(
        (&second["topic"], &second["bytes"]),
        (&json!("a/c"), &json!(10_000))
    );
    assert_eq!(second["payload"].as_str().unwrap().len(), 8192);
    all.wait("topic", |topic| topic["topic"] == "b/c").await;
    let last = browser.get("/api/topics?filter=a/%23&limit=1").await.json();
    assert_eq!(
        (
            &last["known"],
            &last["topics"][0]["topic"],
            &last["refused"]
        ),
        (&json!(2), &json!("a/b"), &json!(null))
    );

    // It is read only when it is over: what was too much is told.
    let text = "y".repeat(4_000);
    for n in 0..6_000 {
        device
            .client
            .publish(Publish::new("flood", format!("{n} {text}")))
            .await
            .unwrap();
    }
    until("the flood is over", async || {
        let last = browser.get("/api/topics?filter=flood").await.json();
        last["topics"][0]["payload"]
            .as_str()
            .is_some_and(|last| last.starts_with("5999 "))
    })
    .await;
    let dropped = all.wait("dropped", |_| true).await;
    assert!(dropped["count"].as_u64().unwrap() > 0);
    all.wait("topic", |topic| {
        topic["payload"]
            .as_str()
            .is_some_and(|last| last.starts_with("5999 "))
    })
    .await;
}

/// Ending the hub waits for pages that are open, for ever.
#[tokio::test]
async fn open_pages_do_not_hold_up_the_end() {
    let mut rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut events = browser.events("/api/live").await;
    let _idle = browser.connect().await;
    let began = std::time::Instant::now();
    rig.dashboard.take().unwrap().shutdown().await;
    assert!(
        began.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        began.elapsed()
    );
    events.end().await;
    assert!(tokio::net::TcpStream::connect(browser.addr).await.is_err());
}
