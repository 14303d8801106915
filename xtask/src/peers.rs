//! Measures how clients come back from faults, and writes the table of docs/peers.md.
//!
//! Each measurement has a broker, a path and a client of its own, so several go on at once: what
//! they do most of the time is wait.

mod broker;
mod cell;
mod client;
mod fault;
mod measure;
mod packet;
mod page;
mod peer;
mod port;
mod proxy;
mod recorder;
mod schedule;
mod table;

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use cell::Cell;
use fault::Fault;
use peer::{PEERS, Ready};
use schedule::{Job, Plan};
use table::Column;

/// The client whose goals are checked, and that no other may beat.
const OURS: &str = "aldis-mqtt";

/// Measure how MQTT clients come back from faults, beside ours.
///
/// All clients meet the same faults, in the same run, through one proxy in front of a real
/// mosquitto, with a keep-alive of 10 s. It fails if ours misses a goal, loses something, or is
/// beaten by another. A run with everything writes the table into docs/peers.md.
/// Examples: `cargo xtask peers`, `cargo xtask peers --only aldis-mqtt --quick`,
/// `cargo xtask peers --only rumqttc --fault killed --runs 5 --json`.
#[derive(Args)]
pub struct Peers {
    /// Measure these clients only.
    #[arg(long, value_name = "CLIENT", num_args = 1..)]
    only: Vec<String>,
    /// Inflict these faults only.
    #[arg(long = "fault", value_name = "FAULT", num_args = 1..)]
    faults: Vec<Fault>,
    /// How often each is measured; the worst counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How many measurements go on at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Repeats the random moments of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Once each, and less of what takes long: to see that nothing is broken.
    #[arg(long)]
    quick: bool,
    /// Leave out clients that cannot be built here, instead of failing.
    #[arg(long)]
    skip_missing: bool,
    /// Print one JSON object per client and fault instead of the table.
    #[arg(long)]
    json: bool,
}

impl Peers {
    /// Measures and reports.
    pub fn run(self) -> Result<()> {
        let mosquitto = broker::find()?;
        let version = broker::version(&mosquitto)?;
        let _alone = alone()?;
        let (clients, missing) = self.clients()?;
        let faults = match self.faults.is_empty() {
            true => Fault::ALL.to_vec(),
            false => self.faults.clone(),
        };
        let seed = self
            .seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let runs = if self.quick { 1 } else { self.runs };
        let plan = Plan {
            mosquitto: &mosquitto,
            clients: &clients,
            seed,
            quick: self.quick,
            jobs: self.jobs as usize,
        };
        eprintln!("measuring, {} at once; --seed {seed}", self.jobs);
        let mut columns: Vec<_> = clients.iter().map(|c| column(c, &faults)).collect();
        let mut failures = plan.measure(&mut columns, jobs(&clients, &faults, 0..runs));
        // What looks like a defeat is measured again, as often as before.
        let doubted = doubted(&columns);
        if !doubted.is_empty() && !self.quick {
            eprintln!(
                "measuring {} again, where ours seems to be beaten",
                doubted.len()
            );
            let again = doubted.iter().flat_map(|&(client, fault)| {
                (runs..runs * 2).map(move |run| Job { client, fault, run })
            });
            failures.extend(plan.measure(&mut columns, again.collect()));
        }

        let text = self.report(&columns, &faults, &version, seed, &missing);
        if self.json {
            for value in table::json(&columns) {
                println!("{value}");
            }
        } else {
            println!("{text}");
        }
        let whole = missing.is_empty() && self.is_whole() && failures.is_empty();
        if whole {
            page::write(&text)?;
            eprintln!("written into {}", page::path().display());
        }
        failures.extend(verdict(&columns));
        for failure in &failures {
            eprintln!("{failure}");
        }
        ensure!(
            failures.is_empty(),
            "{} things are not as they should be (see above); what the clients said is in {}",
            failures.len(),
            schedule::folder().display()
        );
        Ok(())
    }

    /// Whether this is the measurement that the page shows.
    fn is_whole(&self) -> bool {
        self.only.is_empty() && self.faults.is_empty() && !self.quick && self.runs >= 3
    }

