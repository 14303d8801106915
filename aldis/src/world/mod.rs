//! `aldis world`: devices in a simulated world, with faults.

mod json;
mod picture;
mod progress;
mod summary;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aldis_world::{
    FaultKind, FaultSet, Injection, Plan, Report, Sweep, Timeline, UnknownFault, World, inject,
};

use progress::Progress;

/// Run devices in a simulated world, with faults, and look whether every promise holds
///
/// The devices are the product's own code, on virtual time; what is around them is simulated:
/// radio, networks, name servers, routers, the broker, sensors, flash, power. After each step it
/// is looked whether what is promised holds. The same arguments give the same run. Exits with 1
/// if something did not hold, and prints the one command that repeats it.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// Chance; without it, a seed is chosen and printed
    #[arg(long)]
    seed: Option<u64>,
    /// How many devices there are
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// How much virtual time goes by
    #[arg(long = "for", value_name = "DURATION", default_value = "1d", value_parser = crate::duration::parse)]
    lifetime: Duration,
    /// What goes wrong: all, none, or names with commas between them
    #[arg(long, default_value = "all", value_parser = faults)]
    faults: FaultSet,
    /// How many runs, each with the next seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Let each fault begin at each step of a reference hour of one device
    #[arg(long, conflicts_with_all = ["devices", "lifetime", "runs", "svg", "trace"])]
    sweep: bool,
    /// Let this fault begin at this step of the reference hour, as the sweep does
    #[arg(long, value_name = "FAULT@STEP", conflicts_with_all = ["sweep", "devices", "lifetime", "runs", "faults"])]
    inject: Option<At>,
    /// Print each event
    #[arg(long)]
    trace: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Draw contact, faults and deliveries into this file
    #[arg(long, value_name = "FILE", conflicts_with = "runs")]
    svg: Option<PathBuf>,
}

/// A fault at a step, as it is typed.
#[derive(Clone, Copy)]
struct At(Injection);

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, step) = text
            .split_once('@')
            .ok_or("write a fault, @ and a step, for example tcp-reset@1234")?;
        let kind = kind.parse().map_err(unknown)?;
        let step = step
            .parse()
            .map_err(|_| format!("`{step}` is not a step's number"))?;
        Ok(Self(Injection { kind, step }))
    }
}

fn faults(names: &str) -> Result<FaultSet, String> {
    names.parse().map_err(unknown)
}

/// What is wrong with a fault's name, and which may have been meant.
fn unknown(error: UnknownFault) -> String {
    let near = FaultKind::ALL
        .iter()
        .map(|kind| (strsim::jaro_winkler(&error.0, kind.name()), kind.name()))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("{error}; did you mean {name}?"),
        None => format!("{error}; `aldis world --help` lists all"),
    }
}

fn after_help() -> String {
    let mut text = String::from(
        "Examples:\n  \
         aldis world\n  \
         aldis world --seed 7 --devices 10 --for 30d --svg timeline.svg\n  \
         aldis world --faults broker-away,nat-restart --for 7d --trace\n  \
         aldis world --runs 100 --devices 8 --for 10d --json\n  \
         aldis world --sweep --faults tcp-reset\n\nFaults:\n",
    );
    for kind in FaultKind::ALL {
        text += &format!("  {:18} {}\n", kind.name(), kind.about());
    }
    text
}

/// How a run ended.
enum End {
    /// Everything held.
    Held,
    /// Something did not.
    Violated,
    /// The user wanted no more.
    Interrupted,
    /// Nobody reads any more.
    Closed,
}

/// Runs the world.
pub fn run(args: Args) -> ExitCode {
    // A panic in a device is reported as what it violates.
    std::panic::set_hook(Box::new(|_| {}));
    let interrupted = watch_for_interrupts();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let ended = match (&args.inject, args.sweep) {
        (Some(At(injection)), _) => run_injection(&args, seed, *injection),
        (None, true) => run_sweep(&args, seed, &interrupted),
        (None, false) => run_worlds(&args, seed, &interrupted),
    };
    match ended {
        Ok(End::Held | End::Interrupted | End::Closed) => ExitCode::SUCCESS,
        Ok(End::Violated) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => crate::fail(error),
    }
}

