//! `aldis history`: what the hub has recorded, for people and programs.

mod output;
mod place;
mod remove;
mod when;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use aldis_history::{DeviceKey, History, HistoryError};
use aldis_protocol::topic::DEFAULT_PREFIX;
use futures::TryStreamExt;
use jiff::Timestamp;

pub use place::{StoreArgs, file_in};

use crate::hub::data_dir;
use output::Output;
use remove::Removal;

/// Print what the hub has recorded of a device
///
/// Readings stand where they were taken, also those that a device made without contact. Without
/// a device, the devices are listed. It may be used while the hub runs.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis history\n  \
    aldis history kitchen\n  \
    aldis history kitchen --from 2026-11-01 --to 2026-12-01 --csv > november.csv\n  \
    aldis history kitchen --from 2h --json | jq .t\n  \
    aldis history kitchen --all --outages\n  \
    aldis history --backup /media/usb/history.db\n  \
    aldis history --remove 'esp-*'\n\n\
    WHEN is a moment (2026-11-26, 2026-11-26T18:30, 18:30, 2026-11-26T18:30:00Z) or how long \
    ago (30m, 2h, 7d).\n\n\
    Missing readings (--gaps) are `missing` while they may still come, and `lost` when the \
    recorder has given them up.")]
pub struct Args {
    /// The device's id; with another prefix than `aldis`, prefix/id
    device: Option<String>,
    /// From when on
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "1d",
        conflicts_with = "all"
    )]
    from: String,
    /// To before when
    #[arg(long, value_name = "WHEN", conflicts_with = "all")]
    to: Option<String>,
    /// From the first to the last
    #[arg(long)]
    all: bool,
    /// Print comma-separated values with a line of headings
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Print so many points at most, each with the least, mean and greatest value of its time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    points: Option<u32>,
    /// Print which readings are missing, of all times
    #[arg(long, group = "what", conflicts_with = "points")]
    gaps: bool,
    /// Print when there was no contact
    #[arg(long, group = "what", conflicts_with = "points")]
    outages: bool,
    /// Print states, messages, answers and Morse code
    #[arg(long, group = "what", conflicts_with = "points")]
    events: bool,
    /// Copy all that is recorded into this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "csv", "json", "points", "what"])]
    backup: Option<PathBuf>,
    /// Remove the devices whose ids fit, with all that is recorded of them: `*` stands for any
    /// characters, `?` for one; with another prefix than `aldis`, prefix/id
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["device", "csv", "points", "what", "backup"])]
    remove: Option<String>,
    /// Remove without asking
    #[arg(long, requires = "remove")]
    yes: bool,
    #[command(flatten)]
    place: StoreArgs,
    /// The hub's data directory
    #[arg(
        long,
        value_name = "DIR",
        env = "ALDIS_HUB_DATA",
        conflicts_with = "store"
    )]
    data: Option<PathBuf>,
}

/// The most events that are read at once.
const EVENTS: u32 = 1_000_000;

/// Prints what was asked for.
pub fn run(args: Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(format_args!("cannot start: {error}")),
    };
    match runtime.block_on(print(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough (`| head`).
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => crate::fail(format_args!("cannot write: {error}")),
        Err(Failure::Usage(words)) => crate::usage("history", words),
        Err(Failure::Failed(words)) => crate::fail(words),
    }
}

enum Failure {
    Output(io::Error),
    Usage(String),
    Failed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::NoDevice { device, .. } => Self::Failed(format!(
                "nothing is recorded of {device}; `aldis history` lists the devices"
            )),
            error => Self::Failed(error.to_string()),
        }
    }
}

