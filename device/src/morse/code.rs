//! The table: signs and their marks.

/// The marks of one sign: a 1, then a bit for each mark, the first the highest; 1 is a
/// dash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u16);

impl Code {
    /// No marks.
    pub const NONE: Self = Self(1);

    /// From its picture, as in `.-`.
    const fn of(picture: &str) -> Self {
        let mut code = 1;
        let mut left = picture.as_bytes();
        while let [mark, rest @ ..] = left {
            code = (code << 1) | (*mark == b'-') as u16;
            left = rest;
        }
        Self(code)
    }

    /// How many marks are in it.
    pub const fn len(self) -> u32 {
        15_u32.saturating_sub(self.0.leading_zeros())
    }

    /// The first mark and the others. `true` is a dash.
    pub fn split_first(self) -> Option<(bool, Self)> {
        let rest = self.len().checked_sub(1)?;
        let first = 1_u16.checked_shl(rest)?;
        let below = self.0 & first.wrapping_sub(1);
        Some((self.0 & first != 0, Self(below | first)))
    }

    /// The marks, the last one first.
    pub fn reversed(self) -> impl Iterator<Item = bool> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let mark = left & 1 != 0;
            let more = left > 1;
            left >>= 1;
            more.then_some(mark)
        })
    }
}

/// A sign that can be heard.
#[derive(Debug)]
pub(super) struct Sign {
    pub code: Code,
    /// How many marks it has.
    pub len: u8,
    /// How it is written.
    pub text: &'static str,
}

const fn sign(text: &'static str, picture: &str) -> Sign {
    Sign {
        code: Code::of(picture),
        len: picture.len() as u8,
        text,
    }
}

/// Each sequence of marks that means something, once.
pub(super) static SIGNS: [Sign; 62] = [
    // ITU-R M.1677-1, 1.1.1: letters.
    sign("A", ".-"),
    sign("B", "-..."),
    sign("C", "-.-."),
    sign("D", "-.."),
    sign("E", "."),
    sign("É", "..-.."),
    sign("F", "..-."),
    sign("G", "--."),
    sign("H", "...."),
    sign("I", ".."),
    sign("J", ".---"),
    sign("K", "-.-"),
    sign("L", ".-.."),
    sign("M", "--"),
    sign("N", "-."),
    sign("O", "---"),
    sign("P", ".--."),
    sign("Q", "--.-"),
    sign("R", ".-."),
    sign("S", "..."),
    sign("T", "-"),
    sign("U", "..-"),
    sign("V", "...-"),
    sign("W", ".--"),
    sign("X", "-..-"),
    sign("Y", "-.--"),
    sign("Z", "--.."),
    // 1.1.2: figures.
    sign("1", ".----"),
    sign("2", "..---"),
    sign("3", "...--"),
    sign("4", "....-"),
    sign("5", "....."),
    sign("6", "-...."),
    sign("7", "--..."),
    sign("8", "---.."),
    sign("9", "----."),
    sign("0", "-----"),
    // 1.1.3: punctuation marks and miscellaneous signs. The invitation to transmit is K,
    // the multiplication sign X.
    sign(".", ".-.-.-"),
    sign(",", "--..--"),
    sign(":", "---..."),
    sign("?", "..--.."),
    sign("'", ".----."),
    sign("-", "-....-"),
    sign("/", "-..-."),
    sign("(", "-.--."),
    sign(")", "-.--.-"),
    sign("\"", ".-..-."),
    sign("=", "-...-"),
    sign("<SN>", "...-."),
    sign("<HH>", "........"),
    sign("+", ".-.-."),
    sign("<AS>", ".-..."),
    sign("<SK>", "...-.-"),
    sign("<KA>", "-.-.-"),
    sign("@", ".--.-."),
    // Not in the Recommendation, but sent.
    sign("!", "-.-.--"),
    sign(";", "-.-.-."),
    sign("$", "...-..-"),
    sign("_", "..--.-"),
    sign("<SOS>", "...---..."),
    sign("<BK>", "-...-.-"),
    sign("<CL>", "-.-..-.."),
];

/// The marks of one character: of an upper-case ASCII character, or of `É` in Latin 1.
pub(super) fn code(character: u8) -> Option<Code> {
    let mut written = [0; 2];
    let written = char::from(character).encode_utf8(&mut written);
    let sign = SIGNS.iter().find(|sign| sign.text == written)?;
    Some(sign.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two signs with the same marks: one would never be heard.
    #[test]
    fn no_marks_mean_two_things() {
        for (at, sign) in SIGNS.iter().enumerate() {
            assert_eq!(u32::from(sign.len), sign.code.len(), "{}", sign.text);
            for other in &SIGNS[..at] {
                assert_ne!(sign.code, other.code, "{} {}", sign.text, other.text);
                assert_ne!(sign.text, other.text);
            }
        }
    }

    #[test]
    fn marks_are_the_same_from_both_ends() {
        for sign in &SIGNS {
            let mut left = sign.code;
            let mut marks = Vec::new();
            while let Some((mark, rest)) = left.split_first() {
                marks.push(mark);
                left = rest;
            }
            assert_eq!(left, Code::NONE);
            marks.reverse();
            assert_eq!(sign.code.reversed().collect::<Vec<_>>(), marks);
        }
        assert_eq!(Code::NONE.split_first(), None);
    }

    /// The letters of a prosign that is a sign of its own give its marks.
    #[test]
    fn prosigns_are_their_letters() {
        let marks = |text: &str| {
            let codes = text.bytes().map(|byte| code(byte).unwrap());
            let signs = codes.map(|code| {
                let mut marks: Vec<_> = code.reversed().collect();
                marks.reverse();
                marks
            });
            signs.collect::<Vec<_>>().concat()
        };
        let mut count = 0;
        for sign in &SIGNS {
            let Some(letters) = sign.text.strip_prefix('<') else {
                continue;
            };
            let mut own: Vec<_> = sign.code.reversed().collect();
            own.reverse();
            assert_eq!(marks(letters.trim_end_matches('>')), own, "{}", sign.text);
            count += 1;
        }
        assert_eq!(count, 8);
    }
}
