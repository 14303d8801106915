//! Morse code from a sender to a receiver, and from hands that are not perfect.

use std::ops::RangeInclusive;

use aldis_device::morse::{Heard, NotSendable, Receiver, Sender, TEXT_LEN};
use aldis_mqtt::Instant;
use fastrand::Rng;
use proptest::prelude::*;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// Lights and darks of a text, in dots. The space after it is left out.
fn dots(text: &str) -> Vec<(bool, u32)> {
    let mut sender = Sender::new(text, 12).unwrap();
    let (mut now, mut dots) = (at(0), Vec::new());
    while let Some((lit, until)) = sender.run(now) {
        dots.push((lit, u32::try_from(until.since(now)).unwrap() / 100));
        now = until;
    }
    dots.pop();
    dots
}

/// Somebody at a key.
#[derive(Clone, Copy, Debug)]
struct Hand {
    wpm: f64,
    /// The speed at the end, over that at the beginning.
    drift: f64,
    /// The standard deviation of each length, as a part of it.
    jitter: f64,
    /// How long dashes are, and spaces, over what they should be.
    dash: f64,
    space: f64,
}

impl Hand {
    const fn new(wpm: f64) -> Self {
        Self {
            wpm,
            drift: 1.0,
            jitter: 0.0,
            dash: 1.0,
            space: 1.0,
        }
    }

    /// Lights and darks in milliseconds, and the speed of the letters.
    fn keys(self, text: &str, rng: &mut Rng) -> (Vec<(bool, u64)>, f64) {
        let dots = dots(text);
        let all: u32 = dots.iter().map(|(_, dots)| dots).sum();
        let (mut passed, mut counted, mut ms) = (0, 0, 0.0);
        let mut strokes = Vec::new();
        for (lit, length) in dots {
            let progress = f64::from(passed) / f64::from(all);
            let wpm = self.wpm * (1.0 + (self.drift - 1.0) * progress);
            let weight = match (lit, length) {
                (true, 3) => self.dash,
                (true, _) => 1.0,
                (false, 1) => self.space.min(1.3),
                (false, _) => self.space,
            };
            let usual = 1_200.0 / wpm * f64::from(length) * weight;
            let lasts = usual * (1.0 + self.jitter * normal(rng)).max(0.2);
            strokes.push((lit, lasts.round() as u64));
            passed += length;
            if lit || length < 3 {
                counted += length;
                ms += lasts;
            }
        }
        (strokes, 1_200.0 * f64::from(counted) / ms)
    }
}

/// A number of the standard normal distribution.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// A receiver and its clock.
struct Rig {
    receiver: Receiver,
    now: u64,
}

impl Rig {
    fn new() -> Self {
        Self {
            receiver: Receiver::new(),
            now: 1_000,
        }
    }

    /// Keys a text without a fault, and says what was heard.
    fn exact(&mut self, text: &str, wpm: u8) -> (String, u8) {
        let (strokes, _) = Hand::new(wpm.into()).keys(text, &mut Rng::with_seed(0));
        let heard = self.hear(&strokes);
        assert_eq!(heard.len(), 1, "{text} at {wpm}: {heard:?}");
        (heard[0].text().to_owned(), heard[0].wpm())
    }

    /// Keys this and waits for the end of the over.
    fn hear(&mut self, strokes: &[(bool, u64)]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for (lit, ms) in strokes {
            heard.extend(self.receiver.key(*lit, at(self.now)));
            self.now += ms;
        }
        heard.extend(self.receiver.key(false, at(self.now)));
        while self.receiver.deadline() != Instant::NEVER {
            self.now = self.now.max(self.receiver.deadline().as_millis());
            heard.extend(self.receiver.run(at(self.now)));
        }
        heard
    }
}

/// Words of letters, figures and punctuation by chance.
fn random_text(len: usize, rng: &mut Rng) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const OTHERS: &[u8] = b"0123456789.,:?'-/()\"=+@";
    let mut text = String::new();
    while text.len() < len {
        for _ in 0..rng.usize(1..=8) {
            let from = if rng.u8(0..10) < 8 { LETTERS } else { OTHERS };
            text.push(char::from(*rng.choice(from).unwrap()));
        }
        text.push(' ');
    }
    text.trim_end().to_owned()
}

