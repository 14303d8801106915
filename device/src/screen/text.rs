//! Fonts, and text in them: how wide it is, where its lines break, what of it fits.
//!
//! Any text can be drawn. A character that the font lacks, and a control character, is
//! a crossed box; typographic quotes and dashes are drawn as plain ones; a letter
//! followed by a combining mark is one letter where the alphabets have it.

use embedded_graphics_core::geometry::Point;
use embedded_graphics_core::pixelcolor::BinaryColor;
use u8g2_fonts::FontRenderer;
use u8g2_fonts::types::{FontColor, VerticalPosition};

use super::canvas::{Bitmap, Canvas};
use super::fonts;

/// A font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Font {
    /// Helvetica, its capitals 8 points high.
    Small,
    /// Bold digits, 19 points high, and nothing else but `-` and `.`.
    Digits,
    /// Helvetica bold, its capitals 25 points high, its digits 24.
    Large,
}

impl Font {
    /// How far Latin letters with their marks reach above the base line.
    pub const fn above(self) -> usize {
        match self {
            Self::Small => 11,
            Self::Digits => 19,
            Self::Large => 31,
        }
    }

    /// How far Latin letters reach below the base line.
    pub const fn below(self) -> usize {
        match self {
            Self::Small => 2,
            Self::Digits => 0,
            Self::Large => 7,
        }
    }

    fn renderer(self) -> &'static FontRenderer {
        static SMALL: FontRenderer = FontRenderer::new::<fonts::Small>();
        static DIGITS: FontRenderer = FontRenderer::new::<fonts::Digits>();
        static LARGE: FontRenderer = FontRenderer::new::<fonts::Large>();
        match self {
            Self::Small => &SMALL,
            Self::Digits => &DIGITS,
            Self::Large => &LARGE,
        }
    }

    /// How many points of the panel a point of our own signs takes.
    const fn scale(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Digits => 2,
            Self::Large => 3,
        }
    }

    /// Whether the font has this character itself.
    pub fn has(self, c: char) -> bool {
        self.advance(c).is_some()
    }

    /// How far the next character is, if the font has this one.
    fn advance(self, c: char) -> Option<usize> {
        // Below the blank the font's own end mark would be found.
        let printable = u32::from(c).checked_sub(u32::from(' '))?;
        let known = match self {
            Self::Small => SMALL.get(usize::try_from(printable).ok()?),
            Self::Large => LARGE.get(usize::try_from(printable).ok()?),
            Self::Digits => None,
        };
        known
            .map(|&advance| usize::from(advance))
            .or_else(|| self.look_up(c))
    }

    /// The same from the font itself, whose glyphs are a chain.
    fn look_up(self, c: char) -> Option<usize> {
        let dimensions = self
            .renderer()
            .get_rendered_dimensions(c, Point::zero(), VerticalPosition::Baseline)
            .ok()?;
        usize::try_from(dimensions.advance.x).ok()
    }
}

/// How far the next character is, from the blank to the tilde: most text is of these, and
/// is measured several times before it is drawn.
#[rustfmt::skip]
const SMALL: [u8; 95] = [
    3, 3, 4, 6, 6, 9, 8, 2, 4, 4, 4, 6, 3, 4, 3, 3,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 3, 3, 6, 5, 6, 6,
    11, 7, 7, 8, 8, 7, 6, 8, 8, 3, 5, 7, 6, 9, 8, 8,
    7, 8, 7, 7, 5, 8, 7, 9, 7, 7, 7, 3, 3, 3, 6, 6,
    3, 5, 6, 5, 6, 5, 4, 6, 6, 2, 2, 5, 2, 8, 6, 6,
    6, 6, 4, 5, 4, 5, 6, 8, 6, 5, 5, 3, 3, 3, 7,
];
#[rustfmt::skip]
const LARGE: [u8; 95] = [
    9, 11, 16, 19, 18, 29, 24, 8, 11, 11, 13, 19, 9, 11, 9, 9,
    18, 18, 18, 18, 18, 18, 18, 18, 18, 18, 11, 11, 19, 19, 19, 20,
    33, 23, 24, 24, 24, 22, 20, 25, 23, 9, 18, 24, 20, 27, 24, 25,
    22, 26, 24, 22, 20, 24, 22, 31, 22, 22, 20, 11, 9, 11, 19, 18,
    11, 18, 20, 18, 20, 18, 11, 20, 20, 9, 9, 19, 9, 30, 20, 20,
    20, 20, 13, 19, 11, 20, 19, 26, 19, 19, 17, 13, 9, 13, 19,
];

