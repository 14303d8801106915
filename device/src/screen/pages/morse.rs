//! What is being keyed.

use super::super::canvas::Canvas;
use super::super::text::{self, Font};
use super::super::view::Morse;
use super::rows;
use super::words::Words;

pub fn draw(canvas: &mut Canvas<'_>, morse: &Morse<'_>) {
    canvas.text((0, rows::HEAD), Font::Small, "Morse");
    if let Some(wpm) = morse.wpm {
        let speed = Words::of(format_args!("{wpm} wpm"));
        canvas.text_right((Canvas::WIDTH, rows::HEAD), Font::Small, speed.as_str());
    }

    let text = morse.text.trim_start_matches(text::is_blank);
    if text::fits(Font::Large, text, Canvas::WIDTH) {
        canvas.text_centred(50, Font::Large, text);
    } else {
        // The end is what is being written.
        let lines = rows::LINES.saturating_sub(1);
        let wrapped = || text::wrap(Font::Small, text, Canvas::WIDTH);
        let gone = wrapped().count().saturating_sub(lines);
        for (line, text) in wrapped().skip(gone).enumerate() {
            canvas.text((0, rows::baseline(line)), Font::Small, text);
        }
    }
    keyed(canvas, morse.keyed);
}

/// The marks of the letter that is not finished, in the middle at the bottom.
fn keyed(canvas: &mut Canvas<'_>, keyed: &str) {
    let length = |mark: char| match mark {
        '-' => 9,
        _ => 3,
    };
    let width = keyed.chars().fold(0_usize, |width, mark| {
        width.saturating_add(length(mark)).saturating_add(3)
    });
    let mut x = Canvas::WIDTH.saturating_sub(width.saturating_sub(3)) / 2;
    for mark in keyed.chars() {
        canvas.fill((x, 57), (length(mark), 3));
        x = x.saturating_add(length(mark)).saturating_add(3);
    }
}
