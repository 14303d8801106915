//! What arrives at the broker, seen by a subscriber that is independent of the clients and of the
//! path between.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::packet::{self, Kind, Packets};

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A subscriber to everything.
#[derive(Default)]
pub struct Recorder {
    shared: Arc<Shared>,
    stream: Option<TcpStream>,
}

#[derive(Default)]
struct Shared {
    record: Mutex<Record>,
    changed: Condvar,
}

/// What has arrived, and when.
#[derive(Clone, Debug, Default)]
pub struct Record {
    first: HashMap<u32, Instant>,
    duplicates: usize,
}

impl Record {
    /// Takes a number.
    pub fn arrived(&mut self, number: u32, at: Instant) {
        match self.first.entry(number) {
            Entry::Vacant(entry) => drop(entry.insert(at)),
            Entry::Occupied(_) => self.duplicates += 1,
        }
    }

    /// Whether this number has arrived.
    pub fn has(&self, number: u32) -> bool {
        self.first.contains_key(&number)
    }

    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// How many arrived again.
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// When something came first that had never come, from this moment on.
    pub fn first_new(&self, since: Instant) -> Option<Instant> {
        self.first.values().copied().filter(|at| *at >= since).min()
    }
}

impl Recorder {
    /// Subscribes at a broker that has just started.
    pub fn attach(&mut self, broker: SocketAddr) -> Result<()> {
        let (mut stream, mut packets) = open(broker, "recorder")?;
        stream.write_all(&packet::subscribe("#"))?;
        let subscribed = answer(&mut stream, &mut packets)?;
        ensure!(
            subscribed == Kind::Suback,
            "mosquitto answers a subscription with {subscribed:?}"
        );
        self.stream = Some(stream.try_clone()?);
        let shared = self.shared.clone();
        thread::spawn(move || record(stream, packets, &shared));
        Ok(())
    }

    /// What has arrived up to now.
    pub fn record(&self) -> Record {
        self.shared.record().clone()
    }

    /// Waits until `wanted` makes something of the record.
    pub fn wait_for<T>(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&Record) -> Option<T>,
    ) -> Option<T> {
        let mut record = self.shared.record();
        loop {
            if let Some(found) = wanted(&record) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            // What is wanted may depend on more than the record.
            let left = left.min(Duration::from_millis(100));
            let waited = self.shared.changed.wait_timeout(record, left);
            record = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // Ends its thread; it fails only where the broker was faster.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects under this client id, which ends any other connection of it, and leaves.
pub fn intrude(broker: SocketAddr, client_id: &str) -> Result<()> {
    let (mut stream, _) = open(broker, client_id)?;
    // DISCONNECT.
    stream.write_all(&[0xe0, 0])?;
    Ok(())
}

fn open(broker: SocketAddr, client_id: &str) -> Result<(TcpStream, Packets)> {
    let mut stream = TcpStream::connect(broker).context("cannot reach mosquitto")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&packet::connect(client_id))?;
    let mut packets = Packets::default();
    match answer(&mut stream, &mut packets)? {
        Kind::Connack { code: 0 } => {}
        other => bail!("mosquitto answers CONNECT with {other:?}"),
    }
    stream.set_read_timeout(None)?;
    Ok((stream, packets))
}

fn answer(stream: &mut TcpStream, packets: &mut Packets) -> Result<Kind> {
    let mut buffer = [0; 256];
    loop {
        if let Some(packet) = packets.next() {
            return Ok(packet.kind(4));
        }
        match stream.read(&mut buffer).context("mosquitto is silent")? {
            0 => bail!("mosquitto closed the connection"),
            length => packets.push(&buffer[..length]),
        }
    }
}

fn record(mut stream: TcpStream, mut packets: Packets, shared: &Shared) {
    let mut buffer = [0; 4096];
    loop {
        while let Some(packet) = packets.next() {
            if let Kind::Publish { payload, .. } = packet.kind(4)
                && let Some(number) = parse(&payload)
            {
                shared.record().arrived(number, Instant::now());
                shared.changed.notify_all();
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => packets.push(&buffer[..length]),
        }
    }
}

/// The number that a payload is.
pub fn parse(payload: &[u8]) -> Option<u32> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publication that is repeated after the fault would pass for contact.
    #[test]
    fn only_what_never_came_is_new() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut record = Record::default();
        for (number, ms) in [(1, 0), (2, 10), (2, 30), (1, 40), (3, 50), (4, 60)] {
            record.arrived(number, at(ms));
        }
        assert_eq!(record.first_new(at(20)), Some(at(50)));
        assert_eq!(record.first_new(at(0)), Some(at(0)));
        assert_eq!(record.first_new(at(61)), None);
        assert_eq!(record.duplicates(), 2);
        assert!(record.has(4) && !record.has(5));
    }

    #[test]
    fn payloads_that_are_no_numbers_are_nobodys() {
        assert_eq!(parse(b"17"), Some(17));
        for payload in [&b""[..], b"x", b"-1", b"\xff", b"99999999999"] {
            assert_eq!(parse(payload), None, "{payload:?}");
        }
    }
}
