//! The flash chip as the traits for storage want it.

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use esp_hal::peripherals::FLASH;
use esp_storage::{FlashStorage, FlashStorageError};

/// How much goes through the bounce buffer at once.
const CHUNK: usize = 64;
/// Flash is written in words.
const WORD: usize = 4;

/// The whole flash chip, from address 0.
///
/// Each operation is done when its future is first polled: the chip executes from
/// the same flash and stands still meanwhile, the radio's interrupts included
/// (some 50 ms for a sector that is erased). Reading takes any address and
/// length.
pub struct Flash {
    storage: FlashStorage<'static>,
}

/// Words between the caller's bytes and the ROM, which wants them aligned.
#[repr(C, align(4))]
struct Bounce([u8; CHUNK]);

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Address or length is not a multiple of what it has to be.
    NotAligned,
    /// Address and length reach beyond the chip.
    OutOfBounds,
    /// The chip, or the ROM that speaks with it.
    Device,
}

impl Flash {
    /// Takes the chip.
    pub fn new(flash: FLASH<'static>) -> Self {
        Self {
            storage: FlashStorage::new(flash),
        }
    }

    /// Bytes on the chip, as the bootloader's header says.
    pub fn size(&self) -> usize {
        self.storage.capacity()
    }

    /// Checks that an operation stays on the chip.
    fn check(&self, offset: u32, len: usize) -> Result<(), Error> {
        let end = usize::try_from(offset)
            .ok()
            .and_then(|at| at.checked_add(len));
        match end {
            Some(end) if end <= self.size() => Ok(()),
            _ => Err(Error::OutOfBounds),
        }
    }
}

impl From<FlashStorageError> for Error {
    fn from(error: FlashStorageError) -> Self {
        match error {
            FlashStorageError::NotAligned => Self::NotAligned,
            FlashStorageError::OutOfBounds => Self::OutOfBounds,
            _ => Self::Device,
        }
    }
}

impl NorFlashError for Error {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Device => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for Flash {
    type Error = Error;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, mut offset: u32, mut bytes: &mut [u8]) -> Result<(), Error> {
        self.check(offset, bytes.len())?;
        let mut bounce = Bounce([0; CHUNK]);
        while !bytes.is_empty() {
            // From the word in which the next byte is.
            let skip = offset as usize % WORD;
            let take = bytes.len().min(CHUNK.saturating_sub(skip));
            let words = skip.saturating_add(take).next_multiple_of(WORD);
            let (Some(window), Some((now, later))) =
                (bounce.0.get_mut(..words), bytes.split_at_mut_checked(take))
            else {
                return Err(Error::OutOfBounds);
            };
            self.storage
                .read_nor(offset.saturating_sub(skip as u32), window)?;
            for (byte, read) in now.iter_mut().zip(window.iter().skip(skip)) {
                *byte = *read;
            }
            offset = offset.saturating_add(take as u32);
            bytes = later;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.size()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = FlashStorage::SECTOR_SIZE as usize;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        Ok(self.storage.erase(from, to)?)
    }

    async fn write(&mut self, mut offset: u32, bytes: &[u8]) -> Result<(), Error> {
        self.check(offset, bytes.len())?;
        if !(offset as usize).is_multiple_of(WORD) || !bytes.len().is_multiple_of(WORD) {
            return Err(Error::NotAligned);
        }
        let mut bounce = Bounce([0; CHUNK]);
        for chunk in bytes.chunks(CHUNK) {
            let Some(window) = bounce.0.get_mut(..chunk.len()) else {
                return Err(Error::OutOfBounds);
            };
            window.copy_from_slice(chunk);
            self.storage.write_nor(offset, window)?;
            offset = offset.saturating_add(chunk.len() as u32);
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for Flash {}
