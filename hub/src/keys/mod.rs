//! The keys of a hub: its owner's password and the devices that were paired with it.

mod file;
mod ring;
mod secret;

use std::collections::BTreeMap;

use aldis_protocol::Topic;
use aldis_protocol::topic::{DEFAULT_COMMAND, DEFAULT_PREFIX, DEFAULT_READOUT};
use aldis_protocol::topic::{MAX_ID_LEN, MAX_LEN};
use aldis_protocol::topic::{check_id, check_prefix, check_topic};
use argon2::password_hash::PasswordHash;
use serde::{Deserialize, Serialize};

pub use file::{KeysError, KeysFile};
pub use ring::Keyring;
pub(crate) use secret::letters;
pub use secret::{DevicePassword, OwnerPassword};

/// The user name of the owner.
pub const OWNER: &str = "owner";

/// The longest topic below `answer`, with a level of its own as long as an id. Topics are
/// remembered by those who look on, and a device may make up as many as it likes.
const MAX_ANSWER_LEN: usize = MAX_LEN + 1 + MAX_ID_LEN;
/// The user name of the hub's own parts. Names with `$` are nobody else's.
pub(crate) const INNER: &str = "$hub";

/// The owner, the devices, and whether anybody else may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The hash of the owner's password, once there is one.
    pub owner: Option<String>,
    /// Whether clients of this machine may come in without a name.
    pub anonymous: bool,
    /// The devices by their ids, which are their user names and client ids as well.
    pub devices: BTreeMap<String, Device>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            owner: None,
            anonymous: true,
            devices: BTreeMap::new(),
        }
    }
}

/// A device that was paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What its topics begin with.
    pub prefix: String,
    /// The hash of its password.
    pub password: String,
    /// The devices to which it may send messages.
    pub peers: Vec<String>,
    /// Where its plain readout goes, if anywhere.
    pub readout: Option<String>,
    /// Where it takes plain commands from, if from anywhere.
    pub command: Option<String>,
    /// When it was paired, in RFC 3339.
    pub created: Option<String>,
}

impl Device {
    /// A device with the usual topics and this hash of its password.
    pub fn new(password: String) -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            password,
            peers: Vec::new(),
            readout: Some(DEFAULT_READOUT.to_owned()),
            command: Some(DEFAULT_COMMAND.to_owned()),
            created: None,
        }
    }

    /// Whether the device of this id may publish there, and so that the broker keeps it.
    pub(crate) fn may_publish(&self, id: &str, topic: &str, retain: bool) -> bool {
        if let Some((whose, what)) = Topic::parse(&self.prefix, topic) {
            return match whose == id {
                true => says(what).is_some_and(|kept| kept || !retain),
                // What is kept would come again to whoever subscribes.
                false => {
                    what == Topic::MessageSet
                        && !retain
                        && self.peers.iter().any(|peer| peer == whose)
                }
            };
        }
        let is_readout = self.readout.as_deref() == Some(topic);
        !retain && (is_readout || self.is_answer(id, topic))
    }

    /// Whether the topic is a place for answers to this device's commands: one below `answer`.
    fn is_answer(&self, id: &str, topic: &str) -> bool {
        if topic.len() > MAX_ANSWER_LEN {
            return false;
        }
        topic
            .strip_prefix(self.prefix.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_prefix(id))
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_prefix(Topic::Answer.as_str()))
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the device of this id may subscribe to the filter.
    pub(crate) fn may_subscribe(&self, id: &str, filter: &str) -> bool {
        // With a wildcard in it, it is nobody's topic.
        match Topic::parse(&self.prefix, filter) {
            Some((whose, what)) => whose == id && hears(what),
            None => self.command.as_deref() == Some(filter),
        }
    }
}

/// Whether a device publishes on its own topic; if so, whether the broker may keep it.
const fn says(topic: Topic) -> Option<bool> {
    match topic {
        Topic::Sensor | Topic::Led | Topic::Status => Some(true),
        Topic::Climate
        | Topic::Diag
        | Topic::MessageState
        | Topic::MorseHeard
        | Topic::Answer
        | Topic::Start => Some(false),
        Topic::ClimateAck
        | Topic::LedSet
        | Topic::MessageSet
        | Topic::MorseSet
        | Topic::Restart => None,
    }
}

