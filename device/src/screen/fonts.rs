//! The fonts, without what no alphabet of Europe has.
//!
//! They are X11's, as `u8g2` packs them (its licence names their owners): of the two with
//! letters a third is Pinyin, phonetics and the like. The compiler leaves that out here.

use u8g2_fonts::{Font, fonts};

/// The end of Latin Extended-A: all up to this stays.
const LAST: u16 = 0x17F;

/// What stays of the others: Romanian's letters, and the euro.
const KEPT: [char; 5] = ['Ș', 'ș', 'Ț', 'ț', '€'];

macro_rules! latin {
    ($name:ident, $whole:ident, $about:literal) => {
        #[doc = $about]
        pub struct $name;

        impl Font for $name {
            const DATA: &'static [u8] = {
                const WHOLE: &[u8] = fonts::$whole::DATA;
                const LEN: usize = latin::<0>(WHOLE).1;
                &latin::<LEN>(WHOLE).0
            };
        }
    };
}

latin!(Small, u8g2_font_helvR08_te, "Helvetica of 8 points.");
latin!(Large, u8g2_font_helvB24_te, "Helvetica bold of 24 points.");
pub use fonts::u8g2_font_helvB18_tn as Digits;

/// The first `N` bytes of a font without what is left out, and how many there are.
///
/// From U+0100 on a font has, from the place on that its header tells: a table of jumps to
/// glyphs, whose last entry ends in 0xFFFF; then the glyphs in order, each as its character
/// (2 bytes), its length with these three (1 byte) and what is drawn; then two zeros.
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "by the compiler: a font that is not like this does not compile"
)]
const fn latin<const N: usize>(font: &[u8]) -> ([u8; N], usize) {
    const HEADER: usize = 23;
    let mut glyph = HEADER + word(font, 21) as usize;
    while word(font, glyph + 2) != u16::MAX {
        glyph += 4;
    }
    glyph += 4;

    let mut bytes = [0; N];
    let mut len = copy(font, 0, glyph, &mut bytes, 0);
    while word(font, glyph) != 0 {
        let size = font[glyph + 2] as usize;
        if stays(word(font, glyph)) {
            len = copy(font, glyph, size, &mut bytes, len);
        }
        glyph += size;
    }
    (bytes, len + 2)
}

const fn stays(character: u16) -> bool {
    let mut kept = KEPT.as_slice();
    while let [first, rest @ ..] = kept {
        if *first as u32 == character as u32 {
            return true;
        }
        kept = rest;
    }
    character <= LAST
}

/// Copies as much as there is room for, and says where it would end.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn copy(font: &[u8], from: usize, size: usize, bytes: &mut [u8], at: usize) -> usize {
    let mut index = 0;
    while index < size {
        if at + index < bytes.len() {
            bytes[at + index] = font[from + index];
        }
        index += 1;
    }
    at + size
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn word(font: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([font[at], font[at + 1]])
}

#[cfg(test)]
mod tests {
    use u8g2_fonts::FontRenderer;
    use u8g2_fonts::types::{FontColor, VerticalPosition};

    use embedded_graphics_core::geometry::Point;
    use embedded_graphics_core::pixelcolor::BinaryColor;

    use super::*;
    use crate::screen::Frame;

    /// What is drawn for a character, and how far the next one is.
    fn drawn<F: Font>(c: char) -> Option<(Vec<bool>, Point)> {
        let mut frame = Frame::new();
        let drawn = FontRenderer::new::<F>().render(
            c,
            Point::new(20, 40),
            VerticalPosition::Baseline,
            FontColor::Transparent(BinaryColor::On),
            &mut frame,
        );
        let points = (0..64).flat_map(|y| (0..128).map(move |x| (x, y)));
        let points = points.map(|(x, y)| frame.point(x, y)).collect();
        Some((points, drawn.ok()?.advance))
    }

    /// A letter that is another one, or none, because a glyph before it was left out.
    #[test]
    fn what_stays_is_drawn_as_it_was() {
        for c in (' '..='\u{2fff}').filter(|c| !c.is_control()) {
            let stays = u16::try_from(u32::from(c)).is_ok_and(stays);
            let whole = drawn::<fonts::u8g2_font_helvR08_te>(c).filter(|_| stays);
            assert!(drawn::<Small>(c) == whole, "{c}");
            let whole = drawn::<fonts::u8g2_font_helvB24_te>(c).filter(|_| stays);
            assert!(drawn::<Large>(c) == whole, "{c}");
        }
    }

    /// What is left out would lie in the flash all the same.
    #[test]
    fn a_font_is_no_larger_than_its_glyphs() {
        assert!(Small::DATA.len() < 4_000, "{}", Small::DATA.len());
        assert!(Large::DATA.len() < 12_000, "{}", Large::DATA.len());
    }
}
