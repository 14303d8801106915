//! What stands at the broker where a device is announced.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::abilities::{Abilities, Part, is_version};

/// What every hub's origin begins with.
pub const FAMILY: &str = "Aldis hub";

/// What stands at the broker under a device's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing, or nothing that is known of.
    #[default]
    Nothing,
    /// What this hub has announced.
    Mine {
        /// All of it.
        whole: u64,
    },
    /// What another hub of ours has announced.
    Other {
        /// All of it.
        whole: u64,
        /// What is the same at every hub.
        common: u64,
    },
    /// Somebody else's; not to be touched.
    Foreign,
    /// Nothing that Home Assistant would take.
    Garbage,
}

/// Looks at a payload, and what it says of the device if it is from one of our hubs.
pub fn read(payload: &[u8], origin: &str) -> (Standing, Abilities) {
    if payload.is_empty() {
        return (Standing::Nothing, Abilities::default());
    }
    let Ok(Value::Object(config)) = serde_json::from_slice(payload) else {
        return (Standing::Garbage, Abilities::default());
    };
    let config = Value::Object(config);
    // Others may write it short.
    let name = ["origin", "o"]
        .into_iter()
        .find_map(|origin| config.get(origin)?.get("name")?.as_str());
    let standing = match name {
        None => return (Standing::Garbage, Abilities::default()),
        Some(name) if name == origin => Standing::Mine {
            whole: whole(&config),
        },
        Some(name) if is_ours(name) => Standing::Other {
            whole: whole(&config),
            common: common(&config),
        },
        Some(_) => return (Standing::Foreign, Abilities::default()),
    };
    (standing, abilities(&config))
}

/// Whether an origin is one of our hubs.
fn is_ours(name: &str) -> bool {
    let rest = name.strip_prefix(FAMILY);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// A mark of all that it says.
pub fn whole(config: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Objects are sorted, so that order and spaces do not count.
    config.to_string().hash(&mut hasher);
    hasher.finish()
}

/// A mark of what is the same whichever hub says it, whatever it calls the device.
pub fn common(config: &Value) -> u64 {
    let field = |name| config.get(name).unwrap_or(&Value::Null);
    let device = |name| config.get("device").and_then(|device| device.get(name));
    whole(&json!([
        field("availability"),
        field("components"),
        field("qos"),
        device("identifiers"),
        device("sw_version"),
    ]))
}

fn abilities(config: &Value) -> Abilities {
    let mut abilities = Abilities::default();
    let version = config.pointer("/device/sw_version").and_then(Value::as_str);
    abilities.version = version
        .filter(|version| is_version(version))
        .map(str::to_owned);
    let component = |name| config.get("components")?.get(name)?.as_object();
    for part in Part::ALL {
        if component(part.component()).is_some_and(|component| component.len() > 1) {
            abilities.add(part);
        }
    }
    let expiry = component("temperature").and_then(|component| component.get("expire_after"));
    if let Some(seconds) = expiry.and_then(Value::as_u64) {
        abilities.seen_expiry(seconds);
    }
    abilities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Origin, device};

    fn origin(name: &str) -> Origin {
        Origin {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            configuration_url: None,
        }
    }

    /// A hub that forgets over its restart what a device can do takes away its sensors and
    /// gives them back.
    #[test]
    fn what_was_announced_tells_what_the_device_can_do() {
        let mut can = Abilities::default();
        can.version = Some("0.1.0".to_owned());
        can.add(Part::Rssi);
        can.add(Part::Dropped);
        can.seen_interval(std::time::Duration::from_secs(3_600));
        let config = device(&origin("Aldis hub a"), "aldis", "kitchen", None, &can);
        let (standing, read_back) = read(config.to_string().as_bytes(), "Aldis hub a");
        assert_eq!(
            standing,
            Standing::Mine {
                whole: whole(&config)
            }
        );
        assert_eq!(read_back, can);
    }

    /// Two hubs would overwrite each other for a title, or one would take a stranger's
    /// device away.
    #[test]
    fn whose_it_is() {
        let can = Abilities::default();
        let config = device(
            &origin("Aldis hub a"),
            "aldis",
            "kitchen",
            Some("Kitchen"),
            &can,
        );
        let mine = device(
            &origin("Aldis hub"),
            "aldis",
            "kitchen",
            Some("Küche"),
            &can,
        );
        let (standing, _) = read(config.to_string().as_bytes(), "Aldis hub");
        let other = Standing::Other {
            whole: whole(&config),
            common: common(&mine),
        };
        assert_eq!(standing, other);
        for (payload, expected) in [
            ("", Standing::Nothing),
            ("{", Standing::Garbage),
            ("[]", Standing::Garbage),
            ("{}", Standing::Garbage),
            (r#"{"o":{"name":7}}"#, Standing::Garbage),
            (r#"{"o":{"name":"zigbee2mqtt"}}"#, Standing::Foreign),
            (r#"{"origin":{"name":"Aldis hubcap"}}"#, Standing::Foreign),
        ] {
            assert_eq!(
                read(payload.as_bytes(), "Aldis hub").0,
                expected,
                "{payload}"
            );
        }
        assert_eq!(read(b"\xff\xfe", "Aldis hub").0, Standing::Garbage);
    }
}