/// Whether a device subscribes to its own topic.
const fn hears(topic: Topic) -> bool {
    match topic {
        Topic::ClimateAck
        | Topic::LedSet
        | Topic::MessageSet
        | Topic::MorseSet
        | Topic::Restart
        | Topic::Start => true,
        Topic::Climate
        | Topic::Sensor
        | Topic::Led
        | Topic::Status
        | Topic::Diag
        | Topic::MessageState
        | Topic::MorseHeard
        | Topic::Answer => false,
    }
}

/// Checks the id of a device that is to be paired.
///
/// # Errors
/// If it is no device's id, or the hub's own name.
pub fn check_device_id(id: &str) -> Result<(), String> {
    check_id(id).map_err(|error| error.to_string())?;
    if id == OWNER || id.starts_with('$') {
        return Err("the hub has this name for itself; choose another".to_owned());
    }
    if let Some(c) = id.chars().find(|c| is_invisible(*c)) {
        return Err(format!(
            "the character U+{:04X} is not seen, so that it looks like another id; leave it out",
            u32::from(c)
        ));
    }
    Ok(())
}

/// Whether a character takes no room, or changes the direction of others.
fn is_invisible(c: char) -> bool {
    matches!(
        u32::from(c),
        0xad | 0x34f
            | 0x61c
            | 0x115f
            | 0x1160
            | 0x17b4
            | 0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
    )
}

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    // Not left out: a file that lost its content is a mistake, and opens nothing.
    anonymous: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerSection>,
    #[serde(default, rename = "device", skip_serializing_if = "Vec::is_empty")]
    devices: Vec<DeviceSection>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerSection {
    password: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceSection {
    id: String,
    #[serde(default = "usual_prefix")]
    prefix: String,
    password: String,
    #[serde(default)]
    peers: Vec<String>,
    #[serde(default = "usual_readout")]
    readout: Place,
    #[serde(default = "usual_command")]
    command: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

/// A topic, or `false`, as in a device's own file.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a topic, or false")]
enum Place {
    At(String),
    Nowhere(bool),
}

impl Place {
    fn from_topic(topic: Option<&str>) -> Self {
        topic.map_or(Self::Nowhere(false), |topic| Self::At(topic.to_owned()))
    }
}

fn usual_prefix() -> String {
    DEFAULT_PREFIX.to_owned()
}

fn usual_readout() -> Place {
    Place::At(DEFAULT_READOUT.to_owned())
}

fn usual_command() -> Place {
    Place::At(DEFAULT_COMMAND.to_owned())
}

/// Above it when the file is written.
const HEAD: &str = "\
# The keys of this hub: hashes of passwords, no passwords. `aldis hub pair`, `unpair`, `password`
# and `anonymous` write this file; what is changed by hand counts as well, within a second.

";

impl Keys {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// With the line, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Document =
            toml::from_str(text).map_err(|error| crate::config::explain(text, &error))?;
        // The line of a value that is in the file as it was read.
        let fault = |value: &str, what: String| {
            let at = text
                .find(&format!("\"{value}\""))
                .or_else(|| text.find(value))
                .and_then(|at| text.get(..at));
            let line = at.map_or(1, crate::config::line_after);
            format!("line {line}: {what}")
        };
        let mut keys = Self {
            anonymous: document.anonymous,
            owner: document.owner.map(|owner| owner.password),
            devices: BTreeMap::new(),
        };
        if let Some(hash) = &keys.owner {
            check_hash(hash).map_err(|what| fault(hash, format!("the owner's {what}")))?;
        }
        for section in document.devices {
            let id = section.id.clone();
            let (id, device) = section
                .into_device()
                .map_err(|(value, what)| fault(&value, format!("the device `{id}`: {what}")))?;
            if keys.devices.contains_key(&id) {
                return Err(fault(
                    &id,
                    format!("the device `{id}` is there twice; keep one"),
                ));
            }
            keys.devices.insert(id, device);
        }
        Ok(keys)
    }

    /// The text of the file.
    fn text(&self) -> Result<String, toml::ser::Error> {
        let devices = self.devices.iter().map(|(id, device)| DeviceSection {
            id: id.clone(),
            prefix: device.prefix.clone(),
            password: device.password.clone(),
            peers: device.peers.clone(),
            readout: Place::from_topic(device.readout.as_deref()),
            command: Place::from_topic(device.command.as_deref()),
            created: device.created.clone(),
        });
        let document = Document {
            anonymous: self.anonymous,
            owner: self.owner.clone().map(|password| OwnerSection { password }),
            devices: devices.collect(),
        };
        Ok(format!("{HEAD}{}", toml::to_string(&document)?))
    }

    /// The hash of this user's password, if the user is among them.
    pub(crate) fn hash_of(&self, user: &str) -> Option<&str> {
        match user {
            OWNER => self.owner.as_deref(),
            id => self.devices.get(id).map(|device| device.password.as_str()),
        }
    }
}

impl DeviceSection {
    /// The device, or the value that is wrong and what would be right.
    fn into_device(self) -> Result<(String, Device), (String, String)> {
        let id = self.id;
        let place = |place: Place, of: &str| match place {
            Place::At(topic) => Ok(Some(topic)),
            Place::Nowhere(false) => Ok(None),
            Place::Nowhere(true) => Err((
                id.clone(),
                format!("`{of} = true`: write the topic, or `false`"),
            )),
        };
        let device = Device {
            readout: place(self.readout, "readout")?,
            command: place(self.command, "command")?,
            prefix: self.prefix,
            password: self.password,
            peers: self.peers,
            created: self.created,
        };
        device.fault(&id).map_or(Ok(()), Err)?;
        Ok((id, device))
    }
}

impl Device {
    /// Checks what it would be granted under this id.
    ///
    /// # Errors
    /// If something is no name, no topic or no hash, or would open what is another's.
    pub fn check(&self, id: &str) -> Result<(), String> {
        self.fault(id).map_or(Ok(()), |(_, what)| Err(what))
    }

    /// A value that is wrong, and what would be right.
    fn fault(&self, id: &str) -> Option<(String, String)> {
        let fault = |value: &str, what: String| Some((value.to_owned(), what));
        if let Err(what) = check_device_id(id) {
            return fault(id, what);
        }
        if let Err(what) = check_hash(&self.password) {
            return fault(&self.password, what);
        }
        if let Err(error) = check_prefix(&self.prefix) {
            return fault(&self.prefix, error.to_string());
        }
        for peer in &self.peers {
            if let Err(what) = check_device_id(peer) {
                return fault(peer, format!("the peer `{peer}`: {what}"));
            }
            if peer == id {
                return fault(peer, format!("the peer `{peer}`: is the device itself"));
            }
        }
        let places = [("readout", &self.readout), ("command", &self.command)];
        for (of, topic) in places {
            let Some(topic) = topic else { continue };
            if let Err(error) = check_topic(topic) {
                return fault(topic, format!("`{of} = \"{topic}\"`: {error}"));
            }
            // It would open what belongs to this device, or to another with its prefix.
            let rest = topic.strip_prefix(&self.prefix);
            if rest.is_some_and(|rest| rest.starts_with('/')) {
                let own = format!("is among the devices' own topics, `{}/...`", self.prefix);
                return fault(topic, format!("`{of} = \"{topic}\"`: {own}"));
            }
        }
        None
    }
}

fn check_hash(hash: &str) -> Result<(), String> {
    if PasswordHash::new(hash).is_ok_and(|hash| hash.hash.is_some()) {
        return Ok(());
    }
    Err("password is not a hash; make one with `aldis hub --hash-password`".to_owned())
}

#[cfg(test)]
mod tests {
    use aldis_protocol::topic::{MAX_ID_LEN, MAX_LEN};
    use aldis_protocol::{Topic, Topics};

    use super::{Device, Keys, MAX_ANSWER_LEN, OWNER, check_device_id};
    use crate::access::hash_password;

    fn kitchen() -> Device {
        Device {
            peers: vec!["attic".to_owned()],
            ..Device::new(String::new())
        }
    }

    /// A device that cannot do its work with what it is granted.
    #[test]
    fn a_device_may_do_what_devices_do() {
        let device = kitchen();
        let topics = Topics::new("aldis", "kitchen").unwrap();
        for (topic, says, kept, hears) in [
            (Topic::Climate, true, false, false),
            (Topic::ClimateAck, false, false, true),
            (Topic::Sensor, true, true, false),
            (Topic::Led, true, true, false),
            (Topic::LedSet, false, false, true),
            (Topic::Status, true, true, false),
            (Topic::Diag, true, false, false),
            (Topic::MessageSet, false, false, true),
            (Topic::MessageState, true, false, false),
            (Topic::MorseSet, false, false, true),
            (Topic::MorseHeard, true, false, false),
            (Topic::Answer, true, false, false),
            (Topic::Restart, false, false, true),
            (Topic::Start, true, false, true),
        ] {
            let mut buffer = [0; MAX_LEN];
            let name = topics.write(topic, &mut buffer).unwrap();
            assert_eq!(device.may_publish("kitchen", name, false), says, "{name}");
            assert_eq!(device.may_publish("kitchen", name, true), kept, "{name}");
            assert_eq!(device.may_subscribe("kitchen", name), hears, "{name}");
        }
        assert!(device.may_publish("kitchen", "testincr", false));
        assert!(device.may_subscribe("kitchen", "output"));
        assert!(device.may_publish("kitchen", "aldis/attic/message/set", false));
        assert!(device.may_publish("kitchen", "aldis/kitchen/answer/phone", false));
        let longest = format!("aldis/kitchen/answer/{}", "p".repeat(MAX_ID_LEN));
        assert!(device.may_publish("kitchen", &longest, false));
    }

    /// A device that was stolen fills the memory of whoever remembers topics.
    #[test]
    fn an_answers_topic_is_short() {
        for (id, prefix) in [
            ("kitchen", "aldis"),
            (&*"i".repeat(MAX_ID_LEN), &*"p".repeat(64)),
        ] {
            let mut device = kitchen();
            device.prefix = prefix.to_owned();
            let may = |len| {
                let topic = format!("{prefix}/{id}/answer/");
                let rest = "/".repeat(len - topic.len());
                device.may_publish(id, &(topic + &rest), false)
            };
            assert!(may(MAX_ANSWER_LEN), "{prefix}/{id}");
            for long in [MAX_ANSWER_LEN + 1, 1000, 65_535] {
                assert!(!may(long), "{prefix}/{id}, {long}");
            }
        }
    }

    /// A device that was stolen reads or commands what is another's.
    #[test]
    fn a_device_may_do_nothing_else() {
        let device = kitchen();
        for topic in [
            "output",
            "aldis",
            "aldis/kitchen",
            "aldis/kitchen/answers",
            "aldis/kitchen/other",
            "aldis/kitchen2/status",
            "aldis/attic/status",
            "aldis/attic/led/set",
            "aldis/attic/answer",
            "aldis/attic/answer/phone",
            "aldis/attic/message/state",
            "aldis/hall/message/set",
            "other/kitchen/status",
            "$SYS/broker",
            "$delayed/1/aldis/attic/led/set",
            "homeassistant/device/kitchen/config",
        ] {
            assert!(!device.may_publish("kitchen", topic, false), "{topic}");
        }
        for topic in [
            "aldis/attic/message/set",
            "testincr",
            "aldis/kitchen/answer/x",
        ] {
            assert!(
                !device.may_publish("kitchen", topic, true),
                "retained {topic}"
            );
        }
        for filter in [
            "#",
            "+",
            "aldis/#",
            "aldis/+/led/set",
            "aldis/kitchen/#",
            "aldis/kitchen/+",
            "aldis/kitchen/+/set",
            "aldis/attic/led/set",
            "aldis/attic/message/set",
            "aldis/attic/message/state",
            "testincr",
            "+/kitchen/led/set",
            "$SYS/#",
            "$share/g/aldis/kitchen/led/set",
        ] {
            assert!(!device.may_subscribe("kitchen", filter), "{filter}");
        }
        let silent = Device {
            readout: None,
            command: None,
            ..kitchen()
        };
        assert!(!silent.may_publish("kitchen", "testincr", false));
        assert!(!silent.may_subscribe("kitchen", "output"));
    }

    /// What was paired is lost, or opened, when the file is written again.
    #[test]
    fn a_file_that_is_written_is_read_the_same() {
        let hash = hash_password("x").unwrap();
        let mut keys = Keys {
            owner: Some(hash.clone()),
            anonymous: false,
            ..Keys::default()
        };
        let kitchen = Device {
            prefix: "home/aldis".to_owned(),
            peers: vec!["attic".to_owned()],
            readout: None,
            command: Some("lamp".to_owned()),
            created: Some("2026-11-27T01:30:00Z".to_owned()),
            ..Device::new(hash.clone())
        };
        keys.devices.insert("kitchen".to_owned(), kitchen);
        keys.devices.insert("küche".to_owned(), Device::new(hash));
        assert_eq!(Keys::parse(&keys.text().unwrap()), Ok(keys));
        assert_eq!(Keys::parse("anonymous = true"), Ok(Keys::default()));
    }

    /// A typo leaves a door open, or nobody finds it.
    #[test]
    fn mistakes_are_named_with_their_line() {
        let hash = hash_password("x").unwrap();
        let device = |more: &str| format!("[[device]]\nid = \"a\"\npassword = \"{hash}\"\n{more}");
        assert!(Keys::parse("").unwrap_err().contains("anonymous"));
        for (text, line, words) in [
            ("anonymus = false".to_owned(), 1, "anonymous"),
            (
                "\n[owner]\npassword = \"plain\"".to_owned(),
                3,
                "not a hash",
            ),
            (
                "[[device]]\nid = \"a/b\"\npassword = \"x\"".to_owned(),
                2,
                "a device id",
            ),
            (
                "[[device]]\nid = \"owner\"\npassword = \"x\"".to_owned(),
                2,
                "choose another",
            ),
            (
                "[[device]]\nid = \"$hub\"\npassword = \"x\"".to_owned(),
                2,
                "choose another",
            ),
            ("[[device]]\nid = \"a\"".to_owned(), 1, "password"),
            (
                "[[device]]\nid = \"a\"\npassword = \"\"".to_owned(),
                3,
                "not a hash",
            ),
            (device("peer = [\"b\"]"), 4, "peer"),
            (device("peers = [\"b\", \"+\"]"), 4, "peer `+`"),
            (device("peers = [\"a\"]"), 2, "the device itself"),
            (device("prefix = \"$SYS\""), 4, "a prefix"),
            (device("readout = \"a/#\""), 4, "a topic"),
            (device("readout = \"aldis/b/led/set\""), 4, "own topics"),
            (device("command = 5"), 4, "a topic, or false"),
            (device("") + &device(""), 2, "twice"),
        ] {
            let text = match line {
                1 if text.starts_with("anonymus") => text,
                _ => format!("anonymous = true\n{text}"),
            };
            let line = if text.starts_with("anonymus") {
                1
            } else {
                line + 1
            };
            let error = Keys::parse(&text).unwrap_err();
            assert!(
                error.starts_with(&format!("line {line}: ")) && error.contains(words),
                "{text}: {error}"
            );
        }
    }

    /// A device that takes the owner's name has the owner's rights.
    #[test]
    fn the_hubs_own_names_are_no_devices() {
        for id in [OWNER, "$hub", "$", "$x", "a b", ""] {
            assert!(check_device_id(id).is_err(), "{id}");
        }
        assert_eq!(check_device_id("kitchen"), Ok(()));
    }

    /// Somebody is taken for a device that is there, or rights are given to the wrong one.
    #[test]
    fn ids_that_look_like_others_are_refused() {
        for id in [
            "kit\u{202e}nehc",
            "kitchen\u{200b}",
            "\u{2066}kitchen",
            "kit\u{ad}chen",
        ] {
            let why = check_device_id(id).unwrap_err();
            assert!(why.contains("U+"), "{why}");
            let text = format!("anonymous = true\n[[device]]\nid = \"{id}\"\npassword = \"x\"\n");
            assert!(Keys::parse(&text).is_err(), "{id:?}");
        }
        for id in ["küche", "厨房", "مطبخ"] {
            assert_eq!(check_device_id(id), Ok(()), "{id}");
        }
    }
}
