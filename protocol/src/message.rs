//! Messages for whoever is at a device: the payloads of `message/set` and `message/state`.

use crate::json::{self, Value};
use crate::object::Object;
use crate::scratch::{self, Scratch};
use crate::topic::MAX_ID_LEN;
use crate::writer::Writer;
use crate::{BufferTooSmall, DecodeError, MessageState, Priority, Reason};

/// The greatest length of a message's text in bytes, as [`text_len`] counts them.
pub const MAX_TEXT_LEN: usize = 256;
/// The greatest length of a message's id in bytes: a UUID with its hyphens.
pub const MAX_MESSAGE_ID_LEN: usize = 36;

/// Whether this can be the id of a message or a command: 1 to [`MAX_MESSAGE_ID_LEN`] bytes
/// without control characters.
pub fn valid_message_id(id: &str) -> bool {
    (1..=MAX_MESSAGE_ID_LEN).contains(&id.len()) && !id.contains(char::is_control)
}

/// The length of a text in bytes as a device keeps it, without carriage returns.
pub fn text_len(text: &str) -> usize {
    scratch::clean(text.chars()).fold(0, |len: usize, char| len.saturating_add(char.len_utf8()))
}

/// Whether a text says anything.
fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

/// The payload of `message/set`: text as it is, or a JSON object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// Names the message in the reports about it; the same again is the same message.
    pub id: Option<&'a str>,
    /// The device that a reply goes to.
    pub from: Option<&'a str>,
    /// What is to be shown. A device knows no carriage return and no tab; other control
    /// characters but the line feed are for the screen to mark.
    pub text: &'a str,
    /// For how many seconds after it was received it matters.
    pub expires_s: Option<u32>,
    /// How much it matters.
    pub priority: Priority,
}

/// A message or command that was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Its id, where that could be read.
    pub id: Option<&'a str>,
    /// What is wrong with it.
    pub reason: Reason,
}

impl<'a> Message<'a> {
    /// No valid message is longer than this as JSON: each byte of its texts may need an escape,
    /// which a control character does.
    pub const MAX_LEN: usize = 83 + 6 * (MAX_TEXT_LEN + MAX_ID_LEN + MAX_MESSAGE_ID_LEN);

    /// Whether a device would take it.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check(&self) -> Result<(), Reason> {
        let wrong = |id: &str| !valid_message_id(id);
        let nobody = |from| crate::topic::check_id(from).is_err();
        if self.id.is_some_and(wrong) {
            Err(Reason::Id)
        } else if self.from.is_some_and(nobody) {
            Err(Reason::From)
        } else if is_empty(self.text) {
            Err(Reason::NoText)
        } else if text_len(self.text) > MAX_TEXT_LEN {
            Err(Reason::TooLong)
        } else {
            Ok(())
        }
    }

    /// Writes `{"id":"7","from":"hall","text":"dinner","expires_s":600,"priority":"high"}`, what
    /// is absent or normal left out; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        let mut object = Object::new(&mut writer);
        object.text("id", self.id);
        object.text("from", self.from);
        // Carriage returns are not kept, and do not count.
        object.parts("text", self.text.split('\r'));
        object.number("expires_s", self.expires_s.map(u64::from));
        if self.priority != Priority::Normal {
            object.text("priority", Some(self.priority.as_str()));
        }
        object.end();
        writer.finish()
    }

    /// Reads the payload: a JSON object if it begins with a brace, else the text itself. Fields
    /// come in any order, the last of one name counts, unknown ones are passed over and `null`
    /// is as absent.
    ///
    /// # Errors
    /// What is wrong with it, with its id if that could be read.
    pub fn decode(payload: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, Refused<'a>> {
        if !begins_with_brace(payload) {
            let text = plain(payload, scratch).and_then(said);
            return match text {
                Ok(text) => Ok(Self {
                    text,
                    ..Self::default()
                }),
                Err(reason) => Err(Refused { id: None, reason }),
            };
        }
        let mut id = Value::Null;
        let mut from = Value::Null;
        let mut text = Value::Null;
        let mut expires_s = Value::Null;
        let mut priority = Value::Null;
        let read = read(payload, |key, value| match key {
            "id" => id = value,
            "from" => from = value,
            "text" => text = value,
            "expires_s" => expires_s = value,
            "priority" => priority = value,
            _ => {}
        });
        identified(id, &mut scratch.id, read, |id| {
            Ok(Self {
                id,
                from: scratch::from(from, &mut scratch.from)?,
                text: scratch::text(text, &mut scratch.text).and_then(said)?,
                expires_s: seconds(expires_s)?,
                priority: self::priority(priority)?,
            })
        })
    }
}

