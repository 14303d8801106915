//! From an over to a text.
//!
//! Lengths are compared by their ratio, so they are logarithms to base 2 here, in steps
//! of 1/256. What speaks against an explanation is its cost: the negative logarithm of
//! its likelihood, in steps of 1/16 (to base e), for lengths that vary in proportion.
//!
//! 1. The dot is sought that explains all marks and spaces at the least cost, each
//!    for itself ([`Speed::explain`]).
//! 2. With that dot, the sequence of signs is sought that explains the whole over at
//!    the least cost ([`Model::segment`]). An over of n marks needs the best sequence for
//!    each beginning of it, and for each the best last sign.
//! 3. Now that it is known what each mark and space is, the model learns: how long
//!    dashes and spaces are in this hand, how much they vary, and how the speed
//!    changes ([`Model::learn`]). Then 2 again, until nothing
//!    changes any more, three times at most.

use super::code::{Code, SIGNS, Sign};
use super::receiver::{Heard, MARKS, Over};
use super::{DOT_MS, UNKNOWN, WPM};

/// What a mark or space can be, and its usual length: the logarithm of its dots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Dot,
    Dash,
    InLetter,
    BetweenLetters,
    BetweenWords,
}

use Part::{BetweenLetters, BetweenWords, Dash, Dot, InLetter};

impl Part {
    const fn dots(self) -> u32 {
        match self {
            Dot | InLetter => 1,
            Dash | BetweenLetters => 3,
            BetweenWords => 7,
        }
    }

    /// The logarithm of its dots.
    const fn length(self) -> i32 {
        match self {
            Dot | InLetter => 0,
            Dash | BetweenLetters => 406,
            BetweenWords => 719,
        }
    }

    /// How much less frequent it is than its like.
    const fn rarity(self) -> i32 {
        match self {
            Dot | Dash | InLetter => 0,
            BetweenLetters => 11,
            BetweenWords => 35,
        }
    }
}

/// The shortest and the longest dot that is looked for (50 and 3.5 words a minute), and
/// the steps between them, 9 %.
const SHORTEST: i32 = 1_174;
const LONGEST: i32 = 2_156;
const STEP: usize = 32;

/// Who learns to key leaves more room between letters and words, up to twice as much,
/// and how rare it is to do so twice.
const STRETCHES: [i32; 4] = [64, 128, 192, 256];
const STRETCH_RARITY: i32 = 80;
/// How far the dot may be then from what it is without.
const NEAR: u32 = 64;

/// Before anything was heard: 12 words a minute.
const USUAL: i32 = 1_701;

/// The squares of distances from the usual or the last speed are divided by this: a
/// standard deviation of 0.8 octaves, and of 0.35 after an over.
const USUAL_SPREAD: i32 = 5_243;
const KNOWN_SPREAD: i32 = 1_003;
/// So many marks make a speed known.
const KNOWN: u8 = 8;

/// How much lengths vary at first: the square of 15 %. It counts as so many marks.
const VARIANCE: i32 = 3_072;
const VARIANCE_WEIGHT: i32 = 16;
/// No hand is taken to vary less than 6 % or more than 30 %.
const VARIANCES: core::ops::RangeInclusive<i32> = 500..=12_300;
/// The cost of a deviation is its square, in 1/65536, times this over the variance.
const SHARPNESS: i32 = 1_092_267;
/// No single length may cost more.
const MOST: i32 = 200;

/// A class of lengths differs by this from the usual one at most.
const SHAPE: i32 = 128;
/// The usual length counts as so many.
const SHAPE_WEIGHT: i32 = 4;
/// The speed at a mark is learnt from so many on each side.
const WINDOW: usize = 12;
/// How often the model is learnt anew.
const ROUNDS: usize = 3;

/// The longest sequence of marks that is taken for one unknown sign.
const LONGEST_UNKNOWN: usize = 16;
/// How much rarer it is than a letter; figures and punctuation, prosigns.
const UNKNOWN_RARITY: i32 = 100;
const FIGURE_RARITY: i32 = 8;
const PROSIGN_RARITY: i32 = 40;

