//! The pages: a view becomes a picture.

use core::cell::RefCell;

use aldis_mqtt::Instant;

use super::canvas::Canvas;
use super::frame::Frame;
use super::panel::Light;
use super::view::{Page, View};

mod boot;
mod contact;
mod list;
mod message;
mod morse;
mod notice;
mod presets;
mod readings;
mod status;
mod words;

/// Draws views into a frame.
#[derive(Clone, Copy, Debug)]
pub struct Screen<'a> {
    frame: &'a RefCell<Frame>,
    dark_after_ms: Option<u64>,
}

/// Where the picture stands, minute by minute: a way through all nine places of a square
/// and back, one point at a time.
const PLACES: [(usize, usize); 16] = [
    (1, 1),
    (2, 1),
    (2, 2),
    (1, 2),
    (0, 2),
    (0, 1),
    (0, 0),
    (1, 0),
    (2, 0),
    (1, 0),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 2),
    (2, 2),
    (2, 1),
];

impl<'a> Screen<'a> {
    /// After so long without a wake the panel is dim.
    pub const DIM_AFTER_MS: u64 = 60_000;
    /// How long the picture stands in one place.
    pub const SHIFT_MS: u64 = 60_000;

    /// Draws into this frame. The panel is never dark.
    pub const fn new(frame: &'a RefCell<Frame>) -> Self {
        Self {
            frame,
            dark_after_ms: None,
        }
    }

    /// The panel is dark after so long without a wake.
    #[must_use]
    pub const fn dark_after(self, ms: u64) -> Self {
        Self {
            dark_after_ms: Some(ms),
            ..self
        }
    }

    /// Draws a view, and says when its picture is another although nothing happened:
    /// time goes by on it, it scrolls, it moves, its light changes.
    // Not inlined: the frame of the loop that calls it would be so large that it costs code.
    #[inline(never)]
    pub fn draw(&self, view: &View<'_>, now: Instant) -> Instant {
        let mut due = Due::default();
        let mut frame = self.frame.borrow_mut();
        frame.set_light(self.light(view.awake_ms, &mut due));
        due.every(view.uptime_ms, Self::SHIFT_MS);
        let place = place(view.uptime_ms);
        let canvas = &mut Canvas::new(&mut frame, place);
        if !matches!(view.page, Page::Boot(_)) {
            status::draw(canvas, &view.status, &mut due);
        }
        match &view.page {
            Page::Boot(boot) => boot::draw(canvas, boot, view.uptime_ms, &mut due),
            Page::Readings(readings) => readings::draw(canvas, readings),
            Page::Contact(contact) => contact::draw(canvas, contact, view, &mut due),
            Page::Message(message) => message::draw(canvas, message, &mut due),
            Page::Presets(presets) => presets::draw(canvas, presets),
            Page::Notice(notice) => notice::draw(canvas, notice),
            Page::Morse(morse) => morse::draw(canvas, morse),
        }
        now.after(due.in_ms())
    }

    fn light(&self, awake_ms: u64, due: &mut Due) -> Light {
        if let Some(dark_after_ms) = self.dark_after_ms {
            if awake_ms >= dark_after_ms {
                return Light::Off;
            }
            due.within(dark_after_ms.saturating_sub(awake_ms));
        }
        if awake_ms >= Self::DIM_AFTER_MS {
            return Light::Dim;
        }
        due.within(Self::DIM_AFTER_MS.saturating_sub(awake_ms));
        Light::Bright
    }
}

/// Where the picture stands after this uptime.
fn place(uptime_ms: u64) -> (usize, usize) {
    let minute = uptime_ms.checked_div(Screen::SHIFT_MS).unwrap_or(0);
    minute
        .checked_rem(PLACES.len() as u64)
        .and_then(|index| PLACES.get(usize::try_from(index).ok()?).copied())
        .unwrap_or_default()
}

/// When something on the picture changes next.
#[derive(Debug)]
struct Due(u64);

impl Default for Due {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

impl Due {
    /// In so many milliseconds.
    fn within(&mut self, ms: u64) {
        self.0 = self.0.min(ms.max(1));
    }

    /// Whenever what has lasted for `age_ms` is a multiple of `period_ms`.
    fn every(&mut self, age_ms: u64, period_ms: u64) {
        if let Some(past) = age_ms.checked_rem(period_ms) {
            self.within(period_ms.saturating_sub(past));
        }
    }

    fn in_ms(&self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

/// Rows of the canvas that all pages share.
mod rows {
    use super::Canvas;
    use crate::screen::text::Font;

    /// The base line of a page's first line, under the status bar.
    pub const HEAD: usize = 19;
    /// The first row of the body.
    pub const BODY: usize = 23;
    /// From one line of the body to the next: no mark of a letter touches another.
    pub const LINE: usize = Font::Small.above() + Font::Small.below();
    /// How many lines the body has.
    pub const LINES: usize = (Canvas::HEIGHT - BODY) / LINE;

    const FIRST: usize = BODY + Font::Small.above();

    /// The base line of a line of the body.
    pub const fn baseline(line: usize) -> usize {
        line.saturating_mul(LINE).saturating_add(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line one point thick that always stands on a page lights none for long.
    #[test]
    fn the_picture_moves_gently_and_stays_nowhere() {
        for (from, to) in PLACES.iter().zip(PLACES.iter().cycle().skip(1)) {
            let moved = from.0.abs_diff(to.0) + from.1.abs_diff(to.1);
            assert_eq!(moved, 1, "{from:?} to {to:?}");
        }
        for place in 0..=Canvas::SHIFT {
            let columns = PLACES.iter().filter(|(dx, _)| *dx == place).count();
            let rows = PLACES.iter().filter(|(_, dy)| *dy == place).count();
            assert!((4..=6).contains(&columns) && (4..=6).contains(&rows));
        }
    }
}