/// How many characters have to be inserted, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// How well a hand is read.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    /// Errors per thousand characters.
    errors: f64,
    /// The greatest error of the speed in percent, beyond its rounding.
    speed: f64,
}

/// Has a hand key texts by chance, each to a receiver that has heard nothing yet.
fn score(hand: Hand, texts: u64, len: usize) -> Score {
    let (mut errors, mut characters, mut speed) = (0, 0, 0.0_f64);
    for seed in 0..texts {
        let mut rng = Rng::with_seed(seed);
        let text = random_text(len, &mut rng);
        let (strokes, wpm) = hand.keys(&text, &mut rng);
        let heard = Rig::new().hear(&strokes);
        let parts: Vec<_> = heard.iter().map(Heard::text).collect();
        let wrong = distance(&text, &parts.join(" "));
        // Lengths that vary by a tenth are read without errors.
        assert!(
            wrong == 0 || hand.jitter > 0.1,
            "seed {seed}, {hand:?}:\n{text}\n{parts:?}"
        );
        errors += wrong;
        characters += text.len();
        for heard in heard {
            let off = (f64::from(heard.wpm()) - wpm).abs() - 0.5;
            speed = speed.max(100.0 * off / wpm);
        }
    }
    Score {
        errors: 1_000.0 * errors as f64 / characters as f64,
        speed,
    }
}

const SPEEDS: [f64; 5] = [5.0, 8.0, 12.0, 18.0, 25.0];

/// What ITU-R M.1677-1 says, what else is sent, and the prosigns with the letters they
/// are written with.
const TABLE: &[(&str, &str)] = &[
    ("A", ".-"),
    ("B", "-..."),
    ("C", "-.-."),
    ("D", "-.."),
    ("E", "."),
    ("É", "..-.."),
    ("F", "..-."),
    ("G", "--."),
    ("H", "...."),
    ("I", ".."),
    ("J", ".---"),
    ("K", "-.-"),
    ("L", ".-.."),
    ("M", "--"),
    ("N", "-."),
    ("O", "---"),
    ("P", ".--."),
    ("Q", "--.-"),
    ("R", ".-."),
    ("S", "..."),
    ("T", "-"),
    ("U", "..-"),
    ("V", "...-"),
    ("W", ".--"),
    ("X", "-..-"),
    ("Y", "-.--"),
    ("Z", "--.."),
    ("1", ".----"),
    ("2", "..---"),
    ("3", "...--"),
    ("4", "....-"),
    ("5", "....."),
    ("6", "-...."),
    ("7", "--..."),
    ("8", "---.."),
    ("9", "----."),
    ("0", "-----"),
    (".", ".-.-.-"),
    (",", "--..--"),
    (":", "---..."),
    ("?", "..--.."),
    ("'", ".----."),
    ("-", "-....-"),
    ("/", "-..-."),
    ("(", "-.--."),
    (")", "-.--.-"),
    ("\"", ".-..-."),
    ("=", "-...-"),
    ("<SN>", "...-."),
    ("<HH>", "........"),
    ("+", ".-.-."),
    ("<AS>", ".-..."),
    ("<SK>", "...-.-"),
    ("<KA>", "-.-.-"),
    ("@", ".--.-."),
    ("!", "-.-.--"),
    (";", "-.-.-."),
    ("$", "...-..-"),
    ("_", "..--.-"),
    ("<SOS>", "...---..."),
    ("<BK>", "-...-.-"),
    ("<CL>", "-.-..-.."),
];

/// The marks of a text, letters apart.
fn picture(text: &str) -> String {
    let parts = dots(text).into_iter().map(|part| match part {
        (true, 1) => ".",
        (true, 3) => "-",
        (false, 1) => "",
        (false, 3) => " ",
        (false, 7) => " / ",
        other => panic!("{other:?}"),
    });
    parts.collect()
}

