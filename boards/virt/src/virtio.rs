//! virtio devices, and the memory that they share with us.

use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};

use critical_section::Mutex;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::register::Register;

/// Where the first of the slots is.
const SLOTS: usize = 0x1000_1000;
/// From each slot to the next.
const STRIDE: usize = 0x1000;
/// How many there are.
const COUNT: u32 = 8;
/// The size of what is in each.
const SIZE: usize = 0x200;
/// What each begins with.
const MAGIC: u32 = 0x7472_6976;

/// Which slots are in use, a bit for each.
static TAKEN: Mutex<Cell<u8>> = Mutex::new(Cell::new(0));

/// A slot in use. Dropped, another may use it.
pub struct Slot(u32);

impl Slot {
    /// The number of its interrupt.
    pub fn interrupt(&self) -> u32 {
        self.0 + 1
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        critical_section::with(|cs| {
            let taken = TAKEN.borrow(cs);
            taken.set(taken.get() & !(1 << self.0));
        });
    }
}

/// The first device of this kind that is not in use.
pub fn find(kind: DeviceType) -> Option<(MmioTransport<'static>, Slot)> {
    (0..COUNT).find_map(|slot| {
        let magic = register(slot, 0).get();
        let device = DeviceType::try_from(register(slot, 8).get());
        if magic != MAGIC || device != Ok(kind) {
            return None;
        }
        let slot = take(slot)?;
        let header = ptr::with_exposed_provenance_mut::<VirtIOHeader>(address(slot.0));
        // SAFETY: there is a device in this slot, and nobody else has it: it was just taken.
        let transport = unsafe { MmioTransport::new(NonNull::new(header)?, SIZE) };
        Some((transport.ok()?, slot))
    })
}

/// Ends the interrupt of the slot with this number.
pub fn acknowledge(interrupt: u32) {
    let slot = interrupt.wrapping_sub(1);
    if slot < COUNT {
        register(slot, 0x64).set(register(slot, 0x60).get());
    }
}

fn take(slot: u32) -> Option<Slot> {
    critical_section::with(|cs| {
        let taken = TAKEN.borrow(cs);
        let free = taken.get() & 1 << slot == 0;
        taken.set(taken.get() | 1 << slot);
        free.then_some(Slot(slot))
    })
}

fn address(slot: u32) -> usize {
    SLOTS + slot as usize * STRIDE
}

fn register(slot: u32, offset: usize) -> Register<u32> {
    // SAFETY: each slot has registers, whether there is a device in it or not.
    unsafe { Register::at(address(slot) + offset) }
}

/// Pages of [`Pool`]: two for each queue; the network card has two, the random
/// number generator one.
const PAGES: usize = 6;

/// The memory that is shared with devices.
pub struct Pool;

#[repr(C, align(4096))]
struct Pages(UnsafeCell<[[u8; PAGE_SIZE]; PAGES]>);

// SAFETY: each page is used only by whom `dma_alloc` gave it to.
unsafe impl Sync for Pages {}

// It is last of all data, so that the stack's guard after it begins with a page.
#[unsafe(link_section = ".uninit.shared")]
static MEMORY: Pages = Pages(UnsafeCell::new([[0; PAGE_SIZE]; PAGES]));

/// Which pages are in use, a bit for each.
static USED: Mutex<Cell<u8>> = Mutex::new(Cell::new(0));

/// Bits for so many pages from one on.
fn bits(first: usize, count: usize) -> u8 {
    ((1 << count) - 1) << first
}

// SAFETY: pages are aligned, zeroed, and given to one at a time; addresses are the
// same for processor and devices.
unsafe impl Hal for Pool {
    fn dma_alloc(count: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = critical_section::with(|cs| {
            let used = USED.borrow(cs);
            let first = (0..(PAGES + 1).saturating_sub(count))
                .find(|first| used.get() & bits(*first, count) == 0)?;
            used.set(used.get() | bits(first, count));
            Some(first)
        });
        let Some(first) = first else {
            return (0, NonNull::dangling());
        };
        let start = MEMORY.0.get().cast::<u8>().wrapping_add(first * PAGE_SIZE);
        // SAFETY: so many pages from there on were just taken, and nobody else has them.
        unsafe { start.write_bytes(0, count * PAGE_SIZE) };
        match NonNull::new(start) {
            Some(virt) => (start.expose_provenance() as PhysAddr, virt),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, start: NonNull<u8>, count: usize) -> i32 {
        let first = (start.addr().get() - MEMORY.0.get().addr()) / PAGE_SIZE;
        critical_section::with(|cs| {
            let used = USED.borrow(cs);
            used.set(used.get() & !bits(first, count));
        });
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, _: usize) -> NonNull<u8> {
        // Only the PCI transport asks, which is not used.
        NonNull::new(ptr::with_exposed_provenance_mut(physical as usize))
            .unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
