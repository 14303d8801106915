//! Runs experiments, some at the same time.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cases::Case;
use crate::lab::broker::Kind as Broker;
use crate::lab::device::Programs;
use crate::lab::experiment::Experiment;
use crate::lab::fault::Fault;
use crate::lab::verdict::Figures;
use crate::target_dir;

/// What came out of a case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// Its figures.
    pub figures: Figures,
    /// Which promises were broken, or what went wrong.
    pub broken: Vec<String>,
    /// Which goals were missed.
    pub missed: Vec<String>,
}

/// Runs all of them; the rows are in the cases' order.
pub fn all(cases: &[Case], programs: &Programs, jobs: usize, seed: u64) -> Result<Vec<Row>> {
    let folder = target_dir().join("xtask-faults");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let waiting: Mutex<VecDeque<_>> = Mutex::new(cases.iter().enumerate().collect());
    let rows = Mutex::new(Vec::new());
    let total = cases.len();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, total.max(1)) {
            scope.spawn(|| {
                loop {
                    let next = waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some((index, case)) = next else { return };
                    let (row, log) = one(case, programs, seed);
                    let name = format!("{:03}-{}.log", index + 1, case.name());
                    // It is only for those who want to know more.
                    let _ = fs::write(folder.join(name), log);
                    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                    rows.push((index, row));
                    let (_, row) = &rows[rows.len() - 1];
                    eprintln!("{}/{total} {}", rows.len(), super::table::progress(row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(index, _)| *index);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Runs one, and gives its course as well.
fn one(case: &Case, programs: &Programs, seed: u64) -> (Row, String) {
    let mut row = Row {
        case: *case,
        figures: Figures::default(),
        broken: Vec::new(),
        missed: Vec::new(),
    };
    let prepared = Experiment::prepare(case.setting, Some(case.fault), programs, seed);
    let mut experiment = match prepared {
        Ok(experiment) => experiment,
        Err(error) => {
            row.broken.push(format!("cannot be prepared: {error:#}"));
            return (row, String::new());
        }
    };
    if let Err(error) = course(&mut experiment, &mut row) {
        row.broken.push(format!("{error:#}"));
    }
    let log = format!("{row:#?}\n\n{}", experiment.log());
    (row, log)
}

fn course(experiment: &mut Experiment, row: &mut Row) -> Result<()> {
    let Case { fault, lasts, .. } = row.case;
    let began = Instant::now();
    let seen = if fault.is_cold() {
        experiment.suffer_cold(fault, lasts)?
    } else {
        experiment.before(fault)?;
        experiment.switch_on()?;
        experiment.warm_up(Some(fault))?;
        if fault == Fault::Restarted && row.case.setting.broker == Broker::Mosquitto {
            // mosquitto 2.0 writes down the subscriptions of a session only after it was resumed.
            experiment.suffer(Fault::Reset, Duration::ZERO)?;
        }
        experiment.suffer(fault, lasts)?
    };
    let (figures, broken) = experiment.finish(fault)?;
    row.figures = Figures {
        noticed: seen.noticed,
        back: seen.back,
        ..figures
    };
    row.broken = broken;
    if fault.is_harmless() && row.figures.losses > 0 {
        row.broken
            .push("the connection was given up without a reason".to_owned());
    }
    if fault == Fault::Idle {
        // What is too long is found by some losses; then there are none.
        let learned = began + lasts / 2;
        let late = experiment.losses()?.into_iter().filter(|at| *at > learned);
        let late = late.count();
        if late > 0 {
            row.broken.push(format!(
                "{late} connections were lost by quiet after {} s",
                lasts.as_secs() / 2
            ));
        }
    } else {
        row.missed = fault.goal(lasts).missed(seen.noticed, seen.back);
    }
    Ok(())
}
