//! What is kept, and a store that does not answer.

use aldis_history::{Answer, Diag, Listened, Message, Report, Taken, What, csv};
use aldis_protocol::{Availability, Lamp, MessageState, Reading};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::rig::{NOW, Rig, until};

pub fn reading(seq: u32, taken_ms: i64, t: i16) -> What {
    What::Reading(Taken {
        life: 7,
        seq,
        boot: 1,
        taken_ms,
        exact: true,
        reading: Reading { t, h: 405 },
    })
}

fn diag(at_ms: i64, body: &str) -> (i64, What) {
    let parsed = aldis_protocol::Diag::decode(body.as_bytes()).unwrap();
    (at_ms, What::Diag(Box::new(Diag::of(7, &parsed, body))))
}

/// A chart that leaves out what is there, a file that cannot be read, a list in the wrong order.
#[tokio::test]
async fn what_is_kept_is_given() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let start = NOW - 3_600_000;
    rig.commit(
        "kitchen",
        (0..100_u32).filter(|n| !(40..60).contains(n)).map(|n| {
            let at = start + i64::from(n) * 5_000;
            (at, reading(n + 1, at, i16::try_from(200 + n).unwrap()))
        }),
    )
    .await;
    let outage = start + 1_000_000;
    let message = Message {
        id: Some("m".to_owned()),
        from: Some("hall".to_owned()),
        text: "hello".to_owned(),
    };
    let report = |state, at_ms| {
        What::MessageState(Report {
            id: Some("m".to_owned()),
            state,
            at_ms,
            reason: None,
        })
    };
    rig.commit(
        "kitchen",
        [
            (start, What::Status(Availability::Online)),
            (start + 1, What::Led(Lamp::On)),
            (start + 2, What::Message(message)),
            (start + 3, report(MessageState::Received, start + 3)),
            (start + 9, report(MessageState::Read, start + 9)),
            (
                start + 10,
                What::Answer(Answer {
                    id: Some("w-1".to_owned()),
                    done: true,
                    reason: None,
                }),
            ),
            diag(
                outage - 9_000,
                r#"{"uptime_s":100,"boot":1,"reconnects":{"wifi":1,"tcp":4}}"#,
            ),
            (outage, What::Status(Availability::Offline)),
            (outage + 60_000, What::Status(Availability::Online)),
            diag(
                outage + 70_000,
                r#"{"uptime_s":179,"boot":1,"reconnects":{"wifi":2,"tcp":5},"extra":{"a":[1]}}"#,
            ),
            (outage + 90_000, What::Status(Availability::Offline)),
        ],
    )
    .await;
    let get = async |what: &str| -> Value {
        let answer = browser
            .get(&format!("/api/devices/aldis%2Fkitchen/{what}"))
            .await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        answer.json()
    };

    let chart = get("chart").await;
    assert_eq!(chart["level"], "raw");
    assert_eq!(chart["at_ms"].as_array().unwrap().len(), 81);
    for column in ["t_min", "t", "t_max", "h_min", "h", "h_max", "count"] {
        assert_eq!(chart[column].as_array().unwrap().len(), 81, "{column}");
        assert_eq!(chart[column][40], json!(null), "{column}");
    }
    assert_eq!(
        (&chart["t"][0], &chart["t"][80], &chart["h"][0]),
        (&json!(20.0), &json!(29.9), &json!(40.5))
    );
    let few = get("chart?points=10").await;
    assert!(few["at_ms"].as_array().unwrap().len() <= 12);
    let none = get("chart?from=0&to=5").await;
    assert_eq!(none["t"], json!([]));

    let path = "/api/devices/aldis%2Fkitchen/readings";
    let file = browser
        .get(&format!("{path}?from={start}&to={}", start + 10_001))
        .await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        file.header("content-disposition"),
        Some("attachment; filename=\"aldis_kitchen.csv\"")
    );
    let lines: Vec<_> = file.text().lines().collect();
    assert_eq!(lines.len(), 4);
    // As `aldis history --csv` has it.
    assert_eq!(lines[0], csv::READING);
    let moment = csv::moment(start + 10_000, &TimeZone::system());
    assert_eq!(lines[3], format!("{moment},20.2,40.5,3,7,1,{moment},true"));
    let jsonl = browser.get(&format!("{path}?format=jsonl")).await;
    assert_eq!(jsonl.text().lines().count(), 80);
    let last: Value = serde_json::from_str(jsonl.text().lines().last().unwrap()).unwrap();
    assert_eq!((&last["seq"], &last["t"]), (&json!(100), &json!(29.9)));
    let empty = browser.get(&format!("{path}?from=0&to=5")).await;
    assert_eq!(empty.text(), format!("{}\n", csv::READING));

    let events = get("events?limit=3").await;
    let kinds: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["value"].clone())
        .collect();
    assert_eq!(kinds, ["offline", "online", "offline"]);
    let events = get(&format!("events?to={}", start + 11)).await;
    assert_eq!(
        events["events"][0],
        json!({"at_ms": start + 10, "kind": "answer", "value": {"id": "w-1", "done": true}})
    );
    assert_eq!(events["events"][1]["value"]["state"], "read");

    let outages = get("outages").await;
    assert_eq!(
        outages["outages"],
        json!([
            {"from_ms": outage + 90_000, "to_ms": null, "cause": null},
            {"from_ms": outage, "to_ms": outage + 60_000, "cause": "wifi"},
        ])
    );
    let diags = get("diags?limit=1").await;
    assert_eq!(diags["diags"][0]["at_ms"], outage + 70_000);
    assert_eq!(diags["diags"][0]["extra"], json!({"a": [1]}));
    assert_eq!(get("diags").await["diags"].as_array().unwrap().len(), 2);
    let messages = get("messages").await;
    assert_eq!(messages["messages"].as_array().unwrap().len(), 1);
    assert_eq!(messages["messages"][0]["states"][0]["state"], "received");
    assert_eq!(messages["messages"][0]["states"][1]["at_ms"], start + 9);
}

