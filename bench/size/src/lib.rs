//! The chip that every program is built for: a byte-wide network port, a sensor, a lamp and a
//! clock, all memory-mapped, so that the optimiser can neither foresee what is read nor drop what
//! is written.
//!
//! The programs are built and measured, not run.

#![no_std]

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::task::{Context, Poll, Waker};

/// Bytes in the receive buffer, and bytes in the transmit buffer.
pub const BUFFER: usize = 1024;

/// Length of every payload that a program publishes.
pub const PAYLOAD: usize = 32;

const NETWORK_STATUS: usize = 0x6000_0000;
const NETWORK_DATA: usize = 0x6000_0004;
const SENSOR: usize = 0x6000_1000;
const SETTINGS: usize = 0x6000_2000;
const LAMP: usize = 0x6000_3000;
const CLOCK: usize = 0x6000_4000;
const TIMER: usize = 0x6000_5000;

const READABLE: u32 = 1;
const WRITABLE: u32 = 2;
const CLOSED: u32 = 4;

fn read(register: usize) -> u32 {
    // SAFETY: the chip's registers are always there, aligned, and may be read at any time.
    unsafe { with_exposed_provenance::<u32>(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as in `read`; writing has no effect on memory.
    unsafe { with_exposed_provenance_mut::<u32>(register).write_volatile(value) }
}

/// Milliseconds since the chip started.
pub fn now_ms() -> u32 {
    read(CLOCK)
}

/// The quality of service to use next, 0 to 2: only known when the program runs, so that all
/// three stay reachable.
pub fn qos() -> u8 {
    (read(SETTINGS) % 3) as u8
}

/// A choice that is only known when the program runs, so that both ways stay reachable.
pub fn choice() -> bool {
    read(SETTINGS) & 4 != 0
}

/// Whether it is time to publish a reading.
pub fn reading_due() -> bool {
    read(SENSOR) != 0
}

/// The reading to publish.
pub fn reading() -> [u8; PAYLOAD] {
    core::array::from_fn(|_| read(SENSOR) as u8)
}

/// Uses up a received message.
#[inline(never)]
pub fn obey(topic: &[u8], payload: &[u8]) {
    for &byte in topic.iter().chain(payload) {
        write(LAMP, byte.into());
    }
}

/// Bytes that have arrived, as many as fit: 0 when there are none, `None` when the peer has
/// closed the connection.
#[inline(never)]
pub fn receive(buffer: &mut [u8]) -> Option<usize> {
    let mut received = 0;
    for byte in buffer {
        let status = read(NETWORK_STATUS);
        if status & READABLE == 0 {
            return (received > 0 || status & CLOSED == 0).then_some(received);
        }
        *byte = read(NETWORK_DATA) as u8;
        received += 1;
    }
    Some(received)
}

/// Takes as many of the bytes as the port has room for; `None` when the connection is closed.
#[inline(never)]
pub fn transmit(bytes: &[u8]) -> Option<usize> {
    let mut sent = 0;
    for &byte in bytes {
        let status = read(NETWORK_STATUS);
        if status & CLOSED != 0 {
            return None;
        }
        if status & WRITABLE == 0 {
            break;
        }
        write(NETWORK_DATA, byte.into());
        sent += 1;
    }
    Some(sent)
}

/// Sets one of the chip's timers.
pub fn start_timer(timer: u32, after_ms: u64) {
    write(TIMER, timer);
    write(TIMER, after_ms as u32);
}

/// Stops one of the chip's timers.
pub fn stop_timer(timer: u32) {
    write(TIMER, timer);
    write(TIMER, u32::MAX);
}

/// Which of the chip's timers has fired, if any.
pub fn fired_timer() -> Option<u32> {
    read(TIMER).checked_sub(1)
}

/// A heap for clients that need one. It only ever grows, which is as little code as a heap can
/// be: these programs are measured, not run.
#[derive(Debug)]
pub struct Heap {
    used: core::sync::atomic::AtomicUsize,
    memory: core::cell::UnsafeCell<[u64; HEAP / 8]>,
}

const HEAP: usize = 64 * 1024;

impl Heap {
    /// An empty heap.
    pub const fn new() -> Self {
        Self {
            used: core::sync::atomic::AtomicUsize::new(0),
            memory: core::cell::UnsafeCell::new([0; HEAP / 8]),
        }
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the programs have a single thread and no interrupts.
unsafe impl Sync for Heap {}

// SAFETY: every block lies within `memory`, after all blocks given out before.
unsafe impl core::alloc::GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: core::alloc::Layout) -> *mut u8 {
        use core::sync::atomic::Ordering::Relaxed;
        let base = self.memory.get().cast::<u8>();
        let start = self.used.load(Relaxed).next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if end <= HEAP && layout.align() <= 8 => {
                self.used.store(end, Relaxed);
                base.wrapping_add(start)
            }
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: core::alloc::Layout) {}
}

/// The connection as an asynchronous stream of bytes.
#[derive(Debug)]
pub struct Port;

/// The connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl core::fmt::Display for Closed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("closed")
    }
}

impl core::error::Error for Closed {}

impl embedded_io_async::Error for Closed {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        embedded_io_async::ErrorKind::ConnectionReset
    }
}

impl embedded_io_async::ErrorType for Port {
    type Error = Closed;
}

impl embedded_io_async::Read for Port {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Closed> {
        poll_fn(|_| match receive(buffer) {
            None => Poll::Ready(Err(Closed)),
            Some(0) if !buffer.is_empty() => Poll::Pending,
            Some(received) => Poll::Ready(Ok(received)),
        })
        .await
    }
}

impl embedded_io_async::Write for Port {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Closed> {
        poll_fn(|_| match transmit(bytes) {
            None => Poll::Ready(Err(Closed)),
            Some(0) if !bytes.is_empty() => Poll::Pending,
            Some(sent) => Poll::Ready(Ok(sent)),
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        Ok(())
    }
}

/// Runs a future to its end by asking it again and again.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// The size of what a function returns, for functions whose return type has no name: the futures
/// of `async fn`s.
pub const fn returned_size<A, R, F: FnOnce(A) -> R>(_function: &F) -> usize {
    size_of::<R>()
}

/// Notes in the program's file how many bytes its client and its future take, beside the buffers.
#[macro_export]
macro_rules! state {
    (client: $client:expr, future: $future:expr $(,)?) => {
        #[used]
        #[unsafe(link_section = ".bench.state")]
        static STATE: [u32; 2] = [$client as u32, $future as u32];
    };
}

/// Defines the program's first instruction: sets up the stack and never returns from `$main`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        core::arch::global_asm!(
            ".section .text.start, \"ax\"",
            ".global _start",
            "_start:",
            "la sp, _stack_top",
            "j {main}",
            main = sym enter,
        );

        extern "C" fn enter() -> ! {
            loop {
                $main();
            }
        }
    };
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        write(LAMP, u32::MAX);
    }
}
