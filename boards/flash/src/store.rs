//! What a board keeps over restarts: the lamp, the numbers, and readings that are
//! not yet delivered.
//!
//! A power cut at any moment leaves the state before a call or the one after it;
//! `sequential-storage` sees to that. The lamp, the numbers and the newest commands
//! are a map's one entry, written when the lamp changes, at each start and after
//! each command that has an id. Messages are a map of their own, with an entry for
//! each and one for what became of it. Where its pages have no room for sixteen of
//! the longest, it keeps as many of the newest as certainly fit. Readings are a log,
//! the oldest page of which is erased when room is needed. Each also says up to which
//! number all before it were done, and, being the newest, what the next number is:
//! so a reading costs one write, and its delivery none.
//!
//! # How long the flash lasts
//!
//! The chips' store has 48 pages of 4 KiB: 20 for the lamp, numbers and commands, 4
//! for messages and 24 for readings. In a day there are, and in ten years each page
//! is erased:
//!
//! | What | Bytes | On a page | A day | Pages filled | Ten years |
//! |---|---|---|---|---|---|
//! | a command with an id each 10 s | 156 | 26 | 8,640 | 332 | 60,700 times |
//! | 100 messages, the longest, with two marks each | 428 | 9 | 100 | 11 | 10,200 times |
//! | a reading each 5 s, and at most a notice for each 16 | 28 | 146 | 18,360 | 126 | 19,200 times |
//!
//! Messages that are still kept when their page's turn comes are written once more:
//! that is in the last column. The flash of the ESP32's modules is made for 100,000
//! (W25Q32JV data sheet, section 8.3; GD25Q32 and others alike).

use core::ops::Range;
use core::task::Poll;

use aldis_device::{Kept, Letter, Mail, Mark, Recalled, Recent, Saved};
use aldis_protocol::{Lamp, MessageState, Priority, Reading};
use embassy_futures::poll_once;
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::CalculatedPageStates;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use sequential_storage::queue::{QueueConfig, QueueStorage};

/// The most pages that the log uses.
const LOG_PAGES: usize = 24;

/// How often the next number is saved in the map as well, in case the log is damaged.
const SAVE_EACH: u32 = 128;

/// The key of the map's one entry.
const SAVED: u8 = 1;
/// The version of the map's entry; the first one ends after the numbers.
const SAVED_VERSION: u8 = 2;
const SAVED_LEN: usize = 16 + 8 * Recent::LEN;
/// How often an entry is written that cannot be read back.
const TRIES: u32 = 3;
/// The keys of messages, and of what became of them.
const LETTERS: u8 = 0x20;
const MARKS: u8 = 0x40;
/// The length of a message's entry before its texts, and at most.
const LETTER_HEAD: usize = 12;
const LETTER_LEN: usize = LETTER_HEAD + 36 + 64 + 256;
const MARK_LEN: usize = 12;
/// What entries take of a page, with their keys and the headers of
/// `sequential-storage`, in whole words.
const SAVED_ROOM: u32 = 8 + (SAVED_LEN as u32 + 1).next_multiple_of(4);
const LETTER_ROOM: u32 = 8 + (LETTER_LEN as u32 + 1).next_multiple_of(4);
const MARK_ROOM: u32 = 8 + (MARK_LEN as u32 + 1).next_multiple_of(4);
/// What the state of a page takes of it.
const PAGE_STATE: u32 = 8;
/// The length of a record of the log. It begins with its kind.
const RECORD_LEN: usize = 20;
const READING: u8 = 1;
const DONE: u8 = 2;

/// Word-aligned, as chips want it.
#[repr(align(4))]
struct Buffer<const N: usize>([u8; N]);

impl<const N: usize> Buffer<N> {
    const fn new() -> Self {
        Self([0; N])
    }
}

type LogCache = Cache<CalculatedPageStates, ArrayPagePointers<LOG_PAGES>, Uncached>;

