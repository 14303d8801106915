//! A board without an operating system: QEMU's `virt` machine, RISC-V with 32 bits.
//!
//! Its memory is as small as a microcontroller's and there is no heap. The network
//! card is a virtio one, the flash is the machine's own, and time comes from its
//! timer, so the processor sleeps while there is nothing to do.
#![no_std]

pub mod clock;
pub mod flash;
pub mod net;
pub mod reset;
pub mod rng;
pub mod sensor;
pub mod stack;
pub mod uart;

mod interrupts;
mod register;
mod virtio;

/// Makes the machine ready. To be called once, first of all and outside of any
/// critical section.
pub fn start() {
    stack::start();
    uart::start();
    interrupts::start();
}
