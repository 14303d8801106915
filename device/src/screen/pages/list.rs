//! A bar beside what is longer than the page.

use super::super::canvas::Canvas;
use super::rows;

/// How much of the width it takes, with a gap.
pub const WIDTH: usize = 5;

/// The bar at the right edge: which of `total` lines are seen.
pub fn bar(canvas: &mut Canvas<'_>, first: usize, total: usize) {
    let (top, height) = (rows::BODY, rows::LINES.saturating_mul(rows::LINE));
    let x = Canvas::WIDTH.saturating_sub(1);
    for y in (top..top.saturating_add(height)).step_by(3) {
        canvas.fill((x, y), (1, 1));
    }
    let scaled = |lines: usize| {
        lines
            .saturating_mul(height)
            .checked_div(total)
            .unwrap_or(0)
            .min(height)
    };
    let length = scaled(rows::LINES).max(4);
    let at = scaled(first).min(height.saturating_sub(length));
    canvas.fill((x.saturating_sub(1), top.saturating_add(at)), (2, length));
}