#[test]
fn the_table_is_that_of_the_recommendation() {
    for (sign, marks) in TABLE {
        assert_eq!(picture(sign), *marks, "{sign}");
        assert_eq!(picture(&sign.to_lowercase()), *marks, "{sign}");
    }
    for (other, marks) in [
        ("<VE>", "...-."),
        ("<VA>", "...-.-"),
        ("<CT>", "-.-.-"),
        ("<AR>", ".-.-."),
        ("<BT>", "-...-"),
        ("<KN>", "-.--."),
        ("×", "-..-"),
        ("÷", "---..."),
        ("<a1>", ".-.----"),
    ] {
        assert_eq!(picture(other), marks, "{other}");
    }
    // Nothing else of ASCII.
    for byte in 33..127 {
        let text = char::from(byte).to_ascii_uppercase().to_string();
        let known = text == "%" || TABLE.iter().any(|(sign, _)| *sign == text);
        assert_eq!(Sender::new(&text, 12).is_ok(), known, "{text}");
    }
}

#[test]
fn every_sign_comes_back_at_every_speed() {
    for wpm in 5..=25 {
        // All in one over, or rather two, because it holds 256 marks.
        let (first, second) = TABLE.split_at(TABLE.len() / 2);
        for half in [first, second] {
            let signs: Vec<_> = half.iter().map(|(sign, _)| *sign).collect();
            for text in [signs.concat(), format!("PARIS {}", signs[..9].join(" "))] {
                let heard = Rig::new().exact(&text, wpm);
                assert_eq!(heard, (text, wpm));
            }
        }
        // Each alone, once the speed is known.
        let mut rig = Rig::new();
        rig.exact("PARIS PARIS", wpm);
        for (sign, _) in TABLE {
            let heard = rig.exact(sign, wpm);
            assert_eq!(heard, ((*sign).to_owned(), wpm));
        }
    }
}

/// Nobody has keyed before, and the text is one kind of mark alone.
#[test]
fn few_marks_alone_make_sense() {
    for wpm in 10..=20 {
        for text in [
            "E", "T", "SOS", "TEST", "E E E", "HI", "5", "0", "MOM", "SHE IS", "TOM",
        ] {
            let heard = Rig::new().exact(text, wpm);
            assert_eq!(heard, (text.to_owned(), wpm));
        }
    }
    for wpm in 5..=25 {
        for text in ["SOS", "HE IS HIS", "MOTTO", "0 0", "55 55"] {
            let heard = Rig::new().exact(text, wpm);
            assert_eq!(heard, (text.to_owned(), wpm));
        }
    }
}

/// Hands vary: by a tenth nothing is misread, whatever the length of dashes and spaces.
/// Above that, errors are counted; `--nocapture` shows the table of `docs/morse.md`.
#[test]
fn hands_that_vary_are_read() {
    println!("errors per thousand characters, by the speed");
    for (jitter, most) in [(0.1, 0.0), (0.15, 8.0), (0.2, 55.0)] {
        for len in [5, 20, 60] {
            print!("varies by {jitter}, {len:2} characters:");
            for wpm in SPEEDS {
                let hand = Hand {
                    jitter,
                    ..Hand::new(wpm)
                };
                let score = score(hand, 6_000 / len as u64, len);
                print!(" {:5.1}", score.errors);
                assert!(score.errors <= most, "{hand:?}: {score:?}");
                // Of a few marks the speed is a guess.
                assert!(len < 60 || score.speed <= 10.0, "{hand:?}: {score:?}");
            }
            println!();
        }
    }
}

#[test]
fn hands_with_their_own_lengths_are_read() {
    let weights = [0.8, 1.0, 1.3];
    println!("errors per thousand characters, by the speed");
    for (jitter, most) in [(0.1, 0.0), (0.15, 20.0), (0.2, 120.0)] {
        for dash in weights {
            for space in weights {
                print!("varies by {jitter}, dashes {dash}, spaces {space}:");
                for wpm in SPEEDS {
                    let hand = Hand {
                        jitter,
                        dash,
                        space,
                        ..Hand::new(wpm)
                    };
                    let score = score(hand, 50, 60);
                    print!(" {:5.1}", score.errors);
                    assert!(score.errors <= most, "{hand:?}: {score:?}");
                    // At 5 words a minute, a space after the first letter may end the over.
                    let known = wpm > 5.0 || space < 1.3;
                    assert!(!known || score.speed <= 10.0, "{hand:?}: {score:?}");
                }
                println!();
            }
        }
    }
}

