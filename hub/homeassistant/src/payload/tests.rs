use aldis_protocol::{Climate, Diag, Dropped, Reading, Reconnects};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use proptest::prelude::*;

use super::*;
use crate::schema::faults;

fn origin() -> Origin {
    Origin {
        name: "Aldis hub".to_owned(),
        version: "0.1.0".to_owned(),
        configuration_url: Some("http://hub.local:8080/devices/{key}".to_owned()),
    }
}

fn all() -> Abilities {
    let mut abilities = Abilities::default();
    for part in Part::ALL {
        abilities.add(part);
    }
    abilities.version = Some("0.1.0".to_owned());
    abilities
}

fn check(prefix: &str, id: &str, config: &Value) {
    let topic = format!(
        "homeassistant/device/{}/config",
        object_id::encode(&format!("{prefix}/{id}"))
    );
    let faults = faults("homeassistant", &topic, config.to_string().as_bytes());
    assert_eq!(faults, Vec::<String>::new());
}

/// Home Assistant refuses the whole device for one field, and says so only in its log.
#[test]
fn every_announcement_is_as_home_assistant_wants_it() {
    let some = {
        let mut some = Abilities::default();
        some.add(Part::Reset);
        some
    };
    for abilities in [Abilities::default(), some, all()] {
        let config = device(&origin(), "aldis", "kitchen", Some("Kitchen"), &abilities);
        check("aldis", "kitchen", &config);
        assert!(
            config.to_string().len() < 8_192,
            "{}",
            config.to_string().len()
        );
    }
}

/// A schema that finds nothing proves nothing.
#[test]
fn the_schema_finds_mistakes() {
    let good = device(&origin(), "aldis", "kitchen", None, &all());
    let wrong: [(&str, Value); 24] = [
        ("/origin", json!(null)),
        ("/origin/name", json!("")),
        ("/device/identifiers", json!([])),
        ("/device/name", json!(7)),
        ("/device/configuration_url", json!("hub.local")),
        ("/availability", json!([])),
        ("/availability/0/topic", json!("aldis/+/status")),
        ("/qos", json!(3)),
        ("/components/lamp", json!({})),
        ("/components/lamp", json!({ "platform": "lamp" })),
        ("/components/lamp/command_topic", json!("a\u{fffe}")),
        (
            "/components/lamp/unique_id",
            json!("aldis__kitchen.message"),
        ),
        ("/components/lamp/icon", json!("lightbulb")),
        ("/components/message_text/max", json!(256)),
        ("/components/message_text/min", json!(256)),
        ("/components/message_text/mode", json!("box")),
        ("/components/temperature/unit_of_measurement", json!("C")),
        ("/components/temperature/state_class", json!("total")),
        ("/components/temperature/expire_after", json!(-1)),
        ("/components/temperature/entity_category", json!("config")),
        ("/components/sensor/options", json!([])),
        ("/components/uptime/value_template", json!("{{ x }")),
        ("/components/restart/device_class", json!("reboot")),
        ("/components/outbox/unit_of_measurement", json!("%")),
    ];
    for (at, value) in wrong {
        let mut config = good.clone();
        let (parent, field) = at.rsplit_once('/').unwrap();
        match config.pointer_mut(at) {
            Some(there) => *there = value.clone(),
            None => config.pointer_mut(parent).unwrap()[field] = value.clone(),
        }
        let topic = "homeassistant/device/aldis__kitchen/config";
        let found = faults("homeassistant", topic, config.to_string().as_bytes());
        assert!(!found.is_empty(), "{at} = {value}");
    }
    for (topic, payload) in [
        ("homeassistant/device/a.b/config", good.to_string()),
        ("ha/device/a/config", good.to_string()),
        ("homeassistant/device/a/config", "[]".to_owned()),
    ] {
        assert!(
            !faults("homeassistant", topic, payload.as_bytes()).is_empty(),
            "{topic}"
        );
    }
    for more in ["/new", "/device/new", "/components/lamp/new", "/origin/new"] {
        let (at, key) = more.rsplit_once('/').unwrap();
        let mut config = good.clone();
        config.pointer_mut(at).unwrap()[key] = json!(1);
        let topic = "homeassistant/device/aldis__kitchen/config";
        assert!(
            !faults("homeassistant", topic, config.to_string().as_bytes()).is_empty(),
            "{more}"
        );
    }
}

/// A device that is called by ten kilobytes, by nothing, or by two lines.
#[test]
fn names_fit() {
    let name = |title: &str| {
        let config = device(
            &origin(),
            "aldis",
            "kitchen",
            Some(title),
            &Abilities::default(),
        );
        check("aldis", "kitchen", &config);
        config["device"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name("Küche \"oben\" 🏠"), "Küche \"oben\" 🏠");
    assert_eq!(name(" a\r\n\tb\0 "), "a b");
    assert_eq!(name(" \n"), "kitchen");
    assert_eq!(name(""), "kitchen");
    assert_eq!(name(&"🏠".repeat(10_000)), "🏠".repeat(100));
    assert_eq!(name("{{ 7 * 7 }}"), "{{ 7 * 7 }}");
}

/// The link on the device's page leads nowhere.
#[test]
fn the_address_is_of_the_device() {
    let config = device(&origin(), "aldis", "küche", None, &Abilities::default());
    let url = &config["device"]["configuration_url"];
    assert_eq!(url, "http://hub.local:8080/devices/aldis%2Fk%C3%BCche");
}

/// A value as Home Assistant takes it from a payload; `None` is unknown.
fn render(component: &str, payload: &str) -> String {
    let config = device(&origin(), "aldis", "kitchen", None, &all());
    let template = config["components"][component]["value_template"]
        .as_str()
        .unwrap();
    let mut environment = Environment::new();
    // What is undefined and used is an error, which Home Assistant logs each time.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_unknown_method_callback(|_, value, method, _| match method {
        "values" => {
            let keys = value.try_iter()?;
            keys.map(|key| value.get_item(&key)).collect()
        }
        _ => Err(minijinja::ErrorKind::UnknownMethod.into()),
    });
    let result = match serde_json::from_str::<Value>(payload) {
        Ok(json) => {
            let value_json = minijinja::Value::from(Serde(&json));
            environment.render_str(template, context! { value => payload, value_json })
        }
        Err(_) => environment.render_str(template, context! { value => payload }),
    };
    result.unwrap_or_else(|error| panic!("{component}, {payload}: {error}: {template}"))
}

