//! A reader of JSON objects that borrows from its input and needs no heap.
//!
//! It checks the whole grammar, also of what it passes over, so that a damaged payload is refused
//! rather than half understood.

use core::ops::Range;
use core::str::Chars;

use crate::DecodeError;

/// How deeply values may be nested.
const MAX_DEPTH: u8 = 16;

/// A value in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// As written, and grammatical.
    Number(&'a str),
    /// What stands between the quotes, escapes unresolved.
    String(&'a str),
    /// A string or object that is not UTF-8; only [`fields`] meets one.
    Garbled,
    /// From brace to brace.
    Object(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An array.
    Array,
}

/// Calls `field` for each key and value of the object that `payload` is, in order.
///
/// Keys are given as written: an escape in a key makes it a different key.
pub fn object<'a>(
    payload: &'a [u8],
    field: impl FnMut(&'a str, Value<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let text = core::str::from_utf8(payload).map_err(|_| DecodeError::Malformed)?;
    read(text, field)
}

/// [`object`] for what is text already.
pub fn read<'a>(
    text: &'a str,
    mut field: impl FnMut(&'a str, Value<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    document(text.as_bytes(), Some(text), &mut field)
}

/// [`object`] for what need not be UTF-8 as a whole: strings that are can be read.
pub fn fields<'a>(
    payload: &'a [u8],
    mut field: impl FnMut(&'a str, Value<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    document(payload, core::str::from_utf8(payload).ok(), &mut field)
}

/// What is done with a field. Not generic, so that a firmware has the reader once.
type Field<'f, 'a> = dyn FnMut(&'a str, Value<'a>) -> Result<(), DecodeError> + 'f;

fn document<'a>(
    payload: &'a [u8],
    text: Option<&'a str>,
    field: &mut Field<'_, 'a>,
) -> Result<(), DecodeError> {
    let mut reader = Reader {
        bytes: payload,
        text,
        at: 0,
    };
    reader.space();
    reader.object(0, field)?;
    reader.space();
    if reader.at == payload.len() {
        Ok(())
    } else {
        Err(DecodeError::Malformed)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// The same, if it is UTF-8 as a whole: then so is each of its strings.
    text: Option<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(taken));
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(DecodeError::Malformed)
        }
    }

    fn skip_while(&mut self, mut wanted: impl FnMut(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().is_some_and(&mut wanted) {
            self.at = self.at.saturating_add(1);
        }
        self.at.saturating_sub(start)
    }

    fn space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// What stands there, if that is UTF-8.
    fn piece(&self, range: Range<usize>) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(range),
            None => core::str::from_utf8(self.bytes.get(range)?).ok(),
        }
    }

    /// The text from `start` to here.
    fn since(&self, start: usize) -> Result<&'a str, DecodeError> {
        self.piece(start..self.at).ok_or(DecodeError::Malformed)
    }

    fn object(&mut self, depth: u8, field: &mut Field<'_, 'a>) -> Result<(), DecodeError> {
        self.expect(b'{')?;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            let value = self.value(depth)?;
            // A key that is not UTF-8 is none of ours.
            field(key.unwrap_or_default(), value)?;
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    fn array(&mut self, depth: u8) -> Result<(), DecodeError> {
        self.expect(b'[')?;
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    fn value(&mut self, depth: u8) -> Result<Value<'a>, DecodeError> {
        let depth = depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(DecodeError::Malformed);
        }
        let start = self.at;
        match self.peek() {
            Some(b'{') => {
                self.object(depth, &mut |_, _| Ok(()))?;
                Ok(self.since(start).map_or(Value::Garbled, Value::Object))
            }
            Some(b'[') => self.array(depth).map(|()| Value::Array),
            Some(b'"') => Ok(self.string()?.map_or(Value::Garbled, Value::String)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            _ => {
                self.skip_while(|byte| byte.is_ascii_lowercase());
                match self.since(start)? {
                    "null" => Ok(Value::Null),
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    _ => Err(DecodeError::Malformed),
                }
            }
        }
    }

    /// A string; gives what stands between its quotes, if that is UTF-8.
    fn string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.next() {
                Some(b'"') => {
                    return Ok(self.piece(start..self.at.saturating_sub(1)));
                }
                Some(b'\\') => match self.next() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') => {
                        for _ in 0..4 {
                            if !self.next().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                return Err(DecodeError::Malformed);
                            }
                        }
                    }
                    _ => return Err(DecodeError::Malformed),
                },
                None | Some(..=0x1f) => return Err(DecodeError::Malformed),
                Some(_) => {}
            }
        }
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        match self.skip_while(|byte| byte.is_ascii_digit()) {
            0 => Err(DecodeError::Malformed),
            _ => Ok(()),
        }
    }

    fn number(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        self.since(start)
    }
}