/// Somebody gets tired, or into the swing.
#[test]
fn a_speed_that_drifts_is_followed() {
    println!("errors per thousand characters, by the speed");
    for (jitter, most) in [(0.0, 0.0), (0.1, 0.0), (0.2, 60.0)] {
        for drift in [0.7, 1.3] {
            print!("varies by {jitter}, drifts to {drift}:");
            for wpm in SPEEDS {
                let hand = Hand {
                    jitter,
                    drift,
                    ..Hand::new(wpm)
                };
                let score = score(hand, 100, 60);
                print!(" {:5.1}", score.errors);
                assert!(score.errors <= most, "{hand:?}: {score:?}");
                assert!(score.speed <= 10.0, "{hand:?}: {score:?}");
            }
            println!();
        }
    }
}

/// Who learns leaves more room between letters and words, up to twice as much.
#[test]
fn learners_are_read() {
    for wpm in [12.0, 18.0, 25.0] {
        for space in [1.5, 2.0] {
            for jitter in [0.0, 0.1] {
                let hand = Hand {
                    jitter,
                    space,
                    ..Hand::new(wpm)
                };
                let score = score(hand, 100, 60);
                assert!(score.speed <= 10.0, "{hand:?}: {score:?}");
            }
        }
    }
}

fn keys(marks: &[u64], space: u64) -> Vec<(bool, u64)> {
    let both = marks.iter().flat_map(|ms| [(true, *ms), (false, space)]);
    let mut keys: Vec<_> = both.collect();
    keys.pop();
    keys
}

#[test]
fn eight_dots_or_more_are_an_error() {
    let prefix = Hand::new(12.0).keys("PARIS ", &mut Rng::with_seed(0)).0;
    for (count, sign) in [(7, "#"), (8, "<HH>"), (9, "<HH>"), (14, "<HH>")] {
        let mut strokes = prefix.clone();
        strokes.push((false, 700));
        strokes.extend(keys(&vec![100; count], 100));
        let heard = Rig::new().hear(&strokes);
        assert_eq!(heard[0].text(), format!("PARIS {sign}"), "{count}");
    }
}

#[test]
fn unknown_marks_are_shown_as_such() {
    for (text, heard) in [
        ("CQ <OO> K", "CQ # K"),
        ("CQ <UT> K", "CQ # K"),
        ("CQ <AA> K", "CQ # K"),
        ("CQ <QQQQ> K", "CQ # K"),
    ] {
        assert_eq!(Rig::new().exact(text, 12).0, heard, "{text}");
    }
}

/// A contact that closes for a moment, in a mark or between marks, is no mark.
#[test]
fn noise_ruins_nothing() {
    let (strokes, _) = Hand::new(12.0).keys("CQ DE LY1A", &mut Rng::with_seed(0));
    let mut noisy = Vec::new();
    for (lit, ms) in strokes {
        noisy.extend([(lit, ms / 2), (!lit, 9), (lit, ms - ms / 2 - 9)]);
    }
    let heard = Rig::new().hear(&noisy);
    assert_eq!((heard.len(), heard[0].text()), (1, "CQ DE LY1A"));
    assert_eq!(heard[0].wpm(), 12);

    // Noise alone is nothing, and does not keep an over from its end.
    let mut rig = Rig::new();
    assert_eq!(rig.hear(&keys(&[9; 1_000], 50)), []);
    assert_eq!(rig.receiver.key(true, at(rig.now)), None);
    assert_eq!(rig.receiver.key(false, at(rig.now + 100)), None);
    let mut now = rig.now + 100;
    let heard = loop {
        now += 300;
        let noise = rig.receiver.key(true, at(now));
        let heard = noise.or(rig.receiver.key(false, at(now + 5)));
        if let Some(heard) = heard {
            break heard;
        }
        assert!(now < rig.now + 3_000);
    };
    assert_eq!(heard.text(), "E");
}