/// How an over was keyed, at first sight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    /// The logarithm of the dot's milliseconds.
    dot: i32,
    /// How much longer than usual spaces between letters and words are.
    stretch: i32,
}

/// How fast the last overs were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// The logarithm of the dot's milliseconds.
    dot: i32,
    /// From how many marks that is known.
    marks: u8,
}

impl Speed {
    pub const UNKNOWN: Self = Self {
        dot: USUAL,
        marks: 0,
    };

    /// How long a seventh of a space between words may be in this over, in milliseconds.
    pub fn patience_ms(&self, over: &Over, guess: Guess) -> u32 {
        let dot = exp2(guess.dot.saturating_add(guess.stretch)) >> 8;
        let dot_ms = u32::try_from(dot).unwrap_or(0);
        if self.marks >= KNOWN || over.len() >= usize::from(KNOWN) {
            return dot_ms;
        }
        // Nobody knows yet how slow it is: these may all be dots.
        let shortest = over.strokes().map(|(mark, _)| mark).min().unwrap_or(0);
        let slowest_ms = DOT_MS.checked_div((*WPM.start()).into()).unwrap_or(0);
        dot_ms.max(u32::from(shortest).min(slowest_ms))
    }

    /// The dot, and the stretch of the spaces between letters, that explain an over best.
    pub fn explain(&self, over: &Over) -> Guess {
        let last = over.len().saturating_sub(1);
        // Every second or fourth mark of a long over is enough.
        let skipped = match over.len() {
            0..=64 => 0,
            65..=128 => 1,
            _ => 3,
        };
        let cost = |dot: i32, stretch: i32| {
            let hand = Hand::new(stretch);
            let rarity = ratio(stretch.saturating_mul(STRETCH_RARITY), 256);
            let mut cost = self.cost(dot).saturating_add(rarity);
            for (at, (mark, space)) in over.strokes().enumerate() {
                if at & skipped != 0 {
                    continue;
                }
                let marks = hand.marks(dot, log2(mark));
                cost = cost.saturating_add(least(marks));
                if at != last {
                    let spaces = hand.spaces(dot, log2(space));
                    cost = cost.saturating_add(least(spaces));
                }
            }
            cost
        };
        let dots = (SHORTEST..=LONGEST).step_by(STEP);
        let plain = dots.clone().min_by_key(|dot| cost(*dot, 0));
        let plain = plain.unwrap_or(self.dot);
        // Spaces that are too long change little about the dot.
        let near = dots.filter(|dot| dot.abs_diff(plain) <= NEAR);
        let stretched = near.flat_map(|dot| STRETCHES.map(|stretch| (dot, stretch)));
        let (dot, stretch) = core::iter::once((plain, 0))
            .chain(stretched)
            .min_by_key(|(dot, stretch)| cost(*dot, *stretch))
            .unwrap_or((plain, 0));
        Guess { dot, stretch }
    }

    fn cost(&self, dot: i32) -> i32 {
        let away = dot.saturating_sub(self.dot);
        let spread = if self.marks < KNOWN {
            USUAL_SPREAD
        } else {
            KNOWN_SPREAD
        };
        ratio(away.saturating_mul(away), spread)
    }

    /// An over of so many marks had this dot.
    fn learn(&mut self, dot: i32, marks: usize) {
        // Nobody keys slower; another one may come.
        let dot = dot.clamp(SHORTEST, LONGEST);
        let marks = u8::try_from(marks).unwrap_or(u8::MAX);
        let part = dot.saturating_sub(self.dot).saturating_mul(marks.into());
        let whole = i32::from(marks).saturating_add(4);
        self.dot = self.dot.saturating_add(ratio(part, whole));
        self.marks = self.marks.saturating_add(marks);
    }
}

