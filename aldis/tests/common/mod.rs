//! Real programs, as children whose lines are awaited.

// Each test file uses a part of it.
#![allow(dead_code)]

pub mod elf;
#[cfg(unix)]
pub mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

pub use aldis_testing::free_port;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The program under test.
pub fn aldis(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
    command.arg(verb);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ALDIS_") {
            command.env_remove(name);
        }
    }
    command
}

/// A program that runs, with everything it says.
pub struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self::start_reading(command, Stdio::null())
    }

    /// One that is told things as well.
    pub fn start_with_input(command: &mut Command) -> Self {
        Self::start_reading(command, Stdio::piped())
    }

    fn start_reading(command: &mut Command, input: Stdio) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name}: {error}; apt-get install mosquitto mosquitto-clients")
            });
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Self {
            name,
            input: child.stdin.take(),
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Tells it a line.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it listens");
        writeln!(input, "{line}").unwrap();
    }

    /// Tells it that nothing more comes.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// The lines that it says within a time; none of them is awaited any more.
    pub fn listen(&mut self, time: Duration) -> Vec<String> {
        let until = Instant::now() + time;
        let from = self.said.len();
        while self.next_line(until).is_ok() {}
        self.said.get(from..).unwrap_or_default().to_vec()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that is the one. All lines before it are passed over.
    pub fn wait_for(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        self.wait_within(PATIENCE, what, is_it)
    }

    /// The same, for what takes longer.
    pub fn wait_within(
        &mut self,
        patience: Duration,
        what: &str,
        is_it: impl Fn(&str) -> bool,
    ) -> String {
        let until = Instant::now() + patience;
        loop {
            match self.next_line(until) {
                Ok(line) if is_it(&line) => return line,
                Ok(_) => {}
                Err(why) => self.give_up(&format!("waited for {what}; {why}")),
            }
        }
    }

    /// Waits until each of these lines was said, in whatever order.
    pub fn wait_for_all(&mut self, lines: &[&str]) {
        let mut missing = lines.to_vec();
        while !missing.is_empty() {
            let what = format!("{missing:?}");
            let line = self.wait_for(&what, |line| missing.contains(&line));
            missing.retain(|text| *text != line);
        }
    }

    /// The next line that contains the text.
    pub fn wait_for_text(&mut self, text: &str) -> String {
        self.wait_for(&format!("`{text}`"), |line| line.contains(text))
    }

    /// The next line that is the text.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        self.wait_for(&format!("`{text}`"), |line| line == text)
    }

    /// Waits until it has ended by itself; what it said since the last wait.
    pub fn finish(mut self) -> (ExitStatus, Vec<String>) {
        let until = Instant::now() + PATIENCE;
        let from = self.said.len();
        loop {
            match self.next_line(until) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.give_up("it does not end"),
            }
        }
        let status = self.child.wait().unwrap();
        (status, self.said.split_off(from))
    }

    /// Ends it as nothing can withstand.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to end until it does: mosquitto may not hear it the first time, while
    /// it starts.
    pub fn stop(mut self) {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{} does not end", self.name);
            self.terminate();
            let _ = self.next_line(Instant::now() + Duration::from_millis(100));
        }
    }

    /// Everything it has said so far.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    fn next_line(&mut self, until: Instant) -> Result<String, RecvTimeoutError> {
        let left = until.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left)?;
        self.said.push(line.clone());
        Ok(line)
    }

    fn give_up(&self, why: &str) -> ! {
        panic!("{}: {why}; it said:\n{}", self.name, self.said.join("\n"));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

/// Runs a program to its end and expects success.
pub fn succeed(command: &mut Command) -> Vec<String> {
    let program = Program::start(command);
    let name = program.name.clone();
    let (status, said) = program.finish();
    assert!(status.success(), "{name}: {status}: {}", said.join("\n"));
    said
}

/// A folder of the test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aldis-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and gives its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mosquitto,
    Hub,
}

/// A broker, on a port that it keeps over restarts.
pub struct Broker {
    kind: Kind,
    pub port: u16,
    folder: Folder,
    settings: String,
    program: Option<Program>,
}

