//! What can go wrong when encoding and decoding.

use core::fmt;

/// What was to be encoded does not fit into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall;

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too small")
    }
}

impl core::error::Error for BufferTooSmall {}

/// Why a payload has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not a JSON object, or nested too deeply to be one of ours.
    Malformed,
    /// The field is missing.
    Missing(&'static str),
    /// The field's value is of the wrong type or out of range.
    Value(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a JSON object"),
            Self::Missing(field) => write!(f, "the field `{field}` is missing"),
            Self::Value(field) => {
                write!(
                    f,
                    "the field `{field}` has a value of the wrong type or out of range"
                )
            }
        }
    }
}

impl core::error::Error for DecodeError {}