/// What stands for a character that cannot be shown.
const MARK: Bitmap = Bitmap {
    width: 7,
    rows: &[
        0b1111111, 0b1000001, 0b1010101, 0b1001001, 0b1010101, 0b1000001, 0b1111111,
    ],
};

/// What stands for text that was cut off.
const ELLIPSIS: Bitmap = Bitmap {
    width: 5,
    rows: &[0b10101],
};

/// What is drawn for one or more characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// A character that the font has, and how far the next one is.
    Glyph(char, usize),
    Ellipsis,
    Mark,
    /// Nothing at all.
    Nothing,
    /// A blank at which a line may break.
    Blank,
    Newline,
}

impl Sign {
    fn of(c: char, font: Font) -> Self {
        let plain = match c {
            '\n' => return Self::Newline,
            blank if is_blank(blank) => return Self::Blank,
            // What is invisible on purpose: soft hyphens, joiners, directions, variants.
            '\u{AD}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{2069}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' => return Self::Nothing,
            '…' => return Self::Ellipsis,
            '\u{A0}' | '\u{202F}' => ' ',
            '‘' | '’' | '‚' | '‛' | '′' => '\'',
            '“' | '”' | '„' | '‟' | '″' => '"',
            '‹' => '<',
            '›' => '>',
            '‐'..='―' | '−' => '-',
            '•' => '·',
            'ẞ' => 'ß',
            other => other,
        };
        if plain.is_control() {
            return Self::Mark;
        }
        font.advance(plain)
            .map_or(Self::Mark, |advance| Self::Glyph(plain, advance))
    }

    fn advance(self, font: Font) -> usize {
        match self {
            Self::Glyph(_, advance) => advance,
            Self::Blank | Self::Newline => font.advance(' ').unwrap_or(0),
            Self::Mark => MARK.width.saturating_add(1).saturating_mul(font.scale()),
            Self::Ellipsis => ELLIPSIS
                .width
                .saturating_add(2)
                .saturating_mul(font.scale()),
            Self::Nothing => 0,
        }
    }
}

/// Blanks at which a line may break, and that nobody misses at its end.
pub(super) const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{2000}'..='\u{200A}' | '\u{3000}')
}

/// Letters and digits of the fonts. All of Unicode's would be 2 KiB of tables.
const fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, 'À'..='ț')
}

/// Letters that are also written as a plain one and a combining mark after it.
const COMPOSED: [(char, &str, &str); 8] = [
    ('\u{300}', "aeiouAEIOU", "àèìòùÀÈÌÒÙ"),
    (
        '\u{301}',
        "aceilnorsuyzACEILNORSUYZ",
        "áćéíĺńóŕśúýźÁĆÉÍĹŃÓŔŚÚÝŹ",
    ),
    ('\u{302}', "aeiouAEIOU", "âêîôûÂÊÎÔÛ"),
    ('\u{303}', "anoANO", "ãñõÃÑÕ"),
    ('\u{304}', "aeiouAEIOU", "āēīōūĀĒĪŌŪ"),
    ('\u{307}', "eizIEZ", "ėiżİĖŻ"),
    ('\u{308}', "aeiouyAEIOUY", "äëïöüÿÄËÏÖÜŸ"),
    ('\u{30C}', "cdenrstzCDENRSTZ", "čďěňřšťžČĎĚŇŘŠŤŽ"),
];
/// The same for the ogonek, whose letters take another mark as well.
const OGONEK: (char, &str, &str) = ('\u{328}', "aeiuAEIU", "ąęįųĄĘĮŲ");

fn compose(base: char, mark: char) -> Option<char> {
    COMPOSED
        .iter()
        .chain([&OGONEK])
        .filter(|(combining, ..)| *combining == mark)
        .flat_map(|(_, plain, composed)| plain.chars().zip(composed.chars()))
        .find_map(|(plain, composed)| (plain == base).then_some(composed))
}

/// The signs of a text, each with the number of bytes it stands for.
#[derive(Clone, Debug)]
struct Signs<'a> {
    rest: &'a str,
    font: Font,
}

impl Iterator for Signs<'_> {
    type Item = (Sign, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let mut chars = self.rest.chars();
        let mut c = chars.next()?;
        let mut after = chars.as_str();
        while let Some(mark) = chars.next()
            && let Some(composed) = compose(c, mark)
        {
            c = composed;
            after = chars.as_str();
        }
        if c == '\r'
            && let Some(rest) = after.strip_prefix('\n')
        {
            c = '\n';
            after = rest;
        }
        let len = self.rest.len().saturating_sub(after.len());
        self.rest = after;
        Some((Sign::of(c, self.font), len))
    }
}