/// Somebody sits on the key.
#[test]
fn a_key_that_is_held_sends_nothing() {
    let hour = 3_600_000;
    let mut rig = Rig::new();
    assert_eq!(rig.hear(&[(true, hour)]), []);
    assert_eq!(rig.exact("TEST", 12).0, "TEST");

    // What came before is told when it is clear that the mark is none.
    let (mut strokes, _) = Hand::new(12.0).keys("TEST", &mut Rng::with_seed(0));
    strokes.push((false, 300));
    for (lit, ms) in strokes {
        assert_eq!(rig.receiver.key(lit, at(rig.now)), None);
        rig.now += ms;
    }
    assert_eq!(rig.receiver.key(true, at(rig.now)), None);
    assert_eq!(rig.receiver.deadline(), at(rig.now + 10_000));
    assert_eq!(rig.receiver.run(at(rig.now + 9_999)), None);
    let heard = rig.receiver.run(rig.receiver.deadline()).unwrap();
    assert_eq!(heard.text(), "TEST");
    assert_eq!(rig.receiver.deadline(), Instant::NEVER);
    assert_eq!(rig.receiver.run(at(rig.now + hour)), None);
    assert_eq!(rig.receiver.key(false, at(rig.now + hour)), None);
    assert_eq!(rig.receiver.deadline(), Instant::NEVER);
}

/// Marks of seconds are read somehow; nobody keys at no speed at all.
#[test]
fn the_slowest_speed_is_one() {
    let heard = Rig::new().hear(&keys(&[9_000, 9_000, 9_000], 1_500));
    assert_eq!((heard.len(), heard[0].wpm()), (1, 1), "{heard:?}");
}

/// Hundreds of marks without a pause come in parts; no letter is torn.
#[test]
fn a_long_over_comes_in_parts() {
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let words: Vec<_> = (0..3).map(|_| random_text(70, &mut rng)).collect();
        let strokes: Vec<_> = words
            .iter()
            .flat_map(|text| {
                let mut strokes = Hand::new(18.0).keys(text, &mut Rng::with_seed(0)).0;
                strokes.push((false, 467));
                strokes
            })
            .collect();
        let heard = Rig::new().hear(&strokes);
        let texts: Vec<_> = heard.iter().map(Heard::text).collect();
        assert!(texts.len() > 1, "seed {seed}: {texts:?}");
        let squeeze = |text: &str| text.replace(' ', "");
        assert_eq!(
            squeeze(&texts.concat()),
            squeeze(&words.concat()),
            "seed {seed}"
        );
    }
}

/// A loop that was busy asks late; the over before must not flow into the next one.
#[test]
fn overs_that_are_fetched_late_stay_apart() {
    let mut receiver = Receiver::new();
    let mut now = 0;
    let mut heard = Vec::new();
    for text in ["CQ", "TEST", "K"] {
        for (lit, ms) in Hand::new(12.0).keys(text, &mut Rng::with_seed(0)).0 {
            heard.extend(receiver.key(lit, at(now)));
            now += ms;
        }
        heard.extend(receiver.key(false, at(now)));
        now += 60_000;
    }
    heard.extend(receiver.run(at(now)));
    let texts: Vec<_> = heard.iter().map(Heard::text).collect();
    assert_eq!(texts, ["CQ", "TEST", "K"]);
}

/// Fast and slow take turns: the speed of the last over is a hint, not a rule.
#[test]
fn another_sender_at_the_same_key_is_read() {
    let mut rig = Rig::new();
    for round in 0..6 {
        for wpm in [5, 25, 12, 20, 8] {
            let text = "CQ DE LY1A K";
            assert_eq!(rig.exact(text, wpm), (text.to_owned(), wpm), "{round}");
        }
    }
}

#[test]
fn paris_is_fifty_dots() {
    for wpm in 5..=40 {
        let sender = Sender::new("Paris", wpm).unwrap();
        assert_eq!(sender.duration_ms(), 60_000 / u32::from(wpm), "{wpm}");
    }
    // A minute's words last a minute.
    let text = ["PARIS"; 12].join(" ");
    assert_eq!(Sender::new(&text, 12).unwrap().duration_ms(), 60_000);
}

