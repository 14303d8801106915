//! What Home Assistant is told of a device: one message, by its device-based discovery.
//!
//! A payload is a function of the device alone. Every component that there can be is in it:
//! one that the device does not have with its platform alone, which has Home Assistant
//! remove it.

use aldis_protocol::message::MAX_TEXT_LEN;
use aldis_protocol::{Availability, Lamp, LampCommand, ResetReason, SensorState};
use serde_json::{Map, Value, json};

use crate::abilities::{Abilities, Part};
use crate::object_id;

/// The longest name of a device, in characters.
const MAX_NAME: usize = 100;
/// The longest state that Home Assistant keeps, in characters.
const MAX_STATE: usize = 255;
/// A reading that is older when it is sent is of the past.
const FRESH_MS: u32 = 60_000;

/// Who announces.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What tells this hub from others.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where a device is looked after: an address, with `{key}` for the device's key.
    pub configuration_url: Option<String>,
}

/// The payload for a device.
pub fn device(
    origin: &Origin,
    prefix: &str,
    id: &str,
    title: Option<&str>,
    abilities: &Abilities,
) -> Value {
    let key = format!("{prefix}/{id}");
    let object_id = object_id::encode(&key);
    let mut device = json!({
        "identifiers": [object_id],
        "name": name(title).unwrap_or_else(|| id.to_owned()),
        "manufacturer": "Aldis",
        "model": "Aldis device",
    });
    if let Some(version) = &abilities.version {
        device["sw_version"] = json!(version);
    }
    if let Some(url) = &origin.configuration_url {
        device["configuration_url"] = json!(url.replace("{key}", &percent_encoded(&key)));
    }
    json!({
        "device": device,
        "origin": { "name": origin.name, "sw_version": origin.version },
        "availability": [{
            "topic": format!("{key}/status"),
            "payload_available": Availability::Online.as_str(),
            "payload_not_available": Availability::Offline.as_str(),
        }],
        "qos": 1,
        "components": components(&key, &object_id, abilities),
    })
}

/// A title as a name: of one line, and not endless.
fn name(title: Option<&str>) -> Option<String> {
    let words = title?.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let name: String = line.chars().take(MAX_NAME).collect();
    (!name.is_empty()).then_some(name)
}

fn percent_encoded(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn components(key: &str, object_id: &str, abilities: &Abilities) -> Map<String, Value> {
    let mut components = Map::new();
    let mut add = |name: &str, mut component: Value| {
        // A component with nothing but a platform is to be removed, and needs no name.
        if component
            .as_object()
            .is_some_and(|component| component.len() > 1)
        {
            // What has no dot before it has no dot: the two parts cannot be mixed up.
            component["unique_id"] = json!(format!("{object_id}.{name}"));
        }
        components.insert(name.to_owned(), component);
    };
    add(
        "temperature",
        climate(key, abilities, "t", "temperature", "°C"),
    );
    add("humidity", climate(key, abilities, "h", "humidity", "%"));
    add(
        "sensor",
        words(
            key,
            "sensor",
            "Sensor",
            SensorState::ALL.iter().map(|s| s.as_str()),
            "value",
        ),
    );
    add("lamp", lamp(key));
    add("message", notify(key));
    add("message_text", text(key));
    for part in Part::ALL {
        let component = match abilities.has(part) {
            true => present(key, part),
            false => json!({ "platform": platform(part) }),
        };
        add(part.component(), component);
    }
    components
}

const fn platform(part: Part) -> &'static str {
    match part {
        Part::Restart => "button",
        _ => "sensor",
    }
}

/// Temperature or humidity. What was measured long ago is no news, and goes by: the device
/// sends it after an outage, for whoever keeps the past.
fn climate(key: &str, abilities: &Abilities, field: &str, class: &str, unit: &str) -> Value {
    json!({
        "platform": "sensor",
        "device_class": class,
        "state_class": "measurement",
        "unit_of_measurement": unit,
        "suggested_display_precision": 1,
        "state_topic": format!("{key}/climate"),
        "value_template": format!(
            "{{% set j = value_json | default({{}}) %}}{{{{ j.{field} if j.{field} is number \
             and j.{field} is not boolean and j.age_ms is number and j.age_ms <= {FRESH_MS} \
             and j.taken is not defined else '' }}}}"
        ),
        "expire_after": abilities.expiry_s(),
    })
}

/// The lamp shows what the device says of it, not what it was told.
fn lamp(key: &str) -> Value {
    json!({
        "platform": "switch",
        "name": "Lamp",
        "icon": "mdi:lightbulb",
        "command_topic": format!("{key}/led/set"),
        "payload_on": LampCommand::On.as_str(),
        "payload_off": LampCommand::Off.as_str(),
        "state_topic": format!("{key}/led"),
        "state_on": Lamp::On.as_str(),
        "state_off": Lamp::Off.as_str(),
        "optimistic": false,
        "retain": false,
    })
}

