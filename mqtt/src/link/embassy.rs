//! embassy-net's TCP and embassy-time's clock.
//!
//! A task that keeps contact, on a stack that the board has set up:
//!
//! ```no_run
//! use aldis_mqtt::link::embassy::{EmbassyClock, TcpConnector};
//! use aldis_mqtt::link::{Clock, Link};
//! use aldis_mqtt::{Buffers, Event, Options, Session, Slot, SubscribeOptions};
//! use embassy_net::Stack;
//!
//! async fn contact(stack: Stack<'static>, seed: u64) {
//!     let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
//!     let connector = TcpConnector::new(stack, &mut rx, &mut tx, "192.168.1.107", 1883);
//!     let (mut receive, mut outbox, mut slots) = ([0; 1024], [0; 2048], [Slot::EMPTY; 16]);
//!     let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
//!     let clock = EmbassyClock;
//!     // Options that are constant either work or do not: try them on a PC.
//!     let Ok(mut session) = Session::new(Options::new("lamp-1"), buffers, seed, clock.now())
//!     else {
//!         return;
//!     };
//!     if session.subscribe("output", SubscribeOptions::default(), None).is_err() {
//!         return;
//!     }
//!     let mut link = Link::new(session, connector, clock);
//!     loop {
//!         if let Event::Message(message) = link.next().await {
//!             let _lit = message.payload == b"on";
//!         }
//!     }
//! }
//! ```
//!
//! To do something else meanwhile, select between [`Link::next`](super::Link::next)
//! and that: dropping `next` loses nothing.

use core::cell::Cell;
use core::fmt;
use core::future::{Future, pending, poll_fn};
use core::net::Ipv4Addr;
use core::pin::pin;
use core::task::Poll;

use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, State, TcpReader, TcpSocket, TcpWriter};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Timer, with_deadline};

use super::{Clock, Connector};
use crate::{Instant, Network};

/// embassy's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }

    async fn wait_until(&mut self, deadline: Instant) {
        if deadline == Instant::NEVER {
            return core::future::pending().await;
        }
        Timer::at(embassy_time::Instant::from_millis(deadline.as_millis())).await;
    }
}

/// How long the last bytes of a connection, and its FIN, may take before the
/// socket is used for the next one.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long RST may take. It may never get out: the other machine may be gone,
/// and nobody left who answers for its address.
const RESET: Duration = Duration::from_millis(50);

/// How long a name server may take where there is an address to fall back to: that has to
/// be tried within the session's shortest attempt.
const LOOKUP: Duration = Duration::from_secs(1);

/// How long an attempt may be without an answer until somebody knocks, and then how
/// often.
const KNOCK: Duration = Duration::from_secs(1);

/// What is left in the socket of the connection before, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Farewell(embassy_time::Instant),
    Reset(embassy_time::Instant),
}

/// Looks a name up beside a link.
///
/// When [`Link::next`](super::Link::next) is dropped, a question to the name server
/// is dropped with it. A program that drops it often would never hear the answer of
/// a slow server, or of the second one while the first is dead. What [`Lookup::run`]
/// asks goes on, even from one attempt to the next.
pub struct Lookup<'s> {
    stack: Stack<'s>,
    host: &'s str,
    /// Somebody waits for an answer that has not come.
    under_way: Cell<bool>,
    answer: Cell<Option<Option<IpAddress>>>,
    begin: Signal<NoopRawMutex, ()>,
    done: Signal<NoopRawMutex, ()>,
}

impl<'s> Lookup<'s> {
    /// For this name.
    pub const fn new(stack: Stack<'s>, host: &'s str) -> Self {
        Self {
            stack,
            host,
            under_way: Cell::new(false),
            answer: Cell::new(None),
            begin: Signal::new(),
            done: Signal::new(),
        }
    }

    /// Asks whenever a connector wants to know. To be run beside the link, and not
    /// to be dropped before it.
    pub async fn run(&self) -> ! {
        loop {
            self.begin.wait().await;
            let found = self.stack.dns_query(self.host, DnsQueryType::A).await;
            let found = found.ok().and_then(|found| found.first().copied());
            self.answer.set(Some(found));
            self.done.signal(());
        }
    }

    /// The address. Dropped meanwhile, the question stays.
    async fn address(&self) -> Option<IpAddress> {
        loop {
            if let Some(answer) = self.answer.take() {
                self.under_way.set(false);
                return answer;
            }
            if !self.under_way.replace(true) {
                self.begin.signal(());
            }
            self.done.wait().await;
        }
    }
}

