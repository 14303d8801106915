//! `aldis flash`: firmware and configuration onto a board, and what it says then.

mod board;
mod log;
mod port;
mod progress;
mod source;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use aldis_flash::Chip;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::image::target::chip_parser;
use crate::logging;
use crate::signals::EndSignals;
use board::{Board, Console, How, check_chip};
use log::End;
use progress::{Progress, Style};
use source::{Job, Source};

/// Write firmware and configuration to a board at a serial port, and show what it says
///
/// Everything is checked before something is written, and read back after it was written. What the
/// device keeps (its lamp, its counts, its readings) stays.
///
/// What the board says follows on standard output, until Ctrl-C; everything else is on standard
/// error.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  \
        aldis flash --image device.bin\n  \
        aldis flash --port /dev/ttyUSB0 --firmware aldis-esp --config device.toml\n  \
        aldis flash --config-only --config device.toml --no-follow\n  \
        aldis flash --follow-only",
    group = clap::ArgGroup::new("what")
        .args(["image", "firmware", "config_only", "follow_only"])
        .required(true)
)]
pub struct Args {
    /// The board's serial port [default: the only one at USB]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// How fast to write; 115200 is slow and works with every cable
    #[arg(long, value_name = "N", default_value_t = 460_800,
          value_parser = clap::value_parser!(u32).range(9_600..=4_000_000))]
    baud: u32,
    /// Refuse a board with another chip [default: what the image or the firmware is for]
    #[arg(long, value_name = "CHIP", value_parser = chip_parser())]
    chip: Option<Chip>,
    /// A file that `aldis image` made
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    image: Option<PathBuf>,
    /// The firmware, as `cargo build` made it (an ELF file)
    #[arg(long, value_name = "ELF", requires = "config")]
    firmware: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the configuration only, and leave the firmware
    #[arg(long, requires = "config")]
    config_only: bool,
    /// Write nothing: only show what the board says, and leave it running
    #[arg(long, conflicts_with_all = ["config", "no_follow", "no_reset", "chip"])]
    follow_only: bool,
    /// End when the board starts, without showing what it says
    #[arg(long)]
    no_follow: bool,
    /// Do not reset the board into download mode: it is there, because BOOT was held while it
    /// was reset
    #[arg(long)]
    no_reset: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Writes, and follows until a signal.
pub fn run(args: Args) -> ExitCode {
    // Without it, the library warns of what is meant so.
    if std::env::var_os("ALDIS_LOG").is_some() {
        logging::start(0);
    }
    if args.follow_only {
        let console = port::choose(args.port.as_deref(), &port::all()).and_then(|port| {
            let console = board::listen(&port)?;
            tell(
                args.json,
                &format!("following: {}", port.name),
                &json!({"event": "following", "port": port.name}),
            );
            Ok(console)
        });
        return match console {
            Ok(console) => follow(console, args.json),
            Err(what) => crate::fail(what),
        };
    }
    let source = match (&args.image, &args.firmware, &args.config) {
        (Some(image), _, _) => Source::Image(image.clone()),
        (_, Some(elf), Some(config)) => Source::Firmware {
            elf: elf.clone(),
            config: config.clone(),
        },
        (_, _, Some(config)) => Source::Config(config.clone()),
        // Clap has seen to it that it is one of them.
        _ => return crate::usage("flash", "there is nothing to write: name an `--image`"),
    };
    let console = match write(&args, &source) {
        Ok(console) => console,
        Err(what) => return crate::fail(what),
    };
    match args.no_follow {
        true => ExitCode::SUCCESS,
        false => follow(console, args.json),
    }
}

