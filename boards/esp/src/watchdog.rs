//! The watchdog of the real-time clock: resets the whole chip when nobody feeds it.

#[cfg(feature = "esp32c6")]
use esp_hal::peripherals::LP_AON as CALIBRATION;
#[cfg(not(feature = "esp32c6"))]
use esp_hal::peripherals::LPWR as CALIBRATION;
use esp_hal::peripherals::RTC_TIMER;
use esp_hal::rtc_cntl::{Rtc, Rwdt, RwdtStage, RwdtStageAction};
use esp_hal::time::Duration;

/// After how long without food it bites.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The watchdog.
pub struct Watchdog {
    rwdt: Rwdt,
}

impl Watchdog {
    /// Starts it.
    pub fn start(timer: RTC_TIMER<'static>) -> Self {
        calibrated();
        let mut rwdt = Rtc::new(timer).rwdt;
        rwdt.set_timeout(RwdtStage::Stage0, PATIENCE);
        rwdt.enable();
        rwdt.set_stage_action(RwdtStage::Stage0, RwdtStageAction::ResetSystem);
        rwdt.feed();
        Self { rwdt }
    }

    /// Feeds it.
    pub fn feed(&mut self) {
        self.rwdt.feed();
    }
}

/// Microseconds of a cycle of the slow clock, with 19 binary places: nominal, and what
/// a chip can have.
const NOMINAL: u32 = ((1_000_000_u64 << 19) / 150_000) as u32;
const PLAUSIBLE: core::ops::RangeInclusive<u32> = NOMINAL / 3..=NOMINAL * 6;

/// esp-hal measures the slow clock, and keeps 0 where it could not. The watchdog's
/// time is divided by that: a panic at each start, or a time that is far too short.
fn calibrated() {
    let period = CALIBRATION::regs().store1();
    if !PLAUSIBLE.contains(&period.read().bits()) {
        // SAFETY: a word that the hardware does nothing with.
        period.write(|w| unsafe { w.bits(NOMINAL) });
    }
}
