//! Topics: `<prefix>/<id>/<what>`.

use core::fmt;

use crate::BufferTooSmall;
use crate::writer::Writer;

/// The prefix of topics unless another is configured.
pub const DEFAULT_PREFIX: &str = "aldis";
/// Where the plain readout goes unless another topic is configured.
pub const DEFAULT_READOUT: &str = "testincr";
/// Where plain `on` and `off` come from unless another topic is configured.
pub const DEFAULT_COMMAND: &str = "output";
/// The greatest length of a device id in bytes.
pub const MAX_ID_LEN: usize = 64;
/// The greatest length of a prefix in bytes.
pub const MAX_PREFIX_LEN: usize = 64;
/// The greatest length of a topic or filter in bytes.
pub const MAX_LEN: usize = MAX_PREFIX_LEN + 1 + MAX_ID_LEN + 1 + "message/state".len();

/// What a device publishes or obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Readings, as JSON.
    Climate,
    /// The recorder's word that readings are stored.
    ClimateAck,
    /// Whether the climate sensor can be believed; retained.
    Sensor,
    /// The state of the lamp; retained.
    Led,
    /// Commands to the lamp.
    LedSet,
    /// Whether the device is connected; retained.
    Status,
    /// The device's health, as JSON.
    Diag,
    /// Messages for whoever is at the device: [`Message`](crate::Message).
    MessageSet,
    /// What became of them: [`MessageReport`](crate::MessageReport).
    MessageState,
    /// Text that the lamp is to send as Morse code: [`MorseSet`](crate::MorseSet).
    MorseSet,
    /// What was keyed on the button: [`MorseHeard`](crate::MorseHeard).
    MorseHeard,
    /// What became of commands with an id: [`Answer`](crate::Answer).
    Answer,
    /// The command to start again.
    Restart,
    /// A word of the device to itself: what the broker sends before it, it has kept from
    /// before the device's start.
    Start,
}

impl Topic {
    /// Every topic of a device.
    pub const ALL: [Self; 14] = [
        Self::Climate,
        Self::ClimateAck,
        Self::Sensor,
        Self::Led,
        Self::LedSet,
        Self::Status,
        Self::Diag,
        Self::MessageSet,
        Self::MessageState,
        Self::MorseSet,
        Self::MorseHeard,
        Self::Answer,
        Self::Restart,
        Self::Start,
    ];

    /// What follows the device's id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Climate => "climate",
            Self::ClimateAck => "climate/ack",
            Self::Sensor => "sensor",
            Self::Led => "led",
            Self::LedSet => "led/set",
            Self::Status => "status",
            Self::Diag => "diag",
            Self::MessageSet => "message/set",
            Self::MessageState => "message/state",
            Self::MorseSet => "morse/set",
            Self::MorseHeard => "morse/heard",
            Self::Answer => "answer",
            Self::Restart => "restart",
            Self::Start => "start",
        }
    }

    /// Writes the filter for this topic of every device: `aldis/+/climate`.
    ///
    /// # Errors
    /// If it does not fit; [`MAX_LEN`] bytes always suffice for a valid prefix.
    pub fn filter<'b>(self, prefix: &str, buffer: &'b mut [u8]) -> Result<&'b str, BufferTooSmall> {
        join(prefix, "+", self, buffer)
    }

    /// Takes a topic name apart: whose it is, and what. Nothing if it is no device's.
    pub fn parse<'t>(prefix: &str, name: &'t str) -> Option<(&'t str, Self)> {
        let rest = name.strip_prefix(prefix)?.strip_prefix('/')?;
        let (id, what) = rest.split_once('/')?;
        check_id(id).ok()?;
        Some((
            id,
            Self::ALL.into_iter().find(|topic| topic.as_str() == what)?,
        ))
    }
}

/// The topics of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics<'a> {
    prefix: &'a str,
    id: &'a str,
}

impl<'a> Topics<'a> {
    /// The topics of the device with this id under this prefix.
    ///
    /// # Errors
    /// If [`check_prefix`] or [`check_id`] refuses its part.
    pub fn new(prefix: &'a str, id: &'a str) -> Result<Self, InvalidName> {
        check_prefix(prefix)?;
        check_id(id)?;
        Ok(Self { prefix, id })
    }

