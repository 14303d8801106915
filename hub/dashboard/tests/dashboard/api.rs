//! What can be asked and told, and what is answered to nonsense.

use aldis_history::What;
use aldis_protocol::{Availability, Lamp};
use serde_json::{Value, json};

use crate::rig::{NOW, Rig, climate, key, until};

/// A device that speaks and is not seen; or one that somebody made up.
#[tokio::test]
async fn devices_are_seen_as_they_speak() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    assert_eq!(
        browser.get("/api/devices").await.json(),
        json!({ "devices": [] })
    );
    let mut device = rig.device(&[]).await;
    // None of these makes a device.
    for (topic, payload) in [
        ("aldis/ghost/status", "maybe"),
        ("aldis/ghost/status", ""),
        ("aldis/ghost/led", "ON"),
        ("aldis/ghost/climate", "{"),
        ("aldis/ghost/diag", "[]"),
        ("aldis/ghost/message/set", "hello"),
        ("aldis/ghost/led/set", "on"),
        ("aldis/ghost/answer", "x"),
        ("other/ghost/status", "online"),
        ("aldis/gh ost/status", "online"),
    ] {
        device.say(topic, payload).await;
    }
    device.keep("aldis/kitchen/status", "online").await;
    device.keep("aldis/kitchen/led", "on").await;
    device.keep("aldis/kitchen/sensor", "ok").await;
    device
        .say("aldis/kitchen/climate", &climate(1, "24.1"))
        .await;
    device
        .say(
            "aldis/kitchen/diag",
            r#"{"boot":3,"rssi_dbm":-60,"new":[1]}"#,
        )
        .await;
    device.say("site/two/cellar/status", "offline").await;
    let mut devices = json!(null);
    until("both are seen", async || {
        devices = browser.get("/api/devices").await.json()["devices"].clone();
        devices[0]["diag"] != json!(null) && devices[1]["status"] != json!(null)
    })
    .await;
    assert_eq!(
        devices[0],
        json!({
            "key": "aldis/kitchen", "prefix": "aldis", "id": "kitchen", "title": null,
            "status": "online", "since_ms": NOW, "lamp": "on", "sensor": "ok",
            "t": 24.1, "h": 40.5, "taken_ms": NOW, "first_ms": NOW, "last_ms": NOW,
            "gaps": 0, "lost": 0, "diag": {"boot": 3, "rssi_dbm": -60, "new": [1], "at_ms": NOW},
        })
    );
    assert_eq!(devices[1]["key"], "site/two/cellar");
    assert_eq!(devices.as_array().unwrap().len(), 2);
    let one = browser.get("/api/devices/aldis%2Fkitchen").await.json();
    assert_eq!(one["t"], 24.1);
    assert_eq!(one["gaps_list"], json!([]));
    assert_eq!(
        browser.get("/api/devices/site%2Ftwo%2Fcellar").await.json()["status"],
        "offline"
    );
}

/// A dashboard that starts late knows nothing of what was before it.
#[tokio::test]
async fn what_is_kept_is_known_at_the_start() {
    let mut rig = Rig::prepare().await;
    let mut device = rig.device(&[]).await;
    device.keep("aldis/kitchen/status", "online").await;
    rig.commit(
        "kitchen",
        [
            (NOW - 9_000, What::Status(Availability::Offline)),
            (NOW - 8_000, What::Status(Availability::Online)),
            (NOW - 7_000, What::Led(Lamp::On)),
            (NOW - 6_000, crate::kept::reading(1, NOW - 6_000, 215)),
            (NOW - 5_000, crate::kept::reading(4, NOW - 5_000, 216)),
            (NOW - 4_000, crate::kept::reading(6, NOW - 4_000, 217)),
        ],
    )
    .await;
    rig.history.give_up(&key("kitchen"), 7, 3).await.unwrap();
    rig.history
        .rename(&key("kitchen"), Some("Virtuvė"))
        .await
        .unwrap();
    rig.serve().await;
    let browser = rig.signed_in().await;
    let mut one = json!(null);
    until("everything is known", async || {
        one = browser.get("/api/devices/aldis%2Fkitchen").await.json();
        one["gaps"] == 1 && one["since_ms"] != json!(null)
    })
    .await;
    assert_eq!(one["title"], "Virtuvė");
    assert_eq!(
        (&one["status"], &one["since_ms"]),
        (&json!("online"), &json!(NOW - 8_000))
    );
    assert_eq!(
        (&one["lamp"], &one["t"], &one["taken_ms"]),
        (&json!("on"), &json!(21.7), &json!(NOW - 4_000))
    );
    assert_eq!(one["lost"], 2);
    let gaps = one["gaps_list"].as_array().unwrap();
    assert_eq!(gaps.len(), 2);
    assert_eq!(
        (&gaps[0]["first"], &gaps[0]["last"], &gaps[0]["lost"]),
        (&json!(2), &json!(3), &json!(true))
    );
    assert_eq!(
        (&gaps[1]["first"], &gaps[1]["before_ms"]),
        (&json!(5), &json!(NOW - 4_000))
    );
}

