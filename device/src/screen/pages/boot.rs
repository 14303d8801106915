//! The page of a device that starts: who it is, and what it is waiting for.

use super::super::canvas::Canvas;
use super::super::text::{self, Font};
use super::super::view::{Boot, Waiting};
use super::Due;
use super::words::Words;

/// How long the runner at the bottom stands still.
const TICK_MS: u64 = 500;

pub fn draw(canvas: &mut Canvas<'_>, boot: &Boot<'_>, uptime_ms: u64, due: &mut Due) {
    let end = canvas.text((0, 25), Font::Large, "Aldis");
    let room = Canvas::WIDTH.saturating_sub(end.saturating_add(4));
    canvas.text_right_within((Canvas::WIDTH, 25), room, Font::Small, boot.version);

    let end = canvas.text_within((0, 36), Canvas::WIDTH, Font::Small, boot.id);
    if let Some(address) = boot.address {
        let address = Words::of(format_args!("{address}"));
        let left = text::width(Font::Small, address.as_str());
        // Beside a long id there is no room for it.
        if end.saturating_add(left).saturating_add(6) <= Canvas::WIDTH {
            canvas.text_right((Canvas::WIDTH, 36), Font::Small, address.as_str());
        }
    }

    let (what, name) = match boot.waiting {
        Waiting::Wifi(name) => ("Joining Wi-Fi", name),
        Waiting::Address => ("Asking for an address", ""),
        Waiting::Broker(name) => ("Calling broker", name),
        Waiting::Nothing => ("Ready", ""),
    };
    let baseline = if name.is_empty() { 55 } else { 47 };
    canvas.text((0, baseline), Font::Small, what);
    canvas.text_within((0, 60), Canvas::WIDTH, Font::Small, name);
    if boot.waiting != Waiting::Nothing {
        due.every(uptime_ms, TICK_MS);
        let tick = uptime_ms.checked_div(TICK_MS).unwrap_or(0);
        runner(canvas, baseline.saturating_sub(5), tick);
    }
}

/// Three points of which one is large: it is alive.
fn runner(canvas: &mut Canvas<'_>, y: usize, tick: u64) {
    for (place, x) in (0..3_u64).zip([107_usize, 114, 121]) {
        if tick % 3 == place {
            canvas.fill((x, y), (4, 4));
        } else {
            canvas.fill((x.saturating_add(1), y.saturating_add(1)), (2, 2));
        }
    }
}
