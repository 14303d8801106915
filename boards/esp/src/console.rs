//! Lines for a person, on the first serial port or over USB if that is plugged in.

use core::fmt::{Arguments, Write};

use aldis_flash::config::Level;
use esp_println::Printer;
use portable_atomic::{AtomicU8, Ordering};

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Sets how much is said.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Says a line, if lines of this level are wanted.
pub fn line(level: Level, text: Arguments<'_>) {
    if level != Level::Off && level as u8 <= LEVEL.load(Ordering::Relaxed) {
        // The port never fails.
        let _ = Port.write_fmt(text);
        let _ = Port.write_str("\r\n");
    }
}

/// Says a line of level [`Level::Error`].
pub fn error(text: Arguments<'_>) {
    line(Level::Error, text);
}

/// Says a line of level [`Level::Warn`].
pub fn warn(text: Arguments<'_>) {
    line(Level::Warn, text);
}

/// Says a line of level [`Level::Info`].
pub fn info(text: Arguments<'_>) {
    line(Level::Info, text);
}

/// Waits until what was said is out: 128 bytes take 11 ms, and a reset would lose them.
pub fn drain() {
    wait(15_000);
}

/// Waits for so many microseconds, whatever runs or does not run yet.
pub fn wait(us: u32) {
    unsafe extern "C" {
        fn ets_delay_us(us: u32);
    }
    // SAFETY: a function of the ROM, which counts the processor's cycles.
    unsafe { ets_delay_us(us) };
}

/// The port. Interrupts wait for no more than a few bytes of it at a time.
struct Port;

impl Write for Port {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for bytes in text.as_bytes().chunks(8) {
            Printer::write_bytes(bytes);
        }
        Ok(())
    }
}
