//! Programs on a terminal.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use super::PATIENCE;

/// Waits until it has ended.
pub fn ends(mut child: Child) -> ExitStatus {
    let (ended, end) = mpsc::channel();
    let id = child.id();
    thread::spawn(move || {
        let _ = ended.send(child.wait().unwrap());
    });
    end.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("process {id} does not end"))
}

/// `aldis` on a terminal that util-linux's `script` makes.
pub struct OnTerminal {
    script: Child,
    shows: Receiver<Vec<u8>>,
    shown: String,
}

impl OnTerminal {
    /// On so many lines and columns; `before` is for the shell.
    pub fn start(before: &str, lines: u16, columns: u16, args: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_aldis");
        let args: String = args.iter().map(|arg| format!(" '{arg}'")).collect();
        let command = format!(
            "stty rows {lines} cols {columns}; {before} LANG=C.UTF-8 TERM=xterm \
             exec '{program}'{args}"
        );
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("ALDIS_") || name.starts_with("LC_") {
                script.env_remove(name.as_ref());
            }
        }
        let mut script = script
            .spawn()
            .expect("`script` is needed: apt-get install bsdutils");
        let mut stdout = script.stdout.take().unwrap();
        let (sender, shows) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            script,
            shows,
            shown: String::new(),
        }
    }

    /// Waits until that was shown since the beginning.
    pub fn wait_for(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shown.contains(what) {
            let left = until.saturating_duration_since(Instant::now());
            match self.shows.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{what:?}: {error}; shown was {:?}", self.shown),
            }
        }
    }

    /// Everything that it has shown so far, with the commands to the terminal.
    pub fn shown(&mut self) -> &str {
        while let Ok(bytes) = self.shows.try_recv() {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        &self.shown
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        let keyboard = self.script.stdin.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Waits until it has ended.
    pub fn ends(self) -> ExitStatus {
        ends(self.script)
    }

    /// Takes the terminal away.
    pub fn vanish(&mut self) {
        self.script.kill().unwrap();
        self.script.wait().unwrap();
    }
}
