//! A real mosquitto, and a link to it.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use aldis_mqtt::link::Link;
use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::{Backoff, Buffers, Event, Options, Session, Version, Versions};
use tokio::time::timeout;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A mosquitto of one's own, which ends with the value.
pub struct Mosquitto {
    pub child: Child,
    pub port: u16,
    pub dir: PathBuf,
}

impl Mosquitto {
    /// On a free port.
    pub fn start(more: &str) -> Self {
        // Another program may take the port before mosquitto does.
        for _ in 0..10 {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = probe.local_addr().unwrap().port();
            drop(probe);
            if let Some(running) = Self::try_on(port, more) {
                return running;
            }
        }
        panic!("mosquitto does not start with: {more}");
    }

    /// On the port of one that has ended.
    pub fn start_on(port: u16, more: &str) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            // The port may be the near end of somebody's connection for a moment.
            if let Some(running) = Self::try_on(port, more) {
                return running;
            }
            assert!(Instant::now() < until, "port {port} stays taken");
        }
    }

    /// Once it accepts connections; nothing if it ends before.
    fn try_on(port: u16, more: &str) -> Option<Self> {
        let dir = std::env::temp_dir().join(format!("aldis-mqtt-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let conf = dir.join("mosquitto.conf");
        let mut file = std::fs::File::create(&conf).unwrap();
        writeln!(
            file,
            "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n{more}"
        )
        .unwrap();
        // Debian keeps it where users do not look.
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .unwrap_or("mosquitto");
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto is needed: apt-get install mosquitto");
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, runs) = mpsc::channel();
        // Reads on to the end, or mosquitto would end at a closed pipe.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.ends_with(" running") {
                    let _ = sender.send(());
                }
            }
        });
        let broker = Self { child, port, dir };
        match runs.recv_timeout(PATIENCE) {
            Ok(()) => Some(broker),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("mosquitto neither runs nor ends"),
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub type TestLink = Link<'static, TcpConnector, TokioClock>;

pub fn options(version: Version) -> Options<'static> {
    Options {
        versions: Versions::Only(version),
        // The broker may need a moment to start.
        backoff: Backoff {
            base_ms: 20,
            cap_ms: 100,
            ..Backoff::default()
        },
        ..Options::new("test")
    }
}

pub fn link(port: u16, options: Options<'static>) -> TestLink {
    link_by(TcpConnector::new("127.0.0.1", port), options)
}

pub fn link_by(connector: TcpConnector, options: Options<'static>) -> TestLink {
    let slots = vec![aldis_mqtt::Slot::EMPTY; 1024].leak();
    let buffers = Buffers::new(vec![0; 65_536].leak(), vec![0; 65_536].leak(), slots);
    let clock = TokioClock::new();
    let now = aldis_mqtt::link::Clock::now(&clock);
    let session = Session::new(options, buffers, 1, now).unwrap();
    Link::new(session, connector, clock).gather(vec![0; 4_096].leak())
}

/// Carries on until `wanted` gives something.
pub async fn until<T>(link: &mut TestLink, mut wanted: impl FnMut(&Event<'_>) -> Option<T>) -> T {
    timeout(PATIENCE, async {
        loop {
            let event = link.next().await;
            let found = wanted(&event);
            let token = match event {
                Event::Message(message) => message.token,
                _ => None,
            };
            if let Some(token) = token {
                link.session().acknowledge(token);
            }
            if let Some(found) = found {
                return found;
            }
        }
    })
    .await
    .expect("the event did not come")
}

pub async fn connected(link: &mut TestLink) -> bool {
    until(link, |event| match event {
        Event::Connected {
            session_present, ..
        } => Some(*session_present),
        _ => None,
    })
    .await
}
