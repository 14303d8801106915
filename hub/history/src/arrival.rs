//! What comes in.

use std::fmt;

use aldis_protocol::topic::{InvalidName, Topics};
use aldis_protocol::{Availability, Lamp, MessageState, Reading, SensorState};
use serde_json::{Map, Value};
use tokio::time::Instant;

/// The latest moment that is stored; what is beyond it is taken for it (year 9999).
pub const MAX_MS: i64 = 253_402_300_799_999;

/// How many of its newest readings a device holds, at most, until they are confirmed.
pub const HELD: u32 = 512;

/// The longest text that is stored of what others write, in characters.
const MAX_TEXT: usize = 4096;
/// The longest text that is stored of what came as a reading and is none, in characters: a
/// reading has 121 at most.
const MAX_ODD: usize = 256;
/// The longest id or name within an event, in characters.
const MAX_NAME: usize = 64;

/// Which device: its topics begin with `prefix/id/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    prefix: String,
    id: String,
}

impl DeviceKey {
    /// Names a device.
    ///
    /// # Errors
    /// If no topics can be made of it, or something of it would not be seen where it is shown.
    pub fn new(prefix: &str, id: &str) -> Result<Self, InvalidName> {
        Topics::new(prefix, id)?;
        for (name, error) in [(prefix, InvalidName::Prefix), (id, InvalidName::Id)] {
            if name.contains(is_invisible) {
                return Err(error);
            }
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            id: id.to_owned(),
        })
    }

    /// What stands before the id in its topics.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Of what was checked when it was stored.
    pub(crate) fn stored(prefix: String, id: String) -> Self {
        Self { prefix, id }
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.prefix, self.id)
    }
}

/// Whether a character takes no room, or changes the direction of others: a name with it looks
/// like another one (Unicode 16, `Default_Ignorable_Code_Point` and `Bidi_Control`, without the
/// selectors that emojis have).
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Something that a device said, or that was said to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The device.
    pub device: DeviceKey,
    /// When it came, in milliseconds since 1970.
    pub received_ms: i64,
    /// The same by the clock that never jumps, if it came just now: what a device said before it
    /// was removed does not bring it back ([`History::remove`](crate::History::remove)).
    pub received: Option<Instant>,
    /// What came.
    pub what: What,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A reading.
    Reading(Taken),
    /// Something that came as a reading and cannot be one.
    NotAReading(NotAReading),
    /// The lamp's state.
    Led(Lamp),
    /// The sensor's state.
    Sensor(SensorState),
    /// Whether the device is connected.
    Status(Availability),
    /// A message to the device.
    Message(Message),
    /// What became of a message.
    MessageState(Report),
    /// What became of a command.
    Answer(Answer),
    /// What was keyed on the device's button.
    Morse {
        /// The text.
        text: String,
        /// How fast, in words a minute.
        wpm: u8,
    },
    /// The device's health.
    Diag(Box<Diag>),
}

/// A reading with its number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// A number by chance that the device made when its memory was empty; 0: not known.
    pub life: u32,
    /// Counts the device's readings within a life, over restarts.
    pub seq: u32,
    /// Counts the device's starts.
    pub boot: u32,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: i64,
    /// Whether that is certain; else it was taken no later than then.
    pub exact: bool,
    /// What was measured.
    pub reading: Reading,
}

/// Something that came as a reading and cannot be one: it is kept as what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotAReading {
    /// Why it is none.
    pub why: String,
    /// What came.
    pub payload: String,
    /// How many of these came since the last that was kept.
    pub passed_over: u64,
}

/// A message to a device, as it was seen on the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The device it is from, if it says so.
    pub from: Option<String>,
    /// The text.
    pub text: String,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The message's id, where that could be read.
    pub id: Option<String>,
    /// What became of it.
    pub state: MessageState,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The command's id, if it had one.
    pub id: Option<String>,
    /// Whether it was done.
    pub done: bool,
    /// Why it was not.
    pub reason: Option<String>,
}

