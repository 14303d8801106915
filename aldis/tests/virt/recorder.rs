//! Somebody who wants every reading.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use aldis_protocol::{Climate, Diag};

use crate::common::Program;

/// A broker that keeps what subscribers have not got, over a restart as well.
pub const KEEPING: &str = "allow_anonymous true\npersistence true\nautosave_interval 1\n\
                           autosave_on_changes true\nmax_queued_messages 0\n";

/// Subscribed to the device's readings, with a session that the broker keeps.
pub struct Recorder {
    sub: Program,
    readings: BTreeMap<u32, Climate>,
    /// How many came more than once.
    pub again: usize,
}

impl Recorder {
    pub fn start(port: u16) -> Self {
        let port = port.to_string();
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &port, "-d"])
            .args(["-t", "aldis/dev/climate", "-q", "1", "-c", "-i", "recorder"]);
        let mut sub = Program::start(&mut command);
        sub.wait_for_text("Subscribed");
        Self {
            sub,
            readings: BTreeMap::new(),
            again: 0,
        }
    }

    fn take(&mut self, line: &str) {
        let climate = Climate::decode(line.as_bytes()).unwrap_or_else(|error| {
            panic!("{line}: {error:?}");
        });
        self.again += usize::from(self.readings.insert(climate.seq, climate).is_some());
    }

    /// Waits until a reading of this number has come.
    pub fn wait_for(&mut self, seq: u32) {
        while self.last() < seq {
            let line = self.sub.wait_for("a reading", |line| line.starts_with('{'));
            self.take(&line);
        }
    }

    /// Waits for so many readings more.
    pub fn wait_for_more(&mut self, count: u32) {
        self.wait_for(self.last() + count);
    }

    /// Takes what comes within a moment.
    pub fn settle(&mut self) {
        for line in self.sub.listen(Duration::from_secs(1)) {
            if line.starts_with('{') {
                self.take(&line);
            }
        }
    }

    /// The highest number.
    pub fn last(&self) -> u32 {
        self.readings.keys().last().copied().unwrap_or(0)
    }

    /// The readings with their numbers.
    pub fn readings(&self) -> &BTreeMap<u32, Climate> {
        &self.readings
    }

    /// Every number from the first on is there.
    pub fn assert_complete(&self) {
        let seqs: Vec<u32> = self.readings.keys().copied().collect();
        let complete: Vec<u32> = (1..=self.last()).collect();
        assert_eq!(seqs, complete, "readings are missing");
    }
}

/// Somebody who looks at how the device is. A device tells it once a minute and after
/// it connected, so it is to be there before.
pub struct Diags(Program);

impl Diags {
    pub fn start(port: u16) -> Self {
        let port = port.to_string();
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub"]);
        Self::listen(command.args(["-h", "127.0.0.1", "-p", &port]))
    }

    /// With a command that names the broker.
    pub fn listen(command: &mut Command) -> Self {
        let args = ["-d", "-t", "aldis/dev/diag", "-F", "diag %p"];
        let mut sub = Program::start(command.args(args));
        sub.wait_for_text("Subscribed");
        Self(sub)
    }

    /// Waits for a `diag` that is as wanted.
    pub fn wait_for(&mut self, is_it: impl Fn(&Diag<'_>) -> bool) {
        let is_it = |line: &str| {
            let payload = line.strip_prefix("diag ").unwrap_or_default();
            Diag::decode(payload.as_bytes()).is_ok_and(|diag| is_it(&diag))
        };
        self.0.wait_within(Duration::from_secs(70), "a diag", is_it);
    }
}
