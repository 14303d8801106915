//! From a text to flashes.

use core::fmt;

use aldis_mqtt::Instant;

use super::code::{Code, code};
use super::{DOT_MS, TEXT_LEN, WPM};

/// `É` in Latin 1, as the buffer holds it: no other character beyond ASCII has marks of
/// its own.
const E_ACUTE: u8 = 0xC9;

/// Spaces, in dots.
const IN_LETTER: u8 = 1;
const BETWEEN_LETTERS: u8 = 3;
const BETWEEN_WORDS: u8 = 7;

/// Why a text cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSendable {
    /// There is nothing in it to send.
    Empty,
    /// It is longer than [`TEXT_LEN`].
    TooLong,
    /// Morse code has no marks for this character.
    Character(char),
    /// A bracket that opens or closes no prosign, or has something else than letters and
    /// figures in it.
    Bracket,
    /// The speed is not within [`WPM`].
    Speed,
}

impl NotSendable {
    /// The reason in fixed words: without the character.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "nothing to send",
            Self::TooLong => "longer than 256 characters",
            Self::Character(_) => "a character that Morse code does not have",
            Self::Bracket => "brackets are for prosigns, as in <SK>",
            Self::Speed => "5 to 40 words a minute",
        }
    }
}

impl fmt::Display for NotSendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(c) if c.is_control() => {
                write!(f, "Morse code does not have U+{:04X}", u32::from(*c))
            }
            Self::Character(c) => write!(f, "Morse code does not have '{c}'"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl core::error::Error for NotSendable {}

/// Plays a text on a lamp.
///
/// Each change of the lamp has its moment, counted from the beginning of the text: one
/// that is asked late shows what is due by then, and is on time with the next change.
///
/// # What can be sent
///
/// - Letters, in either case, figures, `.,:?'-/()"=+@!;$_`, and letters and figures in
///   angle brackets as a prosign.
/// - `É`, which has marks of its own. The other letters of Lithuanian, Polish and German
///   are sent as their base letters: `ą` as `A`, `ł` as `L`, `ž` as `Z`; `ä`, `ö`, `ü`,
///   `ß` as `AE`, `OE`, `UE`, `SS`.
/// - Typographic quotes, dashes, apostrophes and the ellipsis as their plain ones, `×` as
///   `X`, `÷` as `:`, and as the Recommendation has it, `%` as `0/0` and `‰` as `0/00`,
///   joined by a hyphen to the figure before it.
/// - White space of any kind and length is one space between words.
///
/// Nothing else is sent, and nothing left out: a text with another character is refused.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Upper case, single spaces between words, none at the ends.
    text: [u8; TEXT_LEN],
    len: u16,
    wpm: u8,
    begins: Option<Instant>,
    player: Player,
    /// What is shown, and when it ends, in dots since the beginning.
    lit: bool,
    ends: u32,
}

impl Sender {
    /// A text, at so many words a minute.
    ///
    /// # Errors
    /// [`NotSendable`] says what is wrong with the text or the speed.
    pub fn new(text: &str, wpm: u8) -> Result<Self, NotSendable> {
        if !WPM.contains(&wpm) {
            return Err(NotSendable::Speed);
        }
        let mut folded = Folded {
            text: [0; TEXT_LEN],
            len: 0,
            space: false,
            in_prosign: false,
        };
        for character in text.chars() {
            folded.take(character)?;
        }
        if folded.in_prosign {
            return Err(NotSendable::Bracket);
        }
        if folded.len == 0 {
            return Err(NotSendable::Empty);
        }
        Ok(Self {
            text: folded.text,
            len: u16::try_from(folded.len).map_err(|_| NotSendable::TooLong)?,
            wpm,
            begins: None,
            player: Player::default(),
            lit: false,
            ends: 0,
        })
    }

    /// Lets the text begin at this moment; until then it is dark.
    ///
    /// Without this it begins when [`Sender::run`] is called first. A lamp that was lit
    /// wants to be dark for a while before.
    pub fn begin(&mut self, at: Instant) {
        self.begins = Some(at);
        self.player = Player::default();
        (self.lit, self.ends) = (false, 0);
    }

    /// Whether the lamp is lit now, and until when. `None` when the text has been played.
    ///
    /// The text ends with the space that separates words, so that the light after it is
    /// no part of it.
    pub fn run(&mut self, now: Instant) -> Option<(bool, Instant)> {
        let begins = *self.begins.get_or_insert(now);
        loop {
            let until = begins.after(dots_ms(self.ends, self.wpm));
            if until > now {
                return Some((self.lit, until));
            }
            let text = self.text.get(..self.len.into())?;
            let (lit, dots) = self.player.next(text)?;
            self.lit = lit;
            self.ends = self.ends.saturating_add(dots.into());
        }
    }

    /// How long the whole text takes, with the space after it, in milliseconds.
    pub fn duration_ms(&self) -> u32 {
        let text = self.text.get(..self.len.into()).unwrap_or_default();
        let mut player = Player::default();
        let mut all: u32 = 0;
        while let Some((_, dots)) = player.next(text) {
            all = all.saturating_add(dots.into());
        }
        dots_ms(all, self.wpm)
    }

    /// One dot in milliseconds, rounded down.
    pub fn dot_ms(&self) -> u32 {
        dots_ms(1, self.wpm)
    }

