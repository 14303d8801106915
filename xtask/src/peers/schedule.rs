//! Many measurements, several at once.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::cell::Cell;
use super::fault::{Fault, Unit};
use super::measure::{self, Run, Setting};
use super::peer::{self, Ready};
use super::table::Column;
use super::{run_folder, table};

/// One measurement: the client's index, the fault, and which run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub client: usize,
    pub fault: Fault,
    pub run: u32,
}

/// How they are made.
pub struct Plan<'p> {
    pub mosquitto: &'p Path,
    pub clients: &'p [Ready],
    pub seed: u64,
    pub quick: bool,
    pub jobs: usize,
}

/// Where all files of the measurements go.
pub fn folder() -> PathBuf {
    peer::folder().join("runs")
}

impl Plan<'_> {
    /// Makes them, and adds what came out to the columns; gives what could not be measured.
    pub fn measure(&self, columns: &mut [Column], mut jobs: Vec<Job>) -> Vec<String> {
        // The longest first, so that none is waited for at the end.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.fault.lasting(self.quick)));
        let total = jobs.len();
        let jobs = Mutex::new(VecDeque::from(jobs));
        let columns = Mutex::new(columns);
        let failures = Mutex::new(Vec::new());
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(total) {
                scope.spawn(|| {
                    loop {
                        // The lock is let go of at once: the others take jobs meanwhile.
                        let job = lock(&jobs).pop_front();
                        let Some(job) = job else { break };
                        let name = self.clients[job.client].name;
                        let what = format!("{name}, {}, run {}", job.fault.name(), job.run + 1);
                        let outcome = self.run(job);
                        let said = match &outcome {
                            Ok(run) => words(job.fault, run),
                            Err(error) => format!("{error:#}"),
                        };
                        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                        eprintln!("[{done}/{total}] {what}: {said}");
                        match outcome {
                            Ok(run) => add(&mut lock(&columns)[job.client], job.fault, run),
                            Err(error) => lock(&failures).push(format!("{what}: {error:#}")),
                        }
                    }
                });
            }
        });
        failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, job: Job) -> anyhow::Result<Run> {
        let client = &self.clients[job.client];
        // The same moments for every client.
        let number = job.run as u64 * 64 + job.fault as u64 * 2;
        measure::run(&Setting {
            mosquitto: self.mosquitto,
            command: &client.command,
            fault: job.fault,
            moment: fraction(self.seed, number),
            extra: fraction(self.seed, number + 1),
            quick: self.quick,
            folder: run_folder(client.name, job.fault, job.run),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(column: &mut Column, fault: Fault, run: Run) {
    if let Some(version) = &run.version {
        column.version.clone_from(version);
    }
    if let Some(cell) = column.cells.iter_mut().find(|cell| cell.fault == fault) {
        cell.runs.push(run);
    }
}

/// One run, as the table would say it.
fn words(fault: Fault, run: &Run) -> String {
    let mut words = table::text(&Cell {
        fault,
        runs: vec![run.clone()],
    });
    if fault.unit() == Unit::Reconnects && run.attempts > 1 {
        words += &format!(", {} attempts", run.attempts);
    }
    if run.refused > 0 {
        words += &format!(", {} not accepted", run.refused);
    }
    words
}

/// A number from 0 to 1 (splitmix64).
fn fraction(seed: u64, number: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults that always come at the same moment of a client's life measure that moment.
    #[test]
    fn moments_differ_and_are_repeated_by_the_seed() {
        let moments: Vec<_> = (0..1000).map(|number| fraction(7, number)).collect();
        assert!(moments.iter().all(|moment| (0.0..1.0).contains(moment)));
        let mean = moments.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert_eq!(moments[3], fraction(7, 3));
        assert_ne!(moments[3], fraction(8, 3));
    }
}
