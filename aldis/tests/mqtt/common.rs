//! A broker of one's own, and programs that are waited for with a bound.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub use aldis_testing::free_port;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes with the value.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "aldis-cli-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A mosquitto, which ends with the value.
pub struct Mosquitto {
    child: Child,
    pub port: u16,
    log: Receiver<Vec<u8>>,
    _dir: Dir,
}

impl Mosquitto {
    pub fn start() -> Self {
        Self::with("allow_anonymous true")
    }

    pub fn with(settings: &str) -> Self {
        // Another program may take the port first; mosquitto then ends.
        for _ in 0..5 {
            if let Some(broker) = Self::try_on(free_port(), settings) {
                return broker;
            }
        }
        panic!("mosquitto does not start with {settings}");
    }

    /// On the port of one that has ended.
    pub fn start_on(port: u16) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            // The port may be the near end of somebody's connection for a moment.
            if let Some(broker) = Self::try_on(port, "allow_anonymous true") {
                return broker;
            }
            assert!(Instant::now() < until, "port {port} stays taken");
        }
    }

    fn try_on(port: u16, settings: &str) -> Option<Self> {
        let dir = Dir::new();
        // `user`: as root it would give up the right to read our files.
        let config = format!(
            "listener {port} 127.0.0.1\n{settings}\nuser root\nlog_dest stderr\nlog_type all\n"
        );
        let config = dir.file("mosquitto.conf", config);
        // Debian keeps it where users do not look.
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .unwrap_or("mosquitto");
        let mut child = Command::new(program)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto is needed: apt-get install mosquitto");
        let log = lines(child.stderr.take().unwrap());
        let broker = Self {
            child,
            port,
            log,
            _dir: dir,
        };
        broker.saw(" running").then_some(broker)
    }

    /// Waits until the broker writes this into its log; false if it ends before.
    fn saw(&self, words: &str) -> bool {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if String::from_utf8_lossy(&line).contains(words) => return true,
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the broker never said `{words}`"),
            }
        }
    }

    /// Waits until somebody has subscribed.
    pub fn subscribed(&self) {
        assert!(self.saw("Sending SUBACK"));
    }

    /// Ends in order, as on a restart of the machine.
    pub fn terminate(mut self) -> u16 {
        signal("TERM", &self.child);
        self.child.wait().unwrap();
        self.port
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, child: &Child) {
    let status = Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Lines as they come, each with its end.
fn lines(from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            match from.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    // Who does not want it any more has gone.
                    let _ = sender.send(line);
                }
            }
        }
    });
    receiver
}

/// A program that runs.
pub struct Running {
    child: Child,
    out: Receiver<Vec<u8>>,
    err: Receiver<Vec<u8>>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl Done {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }
}

pub fn start(command: &mut Command, input: &[u8]) -> Running {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mosquitto-clients are needed: apt-get install mosquitto-clients");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Who ends without reading all of it closes the pipe.
    std::thread::spawn(move || stdin.write_all(&input));
    let out = lines(child.stdout.take().unwrap());
    let err = lines(child.stderr.take().unwrap());
    Running { child, out, err }
}

pub fn run(command: &mut Command) -> Done {
    start(command, b"").done()
}

impl Running {
    /// The next line of standard output that has these words in it.
    pub fn line(&self, words: &str) -> String {
        wait_for(&self.out, words)
    }

    /// Standard output up to the next line that has these words in it.
    pub fn until(&self, words: &str) -> String {
        let mut all = String::new();
        loop {
            let line = wait_for(&self.out, "");
            all.push_str(&line);
            if line.contains(words) {
                return all;
            }
        }
    }

    /// The next line of standard error that has these words in it.
    pub fn error_line(&self, words: &str) -> String {
        wait_for(&self.err, words)
    }

    pub fn signal(&self, name: &str) {
        signal(name, &self.child);
    }

    /// Waits for the end, and gives what was not read before.
    pub fn done(mut self) -> Done {
        let out = self.rest(false);
        let err = self.rest(true);
        let code = self.child.wait().unwrap().code();
        Done {
            code,
            out,
            err: String::from_utf8(err).unwrap(),
        }
    }

    fn rest(&mut self, err: bool) -> Vec<u8> {
        let lines = if err { &self.err } else { &self.out };
        let mut all = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => all.extend(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return all,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it does not end: {}", String::from_utf8_lossy(&all))
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(lines: &Receiver<Vec<u8>>, words: &str) -> String {
    let mut before = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                if line.contains(words) {
                    return line;
                }
                before.push_str(&line);
            }
            Err(_) => panic!("`{words}` did not come after:\n{before}"),
        }
    }
}

/// `aldis` without anything from the environment of the tests.
pub fn aldis(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
    for name in [
        "HOST",
        "PORT",
        "USERNAME",
        "PASSWORD",
        "PASSWORD_FILE",
        "CAFILE",
    ] {
        command.env_remove(format!("ALDIS_{name}"));
    }
    command.env("TZ", "Europe/Vilnius").arg(verb);
    command
}

/// Which tool: ours or mosquitto's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Aldis,
    Mosquitto,
}

pub const BOTH: [Tool; 2] = [Tool::Aldis, Tool::Mosquitto];

impl Tool {
    /// Its `sub` or `pub`, without any flag.
    pub fn bare(self, verb: &str) -> Command {
        match self {
            Self::Aldis => aldis(verb),
            Self::Mosquitto => {
                // Into a pipe it would not write line by line.
                let mut command = Command::new("stdbuf");
                command.args(["-oL", &format!("mosquitto_{verb}")]);
                command.env("TZ", "Europe/Vilnius");
                command
            }
        }
    }

    /// The same, for a broker on this machine.
    pub fn at<S: AsRef<OsStr>>(
        self,
        verb: &str,
        port: u16,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.bare(verb);
        command
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .args(args);
        command
    }
}

/// Publishes with mosquitto_pub.
pub fn publish(port: u16, args: &[&str]) {
    let done = run(&mut Tool::Mosquitto.at("pub", port, args));
    assert_eq!(done.code, Some(0), "{done:?}");
}

pub fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server that answers each connection with `answer` and closes.
pub fn server(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 1024];
            let len = stream.read(&mut bytes).unwrap_or(0);
            if let Some(answer) = answer(&bytes[..len]) {
                // The client may have gone.
                let _ = stream.write_all(&answer);
                let _ = stream.read(&mut bytes);
            }
        }
    });
    port
}
