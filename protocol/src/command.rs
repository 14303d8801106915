//! Commands that may have an id, and the answers to those: the payloads of `led/set`,
//! `morse/set`, `restart` and `answer`, and of `morse/heard`.

use crate::json::{self, Value};
use crate::message::{self, Refused};
use crate::object::Object;
use crate::scratch::{self, Scratch};
use crate::writer::Writer;
use crate::{BufferTooSmall, DecodeError, LampCommand, Reason};

/// The slowest Morse code, in words a minute.
pub const MIN_WPM: u8 = 5;
/// The fastest Morse code, in words a minute.
pub const MAX_WPM: u8 = 40;

/// What the lamp is told, in the order of [`LampCommand::ALL`].
const LAMP: [&str; 3] = [
    LampCommand::On.as_str(),
    LampCommand::Off.as_str(),
    LampCommand::Toggle.as_str(),
];
const RESTART: [&str; 1] = ["restart"];

/// Reads what the lamp is told, a word or `{"id":"7","command":"on"}`: the id, if there is one
/// and it could be read, and the command.
pub fn decode_command<'a>(
    payload: &'a [u8],
    scratch: &'a mut Scratch,
) -> (Option<&'a str>, Result<LampCommand, Reason>) {
    let (id, place) = decode_word(payload, &LAMP, Reason::Command, scratch);
    let known = |place: usize| LampCommand::ALL.get(place).copied();
    (
        id,
        place.and_then(|place| known(place).ok_or(Reason::Command)),
    )
}

/// Reads the command to start again, `restart` or `{"id":"7","command":"restart"}`: the id, if
/// there is one and it could be read, and whether it is that.
pub fn decode_restart<'a>(
    payload: &'a [u8],
    scratch: &'a mut Scratch,
) -> (Option<&'a str>, Result<(), Reason>) {
    let (id, place) = decode_word(payload, &RESTART, Reason::Restart, scratch);
    (id, place.map(drop))
}

/// Reads a command: the place of its word among those that are known.
fn decode_word<'a>(
    payload: &'a [u8],
    words: &[&str],
    otherwise: Reason,
    scratch: &'a mut Scratch,
) -> (Option<&'a str>, Result<usize, Reason>) {
    if !message::begins_with_brace(payload) {
        let place = words.iter().position(|word| word.as_bytes() == payload);
        return (None, place.ok_or(otherwise));
    }
    let (mut id, mut command) = (Value::Null, Value::Null);
    let read = message::read(payload, |key, value| match key {
        "id" => id = value,
        "command" => command = value,
        _ => {}
    });
    let decoded = message::identified(id, &mut scratch.id, read, |id| {
        let place = words.iter().position(|word| command.is_word(word));
        Ok((id, place.ok_or(otherwise)?))
    });
    match decoded {
        Ok((id, place)) => (id, Ok(place)),
        Err(Refused { id, reason }) => (id, Err(reason)),
    }
}

/// Writes what the lamp is told, with an id as JSON; gives its length.
///
/// # Errors
/// If it does not fit.
pub fn encode_command(
    id: Option<&str>,
    command: LampCommand,
    buffer: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    encode_word(id, command.as_str(), buffer)
}

/// Writes the command to start again, with an id as JSON; gives its length.
///
/// # Errors
/// If it does not fit.
pub fn encode_restart(id: Option<&str>, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let [word] = RESTART;
    encode_word(id, word, buffer)
}

fn encode_word(id: Option<&str>, word: &str, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let mut writer = Writer::new(buffer);
    if id.is_none() {
        return writer.str(word).finish();
    }
    let mut object = Object::new(&mut writer);
    object.text("id", id);
    object.text("command", Some(word));
    object.end();
    writer.finish()
}

/// The payload of `morse/set`: text as it is, or a JSON object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MorseSet<'a> {
    /// Names the command in its answer.
    pub id: Option<&'a str>,
    /// What the lamp is to send, without spaces at its ends; nothing: it is to stop.
    pub text: &'a str,
    /// How fast, in words a minute, if not as configured.
    pub wpm: Option<u8>,
}

