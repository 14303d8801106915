//! Who is called when a device has something to tell.

use riscv::interrupt::Interrupt;

use crate::register::Register;
use crate::{clock, net, uart, virtio};

/// The interrupt controller.
const CONTROLLER: usize = 0x0c00_0000;
/// The number of the UART's interrupt.
const UART: u32 = 10;

// SAFETY: which of the first 32 interrupts the processor gets.
const ENABLED: Register<u32> = unsafe { Register::at(CONTROLLER + 0x2000) };
// SAFETY: the priority up to which they are held back.
const THRESHOLD: Register<u32> = unsafe { Register::at(CONTROLLER + 0x20_0000) };
// SAFETY: read, the interrupt to serve; written, the one that was served.
const CLAIM: Register<u32> = unsafe { Register::at(CONTROLLER + 0x20_0004) };

/// Lets the timer and the UART interrupt.
pub fn start() {
    ENABLED.set(0);
    THRESHOLD.set(0);
    enable(UART);
    clock::start();
    // SAFETY: this is called outside of critical sections, so none is broken.
    unsafe {
        riscv::interrupt::enable_interrupt(Interrupt::MachineTimer);
        riscv::interrupt::enable_interrupt(Interrupt::MachineExternal);
        riscv::interrupt::enable();
    }
}

/// Lets one of the first 32 devices interrupt.
pub fn enable(interrupt: u32) {
    // SAFETY: each interrupt has its priority in one word; the machine has 96.
    let priority: Register<u32> =
        unsafe { Register::at(CONTROLLER + 4 * (interrupt as usize % 32)) };
    priority.set(1);
    critical_section::with(|_| ENABLED.set(ENABLED.get() | 1 << (interrupt % 32)));
}

#[riscv_rt::core_interrupt(Interrupt::MachineExternal)]
fn device() {
    loop {
        let interrupt = CLAIM.get();
        match interrupt {
            0 => return,
            UART => uart::interrupted(),
            _ => {
                virtio::acknowledge(interrupt);
                net::interrupted();
            }
        }
        CLAIM.set(interrupt);
    }
}