/// Why something could not be kept or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The part of the flash has fewer than four pages, or too small ones, or does not
    /// begin or end where a page does.
    Geometry,
    /// The flash refused.
    Flash,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Geometry => "the store's part of the flash has no usable size",
            Self::Flash => "the flash does not take it: it may be worn out",
        })
    }
}

impl core::error::Error for Error {}

/// What a board keeps, in a part of its flash.
///
/// The flash must not make anyone wait: what it does is done when its futures are
/// polled for the first time, as is usual where reading and writing block.
pub struct Store<F> {
    flash: F,
    map: Range<u32>,
    /// Where there is room for messages.
    letters: Option<Letters>,
    log: Range<u32>,
    cache: Option<LogCache>,
    /// The newest record of the log, once it was looked for.
    newest: Option<Kept>,
}

impl<F> core::fmt::Debug for Store<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store")
            .field("map", &self.map)
            .field("letters", &self.letters)
            .field("log", &self.log)
            .field("newest", &self.newest)
            .finish_non_exhaustive()
    }
}

impl<F: NorFlash> Store<F> {
    /// Uses this part of the flash.
    ///
    /// # Errors
    /// [`Error::Geometry`].
    pub fn new(flash: F, part: Range<u32>) -> Result<Self, Error> {
        let Parts { map, letters, log } = split::<F>(&part).ok_or(Error::Geometry)?;
        let mut store = Self {
            flash,
            map,
            letters,
            log,
            cache: None,
            newest: None,
        };
        store.forget_cache();
        Ok(store)
    }

    /// The flash, for what else is in it.
    pub fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    fn forget_cache(&mut self) {
        let pages = log_pages::<F>(&self.log);
        self.cache = Some(Cache::new(
            CalculatedPageStates::new(pages),
            ArrayPagePointers::new(),
            Uncached,
        ));
    }

    /// The lamp alone, which is found soonest.
    pub fn lamp(&mut self) -> Lamp {
        self.entry().map_or(Lamp::Off, |saved| saved.lamp)
    }

    /// What was saved last. What cannot be read any more is begun anew, with
    /// numbers that were not given before as far as anything tells.
    pub fn saved(&mut self) -> Saved {
        let saved = self.entry();
        let newest = self.find_newest();
        let saved = saved.unwrap_or_default();
        let Some(newest) = newest else { return saved };
        Saved {
            boot: saved.boot.max(newest.boot),
            seq: saved.seq.max(newest.seq.saturating_add(1)),
            ..saved
        }
    }

