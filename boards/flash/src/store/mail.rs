//! Messages, what became of them, and messages of the person: a map with an entry for each.

use core::ops::Range;

use aldis_device::{Letter, Mail, Mark, Note, Outgoing};
use aldis_protocol::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN};
use aldis_protocol::topic::MAX_ID_LEN;
use aldis_protocol::{MessageState, Priority, Reason};
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};

use super::{Buffer, ENTRY_LEN, Error, PAGE_STATE, Store, done, number, room};

/// The first keys of messages, of what became of those, of notes and of messages of the
/// person.
const LETTERS: u8 = 0x20;
const MARKS: u8 = 0x40;
const NOTES: u8 = 0x60;
const OUTGOING: u8 = 0xa0;

/// The length of a message's entry before its texts, and at most.
const LETTER_HEAD: usize = 12;
pub(super) const LETTER_LEN: usize = LETTER_HEAD + MAX_MESSAGE_ID_LEN + MAX_ID_LEN + MAX_TEXT_LEN;
const MARK_LEN: usize = 12;
/// The same of a note, whose text is an id.
const NOTE_HEAD: usize = 12;
const NOTE_LEN: usize = NOTE_HEAD + MAX_MESSAGE_ID_LEN;
/// What they take of a page. A message of the person is kept as one to it is.
const LETTER_ROOM: u32 = room(LETTER_LEN);
const MARK_ROOM: u32 = room(MARK_LEN);
const NOTE_ROOM: u32 = room(NOTE_LEN);
const OUTGOING_ROOM: u32 = LETTER_ROOM;

/// The pages of messages, and how many of the longest certainly fit, whatever became of
/// others.
#[derive(Debug)]
pub(super) struct Places {
    part: Range<u32>,
    letters: u8,
    notes: u8,
    outgoing: u8,
}

impl Places {
    /// If there is room for one message at least. What it leaves is for messages of the
    /// person, and then for notes.
    pub fn new(part: Range<u32>, page: u32) -> Option<Self> {
        let pages = part.end.checked_sub(part.start)?.checked_div(page)?;
        // A page is always free, and at the end of the others is what the longest
        // does not fit into.
        let left = page.checked_sub(PAGE_STATE.checked_add(LETTER_ROOM)?)?;
        let mut left = left.checked_mul(pages.checked_sub(1)?)?;
        let mut places = |most: usize, each: u32| {
            let places = left.checked_div(each)?.min(u32::try_from(most).ok()?);
            left = left.checked_sub(places.checked_mul(each)?)?;
            u8::try_from(places).ok()
        };
        let letters = places(Mail::PLACES, LETTER_ROOM.checked_add(MARK_ROOM)?)?;
        let outgoing = places(Mail::OUTGOING, OUTGOING_ROOM)?;
        let notes = places(Mail::NOTES, NOTE_ROOM)?;
        (letters > 0).then_some(Self {
            part,
            letters,
            notes,
            outgoing,
        })
    }
}

/// Where the one with this number is, of so many, if there is a place for it.
fn key(first: u8, number: u32, most: usize, places: u8) -> Option<u8> {
    let place = number.checked_rem(u32::try_from(most).ok()?)?;
    let place = u8::try_from(place).ok()?;
    (place < places).then(|| first.saturating_add(place))
}

impl<F: NorFlash> Store<F> {
    /// Keeps a message, in the place of the oldest where there is no other.
    ///
    /// # Errors
    /// If the flash refused, or is too small for messages.
    pub fn keep_letter(&mut self, letter: &Letter) -> Result<(), Error> {
        let (part, slot) = self.slot(letter.number)?;
        // The number was another message's, which the flash has lost.
        if self
            .mark(slot)
            .is_some_and(|mark| mark.number == letter.number)
        {
            let mark = encode_mark(&Mark {
                number: letter.number,
                state: MessageState::Received,
                told: false,
                age_ms: 0,
            });
            self.put(part.clone(), MARKS.saturating_add(slot), &mark)?;
        }
        self.put_letter(part, LETTERS.saturating_add(slot), letter)
    }

