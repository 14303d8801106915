//! The serial line: lines out, bytes and lines in.

use core::fmt::{self, Write};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;

use crate::register::Register;

const UART: usize = 0x1000_0000;
// SAFETY: read, the byte that came; written, the one to send.
const DATA: Register<u8> = unsafe { Register::at(UART) };
// SAFETY: what it interrupts for.
const INTERRUPTS: Register<u8> = unsafe { Register::at(UART + 1) };
// SAFETY: how its queues work.
const QUEUES: Register<u8> = unsafe { Register::at(UART + 2) };
// SAFETY: how a byte looks on the line.
const FORMAT: Register<u8> = unsafe { Register::at(UART + 3) };
// SAFETY: how it is.
const STATUS: Register<u8> = unsafe { Register::at(UART + 5) };

/// A byte can be read.
const READABLE: u8 = 1;
/// A byte can be written.
const WRITABLE: u8 = 1 << 5;
/// It interrupts when a byte can be read.
const WHEN_READABLE: u8 = 1;

/// How often it is asked whether it takes a byte, before the byte is given up.
const PATIENCE: u32 = 1_000_000;

/// What came and was not read. When it is full, the rest waits in the UART and
/// before it.
static CAME: Channel<CriticalSectionRawMutex, u8, 128> = Channel::new();

/// Prints a line on the UART: takes what `format!` takes.
#[macro_export]
macro_rules! console {
    ($($argument:tt)*) => {
        $crate::uart::print_line(format_args!($($argument)*))
    };
}

/// Prints a line. [`console!`](crate::console) is shorter.
pub fn print_line(line: fmt::Arguments<'_>) {
    // Neither can writing fail, nor should a `Display` that does stop anything.
    let _ = Output.write_fmt(line);
    write(b'\n');
}

/// Writes a byte, and waits until the UART takes it; not for ever.
pub fn write(byte: u8) {
    for _ in 0..PATIENCE {
        if STATUS.get() & WRITABLE != 0 {
            return DATA.set(byte);
        }
    }
}

/// The byte that came next, if there is one.
pub fn read() -> Option<u8> {
    let byte = CAME.try_receive().ok();
    INTERRUPTS.set(WHEN_READABLE);
    byte
}

/// Waits for the byte that comes next. Dropped meanwhile, it takes none.
pub async fn next() -> u8 {
    let byte = CAME.receive().await;
    INTERRUPTS.set(WHEN_READABLE);
    byte
}

/// What is printed, as bytes.
pub(crate) struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(write);
        Ok(())
    }
}

/// The lines that come, of at most `N` bytes each.
pub struct Lines<const N: usize> {
    line: [u8; N],
    length: usize,
    /// The line in memory was given out.
    given: bool,
}

impl<const N: usize> Lines<N> {
    /// Nothing came yet.
    pub const fn new() -> Self {
        Self {
            line: [0; N],
            length: 0,
            given: false,
        }
    }

    /// Waits for the next line that is not empty, and gives it without its end.
    /// Bytes that are too many are left out. Dropped meanwhile, it loses nothing.
    pub async fn next(&mut self) -> &[u8] {
        if self.given {
            self.given = false;
            self.length = 0;
        }
        loop {
            match next().await {
                b'\r' | b'\n' if self.length == 0 => {}
                b'\r' | b'\n' => break,
                byte => {
                    if let Some(place) = self.line.get_mut(self.length) {
                        *place = byte;
                        self.length += 1;
                    }
                }
            }
        }
        self.given = true;
        self.line.get(..self.length).unwrap_or_default()
    }
}

impl<const N: usize> Default for Lines<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes it ready: eight bits, no parity, queues, an interrupt for each byte.
pub(crate) fn start() {
    FORMAT.set(0b11);
    QUEUES.set(1);
    INTERRUPTS.set(WHEN_READABLE);
}

/// Takes what came.
pub(crate) fn interrupted() {
    while STATUS.get() & READABLE != 0 {
        if CAME.is_full() {
            // Until something was read: the interrupt would not end.
            return INTERRUPTS.set(0);
        }
        let _ = CAME.try_send(DATA.get());
    }
}