    /// Keeps what is to be saved.
    ///
    /// # Errors
    /// If the flash refused.
    pub fn save(&mut self, saved: &Saved) -> Result<(), Error> {
        let entry = encode_saved(saved);
        self.put(self.map.clone(), SAVED, &entry)
    }

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
        let mut entry = [0; LETTER_LEN];
        let len = encode_letter(letter, &mut entry).ok_or(Error::Flash)?;
        let entry = entry.get(..len).unwrap_or(&[]);
        self.put(part, LETTERS.saturating_add(slot), entry)
    }

    /// Keeps what became of a message. If a newer message has its place, there is
    /// nothing to keep.
    ///
    /// # Errors
    /// If the flash refused, or is too small for messages.
    pub fn mark_letter(&mut self, mark: &Mark) -> Result<(), Error> {
        let (part, slot) = self.slot(mark.number)?;
        let letter = self.letter(slot);
        if letter.is_none_or(|letter| letter.number != mark.number) {
            return Ok(());
        }
        self.put(part, MARKS.saturating_add(slot), &encode_mark(mark))
    }

    /// How many messages are kept.
    pub fn letter_places(&self) -> usize {
        let letters = self.letters.as_ref();
        letters.map_or(0, |letters| letters.places.into())
    }

    /// The messages that are kept, each in a place of its own, and what is known of
    /// each.
    pub fn recall_letters(&mut self, mut recall: impl FnMut(usize, Letter, Option<Mark>)) {
        let places = self.letters.as_ref().map_or(0, |letters| letters.places);
        for place in 0..places {
            let Some(letter) = self.letter(place) else {
                continue;
            };
            let mark = self.mark(place);
            let mark = mark.filter(|mark| mark.number == letter.number);
            recall(place.into(), letter, mark);
        }
    }

    /// Where the message with this number is, if it is kept.
    fn slot(&self, number: u32) -> Result<(Range<u32>, u8), Error> {
        let letters = self.letters.as_ref().ok_or(Error::Geometry)?;
        let slot = number.checked_rem(letters.places.into());
        let slot = slot.and_then(|slot| u8::try_from(slot).ok());
        Ok((letters.part.clone(), slot.ok_or(Error::Geometry)?))
    }

    fn letter(&mut self, slot: u8) -> Option<Letter> {
        let mut buffer = Buffer::<{ LETTER_LEN + 16 }>::new();
        let part = self.letters.as_ref()?.part.clone();
        self.get(part, LETTERS.saturating_add(slot), &mut buffer.0)
            .and_then(decode_letter)
    }

    fn mark(&mut self, slot: u8) -> Option<Mark> {
        let mut buffer = Buffer::<{ LETTER_LEN + 16 }>::new();
        let part = self.letters.as_ref()?.part.clone();
        self.get(part, MARKS.saturating_add(slot), &mut buffer.0)
            .and_then(decode_mark)
    }

    /// Stores an entry of a map.
    fn put(&mut self, part: Range<u32>, key: u8, entry: &[u8]) -> Result<(), Error> {
        let mut buffer = Buffer::<{ LETTER_LEN + 16 }>::new();
        let config = MapConfig::<&mut F>::try_new(part).ok();
        let config = config.ok_or(Error::Geometry)?;
        let mut map = MapStorage::new(&mut self.flash, config, Cache::new_uncached());
        for _ in 0..TRIES {
            match done(map.store_item(&mut buffer.0, &key, &entry)) {
                Ok(()) => {}
                Err(Some(sequential_storage::Error::Storage { .. }) | None) => {
                    return Err(Error::Flash);
                }
                Err(_) => break,
            }
            // A byte that was not erased any more stays what it was.
            let there = done(map.fetch_item::<&[u8]>(&mut buffer.0, &key));
            if there.is_ok_and(|there| there == Some(entry)) {
                return Ok(());
            }
        }
        // Whatever is in the way: what is new is more than what cannot be read.
        done(map.erase_all()).map_err(|_| Error::Flash)?;
        done(map.store_item(&mut buffer.0, &key, &entry)).map_err(|_| Error::Flash)
    }

    /// An entry of a map.
    fn get<'b>(&mut self, part: Range<u32>, key: u8, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let config = MapConfig::<&mut F>::try_new(part).ok()?;
        let mut map = MapStorage::new(&mut self.flash, config, Cache::new_uncached());
        done(map.fetch_item::<&[u8]>(buffer, &key)).ok()?
    }

    /// Keeps a reading; `saved` is what the number is saved with if the log cannot
    /// be written.
    ///
    /// # Errors
    /// If the flash refused the reading.
    pub fn keep(&mut self, kept: &Kept, saved: &Saved) -> Result<(), Error> {
        let logged = self.log(kept);
        if logged.is_err() || kept.seq.is_multiple_of(SAVE_EACH) {
            // At least no number is given twice.
            let _ = self.save(saved);
        }
        logged
    }

    /// Keeps that readings are done.
    ///
    /// # Errors
    /// If the flash refused.
    pub fn done(&mut self, kept: &Kept) -> Result<(), Error> {
        self.log(kept)
    }

    /// The readings that are not done, the oldest first, with the least age that
    /// they can have now that the board was started. Of the newest only as many
    /// as `room`, if there are more.
    pub fn recall(&mut self, room: usize, mut recall: impl FnMut(Recalled)) {
        let Some(newest) = self.find_newest() else {
            return;
        };
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let done = newest.done.max(newest.seq.saturating_sub(room));
        if newest.seq <= done {
            return;
        }
        let mut end = 0;
        self.read_log(|age, _| end = age);
        let mut last = done;
        self.read_log(|at, kept| {
            let Some(reading) = kept.reading else { return };
            // A number that comes again was written twice around a power cut.
            if kept.seq <= last || kept.seq > newest.seq {
                return;
            }
            last = kept.seq;
            let age_ms = u32::try_from(end.saturating_sub(at)).unwrap_or(u32::MAX);
            recall(Recalled {
                seq: kept.seq,
                boot: kept.boot,
                age_ms,
                reading,
            });
        });
    }

    fn entry(&mut self) -> Option<Saved> {
        let mut buffer = Buffer::<{ SAVED_LEN + 16 }>::new();
        self.get(self.map.clone(), SAVED, &mut buffer.0)
            .and_then(decode_saved)
    }

    /// The newest record, which says the next number and what is done.
    fn find_newest(&mut self) -> Option<Kept> {
        if self.newest.is_none() {
            let mut newest: Option<Kept> = None;
            self.read_log(|_, kept| {
                newest = Some(match newest {
                    // The order of the log is the order of time, but for a number
                    // that was lost with its page.
                    Some(before) if before.seq > kept.seq => before,
                    Some(before) => Kept {
                        done: before.done.max(kept.done),
                        ..*kept
                    },
                    None => *kept,
                });
            });
            self.newest = newest;
        }
        self.newest
    }

    /// Reads every record, the oldest first, with the time that is known to have
    /// passed from the first of them to this one, in milliseconds.
    fn read_log(&mut self, mut each: impl FnMut(u64, &Kept)) {
        let mut buffer = Buffer::<32>::new();
        let mut clock = Clock::default();
        let read = self.with_log(async |log| {
            let mut records = log.iter().await?;
            while let Some(record) = records.next(&mut buffer.0).await? {
                let record: &[u8] = &record;
                if let Some(kept) = decode_kept(record) {
                    each(clock.at(&kept), &kept);
                }
            }
            Ok(())
        });
        // What was read is what there is.
        let _ = read;
    }

    fn log(&mut self, kept: &Kept) -> Result<(), Error> {
        let mut buffer = Buffer::<32>::new();
        let record = buffer.0.get_mut(..RECORD_LEN).ok_or(Error::Flash)?;
        encode_kept(kept, record).ok_or(Error::Flash)?;
        let record: &[u8] = record;
        let mut logged = self.with_log(async |log| log.push(record, true).await);
        if matches!(logged, Err(Failure::Content)) {
            // Whatever is in the way: later readings matter more. The numbers are
            // in the map before the log that has them goes.
            self.forget_cache();
            let saved = self.saved();
            self.save(&Saved {
                seq: saved.seq.max(kept.seq.saturating_add(1)),
                boot: saved.boot.max(kept.boot),
                ..saved
            })?;
            logged = self.with_log(async |log| {
                log.erase_all().await?;
                log.push(record, true).await
            });
        }
        match logged {
            Ok(()) => {
                self.newest = Some(*kept);
                Ok(())
            }
            Err(_) => {
                self.forget_cache();
                Err(Error::Flash)
            }
        }
    }

    /// Does something with the log.
    fn with_log<T>(
        &mut self,
        work: impl AsyncFnOnce(
            &mut QueueStorage<&mut F, LogCache>,
        ) -> Result<T, sequential_storage::Error<F::Error>>,
    ) -> Result<T, Failure> {
        let config = QueueConfig::<&mut F>::try_new(self.log.clone());
        let (Ok(config), Some(cache)) = (config, self.cache.take()) else {
            self.forget_cache();
            return Err(Failure::Flash);
        };
        let mut log = QueueStorage::new(&mut self.flash, config, cache);
        let outcome = done(work(&mut log));
        let (_, cache) = log.destroy();
        self.cache = Some(cache);
        outcome.map_err(|error| {
            self.forget_cache();
            match error {
                None | Some(sequential_storage::Error::Storage { .. }) => Failure::Flash,
                Some(_) => Failure::Content,
            }
        })
    }
}

