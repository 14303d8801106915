//! The DHT decoder against recordings of real sensors, and against everything else.

use std::fs;
use std::path::{Path, PathBuf};

use aldis_device::dht::{self, Error, Finder, Frame, Model, Part, Pulse, Wave};
use aldis_protocol::Reading;
use proptest::prelude::*;

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/dht")
}

fn recording(name: &str) -> Vec<Pulse> {
    let text = fs::read_to_string(captures().join(name)).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let (level, duration) = line.split_once(',').unwrap();
            Pulse {
                level: level == "1",
                duration_us: duration.parse().unwrap(),
            }
        })
        .collect()
}

fn answers(pulses: &[Pulse], model: Model) -> Vec<Result<Reading, Error>> {
    dht::answers(pulses.iter().copied(), model).collect()
}

/// What `expected.csv` says of a recording.
fn expected(name: &str) -> Vec<Result<Reading, Error>> {
    let tenths = |text: &str| text.replace('.', "").parse::<i16>().unwrap();
    let text = fs::read_to_string(captures().join("expected.csv")).unwrap();
    let rows = text
        .lines()
        .filter(|row| row.split(',').next() == Some(name))
        .map(|row| {
            let fields: Vec<_> = row.split(',').collect();
            Ok(Reading {
                t: tenths(fields[2]),
                h: tenths(fields[3]).unsigned_abs(),
            })
        });
    rows.collect()
}

fn recordings() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(captures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".csv") && name != "expected.csv")
        .collect();
    names.sort();
    assert_eq!(names.len(), 10);
    names
}

/// The answers of a recording as a capture unit sees them: without the host's start pulses.
fn trains(pulses: &[Pulse]) -> Vec<&[Pulse]> {
    pulses
        .split(|pulse| pulse.duration_us > 300)
        .filter(|train| train.len() > 80)
        .collect()
}

/// Real sensors read wrong, an answer lost or one invented.
#[test]
fn recordings_decode_exactly() {
    for name in recordings() {
        assert_eq!(
            answers(&recording(&name), Model::Auto),
            expected(&name),
            "{name}"
        );
    }
}

/// A capture unit hands over single answers, and may miss the release edge or the preamble.
#[test]
fn single_answers_decode_wherever_they_begin() {
    for name in recordings() {
        let pulses = recording(&name);
        let trains = trains(&pulses);
        assert_eq!(trains.len(), expected(&name).len(), "{name}");
        for (train, reading) in trains.into_iter().zip(expected(&name)) {
            // Whole; without the release edge; without the preamble; from within the first low.
            for cut in [0, 1, 3] {
                assert_eq!(
                    dht::decode(&train[cut..], Model::Auto),
                    reading,
                    "{name} from {cut}"
                );
            }
            let mut with_marker = train.to_vec();
            with_marker.push(Pulse::high(0));
            assert_eq!(
                dht::decode(&with_marker, Model::Auto),
                reading,
                "{name} with end marker"
            );
        }
    }
}

/// A part of an answer taken for a whole one would shift bits and invent values.
#[test]
fn every_part_of_an_answer_is_truncated_or_missing() {
    for name in recordings() {
        let pulses = recording(&name);
        for train in trains(&pulses) {
            let whole = train.len().min(84);
            for end in 0..whole {
                let got = dht::decode(&train[..end], Model::Auto);
                let expected = if end < 4 {
                    Error::Missing
                } else {
                    Error::Truncated
                };
                assert_eq!(got, Err(expected), "{name}: the first {end} pulses");
            }
            // What the AM2301 sends after the frame may be missing: capture units are too short.
            for end in whole..train.len() {
                assert!(
                    dht::decode(&train[..end], Model::Auto).is_ok(),
                    "{name}: {end} pulses"
                );
            }
            // Six pulses in, the first bit is gone. What the AM2301 sends after the frame makes
            // up the count, so its rest is damaged, not short.
            for start in 6..whole {
                let got = dht::decode(&train[start..], Model::Auto);
                assert!(got.is_err(), "{name}: from pulse {start}: {got:?}");
            }
        }
    }
}

