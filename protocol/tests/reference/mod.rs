//! Another reading of messages, by serde_json, and what must hold for any payload.

use aldis_protocol::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN, valid_message_id};
use aldis_protocol::topic::check_id;
use aldis_protocol::{
    Answer, Message, MessageReport, MorseHeard, MorseSet, Priority, Reason, Refused, Scratch,
    decode_command,
};
use serde_json::{Map, Value};

/// A message as the reference reads it.
#[derive(Debug, PartialEq)]
struct Read {
    id: Option<String>,
    from: Option<String>,
    text: String,
    expires_s: Option<u32>,
    priority: Priority,
}

/// Checks everything that reads a payload of this kind.
pub fn check(payload: &[u8]) {
    let mut scratch = Scratch::new();
    let decoded = match Message::decode(payload, &mut scratch) {
        Ok(message) => {
            assert_eq!(message.check(), Ok(()));
            Ok(Read {
                id: message.id.map(Into::into),
                from: message.from.map(Into::into),
                text: message.text.into(),
                expires_s: message.expires_s,
                priority: message.priority,
            })
        }
        Err(Refused { id, reason }) => {
            assert!(id.is_none_or(valid_message_id));
            Err((id.map(str::to_owned), reason))
        }
    };
    if let Some(expected) = read(payload) {
        assert_eq!(decoded, expected);
    }
    let id = match MorseSet::decode(payload, &mut scratch) {
        Ok(morse) => {
            assert!(morse.text.len() <= MAX_TEXT_LEN && morse.text.trim() == morse.text);
            morse.id
        }
        Err(refused) => refused.id,
    };
    assert!(id.is_none_or(valid_message_id));
    let (id, _) = decode_command(payload, &mut scratch);
    assert!(id.is_none_or(|id| id.len() <= MAX_MESSAGE_ID_LEN));
    let _ = MessageReport::decode(payload, &mut scratch);
    let _ = MorseHeard::decode(payload, &mut scratch);
    let _ = Answer::decode(payload, &mut scratch);
}

type Outcome = Result<Read, (Option<String>, Reason)>;

/// What the payload says; nothing where serde_json's rules are others than ours.
fn read(payload: &[u8]) -> Option<Outcome> {
    let first = payload.iter().find(|byte| !b" \t\n\r".contains(byte));
    if first != Some(&b'{') {
        return Some(plain(payload));
    }
    if std::str::from_utf8(payload).is_err() {
        return None;
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(fields)) if depth(&fields) <= 16 && !has_escaped_key(payload) => {
            Some(object(&fields))
        }
        _ => None,
    }
}

fn plain(payload: &[u8]) -> Outcome {
    let text = std::str::from_utf8(payload).map_err(|_| (None, Reason::NotUtf8))?;
    Ok(Read {
        id: None,
        from: None,
        text: kept(text).map_err(|reason| (None, reason))?,
        expires_s: None,
        priority: Priority::Normal,
    })
}

fn object(fields: &Map<String, Value>) -> Outcome {
    let field = |name| match fields.get(name) {
        None | Some(Value::Null) => None,
        value => value,
    };
    let id = match field("id") {
        None => None,
        Some(Value::String(id)) if valid_message_id(id) => Some(id.clone()),
        Some(_) => return Err((None, Reason::Id)),
    };
    let rest = || {
        Ok(Read {
            id: id.clone(),
            from: match field("from") {
                None => None,
                Some(Value::String(from)) if check_id(from).is_ok() => Some(from.clone()),
                Some(_) => return Err(Reason::From),
            },
            text: match field("text") {
                Some(Value::String(text)) => kept(text)?,
                _ => return Err(Reason::NoText),
            },
            expires_s: match field("expires_s").map(Value::as_u64) {
                None => None,
                Some(Some(seconds)) => Some(u32::try_from(seconds).map_err(|_| Reason::Expires)?),
                Some(None) => return Err(Reason::Expires),
            },
            priority: match field("priority").map(Value::as_str) {
                None | Some(Some("normal")) => Priority::Normal,
                Some(Some("low")) => Priority::Low,
                Some(Some("high")) => Priority::High,
                Some(_) => return Err(Reason::Priority),
            },
        })
    };
    rest().map_err(|reason| (id.clone(), reason))
}

fn kept(text: &str) -> Result<String, Reason> {
    let text = text.replace('\r', "").replace('\t', " ");
    if text.len() > MAX_TEXT_LEN {
        Err(Reason::TooLong)
    } else if text.trim().is_empty() {
        Err(Reason::NoText)
    } else {
        Ok(text)
    }
}

fn depth(fields: &Map<String, Value>) -> usize {
    fields.values().map(depth_of).max().unwrap_or(0)
}

fn depth_of(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(fields) => depth(fields),
        _ => 0,
    }
}

/// Whether a key of this JSON has an escape: to us that is another key.
fn has_escaped_key(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|&byte| byte == b'"') {
        rest = &rest[at + 1..];
        let mut escaped = false;
        while rest[0] != b'"' {
            escaped |= rest[0] == b'\\';
            rest = &rest[if rest[0] == b'\\' { 2 } else { 1 }..];
        }
        rest = &rest[1..];
        if escaped && rest.trim_ascii_start().starts_with(b":") {
            return true;
        }
    }
    false
}