    /// The speed in words a minute.
    pub const fn wpm(&self) -> u8 {
        self.wpm
    }
}

/// So many dots in milliseconds. Rounded as a whole, so that no error adds up.
fn dots_ms(dots: u32, wpm: u8) -> u32 {
    dots.saturating_mul(DOT_MS)
        .checked_div(wpm.into())
        .unwrap_or(0)
}

/// Where the playing of a text is.
#[derive(Clone, Copy, Debug)]
struct Player {
    /// The next byte of the text.
    at: u16,
    in_prosign: bool,
    /// The marks of this letter that are still to come.
    left: Code,
    /// The space that comes before them.
    space: u8,
    over: bool,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            at: 0,
            in_prosign: false,
            left: Code::NONE,
            space: 0,
            over: false,
        }
    }
}

impl Player {
    /// The next light or dark, and its length in dots.
    fn next(&mut self, text: &[u8]) -> Option<(bool, u8)> {
        if self.space > 0 {
            return Some((false, core::mem::take(&mut self.space)));
        }
        if self.left.len() == 0 {
            // Before the first letter.
            self.load(text);
            self.space = 0;
        }
        let (dash, rest) = self.left.split_first()?;
        self.left = rest;
        if rest.len() > 0 {
            self.space = IN_LETTER;
        } else {
            self.load(text);
        }
        Some((true, if dash { 3 } else { 1 }))
    }

    /// Goes to the next letter.
    fn load(&mut self, text: &[u8]) {
        self.space = if self.in_prosign {
            IN_LETTER
        } else {
            BETWEEN_LETTERS
        };
        while let Some(&byte) = text.get(usize::from(self.at)) {
            self.at = self.at.saturating_add(1);
            match byte {
                b' ' => self.space = BETWEEN_WORDS,
                b'<' => self.in_prosign = true,
                b'>' => {
                    self.in_prosign = false;
                    self.space = self.space.max(BETWEEN_LETTERS);
                }
                letter => {
                    self.left = code(letter).unwrap_or(Code::NONE);
                    return;
                }
            }
        }
        self.space = if self.over { 0 } else { BETWEEN_WORDS };
        self.over = true;
    }
}

/// A text on its way into the buffer.
struct Folded {
    text: [u8; TEXT_LEN],
    len: usize,
    /// White space has passed since the last character.
    space: bool,
    in_prosign: bool,
}

impl Folded {
    fn take(&mut self, character: char) -> Result<(), NotSendable> {
        if character.is_whitespace() {
            if self.in_prosign {
                return Err(NotSendable::Bracket);
            }
            self.space = self.len > 0;
            return Ok(());
        }
        if core::mem::take(&mut self.space) {
            self.push(b' ')?;
        }
        let ascii = u8::try_from(character).map_or(0, |byte| byte.to_ascii_uppercase());
        match (ascii, self.in_prosign) {
            (b'<', false) => {
                self.in_prosign = true;
                return self.push(ascii);
            }
            (b'>', true) if self.text.get(self.len.saturating_sub(1)) != Some(&b'<') => {
                self.in_prosign = false;
                return self.push(ascii);
            }
            (b'<' | b'>', _) => return Err(NotSendable::Bracket),
            (b'A'..=b'Z' | b'0'..=b'9', _) => return self.push(ascii),
            (_, true) => return Err(NotSendable::Bracket),
            _ => {}
        }
        let plain = match character {
            'É' | 'é' => return self.push(E_ACUTE),
            'Ą' | 'ą' => "A",
            'Ć' | 'ć' | 'Č' | 'č' => "C",
            'Ę' | 'ę' | 'Ė' | 'ė' => "E",
            'Į' | 'į' => "I",
            'Ł' | 'ł' => "L",
            'Ń' | 'ń' => "N",
            'Ó' | 'ó' => "O",
            'Ś' | 'ś' | 'Š' | 'š' => "S",
            'Ų' | 'ų' | 'Ū' | 'ū' => "U",
            'Ź' | 'ź' | 'Ż' | 'ż' | 'Ž' | 'ž' => "Z",
            'Ä' | 'ä' => "AE",
            'Ö' | 'ö' => "OE",
            'Ü' | 'ü' => "UE",
            'ẞ' | 'ß' => "SS",
            '‐' | '‑' | '–' | '—' | '−' => "-",
            '’' | '‘' | '′' => "'",
            '“' | '”' | '„' | '«' | '»' => "\"",
            '″' => "''",
            '…' => "...",
            '×' => "X",
            '÷' => ":",
            '%' | '‰' => {
                if self.after_figure() {
                    self.push(b'-')?;
                }
                if character == '%' { "0/0" } else { "0/00" }
            }
            _ if ascii.is_ascii_graphic() && code(ascii).is_some() => return self.push(ascii),
            _ => return Err(NotSendable::Character(character)),
        };
        plain.bytes().try_for_each(|byte| self.push(byte))
    }

    fn after_figure(&self) -> bool {
        let last = self.len.checked_sub(1).and_then(|at| self.text.get(at));
        last.is_some_and(u8::is_ascii_digit)
    }

    fn push(&mut self, byte: u8) -> Result<(), NotSendable> {
        let place = self.text.get_mut(self.len);
        *place.ok_or(NotSendable::TooLong)? = byte;
        self.len = self.len.saturating_add(1);
        Ok(())
    }
}
