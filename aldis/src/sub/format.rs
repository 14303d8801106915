//! What is printed for a message: the payload, or what `-F` says.

use std::fmt;
use std::io::{self, Write};

use aldis_mqtt::Message;
use aldis_mqtt::wire::Property;
use jiff::Zoned;
use jiff::fmt::strtime;

use super::json;

/// How messages are printed.
pub enum Output {
    /// The payload alone.
    Payload,
    /// Topic and payload.
    Verbose,
    /// As `-F` says.
    Format(Format),
}

/// A message and the moment of its arrival.
pub struct Arrival<'a> {
    pub message: &'a Message<'a>,
    /// Zero at QoS 0.
    pub mid: u16,
    pub at: &'a Zoned,
}

impl Output {
    /// Prints a message; a line end follows if `eol` says so.
    pub fn print(&self, arrival: &Arrival<'_>, eol: bool, out: &mut impl Write) -> io::Result<()> {
        let Message { topic, payload, .. } = *arrival.message;
        match self {
            // As mosquitto_sub does: nothing, not even a line, for no payload.
            Self::Payload if payload.is_empty() => return Ok(()),
            Self::Payload => out.write_all(payload)?,
            Self::Verbose if payload.is_empty() && !eol => return Ok(()),
            Self::Verbose if payload.is_empty() => write!(out, "{topic} (null)")?,
            Self::Verbose => {
                write!(out, "{topic} ")?;
                out.write_all(payload)?;
            }
            Self::Format(format) => format.print(arrival, out)?,
        }
        if eol {
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// A format string of `-F`, taken apart.
pub struct Format(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// `%` and a letter.
    Field(Field, u8),
    /// `@` and a letter.
    Time(char),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Field {
    left: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// Why a format string is none.
#[derive(Debug, PartialEq, Eq)]
pub enum FormatError {
    IncompleteFormat,
    IncompleteEscape,
    InvalidFormat(char),
    InvalidEscape(char),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncompleteFormat => f.write_str("Incomplete format specifier."),
            Self::IncompleteEscape => f.write_str("Incomplete escape specifier."),
            Self::InvalidFormat(c) => write!(f, "Invalid format specifier '{c}'."),
            Self::InvalidEscape(c) => write!(f, "Invalid escape specifier '{c}'."),
        }
    }
}

impl std::str::FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let piece = match c {
                '%' => {
                    let mut field = Field::default();
                    while let Some(flag) = chars.next_if(|c| matches!(c, '0' | '-')) {
                        field.left |= flag == '-';
                        field.zero |= flag == '0';
                    }
                    let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                        let mut number = 0usize;
                        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                            let digit = digit.to_digit(10).unwrap_or(0) as usize;
                            number = (number * 10 + digit).min(MAX_WIDTH);
                        }
                        number
                    };
                    field.width = number(&mut chars);
                    if chars.next_if_eq(&'.').is_some() {
                        field.precision = Some(number(&mut chars));
                    }
                    let letter = chars.next().ok_or(FormatError::IncompleteFormat)?;
                    if !"%ACDEFIJPRSUXjlmpqrtx".contains(letter) {
                        return Err(FormatError::InvalidFormat(letter));
                    }
                    Piece::Field(field, letter as u8)
                }
                '@' => match chars.next().ok_or(FormatError::IncompleteFormat)? {
                    '@' => {
                        literal.push(b'@');
                        continue;
                    }
                    letter => Piece::Time(letter),
                },
                '\\' => {
                    literal.push(match chars.next().ok_or(FormatError::IncompleteEscape)? {
                        '\\' => b'\\',
                        '0' => 0,
                        'a' => 7,
                        'e' => 27,
                        'n' => b'\n',
                        'r' => b'\r',
                        't' => b'\t',
                        'v' => 11,
                        other => return Err(FormatError::InvalidEscape(other)),
                    });
                    continue;
                }
                other => {
                    literal.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }
}

/// Wider than any screen; a typing error shall not fill the disk.
const MAX_WIDTH: usize = 100_000;

impl Format {
    /// What `--json` prints.
    pub fn json() -> Self {
        Self(vec![Piece::Field(Field::default(), b'j')])
    }

    fn print(&self, arrival: &Arrival<'_>, out: &mut impl Write) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Field(field, letter) => field.print(*letter, arrival, out)?,
                Piece::Time(letter) => time(*letter, arrival.at, out)?,
            }
        }
        Ok(())
    }
}