/// A detached sensor must be told from a failing one.
#[test]
fn nothing_and_a_release_edge_are_missing() {
    for pulses in [
        &[][..],
        &[Pulse::high(40)],
        &[Pulse::high(0)],
        &[Pulse::high(30_000)],
        &[Pulse::low(1_000), Pulse::high(1_000_000)],
        &[
            Pulse::low(1_000),
            Pulse::high(20),
            Pulse::low(2),
            Pulse::high(1_000_000),
        ],
    ] {
        assert_eq!(
            dht::decode(pulses, Model::Auto),
            Err(Error::Missing),
            "{pulses:?}"
        );
    }
    let ignored = recording("am2302_1mhz_delay2000us_100us_low.csv");
    assert_eq!(dht::decode(&ignored, Model::Auto), Err(Error::Missing));
}

/// A sensor of another model must be named as such, never be read.
#[test]
fn another_model_is_refused() {
    for name in recordings() {
        let pulses = recording(&name);
        let (right, wrong) = match name.as_str() {
            "dht11_1mhz.csv" => (Model::Dht11, Model::Dht22),
            _ => (Model::Dht22, Model::Dht11),
        };
        assert_eq!(answers(&pulses, right), expected(&name), "{name}");
        let refused = vec![Err(Error::Model); expected(&name).len()];
        assert_eq!(answers(&pulses, wrong), refused, "{name}");
    }
}

/// Turns a 0 of a recording into a 1, or the other way round.
fn flip(pulse: &mut Pulse) {
    pulse.duration_us = if pulse.duration_us < 50 { 73 } else { 26 };
}

/// A disturbed bit published as a reading.
#[test]
fn every_flipped_bit_is_refused() {
    for name in recordings() {
        let pulses = recording(&name);
        for train in trains(&pulses) {
            for bit in 0..40 {
                let mut damaged = train.to_vec();
                flip(&mut damaged[4 + 2 * bit]);
                for from in [0, 1, 3] {
                    let got = dht::decode(&damaged[from..], Model::Auto);
                    assert_eq!(got, Err(Error::Checksum), "{name}: bit {bit} from {from}");
                }
            }
        }
    }
}

/// Simulated sensors must jitter as real ones do: no more, and no less.
#[test]
fn the_waves_bounds_are_those_recorded() {
    let zero = Part {
        level: true,
        duration_us: 25..=27,
    };
    let one = Part {
        level: true,
        duration_us: 72..=74,
    };
    let mut kinds: Vec<(Part, Vec<u32>)> = Vec::new();
    for name in recordings()
        .iter()
        .filter(|name| name.starts_with("am2302"))
    {
        let pulses = recording(name);
        for (train, reading) in trains(&pulses).into_iter().zip(expected(name)) {
            // The recorded answer tells which kind each of its pulses is.
            for (pulse, part) in train.iter().zip(Wave::new(Frame::dht22(reading.unwrap()))) {
                assert_eq!(pulse.level, part.level, "{name}");
                match kinds.iter_mut().find(|(kind, _)| *kind == part) {
                    Some((_, seen)) => seen.push(pulse.duration_us),
                    None => kinds.push((part, vec![pulse.duration_us])),
                }
            }
        }
    }
    assert!(
        kinds.iter().any(|(kind, _)| *kind == zero) && kinds.iter().any(|(kind, _)| *kind == one)
    );
    for (kind, seen) in kinds {
        let bounds = *seen.iter().min().unwrap()..=*seen.iter().max().unwrap();
        assert_eq!(kind.duration_us, bounds, "{} pulses", seen.len());
    }
}

fn readings() -> impl Strategy<Value = Reading> {
    (-400..=800i16, 0..=1000u16).prop_map(|(t, h)| Reading { t, h })
}

/// The parts of a wave with lengths chosen between their bounds, widened by `slack`.
fn jittered(wave: Vec<Part>, slack: u32) -> impl Strategy<Value = Vec<Pulse>> {
    wave.into_iter()
        .map(|part| {
            let (shortest, longest) = (part.duration_us.start(), part.duration_us.end());
            (shortest.saturating_sub(slack).max(1)..=longest + slack).prop_map(move |duration_us| {
                Pulse {
                    level: part.level,
                    duration_us,
                }
            })
        })
        .collect::<Vec<_>>()
}

/// What is left of one capture spoils the next.
#[test]
fn a_finder_starts_afresh_after_the_end() {
    let pulses = recording("am2302_1mhz_3samples.csv");
    let mut finder = Finder::new(Model::Auto);
    for (train, reading) in trains(&pulses)
        .into_iter()
        .zip(expected("am2302_1mhz_3samples.csv"))
    {
        for pulse in train {
            assert_eq!(finder.push(*pulse), None);
        }
        assert_eq!(finder.finish(), Some(reading));
    }
}

