//! The watchdog of the real-time clock: resets the whole chip when nobody feeds it.

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