/// A device's health: what is worth a chart, and all of it as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diag {
    /// The life that the device is in; 0: not known.
    pub life: u32,
    /// Counts the device's starts; 0: not known.
    pub boot: u32,
    /// Seconds since the start; absent: the second of its arrival names the report.
    pub uptime_s: Option<u64>,
    /// Why the device started.
    pub reset: Option<String>,
    /// How strong the access point is received.
    pub rssi_dbm: Option<i64>,
    /// Free memory in bytes.
    pub free: Option<i64>,
    /// The least free memory since the start, in bytes.
    pub free_min: Option<i64>,
    /// How often contact was lost, whatever the cause.
    pub reconnects: Option<i64>,
    /// Publications that wait for delivery.
    pub outbox: Option<i64>,
    /// Publications given up, whatever the cause.
    pub dropped: Option<i64>,
    /// The JSON as it came.
    pub body: String,
}

impl Diag {
    /// Of what a device published, and the JSON that it was.
    pub fn of(life: u32, diag: &aldis_protocol::Diag<'_>, body: &str) -> Self {
        let sum = |counts: &[Option<u32>]| {
            let known = counts.iter().flatten();
            known.fold(0_i64, |sum, &count| sum.saturating_add(count.into()))
        };
        Self {
            life,
            boot: diag.boot.unwrap_or(0),
            uptime_s: diag.uptime_s,
            reset: diag.reset.map(|reset| reset.as_str().to_owned()),
            rssi_dbm: diag.rssi_dbm.map(i64::from),
            free: diag.free.map(i64::from),
            free_min: diag.free_min.map(i64::from),
            reconnects: diag.reconnects.map(|of| {
                sum(&[
                    of.wifi,
                    of.dhcp,
                    of.dns,
                    of.tcp,
                    of.refused,
                    of.silent,
                    of.taken_over,
                    of.broker,
                ])
            }),
            outbox: diag.outbox.map(i64::from),
            dropped: diag
                .dropped
                .map(|of| sum(&[of.expired, of.superseded, of.full, of.too_large])),
            body: body.to_owned(),
        }
    }
}

/// What kind an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The lamp's state changed.
    Led,
    /// The sensor's state changed.
    Sensor,
    /// Contact was lost or made.
    Status,
    /// A message to the device.
    Message,
    /// Something became of a message.
    MessageState,
    /// A command was answered.
    Answer,
    /// Morse code was keyed.
    Morse,
    /// Something came as a reading and is none.
    NotAReading,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::Led,
        Self::Sensor,
        Self::Status,
        Self::Message,
        Self::MessageState,
        Self::Answer,
        Self::Morse,
        Self::NotAReading,
    ];

    /// Its number in the database.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Led => 1,
            Self::Sensor => 2,
            Self::Status => 3,
            Self::Message => 4,
            Self::MessageState => 5,
            Self::Answer => 6,
            Self::Morse => 7,
            // Not 8: those are health reports.
            Self::NotAReading => 9,
        }
    }

    /// The kind with this number.
    pub(crate) fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// The number of health reports among the newest of a device.
pub(crate) const DIAG: i64 = 8;

/// An event as it is stored.
pub(crate) struct Noted {
    pub kind: Kind,
    pub at_ms: i64,
    /// What makes it the same when it comes again; states have none.
    pub mark: Option<String>,
    pub value: String,
}

