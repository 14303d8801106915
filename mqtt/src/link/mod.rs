//! Drivers: the only room that awaits.
//!
//! A [`Link`] carries bytes between a [`Session`] and a connection, and time
//! from a clock to it. What a connection and a clock are, two small traits say;
//! with the feature `embassy` they exist for embassy-net and embassy-time, with
//! the feature `tokio` for tokio, there also with TLS (feature `tls`).

#[cfg(feature = "embassy")]
pub mod embassy;
#[cfg(feature = "tokio")]
pub mod tokio;

use core::future::{Future, pending};
use core::task::Poll;

use embassy_futures::poll_once;
use embassy_futures::select::{Either, Either3, select, select3};
use embedded_io_async::{Error, ErrorKind, Read, Write};

use crate::{Event, Instant, Network, Session, Transport};

/// Something that opens connections to the broker, one at a time.
///
/// Every future may be dropped before it is ready, and nothing is lost by that.
pub trait Connector {
    /// The half that receives.
    type Reader<'c>: Read
    where
        Self: 'c;
    /// The half that sends. Its `write` takes bytes only when it is ready.
    type Writer<'c>: Write
    where
        Self: 'c;

    /// Whether written bytes may stay behind until `flush` is called.
    const NEEDS_FLUSH: bool = false;

    /// Opens a connection. Called again after having been dropped, it goes on
    /// where it was. It is bounded by the session, not by itself.
    fn open(&mut self) -> impl Future<Output = Result<(), Network>>;

    /// The two halves of the connection that is open.
    fn split(&mut self) -> Option<(Self::Reader<'_>, Self::Writer<'_>)>;

    /// Drops the connection, or the attempt to open one. What was written
    /// before is still sent, as far as the other side takes it.
    fn close(&mut self);
}

/// A clock that can be waited for.
pub trait Clock {
    /// The present.
    fn now(&self) -> Instant;

    /// Waits until `deadline`, or less long: who calls it looks at the clock.
    fn wait_until(&mut self, deadline: Instant) -> impl Future<Output = ()>;
}

/// How long deadlines wait at most for what has come before them to be read.
const CATCH_UP_MS: u64 = 250;

/// How soon to go on reading where the session has to make room first.
const LOOK_AGAIN_MS: u32 = 20;

/// What the driver has of the connection of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    Opening(u16),
    Open(u16),
}

/// What became of bytes that the connection has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Sent(usize),
    /// They wait for a flush.
    Behind(usize),
}

/// A session with its connection and its clock.
#[derive(Debug)]
pub struct Link<'b, C, K> {
    session: Session<'b>,
    connector: C,
    clock: K,
    stage: Stage,
    /// Bytes that were written but not flushed. The session hears of them when
    /// they are, so that its bounds on writing hold for flushing too.
    unflushed: usize,
    /// Neither reading nor writing may keep the other from its turn.
    write_first: bool,
    /// Since when a deadline that has passed waits to be looked at.
    late: Option<Instant>,
    gather: Gather<'b>,
}

/// Packets that go out together.
///
/// They count as sent, so that the next one can be seen; the session is told
/// that they are not written yet, so that its bound on writing holds for them.
#[derive(Debug, Default)]
struct Gather<'b> {
    memory: &'b mut [u8],
    /// What is still to be written: from and to.
    start: usize,
    end: usize,
}

impl Gather<'_> {
    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or(&[])
    }

    /// Takes these bytes, if there is room for all of them.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let room = self.memory.get_mut(self.end..).unwrap_or(&mut []);
        let Some(room) = room.get_mut(..bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }

    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

impl<'b, C: Connector, K: Clock> Link<'b, C, K> {
    /// Brings the three together. Nothing happens before [`Link::next`].
    pub fn new(session: Session<'b>, connector: C, clock: K) -> Self {
        Self {
            session,
            connector,
            clock,
            stage: Stage::Closed,
            unflushed: 0,
            write_first: true,
            late: None,
            gather: Gather::default(),
        }
    }