impl<'a> MorseSet<'a> {
    /// Writes `{"id":"7","text":"SOS","wpm":12}`, what is absent left out; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        let mut object = Object::new(&mut writer);
        object.text("id", self.id);
        object.text("text", Some(self.text));
        object.number("wpm", self.wpm.map(u64::from));
        object.end();
        writer.finish()
    }

    /// Reads the payload: a JSON object if it begins with a brace, else the text itself. An
    /// object must have a text, be it an empty one.
    ///
    /// # Errors
    /// What is wrong with it, with its id if that could be read.
    pub fn decode(payload: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, Refused<'a>> {
        if !message::begins_with_brace(payload) {
            return match message::plain(payload, scratch) {
                Ok(text) => Ok(Self {
                    text: text.trim(),
                    ..Self::default()
                }),
                Err(reason) => Err(Refused { id: None, reason }),
            };
        }
        let (mut id, mut text, mut wpm) = (Value::Null, Value::Null, Value::Null);
        let read = message::read(payload, |key, value| match key {
            "id" => id = value,
            "text" => text = value,
            "wpm" => wpm = value,
            _ => {}
        });
        message::identified(id, &mut scratch.id, read, |id| {
            Ok(Self {
                id,
                text: scratch::text(text, &mut scratch.text)?.trim(),
                wpm: speed(wpm)?,
            })
        })
    }
}

fn speed(value: Value<'_>) -> Result<Option<u8>, Reason> {
    if value == Value::Null {
        return Ok(None);
    }
    let wpm = value.u64("").ok().and_then(|wpm| u8::try_from(wpm).ok());
    match wpm {
        Some(wpm @ MIN_WPM..=MAX_WPM) => Ok(Some(wpm)),
        _ => Err(Reason::Wpm),
    }
}

/// The payload of `morse/heard`: what was keyed on the button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MorseHeard<'a> {
    /// The text.
    pub text: &'a str,
    /// How fast it was keyed, in words a minute.
    pub wpm: u8,
}

impl<'a> MorseHeard<'a> {
    /// Writes `{"text":"SOS","wpm":12}`; gives its length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        let mut object = Object::new(&mut writer);
        object.text("text", Some(self.text));
        object.number("wpm", Some(self.wpm.into()));
        object.end();
        writer.finish()
    }

    /// Reads the payload; fields come in any order, unknown ones are passed over. A text with
    /// escapes is cut where the scratch ends.
    ///
    /// # Errors
    /// If it is no JSON object, or a field is missing or has no possible value.
    pub fn decode(payload: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, DecodeError> {
        let (mut text, mut wpm) = (None, None);
        json::object(payload, |key, value| {
            match key {
                "text" => text = Some(value),
                "wpm" => {
                    let number = value.u64("wpm")?.try_into();
                    wpm = Some(number.map_err(|_| DecodeError::Value("wpm"))?);
                }
                _ => {}
            }
            Ok(())
        })?;
        let text = text.ok_or(DecodeError::Missing("text"))?;
        Ok(Self {
            text: scratch::remark(text, &mut scratch.text).ok_or(DecodeError::Value("text"))?,
            wpm: wpm.ok_or(DecodeError::Missing("wpm"))?,
        })
    }
}

/// The payload of `answer`, or of the response topic: what became of a command with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The command's id; it may have none where the asker named a response topic.
    pub id: Option<&'a str>,
    /// Done, or why not.
    pub outcome: Result<(), &'a str>,
}

impl<'a> Answer<'a> {
    /// No answer with one of our reasons is longer than this, an id whose every character needs
    /// an escape (quotes do) included.
    pub const MAX_LEN: usize = 100 + 2 * message::MAX_MESSAGE_ID_LEN;

