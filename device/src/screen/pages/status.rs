//! The bar on top: how contact is, the lamp, what is unread.

use aldis_protocol::Lamp;

use super::super::canvas::{Bitmap, Canvas};
use super::super::text::{self, Font};
use super::super::view::{Status, Wifi};
use super::{Due, words};

/// The base line of what is written here.
const BASELINE: usize = 8;

/// What stands for the broker: something goes there, something comes back.
const BROKER: Bitmap = Bitmap {
    width: 9,
    rows: &[
        0b001000100,
        0b011100100,
        0b111110100,
        0b001000100,
        0b001000100,
        0b001011111,
        0b001001110,
        0b001000100,
    ],
};

/// Before how long ago something was delivered.
const DELIVERED: Bitmap = Bitmap {
    width: 7,
    rows: &[0b0000001, 0b0000010, 0b1000100, 0b0101000, 0b0010000],
};

const LIT: Bitmap = Bitmap {
    width: 9,
    rows: &[
        0b100010001,
        0b010000010,
        0b000111000,
        0b001111100,
        0b101111101,
        0b001111100,
        0b010111010,
        0b100010001,
    ],
};

const DARK: Bitmap = Bitmap {
    width: 9,
    rows: &[
        0b000000000,
        0b000000000,
        0b000111000,
        0b001000100,
        0b001000100,
        0b001000100,
        0b000111000,
        0b000000000,
    ],
};

const ENVELOPE: Bitmap = Bitmap {
    width: 11,
    rows: &[
        0b11111111111,
        0b11000000011,
        0b10100000101,
        0b10010001001,
        0b10001010001,
        0b10000100001,
        0b10000000001,
        0b11111111111,
    ],
};

/// What says that there is none.
const CROSS: Bitmap = Bitmap {
    width: 5,
    rows: &[0b10001, 0b01010, 0b00100, 0b01010, 0b10001],
};

pub fn draw(canvas: &mut Canvas<'_>, status: &Status, due: &mut Due) {
    let mut x = 0_usize;
    if status.wifi != Wifi::Absent {
        wifi(canvas, x, status.wifi);
        x = x.saturating_add(17);
    }
    canvas.bitmap((x, 0), &BROKER, 1);
    if !status.broker {
        canvas.bitmap((x.saturating_add(11), 0), &CROSS, 1);
    }
    x = x.saturating_add(19);
    if let Some(ms) = status.delivered_ms {
        canvas.bitmap((x, 2), &DELIVERED, 1);
        x = x.saturating_add(9);
        canvas.text((x, BASELINE), Font::Small, words::age(ms, due).as_str());
    }

    let mut right = Canvas::WIDTH;
    if status.unread > 0 {
        let count = words::Words::of(format_args!("{}", status.unread.min(999)));
        canvas.text_right((right, BASELINE), Font::Small, count.as_str());
        right = right.saturating_sub(text::width(Font::Small, count.as_str()));
        right = right.saturating_sub(ENVELOPE.width.saturating_add(2));
        canvas.bitmap((right, 0), &ENVELOPE, 1);
        right = right.saturating_sub(6);
    }
    if let Some(lamp) = status.lamp {
        right = right.saturating_sub(LIT.width);
        let sign = match lamp {
            Lamp::On => &LIT,
            Lamp::Off => &DARK,
        };
        canvas.bitmap((right, 0), sign, 1);
    }
}

/// Four bars; what the signal does not reach is a point on the ground.
fn wifi(canvas: &mut Canvas<'_>, x: usize, wifi: Wifi) {
    let bars = match wifi {
        Wifi::Joined(-55..) => 4,
        Wifi::Joined(-65..-55) => 3,
        Wifi::Joined(-75..-65) => 2,
        Wifi::Joined(_) => 1,
        Wifi::Lost | Wifi::Absent => 0,
    };
    for bar in 0..4_usize {
        let height = if bar < bars {
            bar.saturating_add(1).saturating_mul(2)
        } else {
            1
        };
        let at = (
            x.saturating_add(bar.saturating_mul(3)),
            BASELINE.saturating_sub(height),
        );
        canvas.fill(at, (2, height));
    }
    if wifi == Wifi::Lost {
        canvas.bitmap((x.saturating_add(3), 0), &CROSS, 1);
    }
}
