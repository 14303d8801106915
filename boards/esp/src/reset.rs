//! Why the chip started, and resets on purpose.
//!
//! A panic, an ordered reset or a sagging supply leaves a record in memory that outlives a reset;
//! the next start takes it.

use core::fmt::{self, Arguments, Write};
use core::panic::PanicInfo;

use aldis_protocol::ResetReason;
use esp_hal::ram;
use esp_hal::rtc_cntl::{SocResetReason, reset_reason};
use esp_hal::system::{Cpu, software_reset};
use portable_atomic::{AtomicBool, AtomicU32, Ordering};

use crate::console;

/// Marks a record that is whole.
const MAGIC: u32 = 0x414c_4449;
/// Bytes of text in a record.
const TEXT: usize = 64;
const WORDS: usize = TEXT / 4;

/// Magic, sum of what follows, kind, line, length of the text, then the text.
#[ram(unstable(rtc_fast, persistent))]
static RECORD: [AtomicU32; 5 + WORDS] = [const { AtomicU32::new(0) }; 5 + WORDS];

/// Who wrote the record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Panic = 1,
    Order = 2,
    Brownout = 3,
}

/// What the last life left.
struct Record {
    kind: Kind,
    line: u32,
    text: Text,
}

/// Text that is cut where it is too long.
struct Text {
    bytes: [u8; TEXT],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self {
            bytes: [0; TEXT],
            len: 0,
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        // Nothing but printable ASCII was put in, but the memory may have suffered.
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let byte = u8::try_from(char).ok();
            let byte = byte.filter(|byte| (b' '..=b'~').contains(byte));
            let Some(place) = self.bytes.get_mut(self.len) else {
                break;
            };
            *place = byte.unwrap_or(b'?');
            self.len += 1;
        }
        Ok(())
    }
}

/// Says why the chip started, and forgets the record.
pub fn report() -> Option<ResetReason> {
    let soc = reset_reason(Cpu::ProCpu);
    let record = take().filter(|_| is_software(soc));
    let reason = match record.as_ref().map(|record| record.kind) {
        Some(Kind::Panic) => Some(ResetReason::Panic),
        Some(Kind::Brownout) => Some(ResetReason::Brownout),
        Some(Kind::Order) | None => soc.and_then(reason),
    };
    let word = reason.map_or("unknown", ResetReason::as_str);
    match &record {
        Some(Record {
            kind: Kind::Panic,
            line,
            text,
        }) => console::error(format_args!(
            "boot: reset {word} ({}, line {line})",
            text.as_str()
        )),
        Some(Record {
            kind: Kind::Order,
            text,
            ..
        }) => console::info(format_args!("boot: reset {word} ({})", text.as_str())),
        // The device tells the reason alone.
        _ => {}
    }
    reason
}

/// Resets the chip; the next start tells for what.
pub fn order(why: Arguments<'_>) -> ! {
    console::warn(format_args!("boot: resetting ({why})"));
    let mut text = Text::new();
    let _ = text.write_fmt(why);
    leave(Kind::Order, 0, &text);
    console::drain();
    software_reset()
}

/// Resets the chip because its supply sagged; called by the interrupt.
#[cfg(feature = "esp32")]
pub fn brownout() -> ! {
    leave(Kind::Brownout, 0, &Text::new());
    software_reset()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    static AGAIN: AtomicBool = AtomicBool::new(false);

    // A panic while telling of a panic.
    if AGAIN.swap(true, Ordering::Relaxed) {
        software_reset();
    }
    let (file, line) = match info.location() {
        Some(location) => (location.file(), location.line()),
        None => ("?", 0),
    };
    let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let mut text = Text::new();
    let _ = write!(text, "{file}: {}", info.message());
    leave(Kind::Panic, line, &text);
    console::error(format_args!("panic: {file}:{line}: {}", info.message()));
    console::drain();
    software_reset()
}

/// Writes the record. The magic word comes last, so that a half is none.
fn leave(kind: Kind, line: u32, text: &Text) {
    let [magic, sum, body @ ..] = &RECORD;
    magic.store(0, Ordering::SeqCst);
    let words = text.bytes.chunks_exact(4).map(|bytes| match bytes {
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    });
    let head = [kind as u32, line, text.len as u32];
    let mut total = 0;
    for (place, word) in body.iter().zip(head.into_iter().chain(words)) {
        place.store(word, Ordering::SeqCst);
        total = mix(total, word);
    }
    sum.store(total, Ordering::SeqCst);
    magic.store(MAGIC, Ordering::SeqCst);
}

/// Takes the record, if there is a whole one.
fn take() -> Option<Record> {
    let [magic, sum, body @ ..] = &RECORD;
    let whole = magic.load(Ordering::SeqCst) == MAGIC
        && sum.load(Ordering::SeqCst)
            == body
                .iter()
                .fold(0, |total, word| mix(total, word.load(Ordering::SeqCst)));
    magic.store(0, Ordering::SeqCst);
    if !whole {
        return None;
    }
    let [kind, line, len, words @ ..] = body;
    let mut text = Text::new();
    for (bytes, word) in text.bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.load(Ordering::SeqCst).to_le_bytes());
    }
    text.len = usize::try_from(len.load(Ordering::SeqCst)).ok()?;
    let kind = match kind.load(Ordering::SeqCst) {
        1 => Kind::Panic,
        2 => Kind::Order,
        3 => Kind::Brownout,
        _ => return None,
    };
    Some(Record {
        kind,
        line: line.load(Ordering::SeqCst),
        text,
    })
}

fn mix(total: u32, word: u32) -> u32 {
    (total ^ word).wrapping_mul(0x0100_0193).rotate_left(7)
}

fn is_software(reason: Option<SocResetReason>) -> bool {
    reason.and_then(self::reason) == Some(ResetReason::Software)
}

/// The chip's reason in the protocol's words. The chips share their numbers, but
/// not their names.
fn reason(soc: SocResetReason) -> Option<ResetReason> {
    Some(match soc as u32 {
        // Power or the reset button, or a computer over USB.
        0x01 | 0x15 | 0x16 => ResetReason::Power,
        0x03 | 0x0c => ResetReason::Software,
        0x05 => ResetReason::Sleep,
        // Main, real-time clock's and super watchdog, whatever they reset.
        0x07..=0x09 | 0x0b | 0x0d | 0x10..=0x12 => ResetReason::Watchdog,
        // The last two: glitches on clock or power.
        0x0f | 0x13 | 0x17 => ResetReason::Brownout,
        _ => return None,
    })
}