impl<'a> Value<'a> {
    /// The value as a whole number, the `field` for the error.
    pub fn u64(&self, field: &'static str) -> Result<u64, DecodeError> {
        match self {
            Self::Number(number) => number.parse().map_err(|_| DecodeError::Value(field)),
            _ => Err(DecodeError::Value(field)),
        }
    }

    /// The value as a whole number, the `field` for the error.
    pub fn u32(&self, field: &'static str) -> Result<u32, DecodeError> {
        self.u64(field)?
            .try_into()
            .map_err(|_| DecodeError::Value(field))
    }

    pub fn u16(&self, field: &'static str) -> Result<u16, DecodeError> {
        self.u64(field)?
            .try_into()
            .map_err(|_| DecodeError::Value(field))
    }

    /// The value as text, unless it has escapes.
    pub fn plain_str(&self) -> Option<&'a str> {
        match self {
            Self::String(text) if !text.contains('\\') => Some(text),
            _ => None,
        }
    }

    /// The characters of a string.
    pub fn chars(&self) -> Option<Unescaped<'a>> {
        match self {
            Self::String(text) => Some(Unescaped(text.chars())),
            _ => None,
        }
    }

    /// Whether the value is this word, escapes resolved.
    pub fn is_word(&self, word: &str) -> bool {
        self.chars()
            .is_some_and(|chars| chars.eq(word.chars().map(Some)))
    }

    /// The value as a whole number that may be negative.
    pub fn i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// The value as a number of tenths, rounded half away from zero.
    pub fn tenths(&self) -> Option<i32> {
        let Self::Number(number) = self else {
            return None;
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (negative, magnitude) = match mantissa.strip_prefix('-') {
            Some(magnitude) => (true, magnitude),
            None => (false, mantissa),
        };
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        // How many of the digits stand before the end of the tenths.
        let exponent = exponent.parse::<i32>().ok()?;
        let mut before = i32::try_from(whole.len())
            .ok()?
            .checked_add(exponent)?
            .checked_add(1)?;
        let mut tenths: i32 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = i32::from(digit.wrapping_sub(b'0'));
            match before {
                1.. => tenths = tenths.checked_mul(10)?.checked_add(digit)?,
                0 => tenths = tenths.checked_add(i32::from(digit >= 5))?,
                _ => break,
            }
            before = before.saturating_sub(1);
        }
        while tenths != 0 && before > 0 {
            tenths = tenths.checked_mul(10)?;
            before = before.saturating_sub(1);
        }
        Some(if negative {
            tenths.saturating_neg()
        } else {
            tenths
        })
    }
}

/// The characters of a string with its escapes resolved; `None` stands for half of a surrogate
/// pair, which JSON allows and which is no character.
#[derive(Clone)]
pub struct Unescaped<'a>(Chars<'a>);

impl Unescaped<'_> {
    /// What follows `\u`.
    fn unicode(&mut self) -> Option<char> {
        let first = hex(&mut self.0)?;
        let mut ahead = self.0.clone();
        if matches!(first, 0xd800..=0xdbff) && ahead.next()? == '\\' && ahead.next()? == 'u' {
            let second = hex(&mut ahead)?;
            if matches!(second, 0xdc00..=0xdfff) {
                self.0 = ahead;
                let pair = (first & 0x3ff) << 10 | second & 0x3ff;
                return char::from_u32(pair.wrapping_add(0x1_0000));
            }
        }
        char::from_u32(first)
    }
}

/// Four hexadecimal digits.
fn hex(chars: &mut Chars<'_>) -> Option<u32> {
    let mut number = 0;
    for _ in 0..4 {
        number = number << 4 | chars.next()?.to_digit(16)?;
    }
    Some(number)
}