    /// Lets packets that can go out at the same time be written together, as
    /// many as this memory holds: fewer and larger segments on the network, and
    /// fewer calls of the operating system. Memory that has no room for what
    /// waits in the memory before it is not used.
    #[must_use]
    pub fn gather(mut self, memory: &'b mut [u8]) -> Self {
        let pending = self.gather.bytes();
        if let Some(room) = memory.get_mut(..pending.len()) {
            room.copy_from_slice(pending);
            self.gather = Gather {
                start: 0,
                end: room.len(),
                memory,
            };
        }
        self
    }

    /// The session, to publish and subscribe.
    pub fn session(&mut self) -> &mut Session<'b> {
        &mut self.session
    }

    /// The session and the present.
    pub fn parts(&mut self) -> (&mut Session<'b>, Instant) {
        (&mut self.session, self.clock.now())
    }

    /// The connector, for what is its own.
    pub fn connector(&mut self) -> &mut C {
        &mut self.connector
    }

    /// The clock of the session.
    pub fn clock(&self) -> &K {
        &self.clock
    }

    /// The present, on the clock of the session.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Carries on until something has happened. May be dropped at any time.
    ///
    /// After the session was stopped, and has said so, this waits for ever.
    pub async fn next(&mut self) -> Event<'_> {
        self.run().await;
        self.session.event()
    }

    async fn run(&mut self) {
        loop {
            let now = self.clock.now();
            let all = self.is_up_to_date(now);
            let happened = self.session.step(now, all);
            // Even before the event is told: it may be the last one that the
            // application waits for.
            match self.session.transport() {
                Transport::Closed => self.close(),
                Transport::Open(number) => {
                    if !matches!(self.stage, Stage::Opening(n) | Stage::Open(n) if n == number) {
                        self.close();
                        self.stage = Stage::Opening(number);
                    }
                }
            }
            if happened {
                return;
            }
            match self.stage {
                Stage::Closed => self.clock.wait_until(self.session.deadline()).await,
                Stage::Opening(number) => self.open(number).await,
                Stage::Open(_) => self.exchange(now, all).await,
            }
        }
    }

    /// Whether the session may look at its deadlines: what came before one counts,
    /// even when it is read after it, since the application was busy meanwhile.
    /// A network that never pauses is not waited for without end.
    fn is_up_to_date(&mut self, now: Instant) -> bool {
        if self.session.deadline() > now {
            self.late = None;
            return true;
        }
        now.since(*self.late.get_or_insert(now)) >= CATCH_UP_MS || self.catch_up(now)
    }

    /// Reads what has come already; says whether that is all of it.
    fn catch_up(&mut self, now: Instant) -> bool {
        // What waits for a flush does not count as sent: its answer would be one
        // that nobody asked for.
        if !matches!(self.stage, Stage::Open(_)) || self.unflushed > 0 {
            return true;
        }
        loop {
            let (space, _) = self.session.io();
            if space.is_empty() {
                return false;
            }
            let Some((mut reader, _)) = self.connector.split() else {
                return true;
            };
            let Poll::Ready(read) = poll_once(reader.read(space)) else {
                return true;
            };
            let read = read.map_err(|error| error.kind());
            drop(reader);
            if !self.received(read, now) {
                return true;
            }
        }
    }

    /// What came of reading; says whether the connection goes on.
    fn received(&mut self, read: Result<usize, ErrorKind>, now: Instant) -> bool {
        match read {
            Ok(0) => self.session.failed(Network::Closed, now),
            Ok(len) => {
                self.session.received(len);
                return true;
            }
            Err(kind) => self.session.failed(network(kind), now),
        }
        false
    }

    fn close(&mut self) {
        if self.stage != Stage::Closed {
            self.connector.close();
            self.stage = Stage::Closed;
            self.unflushed = 0;
            self.gather.clear();
        }
    }

    async fn open(&mut self, number: u16) {
        let deadline = self.session.deadline();
        let opened = select(self.connector.open(), self.clock.wait_until(deadline)).await;
        let now = self.clock.now();
        match opened {
            Either::First(Ok(())) => {
                self.stage = Stage::Open(number);
                self.session.opened(now);
            }
            Either::First(Err(network)) => self.session.failed(network, now),
            Either::Second(()) => {}
        }
    }

    /// Chooses what goes out, if nothing does.
    fn choose(&mut self, now: Instant) {
        if self.unflushed > 0 || !self.gather.bytes().is_empty() {
            return;
        }
        while let Some(len) = self.session.transmit(now).map(<[u8]>::len)
            // The connection ends when DISCONNECT counts as sent: it goes alone.
            && !self.session.is_leaving()
            && self.gather.take(self.session.io().1)
        {
            self.session.transmitted(len, now);
        }
        if !self.gather.bytes().is_empty() {
            self.session.hold_back(now);
        }
    }

    /// So many bytes were written.
    fn written(&mut self, len: usize, now: Instant) {
        if self.gather.bytes().is_empty() {
            self.session.transmitted(len, now);
            return;
        }
        self.gather.start += len;
        if self.gather.bytes().is_empty() {
            self.gather.clear();
            self.session.let_go(now);
        } else {
            self.session.hold_back(now);
        }
    }

    /// Reads or writes once, or waits until something is due.
    async fn exchange(&mut self, now: Instant, all: bool) {
        self.choose(now);
        let deadline = match all {
            true => self.session.deadline(),
            false => now.after(LOOK_AGAIN_MS),
        };
        let (space, mut chunk) = self.session.io();
        if !self.gather.bytes().is_empty() {
            chunk = self.gather.bytes();
        }
        let done = {
            let Some((mut reader, mut writer)) = self.connector.split() else {
                self.session.failed(Network::Reset, now);
                return;
            };
            let unflushed = self.unflushed;
            let read = async {
                match space.is_empty() {
                    true => pending().await,
                    false => reader.read(space).await.map_err(|error| error.kind()),
                }
            };
            let write = async {
                if unflushed > 0 {
                    writer.flush().await.map_err(|error| error.kind())?;
                    return Ok(Written::Sent(unflushed));
                }
                if chunk.is_empty() {
                    return pending().await;
                }
                let len = writer.write(chunk).await.map_err(|error| error.kind())?;
                if len == 0 {
                    return Err(ErrorKind::ConnectionReset);
                }
                if !C::NEEDS_FLUSH {
                    return Ok(Written::Sent(len));
                }
                // Nothing may be awaited between writing and counting.
                match poll_once(writer.flush()) {
                    Poll::Ready(flushed) => flushed.map_err(|error| error.kind())?,
                    Poll::Pending => return Ok(Written::Behind(len)),
                }
                Ok(Written::Sent(len))
            };
            let timer = self.clock.wait_until(deadline);
            // An answer must not be read before what it answers counts as sent.
            match self.write_first || unflushed > 0 {
                true => match select3(write, read, timer).await {
                    Either3::First(written) => Either3::First(written),
                    Either3::Second(read) => Either3::Second(read),
                    Either3::Third(()) => Either3::Third(()),
                },
                false => match select3(read, write, timer).await {
                    Either3::First(read) => Either3::Second(read),
                    Either3::Second(written) => Either3::First(written),
                    Either3::Third(()) => Either3::Third(()),
                },
            }
        };
        let now = self.clock.now();
        match done {
            Either3::First(Ok(Written::Behind(len))) => self.unflushed = len,
            Either3::First(Ok(Written::Sent(len))) => {
                self.unflushed = 0;
                self.write_first = false;
                self.written(len, now);
            }
            Either3::First(Err(kind)) => self.session.failed(network(kind), now),
            Either3::Second(read) => {
                self.write_first = true;
                self.received(read, now);
            }
            Either3::Third(()) => {}
        }
    }
}

fn network(kind: ErrorKind) -> Network {
    match kind {
        ErrorKind::TimedOut => Network::TimedOut,
        _ => Network::Reset,
    }
}