impl Broker {
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, |_| "allow_anonymous true\n".into(), |_| String::new())
    }

    /// With settings in the words of the one or the other. They may make files in the folder.
    pub fn start_with(
        kind: Kind,
        mosquitto: impl Fn(&Folder) -> String,
        hub: impl Fn(&Folder) -> String,
    ) -> Self {
        let folder = Folder::new();
        let settings = match kind {
            Kind::Mosquitto => mosquitto(&folder),
            Kind::Hub => hub(&folder),
        };
        let mut broker = Self {
            kind,
            port: 0,
            folder,
            settings,
            program: None,
        };
        // Another program may take a free port first.
        for _ in 0..10 {
            broker.port = free_port();
            if broker.run() {
                return broker;
            }
        }
        panic!("no port is free");
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        if let Some(program) = self.program.take() {
            program.kill();
        }
    }

    /// Stops it as it stops itself, with all that it keeps.
    pub fn stop(&mut self) {
        if let Some(program) = self.program.take() {
            program.stop();
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        self.program.as_ref().expect("it runs").signal(signal);
    }

    /// Starts it anew after it was killed.
    pub fn restart(&mut self) {
        let until = Instant::now() + PATIENCE;
        // The port may be the near end of somebody's attempt to connect for a moment.
        while !self.run() {
            assert!(Instant::now() < until, "port {} stays taken", self.port);
        }
    }

    /// Starts it anew with other settings.
    pub fn restart_with(&mut self, settings: &str) {
        settings.clone_into(&mut self.settings);
        self.restart();
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Runs it; says whether it got its port.
    fn run(&mut self) -> bool {
        let (mut command, ready) = match self.kind {
            Kind::Mosquitto => {
                let settings = format!(
                    "listener {} 127.0.0.1\nuser root\n{}",
                    self.port, self.settings
                );
                let file = self.folder.file("mosquitto.conf", &settings);
                let mut command = Command::new(mosquitto());
                command.arg("-v").arg("-c").arg(file);
                (command, "running")
            }
            Kind::Hub => {
                self.folder.file("hub.toml", &self.settings);
                let mut command = aldis("hub");
                command
                    .arg("--listen")
                    .arg(format!("127.0.0.1:{}", self.port))
                    .arg("--json")
                    .arg("--data")
                    .arg(self.folder.path());
                (command, "listening")
            }
        };
        let mut program = Program::start(&mut command);
        let taken = |line: &str| {
            line.contains("Address already in use") || line.contains("is already taken")
        };
        let line = program.wait_for(ready, |line| line.contains(ready) || taken(line));
        let runs = !taken(&line);
        if runs {
            self.program = Some(program);
        }
        runs
    }
}

/// Debian keeps it where users do not look.
pub fn mosquitto() -> &'static str {
    match Path::new("/usr/sbin/mosquitto").exists() {
        true => "/usr/sbin/mosquitto",
        false => "mosquitto",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tools {
    Mosquitto,
    Aldis,
}

impl Tools {
    fn command(self, verb: &str, port: u16) -> Command {
        let mut command = match self {
            Self::Mosquitto => Command::new(format!("mosquitto_{verb}")),
            Self::Aldis => aldis(verb),
        };
        command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        command
    }

    /// Listens.
    pub fn sub(self, port: u16, args: &[&str]) -> Program {
        Program::start(self.command("sub", port).args(args))
    }

    /// Publishes, and says what it said.
    pub fn publish(self, port: u16, args: &[&str]) -> Vec<String> {
        succeed(self.command("pub", port).args(args))
    }
}

/// A device that publishes each second.
pub fn device(broker: &str, state: &Path, config: &Path) -> Command {
    let mut command = aldis("device");
    command.args(["--id", "dev", "--seed", "1", "--broker", broker]);
    command.arg("--state").arg(state);
    command.arg("--config").arg(config);
    command
}

/// A configuration for short tests.
pub const BRISK: &str = "[readout]\ninterval_s = 1\n";