impl Field {
    fn print(self, letter: u8, arrival: &Arrival<'_>, out: &mut impl Write) -> io::Result<()> {
        let message = arrival.message;
        let find = |wanted: fn(&Property<'_>) -> bool| message.properties.iter().find(wanted);
        match letter {
            b'%' => out.write_all(b"%"),
            b'A' => {
                let alias = find(|p| matches!(p, Property::TopicAlias(_)));
                self.number(alias.map(|p| number(&p)), out)
            }
            b'C' => {
                let found = find(|p| matches!(p, Property::ContentType(_)));
                self.text(found.map_or("", |p| text(&p)), out)
            }
            b'D' => match find(|p| matches!(p, Property::CorrelationData(_))) {
                Some(Property::CorrelationData(data)) => out.write_all(data),
                _ => Ok(()),
            },
            b'E' => {
                let found = find(|p| matches!(p, Property::MessageExpiryInterval(_)));
                self.number(found.map(|p| number(&p)), out)
            }
            b'F' => {
                let found = find(|p| matches!(p, Property::PayloadFormatIndicator(_)));
                self.number(found.map(|p| number(&p)), out)
            }
            b'I' => {
                let at = arrival.at.strftime("%Y-%m-%dT%H:%M:%S%z").to_string();
                self.text(&at, out)
            }
            b'j' => out.write_all(json::message(arrival).as_bytes()),
            b'J' => match json::message_with_json(arrival) {
                Some(text) => out.write_all(text.as_bytes()),
                None => {
                    let topic = message.topic;
                    eprintln!("Error: Message payload is not valid JSON on topic {topic}.");
                    Ok(())
                }
            },
            b'l' => self.number(Some(message.payload.len() as u64), out),
            b'm' => self.number(Some(arrival.mid.into()), out),
            b'P' => {
                let mut separator = "";
                for property in message.properties {
                    if let Property::UserProperty(key, value) = property {
                        write!(out, "{separator}{key}:{value}")?;
                        separator = " ";
                    }
                }
                Ok(())
            }
            b'p' => {
                let len = match self.width {
                    0 => message.payload.len(),
                    width => width.min(message.payload.len()),
                };
                self.padded(message.payload.get(..len).unwrap_or(&[]), self.zero, out)
            }
            b'q' => write!(out, "{}", message.qos.bits()),
            b'R' => match find(|p| matches!(p, Property::ResponseTopic(_))) {
                Some(Property::ResponseTopic(topic)) => self.text(topic, out),
                _ => Ok(()),
            },
            b'r' => write!(out, "{}", u8::from(message.retain)),
            b'S' => {
                let found = find(|p| matches!(p, Property::SubscriptionIdentifier(_)));
                self.number(found.map(|p| number(&p)), out)
            }
            b't' => self.text(message.topic.as_str(), out),
            b'U' => {
                let at = arrival.at.timestamp();
                write!(out, "{}.{:09}", at.as_second(), at.subsec_nanosecond())
            }
            hexadecimal => {
                let len = match self.width {
                    0 => message.payload.len(),
                    width => (width / 2).min(message.payload.len()),
                };
                let bytes = message.payload.get(..len).unwrap_or(&[]);
                let digits: String = match hexadecimal {
                    b'X' => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
                    _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                };
                self.padded(digits.as_bytes(), self.zero, out)
            }
        }
    }

    fn number(self, value: Option<u64>, out: &mut impl Write) -> io::Result<()> {
        match value {
            Some(value) => self.padded(value.to_string().as_bytes(), self.zero, out),
            None => self.padded(b"", self.zero, out),
        }
    }

    /// Cut to the precision, where a character ends.
    fn text(self, text: &str, out: &mut impl Write) -> io::Result<()> {
        let end = match self.precision {
            Some(precision) => text.floor_char_boundary(precision),
            None => text.len(),
        };
        self.padded(text.get(..end).unwrap_or("").as_bytes(), false, out)
    }

    fn padded(self, bytes: &[u8], zero: bool, out: &mut impl Write) -> io::Result<()> {
        let room = self.width.saturating_sub(bytes.len());
        let pad = if zero && !self.left { b'0' } else { b' ' };
        let padding = vec![pad; room];
        if self.left {
            out.write_all(bytes)?;
            out.write_all(&padding)
        } else {
            out.write_all(&padding)?;
            out.write_all(bytes)
        }
    }
}

fn number(property: &Property<'_>) -> u64 {
    match *property {
        Property::TopicAlias(value) => value.into(),
        Property::MessageExpiryInterval(value) | Property::SubscriptionIdentifier(value) => {
            value.into()
        }
        Property::PayloadFormatIndicator(value) => value.into(),
        _ => 0,
    }
}

fn text<'a>(property: &Property<'a>) -> &'a str {
    match *property {
        Property::ContentType(value) | Property::ResponseTopic(value) => value,
        _ => "",
    }
}

/// One conversion of strftime(3), in the C locale; what there is not is printed
/// as it was written.
fn time(letter: char, at: &Zoned, out: &mut impl Write) -> io::Result<()> {
    match letter {
        'N' => return write!(out, "{:09}", at.subsec_nanosecond()),
        // Extensions that strftime(3) does not have.
        'f' | 'L' | 'i' | 'q' | 'Q' | 'o' | 'v' | 'J' | 'K' | '+' | ':' | '.' | '%' => {}
        letter if letter.is_ascii_alphabetic() => {
            let config = strtime::Config::new()
                .custom(strtime::PosixCustom::new())
                .lenient(true);
            let format = format!("%{letter}");
            if let Ok(text) =
                strtime::BrokenDownTime::from(at).to_string_with_config(&config, format)
            {
                return out.write_all(text.as_bytes());
            }
        }
        _ => {}
    }
    if letter == '%' {
        return out.write_all(b"%");
    }
    write!(out, "%{letter}")
}
