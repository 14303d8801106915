//! Messages and how they are answered.

use aldis_history::{Answer, Diag, Message, Report, What};
use aldis_protocol::MessageState;

use super::{events, rows, said};
use crate::place::{NOON, Place, device};

on_both! {
    /// A message would be shown as many times as it was delivered.
    messages_are_stored_once
}

async fn messages_are_stored_once(place: Place) {
    let history = place.open().await;
    let message = |at, id: Option<&str>, from: Option<&str>, text: &str| {
        let message = Message {
            id: id.map(str::to_owned),
            from: from.map(str::to_owned),
            text: text.to_owned(),
        };
        said("a", at, What::Message(message))
    };
    let report = |at, state| {
        let report = Report {
            id: Some("7".to_owned()),
            state,
            at_ms: NOON + at,
            reason: None,
        };
        said("a", at + 50, What::MessageState(report))
    };
    let answer = |at, done| {
        let answer = Answer {
            id: Some("8".to_owned()),
            done,
            reason: (!done).then(|| "neither on, off nor toggle".to_owned()),
        };
        said("a", at, What::Answer(answer))
    };
    let batch = [
        message(0, Some("7"), Some("hall"), "dinner \"now\"\n\u{0}"),
        message(1, Some("7"), Some("hall"), "dinner"),
        // Two people count from one.
        message(2, Some("7"), None, "another"),
        message(3, None, None, "no id"),
        message(3, None, None, "no id"),
        message(4, None, None, "no id"),
        report(10, MessageState::Received),
        report(20, MessageState::Shown),
        report(25, MessageState::Received),
        answer(30, true),
        answer(31, true),
        answer(32, false),
        said(
            "a",
            40,
            What::Morse {
                text: "SOS".to_owned(),
                wpm: 12,
            },
        ),
    ];
    assert_eq!(history.commit(&batch).await.unwrap().events, 9);
    assert_eq!(history.commit(&batch).await.unwrap().events, 0);
    let expected = rows(&[
        (0, r#"{"from":"hall","id":"7","text":"dinner \"now\"\n"#),
        (2, r#"{"id":"7","text":"another"}"#),
        (3, r#"{"text":"no id"}"#),
        (4, r#"{"text":"no id"}"#),
        (10, r#"{"id":"7","state":"received"}"#),
        (20, r#"{"id":"7","state":"shown"}"#),
        (30, r#"{"done":true,"id":"8"}"#),
        (
            32,
            r#"{"done":false,"id":"8","reason":"neither on, off nor toggle"}"#,
        ),
        (40, r#"{"text":"SOS","wpm":12}"#),
    ]);
    let events = events(&history).await;
    assert_eq!(events.len(), expected.len());
    for ((at, value), (expected_at, expected)) in events.iter().zip(&expected) {
        assert_eq!(at, expected_at);
        // One is cut off in front of the sign for what cannot be stored.
        assert!(value.starts_with(&**expected), "{value}");
    }
    assert!(events[0].1.contains('\u{fffd}'));

    let diag = |at, uptime_s, body: &str| {
        let decoded = aldis_protocol::Diag::decode(body.as_bytes()).unwrap();
        let mut diag = Diag::of(5, &decoded, body);
        diag.uptime_s = uptime_s;
        said("a", at, What::Diag(Box::new(diag)))
    };
    let body = r#"{"boot":3,"reset":"power","rssi_dbm":-61,"free":9,"reconnects":{"tcp":2,"dns":1},"dropped":{"full":4}}"#;
    let batch = [
        diag(60_000, Some(60), body),
        diag(61_000, Some(60), body),
        diag(120_000, Some(120), body),
        diag(180_000, None, body),
    ];
    assert_eq!(history.commit(&batch).await.unwrap().diags, 3);
    assert_eq!(history.commit(&batch[..2]).await.unwrap().diags, 0);
    let diags = history.diags(&device("a"), 0, i64::MAX, 10).await.unwrap();
    assert_eq!(diags.len(), 3);
    let stored = &diags[1].diag;
    assert_eq!(diags[1].at_ms, NOON + 120_000);
    assert_eq!(
        (stored.life, stored.boot, stored.uptime_s),
        (5, 3, Some(120))
    );
    assert_eq!(
        (stored.rssi_dbm, stored.free, stored.free_min),
        (Some(-61), Some(9), None)
    );
    assert_eq!(
        (stored.reconnects, stored.dropped, stored.outbox),
        (Some(3), Some(4), None)
    );
    assert_eq!(
        (stored.reset.as_deref(), &*stored.body),
        (Some("power"), body)
    );
    let latest = history.latest(&device("a")).await.unwrap();
    assert_eq!(latest.diag, Some((NOON + 180_000, body.to_owned())));
}
