//! Which page is shown, and what the button does on it.

use aldis_mqtt::Instant;

use crate::button::Press;
use crate::mail::Letters;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// What the device is, and what it waits for.
    Boot,
    Readings,
    Contact,
    /// The message in this place.
    Letter(usize),
    /// What was keyed.
    Morse,
    /// The list of presets, with this one selected.
    Presets(usize),
    /// What became of what the person did.
    Word(Word),
}

/// What a person is told about what they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It goes as soon as there is contact.
    Waits,
    /// The broker has it.
    Sent,
    /// The broker refused it.
    Refused,
    /// There is no room for it.
    Full,
    /// Nothing is configured to be sent.
    Nothing,
    /// Nobody is known to send it to.
    Nobody,
}

/// What the device is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The message in this place was read.
    Read(usize),
    /// Send the configured reply to the sender of the message in this place.
    Reply(usize),
    /// Send this preset: to the configured peer, else to the sender of the message.
    Send {
        preset: usize,
        letter: Option<usize>,
    },
}

/// Page and button.
#[derive(Debug)]
pub(crate) struct Ui {
    page: Page,
    /// Since when the page is shown.
    since: Instant,
    /// When a message or the button woke it last.
    woken: Instant,
    /// The message that was on the page before the list.
    about: Option<usize>,
    /// How often the page was turned, and how often it had been when the button was
    /// pressed: a press means what was to be seen then.
    turns: u32,
    pressed: Option<u32>,
    /// A display has shown this page, or the one before it.
    drawn: bool,
    drawn_before: bool,
    /// What a person is to be told when they have done what they are doing.
    later: Option<Word>,
}

impl Ui {
    /// After so many milliseconds without a press it goes back to the readings.
    const IDLE_MS: u32 = 60_000;
    /// For so long the list stays.
    const LIST_MS: u32 = 15_000;
    /// For so long a person is told something.
    const TOLD_MS: u32 = 3_000;
    /// A display that has shown nothing of a page for so long is none.
    const DRAWN_MS: u64 = 2_000;

    pub const fn new(now: Instant) -> Self {
        Self {
            page: Page::Boot,
            since: now,
            woken: now,
            about: None,
            turns: 0,
            pressed: None,
            drawn: false,
            drawn_before: false,
            later: None,
        }
    }

    pub const fn page(&self) -> Page {
        self.page
    }

    /// The message that the list of presets is about, if it is about one.
    pub const fn about(&self) -> Option<usize> {
        self.about
    }

    /// For how long the page is shown.
    pub fn shown_ms(&self, now: Instant) -> u64 {
        now.since(self.since)
    }

    /// How long ago it was woken.
    pub fn awake_ms(&self, now: Instant) -> u64 {
        now.since(self.woken)
    }

    fn turn(&mut self, page: Page, now: Instant) {
        self.drawn_before = self.can_be_seen(now);
        self.drawn = false;
        self.turns = self.turns.wrapping_add(1);
        self.page = page;
        self.since = now;
    }

    /// A display shows this page.
    pub const fn drawn(&mut self) {
        self.drawn = true;
    }

    /// Whether there is a display: it has shown this page, or will in a moment.
    fn can_be_seen(&self, now: Instant) -> bool {
        self.drawn || self.drawn_before && self.shown_ms(now) < Self::DRAWN_MS
    }

    /// Somebody begins to press the button, once or twice, and means the page that is
    /// there now.
    pub const fn begin(&mut self) {
        if self.pressed.is_none() {
            self.pressed = Some(self.turns);
        }
    }

    /// Goes to the page that belongs there when nobody does anything.
    fn rest(&mut self, letters: &Letters, now: Instant) {
        let page = match self.later.take() {
            Some(word) => Page::Word(word),
            None => letters.first_unread().map_or(Page::Readings, Page::Letter),
        };
        self.turn(page, now);
    }

    /// There is contact, for the first time or again.
    pub fn connected(&mut self, letters: &Letters, now: Instant) {
        if self.page == Page::Boot {
            self.rest(letters, now);
        }
    }

    /// A message came: it is shown, unless another one is being read.
    pub fn message(&mut self, letters: &Letters, now: Instant) {
        self.woken = now;
        let reading = match self.page {
            Page::Letter(place) => letters.get(place).is_some_and(|entry| entry.is_unread()),
            // A person is choosing.
            Page::Presets(_) => true,
            _ => false,
        };
        if !reading {
            self.rest(letters, now);
        }
    }

    /// A message has gone from its place, or another one is there now.
    pub fn gone(&mut self, place: usize, letters: &Letters, now: Instant) {
        if self.page == Page::Letter(place) {
            self.rest(letters, now);
        }
        if self.about == Some(place) {
            self.about = None;
        }
    }