/// Reads an over.
pub(super) fn read(over: &Over, guess: Guess, speed: &mut Speed) -> Heard {
    let mut model = Model::new(guess);
    let mut signs = model.segment(over);
    for _ in 0..ROUNDS {
        model.learn(over, &signs);
        let better = model.segment(over);
        if better == signs {
            break;
        }
        signs = better;
    }

    let mut heard = Heard::new();
    let (mut ms, mut dots) = (0_u32, 0_u32);
    model.walk(over, &signs, &mut |stroke| {
        for (part, length) in stroke.parts() {
            if matches!(part, Dot | Dash | InLetter) {
                ms = ms.saturating_add(length.into());
                dots = dots.saturating_add(part.dots());
            }
        }
        if let Some(found) = stroke.ends {
            match found {
                Found::Sign(sign) => heard.push(sign.text),
                Found::Dots => heard.push("<HH>"),
                Found::Unknown => heard.push(UNKNOWN.encode_utf8(&mut [0; 4])),
            }
        }
        if matches!(stroke.space, Some((BetweenWords, _))) {
            heard.push(" ");
        }
    });
    let wpm = DOT_MS
        .saturating_mul(dots)
        .saturating_add(ms / 2)
        .checked_div(ms)
        .unwrap_or(0);
    heard.set_wpm(u8::try_from(wpm).unwrap_or(u8::MAX).max(1));
    let dot_ms = ms.checked_div(dots).unwrap_or(1);
    let dot = log2(u16::try_from(dot_ms).unwrap_or(u16::MAX));
    speed.learn(dot, over.len());
    heard
}

/// What ends at each mark, or begins there: an index of [`SIGNS`], or, from
/// [`UNKNOWN_SIGN`] on, so many marks that are none.
type Signs = [u8; MARKS];

const UNKNOWN_SIGN: u8 = 128;

/// What was found where a sign ends.
#[derive(Clone, Copy)]
enum Found {
    Sign(&'static Sign),
    /// Eight dots or more.
    Dots,
    Unknown,
}

/// A mark and the space after it, explained.
struct Stroke {
    at: usize,
    mark: Part,
    mark_ms: u16,
    space: Option<(Part, u16)>,
    /// The sign that ends with this mark.
    ends: Option<Found>,
}

/// What a mark, and the space after it, would cost as what, more than the cheapest
/// each.
#[derive(Clone, Copy, Default)]
struct Costs {
    dot: i32,
    dash: i32,
    in_letter: i32,
    /// The best explanation of all marks before this one.
    before: i32,
}

/// How long the parts are in somebody's hand.
struct Hand {
    /// How much longer than usual, in the order of [`Part`].
    shape: [i32; 5],
    /// How much longer than usual spaces between letters and words are besides.
    stretch: i32,
    sharpness: i32,
}

impl Hand {
    fn new(stretch: i32) -> Self {
        Self {
            shape: [0; 5],
            stretch,
            sharpness: ratio(SHARPNESS, VARIANCE),
        }
    }

    /// How long this part is in this hand.
    fn length(&self, part: Part) -> i32 {
        let shape = self.shape.get(part as usize).copied().unwrap_or(0);
        self.usual(part).saturating_add(shape)
    }

    /// How long it was taken to be at first.
    fn usual(&self, part: Part) -> i32 {
        let stretch = match part {
            BetweenLetters | BetweenWords => self.stretch,
            Dot | Dash | InLetter => 0,
        };
        part.length().saturating_add(stretch)
    }

    fn cost(&self, part: Part, dot: i32, length: i32) -> i32 {
        let usual = dot.saturating_add(self.length(part));
        let mut off = exp2(length.saturating_sub(usual)).saturating_sub(256);
        if part == BetweenWords && off > 0 {
            // A pause may be as long as it likes.
            off /= 4;
        }
        let off = off.min(1_024);
        let cost = off.saturating_mul(off).saturating_mul(self.sharpness) >> 16;
        // Longer ones spread over more milliseconds.
        let spread = usual.saturating_mul(11) >> 8;
        cost.min(MOST)
            .saturating_add(spread)
            .saturating_add(part.rarity())
    }

    /// As a dot and as a dash.
    fn marks(&self, dot: i32, length: i32) -> [i32; 2] {
        [Dot, Dash].map(|part| self.cost(part, dot, length))
    }

