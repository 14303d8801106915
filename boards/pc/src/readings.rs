//! The readings of a virtual device that are not yet delivered, in a file.
//!
//! The file is a ring of records. It has its full size from the beginning: nothing has to be
//! cleared up in it, and it takes the next reading on a disk that became full. Each record says
//! up to which number all readings before it are done, and the newest one which number is the
//! next, so the numbers outlive the other file of the state as well.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aldis_device::{Kept, Recalled, Saved};
use aldis_flash::crc32;
use aldis_protocol::Reading;

use crate::state::{StateDir, StateError};

/// The file in the state folder.
const FILE: &str = "readings.log";
/// How many readings are given back at most: as many as a device holds.
const ROOM: u32 = 512;
/// Records in the ring: those readings, and notes of what is done, one for sixteen of them.
const RECORDS: u64 = 1_024;
/// The length of a record. A sector of a disk has a whole number of them, so a power cut does
/// not tear one.
const LEN: usize = 64;
/// In the place of a record before the first.
const HEADER: &[u8; LEN] = b"aldis readings 1, see docs/device.md .......................\n\0\0\0";
/// The length of the file.
const FILE_LEN: usize = LEN * (1 + RECORDS as usize);

const READING: u8 = 1;
const DONE: u8 = 2;

/// A moment, on this machine's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The time of day, in milliseconds since 1970; zero where it is not known.
    pub wall_ms: u64,
    /// Which start of the machine this is; zero where that is not known.
    pub machine: u64,
    /// Milliseconds since then.
    pub up_ms: u64,
}

impl Moment {
    /// A machine without a clock of its own believes it to be the time when it was made, or
    /// 1970, until it is told: the beginning of 2025.
    const BELIEVED_MS: u64 = 1_735_689_600_000;

    /// This moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall_ms = since.map_or(0, |since| since.as_millis() as u64);
        match (machine(), up_ms()) {
            (machine @ 1.., Some(up_ms)) => Self {
                wall_ms,
                machine,
                up_ms,
            },
            _ => Self {
                wall_ms,
                ..Self::default()
            },
        }
    }

    /// So many milliseconds before it.
    #[must_use]
    pub fn before(self, ms: u64) -> Self {
        Self {
            wall_ms: self.wall_ms.saturating_sub(ms),
            up_ms: self.up_ms.saturating_sub(ms),
            ..self
        }
    }

    /// How long after the earlier one it is, in milliseconds, as far as the clocks can be
    /// believed.
    ///
    /// While the machine runs, its own count is right whatever is done to its clock. Else the
    /// time of day counts, if it went on.
    pub fn since(self, earlier: Self) -> u64 {
        let same = self.machine != 0 && self.machine == earlier.machine;
        if same && self.up_ms >= earlier.up_ms {
            return self.up_ms - earlier.up_ms;
        }
        match earlier.wall_ms >= Self::BELIEVED_MS {
            true => self.wall_ms.saturating_sub(earlier.wall_ms),
            false => 0,
        }
    }
}

/// Which start of the machine this is, as Linux tells.
fn machine() -> u64 {
    static MACHINE: OnceLock<u64> = OnceLock::new();
    *MACHINE.get_or_init(|| {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = id
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(16)
            .collect();
        u64::from_str_radix(&digits, 16).unwrap_or(0)
    })
}

/// Milliseconds since the machine's start, those in which it slept included.
fn up_ms() -> Option<u64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some((seconds * 1_000.0) as u64)
}

/// A record of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    kept: Kept,
    life: u16,
    at: Moment,
}

/// What a device keeps of its readings.
#[derive(Debug)]
pub struct Readings {
    path: PathBuf,
    /// The file, if it holds what `image` does.
    file: Option<File>,
    /// What it is to hold.
    image: Vec<u8>,
    /// The records, by their place in the order of being written.
    records: BTreeMap<u64, Record>,
    /// The number of the next reading is behind that of the newest record.
    next: u64,
}

impl Readings {
    /// None yet.
    pub fn new() -> Self {
        Self {
            path: PathBuf::new(),
            file: None,
            image: blank(),
            records: BTreeMap::new(),
            next: 1,
        }
    }

