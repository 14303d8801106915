//! A client's program while it runs, and what it says.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// After so long a client ends by itself, if nobody else ends it.
const LASTING_S: u64 = 900;

/// How often a number is published.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// A program that publishes numbers; killed when dropped.
pub struct Client {
    child: Child,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
}

/// What it has said up to now.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// When its clock was zero.
    start: Option<Instant>,
    /// The version that it calls itself.
    pub version: Option<String>,
    accepted: HashMap<u32, Instant>,
    acked: HashMap<u32, Instant>,
    dropped: HashSet<u32>,
    refused: usize,
    connections: usize,
    /// What went wrong last.
    lost: Option<String>,
    /// It has ended.
    pub ended: bool,
}

impl Log {
    /// Takes a line that came at this moment.
    pub fn take(&mut self, line: &str, now: Instant) {
        let mut words = line.splitn(4, ' ');
        let Some(seconds) = words.next().and_then(|word| word.parse::<f64>().ok()) else {
            return;
        };
        let Ok(since) = Duration::try_from_secs_f64(seconds) else {
            return;
        };
        // The first line comes as soon as the program has a clock.
        let start = *self
            .start
            .get_or_insert(now.checked_sub(since).unwrap_or(now));
        let at = start + since;
        let word = words.next().unwrap_or_default();
        let rest = words.next();
        if word == "ready" {
            self.version = rest.map(str::to_owned);
        } else if word == "connected" {
            self.connections += 1;
        } else if word == "lost" {
            let more = words.next().unwrap_or_default();
            self.lost = rest.map(|rest| format!("{rest} {more}").trim().to_owned());
        }
        let Some(number) = rest.and_then(|rest| rest.parse().ok()) else {
            return;
        };
        match word {
            "accepted" => drop(self.accepted.insert(number, at)),
            "acked" => drop(self.acked.insert(number, at)),
            "dropped" => drop(self.dropped.insert(number)),
            "refused" => self.refused += 1,
            _ => {}
        }
    }

    /// The numbers that it took up to this moment, and did not report as dropped.
    pub fn owed(&self, until: Instant) -> impl Iterator<Item = u32> + '_ {
        let taken = self.accepted.iter().filter(move |(_, at)| **at <= until);
        taken
            .map(|(number, _)| *number)
            .filter(|number| !self.dropped.contains(number))
    }

    /// How many it reported as dropped.
    pub fn dropped(&self) -> usize {
        self.dropped.len()
    }

    /// How many it did not take.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// How often the broker accepted its connection.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// When it said that the broker has this number.
    pub fn acked(&self, number: u32) -> Option<Instant> {
        self.acked.get(&number).copied()
    }

    /// What went wrong last.
    pub fn last_words(&self) -> Option<&str> {
        self.lost.as_deref()
    }
}

impl Client {
    /// Starts it. What it says is kept in `folder`, too.
    pub fn start(command: &[String], broker: SocketAddr, id: &str, folder: &Path) -> Result<Self> {
        let (program, arguments) = command
            .split_first()
            .context("a client without a program")?;
        let errors = folder.join("client.err");
        let errors =
            File::create(&errors).with_context(|| format!("cannot write {}", errors.display()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(broker.ip().to_string())
            .arg(broker.port().to_string())
            .arg(id)
            .arg(INTERVAL.as_millis().to_string())
            .arg(LASTING_S.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().context("a client without output")?;
        let shared = Arc::new(Shared::default());
        let copy = folder.join("client.log");
        let copy =
            File::create(&copy).with_context(|| format!("cannot write {}", copy.display()))?;
        {
            let shared = shared.clone();
            thread::spawn(move || follow(output, copy, &shared));
        }
        Ok(Self { child, shared })
    }

    /// What it has said up to now.
    pub fn log(&self) -> Log {
        self.shared.log().clone()
    }

    /// Waits until `wanted` makes something of what it said.
    pub fn wait_for<T>(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&Log) -> Option<T>,
    ) -> Option<T> {
        let mut log = self.shared.log();
        loop {
            if let Some(found) = wanted(&log) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.shared.changed.wait_timeout(log, left);
            log = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow(output: impl Read, mut copy: File, shared: &Shared) {
    use std::io::Write;
    let lines = BufReader::new(output).lines();
    for line in lines.map_while(Result::ok) {
        let now = Instant::now();
        // Only for people who look for the reason of a figure.
        let _ = writeln!(copy, "{line}");
        shared.log().take(&line, now);
        shared.changed.notify_all();
    }
    shared.log().ended = true;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that is misread would make a publication lost, or not.
    #[test]
    fn each_line_is_counted_for_what_it_says() {
        let now = Instant::now() + Duration::from_secs(10);
        let mut log = Log::default();
        for line in [
            "0.500000 ready 2.0.11",
            "0.600000 connected",
            "1.000000 accepted 1",
            "2.000000 accepted 2",
            "2.100000 acked 2",
            "3.000000 accepted 3",
            "3.500000 dropped 3 Expired by itself",
            "4.000000 refused 4 there is no connection",
            "4.500000 lost Connection reset by peer",
            "words that are no line",
            "-1 acked 1",
            "inf acked 1",
            "",
        ] {
            log.take(line, now);
        }
        let at = |seconds| now - Duration::from_millis(500) + Duration::from_secs(seconds);
        let owed = |until| {
            let mut owed: Vec<_> = log.owed(until).collect();
            owed.sort_unstable();
            owed
        };
        assert_eq!(owed(at(1)), [1]);
        assert_eq!(owed(at(9)), [1, 2]);
        assert_eq!(log.version.as_deref(), Some("2.0.11"));
        assert_eq!(log.acked(2), Some(at(2) + Duration::from_millis(100)));
        assert_eq!((log.acked(1), log.dropped(), log.refused()), (None, 1, 1));
        assert_eq!(log.connections(), 1);
        assert_eq!(log.last_words(), Some("Connection reset by peer"));
    }
}
