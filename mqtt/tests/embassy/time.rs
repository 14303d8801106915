//! embassy's clock as virtual time, and an executor that moves it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// Each test has a thread, each thread its time.
struct VirtualTime;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    static SLEEPERS: RefCell<Vec<(u64, Waker)>> = const { RefCell::new(Vec::new()) };
}

impl embassy_time_driver::Driver for VirtualTime {
    fn now(&self) -> u64 {
        NOW.get()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        SLEEPERS.with_borrow_mut(|sleepers| {
            let known = |(of, sleeper): &(u64, Waker)| *of == at && sleeper.will_wake(waker);
            if !sleepers.iter().any(known) {
                sleepers.push((at, waker.clone()));
            }
        });
    }
}

embassy_time_driver::time_driver_impl!(static DRIVER: VirtualTime = VirtualTime);

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Milliseconds since the start.
pub fn now() -> u64 {
    embassy_time::Instant::now().as_millis()
}

/// Something that runs beside the test.
pub type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Runs tasks from the beginning of time until the first has ended. Where nothing
/// moves, time does. Fails after two virtual days.
pub fn run(tasks: Vec<Task<'_>>) {
    SLEEPERS.take();
    NOW.set(0);
    let woken = |task| {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        (task, Waker::from(flag.clone()), flag)
    };
    let mut tasks: Vec<_> = tasks.into_iter().map(woken).collect();
    loop {
        let mut moved = false;
        for (at, (task, waker, flag)) in tasks.iter_mut().enumerate() {
            if flag.0.swap(false, Ordering::Relaxed) {
                moved = true;
                let done = task.as_mut().poll(&mut Context::from_waker(waker));
                if done.is_ready() {
                    assert_eq!(at, 0, "the rest never ends");
                    return;
                }
            }
        }
        // Computing takes time too.
        let mut present = NOW.get() + 1;
        SLEEPERS.with_borrow_mut(|sleepers| {
            if !moved {
                let next = sleepers.iter().map(|(at, _)| *at).min();
                present = present.max(next.expect("everything waits for ever"));
            }
            sleepers.retain(|(at, waker)| {
                if *at <= present {
                    waker.wake_by_ref();
                }
                *at > present
            });
        });
        NOW.set(present);
        assert!(now() < 172_800_000, "it takes too long");
    }
}