/// A device that lost contact because the hub was off would be told to have bad Wi-Fi.
#[tokio::test]
async fn an_outage_that_nobody_saw_is_no_fault_of_the_device() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let (last, back) = (NOW - 7_200_000, NOW - 3_600_000);
    for (id, back_ms, until_ms) in [(1, last - 60_000, last), (2, back, NOW)] {
        let listened = Listened {
            id,
            back_ms,
            from_ms: back_ms + 100,
            until_ms,
        };
        rig.history.listened(&listened).await.unwrap();
    }
    let before = r#"{"uptime_s":100,"boot":1,"reconnects":{"wifi":1}}"#;
    let behind = r#"{"uptime_s":9000,"boot":1,"reconnects":{"wifi":2}}"#;
    rig.commit(
        "kitchen",
        [
            (last - 50_000, What::Status(Availability::Online)),
            diag(last - 9_000, before),
            (back + 10, What::Status(Availability::Offline)),
            (back + 20, What::Status(Availability::Online)),
            diag(back + 30, behind),
        ],
    )
    .await;
    let path = "/api/devices/aldis%2Fkitchen/outages";
    assert_eq!(
        browser.get(path).await.json()["outages"],
        json!([{"from_ms": last, "to_ms": back + 20, "cause": "hub"}])
    );
}