fn encoded(
    encode: impl FnOnce(&mut [u8]) -> Result<usize, aldis_protocol::BufferTooSmall>,
) -> String {
    let mut buffer = [0; 512];
    let len = encode(&mut buffer).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

fn climate(age_ms: u64, taken: Option<u32>) -> String {
    let climate = Climate {
        seq: 7,
        life: 40_123,
        boot: 3,
        taken,
        age_ms,
        reading: Reading { t: -41, h: 476 },
    };
    encoded(|buffer| climate.encode(buffer))
}

/// Home Assistant shows another number than the device measured, or an hour-old one as
/// today's.
#[test]
fn readings_are_shown_while_they_are_fresh() {
    for (payload, t, h) in [
        (climate(0, None), "-4.1", "47.6"),
        (climate(60_000, None), "-4.1", "47.6"),
        (climate(60_001, None), "", ""),
        (climate(0, Some(2)), "", ""),
    ] {
        assert_eq!(render("temperature", &payload), t, "{payload}");
        assert_eq!(render("humidity", &payload), h, "{payload}");
    }
}

/// What a board does not say is shown as nought, or as what it was before.
#[test]
fn diagnostics_are_what_the_device_says_and_else_unknown() {
    let diag = Diag {
        uptime_s: Some(60),
        reset: Some(ResetReason::Brownout),
        rssi_dbm: Some(-61),
        free: Some(4_321),
        free_min: Some(1_234),
        reconnects: Some(Reconnects {
            tcp: Some(2),
            silent: Some(1),
            ..Reconnects::default()
        }),
        outbox: Some(5),
        dropped: Some(Dropped {
            expired: Some(0),
            full: Some(4),
            ..Dropped::default()
        }),
        version: Some("0.1.0"),
        ..Diag::default()
    };
    let full = encoded(|buffer| diag.encode(buffer));
    let none = encoded(|buffer| Diag::default().encode(buffer));
    for (component, value) in [
        ("uptime", "60"),
        ("reset", "brownout"),
        ("rssi", "-61"),
        ("free", "4321"),
        ("free_min", "1234"),
        ("reconnects", "3"),
        ("outbox", "5"),
        ("dropped", "4"),
    ] {
        assert_eq!(render(component, &full), value, "{component}");
        assert_eq!(render(component, &none), "None", "{component}");
    }
    for state in SensorState::ALL {
        assert_eq!(render("sensor", state.as_str()), state.as_str());
    }
}

/// One wrong payload and Home Assistant's log fills, or a sensor shows garbage.
#[test]
fn templates_survive_anything() {
    for payload in [
        "",
        "garbage",
        "null",
        "7",
        "\"x\"",
        "[]",
        "[1]",
        "{}",
        "true",
        "{",
        r#"{"t":"x","h":null,"age_ms":0}"#,
        r#"{"t":true,"h":false,"age_ms":0}"#,
        r#"{"t":1,"h":1,"age_ms":"0"}"#,
        r#"{"t":1,"h":1}"#,
        r#"{"t":{},"h":[],"age_ms":{}}"#,
        r#"{"uptime_s":"1","reset":["power"],"rssi_dbm":true,"free":{},"reconnects":5}"#,
        r#"{"reset":{"power":1},"outbox":null,"dropped":[1,2],"free_min":"None"}"#,
    ] {
        for component in ["temperature", "humidity"] {
            assert_eq!(render(component, payload), "", "{component} {payload}");
        }
        for part in Part::ALL {
            if part != Part::Restart {
                let component = part.component();
                assert_eq!(render(component, payload), "None", "{component} {payload}");
            }
        }
        assert_eq!(render("sensor", payload), "None", "{payload}");
        render("message_text", payload);
    }
    assert_eq!(
        render(
            "reconnects",
            r#"{"reconnects":{"tcp":"x","dns":2,"values":1}}"#
        ),
        "3"
    );
}

/// The field for a message shows JSON, or takes Home Assistant's limit for a mistake.
#[test]
fn the_last_message_is_shown() {
    assert_eq!(render("message_text", "dinner is ready"), "dinner is ready");
    assert_eq!(render("message_text", "1984"), "1984");
    let json = r#"{"id":"7","text":"dinner is ready","priority":"high"}"#;
    assert_eq!(render("message_text", json), "dinner is ready");
    assert_eq!(render("message_text", r#"{"text":7}"#), "");
    assert_eq!(render("message_text", &"é".repeat(256)), "é".repeat(255));
}

proptest! {
    /// An id or a title that somebody chose makes an announcement that is refused.
    #[test]
    fn no_name_makes_it_invalid(
        prefix in "[^/+#\\s\\pC$]{1,20}",
        id in "[^/+#\\s\\pC]{1,20}",
        title in proptest::option::of(".{0,300}"),
        version in proptest::option::of("[ -~]{1,64}"),
    ) {
        let mut abilities = all();
        abilities.version = version;
        check(&prefix, &id, &device(&origin(), &prefix, &id, title.as_deref(), &abilities));
    }
}