impl fmt::Debug for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("host", &self.host)
            .field("under_way", &self.under_way)
            .finish_non_exhaustive()
    }
}

/// Knocks at the broker's port beside an attempt that nobody answers.
///
/// The stack sends its SYN again after 1, 3, 7 and 15 s, so a path that is back would be
/// found late. What answers here is dropped, and the attempt begins anew: then it is
/// answered as well. An attempt that only takes long is left alone.
struct Knock<'s> {
    socket: TcpSocket<'s>,
    /// It waits for an answer.
    under_way: bool,
    /// When to knock again.
    at: embassy_time::Instant,
}

impl Knock<'_> {
    /// Waits until somebody answers. Dropped meanwhile, it goes on.
    async fn answered(&mut self, endpoint: IpEndpoint) {
        loop {
            let waiting = is_connecting(&self.socket);
            if self.under_way && !waiting {
                // Opened, or refused: either way the path carries.
                self.stop();
                return;
            }
            if embassy_time::Instant::now() >= self.at {
                self.socket.abort();
                self.at = embassy_time::Instant::now() + KNOCK;
                // It goes on when its future is dropped.
                self.under_way = poll_once(self.socket.connect(endpoint)).is_pending();
                continue;
            }
            let socket = &mut self.socket;
            let changed = poll_fn(|cx| match waiting {
                true => pin!(socket.wait_write_ready()).poll(cx),
                false => Poll::Pending,
            });
            let _ = with_deadline(self.at, changed).await;
        }
    }

    fn stop(&mut self) {
        self.socket.abort();
        self.under_way = false;
    }
}

/// A broker at a host name or address, reached over an embassy-net stack.
///
/// The name is resolved at each attempt; where that fails, or takes long, the
/// address that worked last is tried. When [`Link::next`](super::Link::next) is
/// dropped meanwhile, the name server is asked anew, unless there is a [`Lookup`];
/// everything else goes on.
pub struct TcpConnector<'s> {
    stack: Stack<'s>,
    socket: TcpSocket<'s>,
    host: &'s str,
    port: u16,
    lookup: Option<&'s Lookup<'s>>,
    knock: Option<Knock<'s>>,
    last_good: Option<IpAddress>,
    before: Before,
    /// When the name server was asked first in this attempt.
    asked: Option<embassy_time::Instant>,
    /// Where the connection goes that is being opened.
    trying: Option<IpAddress>,
}

impl<'s> TcpConnector<'s> {
    /// Uses these buffers for the one socket there is.
    pub fn new(
        stack: Stack<'s>,
        receive: &'s mut [u8],
        transmit: &'s mut [u8],
        host: &'s str,
        port: u16,
    ) -> Self {
        let mut socket = TcpSocket::new(stack, receive, transmit);
        // Packets are complete as they are: waiting for more only delays them.
        socket.set_nagle_enabled(false);
        Self {
            stack,
            socket,
            host,
            port,
            lookup: None,
            knock: None,
            last_good: None,
            before: Before::Nothing,
            asked: None,
            trying: None,
        }
    }

    /// Has the name looked up beside the link.
    #[must_use]
    pub fn with_lookup(mut self, lookup: &'s Lookup<'s>) -> Self {
        self.lookup = Some(lookup);
        self
    }

    /// Finds a path that is back within a second or two, however long it was away. It
    /// takes a second socket, for which a few bytes of memory are enough.
    #[must_use]
    pub fn with_knock(mut self, receive: &'s mut [u8], transmit: &'s mut [u8]) -> Self {
        self.knock = Some(Knock {
            socket: TcpSocket::new(self.stack, receive, transmit),
            under_way: false,
            at: embassy_time::Instant::MAX,
        });
        self
    }

    async fn address(&mut self) -> Result<IpAddress, Network> {
        if let Ok(address) = self.host.parse::<Ipv4Addr>() {
            return Ok(address.into());
        }
        let (stack, host, lookup) = (self.stack, self.host, self.lookup);
        let query = async {
            match lookup {
                Some(lookup) => lookup.address().await,
                None => {
                    let found = stack.dns_query(host, DnsQueryType::A).await;
                    found.ok().and_then(|found| found.first().copied())
                }
            }
        };
        let answer = match self.last_good {
            None => query.await,
            Some(address) => {
                let asked = self.asked.get_or_insert_with(embassy_time::Instant::now);
                match with_deadline(*asked + LOOKUP, query).await {
                    Ok(answer) => answer,
                    Err(_) => return Ok(address),
                }
            }
        };
        answer.or(self.last_good).ok_or(Network::Dns)
    }