    /// The prefix.
    pub const fn prefix(self) -> &'a str {
        self.prefix
    }

    /// The device's id.
    pub const fn id(self) -> &'a str {
        self.id
    }

    /// Writes the name of a topic: `aldis/kitchen/climate`.
    ///
    /// # Errors
    /// If it does not fit; [`MAX_LEN`] bytes always suffice.
    pub fn write(self, topic: Topic, buffer: &mut [u8]) -> Result<&str, BufferTooSmall> {
        join(self.prefix, self.id, topic, buffer)
    }

    /// Which of this device's topics a name is, if any.
    pub fn parse(self, name: &str) -> Option<Topic> {
        let (id, topic) = Topic::parse(self.prefix, name)?;
        (id == self.id).then_some(topic)
    }
}

fn join<'b>(
    prefix: &str,
    id: &str,
    topic: Topic,
    buffer: &'b mut [u8],
) -> Result<&'b str, BufferTooSmall> {
    let mut writer = Writer::new(buffer);
    writer
        .str(prefix)
        .str("/")
        .str(id)
        .str("/")
        .str(topic.as_str());
    writer.finish_str()
}

/// Why an id, a prefix or a topic cannot be used. The message is the rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidName {
    /// A device id.
    Id,
    /// A prefix.
    Prefix,
    /// The name of a topic to publish or obey.
    Topic,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => write!(
                f,
                "a device id has 1 to {MAX_ID_LEN} bytes, without `/`, `+`, `#`, spaces and \
                 control characters, and is not `.` or `..`"
            ),
            Self::Prefix => write!(
                f,
                "a prefix has 1 to {MAX_PREFIX_LEN} bytes, without `+`, `#`, spaces and control \
                 characters; `/` stands only between its parts, and it does not begin with `$`"
            ),
            Self::Topic => write!(
                f,
                "a topic has 1 to {MAX_LEN} bytes, without `+`, `#` and control characters, and \
                 does not begin with `$`"
            ),
        }
    }
}

impl core::error::Error for InvalidName {}

/// Checks a device id: one level of a topic, easy to type. Brokers need not take ids over 23
/// bytes as client ids, though those in use do.
///
/// # Errors
/// If the id breaks the rule that the error states.
pub fn check_id(id: &str) -> Result<(), InvalidName> {
    // Names of files are made of ids, too.
    if is_part(id) && id.len() <= MAX_ID_LEN && !matches!(id, "." | "..") {
        Ok(())
    } else {
        Err(InvalidName::Id)
    }
}

/// Checks a prefix: one or more levels of a topic, not the broker's own.
///
/// # Errors
/// If the prefix breaks the rule that the error states.
pub fn check_prefix(prefix: &str) -> Result<(), InvalidName> {
    let valid = prefix.len() <= MAX_PREFIX_LEN
        && !prefix.starts_with('$')
        && prefix.split('/').all(is_part);
    if valid {
        Ok(())
    } else {
        Err(InvalidName::Prefix)
    }
}