fn watch_for_interrupts() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            runtime.block_on(crate::signals::interrupted());
            flag.store(true, Ordering::Relaxed);
        }
    };
    // Without it, Ctrl-C ends the program without a summary.
    let _ = std::thread::Builder::new()
        .name("signals".into())
        .spawn(watch);
    interrupted
}

fn run_worlds(args: &Args, seed: u64, interrupted: &AtomicBool) -> io::Result<End> {
    let duration_ms = u64::try_from(args.lifetime.as_millis()).unwrap_or(u64::MAX / 8);
    let begin = Instant::now();
    let mut progress = Progress::new(args.json);
    let mut all = Report::default();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut days = 0.0;
    for run in 0..args.runs {
        let seed = seed.wrapping_add(run);
        let mut plan = Plan::new(seed, args.devices, duration_ms);
        plan.faults = args.faults;
        plan.keep_log = args.trace;
        let mut world = World::new(plan);
        let mut failed = None;
        let report = world.run(|world| {
            if args.trace {
                for entry in world.take_log() {
                    let written = match args.json {
                        true => writeln!(out, "{}", json::entry(&entry)),
                        false => writeln!(out, "{entry}"),
                    };
                    if let Err(error) = written {
                        failed = Some(error);
                        return false;
                    }
                }
            }
            progress.show(
                (run * duration_ms + world.now()) as f64,
                (args.runs * duration_ms) as f64,
            );
            !interrupted.load(Ordering::Relaxed)
        });
        if let Some(error) = failed {
            progress.end();
            return match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(End::Closed),
                _ => Err(error),
            };
        }
        days += report.device_days();
        all.add(&report);
        if let Some(file) = &args.svg {
            draw(file, seed, &world.timeline())?;
        }
        if args.json && args.runs > 1 {
            let command = command(seed, args.devices, args.lifetime, args.faults);
            writeln!(out, "{}", json::report(&report, seed, &command, None))?;
            out.flush()?;
        }
        if report.violation.is_some() || interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    progress.end();
    let last = seed.wrapping_add(args.runs - 1);
    let failed = all.violation.as_ref();
    let seconds = begin.elapsed().as_secs_f64();
    let repeat = match failed {
        Some(_) => failed_seed(seed, &all, args, duration_ms),
        None => seed,
    };
    let command = command(repeat, args.devices, args.lifetime, args.faults);
    if args.json {
        if args.runs == 1 {
            let speed = Some(days / seconds);
            writeln!(out, "{}", json::report(&all, seed, &command, speed))?;
        }
    } else {
        let seeds = match args.runs {
            1 => format!("seed {seed}"),
            _ => format!("seeds {seed} to {last}"),
        };
        summary::print(&mut out, &all, &seeds, days, seconds)?;
        if let Some(violation) = failed {
            writeln!(out, "\n{violation}\n\nTo repeat it:\n  {command}")?;
        }
    }
    out.flush()?;
    Ok(match (failed, interrupted.load(Ordering::Relaxed)) {
        (Some(_), _) => End::Violated,
        (None, true) => End::Interrupted,
        (None, false) => End::Held,
    })
}

/// The seed of the run that failed: runs that came to their end have their whole time.
fn failed_seed(seed: u64, all: &Report, args: &Args, duration_ms: u64) -> u64 {
    let whole = all.virtual_ms / duration_ms.max(1);
    seed.wrapping_add(whole.min(args.runs - 1))
}

/// The command that repeats a run.
fn command(seed: u64, devices: u32, lifetime: Duration, faults: FaultSet) -> String {
    let lifetime = humantime::format_duration(lifetime)
        .to_string()
        .replace(' ', "");
    format!("aldis world --seed {seed} --devices {devices} --for {lifetime} --faults {faults}")
}