    /// Waits until the socket is free.
    async fn part(&mut self) {
        if let Before::Farewell(until) = self.before {
            let _ = with_deadline(until, self.socket.flush()).await;
            self.reset();
        }
        if let Before::Reset(until) = self.before {
            let _ = with_deadline(until, self.socket.flush()).await;
            self.before = Before::Nothing;
        }
    }

    fn reset(&mut self) {
        self.socket.abort();
        self.before = Before::Reset(embassy_time::Instant::now() + RESET);
    }

    /// Begins an attempt, and says where it goes.
    async fn begin(&mut self) -> Result<IpAddress, Network> {
        if !self.stack.is_link_up() || !self.stack.is_config_up() {
            return Err(Network::Down);
        }
        self.part().await;
        let address = self.address().await?;
        self.asked = None;
        let endpoint = IpEndpoint::new(address, self.port);
        // It goes on when its future is dropped.
        if let Poll::Ready(Err(error)) = poll_once(self.socket.connect(endpoint)) {
            return Err(match error {
                ConnectError::ConnectionReset => Network::ConnectionRefused,
                ConnectError::TimedOut => Network::TimedOut,
                ConnectError::NoRoute | ConnectError::InvalidState => Network::Unreachable,
            });
        }
        self.trying = Some(address);
        if let Some(knock) = &mut self.knock {
            knock.at = embassy_time::Instant::now() + KNOCK;
        }
        Ok(address)
    }

    fn stop_knocking(&mut self) {
        if let Some(knock) = &mut self.knock {
            knock.stop();
        }
    }

    /// What has become of an attempt.
    fn attempted(&mut self, address: IpAddress) -> Result<(), Network> {
        self.trying = None;
        match self.socket.state() {
            State::Closed | State::TimeWait => Err(Network::ConnectionRefused),
            // If it was closed at once, reading will tell.
            _ => {
                self.last_good = Some(address);
                Ok(())
            }
        }
    }
}

fn is_connecting(socket: &TcpSocket<'_>) -> bool {
    matches!(socket.state(), State::SynSent | State::SynReceived)
}

impl Connector for TcpConnector<'_> {
    type Reader<'c>
        = TcpReader<'c>
    where
        Self: 'c;
    type Writer<'c>
        = TcpWriter<'c>
    where
        Self: 'c;

    async fn open(&mut self) -> Result<(), Network> {
        loop {
            // Or there is an attempt under way, from a future that was dropped.
            let address = match self.trying {
                Some(address) => address,
                None => self.begin().await?,
            };
            let endpoint = IpEndpoint::new(address, self.port);
            let (socket, knock) = (&mut self.socket, &mut self.knock);
            let opened = poll_fn(|cx| {
                if !is_connecting(socket) {
                    return Poll::Ready(());
                }
                // Woken when the state changes, whether it can write then or not.
                pin!(socket.wait_write_ready()).poll(cx)
            });
            let answered = async {
                match knock {
                    Some(knock) => knock.answered(endpoint).await,
                    None => pending().await,
                }
            };
            match select(opened, answered).await {
                Either::First(()) => {
                    self.stop_knocking();
                    return self.attempted(address);
                }
                // The path carries: SYN anew.
                Either::Second(()) => {
                    self.trying = None;
                    if is_connecting(&self.socket) {
                        self.reset();
                    }
                }
            }
        }
    }

    fn split(&mut self) -> Option<(TcpReader<'_>, TcpWriter<'_>)> {
        Some(self.socket.split())
    }

    fn close(&mut self) {
        self.trying = None;
        self.asked = None;
        self.stop_knocking();
        match self.socket.state() {
            // What was written, DISCONNECT perhaps, goes out before FIN.
            State::Established | State::CloseWait => {
                self.socket.close();
                self.before = Before::Farewell(embassy_time::Instant::now() + FAREWELL);
            }
            State::SynSent | State::SynReceived => self.reset(),
            // Closed by the other side, or what is left was seen to before.
            _ => {}
        }
    }
}
