//! Recordings of real sensors: comma-separated levels and durations.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aldis_device::dht::Pulse;

use super::PulseSource;

/// The first line of a recording.
const HEADER: &str = "level,duration_us";
/// Hours of answers, one after the other, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;
/// A level held longer than this is idle (high) or the host's start pulse (low).
const QUIET_US: u32 = 300;

/// The pulses of a recording, as taken from the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pulses: Vec<Pulse>,
}

impl Recording {
    /// Reads a recording from a file.
    ///
    /// # Errors
    /// If the file cannot be read or is no recording.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let name = path.display().to_string();
        match fs::File::open(path) {
            Ok(file) => Self::read_from(&name, file),
            Err(error) => Err(RecordingError::unreadable(&name, error)),
        }
    }

    /// Reads a recording from a stream, which `name` is what the message calls.
    ///
    /// # Errors
    /// If it cannot be read, or is no recording, or larger than any is.
    pub fn read_from(name: &str, stream: impl io::Read) -> Result<Self, RecordingError> {
        let mut bytes = Vec::new();
        let read = io::Read::read_to_end(&mut stream.take(LARGEST + 1), &mut bytes);
        match read {
            Ok(len) if len as u64 > LARGEST => Err(RecordingError {
                name: name.to_owned(),
                problem: Problem::TooLarge,
            }),
            Ok(_) => Self::parse(name, &bytes),
            Err(error) => Err(RecordingError::unreadable(name, error)),
        }
    }

    /// Takes the text of a recording: the header `level,duration_us`, then a row for each pulse.
    ///
    /// # Errors
    /// If this is no recording; `name` is what the message calls it.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, RecordingError> {
        let refuse = |problem| RecordingError {
            name: name.to_owned(),
            problem,
        };
        // Spreadsheets on some systems put a byte order mark first.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut lines = text
            .split(|&byte| byte == b'\n')
            .map(String::from_utf8_lossy)
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim().to_owned()))
            .filter(|(_, line)| !line.is_empty());
        match lines.next() {
            None => return Err(refuse(Problem::Empty)),
            Some((_, header)) if header == HEADER => {}
            Some((line, found)) => return Err(refuse(Problem::Header { line, found })),
        }
        let mut pulses: Vec<Pulse> = Vec::new();
        for (line, row) in lines {
            let pulse = pulse(&row).map_err(|row| refuse(Problem::Row { line, row }))?;
            if pulses.last().is_some_and(|last| last.level == pulse.level) {
                let level = u8::from(pulse.level);
                let row = BadRow::Repeats(level);
                return Err(refuse(Problem::Row { line, row }));
            }
            pulses.push(pulse);
        }
        if pulses.is_empty() {
            return Err(refuse(Problem::Empty));
        }
        Ok(Self { pulses })
    }

    /// Every pulse, start pulses and idle times included.
    pub fn pulses(&self) -> &[Pulse] {
        &self.pulses
    }

    /// What came back for each start pulse; nothing where the sensor did not answer.
    ///
    /// Answers without a start pulse, as a capture unit records them, count too.
    pub fn measurements(&self) -> Vec<&[Pulse]> {
        let mut measurements = Vec::new();
        let mut open = None;
        for (at, pulse) in self.pulses.iter().enumerate() {
            match (pulse.duration_us > QUIET_US, pulse.level) {
                (true, true) => measurements.extend(open.take().map(|from| (from, at))),
                (true, false) => measurements.extend(open.replace(at + 1).map(|from| (from, at))),
                (false, _) => {
                    open.get_or_insert(at);
                }
            }
        }
        measurements.extend(open.map(|from| (from, self.pulses.len())));
        measurements
            .into_iter()
            .filter_map(|(from, to)| self.pulses.get(from..to))
            .collect()
    }
}

fn pulse(row: &str) -> Result<Pulse, BadRow> {
    let mut fields = row.split(',').map(str::trim);
    let (Some(level), Some(duration), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(BadRow::Fields(row.to_owned()));
    };
    let level = match level {
        "0" => false,
        "1" => true,
        _ => return Err(BadRow::Level(level.to_owned())),
    };
    match duration.parse() {
        Ok(duration_us) if duration_us > 0 => Ok(Pulse { level, duration_us }),
        _ => Err(BadRow::Duration(duration.to_owned())),
    }
}

/// Why something is no recording: which file, which line, and what would be right.
#[derive(Debug)]
pub struct RecordingError {
    name: String,
    problem: Problem,
}

impl RecordingError {
    /// The recording could not even be read.
    pub fn unreadable(name: &str, error: io::Error) -> Self {
        Self {
            name: name.to_owned(),
            problem: Problem::Unreadable(error),
        }
    }
}

#[derive(Debug)]
enum Problem {
    Unreadable(io::Error),
    TooLarge,
    Empty,
    Header { line: usize, found: String },
    Row { line: usize, row: BadRow },
}

#[derive(Debug)]
enum BadRow {
    Fields(String),
    Level(String),
    Duration(String),
    Repeats(u8),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.problem {
            Problem::Unreadable(error) => write!(f, "{name}: cannot be read: {error}"),
            Problem::TooLarge => write!(
                f,
                "{name}: has more than {} MiB; no recording is so large",
                LARGEST / (1024 * 1024)
            ),
            Problem::Empty => write!(
                f,
                "{name}: there is nothing in it; a recording is the line `{HEADER}`, then a row \
                 such as `1,26` for each pulse"
            ),
            Problem::Header { line, found } => write!(
                f,
                "{name}:{line}: `{}` should be `{HEADER}`, the first line of a recording",
                Short(found)
            ),
            Problem::Row { line, row } => write!(f, "{name}:{line}: {row}"),
        }
    }
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(row) => write!(
                f,
                "`{}` should be a level and a duration with a comma between, such as `1,26`",
                Short(row)
            ),
            Self::Level(level) => {
                write!(f, "level `{}` should be 0 (low) or 1 (high)", Short(level))
            }
            Self::Duration(duration) => write!(
                f,
                "duration `{}` should be a whole number of microseconds from 1 to {}",
                Short(duration),
                u32::MAX
            ),
            Self::Repeats(level) => write!(
                f,
                "level {level} follows level {level}; levels should alternate: is a row missing?"
            ),
        }
    }
}