/// Writes everything and starts the board.
fn write(args: &Args, source: &Source) -> Result<Console, String> {
    let known = args.chip.or_else(|| source.chip());
    // What is wrong with the files is said before a board is looked for.
    let job = match known {
        Some(chip) => Some(prepare(args, source, chip)?),
        None => {
            source.check()?;
            None
        }
    };
    let port = port::choose(args.port.as_deref(), &port::all())?;
    tell(
        args.json,
        &format!("connecting: {}", port.name),
        &json!({"event": "connecting", "port": port.name}),
    );
    let how = How {
        baud: args.baud,
        is_ready: args.no_reset,
    };
    let mut board = Board::connect(&port, how)?;
    tell_board(args.json, &port.name, &board);
    let job = match job {
        Some(job) => check_chip(board.chip, job.chip, &source.name()).map(|()| job),
        None => prepare(args, source, board.chip),
    };
    let job = match job {
        Ok(job) => job,
        Err(what) => {
            // It goes on with what it has.
            let _ = board.start();
            return Err(what);
        }
    };
    tell(
        args.json,
        &format!("writing: {}", job.about),
        &json!({
            "event": "writing",
            "chip": job.chip.as_str(),
            "parts": job.parts.iter().map(|part| json!({
                "part": part.name, "offset": part.offset, "size": part.bytes.len(),
            })).collect::<Vec<_>>(),
        }),
    );
    let names = job.parts.iter().map(|part| part.name).collect();
    let (out, style): (Box<dyn Write>, _) = match (args.json, io::stderr().is_terminal()) {
        (true, _) => (Box::new(io::stdout()), Style::Json),
        (false, true) => (Box::new(io::stderr()), Style::Bar),
        (false, false) => (Box::new(io::stderr()), Style::Lines),
    };
    board.write(&job.parts, Progress::new(out, style, names))?;
    let console = board.start()?;
    let words = match console.was_reset {
        true => "done: the board starts",
        false => "done: press the board's RESET (EN) button, it cannot be reset from here",
    };
    let object = json!({"event": "done", "reset": console.was_reset});
    tell(args.json, words, &object);
    Ok(console)
}

/// What is to be written to this chip.
fn prepare(args: &Args, source: &Source, chip: Chip) -> Result<Job, String> {
    let job = source.job(chip)?;
    match args.chip {
        Some(wanted) if wanted != job.chip => Err(format!(
            "{}: is for the {}, and not for the {}: leave out `--chip`, or name another image",
            source.name(),
            job.chip.as_str(),
            wanted.as_str()
        )),
        _ => Ok(job),
    }
}

fn tell_board(json: bool, port: &str, board: &Board) {
    let mut words = format!("connected: {}", board.chip.as_str());
    if let Some(revision) = &board.revision {
        words += &format!(", revision {revision}");
    }
    if let Some(mac) = &board.mac {
        words += &format!(", MAC {mac}");
    }
    let object = json!({
        "event": "connected",
        "port": port,
        "chip": board.chip.as_str(),
        "revision": board.revision,
        "mac": board.mac,
    });
    tell(json, &words, &object);
}

/// A line about what goes on; an object on standard output, or words on standard error.
fn tell(json: bool, words: &str, object: &Value) {
    // The board is flashed whoever listens.
    let _ = match json {
        true => writeln!(io::stdout(), "{object}"),
        false => writeln!(io::stderr(), "{words}"),
    };
}

/// Shows what the board says, until a signal or until it is gone.
fn follow(console: Console, json: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(format_args!("cannot follow the board: {error}")),
    };
    runtime.block_on(async {
        // Before the first line: whoever sees it may end it.
        let signals = EndSignals::listen();
        let (ended, end) = oneshot::channel();
        let follower = thread::Builder::new().spawn(move || {
            let _ = ended.send(log::copy(console.port, io::stdout(), json));
        });
        let signals = match (signals, follower) {
            (Ok(signals), Ok(_)) => signals,
            (Err(error), _) | (_, Err(error)) => {
                return crate::fail(format_args!("cannot follow the board: {error}"));
            }
        };
        tokio::select! {
            () = signals.wait() => ExitCode::SUCCESS,
            end = end => match end {
                Ok(End::Gone(error)) => crate::fail(format_args!(
                    "the board is gone ({error}): was its cable pulled out?"
                )),
                Ok(End::Unread) | Err(_) => ExitCode::SUCCESS,
            },
        }
    })
}