    /// Reads what is kept. A damaged file is set aside, what can be read of it is kept, and the
    /// second value says so.
    ///
    /// # Errors
    /// If the file is there and the operating system does not give it.
    pub fn load(state: &StateDir) -> Result<(Self, Option<String>), StateError> {
        let path = state.file(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StateError::Io(path, error)),
        };
        let (mut records, whole) = match &bytes {
            Some(bytes) => parse(bytes),
            None => (BTreeMap::new(), true),
        };
        if !whole {
            // Without the holes, which would be damage at the next start as well.
            records = (1..).zip(records.into_values()).collect();
        }
        let mut readings = Self {
            path,
            next: records.last_key_value().map_or(1, |(last, _)| last + 1),
            records,
            ..Self::new()
        };
        for (number, record) in &readings.records {
            place(&mut readings.image, *number, record);
        }
        let mut warning = None;
        if !whole {
            let then = "what cannot be read is lost";
            warning = Some(state.set_aside(FILE, "readings", then)?);
            // If there is no room for what was rescued, the next reading tries again.
            let _ = readings.write_all(state);
        } else if bytes.is_some() {
            // Where that is not allowed, the next reading tells.
            readings.file = OpenOptions::new().write(true).open(&readings.path).ok();
        }
        Ok((readings, warning))
    }

    /// What was saved, with numbers that were not given before. Readings with numbers of an
    /// earlier life are forgotten.
    pub fn numbers(&mut self, saved: Saved) -> Saved {
        let Some((_, newest)) = self.records.last_key_value() else {
            return saved;
        };
        if saved.life != 0 && saved.life != newest.life {
            self.records.clear();
            return saved;
        }
        Saved {
            life: newest.life,
            boot: saved.boot.max(newest.kept.boot),
            seq: saved.seq.max(newest.kept.seq.saturating_add(1)),
            ..saved
        }
    }

    /// The readings that are not done, the oldest first, with the least age that they can
    /// have now that the device starts: of the newest 512 at most.
    pub fn recall(&self, now: Moment) -> Vec<Recalled> {
        let Some((_, newest)) = self.records.last_key_value() else {
            return Vec::new();
        };
        let ours = || {
            let records = self.records.values();
            records.filter(|record| record.life == newest.life)
        };
        let newest = newest.kept.seq;
        let done = ours().map(|record| record.kept.done).max().unwrap_or(0);
        let mut last = done.max(newest.saturating_sub(ROOM));
        let mut clock = Clock::default();
        let mut found = Vec::new();
        for record in ours() {
            let at = clock.at(record);
            let kept = record.kept;
            let Some(reading) = kept.reading else {
                continue;
            };
            if kept.seq > last && kept.seq <= newest {
                last = kept.seq;
                found.push((at, kept, reading));
            }
        }
        let end = clock.end(now);
        let recalled = found.into_iter().map(|(at, kept, reading)| Recalled {
            seq: kept.seq,
            boot: kept.boot,
            age_ms: u32::try_from(end.saturating_sub(at)).unwrap_or(u32::MAX),
            reading,
        });
        recalled.collect()
    }

    /// Keeps a reading, or that some are done, at the moment when it was taken; without a
    /// folder, in memory.
    ///
    /// A reading is on the disk afterwards, as its number is when that is saved. That some are
    /// done a power cut may undo: then they come again.
    ///
    /// # Errors
    /// If the operating system refuses. It is kept with the next one that it takes.
    pub fn append(
        &mut self,
        state: Option<&StateDir>,
        kept: &Kept,
        life: u16,
        at: Moment,
    ) -> io::Result<()> {
        let kept = *kept;
        let record = Record { kept, life, at };
        let number = self.next;
        self.next += 1;
        self.records.insert(number, record);
        while self.records.len() as u64 > RECORDS {
            self.records.pop_first();
        }
        let range = place(&mut self.image, number, &record);
        let Some(state) = state else {
            return Ok(());
        };
        let Some(file) = &mut self.file else {
            return self.write_all(state);
        };
        let written = file
            .seek(SeekFrom::Start(range.start as u64))
            .and_then(|_| file.write_all(&self.image[range]))
            .and_then(|()| match kept.reading {
                Some(_) => file.sync_data(),
                None => Ok(()),
            });
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// Writes the file anew.
    fn write_all(&mut self, state: &StateDir) -> io::Result<()> {
        state.replace(FILE, &self.image)?;
        self.file = Some(OpenOptions::new().write(true).open(&self.path)?);
        Ok(())
    }
}

impl Default for Readings {
    fn default() -> Self {
        Self::new()
    }
}

/// An empty file.
fn blank() -> Vec<u8> {
    let mut image = vec![0; FILE_LEN];
    image[..LEN].copy_from_slice(HEADER);
    image
}

/// Puts a record where it belongs, and says where that is.
fn place(image: &mut [u8], number: u64, record: &Record) -> std::ops::Range<usize> {
    let slot = (number % RECORDS) as usize;
    let range = (1 + slot) * LEN..(2 + slot) * LEN;
    image[range.clone()].copy_from_slice(&encode(number, record));
    range
}

