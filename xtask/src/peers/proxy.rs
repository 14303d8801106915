//! A path between a client and a broker that can be made to fail.
//!
//! It stands where TCP ends, so it does to bytes what a network would do to segments: what a
//! broken path holds back comes when the sender would have sent it again ([`Path::release`]), and
//! while the path is broken nobody answers a new connection either, because the queue in which the
//! system would accept it is full ([`acceptor`]).

mod acceptor;
mod line;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;

use self::acceptor::Acceptor;
use self::line::{Gate, Item, Line};
use super::packet::{Kind, Packet};
use super::port::Port;

/// How long a byte takes on a line that trickles.
pub const TRICKLE: Duration = Duration::from_millis(10);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The client asked the broker to let it in.
    Connect,
    /// The PUBACK of this payload was taken out.
    Swallowed(Vec<u8>),
    /// A connection was closed because the client sent CONNECT.
    Closed,
}

/// The path. What it does is up to its owner; at first it carries, but nobody listens.
pub struct Proxy {
    path: Arc<Path>,
    port: Port,
    acceptor: Option<Acceptor>,
}

/// What all threads share.
struct Path {
    broker: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connections: Vec<Connection>,
    /// The path takes nothing.
    holding: bool,
    /// How long bytes take, one way.
    delay: Duration,
    trickle: bool,
    /// The next PUBACK is to be taken out.
    swallow: bool,
    /// So many connections are still to be closed after CONNECT.
    close: u32,
    seen: Vec<(Instant, Seen)>,
}

/// A client's connection and the one to the broker behind it.
struct Connection {
    sockets: Option<Sockets>,
    /// The protocol's level, once CONNECT has come.
    level: u8,
    /// The payloads of publications, by packet id.
    published: HashMap<u16, Vec<u8>>,
    up: Line,
    down: Line,
}

/// Both sides of a connection. A socket is closed when the last thread lets go of it.
struct Sockets {
    client: Arc<TcpStream>,
    broker: Arc<TcpStream>,
}