/// As JSON, so that no text is taken for anything else; what a device would refuse as too
/// long is cut.
fn message_template() -> String {
    format!(
        "{{{{ {{'text': value.encode()[:{MAX_TEXT_LEN}].decode(errors='ignore')}} | to_json }}}}"
    )
}

fn notify(key: &str) -> Value {
    json!({
        "platform": "notify",
        "name": "Message",
        "icon": "mdi:message-text",
        "command_topic": format!("{key}/message/set"),
        "command_template": message_template(),
        "retain": false,
    })
}

/// Shows the last message to the device, whoever sent it.
fn text(key: &str) -> Value {
    json!({
        "platform": "text",
        "name": "Message text",
        "icon": "mdi:message-text",
        "mode": "text",
        "min": 0,
        "max": MAX_STATE,
        "command_topic": format!("{key}/message/set"),
        "command_template": message_template(),
        "state_topic": format!("{key}/message/set"),
        "value_template": format!(
            "{{% set t = value_json.text if value_json is mapping else value %}}\
             {{{{ t[:{MAX_STATE}] if t is string else '' }}}}"
        ),
        "optimistic": false,
        "retain": false,
    })
}

/// One of some words, or unknown.
fn words(
    key: &str,
    topic: &str,
    name: &str,
    words: impl Iterator<Item = &'static str>,
    value: &str,
) -> Value {
    let options: Vec<_> = words.collect();
    json!({
        "platform": "sensor",
        "name": name,
        "device_class": "enum",
        "options": options,
        "entity_category": "diagnostic",
        "state_topic": format!("{key}/{topic}"),
        "value_template": format!(
            "{{% set v = {value} %}}{{{{ v if v in ['{}'] else none }}}}",
            options.join("', '")
        ),
    })
}

/// A number of `diag`, or unknown.
fn number(field: &str) -> String {
    format!(
        "{{% set v = (value_json | default({{}})).{field} %}}\
         {{{{ v if v is number and v is not boolean else none }}}}"
    )
}

/// The sum of an object of counters in `diag`, or unknown.
fn sum(field: &str) -> String {
    format!(
        "{{% set v = (value_json | default({{}})).{field} %}}\
         {{{{ v.values() | select('number') | sum if v is mapping else none }}}}"
    )
}

fn present(key: &str, part: Part) -> Value {
    let diag = |name: &str, template: String, more: Value| {
        let mut component = json!({
            "platform": "sensor",
            "name": name,
            "entity_category": "diagnostic",
            "state_topic": format!("{key}/diag"),
            "value_template": template,
        });
        if let (Some(component), Value::Object(more)) = (component.as_object_mut(), more) {
            component.extend(more);
        }
        component
    };
    // Those that change each minute are off until somebody wants them.
    match part {
        Part::Uptime => diag(
            "Uptime",
            number("uptime_s"),
            json!({ "device_class": "duration", "unit_of_measurement": "s",
                "state_class": "total_increasing", "enabled_by_default": false }),
        ),
        Part::Reset => {
            let reasons = ResetReason::ALL.iter().map(|reason| reason.as_str());
            words(
                key,
                "diag",
                "Reset reason",
                reasons,
                "(value_json | default({})).reset | default(none)",
            )
        }
        Part::Rssi => diag(
            "Signal strength",
            number("rssi_dbm"),
            json!({ "device_class": "signal_strength", "unit_of_measurement": "dBm",
                "state_class": "measurement", "suggested_display_precision": 0,
                "enabled_by_default": false }),
        ),
        Part::Free => diag("Free memory", number("free"), memory()),
        Part::FreeMin => diag("Least free memory", number("free_min"), memory()),
        Part::Reconnects => diag(
            "Reconnects",
            sum("reconnects"),
            json!({ "state_class": "total_increasing", "icon": "mdi:lan-disconnect",
                "suggested_display_precision": 0 }),
        ),
        Part::Outbox => diag(
            "Readings waiting",
            number("outbox"),
            json!({ "state_class": "measurement", "icon": "mdi:tray-full",
                "suggested_display_precision": 0 }),
        ),
        Part::Dropped => diag(
            "Dropped",
            sum("dropped"),
            json!({ "state_class": "total_increasing", "icon": "mdi:tray-remove",
                "suggested_display_precision": 0 }),
        ),
        Part::Restart => json!({
            "platform": "button",
            "name": "Restart",
            "device_class": "restart",
            "entity_category": "config",
            "command_topic": format!("{key}/restart"),
            "payload_press": "restart",
            "retain": false,
        }),
    }
}

fn memory() -> Value {
    json!({ "device_class": "data_size", "unit_of_measurement": "B",
        "state_class": "measurement", "suggested_display_precision": 0,
        "enabled_by_default": false })
}

#[cfg(test)]
#[path = "payload/tests.rs"]
mod tests;
