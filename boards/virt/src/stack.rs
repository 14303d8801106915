//! How much memory is used: what the linker laid out, and how deep the stack went.
//!
//! The stack grows down towards the data. Between them is a page that the processor
//! refuses to touch, so a stack that is too small ends in a panic, not in broken data.

use core::arch::{asm, global_asm};
use core::ptr::{self, addr_of};

use riscv::register::{Permission, Range, mepc, pmpaddr0, pmpaddr1, pmpcfg0};

/// What unused stack is filled with.
const PAINT: u32 = 0x5ac3_5ac3;
/// The page that nobody may touch, in bytes.
const GUARD: usize = 4096;
/// What [`start`] leaves alone below the stack pointer, in bytes.
const MARGIN: usize = 256;
/// What the processor's state takes on the stack when it is interrupted, in bytes.
const TRAP: usize = 64;

unsafe extern "C" {
    /// Where the data begin.
    static __sdata: u8;
    /// Where they end.
    static __euninit: u8;
    /// Where the stack begins.
    static _stack_start: u8;
}

/// The machine's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Data that is there all the time.
    pub data: usize,
    /// What is left for the stack.
    pub stack: usize,
    /// The most of it that was used since the start.
    pub stack_max: usize,
}

/// How much memory there is and how much was used.
pub fn memory() -> Memory {
    Memory {
        data: addr_of!(__euninit).addr() - addr_of!(__sdata).addr(),
        stack: top() - bottom(),
        stack_max: top() - bottom() - free_min(),
    }
}

/// How much of the stack is free at this place, in bytes.
pub fn free() -> usize {
    pointer().saturating_sub(bottom())
}

/// The least of the stack that was free since the start, in bytes.
pub fn free_min() -> usize {
    let untouched = (bottom()..top()).step_by(4).take_while(|address| {
        // SAFETY: it is memory of the stack, aligned, whether used or not.
        unsafe { ptr::with_exposed_provenance::<u32>(*address).read_volatile() == PAINT }
    });
    4 * untouched.count()
}

/// Guards the stack's end and fills what is not used yet.
pub(crate) fn start() {
    // SAFETY: nothing uses the page of the guard: data end before it, the stack after it.
    unsafe {
        pmpaddr0::write((bottom() - GUARD) >> 2);
        pmpaddr1::write(bottom() >> 2);
        pmpcfg0::set_pmp(1, Range::TOR, Permission::NONE, true);
    }
    let end = pointer().saturating_sub(MARGIN);
    for address in (bottom()..end).step_by(4) {
        // SAFETY: it is stack, aligned, far enough from its used part.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) }
    }
}

/// The lowest address of the stack.
fn bottom() -> usize {
    addr_of!(__euninit).addr() + GUARD
}

/// The address after the highest.
fn top() -> usize {
    addr_of!(_stack_start).addr()
}

/// The stack pointer.
fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: it only reads the register.
    unsafe { asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

// Before the processor's state is put on the stack: if it does not fit, there is no way
// back, and the stack is begun anew to tell about it.
global_asm!(
    ".section .trap.start, \"ax\"",
    ".global _pre_default_start_trap",
    "_pre_default_start_trap:",
    "csrw mscratch, t0",
    "la t0, __euninit + {needed}",
    "bltu sp, t0, 1f",
    "csrr t0, mscratch",
    "j _pre_default_start_trap_ret",
    "1: la sp, _stack_start",
    "j {overflowed}",
    needed = const GUARD + TRAP,
    overflowed = sym overflowed,
);

extern "C" fn overflowed() -> ! {
    panic!("the stack is too small in {:#x}", mepc::read());
}
