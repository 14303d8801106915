//! The display, beside the device.

use core::cell::{Cell, RefCell};

use aldis_device::screen::{Frame, Panel, Step};
use aldis_mqtt::link::Clock;
use aldis_mqtt::link::embassy::EmbassyClock;
use embassy_futures::select::select;
use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_hal_async::i2c::I2c;

/// How long a transfer may take: a bus that is held low never ends one.
const TRANSFER: Duration = Duration::from_millis(50);

/// What the device and its display tell each other.
pub(crate) struct Glass<'f> {
    pub frame: &'f RefCell<Frame>,
    /// The frame is another.
    pub changed: Signal<NoopRawMutex, ()>,
    /// The panel shows the frame.
    pub drawn: Signal<NoopRawMutex, ()>,
    /// The display is left alone.
    pub safe: Cell<bool>,
}

impl<'f> Glass<'f> {
    pub const fn new(frame: &'f RefCell<Frame>) -> Self {
        Self {
            frame,
            changed: Signal::new(),
            drawn: Signal::new(),
            safe: Cell::new(false),
        }
    }

    /// Brings the frame to the panel, for ever: one that is absent is looked for each
    /// second.
    pub async fn run<I: I2c>(&self, panel: &mut Panel<I>) {
        loop {
            if self.safe.get() {
                self.changed.wait().await;
                continue;
            }
            let step = panel.step(self.frame, EmbassyClock.now());
            match with_timeout(TRANSFER, step).await {
                // The others first: a bus that answers at once would leave them nothing.
                Ok(Ok(Step::Sent)) => yield_now().await,
                Ok(Ok(Step::Idle(until))) => {
                    self.drawn.signal(());
                    let until = Timer::at(Instant::from_millis(until.as_millis()));
                    select(self.changed.wait(), until).await;
                }
                Ok(Err(_)) | Err(_) => {
                    Timer::after_millis(Panel::<I>::RETRY_MS.into()).await;
                }
            }
        }
    }
}
