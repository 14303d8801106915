//! embassy's clock: microseconds from the machine's timer, which also wakes the
//! processor and watches over it.

use core::cell::RefCell;
use core::task::Waker;

use aldis_protocol::ResetReason;
use embassy_sync::blocking_mutex::CriticalSectionMutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use riscv::interrupt::Interrupt;

use crate::register::Register;
use crate::reset;

// SAFETY: the compare register of the machine's first processor, low half.
const COMPARE_LOW: Register<u32> = unsafe { Register::at(0x0200_4000) };
// SAFETY: its high half.
const COMPARE_HIGH: Register<u32> = unsafe { Register::at(0x0200_4004) };
// SAFETY: the counter, low half.
const COUNTER_LOW: Register<u32> = unsafe { Register::at(0x0200_bff8) };
// SAFETY: its high half.
const COUNTER_HIGH: Register<u32> = unsafe { Register::at(0x0200_bffc) };

/// Counts in a tick: the counter runs at 10 MHz.
const COUNTS: u64 = 10_000_000 / embassy_time_driver::TICK_HZ;

struct Clock {
    alarms: CriticalSectionMutex<RefCell<Alarms>>,
}

struct Alarms {
    queue: Queue,
    /// The tick at which the machine is restarted.
    watchdog: u64,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    alarms: CriticalSectionMutex::new(RefCell::new(Alarms {
        queue: Queue::new(),
        watchdog: u64::MAX,
    })),
});

impl Driver for Clock {
    fn now(&self) -> u64 {
        counter() / COUNTS
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        self.change(|alarms| {
            alarms.queue.schedule_wake(at, waker);
        });
    }
}

impl Clock {
    /// Changes the alarms, wakes what is due, and sets the timer to the next of them.
    fn change(&self, change: impl FnOnce(&mut Alarms)) {
        self.alarms.lock(|alarms| {
            let mut alarms = alarms.borrow_mut();
            change(&mut alarms);
            let next = alarms.queue.next_expiration(self.now());
            let next = next.min(alarms.watchdog).saturating_mul(COUNTS);
            // In between it must not seem to be due.
            COMPARE_HIGH.set(u32::MAX);
            COMPARE_LOW.set(next as u32);
            COMPARE_HIGH.set((next >> 32) as u32);
        });
    }
}

/// How often the counter counted since the machine was started.
pub fn counter() -> u64 {
    loop {
        let high = COUNTER_HIGH.get();
        let low = COUNTER_LOW.get();
        if COUNTER_HIGH.get() == high {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// Restarts the machine unless this is called again within so much time, with
/// [`ResetReason::Watchdog`]. With nothing, it is not watched any longer.
pub fn watchdog(within: Option<embassy_time::Duration>) {
    let until = within.map_or(u64::MAX, |time| CLOCK.now().saturating_add(time.as_ticks()));
    CLOCK.change(|alarms| alarms.watchdog = until);
}

/// Begins to wake for alarms.
pub(crate) fn start() {
    CLOCK.change(|_| {});
}

#[riscv_rt::core_interrupt(Interrupt::MachineTimer)]
fn due() {
    let watchdog = CLOCK.alarms.lock(|alarms| alarms.borrow().watchdog);
    if CLOCK.now() >= watchdog {
        reset::restart(ResetReason::Watchdog);
    }
    CLOCK.change(|_| {});
}