impl Connection {
    fn line(&mut self, way: Way) -> &mut Line {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Ends it at both sides.
    fn close(&mut self, how: Ending) {
        let Some(Sockets { client, broker }) = self.sockets.take() else {
            return;
        };
        self.published.clear();
        for stream in [client, broker] {
            // A socket that the other side has closed refuses this, and needs no more.
            let _ = match how {
                Ending::Orderly => stream.shutdown(Shutdown::Both),
                Ending::Reset => {
                    // The threads let go of it, and the last one resets it.
                    let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                    stream.shutdown(Shutdown::Read)
                }
            };
        }
    }
}

#[derive(Clone, Copy)]
enum Ending {
    Orderly,
    Reset,
}

impl Proxy {
    /// A path to the broker at this address. Connections are refused until [`Proxy::listen`].
    pub fn new(broker: SocketAddr) -> Result<Self> {
        Ok(Self {
            path: Arc::new(Path {
                broker,
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            port: Port::new().context("no free port")?,
            acceptor: None,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on connections are accepted.
    pub fn listen(&mut self) -> Result<()> {
        if self.acceptor.is_none() {
            let path = self.path.clone();
            let acceptor = Acceptor::start(&self.port, move |client| path.accept(client));
            self.acceptor = Some(acceptor.context("the proxy cannot listen")?);
        }
        Ok(())
    }

    /// From now on connections are refused; those that there are stay.
    pub fn refuse(&mut self) {
        self.acceptor = None;
    }

    /// From now on nothing gets through, and nobody answers a new connection.
    pub fn hold(&self) -> Result<()> {
        {
            let mut state = self.path.state();
            state.holding = true;
            for connection in &mut state.connections {
                connection.up.hold();
                connection.down.hold();
            }
        }
        match &self.acceptor {
            Some(acceptor) => acceptor.fall_silent().context("the proxy still answers"),
            None => Ok(()),
        }
    }

    /// The end of [`Proxy::hold`]. What waits comes when TCP would have sent it again, and so do
    /// new connections, since those that ask for them do so again.
    pub fn release(&self) -> Result<()> {
        self.path.release(Instant::now());
        match &self.acceptor {
            Some(acceptor) => acceptor.answer().context("the proxy does not listen"),
            None => Ok(()),
        }
    }

    /// The connections that there are never carry anything again, and nobody is told.
    pub fn kill(&self) {
        self.path.change(|state| {
            for connection in &mut state.connections {
                connection.up.gate = Gate::Dead;
                connection.down.gate = Gate::Dead;
            }
        });
    }

    /// The connections that there are never carry anything to the client again.
    pub fn kill_downwards(&self) {
        self.path.change(|state| {
            for connection in &mut state.connections {
                connection.down.gate = Gate::Dead;
            }
        });
    }

    /// The next PUBACK is taken out.
    pub fn swallow_puback(&self) {
        self.path.change(|state| state.swallow = true);
    }

    /// Resets the connections that there are.
    pub fn reset(&self) {
        self.close_all(Ending::Reset);
    }

    /// Closes the connections that there are.
    pub fn close(&self) {
        self.close_all(Ending::Orderly);
    }

    fn close_all(&self, how: Ending) {
        self.path.change(|state| {
            for connection in &mut state.connections {
                connection.close(how);
            }
        });
    }

    /// Closes the connections that there are, and so many after their CONNECT.
    pub fn close_after_connect(&self, times: u32) {
        self.path.change(|state| {
            state.close = times;
            for connection in &mut state.connections {
                connection.close(Ending::Orderly);
            }
        });
    }

    /// From now on bytes take so long, one way.
    pub fn delay(&self, delay: Duration) {
        self.path.change(|state| state.delay = delay);
    }

    /// From now on bytes come one by one, each after [`TRICKLE`].
    pub fn trickle(&self, trickle: bool) {
        self.path.change(|state| state.trickle = trickle);
    }

    /// How many there were of these.
    pub fn count(&self, what: &Seen) -> usize {
        let state = self.path.state();
        state.seen.iter().filter(|(_, seen)| seen == what).count()
    }

    /// Waits until `wanted` makes something of what was seen.
    pub fn wait_for<T>(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&[(Instant, Seen)]) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.path.state();
        loop {
            if let Some(found) = wanted(&state.seen) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.path.wait(state, Some(left));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor = None;
        self.close();
    }
}

impl Path {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait<'s>(
        &self,
        state: MutexGuard<'s, State>,
        at_most: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        let waited = match at_most {
            None => self.changed.wait(state),
            Some(time) => {
                let waited = self.changed.wait_timeout(state, time);
                return waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        };
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, now: Instant) {
        self.change(|state| {
            state.holding = false;
            for connection in &mut state.connections {
                connection.up.release(now);
                connection.down.release(now);
            }
        });
    }

    /// Brings a new client to the broker.
    fn accept(self: &Arc<Self>, client: TcpStream) {
        // A broker that just went down: the client is let go, and comes again.
        let Ok(broker) = TcpStream::connect(self.broker) else {
            return;
        };
        // Each packet is written at once. Where that cannot be set, it is a little slower.
        let _ = client.set_nodelay(true);
        let _ = broker.set_nodelay(true);
        let (client, broker) = (Arc::new(client), Arc::new(broker));
        let number = {
            let mut state = self.state();
            let mut connection = Connection {
                sockets: Some(Sockets {
                    client: client.clone(),
                    broker: broker.clone(),
                }),
                level: 0,
                published: HashMap::new(),
                up: Line::default(),
                down: Line::default(),
            };
            if state.holding {
                connection.up.hold();
                connection.down.hold();
            }
            state.connections.push(connection);
            state.connections.len() - 1
        };
        self.changed.notify_all();
        for (way, from, to) in [(Way::Up, &client, &broker), (Way::Down, &broker, &client)] {
            let (path, from) = (self.clone(), from.clone());
            thread::spawn(move || path.read(number, way, &from));
            let (path, to) = (self.clone(), to.clone());
            thread::spawn(move || path.write(number, way, &to));
        }
    }

    /// Takes what comes from one side until it ends.
    fn read(&self, number: usize, way: Way, from: &TcpStream) {
        let rest = line::read(from, |packet| self.arrived(number, way, packet));
        self.change(|state| {
            let line = state.connections[number].line(way);
            line.push(Item::Bytes(rest));
            line.push(Item::End);
        });
    }

    /// A packet has come.
    fn arrived(&self, number: usize, way: Way, packet: Packet) {
        let mut state = self.state();
        let state = &mut *state;
        let connection = &mut state.connections[number];
        let now = Instant::now();
        match (way, packet.kind(connection.level)) {
            (Way::Up, Kind::Connect { level }) => {
                connection.level = level;
                state.seen.push((now, Seen::Connect));
                if state.close > 0 {
                    state.close -= 1;
                    connection.close(Ending::Orderly);
                    state.seen.push((now, Seen::Closed));
                }
            }
            (
                Way::Up,
                Kind::Publish {
                    id: Some(id),
                    payload,
                },
            ) => {
                connection.published.insert(id, payload);
            }
            (Way::Down, Kind::Puback { id }) => {
                let payload = connection.published.remove(&id);
                if state.swallow
                    && let Some(payload) = payload
                {
                    state.swallow = false;
                    state.seen.push((now, Seen::Swallowed(payload)));
                    self.changed.notify_all();
                    return;
                }
            }
            _ => {}
        }
        connection.line(way).push(Item::Bytes(packet.into_bytes()));
        self.changed.notify_all();
    }

    /// Writes what may go out to one side until the connection ends.
    fn write(&self, number: usize, way: Way, to: &TcpStream) {
        while let Some(item) = self.next(number, way) {
            let written = match item {
                Item::Bytes(bytes) => self.send(number, to, &bytes),
                Item::End => Err(io::ErrorKind::UnexpectedEof.into()),
            };
            if written.is_err() {
                self.change(|state| state.connections[number].close(Ending::Orderly));
            }
        }
    }

    /// What goes out next, when it may.
    fn next(&self, number: usize, way: Way) -> Option<Item> {
        let mut state = self.state();
        loop {
            let delay = state.delay;
            let connection = &mut state.connections[number];
            // It was closed.
            connection.sockets.as_ref()?;
            let now = Instant::now();
            let wait = match connection.line(way).due(delay) {
                Some(at) if at <= now => return connection.line(way).pop(),
                Some(at) => Some(at - now),
                None => None,
            };
            state = self.wait(state, wait);
        }
    }

    fn send(&self, number: usize, mut to: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write;
        if !self.state().trickle {
            return to.write_all(bytes);
        }
        for byte in bytes {
            thread::sleep(TRICKLE);
            if self.state().connections[number].sockets.is_none() {
                return Err(io::ErrorKind::NotConnected.into());
            }
            to.write_all(&[*byte])?;
        }
        Ok(())
    }
}
