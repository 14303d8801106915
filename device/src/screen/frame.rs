//! The picture, and what the panel is known to show of it.

use core::convert::Infallible;

use embedded_graphics_core::{
    Pixel,
    draw_target::DrawTarget,
    geometry::{Dimensions, OriginDimensions, Size},
    pixelcolor::BinaryColor,
    primitives::Rectangle,
};

use super::Light;

/// Columns of the panel.
pub const WIDTH: usize = 128;
/// Rows of the panel.
pub const HEIGHT: usize = 64;
/// Pages of the panel: eight rows each, a byte for each column, its lowest bit on top.
pub const PAGES: usize = HEIGHT / 8;

/// So many columns that are right already are sent again to join the runs beside them:
/// another transfer costs ten bytes in addresses.
const GAP: usize = 8;

type Picture = [[u8; WIDTH]; PAGES];

/// A picture of the panel, in its layout, beside what the panel is known to show.
#[derive(Clone, Debug)]
pub struct Frame {
    wanted: Picture,
    shown: Picture,
    /// A bit for each page: what it shows is known.
    known: u8,
    /// The page to look at first, so that none waits for ever for those that change always.
    cursor: u8,
    light: Light,
}

impl Frame {
    /// A dark picture; nothing is known of the panel.
    pub const fn new() -> Self {
        Self {
            wanted: [[0; WIDTH]; PAGES],
            shown: [[0; WIDTH]; PAGES],
            known: 0,
            cursor: 0,
            light: Light::Bright,
        }
    }

    /// Whether this point is to be lit. Outside of the panel none is.
    pub fn point(&self, x: usize, y: usize) -> bool {
        self.wanted
            .get(y / 8)
            .and_then(|page| page.get(x))
            .is_some_and(|column| column & mask(y) != 0)
    }

    /// How bright the panel is to be.
    pub const fn light(&self) -> Light {
        self.light
    }

    /// Says how bright the panel is to be.
    pub const fn set_light(&mut self, light: Light) {
        self.light = light;
    }

    /// Something that the panel does not show yet; `None` if it shows the picture.
    pub fn next(&self) -> Option<Chunk> {
        let first = usize::from(self.cursor);
        (first..PAGES).chain(0..first).find_map(|page| {
            let wanted = self.wanted.get(page)?;
            let run = if self.known & mask(page) == 0 {
                Some((0, WIDTH))
            } else {
                difference(wanted, self.shown.get(page)?)
            };
            let (start, end) = run?;
            Chunk::new(page, start, wanted.get(start..end)?)
        })
    }

    /// The panel has this chunk.
    pub fn sent(&mut self, chunk: &Chunk) {
        let (page, start) = (usize::from(chunk.page), usize::from(chunk.column));
        let bytes = chunk.bytes();
        if let Some(shown) = self
            .shown
            .get_mut(page)
            .and_then(|shown| shown.get_mut(start..)?.get_mut(..bytes.len()))
        {
            shown.copy_from_slice(bytes);
        }
        if bytes.len() == WIDTH {
            self.known |= mask(page);
        }
        self.cursor = chunk.page.saturating_add(1);
        if usize::from(self.cursor) >= PAGES {
            self.cursor = 0;
        }
    }

    /// Nothing is known of the panel any more.
    pub const fn forget(&mut self) {
        self.known = 0;
        self.cursor = 0;
    }

    /// Nothing is lit.
    pub(crate) const fn erase(&mut self) {
        self.wanted = [[0; WIDTH]; PAGES];
    }

    /// Lights a point, or not.
    pub(crate) fn set(&mut self, x: usize, y: usize, on: bool) {
        if let Some(column) = self.wanted.get_mut(y / 8).and_then(|page| page.get_mut(x)) {
            if on {
                *column |= mask(y);
            } else {
                *column &= !mask(y);
            }
        }
    }

    /// Changes the columns `x` and rows `y`, page by page: `change` gets a byte, and
    /// which of its bits are meant.
    pub(crate) fn each(
        &mut self,
        x: core::ops::Range<usize>,
        y: core::ops::Range<usize>,
        change: impl Fn(u8, u8) -> u8,
    ) {
        let end = x.end.min(WIDTH);
        for (page, top) in self.wanted.iter_mut().zip((0_usize..).step_by(8)) {
            let above = y.start.saturating_sub(top);
            let below = top.saturating_add(8).saturating_sub(y.end);
            if above >= 8 || below >= 8 {
                continue;
            }
            let bits = (0xFF_u8 << above) & (0xFF_u8 >> below);
            for column in page.get_mut(x.start..end).unwrap_or_default() {
                *column = change(*column, bits);
            }
        }
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

/// The bit of a row in its page, and of a page among all.
const fn mask(row: usize) -> u8 {
    1 << (row % 8)
}

/// The first columns that differ: from, and up to.
fn difference(wanted: &[u8; WIDTH], shown: &[u8; WIDTH]) -> Option<(usize, usize)> {
    let mut differing = wanted
        .iter()
        .zip(shown)
        .enumerate()
        .filter(|(_, (wanted, shown))| wanted != shown)
        .map(|(column, _)| column);
    let start = differing.next()?;
    let mut last = start;
    for column in differing {
        if column.saturating_sub(last) > GAP.saturating_add(1) {
            break;
        }
        last = column;
    }
    Some((start, last.saturating_add(1)))
}

impl OriginDimensions for Frame {
    fn size(&self) -> Size {
        Size::new(WIDTH as u32, HEIGHT as u32)
    }
}

impl DrawTarget for Frame {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        for Pixel(point, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(point.x), usize::try_from(point.y)) {
                self.set(x, y, color.is_on());
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: BinaryColor) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        let (x, y) = (area.top_left.x as usize, area.top_left.y as usize);
        let (right, bottom) = (
            x.saturating_add(area.size.width as usize),
            y.saturating_add(area.size.height as usize),
        );
        self.each(x..right, y..bottom, |column, bits| {
            if color.is_on() {
                column | bits
            } else {
                column & !bits
            }
        });
        Ok(())
    }

    fn clear(&mut self, color: BinaryColor) -> Result<(), Infallible> {
        let bits = if color.is_on() { 0xFF } else { 0 };
        self.wanted = [[bits; WIDTH]; PAGES];
        Ok(())
    }
}

/// A run of columns in one page of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    page: u8,
    column: u8,
    len: u8,
    bytes: [u8; WIDTH],
}