/// A pulse that the capture unit split, or a marker of no length, taken for an edge.
#[test]
fn split_pulses_are_whole() {
    for (name, model) in [
        ("am2302_1mhz.csv", Model::Dht22),
        ("dht11_1mhz.csv", Model::Dht11),
    ] {
        let pulses = recording(name);
        let split: Vec<_> = pulses
            .iter()
            .flat_map(|&Pulse { level, duration_us }| {
                let first = duration_us / 2;
                [(level, first), (!level, 0), (level, duration_us - first)]
            })
            .map(|(level, duration_us)| Pulse { level, duration_us })
            .collect();
        assert_eq!(answers(&split, model), expected(name), "{name}");
    }
}

proptest! {
    /// Sensors out of tolerance: as long as 0 is shorter than 50 µs and 1 is not, they are read.
    #[test]
    fn jittered_answers_decode_back(
        (reading, pulses) in readings().prop_flat_map(|reading| {
            (Just(reading), jittered(Wave::new(Frame::dht22(reading)).collect(), 22))
        }),
        from in 0..2usize,
    ) {
        prop_assert_eq!(pulses.len(), Wave::PARTS);
        prop_assert_eq!(dht::decode(&pulses[from..], Model::Auto), Ok(reading));
        prop_assert_eq!(dht::decode(&pulses[3..], Model::Dht22), Ok(reading));
        prop_assert_eq!(dht::decode(&pulses, Model::Dht11), Err(Error::Model));
    }

    /// A capture that is read at once, read as something else than pulse by pulse.
    #[test]
    fn a_capture_is_read_as_its_pulses_are(
        mut pulses in readings().prop_flat_map(|reading| {
            jittered(Wave::new(Frame::dht22(reading)).collect(), 22)
        }),
        more in jittered(Wave::new(Frame::dht11(40, 20)).collect(), 0),
        // What is wrong: where, whether it comes in between, and for how long it is.
        faults in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<bool>(), prop_oneof![
                Just(0), 1..90u32, 195..205u32, Just(u32::MAX),
            ]),
            0..4,
        ),
        from in 0..4usize,
    ) {
        pulses.extend(more);
        for (at, between, duration_us) in faults {
            let at = at.index(pulses.len());
            let pulse = Pulse { duration_us, ..pulses[at] };
            match between {
                true => pulses.insert(at, pulse),
                false => pulses[at] = pulse,
            }
        }
        for model in [Model::Auto, Model::Dht22, Model::Dht11] {
            let first = answers(&pulses[from..], model).into_iter().next();
            prop_assert_eq!(
                dht::decode(&pulses[from..], model),
                first.unwrap_or(Err(Error::Missing))
            );
        }
    }

    /// A DHT11's values read as a DHT22's.
    #[test]
    fn dht11_answers_decode_back(percent in 5..=95u8, celsius in 0..=60u8) {
        let pulses: Vec<_> =
            Wave::new(Frame::dht11(percent, celsius)).map(|part| part.nominal()).collect();
        let reading = Reading { t: i16::from(celsius) * 10, h: u16::from(percent) * 10 };
        prop_assert_eq!(dht::decode(&pulses, Model::Auto), Ok(reading));
        prop_assert_eq!(dht::decode(&pulses, Model::Dht22), Err(Error::Model));
    }

    /// Noise on the line that panics, or yields more answers than there are edges for, or
    /// differs by how it is cut.
    #[test]
    fn garbage_is_harmless(
        pulses in prop::collection::vec(
            (any::<bool>(), prop_oneof![0..250u32, any::<u32>()])
                .prop_map(|(level, duration_us)| Pulse { level, duration_us }),
            0..400,
        ),
    ) {
        let found = answers(&pulses, Model::Auto);
        prop_assert!(found.len() <= pulses.len() / 3 + 1);
        for reading in found.into_iter().flatten() {
            prop_assert!((-400..=800).contains(&reading.t) && reading.h <= 1000);
        }
        let first = answers(&pulses, Model::Auto).into_iter().next();
        prop_assert_eq!(
            dht::decode(&pulses, Model::Auto),
            first.unwrap_or(Err(Error::Missing))
        );
        let mut finder = Finder::new(Model::Auto);
        for pulse in pulses {
            finder.push(pulse);
        }
        finder.finish();
        prop_assert_eq!(finder.finish(), None);
    }
}
