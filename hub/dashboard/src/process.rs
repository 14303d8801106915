//! How this process and its disk are, as Linux tells; elsewhere only the disk is known.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::options::Machine;

/// Processor time in `/proc` is counted in hundredths of a second, on every Linux there is.
const TICKS_A_SECOND: f64 = 100.0;
/// Memory in `/proc/self/status` is told in kibibytes.
const KIB: u64 = 1024;

/// Looks at this process and at the disk of a directory.
#[derive(Debug)]
pub struct Process {
    dir: PathBuf,
    last: Mutex<Option<(Instant, f64)>>,
}

impl Process {
    /// With the disk on which this directory is.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            last: Mutex::default(),
        }
    }

    /// What there is to see. The processor's share is known from the second look on.
    pub fn look(&self) -> Machine {
        let status = fs::read_to_string("/proc/self/status").ok();
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let used_s = stat.as_deref().and_then(processor_seconds);
        let disk = rustix::fs::statvfs(&self.dir).ok();
        Machine {
            memory_bytes: status.as_deref().and_then(resident),
            cpu_percent: used_s.and_then(|used_s| self.share(Instant::now(), used_s)),
            free_bytes: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        }
    }

    fn share(&self, at: Instant, used_s: f64) -> Option<f64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, used_before_s) = last.replace((at, used_s))?;
        let elapsed_s = at.saturating_duration_since(before).as_secs_f64();
        (elapsed_s > 0.0).then(|| (used_s - used_before_s) / elapsed_s * 100.0)
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(KIB)
}

/// User's and system's time. The program's name before them may have spaces and brackets.
fn processor_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program called `a) b` has its times read from the wrong fields.
    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 1 0 99 1000 200";
        assert_eq!(processor_seconds(stat), Some(4.0));
        assert_eq!(processor_seconds("42"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(resident("VmRSS:\tx kB\n"), None);
    }

    /// A share is shown before there is anything to compare with, or of a time that is none.
    #[test]
    fn the_share_is_of_the_time_between_looks() {
        let process = Process::new("/");
        let start = Instant::now();
        assert_eq!(process.share(start, 1.0), None);
        assert_eq!(process.share(start, 1.0), None);
        let later = start + std::time::Duration::from_secs(2);
        assert_eq!(process.share(later, 2.0), Some(50.0));
    }
}