    fn put_letter(&mut self, part: Range<u32>, key: u8, letter: &Letter) -> Result<(), Error> {
        let mut entry = [0; LETTER_LEN];
        let len = encode_letter(letter, &mut entry).ok_or(Error::Flash)?;
        self.put(part, key, entry.get(..len).unwrap_or(&[]))
    }

    /// Keeps what became of a message. If a newer message has its place, there is
    /// nothing to keep.
    ///
    /// # Errors
    /// If the flash refused, or is too small for messages.
    pub fn mark_letter(&mut self, mark: &Mark) -> Result<(), Error> {
        let (part, slot) = self.slot(mark.number)?;
        let letter = self.letter(LETTERS.saturating_add(slot));
        if letter.is_none_or(|letter| letter.number != mark.number) {
            return Ok(());
        }
        self.put(part, MARKS.saturating_add(slot), &encode_mark(mark))
    }

    /// Keeps what became of a message, until [`Store::forget_note`].
    ///
    /// # Errors
    /// If the flash refused, or has no room for it.
    pub fn keep_note(&mut self, note: &Note) -> Result<(), Error> {
        let (part, key) = self.note(note.number)?;
        let mut entry = [0; NOTE_LEN];
        let len = encode_note(note, &mut entry);
        self.put(part, key, entry.get(..len).unwrap_or(&[]))
    }

    /// Forgets the note with this number.
    ///
    /// # Errors
    /// If the flash refused, or has no room for it.
    pub fn forget_note(&mut self, number: u32) -> Result<(), Error> {
        let (part, key) = self.note(number)?;
        self.put(part, key, &[])
    }

    /// Keeps a message of the person, until [`Store::forget_outgoing`].
    ///
    /// # Errors
    /// If the flash refused, or has no room for it.
    pub fn keep_outgoing(&mut self, outgoing: &Outgoing) -> Result<(), Error> {
        let (part, key) = self.outgoing(outgoing.number)?;
        let letter = Letter {
            number: outgoing.number,
            id: outgoing.id.clone(),
            from: outgoing.to.clone(),
            text: outgoing.text.clone(),
            priority: Priority::Normal,
            expires_s: None,
        };
        self.put_letter(part, key, &letter)
    }

    /// Forgets the message of the person with this number.
    ///
    /// # Errors
    /// If the flash refused, or has no room for it.
    pub fn forget_outgoing(&mut self, number: u32) -> Result<(), Error> {
        let (part, key) = self.outgoing(number)?;
        self.put(part, key, &[])
    }

    /// How many messages are kept.
    pub fn letter_places(&self) -> usize {
        self.mail.as_ref().map_or(0, |mail| mail.letters.into())
    }

    /// How many notes are kept, and how many messages of the person.
    pub fn other_places(&self) -> (usize, usize) {
        let places = |mail: &Places| (mail.notes.into(), mail.outgoing.into());
        self.mail.as_ref().map_or((0, 0), places)
    }

    /// The messages that are kept, and what is known of each.
    pub fn recall_letters(&mut self, mut recall: impl FnMut(Letter, Option<Mark>)) {
        let places = self.mail.as_ref().map_or(0, |mail| mail.letters);
        for place in 0..places {
            let Some(letter) = self.letter(LETTERS.saturating_add(place)) else {
                continue;
            };
            let mark = self.mark(place);
            let mark = mark.filter(|mark| mark.number == letter.number);
            recall(letter, mark);
        }
    }

    /// The notes that are kept, in any order.
    pub fn recall_notes(&mut self, mut recall: impl FnMut(Note)) {
        let mut kept = self.filled(NOTES);
        while kept != 0 {
            let key = NOTES.saturating_add(take_lowest(&mut kept));
            let mut buffer = Buffer::<ENTRY_LEN>::new();
            let note = self.mail.as_ref().map(|mail| mail.part.clone());
            let note = note.and_then(|part| self.get(part, key, &mut buffer.0));
            if let Some(note) = note.and_then(decode_note) {
                recall(note);
            }
        }
    }

    /// The messages of the person that are kept, in any order.
    pub fn recall_outgoing(&mut self, mut recall: impl FnMut(Outgoing)) {
        let mut kept = self.filled(OUTGOING);
        while kept != 0 {
            let key = OUTGOING.saturating_add(take_lowest(&mut kept));
            if let Some(letter) = self.letter(key) {
                recall(Outgoing {
                    number: letter.number,
                    id: letter.id,
                    to: letter.from,
                    text: letter.text,
                });
            }
        }
    }

