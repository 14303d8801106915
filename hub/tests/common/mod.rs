//! What the tests share: hubs, mosquitto's programs, and a client that shows every packet.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod raw;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aldis_hub::{Access, Action, Effect, Hub, HubConfig, Rule, RunningHub, User, hash_password};

/// How long something that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The protocol versions, as mosquitto's programs name them.
pub const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];

/// A hub on a free port that keeps nothing.
pub async fn hub() -> RunningHub {
    Hub::start(HubConfig::ephemeral())
        .await
        .expect("the hub starts")
}

/// The same, with users and rules.
pub async fn hub_with(access: Access) -> RunningHub {
    let config = HubConfig {
        access,
        ..HubConfig::ephemeral()
    };
    Hub::start(config).await.expect("the hub starts")
}

/// A user who may come in with this password.
pub fn user(name: &str, password: &str) -> User {
    let password = hash_password(password).expect("a password can be hashed");
    User {
        name: name.to_owned(),
        password,
    }
}

/// A rule that lets everybody do this, or anything.
pub fn allow(action: Option<Action>, topic: &str) -> Rule {
    Rule {
        effect: Effect::Allow,
        action,
        user: None,
        client: None,
        topics: vec![topic.to_owned()],
    }
}

/// One of mosquitto's programs, to be started with arguments for this hub.
pub fn mosquitto(program: &str, addr: SocketAddr, arguments: &[&str]) -> Command {
    let installed = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()));
    assert!(
        installed,
        "{program} is missing; type: apt-get install mosquitto-clients"
    );
    // Into a pipe they would hold their lines back.
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", program])
        .args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string()])
        .args(arguments);
    command
}

/// Runs the program to its end.
pub fn finish(command: &mut Command) -> Output {
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = child.id();
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("the program's output can be read"),
        Err(_) => panic!("{command:?} (process {pid}) does not end"),
    }
}

/// Publishes with mosquitto_pub, which must succeed.
pub fn publish(addr: SocketAddr, arguments: &[&str]) {
    let output = finish(&mut mosquitto("mosquitto_pub", addr, arguments));
    assert!(
        output.status.success(),
        "mosquitto_pub {arguments:?}: {output:?}"
    );
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"))
}

/// A program whose lines are read as they come.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Starts the program.
    pub fn start(command: &mut Command) -> Self {
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (sender, lines) = channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// A subscriber that prints `topic payload`, ready to receive.
    pub fn subscriber(addr: SocketAddr, arguments: &[&str]) -> Self {
        let mut subscriber = Self::start(mosquitto("mosquitto_sub", addr, arguments).args([
            "-d",
            "-F",
            "got %t %p",
        ]));
        subscriber.wait_for("Subscribed (mid");
        subscriber
    }

    /// The next line with this text in it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with `{text}` came, but: {:#?}", self.seen),
            }
        }
    }

    /// The next message a [`subscriber`](Self::subscriber) got.
    pub fn message(&mut self) -> String {
        self.wait_for("got ")["got ".len()..].to_owned()
    }

    /// Waits until the program has ended.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .child
                .try_wait()
                .expect("the program can be waited for")
            {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("the program does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Ends the program at once, without a farewell.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
