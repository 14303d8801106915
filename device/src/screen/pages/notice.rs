//! Something that happened.

use super::super::canvas::Canvas;
use super::super::text::{self, Font};
use super::super::view::Notice;
use super::rows;

/// Letters that reach below the line.
const DEEP: &[char] = &[
    'g', 'j', 'p', 'q', 'y', 'ą', 'ę', 'į', 'ų', 'Q', 'Ą', 'Ę', 'Į', 'Ų', ',', ';',
];

pub fn draw(canvas: &mut Canvas<'_>, notice: &Notice<'_>) {
    let wrapped = || text::wrap(Font::Small, notice.text, Canvas::WIDTH);
    let lines = wrapped().count();
    let room = if notice.title.contains(DEEP) { 1 } else { 2 };
    if lines <= room && text::fits(Font::Large, notice.title, Canvas::WIDTH) {
        let (title, first) = match lines {
            0 => (47, 0),
            1 => (38, 59),
            _ => (35, 49),
        };
        canvas.text_centred(title, Font::Large, notice.title);
        for (line, text) in wrapped().enumerate() {
            let baseline = line.saturating_mul(11).saturating_add(first);
            canvas.text_centred(baseline, Font::Small, text);
        }
        return;
    }
    let at = (4, rows::HEAD);
    canvas.text_within(
        at,
        Canvas::WIDTH.saturating_sub(8),
        Font::Small,
        notice.title,
    );
    canvas.invert((0, rows::HEAD.saturating_sub(9)), (Canvas::WIDTH, 11));
    for (line, text) in wrapped().take(rows::LINES).enumerate() {
        canvas.text((0, rows::baseline(line)), Font::Small, text);
    }
}
