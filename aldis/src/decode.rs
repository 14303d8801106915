//! `aldis decode`: the readings in a recorded waveform.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aldis_device::dht;
use aldis_pc::sensor::{Recording, RecordingError};

/// Decode the DHT22 and DHT11 answers in a recorded waveform
///
/// Prints one line for each answer: its number, °C and %RH, or what is wrong with it (checksum,
/// model or truncated). Exits with 1 if no answer could be read, `error missing` if there is none.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis decode recording.csv\n  \
    aldis decode --model dht22 --json recording.csv\n\n\
    A recording is the line `level,duration_us`, then a row for each pulse: 0 (low) or 1 (high) \
    and how many microseconds it lasted.")]
pub struct Args {
    /// The recording, or - for standard input
    file: PathBuf,
    /// Which sensor was recorded
    #[arg(long, value_enum, default_value_t)]
    model: Model,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum Model {
    /// Whichever the values show
    #[default]
    Auto,
    /// DHT22, AM2302 and their kin
    Dht22,
    /// DHT11
    Dht11,
}

impl From<Model> for dht::Model {
    fn from(model: Model) -> Self {
        match model {
            Model::Auto => Self::Auto,
            Model::Dht22 => Self::Dht22,
            Model::Dht11 => Self::Dht11,
        }
    }
}

/// Prints every answer of the recording.
pub fn run(args: Args) -> ExitCode {
    let recording = match read(&args.file) {
        Ok(recording) => recording,
        Err(error) => return crate::fail(error),
    };
    match print(&recording, &args, &mut io::stdout().lock()) {
        Ok(0) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => crate::fail(format_args!("cannot write the readings: {error}")),
    }
}

fn read(file: &Path) -> Result<Recording, RecordingError> {
    if file != Path::new("-") {
        return Recording::read(file);
    }
    Recording::read_from("standard input", io::stdin().lock())
}

/// Prints the answers and counts the readings among them.
fn print(recording: &Recording, args: &Args, out: &mut impl Write) -> io::Result<usize> {
    let mut answers = 0;
    let mut readings = 0;
    for answer in dht::answers(recording.pulses().iter().copied(), args.model.into()) {
        match answer {
            Ok(reading) => {
                let (t, h) = (reading.temperature(), reading.humidity());
                if args.json {
                    writeln!(out, r#"{{"answer":{answers},"t":{t},"h":{h}}}"#)?;
                } else {
                    writeln!(out, "{answers} {t} {h}")?;
                }
                readings += 1;
            }
            Err(error) if args.json => {
                writeln!(out, r#"{{"answer":{answers},"error":"{error}"}}"#)?;
            }
            Err(error) => writeln!(out, "{answers} error {error}")?,
        }
        answers += 1;
    }
    if answers == 0 {
        let missing = dht::Error::Missing;
        if args.json {
            writeln!(out, r#"{{"error":"{missing}"}}"#)?;
        } else {
            writeln!(out, "error {missing}")?;
        }
    }
    out.flush()?;
    Ok(readings)
}