/// The moments of a text's changes, at a speed whose dot is no whole number of
/// milliseconds, by another way.
fn changes(text: &str, wpm: u64) -> Vec<(u64, bool)> {
    let mut passed = 0;
    let mut changes = Vec::new();
    for (lit, length) in dots(text) {
        changes.push((u64::from(passed) * 1_200 / wpm, lit));
        passed += length;
    }
    changes.push((u64::from(passed) * 1_200 / wpm, false));
    changes
}

/// A dot at 7 words a minute is 171.4 ms: rounded each for itself, a long text would end
/// too early.
#[test]
fn no_error_adds_up() {
    let text = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG 0123456789";
    for wpm in [7_u8, 11, 13, 17, 23, 37] {
        let mut sender = Sender::new(text, wpm).unwrap();
        let begin = 123_456;
        sender.begin(at(begin));
        assert_eq!(sender.run(at(0)), Some((false, at(begin))));
        let mut now = begin;
        let mut got = Vec::new();
        while let Some((lit, until)) = sender.run(at(now)) {
            got.push((now - begin, lit));
            now = until.as_millis();
        }
        assert_eq!(got, changes(text, wpm.into()), "{wpm}");
        assert_eq!(now - begin, u64::from(sender.duration_ms()), "{wpm}");
    }
}

/// A board that is busy asks when it can.
#[test]
fn a_sender_that_is_asked_late_catches_up() {
    let text = "CQ CQ DE LY1A <SK>";
    let changes = changes(text, 17);
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut sender = Sender::new(text, 17).unwrap();
        let most = rng.u64(1..3_000);
        let mut now = 0;
        while let Some((lit, until)) = sender.run(at(now)) {
            let before = changes.iter().rev().find(|(ms, _)| *ms <= now);
            assert_eq!(lit, before.unwrap().1, "seed {seed} at {now}");
            if let Some((next, _)) = changes.iter().find(|(ms, _)| *ms > now) {
                assert_eq!(until, at(*next), "seed {seed} at {now}");
            }
            now += rng.u64(0..=most);
        }
        assert!(now >= sender.duration_ms().into(), "seed {seed}");
    }
    // Asked after the end for the first time since the beginning.
    let mut sender = Sender::new(text, 17).unwrap();
    assert!(sender.run(at(5)).unwrap().0);
    assert_eq!(sender.run(at(1_000_000)), None);
    assert_eq!(sender.run(at(1_000_001)), None);
}

#[test]
fn texts_are_folded() {
    for (text, same) in [
        ("  cq\t\r\n de   ly1a ", "CQ DE LY1A"),
        ("ąčęėįšųūž", "ACEEISUUZ"),
        ("ŻÓŁĆ GĘŚLĄ JAŹŃ", "ZOLC GESLA JAZN"),
        ("Grüße, schöne Mädchen", "GRUESSE, SCHOENE MAEDCHEN"),
        ("STRAẞE", "STRASSE"),
        ("„taip“ – ’ne’…", "\"TAIP\" - 'NE'..."),
        ("t=24.1, h=45%", "T=24.1, H=45-0/0"),
        ("% 3‰", "0/0 3-0/00"),
        ("café", "CAFÉ"),
        ("2×3", "2X3"),
    ] {
        assert_eq!(picture(text), picture(same), "{text}");
    }
    assert_eq!(picture("A B"), ".- / -...");
    assert_eq!(picture("A<SK>B"), ".- ...-.- -...");
    assert_eq!(picture("A <sk> <ar>"), ".- / ...-.- / .-.-.");
}