/// Why the log could not be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The flash refused.
    Flash,
    /// What is in the flash makes no sense.
    Content,
}

/// Time that is known to have passed, over restarts: that between the last record
/// of a start and the next start is not.
#[derive(Default)]
struct Clock {
    boot: Option<u32>,
    /// When the present start began, and the latest moment so far.
    began: u64,
    latest: u64,
}

impl Clock {
    fn at(&mut self, kept: &Kept) -> u64 {
        if self.boot != Some(kept.boot) {
            self.boot = Some(kept.boot);
            self.began = self.latest;
        }
        let at = self.began.saturating_add(kept.uptime_ms);
        self.latest = self.latest.max(at);
        at
    }
}

/// The outcome of what must be done at once; `None`: it was not.
///
/// Not inlined: the compiler for Xtensa has a limit on what a function may hold.
#[inline(never)]
fn done<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, Option<E>> {
    match poll_once(work) {
        Poll::Ready(outcome) => outcome.map_err(Some),
        Poll::Pending => Err(None),
    }
}

fn log_pages<F: NorFlash>(log: &Range<u32>) -> usize {
    let len = log.end.saturating_sub(log.start) as usize;
    len.checked_div(F::ERASE_SIZE).unwrap_or(0)
}

/// The pages of messages.
#[derive(Debug)]
struct Letters {
    part: Range<u32>,
    /// So many of the longest fit, whatever became of others.
    places: u8,
}