/// Whether the payload is meant to be JSON.
pub fn begins_with_brace(payload: &[u8]) -> bool {
    let first = payload
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    first == Some(&b'{')
}

/// A payload that is text.
pub fn plain<'a>(payload: &'a [u8], scratch: &'a mut Scratch) -> Result<&'a str, Reason> {
    let text = core::str::from_utf8(payload).map_err(|_| Reason::NotUtf8)?;
    scratch::cleaned(text, &mut scratch.text)
}

/// Gives each field of an object that it comes to, whatever is wrong with the rest.
pub fn read<'a>(
    payload: &'a [u8],
    mut field: impl FnMut(&'a str, Value<'a>),
) -> Result<(), Reason> {
    let read = json::fields(payload, |key, value| {
        field(key, value);
        Ok(())
    });
    match (core::str::from_utf8(payload), read) {
        (Err(_), _) => Err(Reason::NotUtf8),
        (Ok(_), Err(_)) => Err(Reason::Malformed),
        (Ok(_), Ok(())) => Ok(()),
    }
}

/// Gives the rest of what was read, or what is wrong with it under its id.
pub fn identified<'a, T>(
    id: Value<'a>,
    room: &'a mut [u8],
    read: Result<(), Reason>,
    rest: impl FnOnce(Option<&'a str>) -> Result<T, Reason>,
) -> Result<T, Refused<'a>> {
    let id = scratch::id(id, room);
    let refused = |reason| Refused {
        id: id.unwrap_or_default(),
        reason,
    };
    read.map_err(refused)?;
    rest(id.map_err(refused)?).map_err(refused)
}

fn said(text: &str) -> Result<&str, Reason> {
    if is_empty(text) {
        Err(Reason::NoText)
    } else {
        Ok(text)
    }
}

fn seconds(value: Value<'_>) -> Result<Option<u32>, Reason> {
    match value {
        Value::Null => Ok(None),
        value => value.u32("").map(Some).map_err(|_| Reason::Expires),
    }
}

fn priority(value: Value<'_>) -> Result<Priority, Reason> {
    if value == Value::Null {
        return Ok(Priority::default());
    }
    let mut known = Priority::ALL.iter().copied();
    known
        .find(|priority| value.is_word(priority.as_str()))
        .ok_or(Reason::Priority)
}

/// The payload of `message/state`: what became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageReport<'a> {
    /// The message's id; absent where a message was refused whose id could not be read.
    pub id: Option<&'a str>,
    /// What became of it.
    pub state: MessageState,
    /// How long ago that was when it was sent, in milliseconds.
    pub age_ms: u64,
    /// Why it was refused.
    pub reason: Option<&'a str>,
}

impl<'a> MessageReport<'a> {
    /// No report with one of our reasons is longer than this, an id whose every character needs
    /// an escape (quotes do) included.
    pub const MAX_LEN: usize = 136 + 2 * MAX_MESSAGE_ID_LEN;