    /// As the space within a letter, between letters, between words.
    fn spaces(&self, dot: i32, length: i32) -> [i32; 3] {
        [InLetter, BetweenLetters, BetweenWords].map(|part| self.cost(part, dot, length))
    }
}

/// How an over was keyed.
struct Model {
    /// The logarithm of the dot's milliseconds at each mark.
    tempo: [i16; MARKS],
    hand: Hand,
}

impl Model {
    fn new(guess: Guess) -> Self {
        Self {
            tempo: [short(guess.dot); MARKS],
            hand: Hand::new(guess.stretch),
        }
    }

    /// Finds the sequence of signs that explains an over best; each stands where it
    /// begins.
    fn segment(&self, over: &Over) -> Signs {
        let mut signs: Signs = [0; MARKS];
        // The newest marks, the last one first.
        let mut recent = [Costs::default(); LONGEST_UNKNOWN];
        let mut before = 0;
        let last = over.len().saturating_sub(1);
        let marks = over.strokes().zip(&self.tempo).zip(&mut signs).enumerate();
        for (at, (((mark, space), tempo), ends)) in marks {
            let tempo = i32::from(*tempo);
            let [dot, dash] = self.hand.marks(tempo, log2(mark));
            let mark = dot.min(dash);
            let (in_letter, between) = if at == last {
                (0, 0)
            } else {
                let [in_letter, letter, word] = self.hand.spaces(tempo, log2(space));
                (in_letter, letter.min(word))
            };
            let space = in_letter.min(between);
            recent.rotate_right(1);
            if let Some(newest) = recent.first_mut() {
                *newest = Costs {
                    dot: dot.saturating_sub(mark),
                    dash: dash.saturating_sub(mark),
                    in_letter: in_letter.saturating_sub(space),
                    before,
                };
            }
            let known = at.saturating_add(1).min(recent.len());
            let recent = recent.get(..known).unwrap_or_default();
            let (best, sign) = best(recent);
            *ends = sign;
            before = best.saturating_add(between).saturating_sub(space);
        }
        // Back from the end.
        let mut end = over.len();
        while let Some(at) = end.checked_sub(1) {
            let sign = signs.get(at).copied().unwrap_or(0);
            let begin = end.saturating_sub(len(sign));
            if let Some(begins) = signs.get_mut(begin) {
                *begins = sign;
            }
            end = begin;
        }
        signs
    }

    /// Goes through an over as it was explained.
    fn walk(&self, over: &Over, signs: &Signs, visit: &mut dyn FnMut(Stroke)) {
        let mut strokes = over.strokes().zip(&self.tempo).enumerate();
        let mut at = 0;
        while let Some(&index) = signs.get(at)
            && at < over.len()
        {
            let sign = SIGNS.get(usize::from(index));
            let mut left = sign.map_or(Code::NONE, |sign| sign.code);
            let mut all_dots = true;
            let len = len(index);
            for nth in 1..=len {
                let Some((at, ((mark_ms, space_ms), tempo))) = strokes.next() else {
                    return;
                };
                let tempo = i32::from(*tempo);
                let dash = match left.split_first() {
                    Some((dash, rest)) => {
                        left = rest;
                        dash
                    }
                    None => {
                        let [dot, dash] = self.hand.marks(tempo, log2(mark_ms));
                        dash < dot
                    }
                };
                all_dots &= !dash;
                let ends = nth == len;
                let space = match ends {
                    false => InLetter,
                    true => {
                        let [_, letter, word] = self.hand.spaces(tempo, log2(space_ms));
                        if word < letter {
                            BetweenWords
                        } else {
                            BetweenLetters
                        }
                    }
                };
                let found = match sign {
                    Some(sign) => Found::Sign(sign),
                    None if all_dots && len >= 8 => Found::Dots,
                    None => Found::Unknown,
                };
                visit(Stroke {
                    at,
                    mark: if dash { Dash } else { Dot },
                    mark_ms,
                    space: (at.saturating_add(1) < over.len()).then_some((space, space_ms)),
                    ends: ends.then_some(found),
                });
            }
            at = at.saturating_add(len.max(1));
        }
    }

