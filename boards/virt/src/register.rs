//! Registers of the machine's devices.

use core::marker::PhantomData;
use core::ptr;

/// A register at a fixed address.
pub struct Register<T> {
    address: usize,
    width: PhantomData<T>,
}

impl<T: Copy> Register<T> {
    /// The register at an address.
    ///
    /// # Safety
    ///
    /// There is one of this width, aligned, and nothing that is done to it breaks
    /// what the compiler knows of memory.
    pub const unsafe fn at(address: usize) -> Self {
        Self {
            address,
            width: PhantomData,
        }
    }

    /// What it holds.
    pub fn get(&self) -> T {
        // SAFETY: whoever made it promised that it can be read.
        unsafe { ptr::with_exposed_provenance::<T>(self.address).read_volatile() }
    }

    /// Writes it.
    pub fn set(&self, value: T) {
        // SAFETY: whoever made it promised that it can be written.
        unsafe { ptr::with_exposed_provenance_mut::<T>(self.address).write_volatile(value) }
    }
}