/// What can be read of a file, and whether that is all of it. The record that comes next may be
/// torn: the power failed while it was written.
fn parse(bytes: &[u8]) -> (BTreeMap<u64, Record>, bool) {
    let mut records = BTreeMap::new();
    let Some(slots) = bytes.strip_prefix(HEADER) else {
        return (records, false);
    };
    let mut bad = Vec::new();
    let (slots, rest) = slots.as_chunks::<LEN>();
    for (slot, bytes) in (0..RECORDS).zip(slots) {
        match decode(bytes) {
            Some((number, record)) if number % RECORDS == slot => {
                records.insert(number, record);
            }
            _ if bytes.iter().all(|byte| *byte == 0) => {}
            _ => bad.push(slot),
        }
    }
    let newest = records.last_key_value().map_or(0, |(last, _)| *last);
    let torn = bad == [(newest + 1) % RECORDS];
    let there = newest.min(RECORDS - u64::from(torn));
    let whole = slots.len() as u64 == RECORDS
        && rest.is_empty()
        && (bad.is_empty() || torn)
        && records.len() as u64 == there;
    (records, whole)
}

/// Kind, life, place in the order, number, start, what is done, temperature, humidity, uptime,
/// time of day, start of the machine and its uptime, checksum.
fn encode(number: u64, record: &Record) -> [u8; LEN] {
    let Record { kept, life, at } = record;
    let (kind, reading) = match kept.reading {
        Some(reading) => (READING, reading),
        None => (DONE, Reading { t: 0, h: 0 }),
    };
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend([kind, 0]);
    bytes.extend(life.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(kept.seq.to_le_bytes());
    bytes.extend(kept.boot.to_le_bytes());
    bytes.extend(kept.done.to_le_bytes());
    bytes.extend(reading.t.to_le_bytes());
    bytes.extend(reading.h.to_le_bytes());
    bytes.extend(kept.uptime_ms.to_le_bytes());
    bytes.extend(at.wall_ms.to_le_bytes());
    bytes.extend(at.machine.to_le_bytes());
    bytes.extend(at.up_ms.to_le_bytes());
    bytes.extend(crc32(&bytes).to_le_bytes());
    let mut record = [0; LEN];
    record.copy_from_slice(&bytes);
    record
}

fn decode(bytes: &[u8; LEN]) -> Option<(u64, Record)> {
    let (body, crc) = bytes.split_last_chunk()?;
    if crc32(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = body;
    let [kind, _] = take(&mut rest)?;
    let life = u16::from_le_bytes(take(&mut rest)?);
    let number = u64::from_le_bytes(take(&mut rest)?);
    let seq = u32::from_le_bytes(take(&mut rest)?);
    let boot = u32::from_le_bytes(take(&mut rest)?);
    let done = u32::from_le_bytes(take(&mut rest)?);
    let reading = Reading {
        t: i16::from_le_bytes(take(&mut rest)?),
        h: u16::from_le_bytes(take(&mut rest)?),
    };
    let kept = Kept {
        seq,
        boot,
        uptime_ms: u64::from_le_bytes(take(&mut rest)?),
        reading: match kind {
            READING => Some(reading),
            DONE => None,
            _ => return None,
        },
        done,
    };
    let at = Moment {
        wall_ms: u64::from_le_bytes(take(&mut rest)?),
        machine: u64::from_le_bytes(take(&mut rest)?),
        up_ms: u64::from_le_bytes(take(&mut rest)?),
    };
    (number < u64::MAX).then_some((number, Record { kept, life, at }))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Time that is known to have passed, over restarts. Within a start the device's own count
/// tells, which nobody sets; from the last record of one to the next start, the machine does.
#[derive(Default)]
struct Clock {
    /// Which start it is, and when it began.
    boot: Option<u32>,
    began: u64,
    /// The latest moment so far, and what the machine's clocks said then.
    latest: u64,
    machine: Moment,
}

impl Clock {
    fn at(&mut self, record: &Record) -> u64 {
        let Record { kept, at, .. } = record;
        if self.boot != Some(kept.boot) {
            self.began = match self.boot {
                Some(_) => self.end(at.before(kept.uptime_ms)),
                None => 0,
            };
            self.boot = Some(kept.boot);
        }
        let moment = self.began.saturating_add(kept.uptime_ms);
        // A reading is written after it was taken, and perhaps after a later note.
        if moment >= self.latest {
            self.latest = moment;
            self.machine = *at;
        }
        moment
    }

    /// When something begins at this moment.
    fn end(&self, moment: Moment) -> u64 {
        // As long as an age can say.
        let between = moment.since(self.machine).min(u32::MAX.into());
        self.latest.saturating_add(between)
    }
}
