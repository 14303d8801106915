//! Texts to choose from.

use super::super::canvas::Canvas;
use super::super::text::Font;
use super::super::view::Presets;
use super::{list, rows};

pub fn draw(canvas: &mut Canvas<'_>, presets: &Presets<'_>) {
    let at = canvas.text((0, rows::HEAD), Font::Small, "Send to ");
    let room = Canvas::WIDTH.saturating_sub(at);
    canvas.text_within((at, rows::HEAD), room, Font::Small, presets.to);

    let total = presets.texts.len();
    if total == 0 {
        canvas.text((0, rows::baseline(1)), Font::Small, "No presets");
        return;
    }
    let selected = presets.selected.min(total.saturating_sub(1));
    // The selected one stands in the middle where it can.
    let first = selected
        .saturating_sub(rows::LINES / 2)
        .min(total.saturating_sub(rows::LINES));
    let mut width = Canvas::WIDTH;
    if total > rows::LINES {
        width = width.saturating_sub(list::WIDTH);
        list::bar(canvas, first, total);
    }
    let seen = presets.texts.iter().enumerate().skip(first);
    for (line, (index, text)) in seen.take(rows::LINES).enumerate() {
        let baseline = rows::baseline(line);
        canvas.text_within((4, baseline), width.saturating_sub(8), Font::Small, text);
        if index == selected {
            let top = baseline.saturating_sub(Font::Small.above());
            canvas.invert((0, top), (width, rows::LINE));
        }
    }
}
