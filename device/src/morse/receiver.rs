//! From the strokes of a key to overs.

use core::fmt;

use aldis_mqtt::Instant;

use super::decode::{self, Guess, Speed};

/// The most marks that are read as a whole.
pub(super) const MARKS: usize = 256;
/// The longest text of so many marks: each is a letter, with a space after it.
const HEARD_LEN: usize = 2 * MARKS;
/// A mark or space shorter than this is a contact that bounces.
const NOISE_MS: u64 = 10;
/// A key pressed for so long sends nothing.
const HELD_MS: u32 = 10_000;
/// An over ends when the key was not pressed for so long, and for so many dots.
const SILENCE_MS: u32 = 2_000;
const SILENCE_DOTS: u32 = 14;
/// When there is no room for another mark, the longest space among the last so many
/// divides what is read now from what is read with the marks to come.
const TAIL: usize = 32;

/// A text that was keyed.
#[derive(Clone, PartialEq, Eq)]
pub struct Heard {
    text: [u8; HEARD_LEN],
    len: u16,
    wpm: u8,
}

impl Heard {
    pub(super) const fn new() -> Self {
        Self {
            text: [0; HEARD_LEN],
            len: 0,
            wpm: 0,
        }
    }

    /// What was heard: upper case, a space between words, prosigns without a character
    /// of their own as `<SK>`, marks that are no sign as [`UNKNOWN`](super::UNKNOWN).
    pub fn text(&self) -> &str {
        let text = self.text.get(..self.len.into()).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }

    /// How fast, in words a minute.
    pub const fn wpm(&self) -> u8 {
        self.wpm
    }

    pub(super) fn set_wpm(&mut self, wpm: u8) {
        self.wpm = wpm;
    }

    pub(super) fn push(&mut self, text: &str) {
        let len = usize::from(self.len);
        let end = len.saturating_add(text.len());
        if let (Some(room), Ok(end)) = (self.text.get_mut(len..end), u16::try_from(end)) {
            room.copy_from_slice(text.as_bytes());
            self.len = end;
        }
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("text", &self.text())
            .field("wpm", &self.wpm)
            .finish()
    }
}

/// The marks of an over and the spaces between them, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Over {
    marks: [u16; MARKS],
    /// The space after each mark but the last.
    spaces: [u16; MARKS],
    len: usize,
}

impl Over {
    /// Each mark with the space after it; that of the last is of no meaning.
    pub fn strokes(&self) -> impl Iterator<Item = (u16, u16)> {
        let both = self.marks.iter().zip(&self.spaces).take(self.len);
        both.map(|(mark, space)| (*mark, *space))
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub fn of(strokes: &[(u16, u16)]) -> Self {
        let mut over = Receiver::new().over;
        over.len = strokes.len();
        for (at, (mark, space)) in strokes.iter().enumerate() {
            over.marks[at] = *mark;
            over.spaces[at] = *space;
        }
        over
    }
}

/// Listens to a key.
///
/// The key comes debounced, yet marks and spaces below 10 ms are passed over. An over
/// ends when the key was left alone for two seconds and for fourteen dots, whichever is
/// longer, or when the key is held for ten seconds (what is held sends nothing). An
/// over of more than 256 marks, some hundred characters, comes in parts.
#[derive(Clone, Debug)]
pub struct Receiver {
    over: Over,
    speed: Speed,
    pressed: Option<Instant>,
    /// The end of the last mark.
    released: Instant,
    /// When the over ends if nothing happens; [`Instant::NEVER`] if there is none, or
    /// the key is pressed.
    ends: Instant,
    /// The look at the speed that this took.
    guess: Option<Guess>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Has heard nothing yet.
    pub const fn new() -> Self {
        Self {
            over: Over {
                marks: [0; MARKS],
                spaces: [0; MARKS],
                len: 0,
            },
            speed: Speed::UNKNOWN,
            pressed: None,
            released: Instant::from_millis(0),
            ends: Instant::NEVER,
            guess: None,
        }
    }

    /// The key was pressed or released. Gives what is complete with that: an over that
    /// ended before and was not fetched with [`Receiver::run`], or as much as there is
    /// room for.
    #[must_use = "it is told once"]
    pub fn key(&mut self, pressed: bool, now: Instant) -> Option<Heard> {
        let heard = self.run(now);
        if pressed {
            self.press(now);
            heard
        } else {
            // A silence ended before, or the room ends now: not both, a single mark fills nothing.
            self.release(now).or(heard)
        }
    }

