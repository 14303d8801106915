//! A mosquitto of its own for each test.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long to wait for anything before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running mosquitto, ended when dropped.
pub struct Mosquitto {
    child: Child,
    port: u16,
    directory: PathBuf,
    events: Receiver<Event>,
    /// Its version.
    pub version: String,
}

/// What mosquitto's log tells that no connection does.
enum Event {
    /// It accepts connections; its version.
    Running(String),
    /// It has noticed that a client went away.
    Lost,
}

impl Mosquitto {
    /// Starts it with some more lines of configuration and an access file, if that is not empty.
    pub fn start(settings: &str, access: &str) -> Self {
        // Another program may take the port between our looking and mosquitto's binding.
        for _ in 0..10 {
            if let Some(running) = Self::try_start(settings, access) {
                return running;
            }
        }
        panic!("mosquitto did not start; try it by hand with `mosquitto -v`");
    }

    fn try_start(settings: &str, access: &str) -> Option<Self> {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = probe.local_addr().expect("its number").port();
        drop(probe);
        let name = format!("aldis-mosquitto-{}-{port}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a temporary directory");
        let mut config = format!(
            "listener {port} 127.0.0.1\npersistence false\nsys_interval 0\nlog_dest stderr\n\
             log_type notice\nlog_type information\nlog_type error\n{settings}\n"
        );
        if !access.is_empty() {
            let file = directory.join("access");
            fs::write(&file, access).expect("the access file is written");
            config += &format!("acl_file {}\n", file.display());
            readable_by_all(&file);
        }
        let file = directory.join("mosquitto.conf");
        fs::write(&file, config).expect("the configuration is written");
        readable_by_all(&directory);
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
            .into_iter()
            .find(|path| fs::exists(path).unwrap_or(false))
            .unwrap_or("mosquitto");
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto is needed for this test: `apt-get install mosquitto`");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let event = if let Some(rest) = line.strip_suffix(" running") {
                    Event::Running(rest.rsplit(' ').next().unwrap_or("").into())
                } else if line.contains(" closed its connection") || line.contains("Socket error") {
                    Event::Lost
                } else {
                    continue;
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut running = Self {
            child,
            port,
            directory,
            events,
            version: String::new(),
        };
        match running.events.recv_timeout(PATIENCE) {
            Ok(Event::Running(version)) => {
                running.version = version;
                Some(running)
            }
            Ok(Event::Lost) => None,
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("mosquitto neither runs nor ends"),
        }
    }

    /// Waits until mosquitto has noticed the end of one connection.
    pub fn wait_for_loss(&self) {
        match self.events.recv_timeout(PATIENCE) {
            Ok(Event::Lost) => {}
            _ => panic!("mosquitto did not notice a lost connection within {PATIENCE:?}"),
        }
    }

    /// A new connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        stream
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Started by root, mosquitto gives up its rights before it reads these.
#[cfg(unix)]
fn readable_by_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::path::Path) {}

/// Sends bytes; a peer that has closed meanwhile is noticed when reading.
pub fn send(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// Reads more; false at the end of the connection.
pub fn read_more(mut stream: &TcpStream, into: &mut Vec<u8>) -> bool {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return false,
            Ok(length) => {
                into.extend_from_slice(&piece[..length]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("mosquitto neither answered nor closed within {PATIENCE:?}")
            }
            Err(_) => return false,
        }
    }
}