    /// Which of the keys from this one on have an entry that is not empty, a bit for each.
    /// Looking for each of them would mean to read everything as often.
    fn filled(&mut self, first: u8) -> u64 {
        let part = self.mail.as_ref().map(|mail| mail.part.clone());
        let config = part.and_then(|part| MapConfig::<&mut F>::try_new(part).ok());
        let Some(config) = config else { return 0 };
        let mut buffer = Buffer::<ENTRY_LEN>::new();
        let mut map = MapStorage::<u8, _, _>::new(&mut self.flash, config, Cache::new_uncached());
        let mut filled: u64 = 0;
        let read: Result<(), Option<sequential_storage::Error<F::Error>>> = done(async {
            let mut entries = map.fetch_all_items(&mut buffer.0).await?;
            // Later ones are newer.
            while let Some((key, entry)) = entries.next::<&[u8]>(&mut buffer.0).await? {
                let bit = key.checked_sub(first).map(u32::from);
                let bit = bit.and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0);
                match entry.is_empty() {
                    true => filled &= !bit,
                    false => filled |= bit,
                }
            }
            Ok(())
        });
        // What cannot be read in a row may be read one by one.
        read.map_or(u64::MAX, |()| filled)
    }

    /// Where the message with this number is.
    fn slot(&self, number: u32) -> Result<(Range<u32>, u8), Error> {
        let mail = self.mail.as_ref().ok_or(Error::Geometry)?;
        let slot = key(0, number, mail.letters.into(), mail.letters);
        Ok((mail.part.clone(), slot.ok_or(Error::Geometry)?))
    }

    /// Where the note with this number is.
    fn note(&self, number: u32) -> Result<(Range<u32>, u8), Error> {
        let mail = self.mail.as_ref().ok_or(Error::Geometry)?;
        let key = key(NOTES, number, Mail::NOTES, mail.notes);
        Ok((mail.part.clone(), key.ok_or(Error::Geometry)?))
    }

    /// Where the message of the person with this number is.
    fn outgoing(&self, number: u32) -> Result<(Range<u32>, u8), Error> {
        let mail = self.mail.as_ref().ok_or(Error::Geometry)?;
        let key = key(OUTGOING, number, Mail::OUTGOING, mail.outgoing);
        Ok((mail.part.clone(), key.ok_or(Error::Geometry)?))
    }

    fn letter(&mut self, key: u8) -> Option<Letter> {
        let mut buffer = Buffer::<ENTRY_LEN>::new();
        let part = self.mail.as_ref()?.part.clone();
        self.get(part, key, &mut buffer.0).and_then(decode_letter)
    }

    fn mark(&mut self, slot: u8) -> Option<Mark> {
        let mut buffer = Buffer::<ENTRY_LEN>::new();
        let part = self.mail.as_ref()?.part.clone();
        self.get(part, MARKS.saturating_add(slot), &mut buffer.0)
            .and_then(decode_mark)
    }
}

/// Number, seconds until it expires, priority, the lengths of id and sender, none, id,
/// sender, text. Gives its length.
fn encode_letter(letter: &Letter, entry: &mut [u8; LETTER_LEN]) -> Option<usize> {
    let priority = match letter.priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
    };
    let len = |text: &str| u8::try_from(text.len()).ok();
    let lens = [priority, len(&letter.id)?, len(&letter.from)?, 0];
    let texts = [&*letter.id, &*letter.from, &*letter.text];
    let bytes = (letter.number.to_le_bytes().into_iter())
        .chain(letter.expires_s.unwrap_or(u32::MAX).to_le_bytes())
        .chain(lens)
        .chain(texts.into_iter().flat_map(str::bytes));
    let mut written: usize = 0;
    for (place, byte) in entry.iter_mut().zip(bytes) {
        *place = byte;
        written = written.saturating_add(1);
    }
    Some(written)
}