    /// Writes `{"id":"7","done":true}` or `{"id":"7","done":false,"reason":"..."}`; gives its
    /// length.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(buffer);
        let mut object = Object::new(&mut writer);
        object.text("id", self.id);
        object.bool("done", self.outcome.is_ok());
        object.text("reason", self.outcome.err());
        object.end();
        writer.finish()
    }

    /// Reads the payload; fields come in any order, unknown ones are passed over. A reason with
    /// escapes is cut where the scratch ends; one that is missing is empty.
    ///
    /// # Errors
    /// If it is no JSON object, or a field is missing or has no possible value.
    pub fn decode(payload: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, DecodeError> {
        let (mut id, mut done, mut reason) = (Value::Null, None, Value::Null);
        json::object(payload, |key, value| {
            match key {
                "id" => id = value,
                "done" => match value {
                    Value::Bool(value) => done = Some(value),
                    _ => return Err(DecodeError::Value("done")),
                },
                "reason" => reason = value,
                _ => {}
            }
            Ok(())
        })?;
        let id = scratch::id(id, &mut scratch.id).map_err(|_| DecodeError::Value("id"))?;
        Ok(Self {
            id,
            outcome: match done.ok_or(DecodeError::Missing("done"))? {
                true => Ok(()),
                false => Err(scratch::remark(reason, &mut scratch.text).unwrap_or_default()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(payload: &[u8]) -> (Option<std::string::String>, Result<LampCommand, Reason>) {
        let mut scratch = Scratch::new();
        let (id, command) = decode_command(payload, &mut scratch);
        (id.map(Into::into), command)
    }

    /// A lamp that obeys what was no command, or forgets whom to answer.
    #[test]
    fn commands_are_words_or_objects() {
        use LampCommand::{Off, On, Toggle};
        let none = || (None, Err(Reason::Command));
        let seven = || Some("7".into());
        assert_eq!(command(b"on"), (None, Ok(On)));
        assert_eq!(command(b"toggle"), (None, Ok(Toggle)));
        for wrong in [&b""[..], b" on", b"on\n", b"ON", b"\"on\"", b"\xff"] {
            assert_eq!(command(wrong), none(), "{wrong:?}");
        }
        for (payload, expected) in [
            (r#"{"id":"7","command":"off"}"#, (seven(), Ok(Off))),
            (r#" {"command":"\u006fn","id":"\u0037"}"#, (seven(), Ok(On))),
            (r#"{"command":"on","id":null}"#, (None, Ok(On))),
            (r#"{"command":"on"}"#, (None, Ok(On))),
            (r#"{"command":"on","command":"off"}"#, (None, Ok(Off))),
            (
                r#"{"command":"On","id":"7"}"#,
                (seven(), Err(Reason::Command)),
            ),
            (r#"{"command":1,"id":"7"}"#, (seven(), Err(Reason::Command))),
            (r#"{"id":"7"}"#, (seven(), Err(Reason::Command))),
            (r#"{"id":7,"command":"on"}"#, (None, Err(Reason::Id))),
            (r#"{"id":"","command":"on"}"#, (None, Err(Reason::Id))),
            (
                r#"{"id":"7","command":"on"#,
                (seven(), Err(Reason::Malformed)),
            ),
            ("{", (None, Err(Reason::Malformed))),
        ] {
            assert_eq!(command(payload.as_bytes()), expected, "{payload}");
        }
        let garbled = b"{\"command\":\"on\",\"x\":\"\xff\",\"id\":\"7\"}";
        assert_eq!(command(garbled), (seven(), Err(Reason::NotUtf8)));
        let mut buffer = [0; 32];
        let len = encode_command(Some("7"), On, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"id":"7","command":"on"}"#);
        let len = encode_command(None, On, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"on");
    }

    /// A device that restarts because of something else, or does not when it is told to.
    #[test]
    fn a_restart_is_one_word_or_an_object() {
        let seven = || Some("7".into());
        let decode = |payload: &[u8]| {
            let mut scratch = Scratch::new();
            let (id, decoded) = decode_restart(payload, &mut scratch);
            (id.map(std::string::String::from), decoded)
        };
        assert_eq!(decode(b"restart"), (None, Ok(())));
        for wrong in [
            &b""[..],
            b"restart\n",
            b"RESTART",
            b"Restart",
            b"on",
            b"1",
            b"\xff",
        ] {
            assert_eq!(decode(wrong), (None, Err(Reason::Restart)), "{wrong:?}");
        }
        for (payload, expected) in [
            (r#"{"id":"7","command":"restart"}"#, (seven(), Ok(()))),
            (r#"{"command":"restart"}"#, (None, Ok(()))),
            (
                r#"{"id":"7","command":"on"}"#,
                (seven(), Err(Reason::Restart)),
            ),
            (r#"{"id":"7"}"#, (seven(), Err(Reason::Restart))),
            (r#"{"id":7,"command":"restart"}"#, (None, Err(Reason::Id))),
            (
                r#"{"id":"7","command":"restart"#,
                (seven(), Err(Reason::Malformed)),
            ),
        ] {
            assert_eq!(decode(payload.as_bytes()), expected, "{payload}");
        }
        let mut buffer = [0; 40];
        let len = encode_restart(Some("7"), &mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"id":"7","command":"restart"}"#);
        let len = encode_restart(None, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"restart");
        assert!(command(b"restart").1.is_err());
        // The places of the words are those of the commands.
        for (word, lamp) in LAMP.iter().zip(LampCommand::ALL) {
            assert_eq!(*word, lamp.as_str());
        }
        assert_eq!(LAMP.len(), LampCommand::ALL.len());
    }

    /// A lamp that goes on after it was told to stop, or blinks at a speed that nobody reads.
    #[test]
    fn morse_is_text_or_an_object() {
        let decode = |payload: &[u8], expected: Result<MorseSet<'_>, (Option<&str>, Reason)>| {
            let mut scratch = Scratch::new();
            let decoded = MorseSet::decode(payload, &mut scratch);
            let decoded = decoded.map_err(|refused| (refused.id, refused.reason));
            assert_eq!(decoded, expected, "{:?}", core::str::from_utf8(payload));
        };
        let plain = |text| MorseSet {
            text,
            ..MorseSet::default()
        };
        let full = |wpm| MorseSet {
            id: Some("7"),
            text: "SOS",
            wpm: Some(wpm),
        };
        decode(b"SOS SOS\r\n", Ok(plain("SOS SOS")));
        decode(b"", Ok(plain("")));
        decode(b"\n", Ok(plain("")));
        decode(br#"{"text":""}"#, Ok(plain("")));
        decode(br#"{"id":"7","text":" SOS","wpm":5}"#, Ok(full(5)));
        decode(br#"{"wpm":40,"id":"7","text":"S\u004fS"}"#, Ok(full(40)));
        decode(br#"{"wpm":null,"text":"SOS"}"#, Ok(plain("SOS")));
        for wpm in ["4", "41", "296", "-5", "12.5", "\"12\"", "1e1"] {
            let payload = std::format!(r#"{{"wpm":{wpm},"text":"SOS","id":"7"}}"#);
            decode(payload.as_bytes(), Err((Some("7"), Reason::Wpm)));
        }
        decode(b"{\"id\":\"7\"}", Err((Some("7"), Reason::NoText)));
        decode(b"{\"id\":\"7\",", Err((Some("7"), Reason::Malformed)));
        decode(b"{\"id\":7,\"text\":\"\"}", Err((None, Reason::Id)));
        decode(b"\xff", Err((None, Reason::NotUtf8)));
        decode(&[b'e'; 257], Err((None, Reason::TooLong)));
        let mut buffer = [0; 64];
        let len = full(12).encode(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"id":"7","text":"SOS","wpm":12}"#);
        let len = plain("").encode(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"text":""}"#);
    }

    /// The forms that the design promises, and what else they may look like.
    #[test]
    fn what_the_device_says_is_as_promised() {
        let mut buffer = [0; Answer::MAX_LEN];
        let mut scratch = Scratch::new();
        let heard = MorseHeard {
            text: "SOS",
            wpm: 12,
        };
        let len = heard.encode(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], br#"{"text":"SOS","wpm":12}"#);
        let decoded = MorseHeard::decode(br#"{"wpm":12,"text":"\u0053OS"}"#, &mut scratch);
        assert_eq!(decoded, Ok(heard));
        for (payload, error) in [
            (r#"{"wpm":12}"#, DecodeError::Missing("text")),
            (r#"{"text":"E"}"#, DecodeError::Missing("wpm")),
            (r#"{"text":1,"wpm":12}"#, DecodeError::Value("text")),
            (r#"{"text":"E","wpm":256}"#, DecodeError::Value("wpm")),
            ("E", DecodeError::Malformed),
        ] {
            let decoded = MorseHeard::decode(payload.as_bytes(), &mut scratch);
            assert_eq!(decoded, Err(error), "{payload}");
        }

        for (outcome, text) in [
            (Ok(()), r#"{"id":"7","done":true}"#),
            (
                Err("no lamp"),
                r#"{"id":"7","done":false,"reason":"no lamp"}"#,
            ),
        ] {
            let id = Some("7");
            let answer = Answer { id, outcome };
            let len = answer.encode(&mut buffer).unwrap();
            assert_eq!(core::str::from_utf8(&buffer[..len]), Ok(text));
            assert_eq!(Answer::decode(&buffer[..len], &mut scratch), Ok(answer));
        }
        let decoded = Answer::decode(br#"{"done":false,"id":"7","x":1}"#, &mut scratch);
        let failed = Answer {
            id: Some("7"),
            outcome: Err(""),
        };
        assert_eq!(decoded, Ok(failed));
        for (payload, error) in [
            (r#"{"id":"7"}"#, DecodeError::Missing("done")),
            (r#"{"id":7,"done":true}"#, DecodeError::Value("id")),
            (r#"{"id":"7","done":"true"}"#, DecodeError::Value("done")),
            ("done", DecodeError::Malformed),
        ] {
            let decoded = Answer::decode(payload.as_bytes(), &mut scratch);
            assert_eq!(decoded, Err(error), "{payload}");
        }
        let longest = Answer {
            id: Some(&"\"".repeat(message::MAX_MESSAGE_ID_LEN)),
            outcome: Err(Reason::Id.as_str()),
        };
        assert_eq!(longest.encode(&mut buffer), Ok(Answer::MAX_LEN));
    }
}