#[test]
fn what_cannot_be_sent_is_refused() {
    use NotSendable::{Bracket, Character, Empty, Speed, TooLong};
    for (text, error) in [
        ("", Empty),
        (" \n\t ", Empty),
        ("a#b", Character('#')),
        ("20 °C", Character('°')),
        ("Ω", Character('Ω')),
        ("да", Character('д')),
        ("a\u{7}", Character('\u{7}')),
        ("👍", Character('👍')),
        ("<SK", Bracket),
        ("SK>", Bracket),
        ("<>", Bracket),
        ("<S K>", Bracket),
        ("<<SK>>", Bracket),
        ("<?>", Bracket),
    ] {
        assert_eq!(Sender::new(text, 12).unwrap_err(), error, "{text}");
    }
    for wpm in [0, 4, 41, 255] {
        assert_eq!(Sender::new("CQ", wpm).unwrap_err(), Speed);
    }
    let longest = "E".repeat(TEXT_LEN);
    assert!(Sender::new(&longest, 5).is_ok());
    assert!(Sender::new(&format!(" {longest} "), 5).is_ok());
    assert_eq!(Sender::new(&format!("{longest}E"), 5).unwrap_err(), TooLong);
    assert_eq!(Sender::new(&"ß".repeat(129), 5).unwrap_err(), TooLong);
    assert_eq!(Sender::new(&"E ".repeat(32_768), 5).unwrap_err(), TooLong);
    assert_eq!(Character('Ω').to_string(), "Morse code does not have 'Ω'");
    assert_eq!(
        Character('\u{7}').to_string(),
        "Morse code does not have U+0007"
    );
    assert_eq!(Bracket.to_string(), Bracket.as_str());
}

/// Presses, releases and moments in any order, also backwards.
fn edges(
    step_ms: RangeInclusive<i64>,
    len: usize,
) -> impl Strategy<Value = Vec<(Option<bool>, i64)>> {
    prop::collection::vec((any::<Option<bool>>(), step_ms), 0..len)
}

fn key_anything(edges: &[(Option<bool>, i64)], begin: u64) {
    let mut receiver = Receiver::new();
    let mut now = begin;
    for (edge, ms) in edges {
        let heard = match edge {
            Some(pressed) => receiver.key(*pressed, at(now)),
            None => receiver.run(at(now)),
        };
        if let Some(heard) = heard {
            assert!(!heard.text().is_empty());
            assert!(heard.wpm() > 0, "{heard:?}");
        }
        now = now.saturating_add_signed(*ms);
    }
    // It comes to rest.
    for _ in 0..4 {
        now = now.max(receiver.deadline().as_millis().min(u64::MAX - 1));
        let _ = receiver.run(at(now));
    }
    assert_eq!(receiver.deadline(), Instant::NEVER);
}

proptest! {
    #[test]
    fn no_keying_breaks_the_receiver(edges in edges(0..=500, 2_000)) {
        key_anything(&edges, 0);
    }

    #[test]
    fn no_moments_break_the_receiver(edges in edges(-20_000..=70_000, 300)) {
        key_anything(&edges, 1_000_000);
        key_anything(&edges, 0);
    }

    #[test]
    fn no_moment_is_too_large(edges in edges(i64::MIN..=i64::MAX, 50)) {
        key_anything(&edges, u64::MAX - 1_000);
    }

    /// What is taken can be played to its end, and lasts as long as it says.
    #[test]
    fn any_text_is_sent_or_refused(text in "\\PC{0,80}|[A-Za-z0-9 <>?ąß%\n]{0,300}", wpm in 5_u8..=40) {
        let Ok(mut sender) = Sender::new(&text, wpm) else {
            return Ok(());
        };
        let mut now = 7_u64;
        let mut steps = 0;
        while let Some((_, until)) = sender.run(at(now)) {
            prop_assert!(until.as_millis() > now);
            now = until.as_millis();
            steps += 1;
            prop_assert!(steps < 10_000);
        }
        prop_assert_eq!(now - 7, u64::from(sender.duration_ms()));
    }

    /// A perfect hand is read without errors, whatever it keys.
    #[test]
    fn any_text_comes_back(seed: u64, len in 1_usize..60, wpm in 5_u8..=25) {
        let text = random_text(len, &mut Rng::with_seed(seed));
        let mut rig = Rig::new();
        rig.exact("PARIS PARIS", wpm);
        let heard = rig.exact(&text, wpm);
        prop_assert_eq!(heard, (text, wpm));
    }
}