fn decode_letter(entry: &[u8]) -> Option<Letter> {
    let (number_, rest) = number(entry)?;
    let (expires_s, rest) = number(rest)?;
    let ([priority, id, from, 0], rest) = rest.split_first_chunk()? else {
        return None;
    };
    let (id, rest) = rest.split_at_checked((*id).into())?;
    let (from, text) = rest.split_at_checked((*from).into())?;
    Some(Letter {
        number: number_,
        id: core::str::from_utf8(id).ok()?.try_into().ok()?,
        from: core::str::from_utf8(from).ok()?.try_into().ok()?,
        text: core::str::from_utf8(text).ok()?.try_into().ok()?,
        priority: match priority {
            0 => Priority::Low,
            2 => Priority::High,
            _ => Priority::Normal,
        },
        expires_s: Some(expires_s).filter(|seconds| *seconds != u32::MAX),
    })
}

/// The message's number, its state, whether that was told, none, its age.
fn encode_mark(mark: &Mark) -> [u8; MARK_LEN] {
    let state = match mark.state {
        MessageState::Read => 1,
        MessageState::Expired => 2,
        _ => 0,
    };
    let [n0, n1, n2, n3] = mark.number.to_le_bytes();
    let [a0, a1, a2, a3] = mark.age_ms.to_le_bytes();
    let told = u8::from(mark.told);
    [n0, n1, n2, n3, state, told, 0, 0, a0, a1, a2, a3]
}

fn decode_mark(entry: &[u8]) -> Option<Mark> {
    let (number_, rest) = number(entry)?;
    let ([state, told, _, _], rest) = rest.split_first_chunk()?;
    let (age_ms, _) = number(rest)?;
    Some(Mark {
        number: number_,
        state: match state {
            1 => MessageState::Read,
            2 => MessageState::Expired,
            _ => MessageState::Received,
        },
        told: *told != 0,
        age_ms,
    })
}

/// Number, that of the message or none, state, reason, none, the id. Gives its length.
fn encode_note(note: &Note, entry: &mut [u8; NOTE_LEN]) -> usize {
    let state = match note.state {
        MessageState::Read => 1,
        MessageState::Expired => 2,
        MessageState::Replaced => 3,
        MessageState::Refused => 4,
        MessageState::Received | MessageState::Shown => 0,
    };
    let reason = note.reason.map_or(0, reason_code);
    let bytes = (note.number.to_le_bytes().into_iter())
        .chain(note.letter.unwrap_or(u32::MAX).to_le_bytes())
        .chain([state, reason, 0, 0])
        .chain(note.id.bytes());
    let mut written: usize = 0;
    for (place, byte) in entry.iter_mut().zip(bytes) {
        *place = byte;
        written = written.saturating_add(1);
    }
    written
}

fn decode_note(entry: &[u8]) -> Option<Note> {
    let (number_, rest) = number(entry)?;
    let (letter, rest) = number(rest)?;
    let ([state, reason, _, _], id) = rest.split_first_chunk()?;
    let reasons = Reason::ALL.iter().copied();
    let mut reasons = reasons.filter(|of| reason_code(*of) == *reason);
    Some(Note {
        number: number_,
        id: core::str::from_utf8(id).ok()?.try_into().ok()?,
        state: match state {
            1 => MessageState::Read,
            2 => MessageState::Expired,
            3 => MessageState::Replaced,
            4 => MessageState::Refused,
            _ => return None,
        },
        reason: reasons.next(),
        letter: Some(letter).filter(|number| *number != u32::MAX),
    })
}

/// What stands for it in the flash, from one firmware to the next.
fn reason_code(reason: Reason) -> u8 {
    match reason {
        Reason::NotUtf8 => 1,
        Reason::Malformed => 2,
        Reason::NoText => 3,
        Reason::TooLong => 4,
        Reason::Id => 5,
        Reason::From => 6,
        Reason::Priority => 7,
        Reason::Expires => 8,
        Reason::Command => 9,
        Reason::Wpm => 10,
        Reason::TooLarge => 11,
        Reason::Restart => 12,
    }
}

/// Which is the lowest bit; it is cleared.
fn take_lowest(bits: &mut u64) -> u8 {
    let lowest = bits.trailing_zeros();
    *bits &= bits.wrapping_sub(1);
    u8::try_from(lowest).unwrap_or(u8::MAX)
}