/// Checks the name of a topic to publish to or to take commands from.
///
/// # Errors
/// If the name breaks the rule that the error states.
pub fn check_topic(name: &str) -> Result<(), InvalidName> {
    let valid = (1..=MAX_LEN).contains(&name.len())
        && !name.starts_with('$')
        && !name.contains(|c: char| matches!(c, '+' | '#') || c.is_control());
    if valid {
        Ok(())
    } else {
        Err(InvalidName::Topic)
    }
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && !part
            .contains(|c: char| matches!(c, '/' | '+' | '#') || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device and hub talk past each other.
    #[test]
    fn names_are_as_promised() {
        let topics = Topics::new("aldis", "kitchen").unwrap();
        for (topic, name) in [
            (Topic::Climate, "aldis/kitchen/climate"),
            (Topic::ClimateAck, "aldis/kitchen/climate/ack"),
            (Topic::Sensor, "aldis/kitchen/sensor"),
            (Topic::Led, "aldis/kitchen/led"),
            (Topic::LedSet, "aldis/kitchen/led/set"),
            (Topic::Status, "aldis/kitchen/status"),
            (Topic::Diag, "aldis/kitchen/diag"),
            (Topic::MessageSet, "aldis/kitchen/message/set"),
            (Topic::MessageState, "aldis/kitchen/message/state"),
            (Topic::MorseSet, "aldis/kitchen/morse/set"),
            (Topic::MorseHeard, "aldis/kitchen/morse/heard"),
            (Topic::Answer, "aldis/kitchen/answer"),
            (Topic::Restart, "aldis/kitchen/restart"),
            (Topic::Start, "aldis/kitchen/start"),
        ] {
            assert_eq!(topics.write(topic, &mut [0; MAX_LEN]), Ok(name));
            assert_eq!(topics.parse(name), Some(topic));
            assert_eq!(Topic::parse("aldis", name), Some(("kitchen", topic)));
        }
        let mut buffer = [0; MAX_LEN];
        assert_eq!(
            Topic::LedSet.filter("home/aldis", &mut buffer),
            Ok("home/aldis/+/led/set")
        );
        assert_eq!(topics.write(Topic::Diag, &mut [0; 17]), Err(BufferTooSmall));
    }

    /// One device's messages taken for another's, or for nobody's.
    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "aldis",
            "aldis/kitchen",
            "aldis//led",
            "aldis/kitchen/led/",
            "aldis/kitchen/led/set/now",
            "aldis/kitchen/message",
            "aldis/kitchen/morse",
            "aldiskitchen/x/led",
            "/aldis/kitchen/led",
            "aldis/kit chen/led",
            "other/kitchen/led",
        ] {
            assert_eq!(Topic::parse("aldis", name), None, "{name}");
        }
        let topics = Topics::new("aldis", "kitchen").unwrap();
        assert_eq!(topics.parse("aldis/kitchen2/led"), None);
    }

    /// A name that makes the broker close the connection, each time anew.
    #[test]
    fn invalid_names_are_refused() {
        let long = "i".repeat(MAX_ID_LEN);
        for id in [
            "k",
            "kitchen",
            "pc-host.local",
            "küche",
            "A4CF12",
            "$x",
            &long,
        ] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        let longer = "i".repeat(MAX_ID_LEN + 1);
        for id in [
            "", "a/b", "+", "a#", "a b", "a\0", "a\n", "\u{85}", "\u{2003}", ".", "..", &longer,
        ] {
            assert_eq!(check_id(id), Err(InvalidName::Id), "{id}");
        }
        for prefix in ["aldis", "home/aldis", "a/$b"] {
            assert_eq!(check_prefix(prefix), Ok(()), "{prefix}");
        }
        for prefix in [
            "", "/aldis", "aldis/", "a//b", "$SYS", "a+", "#", "a b", &longer,
        ] {
            assert_eq!(check_prefix(prefix), Err(InvalidName::Prefix), "{prefix}");
        }
        for topic in ["testincr", "a b/c", "/", "a//"] {
            assert_eq!(check_topic(topic), Ok(()), "{topic}");
        }
        let longest = "i".repeat(MAX_LEN + 1);
        for topic in ["", "$share/a", "a/+", "#", "a\0", &longest] {
            assert_eq!(check_topic(topic), Err(InvalidName::Topic), "{topic}");
        }
        assert_eq!(Topics::new("a/", "b"), Err(InvalidName::Prefix));
        assert_eq!(Topics::new("a", "b/"), Err(InvalidName::Id));
    }

    /// The longest names must fit into buffers sized by the constant.
    #[test]
    fn the_longest_topic_fits() {
        let (prefix, id) = ("p".repeat(MAX_PREFIX_LEN), "i".repeat(MAX_ID_LEN));
        let topics = Topics::new(&prefix, &id).unwrap();
        let mut buffer = [0; MAX_LEN];
        assert!(
            Topic::ALL
                .into_iter()
                .all(|topic| topics.write(topic, &mut buffer).is_ok())
        );
    }
}