/// Messages that lie behind a thousand other events are not found.
#[tokio::test]
async fn messages_are_found_among_many_events() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let message = |n: i64| {
        What::Message(Message {
            id: Some(format!("m{n}")),
            from: None,
            text: n.to_string(),
        })
    };
    let start = NOW - 1_000_000;
    let lamps = (0..1_500).map(|n| {
        let lamp = if n % 2 == 0 { Lamp::On } else { Lamp::Off };
        (start + 10 + n, What::Led(lamp))
    });
    rig.commit("kitchen", [(start, message(1))].into_iter().chain(lamps))
        .await;
    rig.commit("kitchen", [(NOW, message(2))]).await;
    until("it is known", async || {
        browser
            .get("/api/devices/aldis%2Fkitchen/messages")
            .await
            .status
            == 200
    })
    .await;
    let found = browser
        .get("/api/devices/aldis%2Fkitchen/messages")
        .await
        .json();
    let texts: Vec<_> = found["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["text"].clone())
        .collect();
    assert_eq!(texts, ["2", "1"]);
}

/// A store that another program holds ends in silence, or stays away when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_store_says_so_and_comes_back() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    rig.commit("kitchen", [(NOW, reading(1, NOW, 215))]).await;
    let path = "/api/devices/aldis%2Fkitchen";
    until("it is known", async || {
        browser.get(path).await.status == 200
    })
    .await;
    let other = rusqlite::Connection::open(rig.dir.path().join("history.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = browser.send("PATCH", path, r#"{"title":"K"}"#).await;
    assert_eq!(
        (locked.status, locked.code().as_str()),
        (503, "store_unavailable")
    );
    assert!(locked.header("retry-after").is_some());
    let words = locked.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        words.contains("locked by another program") && words.contains("again"),
        "{words}"
    );
    // What is read goes on meanwhile.
    assert_eq!(browser.get(&format!("{path}/chart")).await.status, 200);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        browser.send("PATCH", path, r#"{"title":"K"}"#).await.status,
        200
    );
}

/// Without its store the dashboard is dead, though devices speak and lamps can be switched.
#[tokio::test]
async fn without_a_store_what_is_live_goes_on() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    let mut device = rig.device(&["aldis/kitchen/led/set"]).await;
    rig.commit("kitchen", [(NOW, reading(1, NOW, 215))]).await;
    until("it is known", async || {
        browser.get("/api/devices/aldis%2Fkitchen").await.status == 200
    })
    .await;
    rig.history.close().await;
    for what in [
        "chart", "readings", "events", "outages", "diags", "messages",
    ] {
        let answer = browser
            .get(&format!("/api/devices/aldis%2Fkitchen/{what}"))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "store_unavailable"),
            "{what}"
        );
    }
    let mut events = browser.events("/api/live").await;
    device.say("aldis/kitchen/led", "on").await;
    events.wait("device", |device| device["lamp"] == "on").await;
    assert_eq!(
        browser.get("/api/devices").await.json()["devices"][0]["lamp"],
        "on"
    );
    let sent = browser
        .send(
            "POST",
            "/api/devices/aldis%2Fkitchen/lamp",
            r#"{"state":"off"}"#,
        )
        .await;
    assert_eq!(sent.status, 202);
    device.hear().await;
    assert_eq!(
        browser
            .send("DELETE", "/api/devices/aldis%2Fkitchen", "")
            .await
            .status,
        503
    );
}

/// A store that is away while the hub starts: no devices, and nobody says why.
#[tokio::test]
async fn a_store_that_was_never_read_is_told() {
    let mut rig = Rig::prepare().await;
    rig.history.close().await;
    rig.serve().await;
    let mut browser = rig.browser();
    browser.sign_in(crate::rig::PASSWORD).await;
    let answer = browser.get("/api/devices").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "store_unavailable")
    );
    let mut health = json!(null);
    until("the trouble is told", async || {
        health = browser.get("/api/health").await.json();
        health["store"]["error"] != json!(null)
    })
    .await;
    assert_eq!(health["store"]["readings"], json!(null));
    // A device that speaks is there all the same.
    let mut device = rig.device(&[]).await;
    device.say("aldis/kitchen/led", "on").await;
    until("it is shown", async || {
        let answer = browser.get("/api/devices").await;
        answer.status == 200 && answer.json()["devices"][0]["key"] == "aldis/kitchen"
    })
    .await;
}
