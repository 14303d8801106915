//! Where the device is, and how it is connected.

use super::super::canvas::Canvas;
use super::super::text::{self, Font};
use super::super::view::{Contact, View, Wifi};
use super::Due;
use super::words::{self, Words};

/// Base lines of its five lines.
const LINES: [usize; 5] = [19, 29, 40, 50, 60];

pub fn draw(canvas: &mut Canvas<'_>, contact: &Contact<'_>, view: &View<'_>, due: &mut Due) {
    let [id, address, broker, signal, waiting] = LINES;
    pair(canvas, id, contact.id, contact.version);
    let ip = contact
        .address
        .map_or(Words::of(format_args!("no address")), |address| {
            Words::of(format_args!("{address}"))
        });
    pair(canvas, address, "Address", ip.as_str());
    pair(canvas, broker, "Broker", contact.broker);
    let dbm = match view.status.wifi {
        Wifi::Joined(dbm) => Words::of(format_args!("{dbm} dBm")),
        Wifi::Lost => Words::of(format_args!("no Wi-Fi")),
        Wifi::Absent => Words::of(format_args!("")),
    };
    let up = words::duration(view.uptime_ms, due);
    let up = Words::of(format_args!("Up {}", up.as_str()));
    pair(canvas, signal, up.as_str(), dbm.as_str());
    let count = Words::of(format_args!("{}", contact.waiting));
    pair(canvas, waiting, "Readings waiting", count.as_str());
}

/// Two texts at the ends of a line. The one that is longer than its half gives way.
fn pair(canvas: &mut Canvas<'_>, baseline: usize, left: &str, right: &str) {
    let half = Canvas::WIDTH / 2;
    let room = |other: &str| {
        let taken = text::width(Font::Small, other).min(half);
        Canvas::WIDTH.saturating_sub(taken.saturating_add(6))
    };
    let (left_room, right_room) = (room(right), room(left));
    canvas.text_within((0, baseline), left_room, Font::Small, left);
    canvas.text_right_within((Canvas::WIDTH, baseline), right_room, Font::Small, right);
}
