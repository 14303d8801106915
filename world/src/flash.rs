//! A flash memory with power cuts and wear.
//!
//! Erased bytes are `0xff`; writing can only clear bits. When power goes, the
//! operation that is under way is left undone, done in part, or done: then the
//! flash takes nothing more until power is back.

use core::ops::Range;

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// What happened to an operation when power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing of it was done.
    Before,
    /// A part of it was done, and one byte by half: which, this number determines.
    Within(u64),
    /// All of it was done, though nobody was told.
    After,
}

/// Why the flash did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// There is no power.
    Off,
    /// This page is worn out.
    Worn,
    /// The place does not exist, or is not where a word or page begins.
    Place(NorFlashErrorKind),
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Place(kind) => *kind,
            Self::Off | Self::Worn => NorFlashErrorKind::Other,
        }
    }
}

/// A flash memory whose pages have `PAGE` bytes.
#[derive(Clone, Debug)]
pub struct Flash<const PAGE: usize = 4096> {
    bytes: Vec<u8>,
    erased: Vec<u32>,
    worn: Vec<bool>,
    operations: u64,
    cut: Option<(u64, Cut)>,
    off: bool,
}

impl<const PAGE: usize> Flash<PAGE> {
    /// A new one: erased.
    pub fn new(pages: usize) -> Self {
        Self {
            bytes: vec![0xff; pages * PAGE],
            erased: vec![0; pages],
            worn: vec![false; pages],
            operations: 0,
            cut: None,
            off: false,
        }
    }

    /// How many times it was written or erased, or was to be.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// How many times each page was erased.
    pub fn erased(&self) -> &[u32] {
        &self.erased
    }

    /// The bytes, to be looked at or damaged.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Power goes when it is written or erased the next time but `after`.
    pub fn cut(&mut self, after: u64, cut: Cut) {
        self.cut = Some((self.operations + after, cut));
    }

    /// Whether power has gone.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Power is back.
    pub fn restore(&mut self) {
        self.off = false;
        self.cut = None;
    }

    /// Whether no page takes anything any more.
    pub fn refuse(&mut self, refuse: bool) {
        self.worn.fill(refuse);
    }

    /// A page that takes nothing any more.
    pub fn wear_out(&mut self, page: usize) {
        if let Some(worn) = self.worn.get_mut(page) {
            *worn = true;
        }
    }

    fn range(&self, offset: u32, len: usize, align: usize) -> Result<Range<usize>, FlashError> {
        let start = offset as usize;
        if !start.is_multiple_of(align) || !len.is_multiple_of(align) {
            return Err(FlashError::Place(NorFlashErrorKind::NotAligned));
        }
        let end = start + len;
        if end > self.bytes.len() {
            return Err(FlashError::Place(NorFlashErrorKind::OutOfBounds));
        }
        Ok(start..end)
    }

    /// Changes bytes, as far as there is power for it.
    fn change(
        &mut self,
        range: Range<usize>,
        change: impl Fn(usize, u8) -> u8,
    ) -> Result<(), FlashError> {
        if self.off {
            return Err(FlashError::Off);
        }
        let number = self.operations;
        self.operations += 1;
        let pages = range.start / PAGE..range.end.div_ceil(PAGE);
        if self.worn[pages].contains(&true) {
            return Err(FlashError::Worn);
        }
        let cut = self.cut.filter(|(at, _)| *at == number).map(|(_, cut)| cut);
        let start = range.start;
        let done = match cut {
            None | Some(Cut::After) => range.len(),
            Some(Cut::Before) => 0,
            Some(Cut::Within(chance)) => (chance % range.len().max(1) as u64) as usize,
        };
        for at in start..start + done {
            self.bytes[at] = change(at - start, self.bytes[at]);
        }
        if let Some(Cut::Within(chance)) = cut
            && done < range.len()
        {
            // Some bits of the byte have got where they should, others have not.
            let before = self.bytes[start + done];
            let mask = (chance >> 32) as u8;
            let after = change(done, before);
            self.bytes[start + done] = before & mask | after & !mask;
        }
        if cut.is_some() {
            self.off = true;
            return Err(FlashError::Off);
        }
        Ok(())
    }
}

impl<const PAGE: usize> ErrorType for Flash<PAGE> {
    type Error = FlashError;
}

impl<const PAGE: usize> Flash<PAGE> {
    /// Reads at once.
    ///
    /// # Errors
    /// If there is no power, or no such place.
    pub fn read_now(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        if self.off {
            return Err(FlashError::Off);
        }
        let range = self.range(offset, bytes.len(), <Self as ReadNorFlash>::READ_SIZE)?;
        bytes.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    /// Erases at once.
    ///
    /// # Errors
    /// As above, or if a page is worn out.
    pub fn erase_now(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let len = to.saturating_sub(from) as usize;
        let range = self.range(from, len, PAGE)?;
        for page in range.clone().step_by(PAGE) {
            self.erased[page / PAGE] += 1;
            self.change(page..page + PAGE, |_, _| 0xff)?;
        }
        Ok(())
    }

    /// Writes at once.
    ///
    /// # Errors
    /// As above.
    pub fn write_now(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let range = self.range(offset, bytes.len(), <Self as NorFlash>::WRITE_SIZE)?;
        self.change(range, |at, before| before & bytes[at])
    }
}

impl<const PAGE: usize> ReadNorFlash for Flash<PAGE> {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.read_now(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const PAGE: usize> NorFlash for Flash<PAGE> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.erase_now(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.write_now(offset, bytes)
    }
}

impl<const PAGE: usize> MultiwriteNorFlash for Flash<PAGE> {}
