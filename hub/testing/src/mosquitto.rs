//! mosquitto as a child, on a port of its own.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use aldis_client::{Broker, Options};

use crate::free_port;

/// A mosquitto that keeps its sessions on the disk, and dies with its owner.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Mosquitto {
    /// Starts one that lets everybody in, with more lines for its configuration.
    ///
    /// # Panics
    /// If mosquitto is not installed.
    pub fn start(more: &str) -> Self {
        Self::try_start(more).unwrap_or_else(|error| {
            panic!("mosquitto does not start ({error}); apt-get install mosquitto")
        })
    }

    fn try_start(more: &str) -> io::Result<Self> {
        // Another program may take the port in between.
        for _ in 0..5 {
            let port = free_port();
            let dir = tempfile::tempdir()?;
            fs::write(
                dir.path().join("mosquitto.conf"),
                format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n\
                     persistence_location {}/\nautosave_interval 1\n{more}",
                    dir.path().display()
                ),
            )?;
            let mut child = run(dir.path())?;
            if listens(&mut child, port)? {
                return Ok(Self { child, dir, port });
            }
        }
        Err(io::Error::other("it has no free port"))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it in order: it saves what it has.
    pub fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let _ = self.child.wait();
    }

    /// Kills it: it loses what it has not saved.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, where it was.
    ///
    /// # Panics
    /// If it does not start.
    pub fn again(&mut self) {
        let again = run(self.dir.path()).and_then(|mut child| {
            listens(&mut child, self.port)?;
            Ok(child)
        });
        self.child = again.unwrap_or_else(|error| panic!("mosquitto does not start: {error}"));
    }

    /// A client of it.
    pub fn client(&self, id: &str) -> Options {
        Options::new(self.broker(), id)
    }

    /// Its address.
    pub fn broker(&self) -> Broker {
        Broker::new("127.0.0.1", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(dir: &Path) -> io::Result<Child> {
    // Debian has it where only root looks.
    let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("mosquitto");
    Command::new(program)
        .arg("-c")
        .arg(dir.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Whether it listens, and has not ended.
fn listens(child: &mut Child, port: u16) -> io::Result<bool> {
    while child.try_wait()?.is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(false)
}
