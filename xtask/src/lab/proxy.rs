//! A slow line before the broker, as the kernel cannot make it everywhere: bytes that come late,
//! or one by one. It runs as a process of its own, inside a namespace.

use std::io::{BufRead, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::namespace::Namespace;
use super::network::{PORT, PROXY_PORT};
use super::program::Program;

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As if it were not there.
    Through,
    /// Everything takes so long, each way.
    Late(Duration),
    /// One byte at a time, and so long between them.
    Trickle(Duration),
}

impl Manner {
    fn words(self) -> String {
        match self {
            Self::Through => "through 0".to_owned(),
            Self::Late(time) => format!("late {}", time.as_millis()),
            Self::Trickle(time) => format!("trickle {}", time.as_millis()),
        }
    }

    fn read(line: &str) -> Result<Self> {
        let (word, number) = line.split_once(' ').context("no time")?;
        let time = Duration::from_millis(number.parse().context("no number")?);
        Ok(match word {
            "through" => Self::Through,
            "late" => Self::Late(time),
            "trickle" => Self::Trickle(time),
            _ => bail!("no manner"),
        })
    }
}

/// The line, beside the broker.
#[derive(Debug)]
pub struct Proxy(Program);

impl Proxy {
    /// Starts it.
    pub fn start(at: &Namespace) -> Result<Self> {
        let ourselves = env::current_exe().context("cannot find this program's file")?;
        let mut command = at.command(ourselves);
        command
            .arg("lab-proxy")
            .arg(format!("0.0.0.0:{PROXY_PORT}"))
            .arg(format!("127.0.0.1:{PORT}"));
        let mut program = Program::start(&mut command)?;
        program.wait_for(0, Duration::from_secs(20), "start", |line| line == "ready")?;
        Ok(Self(program))
    }

    /// Changes how the line is, for what comes from now on.
    pub fn set(&mut self, manner: Manner) -> Result<()> {
        self.0.tell(&manner.words())
    }
}

/// A slow line for `cargo xtask faults`; it obeys lines on standard input.
#[derive(Args)]
#[command(hide = true)]
pub struct LabProxy {
    /// Where to listen.
    listen: String,
    /// Where to connect.
    to: String,
}

/// What all connections share: how late, and how slow, in milliseconds.
#[derive(Debug, Default)]
struct Line {
    late_ms: AtomicU64,
    trickle_ms: AtomicU64,
}

impl Line {
    fn set(&self, manner: Manner) {
        let millis = |time: Duration| time.as_millis() as u64;
        let (late, trickle) = match manner {
            Manner::Through => (0, 0),
            Manner::Late(time) => (millis(time), 0),
            Manner::Trickle(time) => (0, millis(time)),
        };
        self.late_ms.store(late, Ordering::Relaxed);
        self.trickle_ms.store(trickle, Ordering::Relaxed);
    }
}

impl LabProxy {
    /// Runs until standard input ends.
    pub fn run(self) -> Result<()> {
        let listener = TcpListener::bind(&self.listen)
            .with_context(|| format!("cannot listen at {}", self.listen))?;
        let line = Arc::new(Line::default());
        let shared = line.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (line, to) = (shared.clone(), self.to.clone());
                thread::spawn(move || {
                    // A broker that is absent closes the connection, as it would without us.
                    let _ = pass(client, &to, &line);
                });
            }
        });
        println!("ready");
        for text in io::stdin().lock().lines() {
            line.set(Manner::read(&text?)?);
        }
        Ok(())
    }
}

/// Passes a connection on, both ways, until both have ended.
fn pass(client: TcpStream, to: &str, line: &Arc<Line>) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let ways = [(client.try_clone()?, server.try_clone()?), (server, client)];
    for (from, into) in ways {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || read(from, &sender));
        let line = line.clone();
        thread::spawn(move || write(into, &receiver, &line));
    }
    Ok(())
}

/// Reads until there is nothing more; the end goes the same way as the bytes.
fn read(mut from: TcpStream, to: &Sender<(Instant, Vec<u8>)>) {
    let mut bytes = [0; 4_096];
    loop {
        let len = from.read(&mut bytes).unwrap_or(0);
        let part = bytes[..len].to_vec();
        if to.send((Instant::now(), part)).is_err() || len == 0 {
            return;
        }
    }
}

fn write(mut into: TcpStream, from: &Receiver<(Instant, Vec<u8>)>, line: &Line) {
    for (came, part) in from {
        let late = Duration::from_millis(line.late_ms.load(Ordering::Relaxed));
        thread::sleep((came + late).saturating_duration_since(Instant::now()));
        if part.is_empty() {
            break;
        }
        let written = part.iter().try_for_each(|byte| {
            let trickle = line.trickle_ms.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(trickle));
            into.write_all(&[*byte])
        });
        if written.is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The process would not obey.
    #[test]
    fn manners_are_understood() {
        for manner in [
            Manner::Through,
            Manner::Late(Duration::from_secs(4)),
            Manner::Trickle(Duration::from_millis(5)),
        ] {
            assert_eq!(Manner::read(&manner.words()).unwrap(), manner);
        }
        assert!(Manner::read("fast 1").is_err() && Manner::read("late").is_err());
    }

    /// What is lost or changed on the way would be blamed on the device.
    #[test]
    fn every_byte_comes_late_or_slowly_but_comes() {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(front.local_addr().unwrap()).unwrap();
        let line = Arc::new(Line::default());
        let to = upstream.local_addr().unwrap().to_string();
        pass(front.accept().unwrap().0, &to, &line).unwrap();
        let (mut server, _) = upstream.accept().unwrap();
        let mut answer = [0; 3];
        for manner in [
            Manner::Late(Duration::from_millis(30)),
            Manner::Trickle(Duration::from_millis(10)),
        ] {
            line.set(manner);
            let start = Instant::now();
            client.write_all(b"abc").unwrap();
            server.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"abc");
            assert!(start.elapsed() >= Duration::from_millis(30), "{manner:?}");
        }
        line.set(Manner::Through);
        server.write_all(b"xyz").unwrap();
        drop(server);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"xyz");
    }
}
