//! A message: who, when, and what.

use super::super::canvas::{Bitmap, Canvas};
use super::super::text::{self, Font};
use super::super::view::Message;
use super::words::{self, Words};
use super::{Due, list, rows};

/// How long the first lines stand, each one after them, and the last ones.
const FIRST_MS: u64 = 4_000;
const LINE_MS: u64 = 2_000;
const LAST_MS: u64 = 4_000;

/// Not read yet, and read.
const UNREAD: Bitmap = Bitmap {
    width: 7,
    rows: &[
        0b0011100, 0b0111110, 0b1111111, 0b1111111, 0b1111111, 0b0111110, 0b0011100,
    ],
};
const READ: Bitmap = Bitmap {
    width: 7,
    rows: &[
        0b0000000, 0b0000001, 0b0000010, 0b1000100, 0b0101000, 0b0010000, 0b0000000,
    ],
};
/// High priority.
const HIGH: Bitmap = Bitmap {
    width: 2,
    rows: &[0b11, 0b11, 0b11, 0b11, 0b11, 0b00, 0b11, 0b11],
};

pub fn draw(canvas: &mut Canvas<'_>, message: &Message<'_>, due: &mut Due) {
    head(canvas, message, due);
    if message.text.trim().is_empty() {
        canvas.text_centred(rows::baseline(1), Font::Small, "(no text)");
        return;
    }
    if large(canvas, message.text) {
        return;
    }
    let full = Canvas::WIDTH;
    if text::wrap(Font::Small, message.text, full)
        .nth(rows::LINES)
        .is_none()
    {
        for (line, text) in text::wrap(Font::Small, message.text, full).enumerate() {
            canvas.text((0, rows::baseline(line)), Font::Small, text);
        }
        return;
    }
    let width = full.saturating_sub(list::WIDTH);
    let total = text::wrap(Font::Small, message.text, width).count();
    let first = scrolled(message.shown_ms, total.saturating_sub(rows::LINES), due);
    let seen = text::wrap(Font::Small, message.text, width)
        .skip(first)
        .take(rows::LINES);
    for (line, text) in seen.enumerate() {
        canvas.text((0, rows::baseline(line)), Font::Small, text);
    }
    list::bar(canvas, first, total);
}

/// The line above the text.
fn head(canvas: &mut Canvas<'_>, message: &Message<'_>, due: &mut Due) {
    let sign = if message.read { &READ } else { &UNREAD };
    let top = rows::HEAD.saturating_sub(8);
    canvas.bitmap((1, top.saturating_add(1)), sign, 1);
    let mut left = 11;
    if message.high {
        canvas.bitmap((left, top), &HIGH, 1);
        left = left.saturating_add(5);
    }
    let age = words::age(message.age_ms, due);
    let right = Words::of(format_args!(
        "{}   {}/{}",
        age.as_str(),
        message.number,
        message.count
    ));
    let margin = Canvas::WIDTH.saturating_sub(1);
    canvas.text_right((margin, rows::HEAD), Font::Small, right.as_str());
    let room = margin
        .saturating_sub(left)
        .saturating_sub(text::width(Font::Small, right.as_str()).saturating_add(4));
    let from = if message.from.is_empty() {
        "Message"
    } else {
        message.from
    };
    canvas.text_within((left, rows::HEAD), room, Font::Small, from);
    if message.high {
        canvas.invert((0, top.saturating_sub(1)), (Canvas::WIDTH, 11));
    }
}

/// Draws a text that fits on the page in large letters; says whether it does.
fn large(canvas: &mut Canvas<'_>, message: &str) -> bool {
    let text = message.trim_matches(text::is_blank);
    let fits =
        !text.is_empty() && !text.contains('\n') && text::fits(Font::Large, text, Canvas::WIDTH);
    if fits {
        canvas.text_centred(
            Canvas::HEIGHT.saturating_sub(Font::Large.below().saturating_add(1)),
            Font::Large,
            text,
        );
    }
    fits
}

/// By how many lines a text is scrolled that has `beyond` more than the page.
fn scrolled(shown_ms: u64, beyond: usize, due: &mut Due) -> usize {
    let steps = u64::try_from(beyond).unwrap_or(u64::MAX);
    let rolling = steps.saturating_sub(1).saturating_mul(LINE_MS);
    let period = FIRST_MS.saturating_add(rolling).saturating_add(LAST_MS);
    let at = shown_ms.checked_rem(period).unwrap_or(0);
    let Some(since) = at.checked_sub(FIRST_MS) else {
        due.within(FIRST_MS.saturating_sub(at));
        return 0;
    };
    if since >= rolling {
        due.within(period.saturating_sub(at));
        return beyond;
    }
    due.every(since, LINE_MS);
    since
        .checked_div(LINE_MS)
        .and_then(|lines| usize::try_from(lines).ok())
        .unwrap_or(0)
        .saturating_add(1)
}
