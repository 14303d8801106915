//! A program that runs, with everything it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::journal::{Journal, Line};

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    /// What it says, on standard output and standard error.
    pub said: Journal,
}

impl Program {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::start_into(command, Journal::default())
    }

    /// Starts it; what it says is added to a journal.
    pub fn start_into(command: &mut Command, said: Journal) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let arguments = command.get_args().map(|word| word.to_string_lossy());
        let name = arguments.fold(name, |name, word| name + " " + &word);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        if let Some(output) = child.stdout.take() {
            forward(output, said.clone());
        }
        if let Some(errors) = child.stderr.take() {
            forward(errors, said.clone());
        }
        Ok(Self {
            input: child.stdin.take(),
            name,
            child,
            said,
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it a line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it listens to nobody")?;
        writeln!(input, "{line}").with_context(|| format!("{} does not listen", self.name))
    }

    /// Waits for a line from the place `first` of its journal on.
    pub fn wait_for(
        &mut self,
        first: usize,
        patience: Duration,
        what: &str,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<Line> {
        let until = Instant::now() + patience;
        loop {
            // What has ended says nothing more.
            let ended = self.child.try_wait().ok().flatten();
            let look = Instant::now() + Duration::from_millis(200);
            if let Some(line) = self.said.wait_line(first, look.min(until), &is_it) {
                return Ok(line);
            }
            if let Some(status) = ended {
                bail!(
                    "{} ended: {status}; it said:\n{}",
                    self.name,
                    self.said.tail()
                );
            }
            if Instant::now() >= until {
                bail!(
                    "{}: no {what} within {} s; it said:\n{}",
                    self.name,
                    patience.as_secs(),
                    self.said.tail()
                );
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        super::succeed(kill.arg(signal).arg(self.id().to_string())).map(drop)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended; nothing, if it does not by then.
    pub fn wait_end(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            let ended = self.ended();
            if ended.is_some() || Instant::now() >= until {
                return ended;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end. One that does not is an error.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            // mosquitto may not hear it the first time, while it starts.
            if self.ended().is_none() {
                let _ = self.signal("-TERM");
            }
            let soon = Instant::now() + Duration::from_millis(500);
            if let Some(status) = self.wait_end(soon.min(until)) {
                return Ok(status);
            }
            if Instant::now() >= until {
                bail!("{} does not end", self.name);
            }
        }
    }

    /// Ends it as nothing can withstand.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn forward(from: impl Read + Send + 'static, to: Journal) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            to.write(String::from_utf8_lossy(&line).trim_end());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that fails at once is waited for in vain.
    #[test]
    fn what_ended_is_not_waited_for() {
        let mut program =
            Program::start(Command::new("sh").args(["-c", "echo no; exit 3"])).unwrap();
        let waited = program.wait_for(0, Duration::from_secs(600), "yes", |line| line == "yes");
        let error = format!("{:#}", waited.unwrap_err());
        assert!(
            error.contains("exit status: 3") && error.ends_with("no"),
            "{error}"
        );
    }

    /// A process that is left behind.
    #[test]
    fn what_is_dropped_is_gone() {
        let mut program = Program::start(&mut Command::new("cat")).unwrap();
        program.tell("hello").unwrap();
        program
            .wait_for(0, Duration::from_secs(20), "echo", |line| line == "hello")
            .unwrap();
        let process = std::path::PathBuf::from(format!("/proc/{}", program.id()));
        drop(program);
        assert!(!process.exists());
    }
}