    /// Learns from an over how this hand keys.
    fn learn(&mut self, over: &Over, signs: &Signs) {
        // How much longer than usual each part is.
        let mut sums = [(0_i32, SHAPE_WEIGHT); 5];
        self.walk(over, signs, &mut |stroke| {
            let tempo = self.tempo_at(stroke.at);
            for (part, length) in stroke.parts() {
                let off = log2(length)
                    .saturating_sub(tempo)
                    .saturating_sub(self.hand.usual(part));
                if let Some((sum, count)) = sums.get_mut(part as usize) {
                    *sum = sum.saturating_add(off.clamp(-2 * SHAPE, 2 * SHAPE));
                    *count = count.saturating_add(1);
                }
            }
        });
        self.hand.shape = sums.map(|(sum, count)| ratio(sum, count).clamp(-SHAPE, SHAPE));

        // How fast it is at each mark, and how much it varies.
        let mut dots = [(0_i16, 0_i16); MARKS];
        let (mut variance, mut count) = (VARIANCE.saturating_mul(VARIANCE_WEIGHT), VARIANCE_WEIGHT);
        self.walk(over, signs, &mut |stroke| {
            let tempo = self.tempo_at(stroke.at);
            for (part, length) in stroke.parts() {
                if part == BetweenWords {
                    continue;
                }
                let off = log2(length)
                    .saturating_sub(tempo)
                    .saturating_sub(self.hand.length(part))
                    .clamp(-160, 160);
                variance = variance.saturating_add(off.saturating_mul(off));
                count = count.saturating_add(1);
                if let Some((sum, count)) = dots.get_mut(stroke.at) {
                    *sum = sum.saturating_add(short(tempo.saturating_add(off)));
                    *count = count.saturating_add(1);
                }
            }
        });
        let variance = ratio(variance, count).clamp(*VARIANCES.start(), *VARIANCES.end());
        self.hand.sharpness = ratio(SHARPNESS, variance);

        let (mut sum, mut count) = (0_i32, 0_i32);
        let mut add = |at: Option<usize>, times: i32| {
            let dots = at.and_then(|at| dots.get(at));
            let (more, n) = dots.copied().unwrap_or((0, 0));
            sum = sum.saturating_add(i32::from(more).saturating_mul(times));
            count = count.saturating_add(i32::from(n).saturating_mul(times));
            ratio(sum, count)
        };
        for at in 0..WINDOW {
            add(Some(at), 1);
        }
        for (at, tempo) in self.tempo.iter_mut().enumerate().take(over.len()) {
            *tempo = short(add(at.checked_add(WINDOW), 1));
            add(at.checked_sub(WINDOW), -1);
        }
    }

