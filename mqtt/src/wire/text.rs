//! UTF-8 Encoded Strings (section 1.5.4).

use core::fmt;

use super::Fault;

/// Text in a packet, found to be UTF-8 without U+0000.
///
/// It is kept as bytes, which is what topics are compared and passed on as.
/// Safe Rust looks at each byte once more when it becomes a `&str`, so
/// [`Text::as_str`] is for where one is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Text whose bytes were checked before.
    pub(crate) const fn checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of the text.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text as a string slice.
    pub fn as_str(self) -> &'a str {
        core::str::from_utf8(self.0).unwrap_or("")
    }

    /// Whether it has no characters.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What text is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Anything.
    Any,
    /// A topic name, which has no wildcards (MQTT-3.3.2-2).
    TopicName,
}

/// Whether the bytes are text: UTF-8 (MQTT-1.5.4-1) without U+0000
/// (MQTT-1.5.4-2).
#[inline]
pub(crate) fn check(bytes: &[u8], usage: Use) -> Result<(), Fault> {
    // One comparison for almost every byte of almost every text.
    if bytes.iter().all(|byte| (b'+' + 1..0x80).contains(byte)) {
        return Ok(());
    }
    check_thoroughly(bytes, usage)
}

#[cold]
#[inline(never)]
fn check_thoroughly(bytes: &[u8], usage: Use) -> Result<(), Fault> {
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        let (more, first) = match byte {
            b'#' | b'+' if usage == Use::TopicName => return Err(Fault::TopicName),
            1..0x80 => continue,
            0xc2..0xe0 => (1, byte & 0x1f),
            0xe0..0xf0 => (2, byte & 0x0f),
            0xf0..0xf5 => (3, byte & 0x07),
            // U+0000, a continuation, or what begins no character.
            _ => return Err(Fault::Malformed),
        };
        let mut char = u32::from(first);
        for _ in 0..more {
            let byte = rest.next().unwrap_or(0);
            if byte & 0xc0 != 0x80 {
                return Err(Fault::Malformed);
            }
            char = char << 6 | u32::from(byte & 0x3f);
        }
        // Not in the shortest form, or a surrogate, or past the last one.
        if char >> (5 * more + 1) == 0 || char >> 11 == 0x1b || char > 0x10_ffff {
            return Err(Fault::Malformed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Fault, Text, Use, check};

    /// Every sequence of up to four bytes that differs in what matters, against
    /// the standard library.
    #[test]
    fn text_is_what_the_standard_library_takes_without_nul() {
        let bytes: Vec<u8> = [
            0x00, 0x01, 0x22, 0x24, 0x2a, 0x2c, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
            0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4,
            0xf5, 0xf7, 0xf8, 0xff,
        ]
        .into();
        let n = bytes.len();
        for index in 0..n.pow(4) * 5 {
            let len = index / n.pow(4);
            let digits = [1, n, n * n, n * n * n].map(|place| bytes[index / place % n]);
            let bytes = &digits[..len];
            let text = std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
            assert_eq!(check(bytes, Use::Any).is_ok(), text, "{bytes:x?}");
            assert_eq!(check(bytes, Use::TopicName).is_ok(), text, "{bytes:x?}");
        }
    }

    #[test]
    fn a_topic_name_has_no_wildcards() {
        for topic in ["#", "+", "a/+/b", "ä#"] {
            assert_eq!(check(topic.as_bytes(), Use::Any), Ok(()));
            let fault = check(topic.as_bytes(), Use::TopicName);
            assert_eq!(fault, Err(Fault::TopicName), "{topic}");
        }
    }

    #[test]
    fn text_is_compared_and_shown_as_what_it_says() {
        let text = Text::from("žalia");
        assert_eq!(text, "žalia");
        assert_ne!(text, "zalia");
        assert_eq!(text.as_str(), "žalia");
        assert_eq!(format!("{text} {text:?}"), "žalia \"žalia\"");
        assert!(!text.is_empty() && Text::from("").is_empty());
    }
}
