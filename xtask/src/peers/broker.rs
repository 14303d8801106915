//! A mosquitto of our own, which can be killed and started again.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

use super::port::Port;

/// Debian keeps servers where users do not look.
const PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether it remembers sessions when it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Kept,
    Lost,
}

/// mosquitto on a port of its own; killed when dropped.
pub struct Broker {
    program: PathBuf,
    port: Port,
    config: PathBuf,
    child: Option<Child>,
}

/// Where mosquitto is.
pub fn find() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    let mut programs = folders.map(|folder| folder.join("mosquitto"));
    programs
        .find(|program| program.is_file())
        .context("mosquitto is missing; type: sudo apt-get install mosquitto")
}

/// What it calls itself, such as `mosquitto 2.0.11`.
pub fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("-h")
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    Ok(first.replace(" version ", " "))
}

impl Broker {
    /// Starts it with its files in `folder`.
    pub fn start(program: &Path, folder: &Path, memory: Memory) -> Result<Self> {
        let port = Port::new().context("no free port")?;
        let config = folder.join("mosquitto.conf");
        let persistence = match memory {
            Memory::Kept => {
                // Stored after each change, so that it is there when it is killed.
                "persistence true\nautosave_on_changes true\nautosave_interval 1\n"
            }
            Memory::Lost => "persistence false\n",
        };
        // Started by root, it would become somebody who cannot write there.
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest none\n\
             set_tcp_nodelay true\nmax_queued_messages 0\n\
             {persistence}persistence_location {}/\n",
            port.number(),
            folder.display()
        );
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let mut broker = Self {
            program: program.to_owned(),
            port,
            config,
            child: None,
        };
        broker.revive()?;
        Ok(broker)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Starts it again.
    pub fn revive(&mut self) -> Result<()> {
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let child = self.child.insert(child);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(self.port.address()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).context("cannot reach mosquitto"),
            }
            if let Some(status) = child.try_wait()? {
                bail!(
                    "mosquitto ended at once ({status}); try: mosquitto -v -c {}",
                    self.config.display()
                );
            }
            ensure!(
                Instant::now() < deadline,
                "mosquitto does not listen on {}",
                self.port.address()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets it do nothing more, with its connections open.
    pub fn hang(&self) -> Result<()> {
        let child = self.child.as_ref().context("there is no mosquitto")?;
        let status = Command::new("kill")
            .args(["-STOP", &child.id().to_string()])
            .status()
            .context("cannot start kill")?;
        ensure!(status.success(), "mosquitto cannot be stopped");
        Ok(())
    }

    /// Kills it, so that it can save nothing.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only for a process that has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