/// Text from a file that may be anything: cut short, control characters escaped.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 40;
        for character in self.0.chars().take(MAX) {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        f.write_str(if self.0.chars().nth(MAX).is_some() {
            "..."
        } else {
            ""
        })
    }
}

impl Error for RecordingError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

/// Plays a recording, one measurement after the other, over and over.
#[derive(Clone, Debug)]
pub struct Player {
    measurements: Vec<Box<[Pulse]>>,
    next: usize,
}

impl Player {
    /// Starts at the first measurement of the recording.
    pub fn new(recording: &Recording) -> Self {
        let measurements = recording
            .measurements()
            .into_iter()
            .map(Box::from)
            .collect();
        Self {
            measurements,
            next: 0,
        }
    }
}

impl PulseSource for Player {
    fn measure(&mut self, _now_ms: u64) -> &[Pulse] {
        let now = self.next;
        self.next = (now + 1) % self.measurements.len().max(1);
        self.measurements.get(now).map_or(&[], |pulses| pulses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_device::dht::{self, Model};
    use aldis_protocol::Reading;

    fn capture(name: &str) -> Recording {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../device/tests/captures/dht")
            .join(name);
        Recording::read(&path).unwrap()
    }

    fn play(name: &str, times: usize) -> Vec<Result<Reading, dht::Error>> {
        let mut player = Player::new(&capture(name));
        (0..times)
            .map(|_| dht::decode(player.measure(0), Model::Auto))
            .collect()
    }

    /// The virtual device stops measuring at the end of the file, or skips an answer.
    #[test]
    fn a_recording_is_played_in_a_loop() {
        let reading = |h| Ok(Reading { t: 248, h });
        let expected = [476, 472, 468, 476, 472, 468, 476].map(reading);
        assert_eq!(play("am2302_1mhz_3samples.csv", 7), expected);
    }

    /// Measurements without an answer pass unseen, and the device never reports a missing sensor.
    #[test]
    fn unanswered_start_pulses_are_measurements_too() {
        let played = play("am2302_1mhz_delay250us.csv", 14);
        // Every third start pulse came too soon.
        for (number, answer) in played.iter().enumerate() {
            match number % 3 {
                2 => assert_eq!(*answer, Err(dht::Error::Missing), "{number}"),
                _ => assert!(answer.is_ok(), "{number}"),
            }
        }
        let ignored = play("am2302_1mhz_delay2000us_100us_low.csv", 20);
        assert!(
            ignored
                .iter()
                .all(|answer| *answer == Err(dht::Error::Missing))
        );
    }

    /// A recording without start pulses (from a capture unit) gives nothing.
    #[test]
    fn answers_without_start_pulses_are_measurements() {
        let mut recording = capture("am2302_1mhz_3samples.csv");
        for pulse in &mut recording.pulses {
            if !pulse.level && pulse.duration_us > QUIET_US {
                *pulse = Pulse::high(1_000_000);
            }
        }
        assert_eq!(recording.measurements().len(), 3);
    }

    /// A user with a wrong file is left to guess what is wrong with it.
    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        let error = |text: &[u8]| Recording::parse("x.csv", text).unwrap_err().to_string();
        let first = "there is nothing in it; a recording is the line `level,duration_us`, then a \
                     row such as `1,26` for each pulse";
        assert_eq!(error(b""), format!("x.csv: {first}"));
        assert_eq!(error(b"level,duration_us\n\n"), format!("x.csv: {first}"));
        assert_eq!(
            error(b"1,26\n0,54\n"),
            "x.csv:1: `1,26` should be `level,duration_us`, the first line of a recording"
        );
        assert_eq!(
            error(b"\x7fELF\x01\xff"),
            "x.csv:1: `\\u{7f}ELF\\u{1}\u{fffd}` should be `level,duration_us`, the first line of \
             a recording"
        );
        let row =
            |row: &str| error(format!("level,duration_us\r\n1,9\r\n\r\n{row}\r\n").as_bytes());
        assert_eq!(
            row("0;54"),
            "x.csv:4: `0;54` should be a level and a duration with a comma between, such as `1,26`"
        );
        assert_eq!(
            row("low,54"),
            "x.csv:4: level `low` should be 0 (low) or 1 (high)"
        );
        for wrong in ["-1", "0", "26.5", "4294967296", ""] {
            assert_eq!(
                row(&format!("0,{wrong}")),
                format!(
                    "x.csv:4: duration `{wrong}` should be a whole number of microseconds from 1 \
                     to 4294967295"
                )
            );
        }
        assert_eq!(
            row("1,54"),
            "x.csv:4: level 1 follows level 1; levels should alternate: is a row missing?"
        );
        assert_eq!(
            Recording::read(Path::new("/nonexistent.csv"))
                .unwrap_err()
                .to_string(),
            "/nonexistent.csv: cannot be read: No such file or directory (os error 2)"
        );
    }

    /// All of the memory is filled with what is no recording, before anybody hears of it.
    #[test]
    fn a_stream_without_end_is_refused() {
        let error = Recording::read_from("zeros", std::io::repeat(0)).unwrap_err();
        assert!(error.to_string().contains("more than 64 MiB"), "{error}");
    }
}