impl What {
    /// The event that it is, unless it is a reading or a health report.
    pub(crate) fn noted(&self, received_ms: i64) -> Option<Noted> {
        let at_ms = moment(received_ms);
        let state = |kind, word: &str| Noted {
            kind,
            at_ms,
            mark: None,
            value: word.to_owned(),
        };
        Some(match self {
            Self::Reading(_) | Self::Diag(_) => return None,
            Self::NotAReading(said) => {
                let payload = clean(&said.payload, MAX_ODD);
                Noted {
                    kind: Kind::NotAReading,
                    at_ms,
                    mark: Some(mark(&[&at_ms.to_string(), &clean(&payload, MAX_NAME)])),
                    value: object([
                        ("why", Some(text(&said.why))),
                        ("payload", Some(payload.into())),
                        (
                            "passed_over",
                            (said.passed_over > 0).then(|| said.passed_over.into()),
                        ),
                    ]),
                }
            }
            Self::Led(lamp) => state(Kind::Led, lamp.as_str()),
            Self::Sensor(sensor) => state(Kind::Sensor, sensor.as_str()),
            Self::Status(status) => state(Kind::Status, status.as_str()),
            Self::Message(message) => {
                let id = message.id.as_deref().map(name);
                let from = message.from.as_deref().map(name);
                let text = clean(&message.text, MAX_TEXT);
                // One without an id is the same only if it came at the same moment.
                let mark = match &id {
                    Some(id) => mark(&["id", id, from.as_deref().unwrap_or("")]),
                    None => {
                        let start = clean(&text, MAX_NAME);
                        mark(&["at", &at_ms.to_string(), &start])
                    }
                };
                Noted {
                    kind: Kind::Message,
                    at_ms,
                    mark: Some(mark),
                    value: object([
                        ("id", id.map(Value::from)),
                        ("from", from.map(Value::from)),
                        ("text", Some(text.into())),
                    ]),
                }
            }
            Self::MessageState(report) => {
                let id = report.id.as_deref().map(name);
                let state = report.state.as_str();
                let at_ms = moment(report.at_ms);
                let mark = match &id {
                    Some(id) => mark(&["id", id, state]),
                    None => mark(&["at", &at_ms.to_string(), state]),
                };
                Noted {
                    kind: Kind::MessageState,
                    at_ms,
                    mark: Some(mark),
                    value: object([
                        ("id", id.map(Value::from)),
                        ("state", Some(state.into())),
                        ("reason", report.reason.as_deref().map(text)),
                    ]),
                }
            }
            Self::Answer(answer) => {
                let id = answer.id.as_deref().map(name);
                let done = if answer.done { "done" } else { "not" };
                let mark = match &id {
                    Some(id) => mark(&["id", id, done]),
                    None => mark(&["at", &at_ms.to_string(), done]),
                };
                Noted {
                    kind: Kind::Answer,
                    at_ms,
                    mark: Some(mark),
                    value: object([
                        ("id", id.map(Value::from)),
                        ("done", Some(answer.done.into())),
                        ("reason", answer.reason.as_deref().map(text)),
                    ]),
                }
            }
            Self::Morse { text: heard, wpm } => {
                let heard = clean(heard, MAX_TEXT);
                Noted {
                    kind: Kind::Morse,
                    at_ms,
                    mark: Some(mark(&[&at_ms.to_string(), &clean(&heard, MAX_NAME)])),
                    value: object([("text", Some(heard.into())), ("wpm", Some((*wpm).into()))]),
                }
            }
        })
    }
}

/// A moment that can be stored.
pub(crate) fn moment(ms: i64) -> i64 {
    ms.clamp(0, MAX_MS)
}

/// Text that can be stored: PostgreSQL takes no NUL.
pub(crate) fn clean(text: &str, chars: usize) -> String {
    let clean = text.chars().map(|char| match char {
        '\0' => char::REPLACEMENT_CHARACTER,
        char => char,
    });
    clean.take(chars).collect()
}

fn name(name: &str) -> String {
    clean(name, MAX_NAME)
}

fn text(text: &str) -> Value {
    clean(text, MAX_TEXT).into()
}

/// Parts as one text that no other parts give.
fn mark(parts: &[&str]) -> String {
    let quoted: Vec<_> = parts.iter().map(|part| Value::from(*part)).collect();
    Value::from(quoted).to_string()
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> String {
    let present = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that somebody made up is shown as one that is there.
    #[test]
    fn names_that_look_like_others_are_none() {
        for id in [
            "kit\u{202e}nehc",
            "kitchen\u{200b}",
            "\u{2066}kitchen",
            "kit\u{ad}chen",
        ] {
            assert_eq!(DeviceKey::new("aldis", id), Err(InvalidName::Id), "{id:?}");
            assert_eq!(DeviceKey::new(id, "a"), Err(InvalidName::Prefix), "{id:?}");
        }
        for id in ["kitchen", "küche", "厨房", "مطبخ", "c\u{103}mar\u{103}"] {
            assert!(DeviceKey::new("aldis", id).is_ok(), "{id:?}");
        }
    }
}
