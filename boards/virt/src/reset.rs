//! Restarting, and why the machine was restarted.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::ptr::{addr_of, addr_of_mut};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use aldis_protocol::ResetReason;
use riscv::register::{mcause, mepc, mtval};

use crate::register::Register;
use crate::uart;

// SAFETY: the test device, which ends QEMU or restarts the machine.
const TEST: Register<u32> = unsafe { Register::at(0x0010_0000) };

const POWER_OFF: u32 = 0x5555;
const RESTART: u32 = 0x7777;
const FAIL: u32 = 0x3333;

/// Says that the record is ours and whole, together with the reason's complement.
const MARK: u32 = 0x616c_6469;

unsafe extern "C" {
    /// Memory that a restart leaves as it is: the mark, the reason, its complement.
    static mut _kept: [u32; 4];
}

/// The reason as it was found, once it was looked for.
static FOUND: AtomicU32 = AtomicU32::new(0);

/// Why the machine started. The first call reads what was kept and forgets it, so a
/// restart from outside counts as [`ResetReason::Power`].
pub fn reason() -> ResetReason {
    let mut found = FOUND.load(Ordering::Relaxed);
    if found == 0 {
        found = recorded().unwrap_or(number(ResetReason::Power));
        FOUND.store(found, Ordering::Relaxed);
        record(0);
    }
    let known = ResetReason::ALL
        .iter()
        .find(|reason| number(**reason) == found);
    known.copied().unwrap_or(ResetReason::Power)
}

/// Restarts the machine, and keeps why.
pub fn restart(reason: ResetReason) -> ! {
    record(number(reason));
    end(RESTART)
}

/// Switches the machine off: QEMU ends with success.
pub fn power_off() -> ! {
    end(POWER_OFF)
}

/// Switches the machine off: QEMU ends with this exit code.
pub fn fail(code: u8) -> ! {
    end(u32::from(code) << 16 | FAIL)
}

fn end(how: u32) -> ! {
    TEST.set(how);
    // QEMU may take a moment, in which nothing is to happen any more.
    riscv::interrupt::disable();
    loop {
        riscv::asm::wfi();
    }
}

fn number(reason: ResetReason) -> u32 {
    1 + reason as u32
}

fn recorded() -> Option<u32> {
    // SAFETY: the linker script has these words, and only this module uses them.
    let [mark, reason, complement, _] = unsafe { addr_of!(_kept).read_volatile() };
    (mark == MARK && reason == !complement && reason != 0).then_some(reason)
}

fn record(reason: u32) {
    // SAFETY: the linker script has these words, and only this module uses them.
    unsafe { addr_of_mut!(_kept).write_volatile([MARK, reason, !reason, 0]) }
}

/// Text on one line.
struct OneLine;

impl Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            uart::write(if byte == b'\n' { b' ' } else { byte });
        }
        Ok(())
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    static AGAIN: AtomicBool = AtomicBool::new(false);
    riscv::interrupt::disable();
    if !AGAIN.swap(true, Ordering::Relaxed) {
        let _ = match info.location() {
            Some(place) => write!(
                OneLine,
                "panic: {}:{}: {}",
                place.file(),
                place.line(),
                info.message()
            ),
            None => write!(OneLine, "panic: {}", info.message()),
        };
        uart::write(b'\n');
    }
    restart(ResetReason::Panic)
}

/// The processor could not go on.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception() -> ! {
    panic!(
        "exception {} in {:#x}, {:#x}",
        mcause::read().code(),
        mepc::read(),
        mtval::read()
    );
}

/// An interrupt came that nobody asked for.
#[unsafe(export_name = "DefaultHandler")]
extern "C" fn unexpected() -> ! {
    panic!("interrupt {}", mcause::read().code());
}
