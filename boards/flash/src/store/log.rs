//! Readings that are not yet delivered: a log.

use core::ops::Range;

use aldis_device::{Kept, Recalled, Saved};
use aldis_protocol::Reading;
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::CalculatedPageStates;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::queue::{QueueConfig, QueueStorage};

use super::{Buffer, Error, Store, done};

/// The most pages that the log uses.
pub(super) const LOG_PAGES: usize = 24;

/// How often the next number is saved in the map as well, in case the log is damaged.
const SAVE_EACH: u32 = 128;

/// The length of a record. It begins with its kind.
const RECORD_LEN: usize = 20;
const READING: u8 = 1;
const DONE: u8 = 2;

pub(super) type LogCache = Cache<CalculatedPageStates, ArrayPagePointers<LOG_PAGES>, Uncached>;

impl<F: NorFlash> Store<F> {
    pub(super) fn forget_cache(&mut self) {
        let pages = log_pages::<F>(&self.log);
        self.cache = Some(Cache::new(
            CalculatedPageStates::new(pages),
            ArrayPagePointers::new(),
            Uncached,
        ));
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

    /// The newest record, which says the next number and what is done.
    pub(super) fn find_newest(&mut self) -> Option<Kept> {
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

fn log_pages<F: NorFlash>(log: &Range<u32>) -> usize {
    let len = log.end.saturating_sub(log.start) as usize;
    len.checked_div(F::ERASE_SIZE).unwrap_or(0)
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