    /// Somebody keys, or was heard.
    pub fn keyed(&mut self, now: Instant) {
        self.woken = now;
        self.turn(Page::Morse, now);
    }

    /// A person is told what becomes of what they just did.
    pub fn tell(&mut self, word: Word, now: Instant) {
        self.turn(Page::Word(word), now);
    }

    /// A person is told what became of what they did before; if they are doing something
    /// else, after that.
    pub fn tell_later(&mut self, word: Word, now: Instant) {
        match self.page {
            Page::Letter(_) | Page::Presets(_) => self.later = Some(word),
            _ => self.tell(word, now),
        }
    }

    /// A person used the button; there are so many presets.
    pub fn press(
        &mut self,
        press: Press,
        letters: &Letters,
        presets: usize,
        now: Instant,
    ) -> Option<Act> {
        self.woken = now;
        if self.pressed.take().is_some_and(|turns| turns != self.turns) {
            // Nobody could mean the page that came meanwhile.
            return None;
        }
        match (self.page, press) {
            (Page::Presets(selected), Press::Short) => {
                let next = selected.wrapping_add(1).checked_rem(presets).unwrap_or(0);
                self.turn(Page::Presets(next), now);
                None
            }
            (Page::Presets(preset), Press::Long) => {
                let letter = self.about.take();
                Some(Act::Send { preset, letter })
            }
            (Page::Presets(_), Press::Double) => {
                self.rest(letters, now);
                None
            }
            (_, Press::Double) if presets > 0 => {
                self.about = match self.page {
                    Page::Letter(place) => Some(place),
                    _ => None,
                };
                self.turn(Page::Presets(0), now);
                None
            }
            (_, Press::Double) => {
                self.tell(Word::Nothing, now);
                None
            }
            (Page::Letter(place), Press::Long) => Some(Act::Reply(place)),
            (Page::Boot | Page::Readings | Page::Contact | Page::Morse | Page::Word(_), _)
                if self.can_be_seen(now) && letters.first_unread().is_some() =>
            {
                // Nobody reads or answers what they have not seen.
                self.show(letters, now);
                None
            }
            // Without a display nothing is shown: who presses has seen the lamp.
            (_, Press::Long) => match letters.first_unread() {
                Some(place) => Some(Act::Reply(place)),
                None => Some(Act::Send {
                    preset: 0,
                    letter: None,
                }),
            },
            (Page::Letter(place), Press::Short) => {
                let unread = letters.get(place).is_some_and(|entry| entry.is_unread());
                if unread {
                    return Some(Act::Read(place));
                }
                let number = letters.get(place).map(|entry| entry.letter.number);
                let older = letters.older_than(number).map(Page::Letter);
                self.turn(older.unwrap_or(Page::Readings), now);
                None
            }
            (page, Press::Short) => {
                if let Some(place) = letters.first_unread() {
                    return Some(Act::Read(place));
                }
                let next = match page {
                    Page::Readings => Page::Contact,
                    Page::Contact => letters
                        .older_than(None)
                        .map_or(Page::Readings, Page::Letter),
                    _ => Page::Readings,
                };
                self.turn(next, now);
                None
            }
        }
    }

    /// Shows the first unread message, if there is one.
    fn show(&mut self, letters: &Letters, now: Instant) {
        if let Some(place) = letters.first_unread() {
            self.turn(Page::Letter(place), now);
        }
    }

    /// Somebody who keys with the button wants to read. Gives what is read with that: the
    /// first unread message, if it can be seen or if there is no display; else it is shown.
    pub fn key_reads(&mut self, letters: &Letters, now: Instant) -> Option<usize> {
        let place = letters.first_unread()?;
        if self.page == Page::Letter(place) || !self.can_be_seen(now) {
            return Some(place);
        }
        self.show(letters, now);
        None
    }

    /// A message was read: the next one follows.
    pub fn read(&mut self, letters: &Letters, now: Instant) {
        self.rest(letters, now);
    }

    /// Goes back by itself. Says whether the page is another one now.
    pub fn run(&mut self, letters: &Letters, now: Instant) -> bool {
        if self.deadline(letters) > now {
            return false;
        }
        self.rest(letters, now);
        true
    }

    /// When it goes back by itself.
    pub fn deadline(&self, letters: &Letters) -> Instant {
        let unread = |place: usize| letters.get(place).is_some_and(|entry| entry.is_unread());
        match self.page {
            Page::Boot | Page::Readings => Instant::NEVER,
            Page::Letter(place) if unread(place) => Instant::NEVER,
            Page::Contact | Page::Morse | Page::Letter(_) => {
                self.since.max(self.woken).after(Self::IDLE_MS)
            }
            Page::Presets(_) => self.since.after(Self::LIST_MS),
            Page::Word(_) => self.since.after(Self::TOLD_MS),
        }
    }
}