fn run_sweep(args: &Args, seed: u64, interrupted: &AtomicBool) -> io::Result<End> {
    let begin = Instant::now();
    let sweep = Sweep::new(seed, args.faults);
    let (runs, steps) = (sweep.runs(), sweep.steps());
    let mut progress = Progress::new(args.json);
    let mut all = Report::default();
    let mut done = 0_u64;
    let mut ended = End::Held;
    let mut out = io::stdout().lock();
    for injection in sweep {
        let (report, _) = inject(seed, injection, false);
        done += 1;
        all.add(&report);
        progress.show(done as f64, runs as f64);
        if let Some(violation) = &report.violation {
            progress.end();
            let Injection { kind, step } = injection;
            let command = format!("aldis world --seed {seed} --inject {kind}@{step}");
            match args.json {
                true => writeln!(out, "{}", json::report(&report, seed, &command, None))?,
                false => writeln!(out, "{violation}\n\nTo repeat it:\n  {command}\n")?,
            }
            ended = End::Violated;
            break;
        }
        if interrupted.load(Ordering::Relaxed) {
            ended = End::Interrupted;
            break;
        }
    }
    progress.end();
    let seconds = begin.elapsed().as_secs_f64();
    let days = all.virtual_ms as f64 / 86_400_000.0;
    if args.json {
        writeln!(
            out,
            "{}",
            json::sweep(&all, seed, done, runs, steps, seconds)
        )?;
    } else {
        summary::print(&mut out, &all, &format!("seed {seed}"), days, seconds)?;
        writeln!(
            out,
            "\n{done} of {runs} runs: each of {} faults at each of {steps} steps of an hour",
            args.faults.len()
        )?;
    }
    Ok(ended)
}

fn run_injection(args: &Args, seed: u64, injection: Injection) -> io::Result<End> {
    let begin = Instant::now();
    let (report, mut world) = inject(seed, injection, args.trace);
    let mut out = BufWriter::new(io::stdout().lock());
    for entry in world.take_log() {
        match args.json {
            true => writeln!(out, "{}", json::entry(&entry))?,
            false => writeln!(out, "{entry}")?,
        }
    }
    if let Some(file) = &args.svg {
        draw(file, seed, &world.timeline())?;
    }
    let Injection { kind, step } = injection;
    let command = format!("aldis world --seed {seed} --inject {kind}@{step}");
    if args.json {
        writeln!(out, "{}", json::report(&report, seed, &command, None))?;
    } else {
        let days = report.device_days();
        let seconds = begin.elapsed().as_secs_f64();
        summary::print(&mut out, &report, &format!("seed {seed}"), days, seconds)?;
        if let Some(violation) = &report.violation {
            writeln!(out, "\n{violation}\n\nTo repeat it:\n  {command}")?;
        }
    }
    out.flush()?;
    Ok(match report.violation {
        Some(_) => End::Violated,
        None => End::Held,
    })
}

fn draw(file: &Path, seed: u64, timeline: &Timeline) -> io::Result<()> {
    fs::write(file, picture::draw(timeline, seed)).map_err(|error| {
        let name = file.display();
        io::Error::new(error.kind(), format!("cannot write {name}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command that is printed for a failure repeats another run.
    #[test]
    fn the_command_says_what_was_run() {
        let day = Duration::from_secs(86_400);
        assert_eq!(
            command(7, 3, 30 * day, FaultSet::all()),
            "aldis world --seed 7 --devices 3 --for 30days --faults all"
        );
        let set = "tcp-reset,broker-away".parse().unwrap();
        let text = command(7, 3, Duration::from_secs(5_400), set);
        assert!(
            text.ends_with("--for 1h30m --faults tcp-reset,broker-away"),
            "{text}"
        );
        assert!(crate::duration::parse("30days").is_ok());
    }

    /// A name with a slip in it leaves the user with a list of sixty.
    #[test]
    fn a_near_name_is_suggested() {
        let error = faults("tcp-rest").unwrap_err();
        assert_eq!(
            error,
            "there is no fault named 'tcp-rest'; did you mean tcp-reset?"
        );
        assert!(faults("zzz").unwrap_err().contains("--help"));
        assert!("tcp-reset@x".parse::<At>().is_err());
        assert!("tcp-reset".parse::<At>().is_err());
        let At(injection) = "tcp-reset@12".parse().unwrap();
        assert_eq!((injection.kind, injection.step), (FaultKind::TcpReset, 12));
    }
}
