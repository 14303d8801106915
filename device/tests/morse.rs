//! Morse code from a sender to a receiver, and from hands that are not perfect.

use aldis_device::morse::{Heard, Receiver, Sender};
use aldis_mqtt::Instant;
use fastrand::Rng;

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

/// Errors per thousand characters, and the greatest error of the speed in percent.
fn measure(hand: Hand, rounds: u64, len: usize, seed: u64) -> (f64, f64) {
    let (mut errors, mut characters, mut off) = (0, 0, 0.0_f64);
    for round in 0..rounds {
        let mut rng = Rng::with_seed(seed + round);
        let text = random_text(len, &mut rng);
        let (strokes, wpm) = hand.keys(&text, &mut rng);
        let heard = Rig::new().hear(&strokes);
        let got: Vec<_> = heard.iter().map(Heard::text).collect();
        let wrong = distance(&text, &got.join(" "));
        if wrong > 0 && std::env::var("SHOW").is_ok() { println!("{seed}+{round}: {text}\n      {}", got.join("|")); }
        errors += wrong;
        characters += text.len();
        for heard in heard {
            off = off.max(((f64::from(heard.wpm()) - wpm).abs() - 0.5) / wpm);
        }
    }
    (1000.0 * errors as f64 / characters as f64, off * 100.0)
}

#[test]
fn explore() {
    for jitter in [0.0, 0.1, 0.15, 0.2] {
        for wpm in [5.0, 8.0, 12.0, 18.0, 25.0] {
            let hand = Hand { jitter, ..Hand::new(wpm) };
            print!("{jitter} {wpm}:");
            for len in [5, 20, 60] {
            let r = measure(hand, (6000 / len) as u64, len, 1);
            print!(" {:.1} ({:.0})", r.0, r.1);
            }
            print!(" |");
            for (dash, space, drift) in [(0.8, 1.0, 1.0), (1.3, 1.0, 1.0), (1.0, 0.8, 1.0), (1.0, 1.3, 1.0), (0.8, 1.3, 1.0), (1.3, 0.8, 1.0), (0.8,0.8,1.0), (1.3,1.3,1.0), (1.0, 1.0, 0.7), (1.0, 1.0, 1.3), (1.0,1.5,1.0), (1.0, 2.0, 1.0)] {
                let r = measure(Hand { dash, space, drift, ..hand }, 100, 60, 1);
                print!(" {:.1} ({:.0})", r.0, r.1);
            }
            println!();
        }
    }
}
