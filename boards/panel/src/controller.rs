//! The controller behind the bus: its registers, its RAM, and what it drives.

use crate::{HEIGHT, WIDTH};

const PAGES: usize = 8;
const COLUMNS: usize = WIDTH as usize;
const LAST_COLUMN: u8 = 0x7F;
const LAST_PAGE: u8 = 0x07;
const LAST_LINE: u8 = 0x3F;
/// The longest command has six arguments.
const MOST_ARGUMENTS: usize = 6;

/// How the address moves on after a byte of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressing {
    Horizontal,
    Vertical,
    Page,
}

/// A pointer that runs from `first` to `last` and begins again.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    first: u8,
    last: u8,
    at: u8,
    /// All bits of the counter.
    mask: u8,
}

impl Pointer {
    const fn new(mask: u8) -> Self {
        Self {
            first: 0,
            last: mask,
            at: 0,
            mask,
        }
    }

    /// Both ends, and the pointer goes to the first.
    fn range(&mut self, first: u8, last: u8) {
        self.first = first & self.mask;
        self.last = last & self.mask;
        self.at = self.first;
    }

    fn set(&mut self, at: u8) {
        self.at = at & self.mask;
    }

    /// One on. Whether it began again.
    fn advance(&mut self) -> bool {
        if self.at == self.last {
            self.at = self.first;
            true
        } else {
            self.at = self.at.wrapping_add(1) & self.mask;
            false
        }
    }
}

/// A command that waits for its arguments.
#[derive(Clone, Copy, Debug)]
struct Pending {
    command: u8,
    arguments: [u8; MOST_ARGUMENTS],
    have: usize,
}

/// The registers and the RAM.
#[derive(Clone)]
pub(crate) struct Controller {
    /// By page and segment output, as the chip keeps it: remapping changes where a
    /// column is written, not what is written already (section 10.1.8).
    ram: [[u8; COLUMNS]; PAGES],
    pending: Option<Pending>,
    unknown: u32,

    addressing: Addressing,
    column: Pointer,
    page: Pointer,
    /// What 00-0F and 10-1F set a nibble of.
    column_start: u8,
    segments_reversed: bool,

    on: bool,
    pump: bool,
    all_on: bool,
    inverse: bool,
    contrast: u8,
    start_line: u8,
    offset: u8,
    /// Rows driven, less one.
    multiplex: u8,
    scan_reversed: bool,
    pins_alternative: bool,
    pins_swapped: bool,
    scrolling: bool,
}

impl Controller {
    /// What it is when power comes: the registers' reset values, and noise in the RAM.
    pub(crate) fn power_on(seed: u32) -> Self {
        let mut controller = Self {
            ram: [[0; COLUMNS]; PAGES],
            pending: None,
            unknown: 0,
            addressing: Addressing::Page,
            column: Pointer::new(LAST_COLUMN),
            page: Pointer::new(LAST_PAGE),
            column_start: 0,
            segments_reversed: false,
            on: false,
            pump: false,
            all_on: false,
            inverse: false,
            contrast: 0x7F,
            start_line: 0,
            offset: 0,
            multiplex: LAST_LINE,
            scan_reversed: false,
            pins_alternative: true,
            pins_swapped: false,
            scrolling: false,
        };
        // xorshift32, which never leaves zero.
        let mut noise = 0x9E37_79B9 ^ seed.wrapping_mul(0x85EB_CA6B);
        if noise == 0 {
            noise = 1;
        }
        for byte in controller.ram.as_flattened_mut() {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            *byte = noise.to_le_bytes()[1];
        }
        controller
    }

    /// A byte of data goes into the RAM.
    pub(crate) fn data(&mut self, byte: u8) {
        if self.scrolling {
            // Prohibited (section 10.2.4).
            self.refuse();
        }
        let segment = self.segment(self.column.at);
        if let Some(cell) = self
            .ram
            .get_mut(usize::from(self.page.at))
            .and_then(|page| page.get_mut(usize::from(segment)))
        {
            *cell = byte;
        }
        match self.addressing {
            Addressing::Horizontal => {
                if self.column.advance() {
                    self.page.advance();
                }
            }
            Addressing::Vertical => {
                if self.page.advance() {
                    self.column.advance();
                }
            }
            Addressing::Page => {
                self.column.advance();
            }
        }
    }

    /// A byte of a command: its code, or the next of its arguments.
    pub(crate) fn command(&mut self, byte: u8) {
        let pending = match self.pending.take() {
            Some(mut pending) => {
                if let Some(place) = pending.arguments.get_mut(pending.have) {
                    *place = byte;
                }
                pending.have = pending.have.saturating_add(1);
                pending
            }
            None => Pending {
                command: byte,
                arguments: [0; MOST_ARGUMENTS],
                have: 0,
            },
        };
        if pending.have < arguments(pending.command) {
            self.pending = Some(pending);
        } else {
            self.execute(pending.command, pending.arguments);
        }
    }

