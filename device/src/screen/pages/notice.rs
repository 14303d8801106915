//! Something that happened.

use super::super::canvas::Canvas;
use super::super::text::{self, Font};
use super::super::view::Notice;
use super::rows;

pub fn draw(canvas: &mut Canvas<'_>, notice: &Notice<'_>) {
    let lines = text::wrap(Font::Small, notice.text, Canvas::WIDTH).count();
    if lines <= 1 && text::width(Font::Large, notice.title) <= Canvas::WIDTH {
        let baseline = if lines == 0 { 47 } else { 38 };
        canvas.text_centred(baseline, Font::Large, notice.title);
        let text = text::wrap(Font::Small, notice.text, Canvas::WIDTH)
            .next()
            .unwrap_or_default();
        canvas.text_centred(59, Font::Small, text);
        return;
    }
    canvas.text_within((0, rows::HEAD), Canvas::WIDTH, Font::Small, notice.title);
    for (line, text) in text::wrap(Font::Small, notice.text, Canvas::WIDTH)
        .take(rows::LINES)
        .enumerate()
    {
        let baseline = rows::baseline(line);
        canvas.text((0, baseline), Font::Small, text);
    }
}