    /// Writes `{"id":"7","state":"read","age_ms":0}`, with `"reason":"..."` behind it where there
    /// is one; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        let mut object = Object::new(&mut writer);
        object.text("id", self.id);
        object.text("state", Some(self.state.as_str()));
        object.number("age_ms", Some(self.age_ms));
        object.text("reason", self.reason);
        object.end();
        writer.finish()
    }

    /// Reads the payload; fields come in any order, unknown ones are passed over. A reason with
    /// escapes is cut where the scratch ends.
    ///
    /// # Errors
    /// If it is no JSON object, or a field is missing or has no possible value.
    pub fn decode(payload: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, DecodeError> {
        let (mut id, mut reason) = (Value::Null, Value::Null);
        let (mut state, mut age_ms) = (None, None);
        json::object(payload, |key, value| {
            match key {
                "id" => id = value,
                "state" => {
                    let mut known = MessageState::ALL.iter().copied();
                    let known = known.find(|state| value.is_word(state.as_str()));
                    state = Some(known.ok_or(DecodeError::Value("state"))?);
                }
                "age_ms" => age_ms = Some(value.u64("age_ms")?),
                "reason" => reason = value,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            id: scratch::id(id, &mut scratch.id).map_err(|_| DecodeError::Value("id"))?,
            state: state.ok_or(DecodeError::Missing("state"))?,
            age_ms: age_ms.ok_or(DecodeError::Missing("age_ms"))?,
            reason: scratch::remark(reason, &mut scratch.text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    /// What is decoded, or the id and the words of the refusal.
    fn decode(payload: &[u8], check: impl FnOnce(Result<Message<'_>, (Option<&str>, &str)>)) {
        let mut scratch = Scratch::new();
        let decoded = Message::decode(payload, &mut scratch);
        check(decoded.map_err(|refused| (refused.id, refused.reason.as_str())));
    }

    #[track_caller]
    fn taken(payload: &str, message: Message<'_>) {
        decode(payload.as_bytes(), |decoded| {
            assert_eq!(decoded, Ok(message), "{payload}");
        });
    }

    #[track_caller]
    fn refused(payload: impl AsRef<[u8]>, id: Option<&str>, reason: Reason) {
        let payload = payload.as_ref();
        decode(payload, |decoded| {
            let text = String::from_utf8_lossy(payload);
            assert_eq!(decoded, Err((id, reason.as_str())), "{text}");
        });
    }

    fn only(text: &str) -> Message<'_> {
        Message {
            text,
            ..Message::default()
        }
    }

    /// A phone's plain words that the device takes for something else.
    #[test]
    fn plain_text_is_the_text() {
        taken("dinner is ready", only("dinner is ready"));
        taken("\"quoted\"", only("\"quoted\""));
        taken("[1]", only("[1]"));
        taken(" ž\n{", only(" ž\n{"));
        taken("a\tb\r\nc\rd\0\u{85}", only("a b\ncd\0\u{85}"));
        let longest = "ž".repeat(128);
        taken(&longest, only(&longest));
        taken(&(longest.clone() + "\r\r"), only(&longest));
        for empty in ["", " ", "\r\n\t"] {
            refused(empty, None, Reason::NoText);
        }
        refused(b"caf\xe9", None, Reason::NotUtf8);
        refused(longest.clone() + "a", None, Reason::TooLong);
        refused(longest + "a\r", None, Reason::TooLong);
        refused("x".repeat(65_536), None, Reason::TooLong);
        refused("\t".repeat(65_536), None, Reason::TooLong);
    }

    /// A field lost, or taken from elsewhere.
    #[test]
    fn objects_are_read_in_any_form() {
        let full = Message {
            id: Some("7"),
            from: Some("hall"),
            text: "dinner",
            expires_s: Some(600),
            priority: Priority::High,
        };
        taken(
            r#" {"priority":"high","x":{"id":"8"},"text":"dinner", "expires_s" : 600,
                 "from":"hall","id":"7"} "#,
            full,
        );
        taken(
            r#"{"id":"\u0037","from":"h\u0061ll","text":"d\u0069nner","expires_s":600,"priority":"h\u0069gh"}"#,
            full,
        );
        taken(
            r#"{"text":"a\t\"\u017e\ud83d\ude00\"\r\n\ud83d\u0000"}"#,
            only("a \"ž😀\"\n\u{fffd}\0"),
        );
        taken(
            r#"{"text":"x","id":null,"from":null,"expires_s":null,"priority":null}"#,
            only("x"),
        );
        // Wrong ones that a later one makes good.
        taken(
            r#"{"id":3,"text":"","priority":1,"id":"7","from":"a/b","text":"dinner",
                "expires_s":-1,"expires_s":600,"priority":"high","from":"hall"}"#,
            full,
        );
        let longest = r"\u017e".repeat(128);
        taken(
            &std::format!(r#"{{"text":"{longest}"}}"#),
            only(&"ž".repeat(128)),
        );
    }

    /// A refusal that nobody can match with what was sent, or that names the wrong thing.
    #[test]
    fn what_is_wrong_is_told_under_the_id() {
        use Reason::{Expires, From, Id, Malformed, NoText, NotUtf8, TooLong};
        for (payload, reason) in [
            (r#"{"id":"7"}"#, NoText),
            (r#"{"id":"7","text":null}"#, NoText),
            (r#"{"id":"7","text":5}"#, NoText),
            (r#"{"id":"7","text":" \r\n"}"#, NoText),
            (r#"{"text":"x","from":"a/b","id":"7"}"#, From),
            (r#"{"text":"x","from":"","id":"7"}"#, From),
            (r#"{"text":"x","from":"\ud800","id":"7"}"#, From),
            (r#"{"text":"x","from":5,"id":"7"}"#, From),
            (r#"{"text":"x","expires_s":-1,"id":"7"}"#, Expires),
            (r#"{"text":"x","expires_s":1.5,"id":"7"}"#, Expires),
            (r#"{"text":"x","expires_s":"1","id":"7"}"#, Expires),
            (r#"{"text":"x","expires_s":4294967296,"id":"7"}"#, Expires),
            (
                r#"{"text":"x","priority":"urgent","id":"7"}"#,
                Reason::Priority,
            ),
            (r#"{"text":"x","priority":2,"id":"7"}"#, Reason::Priority),
            (r#"{"id":"7","text":"x"#, Malformed),
            (r#"{"id":"7","text":"x",}"#, Malformed),
            (r#"{"id":"7","text":"x"} x"#, Malformed),
        ] {
            refused(payload, Some("7"), reason);
        }
        refused(b"{\"text\":\"caf\xe9\",\"id\":\"7\"}", Some("7"), NotUtf8);
        refused(b"{\"text\":\"caf\xe9\",\"id\":\"7\xe9\"}", None, NotUtf8);
        refused("{hello}", None, Malformed);
        refused("{", None, Malformed);
        let long = "x".repeat(MAX_TEXT_LEN + 1);
        refused(
            std::format!(r#"{{"text":"{long}","id":"7"}}"#),
            Some("7"),
            TooLong,
        );
        let long = r"\u0078".repeat(MAX_TEXT_LEN + 1);
        refused(
            std::format!(r#"{{"text":"{long}","id":"7"}}"#),
            Some("7"),
            TooLong,
        );
        let from = "x".repeat(MAX_ID_LEN + 1);
        refused(
            std::format!(r#"{{"from":"{from}","id":"7"}}"#),
            Some("7"),
            From,
        );

        let longer = "i".repeat(MAX_MESSAGE_ID_LEN + 1);
        for id in [
            "",
            "a\\n",
            "\\u0085",
            "\\ud800",
            &longer,
            "\\u0069".repeat(37).as_str(),
        ] {
            refused(std::format!(r#"{{"text":"x","id":"{id}"}}"#), None, Id);
        }
        refused(r#"{"text":"x","id":7}"#, None, Id);
    }

    /// A reply that the other device refuses.
    #[test]
    fn check_refuses_what_decode_does() {
        let long = "ž".repeat(MAX_TEXT_LEN / 2) + "a";
        for (message, checked) in [
            (only("x"), Ok(())),
            (only("\t\n "), Err(Reason::NoText)),
            (only(&long), Err(Reason::TooLong)),
            (
                Message {
                    id: Some(""),
                    ..only("x")
                },
                Err(Reason::Id),
            ),
            (
                Message {
                    from: Some("a b"),
                    ..only("x")
                },
                Err(Reason::From),
            ),
        ] {
            assert_eq!(message.check(), checked, "{message:?}");
            let mut payload = [0; Message::MAX_LEN];
            let len = message.encode(&mut payload).unwrap();
            let mut scratch = Scratch::new();
            let decoded = Message::decode(&payload[..len], &mut scratch);
            assert_eq!(
                decoded.map(|_| ()).map_err(|refused| refused.reason),
                checked
            );
        }
        assert_eq!(text_len("a\r\n\tž\r"), 5);
    }

    /// A buffer sized by the constant loses a message.
    #[test]
    fn the_longest_fits() {
        let (id, from) = ("\"".repeat(MAX_MESSAGE_ID_LEN), "\"".repeat(MAX_ID_LEN));
        let text = "\u{1}".repeat(MAX_TEXT_LEN);
        let message = Message {
            id: Some(&id),
            from: Some(&from),
            text: &text,
            expires_s: Some(u32::MAX),
            priority: Priority::Normal,
        };
        assert_eq!(message.check(), Ok(()));
        let mut payload = [0; Message::MAX_LEN];
        let len = message.encode(&mut payload).unwrap();
        let mut scratch = Scratch::new();
        assert_eq!(Message::decode(&payload[..len], &mut scratch), Ok(message));
        let returns = "\r".repeat(2 * MAX_TEXT_LEN) + &text;
        let returned = Message {
            text: &returns,
            ..message
        };
        assert_eq!(
            (returned.check(), returned.encode(&mut payload)),
            (Ok(()), Ok(len))
        );
        let low = Message {
            priority: Priority::Low,
            ..message
        };
        let high = Message {
            priority: Priority::High,
            ..message
        };
        let lens = [low, high].map(|message| message.encode(&mut payload).unwrap());
        assert!(lens.iter().all(|&longer| longer > len));
        let report = MessageReport {
            id: Some(&id),
            state: MessageState::Received,
            age_ms: u64::MAX,
            reason: Some(Reason::Id.as_str()),
        };
        let longest = Reason::ALL.iter().map(|reason| reason.as_str().len()).max();
        assert_eq!(longest, Some(Reason::Id.as_str().len()));
        let mut payload = [0; MessageReport::MAX_LEN];
        assert_eq!(report.encode(&mut payload), Ok(MessageReport::MAX_LEN));
    }

    /// The form that the design promises.
    #[test]
    fn payloads_are_written_as_promised() {
        let mut buffer = [0; 256];
        let message = Message {
            id: Some("7"),
            from: Some("hall"),
            text: "dinner\n\"now\"",
            expires_s: Some(600),
            priority: Priority::High,
        };
        let len = message.encode(&mut buffer).unwrap();
        let expected =
            br#"{"id":"7","from":"hall","text":"dinner\n\"now\"","expires_s":600,"priority":"high"}"#;
        assert_eq!(&buffer[..len], expected);
        let len = only("x").encode(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"text":"x"}"#);

        let report = MessageReport {
            id: Some("7"),
            state: MessageState::Read,
            age_ms: 0,
            reason: None,
        };
        let len = report.encode(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"id":"7","state":"read","age_ms":0}"#);
        let report = MessageReport {
            state: MessageState::Refused,
            reason: Some(Reason::NoText.as_str()),
            ..report
        };
        let len = report.encode(&mut buffer).unwrap();
        let expected = br#"{"id":"7","state":"refused","age_ms":0,"reason":"no text"}"#;
        assert_eq!(&buffer[..len], expected);
    }

    /// A report of another firmware, read wrongly or not at all.
    #[test]
    fn reports_are_read_in_any_form() {
        let mut scratch = Scratch::new();
        let payload = br#"{"reason":"\u0061","age_ms":5,"new":[],"state":"refused"}"#;
        let report = MessageReport::decode(payload, &mut scratch).unwrap();
        let expected = MessageReport {
            id: None,
            state: MessageState::Refused,
            age_ms: 5,
            reason: Some("a"),
        };
        assert_eq!(report, expected);
        let long = r"\u017e".repeat(MAX_TEXT_LEN);
        let payload = std::format!(r#"{{"state":"refused","age_ms":5,"reason":"{long}"}}"#);
        let report = MessageReport::decode(payload.as_bytes(), &mut scratch).unwrap();
        assert_eq!(report.reason, Some(&*"ž".repeat(MAX_TEXT_LEN / 2)));
        for (payload, error) in [
            (r#"{"age_ms":0}"#, DecodeError::Missing("state")),
            (r#"{"state":"read"}"#, DecodeError::Missing("age_ms")),
            (
                r#"{"state":"eaten","age_ms":0}"#,
                DecodeError::Value("state"),
            ),
            (
                r#"{"state":"read","age_ms":-1}"#,
                DecodeError::Value("age_ms"),
            ),
            (
                r#"{"id":7,"state":"read","age_ms":0}"#,
                DecodeError::Value("id"),
            ),
            ("read", DecodeError::Malformed),
        ] {
            let decoded = MessageReport::decode(payload.as_bytes(), &mut scratch);
            assert_eq!(decoded, Err(error), "{payload}");
        }
    }
}
