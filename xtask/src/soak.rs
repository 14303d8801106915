//! `cargo xtask soak`: a device that lives with faults for long, and what it takes of memory.

mod chance;
mod report;
mod sample;
mod slope;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::lab::device::Programs;
use crate::lab::experiment::{Experiment, Setting};
use crate::lab::fault::Fault;
use crate::lab::network::Topology;
use crate::lab::{self, broker, device};
use crate::target_dir;
use chance::Chance;
use report::Report;
use sample::Sample;

/// Let a device live with faults, and see whether it grows.
///
/// The virtual device is at mosquitto, or at the hub, in a network with a router. A fault by
/// chance happens again and again; before each, the device's memory, open files and threads are
/// looked at. It fails if one of them grows, if a reading was lost or a command executed twice,
/// or if contact does not come back.
/// Example: `cargo xtask soak --for 1h`.
#[derive(Args)]
pub struct Soak {
    /// How long: 10m, 2h.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    lifetime: Duration,
    /// From one fault to the next: at least 10s.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    faults_every: Duration,
    /// Repeat the faults of a run that printed this number.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// At the hub instead of mosquitto.
    #[arg(long)]
    hub: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Succeed without doing anything where network namespaces are not allowed.
    #[arg(long)]
    skip_without_namespaces: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration; write for example 10m or 2h"))
}

impl Soak {
    /// Runs it, and prints what came out.
    pub fn run(self) -> Result<()> {
        ensure!(
            self.faults_every >= Duration::from_secs(10),
            "faults come at most every 10 s: the device is to be back before the next"
        );
        if !lab::open(self.skip_without_namespaces)? {
            return Ok(());
        }
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        eprintln!("seed {seed}");
        let programs = Programs {
            aldis: lab::build_aldis(lab::Profile::Release)?,
            firmware: None,
        };
        let setting = Setting {
            broker: match self.hub {
                true => broker::Kind::Hub,
                false => broker::Kind::Mosquitto,
            },
            device: device::Kind::Pc,
            topology: Topology::Single,
        };
        let mut experiment = Experiment::prepare(setting, None, &programs, seed)?;
        let mut report = Report::new(seed);
        let lived = self.live(&mut experiment, setting.broker, &mut report);
        let file = target_dir().join("xtask-soak.log");
        fs::write(&file, experiment.log())
            .with_context(|| format!("cannot write {}", file.display()))?;
        lived.with_context(|| format!("seed {seed}; its course is in {}", file.display()))?;
        match self.json {
            true => report.print_json(),
            false => report.print(),
        }
        let broken = report.broken();
        ensure!(
            broken.is_empty(),
            "seed {seed}: {}; its course is in {}",
            broken.join("; "),
            file.display()
        );
        Ok(())
    }

    fn live(
        &self,
        experiment: &mut Experiment,
        broker: broker::Kind,
        report: &mut Report,
    ) -> Result<()> {
        experiment.switch_on()?;
        experiment.warm_up(None)?;
        if broker == broker::Kind::Mosquitto {
            // mosquitto 2.0 writes down the subscriptions of a session only after it was resumed.
            experiment.suffer(Fault::Reset, Duration::ZERO)?;
        }
        let mut chance = Chance::new(report.seed, broker, self.faults_every);
        let process = experiment.device()?.id();
        let start = Instant::now();
        let mut due = start + self.faults_every;
        while due < start + self.lifetime {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let sample = Sample::take(process, start.elapsed())?;
            let (fault, lasts) = chance.next();
            let seen = experiment.suffer(fault, lasts)?;
            report.add(fault, lasts, &seen, sample);
            // One that took longer than the time to the next leaves that out.
            while due <= Instant::now() {
                due += self.faults_every;
            }
        }
        thread::sleep((start + self.lifetime).saturating_duration_since(Instant::now()));
        report.samples.push(Sample::take(process, start.elapsed())?);
        (report.figures, report.lost) = experiment.settle(chance::KEPT)?;
        Ok(())
    }
}