async fn print(args: &Args) -> Result<(), Failure> {
    let device = args.device.as_deref().map(key).transpose()?;
    let now = Timestamp::now();
    let moment = |text: &str| {
        when::parse(text, &now.to_zoned(jiff::tz::TimeZone::system())).map_err(Failure::Usage)
    };
    let (from, to) = match (args.all, &args.to) {
        (true, _) => (0, i64::MAX),
        (false, None) => (moment(&args.from)?, i64::MAX),
        (false, Some(to)) => (moment(&args.from)?, moment(to)?),
    };
    if from >= to {
        return Err(Failure::Usage(format!(
            "--from {} is not before --to {}",
            args.from,
            args.to.as_deref().unwrap_or("now")
        )));
    }
    let history = open(args).await?;
    let mut output = Output::new(match (args.csv, args.json) {
        (true, _) => output::Form::Csv,
        (_, true) => output::Form::Json,
        _ => output::Form::Text,
    });
    if let Some(pattern) = &args.remove {
        let removal = Removal {
            pattern,
            yes: args.yes,
            json: args.json,
        };
        removal.run(&history).await?;
    } else if let Some(path) = &args.backup {
        history.backup(path).await?;
        writeln!(io::stdout(), "Copied to {}", path.display())?;
    } else if let Some(device) = device {
        of_device(args, &history, &device, from, to, &mut output).await?;
    } else {
        for device in history.devices().await? {
            let standings = history.standings(&device.key).await?;
            let gaps = history.gaps(&device.key).await?;
            let latest = history.latest(&device.key).await?;
            output.device(&device, &standings, &gaps, &latest)?;
        }
        output.end("Nothing is recorded yet; a device appears here when it was heard")?;
    }
    history.close().await;
    Ok(())
}

async fn of_device(
    args: &Args,
    history: &History,
    device: &DeviceKey,
    from: i64,
    to: i64,
    output: &mut Output,
) -> Result<(), Failure> {
    if args.gaps {
        for gap in history.gaps(device).await? {
            output.gap(&gap)?;
        }
        output.end("No reading is missing")?;
    } else if args.outages {
        for outage in history.outages(device, from, to).await? {
            output.outage(&outage)?;
        }
        output.end("Contact was never lost in that time")?;
    } else if args.events {
        let events = history.events(device, from, to, EVENTS).await?;
        for event in events.iter().rev() {
            output.event(event)?;
        }
        output.end("Nothing happened in that time")?;
    } else if let Some(points) = args.points {
        // A chart has ends.
        let (from, to) = ends(history, device, from, to).await?;
        let chart = history.chart(device, from, to, points).await?;
        for point in &chart.points {
            output.point(point)?;
        }
        output.end("No reading was taken in that time")?;
    } else {
        let mut readings = history.readings(device, from, to);
        while let Some(reading) = readings.try_next().await? {
            output.reading(&reading)?;
        }
        output.end("No reading was taken in that time; --all prints those of all times")?;
    }
    Ok(())
}

/// The stretch of time in which there can be readings.
async fn ends(
    history: &History,
    device: &DeviceKey,
    from: i64,
    to: i64,
) -> Result<(i64, i64), Failure> {
    let first = history.readings(device, from, to).try_next().await?;
    let devices = history.devices().await?;
    let last = devices.iter().find(|known| known.key == *device);
    let last = last.map_or(to, |known| known.last_ms.saturating_add(1));
    let from = first.map_or(from, |first| first.taken_ms.max(from));
    let to = to.min(last).max(from.saturating_add(1));
    Ok((from, to))
}

fn key(device: &str) -> Result<DeviceKey, Failure> {
    let (prefix, id) = device.rsplit_once('/').unwrap_or((DEFAULT_PREFIX, device));
    DeviceKey::new(prefix, id)
        .map_err(|error| Failure::Usage(format!("`{device}` is no device: {error}")))
}

async fn open(args: &Args) -> Result<History, Failure> {
    let address = match (&args.place.store, &args.data) {
        (Some(store), _) => store.clone(),
        (None, Some(data)) => file_in(data),
        (None, None) => file_in(&data_dir().ok_or_else(|| {
            Failure::Failed(
                "there is no data directory for this user; name the hub's with `--data DIR`, or \
                 the store with `--store ADDRESS`"
                    .to_owned(),
            )
        })?),
    };
    let path = address.strip_prefix("sqlite:").unwrap_or(&address);
    // Looking makes nothing.
    if !address.contains("://") && !PathBuf::from(path).exists() {
        return Err(Failure::Failed(format!(
            "nothing is recorded in {path}: `aldis hub` records there when it runs; name another \
             place with `--data DIR` or `--store ADDRESS`"
        )));
    }
    Ok(History::open(&address).await?)
}