impl Letters {
    /// If there is room for one at least.
    fn new(part: Range<u32>, page: u32) -> Option<Self> {
        let pages = part.end.checked_sub(part.start)?.checked_div(page)?;
        // A page is always free, and at the end of the others is what the longest
        // does not fit into.
        let room = page.checked_sub(PAGE_STATE.checked_add(LETTER_ROOM)?)?;
        let room = room.checked_mul(pages.checked_sub(1)?)?;
        let places = room.checked_div(LETTER_ROOM.checked_add(MARK_ROOM)?)?;
        let places = u8::try_from(places.min(Mail::PLACES as u32)).ok()?;
        (places > 0).then_some(Self { part, places })
    }
}

/// Which pages hold what.
struct Parts {
    map: Range<u32>,
    letters: Option<Letters>,
    log: Range<u32>,
}

/// Where there are many, the map has most of what the log does not need; messages
/// have pages only where there are six at least.
fn split<F: NorFlash>(part: &Range<u32>) -> Option<Parts> {
    let page = u32::try_from(F::ERASE_SIZE).ok()?;
    let len = part.end.checked_sub(part.start)?;
    if part.start.checked_rem(page)? != 0 || len.checked_rem(page)? != 0 {
        return None;
    }
    // The new entry must find room beside the old one.
    if page
        < PAGE_STATE
            .checked_add(SAVED_ROOM)?
            .checked_add(SAVED_ROOM)?
    {
        return None;
    }
    let pages = len.checked_div(page)?;
    let (map, letters) = match pages {
        0..=5 => (2, 0),
        6..=11 => (2, 2),
        12..=23 => (2, 3),
        _ => (pages.checked_mul(5)?.checked_div(12)?, 4),
    };
    let log = pages.checked_sub(map)?.checked_sub(letters)?;
    let log = log.min(LOG_PAGES as u32);
    if log < 2 {
        return None;
    }
    let first = part.start.checked_add(map.checked_mul(page)?)?;
    let second = first.checked_add(letters.checked_mul(page)?)?;
    let end = second.checked_add(log.checked_mul(page)?)?;
    Some(Parts {
        map: part.start..first,
        letters: Letters::new(first..second, page),
        log: second..end,
    })
}