/// How wide a line of text is.
pub fn width(font: Font, text: &str) -> usize {
    Signs { rest: text, font }.fold(0, |width, (sign, _)| {
        width.saturating_add(sign.advance(font))
    })
}

/// As much of a line of text as `width` has room for, and whether there is more: then
/// there is room for an ellipsis behind it.
pub fn fit(font: Font, text: &str, width: usize) -> (&str, bool) {
    let ellipsis = Sign::Ellipsis.advance(font);
    let (mut used, mut len, mut fitting) = (0_usize, 0_usize, 0);
    for (sign, bytes) in (Signs { rest: text, font }) {
        if used.saturating_add(ellipsis) <= width {
            fitting = len;
        }
        used = used.saturating_add(sign.advance(font));
        if used > width {
            let kept = text.get(..fitting).unwrap_or_default();
            return (kept.trim_end_matches(is_blank), true);
        }
        len = len.saturating_add(bytes);
    }
    (text, false)
}

/// Whether a line of text is no wider than this. Does not measure what is beyond.
pub fn fits(font: Font, text: &str, width: usize) -> bool {
    !fit(font, text, width).1
}

/// Draws a line of text from `x` on, upon the row `baseline`. Says where it ends.
pub(super) fn draw(
    canvas: &mut Canvas<'_>,
    (mut x, baseline): (usize, usize),
    font: Font,
    text: &str,
) -> usize {
    let scale = font.scale();
    for (sign, _) in (Signs { rest: text, font }) {
        match sign {
            Sign::Glyph(c, _) => {
                if let (Ok(x), Ok(y)) = (x.try_into(), baseline.try_into()) {
                    // A character that is lacking was made a mark, and a canvas takes
                    // everything.
                    let _drawn = font.renderer().render(
                        c,
                        Point::new(x, y),
                        VerticalPosition::Baseline,
                        FontColor::Transparent(BinaryColor::On),
                        canvas,
                    );
                }
            }
            Sign::Mark => {
                let top = baseline.saturating_sub(MARK.rows.len().saturating_mul(scale));
                canvas.bitmap((x, top), &MARK, scale);
            }
            Sign::Ellipsis => {
                let at = (x.saturating_add(scale), baseline.saturating_sub(scale));
                canvas.bitmap(at, &ELLIPSIS, scale);
            }
            Sign::Nothing | Sign::Blank | Sign::Newline => {}
        }
        x = x.saturating_add(sign.advance(font));
    }
    x
}

/// The lines of a text of this width.
pub const fn wrap(font: Font, text: &str, width: usize) -> Lines<'_> {
    Lines {
        rest: text,
        font,
        width,
    }
}

/// The lines of a text: broken at `\n`, at blanks, after hyphens, and within words that
/// are longer than a line.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a str,
    font: Font,
    width: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let text = self.rest;
        let signs = Signs {
            rest: text,
            font: self.font,
        };
        // Where this line could end, and the next one begin.
        let mut bend: Option<(usize, usize)> = None;
        let (mut used, mut at) = (0_usize, 0_usize);
        let (mut word, mut letter) = (false, false);
        let mut end = (text.len(), text.len());
        for (sign, bytes) in signs {
            let after = at.saturating_add(bytes);
            if sign == Sign::Newline {
                end = (at, after);
                break;
            }
            used = used.saturating_add(sign.advance(self.font));
            if sign == Sign::Blank {
                if word {
                    bend = Some((at, after));
                }
            } else if used > self.width && at > 0 {
                end = bend.unwrap_or((at, at));
                break;
            } else {
                if matches!(sign, Sign::Glyph('-', _)) && letter {
                    bend = Some((after, after));
                }
                word = true;
            }
            letter = matches!(sign, Sign::Glyph(c, _) if is_letter(c));
            at = after;
        }
        let (line, rest) = end;
        self.rest = text.get(rest..).unwrap_or_default();
        Some(
            text.get(..line)
                .unwrap_or_default()
                .trim_end_matches(is_blank),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widths_are_the_fonts() {
        for font in [Font::Small, Font::Large] {
            for c in ' '..='~' {
                assert_eq!(font.advance(c), font.look_up(c), "{c} in {font:?}");
            }
        }
    }
}