/// A title that is not kept, or breaks the page; a device that comes back by itself.
#[tokio::test]
async fn devices_are_renamed_and_removed() {
    let mut rig = Rig::prepare().await;
    let mut device = rig.device(&[]).await;
    for (topic, payload) in [("status", "online"), ("led", "off"), ("extra", "kept")] {
        device
            .keep(&format!("aldis/kitchen/{topic}"), payload)
            .await;
    }
    rig.commit("kitchen", [(NOW, crate::kept::reading(1, NOW, 215))])
        .await;
    rig.serve().await;
    let browser = rig.signed_in().await;
    let path = "/api/devices/aldis%2Fkitchen";
    let mut events = browser.events("/api/live").await;

    let renamed = browser
        .send("PATCH", path, r#"{"title":" Kitchen <b> "}"#)
        .await;
    assert_eq!(
        (renamed.status, renamed.json()["title"].clone()),
        (200, json!("Kitchen <b>"))
    );
    events
        .wait("device", |device| device["title"] == "Kitchen <b>")
        .await;
    let stored = rig.history.devices().await.unwrap();
    assert_eq!(stored[0].title.as_deref(), Some("Kitchen <b>"));
    for (body, title) in [
        (r#"{"title":""}"#, json!(null)),
        (r#"{"title":"K"}"#, json!("K")),
        (r#"{"title":null}"#, json!(null)),
    ] {
        assert_eq!(
            browser.send("PATCH", path, body).await.json()["title"],
            title,
            "{body}"
        );
    }
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(65));
    for wrong in [
        "{}",
        r#"{"title":5}"#,
        r#"{"title":"a\u0000b"}"#,
        r#"{"title":"a\nb"}"#,
        r#"{"title":"a\u202eb"}"#,
        &long,
        r#"{"title":"x","x":1}"#,
    ] {
        assert_eq!(
            browser.send("PATCH", path, wrong).await.status,
            422,
            "{wrong}"
        );
    }
    let unknown = browser
        .send("PATCH", "/api/devices/aldis%2Fattic", r#"{"title":"x"}"#)
        .await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "no_device")
    );

    until("the topic was seen", async || {
        browser
            .get("/api/topics?filter=aldis/kitchen/extra")
            .await
            .json()["known"]
            == 1
    })
    .await;
    assert_eq!(browser.send("DELETE", path, "").await.status, 204);
    events
        .wait("removed", |removed| removed["key"] == "aldis/kitchen")
        .await;
    assert_eq!(browser.get(path).await.status, 404);
    assert_eq!(browser.send("DELETE", path, "").await.status, 404);
    assert!(rig.history.devices().await.unwrap().is_empty());
    // The broker has nothing of it any more.
    let mut late = rig.device(&[]).await;
    late.client
        .subscribe("aldis/kitchen/#", aldis_client::QoS::AtLeastOnce);
    late.client
        .subscribe("test/end", aldis_client::QoS::AtLeastOnce);
    late.keep("test/end", "x").await;
    assert_eq!(late.hear().await.topic, "test/end");
    // If it speaks, it is a new one.
    late.say("aldis/kitchen/status", "online").await;
    events
        .wait("device", |device| {
            device["key"] == "aldis/kitchen" && device["title"].is_null()
        })
        .await;
}

/// A device that another program removed stays on the page for ever.
#[tokio::test]
async fn what_others_do_to_the_store_is_seen() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut events = browser.events("/api/live").await;
    rig.commit("kitchen", [(NOW, crate::kept::reading(1, NOW, 215))])
        .await;
    events
        .wait("device", |device| device["key"] == "aldis/kitchen")
        .await;
    rig.history.remove(&key("kitchen")).await.unwrap();
    events
        .wait("removed", |removed| removed["key"] == "aldis/kitchen")
        .await;
}

/// A switch that says something else than what was pressed; a message that the device refuses.
#[tokio::test]
async fn commands_reach_the_device_and_its_answers_the_page() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig
        .device(&["aldis/kitchen/led/set", "aldis/kitchen/message/set"])
        .await;
    let mut events = browser.events("/api/live").await;
    device.say("aldis/kitchen/status", "online").await;
    events
        .wait("device", |device| device["status"] == "online")
        .await;
    for wish in ["on", "off", "toggle"] {
        let sent = browser
            .send(
                "POST",
                "/api/devices/aldis%2Fkitchen/lamp",
                &format!(r#"{{"state":"{wish}"}}"#),
            )
            .await;
        assert_eq!(sent.status, 202);
        let id = sent.json()["id"].as_str().unwrap().to_owned();
        assert!(id.starts_with("w-"), "{id}");
        let heard = device.hear().await;
        assert!(!heard.retain);
        let mut scratch = aldis_protocol::Scratch::new();
        let (known, command) = aldis_protocol::decode_command(&heard.payload, &mut scratch);
        assert_eq!(
            (known, command.unwrap().as_str()),
            (Some(id.as_str()), wish)
        );
        device
            .say(
                "aldis/kitchen/answer",
                &format!(r#"{{"id":"{id}","done":false,"reason":"locked"}}"#),
            )
            .await;
        let answer = events
            .wait("answer", |answer| answer["id"] == id.as_str())
            .await;
        assert_eq!(
            (&answer["done"], &answer["reason"], &answer["key"]),
            (&json!(false), &json!("locked"), &json!("aldis/kitchen"))
        );
    }

    let sent = browser
        .send(
            "POST",
            "/api/devices/aldis%2Fkitchen/message",
            r#"{"text":"ąč \"x\"","ttl_s":60}"#,
        )
        .await;
    assert_eq!(sent.status, 202);
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    let heard = device.hear().await;
    let mut scratch = aldis_protocol::Scratch::new();
    let message = aldis_protocol::Message::decode(&heard.payload, &mut scratch).unwrap();
    assert_eq!(
        (message.id, message.text, message.expires_s),
        (Some(id.as_str()), "ąč \"x\"", Some(60))
    );
    assert_eq!(message.from, Some("dashboard"));
    // Or it would have its ten minutes anew after an hour at the broker.
    assert!(
        matches!(heard.expiry_s, Some(50..=60)),
        "{:?}",
        heard.expiry_s
    );
    let seen = events
        .wait("message", |message| message["id"] == id.as_str())
        .await;
    assert_eq!(seen["text"], "ąč \"x\"");
    for state in ["received", "received", "read"] {
        device
            .say(
                "aldis/kitchen/message/state",
                &format!(r#"{{"id":"{id}","state":"{state}","age_ms":500}}"#),
            )
            .await;
    }
    let state = events
        .wait("message", |message| message["state"] == "received")
        .await;
    assert_eq!(state["at_ms"], NOW - 500);
    let (_, next) = events.next().await.unwrap();
    assert_eq!(next["state"], "read", "a state is told twice: {next}");
    let messages = browser
        .get("/api/devices/aldis%2Fkitchen/messages")
        .await
        .json();
    assert_eq!(messages["messages"][0]["text"], "ąč \"x\"");
    assert_eq!(messages["messages"][0]["states"][1]["state"], "read");

    device
        .say("aldis/kitchen/morse/heard", r#"{"text":"SOS","wpm":12}"#)
        .await;
    let morse = events.wait("morse", |_| true).await;
    assert_eq!(
        morse,
        json!({"key": "aldis/kitchen", "text": "SOS", "wpm": 12, "at_ms": NOW})
    );
    let mut onlooker = rig.device(&["quick/#"]).await;
    let body = r#"{"topic":"quick/a","payload":"ž","qos":2,"retain":true}"#;
    assert_eq!(browser.send("POST", "/api/publish", body).await.status, 202);
    assert_eq!(onlooker.hear().await.payload, "ž".as_bytes());
}

/// A description that takes an unsigned number for an `int32` says half of what is taken, and a
/// program made from it cannot read the rest.
#[tokio::test]
async fn the_description_has_the_limits_of_every_number() {
    fn look(at: &str, schema: &Value, seen: &mut usize) {
        if schema["format"] == "int32" {
            *seen += 1;
            for limit in ["minimum", "maximum"] {
                let limit = schema[limit].as_i64();
                assert!(
                    limit.is_some_and(|limit| i32::try_from(limit).is_ok()),
                    "{at}: {schema}"
                );
            }
        }
        match schema {
            Value::Object(fields) => {
                for (name, field) in fields {
                    look(&format!("{at}/{name}"), field, seen);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    look(&format!("{at}/{index}"), item, seen);
                }
            }
            _ => {}
        }
    }
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let description = browser.get("/api/openapi.json").await.json();
    let mut seen = 0;
    look("", &description, &mut seen);
    assert!(seen >= 5, "{seen}");
    let ttl = &description["components"]["schemas"]["Text"]["properties"]["ttl_s"];
    assert_eq!(
        (&ttl["minimum"], &ttl["maximum"]),
        (&json!(0), &json!(u32::MAX))
    );

    let mut device = rig.device(&["aldis/kitchen/message/set"]).await;
    device.keep("aldis/kitchen/status", "online").await;
    let path = "/api/devices/aldis%2Fkitchen";
    until("the device was heard", async || {
        browser.get(path).await.status == 200
    })
    .await;
    let most = format!(r#"{{"text":"x","ttl_s":{}}}"#, u32::MAX);
    let sent = browser
        .send("POST", &format!("{path}/message"), &most)
        .await;
    assert_eq!(sent.status, 202);
    let heard = device.hear().await;
    let mut scratch = aldis_protocol::Scratch::new();
    let message = aldis_protocol::Message::decode(&heard.payload, &mut scratch).unwrap();
    assert_eq!(message.expires_s, Some(u32::MAX));
}

/// What is answered, and what was asked.
const NONSENSE: &str = r##"
422 invalid POST /api/devices/aldis%2Fkitchen/lamp {"state":"dim"}
422 invalid POST /api/devices/aldis%2Fkitchen/lamp {"state":1}
422 invalid POST /api/devices/aldis%2Fkitchen/lamp {}
422 invalid POST /api/devices/aldis%2Fkitchen/lamp
422 no_text POST /api/devices/aldis%2Fkitchen/message {"text":""}
422 no_text POST /api/devices/aldis%2Fkitchen/message {"text":" \n"}
422 invalid POST /api/devices/aldis%2Fkitchen/message {"text":"x","ttl_s":-1}
422 invalid POST /api/devices/aldis%2Fkitchen/message {"text":"x","ttl_s":4294967296}
422 invalid GET /api/devices/aldis%2Fkitchen/chart?from=x
422 invalid GET /api/devices/aldis%2Fkitchen/chart?from=-1
422 invalid GET /api/devices/aldis%2Fkitchen/chart?from=5&to=4
422 invalid GET /api/devices/aldis%2Fkitchen/chart?to=253402300800000
422 invalid GET /api/devices/aldis%2Fkitchen/chart?points=0
422 invalid GET /api/devices/aldis%2Fkitchen/chart?points=5001
422 invalid GET /api/devices/aldis%2Fkitchen/chart?points=99999999999
422 invalid GET /api/devices/aldis%2Fkitchen/chart?from=9223372036854775808
422 invalid GET /api/devices/aldis%2Fkitchen/readings?format=xml
422 invalid GET /api/devices/aldis%2Fkitchen/events?limit=0
422 invalid GET /api/devices/aldis%2Fkitchen/diags?limit=x
422 invalid GET /api/devices/aldis%2Fkitchen/messages?limit=201
422 invalid GET /api/devices/aldis%2Fkitchen/outages?from=1e9
404 not_found GET /api/devices/aldis%2Fkitchen/nothing
405 method_not_allowed PUT /api/devices/aldis%2Fkitchen/lamp {}
405 method_not_allowed PUT /api/devices/aldis%2Fkitchen {}
422 invalid POST /api/publish {"topic":"","payload":""}
422 invalid POST /api/publish {"topic":"a/+","payload":""}
422 invalid POST /api/publish {"topic":"#","payload":""}
422 invalid POST /api/publish {"topic":"a\u0000","payload":""}
422 invalid POST /api/publish {"topic":"$SYS/x","payload":""}
422 invalid POST /api/publish {"topic":"t","payload":"","qos":3}
422 invalid POST /api/publish {"topic":"t","payload":"","retain":"yes"}
422 invalid POST /api/session {}
422 invalid POST /api/session {"password":5}
422 invalid GET /api/topics?filter=a%23
422 invalid GET /api/topics?filter=
422 invalid GET /api/topics?limit=5001
422 invalid GET /api/topics/live?filter=a/%23/b
422 invalid GET /api/qr.svg
404 not_found GET /api/qr.svg?url=http://evil.example
404 no_device GET /api/devices/kitchen
404 no_device GET /api/devices/other%2Fkitchen
404 no_device GET /api/devices/aldis%2F%00
404 no_device GET /api/devices/aldis%2F%23
404 no_device GET /api/devices/aldis%2F..
404 no_device GET /api/devices/%ff
404 no_device GET /api/devices/%
404 no_device GET /api/devices/aldis%2Fnobody/chart
404 no_device GET /api/devices/aldis%2Fnobody/readings
404 no_device GET /api/devices/aldis%2Fnobody/events
404 no_device GET /api/devices/aldis%2Fnobody/outages
404 no_device GET /api/devices/aldis%2Fnobody/diags
404 no_device GET /api/devices/aldis%2Fnobody/messages
404 no_device POST /api/devices/aldis%2Fnobody/lamp {"state":"on"}
404 no_device POST /api/devices/aldis%2Fnobody/message {"text":"x"}
404 not_found GET /api
404 not_found GET /api/
405 method_not_allowed POST /api/devices {}
405 method_not_allowed POST / {}
"##;

/// Nonsense that ends in an error of the server, is done all the same, or is answered in words
/// that no page can read.
#[tokio::test]
async fn nonsense_is_refused_in_words() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&[]).await;
    device.say("aldis/kitchen/status", "online").await;
    until("it is known", async || {
        browser.get("/api/devices/aldis%2Fkitchen").await.status == 200
    })
    .await;
    let long = "x".repeat(70_000);
    let long_publish = format!(r#"{{"topic":"t","payload":"{long}"}}"#);
    let long_topic = format!(r#"{{"topic":"{}","payload":""}}"#, "t".repeat(1025));
    let too_large = format!(r#"{{"topic":"t","payload":"{}"}}"#, "x".repeat(300_000));
    let long_text = format!(r#"{{"text":"{}"}}"#, "ž".repeat(129));
    let long_password = format!(r#"{{"password":"{}"}}"#, "x".repeat(1025));
    let refused = async |wrong: &str, method: &str, path: &str, body: &str| {
        let answer = browser.send(method, path, body).await;
        let found = format!("{} {}", answer.status, answer.code());
        assert_eq!(found, wrong, "{method} {path} {body}");
        let allowed = answer
            .header("allow")
            .is_some_and(|allow| !allow.is_empty());
        assert!(allowed || answer.status != 405, "{path}");
    };
    for line in NONSENSE.lines().filter(|line| !line.is_empty()) {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().unwrap_or_default();
        let wrong = format!("{} {}", word(), word());
        refused(&wrong, word(), word(), word()).await;
    }
    let kitchen = "/api/devices/aldis%2Fkitchen";
    refused("422 invalid", "POST", &format!("{kitchen}/lamp"), "\u{0}").await;
    refused(
        "422 too_long",
        "POST",
        &format!("{kitchen}/message"),
        &long_text,
    )
    .await;
    refused("422 invalid", "POST", "/api/publish", &long_publish).await;
    refused("422 invalid", "POST", "/api/publish", &long_topic).await;
    refused("413 too_large", "POST", "/api/publish", &too_large).await;
    refused("422 invalid", "POST", "/api/session", &long_password).await;
    // The kind of the body says that it was meant.
    let csrf = browser.csrf.clone().unwrap();
    let form = [
        ("x-aldis-csrf", csrf.as_str()),
        ("content-type", "text/plain"),
    ];
    let answer = browser
        .ask(
            "POST",
            "/api/publish",
            &form,
            r#"{"topic":"t","payload":""}"#,
        )
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (415, "not_json"));
    // What is no request is no reason to end.
    for raw in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
    ] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut line = browser.connect().await;
        line.write_all(raw.as_bytes()).await.unwrap();
        line.shutdown().await.unwrap();
        let mut said = Vec::new();
        let _ = tokio::time::timeout(crate::browser::BOUND, line.read_to_end(&mut said))
            .await
            .expect(raw);
    }
    let head = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    assert_eq!(browser.raw(head.as_bytes()).await.status, 431);
    assert_eq!(browser.get("/api/devices").await.status, 200);
}

/// Figures that are missing or of somebody else.
#[tokio::test]
async fn the_hub_tells_how_it_is() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    rig.advance(5_000);
    let mut health = json!(null);
    until("the store was counted", async || {
        health = browser.get("/api/health").await.json();
        health["store"]["readings"] == 0
    })
    .await;
    assert_eq!(
        (&health["started_ms"], &health["now_ms"]),
        (&json!(NOW), &json!(NOW + 5_000))
    );
    assert_eq!(
        (&health["memory_bytes"], &health["cpu_percent"]),
        (&json!(5), &json!(1.3))
    );
    assert_eq!(health["disk"], json!({"free_bytes": 7}));
    assert_eq!(health["recorder"]["stored"], 9);
    assert_eq!(health["store"]["kind"], "sqlite");
    let url = health["broker"]["url"].as_str().unwrap();
    assert_eq!(url, format!("mqtt://127.0.0.1:{}", rig.broker.port));
    assert_eq!(
        browser.get("/api/address").await.json()["urls"][0],
        "https://hub.local:8443"
    );
    let qr = browser
        .get("/api/qr.svg?url=https%3A%2F%2Fhub.local%3A8443")
        .await;
    assert_eq!(
        (qr.status, qr.header("content-type")),
        (200, Some("image/svg+xml"))
    );
    assert!(qr.text().contains("<svg"));
}

/// A hub without pages says nothing; one without an authority gives its key away.
#[tokio::test]
async fn pages_that_are_there_without_the_front_end() {
    let mut rig = Rig::prepare().await;
    rig.ca_pem = Some(rig.dir.path().join("ca.pem"));
    rig.serve().await;
    let browser = rig.browser();
    for path in ["/trust", "/ca.pem"] {
        let none = browser.get(path).await;
        assert_eq!(
            (none.status, none.code().as_str()),
            (404, "no_authority"),
            "{path}"
        );
    }
    let ca = rcgen::generate_simple_self_signed(["hub.local".to_owned()]).unwrap();
    std::fs::write(
        rig.dir.path().join("ca.pem"),
        ca.signing_key.serialize_pem(),
    )
    .unwrap();
    assert_eq!(browser.get("/ca.pem").await.status, 404);
    std::fs::write(rig.dir.path().join("ca.pem"), ca.cert.pem()).unwrap();
    let given = browser.get("/ca.pem").await;
    assert_eq!((given.status, given.text()), (200, ca.cert.pem().as_str()));
    assert_eq!(
        given.header("content-type"),
        Some("application/x-x509-ca-cert")
    );
    let page = browser.get("/trust").await;
    assert!(
        page.status == 200 && page.text().contains("/ca.pem") && !page.text().contains("style=")
    );
    assert_eq!(
        browser.get("/trust.css").await.header("content-type"),
        Some("text/css; charset=utf-8")
    );

    let page = browser.get("/device/aldis%2Fkitchen").await;
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    // Either the front end is built in, or the page says how.
    assert!(
        page.status == 200 || (page.status == 503 && page.text().contains("npm run build")),
        "{}",
        page.head
    );
    assert_eq!(browser.get("/assets/none.js").await.status, 404);
    assert_eq!(browser.get("/../../etc/passwd.txt").await.status, 404);
    let head = browser.ask("HEAD", "/", &[], "").await;
    assert!(head.status == page.status && head.body.is_empty());
}
