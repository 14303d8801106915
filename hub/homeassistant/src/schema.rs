//! What Home Assistant 2026.11 takes as a device's announcement, written from the schemas of
//! its MQTT integration. Stricter where a mistake would go unseen: Home Assistant passes over
//! what a component should not have.

use std::collections::HashSet;

use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// What a payload may be shared or had by each kind of component.
const ENTITY: [&str; 10] = [
    "platform",
    "unique_id",
    "name",
    "icon",
    "qos",
    "entity_category",
    "enabled_by_default",
    "default_entity_id",
    "availability",
    "message_expiry_interval",
];

/// All that is wrong with an announcement at this topic under this discovery prefix.
pub fn faults(prefix: &str, topic: &str, payload: &[u8]) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    let object_id = topic
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix("/device/")?.strip_suffix("/config"));
    match object_id {
        Some(id) if is_object_id(id) => {}
        _ => faults.add("topic", "is none for a device"),
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(config)) => faults.device(&config),
        _ => faults.add("payload", "is no JSON object"),
    }
    faults.0
}

fn is_object_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !id.is_empty() && id.chars().all(allowed)
}

fn is_topic(topic: &str) -> bool {
    let forbidden = |c: char| {
        let code = u32::from(c);
        let no_character = (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
        c.is_control() || no_character || matches!(c, '+' | '#')
    };
    (1..=65_535).contains(&topic.len()) && !topic.contains(forbidden)
}

struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, at: &str, what: &str) {
        self.0.push(format!("{at} {what}"));
    }

    fn only(&mut self, at: &str, object: &Object, known: &[&[&str]]) {
        for key in object.keys() {
            if !known.iter().any(|known| known.contains(&key.as_str())) {
                self.add(&format!("{at}.{key}"), "is unknown");
            }
        }
    }

    /// A field that passes; one that is needed is there.
    fn field(
        &mut self,
        at: &str,
        object: &Object,
        name: &str,
        needed: bool,
        passes: impl Fn(&Value) -> bool,
    ) {
        match object.get(name) {
            None if needed => self.add(&format!("{at}.{name}"), "is missing"),
            Some(value) if !passes(value) => {
                self.add(&format!("{at}.{name}"), &format!("cannot be {value}"));
            }
            _ => {}
        }
    }

    fn text(&mut self, at: &str, object: &Object, name: &str, needed: bool) {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        self.field(at, object, name, needed, is_text);
    }

    fn topic(&mut self, at: &str, object: &Object, name: &str, needed: bool) {
        self.field(at, object, name, needed, |value| {
            value.as_str().is_some_and(is_topic)
        });
    }

    fn one_of(&mut self, at: &str, object: &Object, name: &str, words: &[&str]) {
        self.field(at, object, name, false, |value| {
            value.as_str().is_some_and(|word| words.contains(&word))
        });
    }

    fn bool(&mut self, at: &str, object: &Object, name: &str) {
        self.field(at, object, name, false, Value::is_boolean);
    }

    fn number(&mut self, at: &str, object: &Object, name: &str, most: u64) {
        self.field(at, object, name, false, |value| {
            value.as_u64().is_some_and(|number| number <= most)
        });
    }

    fn device(&mut self, config: &Object) {
        self.only(
            "",
            config,
            &[&["device", "origin", "components", "availability", "qos"]],
        );
        self.number("", config, "qos", 2);
        match config.get("device").and_then(Value::as_object) {
            Some(device) => self.device_info(device),
            None => self.add("device", "is missing"),
        }
        match config.get("origin").and_then(Value::as_object) {
            Some(origin) => {
                self.only("origin", origin, &[&["name", "sw_version", "support_url"]]);
                self.text("origin", origin, "name", true);
                self.text("origin", origin, "sw_version", false);
            }
            None => self.add("origin", "is missing"),
        }
        match config.get("availability").and_then(Value::as_array) {
            Some(all) if !all.is_empty() => all.iter().for_each(|one| self.availability(one)),
            _ => self.add("availability", "is missing"),
        }
        let Some(components) = config.get("components").and_then(Value::as_object) else {
            return self.add("components", "are missing");
        };
        let mut ids = HashSet::new();
        for (name, component) in components {
            if !is_object_id(name) {
                self.add(name, "cannot be the name of a component");
            }
            match component.as_object() {
                Some(component) => self.component(name, component),
                None => self.add(name, "is no object"),
            }
            if let Some(id) = component.get("unique_id")
                && !ids.insert(id.to_string())
            {
                self.add(name, "has another's unique_id");
            }
        }
    }

    fn device_info(&mut self, device: &Object) {
        const TEXTS: [&str; 8] = [
            "name",
            "manufacturer",
            "model",
            "model_id",
            "hw_version",
            "sw_version",
            "serial_number",
            "suggested_area",
        ];
        self.only(
            "device",
            device,
            &[&TEXTS, &["identifiers", "configuration_url"]],
        );
        for name in TEXTS {
            self.text("device", device, name, name == "name");
        }
        self.field("device", device, "identifiers", true, |value| {
            value.as_array().is_some_and(|ids| {
                !ids.is_empty()
                    && ids
                        .iter()
                        .all(|id| id.as_str().is_some_and(|id| !id.is_empty()))
            })
        });
        self.field("device", device, "configuration_url", false, |value| {
            value.as_str().is_some_and(|url| {
                let rest = ["http://", "https://"]
                    .iter()
                    .find_map(|s| url.strip_prefix(s));
                rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
                    && url.chars().all(|c| c.is_ascii_graphic())
            })
        });
    }

    fn availability(&mut self, availability: &Value) {
        let Some(availability) = availability.as_object() else {
            return self.add("availability", "is no object");
        };
        let at = "availability";
        let known = ["topic", "payload_available", "payload_not_available"];
        self.only(at, availability, &[&known]);
        self.topic(at, availability, "topic", true);
        self.text(at, availability, "payload_available", false);
        self.text(at, availability, "payload_not_available", false);
    }

    fn component(&mut self, at: &str, component: &Object) {
        const STATE: [&str; 2] = ["state_topic", "value_template"];
        const COMMAND: [&str; 3] = ["command_topic", "command_template", "retain"];
        self.one_of(
            at,
            component,
            "platform",
            &["sensor", "switch", "notify", "text", "button"],
        );
        if component.len() == 1 {
            // To be removed.
            return self.text(at, component, "platform", true);
        }
        self.text(at, component, "unique_id", true);
        self.text(at, component, "name", false);
        self.number(at, component, "qos", 2);
        self.bool(at, component, "enabled_by_default");
        self.one_of(at, component, "entity_category", &["diagnostic", "config"]);
        self.field(at, component, "icon", false, |icon| {
            icon.as_str().is_some_and(|icon| icon.starts_with("mdi:"))
        });
        self.template(at, component, "value_template");
        self.template(at, component, "command_template");
        self.bool(at, component, "retain");
        self.bool(at, component, "optimistic");
        self.topic(at, component, "state_topic", false);
        self.topic(at, component, "command_topic", false);
        match component.get("platform").and_then(Value::as_str) {
            Some("sensor") => self.sensor(at, component, &STATE),
            Some("switch") => {
                let more = [
                    "payload_on",
                    "payload_off",
                    "state_on",
                    "state_off",
                    "optimistic",
                ];
                self.only(at, component, &[&ENTITY, &STATE, &COMMAND, &more]);
                self.topic(at, component, "command_topic", true);
                for payload in more.iter().take(4) {
                    self.text(at, component, payload, false);
                }
            }
            Some("notify") => {
                self.only(at, component, &[&ENTITY, &COMMAND]);
                self.topic(at, component, "command_topic", true);
            }
            Some("text") => {
                let more = ["mode", "min", "max", "pattern", "optimistic"];
                self.only(at, component, &[&ENTITY, &STATE, &COMMAND, &more]);
                self.topic(at, component, "command_topic", true);
                self.one_of(at, component, "mode", &["text", "password"]);
                self.number(at, component, "max", 255);
                let limit = |name, otherwise| {
                    let limit = component.get(name).and_then(Value::as_u64);
                    limit.unwrap_or(otherwise)
                };
                self.number(at, component, "min", limit("max", 255));
            }
            Some("button") => {
                let more = ["device_class", "payload_press"];
                self.only(at, component, &[&ENTITY, &COMMAND, &more]);
                self.topic(at, component, "command_topic", true);
                self.text(at, component, "payload_press", false);
                self.one_of(
                    at,
                    component,
                    "device_class",
                    &["identify", "restart", "update"],
                );
            }
            _ => self.add(at, "has no platform"),
        }
    }

    fn sensor(&mut self, at: &str, component: &Object, state: &[&str]) {
        const MORE: [&str; 6] = [
            "device_class",
            "state_class",
            "unit_of_measurement",
            "suggested_display_precision",
            "expire_after",
            "options",
        ];
        self.only(at, component, &[&ENTITY, state, &MORE]);
        self.topic(at, component, "state_topic", true);
        self.number(at, component, "suggested_display_precision", 10);
        self.number(at, component, "expire_after", u64::MAX);
        // A sensor cannot be a setting.
        self.one_of(at, component, "entity_category", &["diagnostic"]);
        let text = |name: &str| {
            component
                .get(name)
                .map(|value| value.as_str().unwrap_or("?"))
        };
        let all = ["measurement", "total", "total_increasing"];
        let only = &["measurement"][..];
        let (units, states): (Option<&[&str]>, &[&str]) = match text("device_class") {
            None => (None, &all),
            Some("temperature") => (Some(&["°C"]), only),
            Some("humidity") => (Some(&["%"]), only),
            Some("signal_strength") => (Some(&["dBm"]), only),
            Some("duration") => (Some(&["s"]), &all),
            Some("data_size") => (Some(&["B"]), &all),
            Some("enum") => (Some(&[]), &[]),
            Some(_) => return self.add(at, "has an unknown device class"),
        };
        match (units, text("unit_of_measurement")) {
            (None, None) | (Some([]), None) => {}
            (Some(units), Some(unit)) if units.contains(&unit) => {}
            (_, unit) => self.add(at, &format!("cannot have the unit {unit:?}")),
        }
        if text("state_class").is_some_and(|class| !states.contains(&class)) {
            self.add(at, "has an impossible state class");
        }
        let options = component.get("options").and_then(Value::as_array);
        let is_enum = text("device_class") == Some("enum");
        if is_enum != options.is_some_and(|options| !options.is_empty()) {
            self.add(at, "has options without being an enum, or none");
        }
    }

    /// Braces that match; what a template gives is tested where it is rendered.
    fn template(&mut self, at: &str, component: &Object, name: &str) {
        self.field(at, component, name, false, |template| {
            let Some(template) = template.as_str() else {
                return false;
            };
            let count = |what| template.matches(what).count();
            count("{{ ") >= 1 && count("{{ ") == count(" }}") && count("{% ") == count(" %}")
        });
    }
}
