//! A mosquitto of our own on a free port.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Debian keeps daemons where users' paths do not lead.
const PLACES: [&str; 3] = [
    "mosquitto",
    "/usr/sbin/mosquitto",
    "/usr/local/sbin/mosquitto",
];

/// How often another port is tried when somebody else takes the free one first.
const TRIES: u32 = 5;

/// A running mosquitto, ended when dropped.
pub struct Mosquitto {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Mosquitto {
    /// Starts a broker for anonymous clients from this machine.
    pub fn start() -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(broker) = Self::try_start()? {
                return Ok(broker);
            }
        }
        bail!("mosquitto ended {TRIES} times before it listened; try `mosquitto -v` by hand");
    }

    /// The port on 127.0.0.1 where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn try_start() -> Result<Option<Self>> {
        let directory = TempDir::new().context("no room for a temporary directory")?;
        let port = free_port()?;
        let config = directory.path().join("mosquitto.conf");
        fs::write(
            &config,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
                 log_dest none\npersistence false\n"
            ),
        )?;
        let child = spawn(&config)?;
        let mut broker = Self {
            child,
            port,
            _directory: directory,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if broker.child.try_wait()?.is_some() {
                return Ok(None);
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Some(broker));
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("mosquitto did not listen on 127.0.0.1:{port} within 10 s");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

fn spawn(config: &Path) -> Result<Child> {
    for program in PLACES {
        let spawned = Command::new(program)
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => return other.with_context(|| format!("cannot start {program}")),
        }
    }
    bail!("mosquitto is not installed; type: sudo apt-get install mosquitto");
}
