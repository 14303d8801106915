//! The broker: mosquitto or the hub.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Folder;
use super::namespace::Namespace;
use super::network::PORT;
use super::program::Program;

/// How long a broker may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The device's name and the hash of its password, for the hub. The other clients are at the
/// hub's own machine.
const USERS: &str = "anonymous = true\n[[user]]\nname = \"dev\"\npassword = \
    \"$argon2id$v=19$m=19456,t=2,p=1$LiVgvgpVPQYSOJ9RlvbihQ$ZDNUw1nVsBNuY++6vKx0BbY5vv3yAHv82RyQyJ+Ofzw\"\n";

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// mosquitto, which writes down sessions and messages as soon as they change.
    Mosquitto,
    /// mosquitto, which forgets everything when it ends.
    Forgetful,
    /// `aldis hub`.
    Hub,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mosquitto => "mosquitto",
            Self::Forgetful => "mosquitto, no memory",
            Self::Hub => "hub",
        })
    }
}

/// A broker. It keeps its folder over restarts.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    folder: Folder,
    program: Option<Program>,
}

impl Broker {
    /// One that does not run yet.
    pub fn new(kind: Kind, name: &str) -> Result<Self> {
        Ok(Self {
            kind,
            folder: Folder::new(name)?,
            program: None,
        })
    }

    /// Starts it, and waits until it serves.
    pub fn start(&mut self, at: &Namespace, aldis: &Path) -> Result<()> {
        let (mut command, ready) = match self.kind {
            Kind::Mosquitto | Kind::Forgetful => {
                let file = self.folder.file("mosquitto.conf", &self.settings())?;
                let mut command = at.command("mosquitto");
                command.arg("-c").arg(file);
                (command, "running")
            }
            Kind::Hub => {
                self.folder.file("hub.toml", USERS)?;
                let mut command = at.command(aldis);
                command
                    .args([
                        "hub",
                        "--json",
                        "--listen",
                        &format!("0.0.0.0:{PORT}"),
                        "--data",
                    ])
                    .arg(self.folder.path());
                (command, "listening")
            }
        };
        let mut program = Program::start(&mut command)?;
        program.wait_for(0, PATIENCE, ready, |line| line.contains(ready))?;
        self.program = Some(program);
        Ok(())
    }

    fn settings(&self) -> String {
        let mut settings = format!(
            "listener {PORT} 0.0.0.0\nallow_anonymous true\nuser root\nmax_queued_messages 0\n"
        );
        if self.kind == Kind::Mosquitto {
            settings += &format!(
                "persistence true\npersistence_location {}/\n\
                 autosave_interval 1\nautosave_on_changes true\n",
                self.folder.path().display()
            );
        }
        settings
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Stops it as it stops itself, with all that it keeps.
    pub fn stop(&mut self) -> Result<()> {
        match self.program.take() {
            Some(mut program) => program.stop(PATIENCE).map(drop),
            None => Ok(()),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let program = self.program.as_ref();
        program.context("the broker does not run")?.signal(signal)
    }

    /// Its last words, for an error.
    pub fn tail(&self) -> String {
        let program = self.program.as_ref();
        program.map_or_else(String::new, |program| program.said.tail())
    }
}
