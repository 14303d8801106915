//! The flash memory: the machine's second bank, two chips of 16 bits side by side
//! that understand Intel's commands.
//!
//! Without a file behind it (QEMU's `-drive if=pflash,unit=1,format=raw,file=FILE`,
//! of exactly 32 MiB) it is there, but forgets.

use core::future::{Future, ready};
use core::marker::PhantomData;

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::clock;
use crate::register::Register;

/// Where it is.
const BASE: usize = 0x2200_0000;
/// How large it is.
const CAPACITY: usize = 32 << 20;
/// How large a block is.
const BLOCK: usize = 256 << 10;
/// How large a word is.
const WORD: usize = 4;

/// The same for both chips.
const fn both(value: u32) -> u32 {
    value << 16 | value
}

const READ: u32 = both(0xff);
const PROGRAM: u32 = both(0xe8);
const ERASE: u32 = both(0x20);
const CONFIRM: u32 = both(0xd0);
const CLEAR: u32 = both(0x50);
const QUERY: u32 = both(0x98);

/// Both chips are ready.
const READY: u32 = both(0x80);
/// One of them could not: erase, program, voltage, protected.
const FAILED: u32 = both(0x20 | 0x10 | 0x08 | 0x02);

/// How long programming may take, in counts of [`clock::counter`]: a tenth of a second.
const PROGRAM_TIME: u64 = 1_000_000;
/// How long erasing a block may take: ten seconds.
const ERASE_TIME: u64 = 100_000_000;

/// How many words are programmed together. The chips have buffers for 2 KiB, and what
/// is in them must not cross a boundary of that size.
const AT_ONCE: usize = 128;

/// What the flash could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// There is none, or not the one that is known here.
    Missing,
    /// The place or the length is not a multiple of what it has to be.
    NotAligned,
    /// It is not so large.
    OutOfBounds,
    /// It says that it failed, with its status.
    Failed(u32),
    /// It was not ready in time.
    Late,
    /// It says that it did, but holds something else.
    NotKept,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// The flash memory. What is done with it is done when it returns.
///
/// There may be several of these: none can be given to an interrupt, so nothing
/// comes between the commands of another.
#[derive(Debug)]
pub struct Flash {
    /// Not to be sent away.
    _here: PhantomData<*mut ()>,
}

impl Flash {
    /// Looks whether it is there.
    pub fn new() -> Result<Self, FlashError> {
        word(0).set(CLEAR);
        word(0x55 * WORD).set(QUERY);
        let found = [0x10, 0x11, 0x12, 0x27].map(|index| word(index * WORD).get());
        word(0).set(READ);
        let half = CAPACITY.trailing_zeros() - 1;
        let expected = [b'Q'.into(), b'R'.into(), b'Y'.into(), half].map(both);
        if found != expected {
            return Err(FlashError::Missing);
        }
        Ok(Self { _here: PhantomData })
    }

    /// Reads from any place.
    pub fn get(&self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let start = place(offset, bytes.len(), 1)?;
        for (offset, byte) in (start..).zip(bytes) {
            // SAFETY: it is within the flash, which gives its data unless commanded otherwise.
            *byte = unsafe { Register::at(BASE + offset) }.get();
        }
        Ok(())
    }

    /// Programs whole words: bits can only be cleared.
    pub fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut start = place(offset, bytes.len(), WORD)?;
        let (mut words, _) = bytes.as_chunks::<WORD>();
        while !words.is_empty() {
            let room = AT_ONCE - start / WORD % AT_ONCE;
            let (now, later) = words.split_at(room.min(words.len()));
            program(start, now)?;
            start += now.len() * WORD;
            words = later;
        }
        Ok(())
    }

    /// Erases whole blocks.
    pub fn clear(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let length = to.checked_sub(from).ok_or(FlashError::OutOfBounds)?;
        let start = place(from, length as usize, BLOCK)?;
        for offset in (start..start + length as usize).step_by(BLOCK) {
            let block = word(offset);
            block.set(ERASE);
            block.set(CONFIRM);
            end(offset, ERASE_TIME)?;
        }
        Ok(())
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(
        &mut self,
        offset: u32,
        bytes: &mut [u8],
    ) -> impl Future<Output = Result<(), FlashError>> {
        ready(self.get(offset, bytes))
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> impl Future<Output = Result<(), FlashError>> {
        ready(self.clear(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> impl Future<Output = Result<(), FlashError>> {
        ready(self.program(offset, bytes))
    }
}

impl MultiwriteNorFlash for Flash {}

/// Where something begins, if it is within the flash and aligned.
fn place(offset: u32, length: usize, alignment: usize) -> Result<usize, FlashError> {
    let start = offset as usize;
    if start.checked_add(length).is_none_or(|end| end > CAPACITY) {
        return Err(FlashError::OutOfBounds);
    }
    if !start.is_multiple_of(alignment) || !length.is_multiple_of(alignment) {
        return Err(FlashError::NotAligned);
    }
    Ok(start)
}

/// A word of the flash, which takes the commands as well.
fn word(offset: usize) -> Register<u32> {
    // SAFETY: the offset stays within the flash, and is kept there.
    unsafe { Register::at(BASE + offset % CAPACITY) }
}

/// Programs words that are programmed together.
fn program(start: usize, words: &[[u8; WORD]]) -> Result<(), FlashError> {
    let mut after = [0; AT_ONCE];
    let places = || (start..).step_by(WORD).map(word);
    let mut changed = false;
    for ((place, bytes), after) in places().zip(words).zip(&mut after) {
        let before = place.get();
        // QEMU would also set bits, which no flash can.
        *after = before & u32::from_le_bytes(*bytes);
        changed |= *after != before;
    }
    if !changed {
        return Ok(());
    }
    let first = word(start);
    first.set(PROGRAM);
    if let Err(error) = wait(start, PROGRAM_TIME) {
        first.set(READ);
        return Err(error);
    }
    first.set(both(words.len() as u32 - 1));
    for (place, after) in places().zip(after).take(words.len()) {
        place.set(after);
    }
    first.set(CONFIRM);
    end(start, PROGRAM_TIME)?;
    // A flash that is protected may go back to giving data without a word.
    let mut kept = places().zip(after).take(words.len());
    match kept.all(|(place, after)| place.get() == after) {
        true => Ok(()),
        false => Err(FlashError::NotKept),
    }
}

/// Waits for the end of a command, and has data read again.
fn end(offset: usize, time: u64) -> Result<(), FlashError> {
    let result = wait(offset, time);
    if result.is_err() {
        word(offset).set(CLEAR);
    }
    word(offset).set(READ);
    result
}

/// Waits until a command succeeded.
fn wait(offset: usize, time: u64) -> Result<(), FlashError> {
    let begin = clock::counter();
    loop {
        let status = word(offset).get();
        if status & READY == READY {
            return match status & FAILED {
                0 => Ok(()),
                _ => Err(FlashError::Failed(status)),
            };
        }
        if clock::counter().wrapping_sub(begin) > time {
            return Err(FlashError::Late);
        }
    }
}