/// Version, lamp, starts that did not last, place of the next command, number of
/// starts, of the next reading, which commands were not done, none, the commands.
fn encode_saved(saved: &Saved) -> [u8; SAVED_LEN] {
    let recent = &saved.recent;
    let lamp = u8::from(saved.lamp == Lamp::On);
    let mut entry = [0; SAVED_LEN];
    let bytes = [SAVED_VERSION, lamp, saved.unstable, recent.next]
        .into_iter()
        .chain(saved.boot.to_le_bytes())
        .chain(saved.seq.to_le_bytes())
        .chain(u32::from(recent.failed).to_le_bytes())
        .chain(recent.ids.into_iter().flat_map(u64::to_le_bytes));
    for (place, byte) in entry.iter_mut().zip(bytes) {
        *place = byte;
    }
    entry
}

fn decode_saved(entry: &[u8]) -> Option<Saved> {
    let ([version, lamp, unstable, next], rest) = entry.split_first_chunk()?;
    let (boot, rest) = number(rest)?;
    let (seq, rest) = number(rest)?;
    let mut recent = Recent::default();
    match *version {
        1 => {}
        SAVED_VERSION => {
            let (failed, mut rest) = number(rest)?;
            recent.failed = u16::try_from(failed).ok()?;
            recent.next = *next;
            for id in &mut recent.ids {
                let (bytes, behind) = rest.split_first_chunk()?;
                *id = u64::from_le_bytes(*bytes);
                rest = behind;
            }
        }
        _ => return None,
    }
    Some(Saved {
        lamp: if *lamp == 0 { Lamp::Off } else { Lamp::On },
        boot,
        seq,
        unstable: *unstable,
        recent,
    })
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*bytes), rest))
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

/// Kind, one byte of zero, temperature, humidity, how far behind `done` is, number,
/// start, and tenths of a second since the start.
fn encode_kept(kept: &Kept, record: &mut [u8]) -> Option<()> {
    let (kind, reading) = match kept.reading {
        Some(reading) => (READING, reading),
        None => (DONE, Reading { t: 0, h: 0 }),
    };
    let behind = kept.seq.saturating_sub(kept.done);
    let behind = u16::try_from(behind).unwrap_or(u16::MAX);
    let ticks = kept.uptime_ms.checked_div(100)?;
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    let [t0, t1] = reading.t.to_le_bytes();
    let [h0, h1] = reading.h.to_le_bytes();
    let [b0, b1] = behind.to_le_bytes();
    let [s0, s1, s2, s3] = kept.seq.to_le_bytes();
    let [r0, r1, r2, r3] = kept.boot.to_le_bytes();
    let [u0, u1, u2, u3] = ticks.to_le_bytes();
    let bytes = [
        kind, 0, t0, t1, h0, h1, b0, b1, s0, s1, s2, s3, r0, r1, r2, r3, u0, u1, u2, u3,
    ];
    for (place, byte) in record.iter_mut().zip(bytes) {
        *place = byte;
    }
    Some(())
}

fn decode_kept(record: &[u8]) -> Option<Kept> {
    let [kind, _, t0, t1, h0, h1, d0, d1, words @ ..] = record else {
        return None;
    };
    let [s0, s1, s2, s3, b0, b1, b2, b3, u0, u1, u2, u3] = *words else {
        return None;
    };
    let reading = Reading {
        t: i16::from_le_bytes([*t0, *t1]),
        h: u16::from_le_bytes([*h0, *h1]),
    };
    let reading = match *kind {
        READING => Some(reading),
        DONE => None,
        _ => return None,
    };
    let seq = u32::from_le_bytes([s0, s1, s2, s3]);
    let behind = u16::from_le_bytes([*d0, *d1]);
    let ticks = u32::from_le_bytes([u0, u1, u2, u3]);
    Some(Kept {
        seq,
        boot: u32::from_le_bytes([b0, b1, b2, b3]),
        uptime_ms: u64::from(ticks).saturating_mul(100),
        reading,
        done: seq.saturating_sub(behind.into()),
    })
}
