//! Tells systemd that the hub runs, for a unit of `Type=notify`, and that its broker answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::parts;

/// Where the hub's own broker is, and what it is told there.
#[derive(Clone)]
pub struct Greeting {
    broker: SocketAddr,
    connect: Vec<u8>,
}

impl Greeting {
    /// As a user of the hub's own.
    pub fn new(broker: SocketAddr, (username, password): (String, String)) -> Self {
        const ID: &[u8] = b"aldis-watchdog";
        // A clean session, a user name and a password.
        let mut body = b"\0\x04MQTT\x04\xc2\0\x0a".to_vec();
        for text in [ID, username.as_bytes(), password.as_bytes()] {
            body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            body.extend(text);
        }
        // All of it is far below 128 bytes.
        let mut connect = vec![0x10, u8::try_from(body.len()).unwrap_or(0x7f)];
        connect.append(&mut body);
        Self { broker, connect }
    }
}

/// Whoever started the hub and wants to hear of it; nobody where there is no systemd.
#[derive(Debug)]
pub struct Supervisor {
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
    watchdog: Option<Duration>,
    task: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// According to the variables that systemd sets (sd_notify(3), sd_watchdog_enabled(3)).
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let is_mine = |pid: &str| pid.parse() == Ok(std::process::id());
        let watchdog = variable("WATCHDOG_USEC")
            .filter(|_| variable("WATCHDOG_PID").is_none_or(|pid| is_mine(&pid)))
            .and_then(|us| us.parse().ok())
            .filter(|us| *us > 0)
            .map(Duration::from_micros);
        Self {
            #[cfg(unix)]
            socket: variable("NOTIFY_SOCKET").and_then(|path| match connect(&path) {
                Ok(socket) => Some(socket),
                Err(error) => {
                    tracing::warn!("systemd cannot be told at {path}: {error}");
                    None
                }
            }),
            watchdog,
            task: None,
        }
    }

    /// The hub runs. From now on the watchdog is fed, as long as its own broker answers, if it has
    /// one. It may be said again, when there is another one.
    pub fn ready(&mut self, status: &str, broker: Option<Greeting>) {
        self.say(&format!("READY=1\nSTATUS={status}"));
        if let Some(task) = self.task.take() {
            task.abort();
        }
        #[cfg(unix)]
        if let (Some(limit), Some(socket)) = (self.watchdog, &self.socket)
            && let Ok(socket) = socket.try_clone()
        {
            self.task = Some(tokio::spawn(feed(socket, limit, broker)));
        }
        #[cfg(not(unix))]
        let _ = broker;
    }

    /// Waits until the watchdog is not fed any more, though nobody asked for that: systemd would
    /// kill the hub without a word.
    pub async fn ended(&mut self) -> String {
        match &mut self.task {
            Some(task) => {
                let ended = task.await;
                self.task = None;
                parts::ended("what feeds systemd's watchdog", ended)
            }
            None => std::future::pending().await,
        }
    }

    /// The hub is about to end.
    pub fn stopping(&mut self) {
        self.say("STOPPING=1");
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    fn say(&self, words: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(words.as_bytes())
        {
            tracing::warn!("systemd cannot be told: {error}");
        }
        #[cfg(not(unix))]
        let _ = words;
    }
}

/// A socket's address may be a path, or a name that begins with `@`.
#[cfg(unix)]
fn connect(path: &str) -> io::Result<std::os::unix::net::UnixDatagram> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    match path.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.connect_addr(&addr)?;
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::ErrorKind::Unsupported.into()),
        None => socket.connect(path)?,
    }
    // A supervisor that does not read must not hold up the hub.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Feeds the watchdog three times in its time, while the broker answers.
#[cfg(unix)]
async fn feed(socket: std::os::unix::net::UnixDatagram, limit: Duration, broker: Option<Greeting>) {
    let pause = limit / 3;
    loop {
        let answer = async {
            match &broker {
                Some(greeting) => answers(greeting).await,
                None => Ok(()),
            }
        };
        match timeout(pause, answer).await {
            Ok(Ok(())) => {
                if let Err(error) = socket.send(b"WATCHDOG=1") {
                    tracing::warn!("the watchdog cannot be fed: {error}");
                }
            }
            Ok(Err(error)) => tracing::error!("the broker does not answer: {error}"),
            Err(_) => tracing::error!("the broker does not answer"),
        }
        sleep(pause).await;
    }
}

/// Whether the broker greets a client. Let in or refused, it is answered.
#[cfg(unix)]
async fn answers(greeting: &Greeting) -> io::Result<()> {
    const CONNACK: u8 = 0x20;
    const DISCONNECT: [u8; 2] = [0xe0, 0];
    let mut stream = TcpStream::connect(greeting.broker).await?;
    stream.write_all(&greeting.connect).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    if answer[0] != CONNACK {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Who was refused is gone already.
    let _ = stream.write_all(&DISCONNECT).await;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tokio::net::TcpListener;

    use super::*;

    fn supervisor(socket: &UnixDatagram, path: &std::path::Path) -> Supervisor {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Supervisor {
            socket: Some(connect(path.to_str().unwrap()).unwrap()),
            watchdog: Some(Duration::from_millis(300)),
            task: None,
        }
    }

    fn heard(socket: &UnixDatagram) -> io::Result<String> {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// A unit of `Type=notify` that hears nothing is killed after its start; one whose broker
    /// hangs and that is fed all the same hangs for ever.
    #[tokio::test(flavor = "multi_thread")]
    async fn systemd_hears_of_the_start_of_the_broker_and_of_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut supervisor = supervisor(&socket, &path);
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = broker.local_addr().unwrap();
        let greeting = Greeting::new(addr, ("me".to_owned(), "secret".to_owned()));
        let asked = greeting.connect.clone();
        supervisor.ready("here", Some(greeting));
        assert_eq!(heard(&socket).unwrap(), "READY=1\nSTATUS=here");
        for refused in [0, 5] {
            let (mut client, _) = broker.accept().await.unwrap();
            let mut connect = vec![0; asked.len()];
            client.read_exact(&mut connect).await.unwrap();
            assert_eq!(connect, asked);
            client.write_all(&[0x20, 2, 0, refused]).await.unwrap();
            assert_eq!(heard(&socket).unwrap(), "WATCHDOG=1");
        }
        // It takes connections and says nothing: so does a broker that hangs.
        let silent = broker.accept().await.unwrap();
        let next = broker.accept().await.unwrap();
        drop((silent, next));
        supervisor.stopping();
        assert_eq!(heard(&socket).unwrap(), "STOPPING=1");
    }

    /// In a container systemd's socket has a name and no path.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_may_have_a_name_that_is_no_path() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("aldis-test-{}", std::process::id());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&addr).unwrap();
        connect(&format!("@{name}")).unwrap().send(b"x").unwrap();
        assert_eq!(heard(&socket).unwrap(), "x");
        assert!(connect("/nowhere/at/all").is_err());
    }
}
