//! Where escapes are resolved.

use core::iter;

use crate::Reason;
use crate::json::Value;
use crate::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN, valid_message_id};
use crate::topic::{self, MAX_ID_LEN};

/// Room for the texts of one payload that cannot be borrowed from it, because they have escapes.
#[derive(Clone, Debug)]
pub struct Scratch {
    pub(crate) id: [u8; MAX_MESSAGE_ID_LEN],
    pub(crate) from: [u8; MAX_ID_LEN],
    pub(crate) text: [u8; MAX_TEXT_LEN],
}

impl Scratch {
    /// Empty room.
    pub const fn new() -> Self {
        Self {
            id: [0; MAX_MESSAGE_ID_LEN],
            from: [0; MAX_ID_LEN],
            text: [0; MAX_TEXT_LEN],
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// The id in a field, if there is one.
pub fn id<'a>(value: Value<'a>, room: &'a mut [u8]) -> Result<Option<&'a str>, Reason> {
    let id = match value {
        Value::Null => return Ok(None),
        // Half of a surrogate pair could not be given back in the answer.
        Value::String(_) if whole(&value) => resolve(value, room),
        _ => None,
    };
    match id {
        Some(id) if valid_message_id(id) => Ok(Some(id)),
        _ => Err(Reason::Id),
    }
}

/// The sender in a field, if there is one.
pub fn from<'a>(value: Value<'a>, room: &'a mut [u8]) -> Result<Option<&'a str>, Reason> {
    let from = match value {
        Value::Null => return Ok(None),
        Value::String(_) if whole(&value) => resolve(value, room),
        _ => None,
    };
    match from {
        Some(from) if topic::check_id(from).is_ok() => Ok(Some(from)),
        _ => Err(Reason::From),
    }
}

fn whole(value: &Value<'_>) -> bool {
    value
        .chars()
        .is_some_and(|mut chars| chars.all(|char| char.is_some()))
}

/// A string with its escapes resolved, if it is one and fits.
fn resolve<'a>(value: Value<'a>, room: &'a mut [u8]) -> Option<&'a str> {
    match value.plain_str() {
        Some(plain) => Some(plain),
        None => match collect(value.chars()?.flatten(), room) {
            (text, true) => Some(text),
            (_, false) => None,
        },
    }
}

/// A text for people in a field: what fits of it, if it is one.
pub fn remark<'a>(value: Value<'a>, room: &'a mut [u8]) -> Option<&'a str> {
    match value.plain_str() {
        Some(plain) => Some(plain),
        None => Some(collect(value.chars()?.map(or_replacement), room).0),
    }
}

/// The text of a message in a field, if it is one; see [`cleaned`].
pub fn text<'a>(value: Value<'a>, room: &'a mut [u8]) -> Result<&'a str, Reason> {
    if let Some(plain) = value.plain_str() {
        return cleaned(plain, room);
    }
    let chars = value.chars().ok_or(Reason::NoText)?;
    fit(collect(clean(chars.map(or_replacement)), room))
}

/// A text as it is kept: without carriage returns, each tab a space; refused if it is too long.
pub fn cleaned<'a>(text: &'a str, room: &'a mut [u8]) -> Result<&'a str, Reason> {
    if text.contains(['\r', '\t']) {
        return fit(collect(clean(text.chars()), room));
    }
    fit((text, text.len() <= MAX_TEXT_LEN))
}

fn fit((text, whole): (&str, bool)) -> Result<&str, Reason> {
    if whole {
        Ok(text)
    } else {
        Err(Reason::TooLong)
    }
}

fn or_replacement(char: Option<char>) -> char {
    char.unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The characters of a text as it is kept.
pub fn clean(chars: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    chars.filter_map(|char| match char {
        '\r' => None,
        '\t' => Some(' '),
        char => Some(char),
    })
}

/// Writes characters; gives those that fit, and whether these are all.
fn collect(chars: impl Iterator<Item = char>, room: &mut [u8]) -> (&str, bool) {
    let mut end = 0usize;
    let mut whole = true;
    for char in chars {
        let mut utf8 = [0; 4];
        let utf8 = char.encode_utf8(&mut utf8).as_bytes();
        let behind = end.saturating_add(utf8.len());
        let Some(free) = room.get_mut(end..behind) else {
            whole = false;
            break;
        };
        iter::zip(free, utf8).for_each(|(to, byte)| *to = *byte);
        end = behind;
    }
    let text = room.get(..end).unwrap_or_default();
    // Only whole characters were written, so this is text.
    (core::str::from_utf8(text).unwrap_or_default(), whole)
}