    /// The clients that take part, and what keeps others from it.
    fn clients(&self) -> Result<(Vec<Ready>, Vec<String>)> {
        for name in &self.only {
            if !PEERS.iter().any(|peer| peer.name == name) {
                let names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
                bail!("there is no client {name}; there are: {}", names.join(", "));
            }
        }
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let (mut ready, mut missing) = (Vec::new(), Vec::new());
        for peer in PEERS.iter().filter(|peer| wanted(peer.name)) {
            match peer.prepare() {
                Ok(client) => ready.push(client),
                Err(error) if self.skip_missing => {
                    eprintln!("LEFT OUT: {}: {error:#}", peer.name);
                    missing.push(peer.name.to_owned());
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "cannot measure {} (--skip-missing leaves it out)",
                            peer.name
                        )
                    });
                }
            }
        }
        Ok((ready, missing))
    }

    /// The table and what belongs to it.
    fn report(
        &self,
        columns: &[Column],
        faults: &[Fault],
        mosquitto: &str,
        seed: u64,
        missing: &[String],
    ) -> String {
        let mut command = String::from("cargo xtask peers");
        if !self.only.is_empty() {
            command += &format!(" --only {}", self.only.join(" "));
        }
        if !self.faults.is_empty() {
            let names: Vec<_> = self.faults.iter().map(|fault| fault.name()).collect();
            command += &format!(" --fault {}", names.join(" "));
        }
        if self.quick {
            command += " --quick";
        } else if self.runs != 3 {
            command += &format!(" --runs {}", self.runs);
        }
        command += &format!(" --seed {seed}");
        let runs = match self.quick {
            true => String::from("one run"),
            false => format!("the worst of {} runs", self.runs),
        };
        let mut text = table::markdown(columns, faults);
        text += &format!("\n{mosquitto}; {runs}; `{command}`.\n");
        if !missing.is_empty() {
            text += &format!(
                "\nLeft out, because missing here: {}.\n",
                missing.join(", ")
            );
        }
        text
    }
}

/// Two at once would disturb each other's figures, and write into the same folders.
fn alone() -> Result<File> {
    let folder = peer::folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `cargo xtask peers` is measuring; wait for its end")
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn column(client: &Ready, faults: &[Fault]) -> Column {
    let cell = |fault: &Fault| Cell {
        fault: *fault,
        runs: Vec::new(),
    };
    Column {
        name: client.name,
        version: client.version.clone().unwrap_or_default(),
        cells: faults.iter().map(cell).collect(),
    }
}

fn jobs(clients: &[Ready], faults: &[Fault], runs: std::ops::Range<u32>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for run in runs {
        for &fault in faults {
            jobs.extend((0..clients.len()).map(|client| Job { client, fault, run }));
        }
    }
    jobs
}

/// Where ours seems to be beaten: the cells of both.
fn doubted(columns: &[Column]) -> Vec<(usize, Fault)> {
    let mut doubted = Vec::new();
    let Some((ours_at, ours)) = ours(columns) else {
        return doubted;
    };
    for cell in &ours.cells {
        let before = doubted.len();
        for (at, column) in columns.iter().enumerate() {
            let other = column.cell(cell.fault);
            if other.is_some_and(|other| cell.is_beaten_by(other)) {
                doubted.push((at, cell.fault));
            }
        }
        if doubted.len() > before {
            doubted.push((ours_at, cell.fault));
        }
    }
    doubted
}

fn ours(columns: &[Column]) -> Option<(usize, &Column)> {
    let mut columns = columns.iter().enumerate();
    columns.find(|(_, column)| column.name == OURS)
}

/// What is wrong with ours.
fn verdict(columns: &[Column]) -> Vec<String> {
    let Some((_, ours)) = ours(columns) else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    for cell in &ours.cells {
        wrong.extend(cell.failure().map(|failure| format!("{OURS}: {failure}")));
        for column in columns {
            if let Some(other) = column.cell(cell.fault)
                && cell.is_beaten_by(other)
            {
                wrong.push(format!(
                    "{}: {} beats {OURS}: {} against {}",
                    cell.fault.title(),
                    column.name,
                    table::text(other),
                    table::text(cell)
                ));
            }
        }
    }
    wrong
}

/// Where the files of a measurement go.
fn run_folder(client: &str, fault: Fault, run: u32) -> PathBuf {
    schedule::folder().join(format!("{client}-{}-{run}", fault.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Run;

    fn column_of(name: &'static str, values: &[(Fault, f64)]) -> Column {
        let cell = |(fault, value): &(Fault, f64)| Cell {
            fault: *fault,
            runs: vec![Run {
                value: Some(*value),
                ..Run::default()
            }],
        };
        Column {
            name,
            version: String::new(),
            cells: values.iter().map(cell).collect(),
        }
    }

    /// A bug of ours that the exit code does not tell.
    #[test]
    fn who_is_better_than_ours_is_named() {
        let columns = [
            column_of(OURS, &[(Fault::Killed, 0.4), (Fault::Dead, 5.0)]),
            column_of("slow", &[(Fault::Killed, 1.0), (Fault::Dead, 12.0)]),
            column_of("fast", &[(Fault::Killed, 0.4), (Fault::Dead, 2.0)]),
        ];
        let title = Fault::Dead.title();
        assert_eq!(
            verdict(&columns),
            [format!("{title}: fast beats {OURS}: 2.0 against 5.0")]
        );
        assert_eq!(doubted(&columns), [(2, Fault::Dead), (0, Fault::Dead)]);
        // Without ours there is nothing to compare with.
        assert!(verdict(&columns[1..]).is_empty());
        assert!(doubted(&columns[1..]).is_empty());
    }
}