    /// Whether somebody is keying: an over has begun and not ended.
    pub const fn is_listening(&self) -> bool {
        self.pressed.is_some() || self.over.len > 0
    }

    /// Looks at the time: gives an over that has ended.
    #[must_use = "it is told once"]
    pub fn run(&mut self, now: Instant) -> Option<Heard> {
        if let Some(since) = self.pressed {
            return if now >= since.after(HELD_MS) {
                self.read(self.over.len)
            } else {
                None
            };
        }
        if now < self.ends {
            return None;
        }
        if self.guess.is_none() {
            let guess = self.speed.explain(&self.over);
            self.guess = Some(guess);
            let dot_ms = self.speed.patience_ms(&self.over, guess);
            let silence_ms = dot_ms.saturating_mul(SILENCE_DOTS).max(SILENCE_MS);
            self.ends = self.released.after(silence_ms);
            if now < self.ends {
                return None;
            }
        }
        self.read(self.over.len)
    }

    /// When [`Receiver::run`] wants to be called.
    pub fn deadline(&self) -> Instant {
        match self.pressed {
            Some(since) if self.over.len > 0 => since.after(HELD_MS),
            Some(_) => Instant::NEVER,
            None => self.ends,
        }
    }

    fn press(&mut self, now: Instant) {
        if self.pressed.is_some() {
            return;
        }
        self.pressed = Some(now);
        if self.over.len == 0 || now.since(self.released) >= NOISE_MS {
            return;
        }
        // No space: the last mark goes on.
        let last = self.over.len.saturating_sub(1);
        self.over.len = last;
        let before = |instant: Instant, ms: Option<&u16>| {
            let ms = ms.copied().unwrap_or(0);
            Instant::from_millis(instant.as_millis().saturating_sub(ms.into()))
        };
        let began = before(self.released, self.over.marks.get(last));
        self.pressed = Some(began);
        self.guess = None;
        if let Some(previous) = last.checked_sub(1) {
            self.released = before(began, self.over.spaces.get(previous));
        }
    }

    fn release(&mut self, now: Instant) -> Option<Heard> {
        let since = self.pressed.take()?;
        let mark_ms = now.since(since);
        if mark_ms < NOISE_MS || mark_ms >= HELD_MS.into() {
            // As if it had not been; a space goes on.
            if self.over.len == 0 {
                self.ends = Instant::NEVER;
            }
            return None;
        }
        let space_ms = since.since(self.released);
        if let Some(last) = self.over.len.checked_sub(1)
            && let Some(space) = self.over.spaces.get_mut(last)
        {
            *space = u16::try_from(space_ms).unwrap_or(u16::MAX);
        }
        if let Some(mark) = self.over.marks.get_mut(self.over.len) {
            *mark = u16::try_from(mark_ms).unwrap_or(u16::MAX);
            self.over.len = self.over.len.saturating_add(1);
        }
        self.released = now;
        self.guess = None;
        self.ends = now.after(SILENCE_MS);
        if self.over.len < MARKS {
            return None;
        }
        self.read(self.head())
    }

    /// Where to divide an over for which there is no more room.
    fn head(&self) -> usize {
        let spaces = self.over.spaces.iter().enumerate();
        let last = self.over.len.saturating_sub(1);
        let tail = spaces.take(last).skip(MARKS.saturating_sub(TAIL));
        tail.max_by_key(|(_, space)| **space)
            .map_or(self.over.len, |(at, _)| at.saturating_add(1))
    }

    /// Reads so many marks; the others stay.
    fn read(&mut self, len: usize) -> Option<Heard> {
        let whole = self.over.len;
        self.over.len = len;
        let heard = (len > 0).then(|| {
            let guess = self.guess.take();
            let guess = guess.unwrap_or_else(|| self.speed.explain(&self.over));
            decode::read(&self.over, guess, &mut self.speed)
        });
        self.over.marks.copy_within(len..whole, 0);
        self.over.spaces.copy_within(len..whole, 0);
        self.over.len = whole.saturating_sub(len);
        if self.over.len == 0 {
            self.ends = Instant::NEVER;
        }
        heard
    }
}