impl Iterator for Unescaped<'_> {
    type Item = Option<char>;

    fn next(&mut self) -> Option<Option<char>> {
        let char = match self.0.next()? {
            '\\' => match self.0.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => return Some(self.unicode()),
                itself => itself,
            },
            char => char,
        };
        Some(Some(char))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn read(text: &str) -> Result<Vec<(&str, Value<'_>)>, DecodeError> {
        let mut fields = Vec::new();
        object(text.as_bytes(), |key, value| {
            fields.push((key, value));
            Ok(())
        })?;
        Ok(fields)
    }

    /// A value lost or cut at the wrong place.
    #[test]
    fn fields_come_in_order_as_written() {
        assert_eq!(
            read(r#"{"a":-1.5e+3,"b":"x\"\u00e4y","c":{"d":[{}]},"e":[],"":null,"f":true}"#),
            Ok(std::vec![
                ("a", Value::Number("-1.5e+3")),
                ("b", Value::String(r#"x\"\u00e4y"#)),
                ("c", Value::Object(r#"{"d":[{}]}"#)),
                ("e", Value::Array),
                ("", Value::Null),
                ("f", Value::Bool(true)),
            ])
        );
        assert_eq!(read(" {\t\r\n} "), Ok(std::vec![]));
    }

    /// A damaged payload half understood.
    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{}}",
            "{} x",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":nul}"#,
            r#"{"a":True}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"b}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":{"b"}}"#,
        ] {
            assert_eq!(read(text), Err(DecodeError::Malformed), "{text}");
        }
        assert_eq!(
            object(b"{\"\xff\":1}", |_, _| Ok(())),
            Err(DecodeError::Malformed)
        );
    }

    /// An answer without the id that was asked for, because a byte elsewhere is not UTF-8.
    #[test]
    fn what_is_readable_is_read_beside_what_is_not() {
        let payload = b"{\"a\":\"\xff\",\"\xfe\":1,\"b\":{\"\xff\":[]},\"c\":\"d\"}";
        let mut seen = Vec::new();
        let read = fields(payload, |key, value| {
            seen.push((key, value));
            Ok(())
        });
        assert_eq!(read, Ok(()));
        assert_eq!(
            seen,
            [
                ("a", Value::Garbled),
                ("", Value::Number("1")),
                ("b", Value::Garbled),
                ("c", Value::String("d")),
            ]
        );
    }

    /// A letter of another language, or one beyond the first plane, turned into two of something.
    #[test]
    fn escapes_are_resolved() {
        let resolve = |text| -> String {
            let chars = Value::String(text).chars().unwrap();
            chars.map(|char| char.unwrap_or('?')).collect()
        };
        for (text, resolved) in [
            ("", ""),
            ("plain ž", "plain ž"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u017E\u20ac\u0000", "Až€\0"),
            (r"\ud83d\udE00!", "😀!"),
            (r"\udbff\udfff", "\u{10ffff}"),
            (r"\ud800\udc00", "\u{10000}"),
            (r"\ud83d", "?"),
            (r"\ud83dx", "?x"),
            (r"\ud83d\n", "?\n"),
            (r"\ud83d\u0041", "?A"),
            (r"\ud83d\ud83d\ude00", "?😀"),
            (r"\ude00\ud83d", "??"),
        ] {
            assert_eq!(resolve(text), resolved, "{text}");
        }
    }

    /// Deep nesting that overflows the stack.
    #[test]
    fn nesting_is_bounded() {
        let nested =
            |depth: usize| String::from("{\"a\":") + &"[".repeat(depth) + &"]".repeat(depth) + "}";
        assert!(read(&nested(16)).is_ok());
        for depth in [17, 100_000] {
            assert_eq!(read(&nested(depth)), Err(DecodeError::Malformed));
        }
    }

    /// A decimal point in the wrong place.
    #[test]
    fn tenths_are_exact() {
        for (text, tenths) in [
            ("0", Some(0)),
            ("-0.0", Some(0)),
            ("24.1", Some(241)),
            ("24", Some(240)),
            ("24.14999", Some(241)),
            ("24.15", Some(242)),
            ("-24.15", Some(-242)),
            ("0.05", Some(1)),
            ("0.04", Some(0)),
            ("9.99", Some(100)),
            ("2.41e1", Some(241)),
            ("241e-1", Some(241)),
            ("5E-2", Some(1)),
            ("5e-3", Some(0)),
            ("1e3", Some(10_000)),
            ("0e999999", Some(0)),
            ("1e-999999", Some(0)),
            ("214748364.7", Some(i32::MAX)),
            ("214748364.8", None),
            ("1e9", None),
            ("1e999999", None),
            ("1e99999999999", None),
        ] {
            assert_eq!(Value::Number(text).tenths(), tenths, "{text}");
        }
    }
}