impl Chunk {
    fn new(page: usize, column: usize, columns: &[u8]) -> Option<Self> {
        let mut bytes = [0; WIDTH];
        bytes.get_mut(..columns.len())?.copy_from_slice(columns);
        Some(Self {
            page: page.try_into().ok()?,
            column: column.try_into().ok()?,
            len: columns.len().try_into().ok()?,
            bytes,
        })
    }

    /// In which page it lies.
    pub const fn page(&self) -> u8 {
        self.page
    }

    /// Its first column.
    pub const fn column(&self) -> u8 {
        self.column
    }

    /// A byte for each column, its lowest bit on top.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics_core::geometry::Point;

    use super::*;

    /// A frame whose dark picture the panel shows.
    fn settled() -> Frame {
        let mut frame = Frame::new();
        settle(&mut frame);
        frame
    }

    fn settle(frame: &mut Frame) -> usize {
        let mut chunks = 0;
        while let Some(chunk) = frame.next() {
            frame.sent(&chunk);
            chunks += 1;
            assert!(chunks < 1_000, "never shown");
        }
        chunks
    }

    fn next(frame: &Frame) -> (u8, u8, usize) {
        let chunk = frame.next().expect("something to send");
        (chunk.page(), chunk.column(), chunk.bytes().len())
    }

    #[test]
    fn an_unknown_panel_gets_every_page_whole() {
        let mut frame = Frame::new();
        assert_eq!(next(&frame), (0, 0, 128));
        assert_eq!(settle(&mut frame), 8);
        frame.forget();
        assert_eq!(settle(&mut frame), 8);
    }

    #[test]
    fn only_what_differs_is_sent() {
        let mut frame = settled();
        frame.set(17, 42, true);
        let chunk = frame.next().expect("a point");
        assert_eq!((chunk.page(), chunk.column()), (5, 17));
        assert_eq!(chunk.bytes(), [0b100]);
        frame.set(17, 42, false);
        assert_eq!(frame.next(), None, "it is dark again before it was sent");
    }

    #[test]
    fn runs_are_joined_where_that_is_cheaper() {
        for (gap, len) in [(GAP, GAP + 2), (GAP + 1, 1)] {
            let mut frame = settled();
            frame.set(3, 0, true);
            frame.set(3 + 1 + gap, 0, true);
            assert_eq!(next(&frame), (0, 3, len), "gap {gap}");
        }
    }

    #[test]
    fn a_page_that_changes_always_does_not_starve_the_others() {
        let mut frame = settled();
        frame.set(0, 63, true);
        for on in [true, false, true, false] {
            frame.set(5, 0, on);
            if let Some(chunk) = frame.next() {
                frame.sent(&chunk);
            }
        }
        assert_eq!(frame.shown[7][0], 0x80);
    }

    #[test]
    fn what_was_drawn_while_a_chunk_was_under_way_is_sent_after_it() {
        let mut frame = settled();
        frame.set(5, 5, true);
        let chunk = frame.next().expect("a point");
        frame.set(6, 5, true);
        frame.sent(&chunk);
        assert_eq!(next(&frame), (0, 6, 1));
    }

    #[test]
    fn a_part_says_nothing_of_the_rest_of_a_page() {
        let mut frame = settled();
        frame.set(5, 5, true);
        let chunk = frame.next().expect("a point");
        frame.forget();
        frame.sent(&chunk);
        assert_eq!(settle(&mut frame), 8);
    }

    #[test]
    fn areas_are_filled_to_their_edges_and_cut_at_the_panels() {
        let on = BinaryColor::On;
        for (x, y, w, h) in [
            (0, 0, 128, 64),
            (3, 5, 7, 1),
            (3, 5, 7, 30),
            (-5, -5, 9, 9),
            (120, 60, 99, 99),
            (5, 5, 0, 9),
            (200, 200, 5, 5),
        ] {
            let mut frame = Frame::new();
            let area = Rectangle::new(Point::new(x, y), Size::new(w, h));
            let Ok(()) = frame.fill_solid(&area, on);
            for (column, row) in (0..128).flat_map(|x| (0..64).map(move |y| (x, y))) {
                let inside = area.contains(Point::new(column, row));
                let lit = frame.point(column as usize, row as usize);
                assert_eq!(lit, inside, "({column}, {row}) of {area:?}");
            }
        }
    }
}
