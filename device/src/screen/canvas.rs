//! Where pages draw: the part of the panel that no shift pushes over an edge.

use core::convert::Infallible;

use embedded_graphics_core::{
    Pixel,
    draw_target::DrawTarget,
    geometry::{OriginDimensions, Point, Size},
    pixelcolor::BinaryColor,
};

use super::frame::{Frame, HEIGHT, WIDTH};
use super::text::{self, Font};

/// A small picture: rows from the top, the leftmost point in the highest bit.
pub struct Bitmap {
    pub width: usize,
    pub rows: &'static [u16],
}

/// A frame, drawn upon with an offset.
pub struct Canvas<'a> {
    frame: &'a mut Frame,
    dx: usize,
    dy: usize,
}

impl<'a> Canvas<'a> {
    /// By how many points the picture can be moved.
    pub const SHIFT: usize = 2;
    pub const WIDTH: usize = WIDTH - Self::SHIFT;
    pub const HEIGHT: usize = HEIGHT - Self::SHIFT;

    /// The frame, erased.
    pub const fn new(frame: &'a mut Frame, (dx, dy): (usize, usize)) -> Self {
        frame.erase();
        Self { frame, dx, dy }
    }

    fn set(&mut self, x: usize, y: usize, on: bool) {
        if x < Self::WIDTH && y < Self::HEIGHT {
            let (x, y) = (x.saturating_add(self.dx), y.saturating_add(self.dy));
            self.frame.set(x, y, on);
        }
    }

    fn each(
        &mut self,
        (x, y): (usize, usize),
        (width, height): (usize, usize),
        change: impl Fn(u8, u8) -> u8,
    ) {
        let right = x.saturating_add(width).min(Self::WIDTH);
        let bottom = y.saturating_add(height).min(Self::HEIGHT);
        self.frame.each(
            x.saturating_add(self.dx)..right.saturating_add(self.dx),
            y.saturating_add(self.dy)..bottom.saturating_add(self.dy),
            change,
        );
    }

    /// Lights a rectangle.
    pub fn fill(&mut self, at: (usize, usize), size: (usize, usize)) {
        self.each(at, size, |column, bits| column | bits);
    }

    /// Exchanges lit and dark in a rectangle.
    pub fn invert(&mut self, at: (usize, usize), size: (usize, usize)) {
        self.each(at, size, |column, bits| column ^ bits);
    }

    /// Lights the points of a small picture, each as a square of `scale` points.
    pub fn bitmap(&mut self, (x, y): (usize, usize), bitmap: &Bitmap, scale: usize) {
        let top = 1_u16 << 15 >> 16_usize.saturating_sub(bitmap.width);
        for (row, bits) in bitmap.rows.iter().enumerate() {
            for column in 0..bitmap.width {
                if bits & (top >> column) != 0 {
                    let at = (
                        x.saturating_add(column.saturating_mul(scale)),
                        y.saturating_add(row.saturating_mul(scale)),
                    );
                    self.fill(at, (scale, scale));
                }
            }
        }
    }

    /// Draws a line of text from `x` on, upon the row `baseline`. Says where it ends.
    pub fn text(&mut self, (x, baseline): (usize, usize), font: Font, text: &str) -> usize {
        text::draw(self, (x, baseline), font, text)
    }

    /// Draws a line of text that ends before `right`.
    pub fn text_right(&mut self, (right, baseline): (usize, usize), font: Font, text: &str) {
        let x = right.saturating_sub(text::width(font, text));
        self.text((x, baseline), font, text);
    }

    /// Draws a line of text in the middle of the canvas.
    pub fn text_centred(&mut self, baseline: usize, font: Font, text: &str) {
        let x = Self::WIDTH.saturating_sub(text::width(font, text)) / 2;
        self.text((x, baseline), font, text);
    }

    /// Draws a line of text no wider than `width`; what is too long ends in an ellipsis.
    /// Says where it ends.
    pub fn text_within(
        &mut self,
        at: (usize, usize),
        width: usize,
        font: Font,
        text: &str,
    ) -> usize {
        let (text, cut) = text::fit(font, text, width);
        let end = self.text(at, font, text);
        if cut {
            self.text((end, at.1), font, "…")
        } else {
            end
        }
    }

    /// Draws a line of text no wider than `width` that ends before `right`.
    pub fn text_right_within(
        &mut self,
        (right, baseline): (usize, usize),
        width: usize,
        font: Font,
        text: &str,
    ) {
        let x = right.saturating_sub(text::width(font, text).min(width));
        self.text_within((x, baseline), width, font, text);
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(Self::WIDTH as u32, Self::HEIGHT as u32)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(Point { x, y }, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) {
                self.set(x, y, color.is_on());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is too large for a page would be seen at some places of the picture, and not
    /// at others.
    #[test]
    fn nothing_is_drawn_beyond_the_canvas() {
        for place in [(0, 0), (1, 2), (2, 2)] {
            let mut frame = Frame::new();
            let mut canvas = Canvas::new(&mut frame, place);
            canvas.fill((0, 0), (500, 500));
            canvas.invert((120, 60), (50, 50));
            canvas.invert((120, 60), (50, 50));
            let bitmap = Bitmap {
                width: 16,
                rows: &[0xFFFF; 16],
            };
            canvas.bitmap((120, 56), &bitmap, 1);
            canvas.text((100, 70), Font::Large, "WW");
            for (x, y) in (0..WIDTH).flat_map(|x| (0..HEIGHT).map(move |y| (x, y))) {
                let inside = (place.0..place.0 + Canvas::WIDTH).contains(&x)
                    && (place.1..place.1 + Canvas::HEIGHT).contains(&y);
                assert_eq!(frame.point(x, y), inside, "({x}, {y}) at {place:?}");
            }
        }
    }
}
