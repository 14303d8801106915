//! What a board keeps over restarts: the lamp, the numbers, messages, and readings that
//! are not yet delivered.
//!
//! A power cut at any moment leaves the state before a call or the one after it;
//! `sequential-storage` sees to that. The lamp, the numbers and the newest commands
//! are a map's one entry, written when the lamp changes, at each start and after
//! each command that has an id. Messages are a map of their own, with an entry for
//! each and one for what became of it, one for each note of what became of another until
//! that is told, and one for each message of the person until it is sent; what is
//! forgotten is an empty entry. Where its pages have no room for sixteen messages of the
//! longest, it keeps as many of the newest as certainly fit, and then of the others.
//! Readings are a log, the oldest page of which is erased when room is needed. Each also
//! says up to which number all before it were done, and, being the newest, what the next
//! number is: so a reading costs one write, and its delivery none.
//!
//! # How long the flash lasts
//!
//! The chips' store has 48 pages of 4 KiB: 20 for the lamp, numbers and commands, 4
//! for messages and 24 for readings. In a day there are, and in ten years each page
//! is erased:
//!
//! | What | Bytes | On a page | A day | Pages filled | Ten years |
//! |---|---|---|---|---|---|
//! | a command with an id each 10 s | 156 | 26 | 8,640 | 332 | 61,400 times |
//! | 100 messages, the longest, with two marks each | 428 | 9 | 100 | 11 | |
//! | a note each 2 min, kept and forgotten | 72 | 56 | 720 | 13 | |
//! | 100 messages of the person, the longest, kept and forgotten | 392 | 10 | 100 | 10 | 59,900 times together |
//! | a reading each 5 s, and at most a notice for each 16 | 28 | 146 | 18,360 | 126 | 19,000 times |
//!
//! Messages that are still kept when their page's turn comes are written once more:
//! that is in the last column. The flash of the ESP32's modules is made for 100,000
//! (W25Q32JV data sheet, section 8.3; GD25Q32 and others alike).
//!
//! A device keeps no more notes than that in the long run, whatever comes: if each were
//! noted of a message a second that cannot be shown, these pages would be worn out in four
//! to nine months. Nothing bounds the messages that can be shown: one a second of a few
//! words, which nobody reads, wears them out in some 108 days.

mod log;
mod mail;
mod saved;

use core::ops::Range;
use core::task::Poll;

use aldis_device::Kept;
use embassy_futures::poll_once;
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};

use log::{LOG_PAGES, LogCache};
use mail::{LETTER_LEN, Places};
use saved::SAVED_ROOM;

/// How often an entry is written that cannot be read back.
const TRIES: u32 = 3;
/// As long as the longest entry, with its key, in whole words.
const ENTRY_LEN: usize = LETTER_LEN + 16;
/// What the state of a page takes of it.
const PAGE_STATE: u32 = 8;

/// What an entry of a map takes of a page, with its key and the header of
/// `sequential-storage`, in whole words.
const fn room(len: usize) -> u32 {
    (len as u32)
        .saturating_add(1)
        .next_multiple_of(4)
        .saturating_add(8)
}

/// Word-aligned, as chips want it.
#[repr(align(4))]
struct Buffer<const N: usize>([u8; N]);

impl<const N: usize> Buffer<N> {
    const fn new() -> Self {
        Self([0; N])
    }
}

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
    mail: Option<Places>,
    log: Range<u32>,
    cache: Option<LogCache>,
    /// The newest record of the log, once it was looked for.
    newest: Option<Kept>,
}

impl<F> core::fmt::Debug for Store<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store")
            .field("map", &self.map)
            .field("mail", &self.mail)
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
        let Parts { map, mail, log } = split::<F>(&part).ok_or(Error::Geometry)?;
        let mut store = Self {
            flash,
            map,
            mail,
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

    /// Stores an entry of a map.
    fn put(&mut self, part: Range<u32>, key: u8, entry: &[u8]) -> Result<(), Error> {
        let mut buffer = Buffer::<ENTRY_LEN>::new();
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

/// Which pages hold what.
struct Parts {
    map: Range<u32>,
    mail: Option<Places>,
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
    let (map, mail) = match pages {
        0..=5 => (2, 0),
        6..=11 => (2, 2),
        12..=23 => (2, 4),
        _ => (pages.checked_mul(5)?.checked_div(12)?, 4),
    };
    let log = pages.checked_sub(map)?.checked_sub(mail)?;
    let log = log.min(LOG_PAGES as u32);
    if log < 2 {
        return None;
    }
    let first = part.start.checked_add(map.checked_mul(page)?)?;
    let second = first.checked_add(mail.checked_mul(page)?)?;
    let end = second.checked_add(log.checked_mul(page)?)?;
    Some(Parts {
        map: part.start..first,
        mail: Places::new(first..second, page),
        log: second..end,
    })
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*bytes), rest))
}