    /// Table 9-1.
    fn execute(&mut self, command: u8, arguments: [u8; MOST_ARGUMENTS]) {
        let [first, second, ..] = arguments;
        match command {
            0x00..=0x0F => {
                self.column_start = (self.column_start & 0xF0) | command;
                self.column.set(self.column_start);
            }
            0x10..=0x1F => {
                self.column_start = (self.column_start & 0x0F) | ((command & 0x0F) << 4);
                self.column.set(self.column_start);
            }
            0x20 => match first & 0b11 {
                0b00 => self.addressing = Addressing::Horizontal,
                0b01 => self.addressing = Addressing::Vertical,
                0b10 => self.addressing = Addressing::Page,
                _ => self.refuse(),
            },
            0x21 => self.column.range(first, second),
            0x22 => self.page.range(first, second),
            // Set up, not carried out: see `Ssd1306::scrolling`. "Must be deactivated"
            // before.
            0x26 | 0x27 | 0x29 | 0x2A if self.scrolling => self.refuse(),
            0x26 | 0x27 | 0x29 | 0x2A | 0xA3 => {}
            0x2E => self.scrolling = false,
            0x2F => self.scrolling = true,
            0x40..=0x7F => self.start_line = command & LAST_LINE,
            0x81 => self.contrast = first,
            0x8D => self.pump = first & 0b100 != 0,
            0xA0 | 0xA1 => self.segments_reversed = command & 1 != 0,
            0xA4 | 0xA5 => self.all_on = command & 1 != 0,
            0xA6 | 0xA7 => self.inverse = command & 1 != 0,
            0xA8 => match first & LAST_LINE {
                // "0 to 14 are invalid entry".
                0..=14 => self.refuse(),
                rows => self.multiplex = rows,
            },
            0xAE | 0xAF => self.on = command & 1 != 0,
            0xB0..=0xB7 => self.page.set(command),
            0xC0 | 0xC8 => self.scan_reversed = command & 0b1000 != 0,
            0xD3 => self.offset = first & LAST_LINE,
            0xDA => {
                self.pins_alternative = first & 0x10 != 0;
                self.pins_swapped = first & 0x20 != 0;
            }
            // "0 is invalid entry", for either phase.
            0xD9 if first & 0x0F == 0 || first & 0xF0 == 0 => self.refuse(),
            // Clock, pre-charge, deselect level: nothing to be seen of them. And NOP.
            0xD5 | 0xD9 | 0xDB | 0xE3 => {}
            _ => self.refuse(),
        }
    }

    /// Something that the data sheet does not know or does not allow.
    pub(crate) fn refuse(&mut self) {
        self.unknown = self.unknown.saturating_add(1);
    }

    pub(crate) fn unknown(&self) -> u32 {
        self.unknown
    }

    pub(crate) fn awaits(&self) -> Option<u8> {
        self.pending.map(|pending| pending.command)
    }

    pub(crate) fn on(&self) -> bool {
        self.on
    }

    pub(crate) fn contrast(&self) -> u8 {
        self.contrast
    }

    pub(crate) fn scrolling(&self) -> bool {
        self.scrolling
    }

    /// The segment output of a column address, or the other way round.
    fn segment(&self, column: u8) -> u8 {
        if self.segments_reversed {
            LAST_COLUMN.wrapping_sub(column) & LAST_COLUMN
        } else {
            column & LAST_COLUMN
        }
    }

    /// A bit of the RAM, by segment output and line.
    fn bit(&self, segment: u8, line: u8) -> bool {
        self.ram
            .get(usize::from(line >> 3))
            .and_then(|page| page.get(usize::from(segment)))
            .is_some_and(|byte| byte.wrapping_shr(u32::from(line & 7)) & 1 != 0)
    }

    /// A bit of the RAM, by column address and line.
    pub(crate) fn ram(&self, column: u8, line: u8) -> bool {
        column < WIDTH && line < HEIGHT && self.bit(self.segment(column), line)
    }

    /// Whether the pixel at a segment output and a line of the glass is lit.
    pub(crate) fn lit(&self, segment: u8, glass: u8) -> bool {
        if !(self.on && self.pump) {
            return false;
        }
        match self.line(glass) {
            None => false,
            Some(_) if self.all_on => true,
            Some(line) => self.bit(segment, line) != self.inverse,
        }
    }

    /// The line of the RAM that is shown on a line of the glass, if that is driven
    /// (tables 10-1, 10-2 and 10-3).
    fn line(&self, glass: u8) -> Option<u8> {
        // The glass is wired alternately: line 0 to COM0, line 1 to COM32, line 2 to
        // COM1. The "alternative" configuration undoes that, "sequential" does not.
        let pin = (glass >> 1) | ((glass & 1) << 5);
        let pin = if self.pins_swapped { pin ^ 32 } else { pin };
        let com = if self.pins_alternative {
            ((pin & 31) << 1) | (pin >> 5)
        } else {
            pin
        };
        let row = if self.scan_reversed {
            self.multiplex.wrapping_sub(com)
        } else {
            com
        };
        let row = row.wrapping_add(self.offset) & LAST_LINE;
        (row <= self.multiplex).then(|| row.wrapping_add(self.start_line) & LAST_LINE)
    }
}

/// How many bytes follow a command (table 9-1). Unknown commands are taken to have no
/// arguments.
const fn arguments(command: u8) -> usize {
    match command {
        0x26 | 0x27 => 6,
        0x29 | 0x2A => 5,
        0x21 | 0x22 | 0xA3 => 2,
        0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB => 1,
        _ => 0,
    }
}
