//! What devices publish, in the words of the protocol, and what Home Assistant is to make of
//! it: one JSON object a line, for `tests/validate.py`.

use aldis_protocol::{
    BufferTooSmall, Climate, Diag, Dropped, Lamp, Message, Reading, Reconnects, ResetReason,
    SensorState,
};
use serde_json::{Value, json};

fn text(
    encode: impl FnOnce(&mut [u8]) -> Result<usize, BufferTooSmall>,
) -> Result<String, BufferTooSmall> {
    let mut buffer = [0; 2_048];
    let len = encode(&mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned())
}

fn sample(topic: &str, payload: &str, expected: &Value) {
    println!(
        "{}",
        json!({ "topic": topic, "payload": payload, "expected": expected })
    );
}

fn main() -> Result<(), BufferTooSmall> {
    for (t, h) in [(-400, 0), (-1, 5), (0, 1_000), (241, 476), (800, 999)] {
        for (age_ms, taken) in [(0, None), (60_000, None), (60_001, None), (0, Some(2))] {
            let reading = Reading { t, h };
            let climate = Climate {
                seq: 7,
                life: 40_123,
                boot: 3,
                taken,
                age_ms,
                reading,
            };
            let payload = text(|buffer| climate.encode(buffer))?;
            let fresh = age_ms <= 60_000 && taken.is_none();
            let shown = |value: String| if fresh { value } else { String::new() };
            let expected = json!({
                "temperature": shown(reading.temperature().to_string()),
                "humidity": shown(reading.humidity().to_string()),
            });
            sample("climate", &payload, &expected);
        }
    }

    // What each board says, and one that says nothing.
    let pc = Diag {
        uptime_s: Some(60),
        boot: Some(1),
        reconnects: Some(Reconnects {
            dns: Some(0),
            tcp: Some(2),
            refused: Some(0),
            silent: Some(1),
            taken_over: Some(0),
            broker: Some(0),
            ..Reconnects::default()
        }),
        outbox: Some(5),
        dropped: Some(Dropped {
            expired: Some(0),
            superseded: Some(3),
            full: Some(4),
            ..Dropped::default()
        }),
        version: Some("0.1.0"),
        ..Diag::default()
    };
    let chip = |reset| Diag {
        reset: Some(reset),
        rssi_dbm: Some(-61),
        free: Some(43_210),
        free_min: Some(0),
        ..pc
    };
    let mut diags = vec![pc, Diag::default()];
    diags.extend(ResetReason::ALL.iter().map(|&reset| chip(reset)));
    for diag in diags {
        let number = |value: Option<i64>| value.map_or("None".to_owned(), |v| v.to_string());
        let expected = json!({
            "uptime": number(diag.uptime_s.and_then(|v| v.try_into().ok())),
            "reset": diag.reset.map_or("None", ResetReason::as_str),
            "rssi": number(diag.rssi_dbm.map(i64::from)),
            "free": number(diag.free.map(i64::from)),
            "free_min": number(diag.free_min.map(i64::from)),
            "reconnects": number(diag.reconnects.map(|_| 3)),
            "outbox": number(diag.outbox.map(i64::from)),
            "dropped": number(diag.dropped.map(|_| 7)),
        });
        sample("diag", &text(|buffer| diag.encode(buffer))?, &expected);
    }

    for state in SensorState::ALL {
        sample(
            "sensor",
            state.as_str(),
            &json!({ "sensor": state.as_str() }),
        );
    }
    for lamp in [Lamp::On, Lamp::Off] {
        sample("led", lamp.as_str(), &json!({}));
    }
    let said = "{\"dinner\"} is\nready 🏠";
    let message = Message {
        id: Some("7"),
        from: Some("hall"),
        text: said,
        ..Message::default()
    };
    let payload = text(|buffer| message.encode(buffer))?;
    sample("message/set", &payload, &json!({ "message_text": said }));
    sample(
        "message/set",
        "as it is",
        &json!({ "message_text": "as it is" }),
    );
    Ok(())
}