    fn tempo_at(&self, at: usize) -> i32 {
        self.tempo.get(at).copied().unwrap_or(0).into()
    }
}

impl Stroke {
    fn parts(&self) -> impl Iterator<Item = (Part, u16)> + use<> {
        let mark = Some((self.mark, self.mark_ms));
        [mark, self.space].into_iter().flatten()
    }
}

/// The best last sign of marks, the newest first, and what it costs with all before it.
fn best(recent: &[Costs]) -> (i32, u8) {
    let (mut least, mut found) = (i32::MAX, 0);
    for (index, sign) in (0_u8..).zip(&SIGNS) {
        let first = usize::from(sign.len).checked_sub(1);
        let Some(first) = first.and_then(|first| recent.get(first)) else {
            continue;
        };
        let mut cost = first.before.wrapping_add(rarity(sign));
        let mut space = 0;
        for (dash, costs) in sign.code.reversed().zip(recent) {
            // Most signs fail at their last mark: nothing costs less than nothing.
            if cost >= least {
                break;
            }
            let mark = if dash { costs.dash } else { costs.dot };
            cost = cost
                .wrapping_add(mark)
                .wrapping_add(costs.in_letter & space);
            space = -1;
        }
        if cost < least {
            (least, found) = (cost, index);
        }
    }
    let mut marks = UNKNOWN_RARITY;
    for (len, costs) in (1_u8..).zip(recent) {
        if len > 1 {
            marks = marks.saturating_add(costs.in_letter);
        }
        let cost = marks.saturating_add(costs.before);
        if cost < least {
            (least, found) = (cost, UNKNOWN_SIGN.saturating_add(len));
        }
    }
    (least, found)
}

/// How many marks a sign has.
fn len(index: u8) -> usize {
    match SIGNS.get(usize::from(index)) {
        Some(sign) => sign.len.into(),
        None => index.saturating_sub(UNKNOWN_SIGN).max(1).into(),
    }
}

fn rarity(sign: &Sign) -> i32 {
    match sign.text.as_bytes() {
        [b'A'..=b'Z'] => 0,
        [b'<', ..] => PROSIGN_RARITY,
        _ => FIGURE_RARITY,
    }
}

/// The logarithm to base 2, in 1/256; of nothing, 0.
fn log2(length: u16) -> i32 {
    let Some(whole) = length.checked_ilog2() else {
        return 0;
    };
    let scaled = u32::from(length).checked_shl(16).unwrap_or(0);
    let part = scaled
        .checked_shr(whole.saturating_add(8))
        .unwrap_or(0)
        .saturating_sub(256);
    let bend = part
        .saturating_mul(256_u32.saturating_sub(part))
        .saturating_mul(88)
        >> 16;
    let log = (whole.saturating_mul(256))
        .saturating_add(part)
        .saturating_add(bend);
    i32::try_from(log).unwrap_or(0)
}

/// The inverse of [`log2`], in 1/256.
fn exp2(log: i32) -> i32 {
    let log = log.clamp(-2_048, 4_095);
    let whole = log >> 8;
    let part = log & 255;
    let bend = part
        .saturating_mul(256_i32.saturating_sub(part))
        .saturating_mul(88)
        >> 16;
    let mantissa = part.saturating_add(256).saturating_sub(bend);
    let shift = whole.unsigned_abs();
    let shifted = if whole < 0 {
        mantissa.checked_shr(shift)
    } else {
        mantissa.checked_shl(shift)
    };
    shifted.unwrap_or(0)
}

fn least<const N: usize>(costs: [i32; N]) -> i32 {
    costs.into_iter().min().unwrap_or(0)
}

fn ratio(part: i32, whole: i32) -> i32 {
    part.checked_div(whole).unwrap_or(0)
}

fn short(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths are compared to a percent or so.
    #[test]
    fn logarithms_are_close() {
        for length in 1..=u16::MAX {
            let exact = 256.0 * f64::from(length).log2();
            assert!((f64::from(log2(length)) - exact).abs() < 5.0, "{length}");
        }
        assert_eq!(log2(0), 0);
        for log in -768..4_095 {
            let exact = 256.0 * (f64::from(log) / 256.0).exp2();
            let off = (f64::from(exp2(log)) - exact).abs();
            assert!(off < 1.0 + exact / 80.0, "{log}: {} {exact}", exp2(log));
        }
        assert_eq!(exp2(i32::MIN), exp2(-2_048));
        assert_eq!(exp2(i32::MAX), exp2(4_095));
    }

    /// The lengths of [`Part`] are the logarithms of its dots.
    #[test]
    fn lengths_are_those_of_the_recommendation() {
        for part in [Dot, Dash, InLetter, BetweenLetters, BetweenWords] {
            let exact = 256.0 * f64::from(part.dots()).log2();
            assert!((f64::from(part.length()) - exact).abs() < 1.0);
        }
    }

    /// A length of 65 s for all marks and spaces, or of none: sums stay in bounds.
    #[test]
    fn extreme_lengths_are_read() {
        for (mark, space) in [(u16::MAX, u16::MAX), (u16::MAX, 0), (0, u16::MAX), (0, 0)] {
            let over = Over::of(&[(mark, space); MARKS]);
            let mut speed = Speed::UNKNOWN;
            for _ in 0..3 {
                let guess = speed.explain(&over);
                let heard = read(&over, guess, &mut speed);
                assert!(!heard.text().is_empty());
                assert!((SHORTEST..=LONGEST).contains(&speed.dot));
            }
        }
    }
}
