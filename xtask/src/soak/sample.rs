//! What a process takes of the machine.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// A look at a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Resident memory, in KiB.
    pub memory: u64,
    /// Open files.
    pub files: u64,
    /// Threads.
    pub threads: u64,
}

impl Sample {
    /// Looks at a process.
    pub fn take(process: u32, at: Duration) -> Result<Self> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = fs::read_to_string(folder.join("status"))
            .context("the device's process cannot be looked at")?;
        let files =
            fs::read_dir(folder.join("fd")).context("the device's open files cannot be counted")?;
        Ok(Self {
            at,
            memory: field(&status, "VmRSS:")?,
            files: files.count() as u64,
            threads: field(&status, "Threads:")?,
        })
    }
}

/// A number of `/proc/PID/status`.
fn field(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.and_then(|number| number.parse().ok());
    number.with_context(|| format!("/proc tells no {name}"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// A leak that is not seen.
    #[test]
    fn what_a_process_takes_is_seen() {
        let process = std::process::id();
        let before = Sample::take(process, Duration::ZERO).unwrap();
        let files: Vec<_> = (0..40).map(|_| File::open("/dev/null").unwrap()).collect();
        let memory = vec![1_u8; 64 << 20];
        let after = Sample::take(process, Duration::ZERO).unwrap();
        assert!(after.files >= before.files + 30, "{before:?} {after:?}");
        assert!(
            after.memory >= before.memory + 32 * 1_024,
            "{before:?} {after:?}"
        );
        assert!(after.threads >= 1 && memory.len() > files.len());
        assert!(field("VmRSS:\t  12 kB\n", "VmRSS:").is_ok_and(|kib| kib == 12));
        assert!(field("", "VmRSS:").is_err());
    }
}
