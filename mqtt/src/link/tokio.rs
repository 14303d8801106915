//! tokio's TCP, with or without TLS, and tokio's clock.
//!
//! A lamp that obeys and publishes what it was told:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use aldis_mqtt::link::Link;
//! use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
//! use aldis_mqtt::{
//!     Buffers, Event, Options, Publication, QoS, Session, Slot, SubscribeOptions,
//! };
//!
//! # async fn lamp() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = TokioClock::new();
//! let now = aldis_mqtt::link::Clock::now(&clock);
//! let (mut receive, mut outbox, mut slots) = ([0; 1024], [0; 4096], [Slot::EMPTY; 32]);
//! let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
//! // The last number makes this client wait differently from others after an outage.
//! let mut session = Session::new(Options::new("lamp-1"), buffers, 0x5eed, now)?;
//! let at_least_once = SubscribeOptions {
//!     qos: QoS::AtLeastOnce,
//!     ..SubscribeOptions::default()
//! };
//! session.subscribe("output", at_least_once, None)?;
//!
//! let mut link = Link::new(session, TcpConnector::new("localhost", 1883), clock);
//! let mut minute = tokio::time::interval(Duration::from_secs(60));
//! loop {
//!     tokio::select! {
//!         event = link.next() => {
//!             let mut token = None;
//!             match event {
//!                 Event::Message(message) => {
//!                     println!("{}: {:?}", message.topic, message.payload);
//!                     token = message.token;
//!                 }
//!                 Event::Disconnected { cause, .. } => println!("{cause}"),
//!                 Event::Dropped { id, reason } => println!("{id:?}: {reason:?}"),
//!                 _ => {}
//!             }
//!             // The message was handled: now the broker may know.
//!             if let Some(token) = token {
//!                 link.session().acknowledge(token);
//!             }
//!         }
//!         // The link was dropped in the middle of its work, and nothing is lost.
//!         _ = minute.tick() => {
//!             let (session, now) = link.parts();
//!             let alive = Publication::new("lamp-1/alive", b"yes").qos(QoS::AtLeastOnce);
//!             if let Err(error) = session.publish(&alive.latest(), now) {
//!                 println!("{error}");
//!             }
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! What was published or acknowledged goes out when [`Link::next`](super::Link::next)
//! is awaited again, packet by packet or, with [`Link::gather`](super::Link::gather),
//! in few calls of the operating system. To end: [`Session::stop`](crate::Session::stop), then `next`
//! until [`Session::is_stopped`](crate::Session::is_stopped).

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::{TcpStream, lookup_host};
use ::tokio::runtime::Handle;
use ::tokio::task::JoinSet;
use ::tokio::time::{self, Sleep, timeout};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

use super::{Clock, Connector};
use crate::{Instant, Network};

#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};

/// tokio's clock, from the moment it was made.
#[derive(Debug)]
pub struct TokioClock {
    start: time::Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TokioClock {
    /// Starts to count.
    pub fn new() -> Self {
        Self {
            start: time::Instant::now(),
            sleep: None,
        }
    }
}

/// A clock that started at the same moment.
impl Clone for TokioClock {
    fn clone(&self) -> Self {
        Self {
            start: self.start,
            sleep: None,
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        let ms = self.start.elapsed().as_millis();
        Instant::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    async fn wait_until(&mut self, deadline: Instant) {
        let at = match deadline {
            Instant::NEVER => None,
            deadline => self
                .start
                .checked_add(Duration::from_millis(deadline.as_millis())),
        };
        let Some(at) = at else {
            return std::future::pending().await;
        };
        // Setting a timer is dear, waking too early is not: the timer is set
        // anew only where it would be late, or has run.
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(time::sleep_until(at)));
        if sleep.deadline() > at || sleep.is_elapsed() {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().await;
    }
}

/// Why opening failed, with the words of who knows best.
type Failure = (Network, String);

type Opening = Pin<Box<dyn Future<Output = Result<(Stream, SocketAddr), Failure>> + Send + Sync>>;

/// A broker at a host name or address, over TCP or TLS.
///
/// The name is resolved at each attempt and every address is tried; where it
/// cannot be resolved, or not soon, the address that worked last is. A closed
/// connection stays for a moment, as a task of the runtime, until what was
/// written has arrived.
pub struct TcpConnector {
    host: String,
    port: u16,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    last_good: Option<SocketAddr>,
    /// Counts the addresses that were tried in vain.
    turn: Arc<AtomicUsize>,
    opening: Option<Opening>,
    halves: Option<(Reader, Writer)>,
    failure: Option<String>,
}

impl TcpConnector {
    /// Without TLS.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            #[cfg(feature = "tls")]
            tls: None,
            last_good: None,
            turn: Arc::default(),
            opening: None,
            halves: None,
            failure: None,
        }
    }

    /// With TLS, the broker's certificate being checked for the host name.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// What the operating system or TLS said when opening failed last.
    pub fn last_failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// How long an address is waited for before another attempt begins beside it.
const KNOCK: Duration = Duration::from_secs(1);

/// The most attempts at the same time.
const BESIDE: usize = 32;

/// How long the resolver may take where there is an address to fall back to: it has to
/// leave time for that in the session's shortest attempt.
const LOOKUP: Duration = Duration::from_secs(1);

/// How long the other side may take to close after us.
const LINGER: Duration = Duration::from_secs(2);

fn network(error: &io::Error) -> Network {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Network::ConnectionRefused,
        io::ErrorKind::TimedOut => Network::TimedOut,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => Network::Unreachable,
        io::ErrorKind::NetworkDown => Network::Down,
        _ => Network::Reset,
    }
}

/// The addresses of a name; where none is found in time, the one that worked last.
async fn addresses(
    host: &str,
    lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    last_good: Option<SocketAddr>,
) -> Result<Vec<SocketAddr>, Failure> {
    let found = match last_good {
        None => lookup.await,
        Some(_) => match timeout(LOOKUP, lookup).await {
            Ok(found) => found,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    let words = match found {
        Ok(found) if !found.is_empty() => return Ok(found),
        Ok(_) => format!("{host} has no address"),
        Err(error) => format!("{host}: {error}"),
    };
    match last_good {
        Some(address) => Ok(vec![address]),
        None => Err((Network::Dns, words)),
    }
}

/// Tries one address after the other, beginning where the last attempt ended: the
/// session's bound may be shorter than all of them take. One that does not answer is
/// given the time there is, and the next is tried beside it, or the same again: the
/// operating system waits longer and longer before it knocks again, and a path that is
/// back would be found late.
async fn connect(
    addresses: Vec<SocketAddr>,
    turn: &AtomicUsize,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut failure = (Network::Dns, String::from("there is no address"));
    let mut attempts = JoinSet::new();
    let mut failed = 0;
    while failed < addresses.len() || !attempts.is_empty() {
        let number = turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
        if let Some(&address) = addresses.get(number)
            && attempts.len() < BESIDE
        {
            let attempt = TcpStream::connect(address);
            attempts.spawn(async move { (number, address, attempt.await) });
        }
        match timeout(KNOCK, attempts.join_next()).await {
            Ok(Some(Ok((number, address, Ok(stream))))) => {
                // The next attempt begins with the same one.
                turn.store(number, Ordering::Relaxed);
                // Packets are complete as they are: waiting for more only
                // delays them. Where it cannot be set it is not needed.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Some(Ok((_, address, Err(error))))) => {
                failure = (network(&error), format!("{address}: {error}"));
                failed += 1;
            }
            _ => {}
        }
    }
    Err(failure)
}

/// Closes so that what was written arrives: a socket that is dropped with
/// unread bytes in it is reset, and the other side may lose them.
async fn linger(mut reader: Reader, mut writer: Writer) {
    let mut buf = [0; 1024];
    let _ = timeout(LINGER, async {
        let shut = poll_fn(|cx| match &mut writer.0 {
            WriteHalf::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(half) => Pin::new(half).poll_shutdown(cx),
        });
        if shut.await.is_ok() {
            while reader.read(&mut buf).await.is_ok_and(|len| len > 0) {}
        }
    })
    .await;
}

impl Connector for TcpConnector {
    type Reader<'c> = &'c mut Reader;
    type Writer<'c> = &'c mut Writer;

    const NEEDS_FLUSH: bool = cfg!(feature = "tls");

    async fn open(&mut self) -> Result<(), Network> {
        let opening = self.opening.get_or_insert_with(|| {
            let (host, port, last_good) = (self.host.clone(), self.port, self.last_good);
            let turn = self.turn.clone();
            #[cfg(feature = "tls")]
            let tls = self.tls.clone();
            Box::pin(async move {
                let lookup = async { Ok(lookup_host((host.as_str(), port)).await?.collect()) };
                let addresses = addresses(&host, lookup, last_good).await?;
                let (stream, address) = connect(addresses, &turn).await?;
                #[cfg(feature = "tls")]
                if let Some(tls) = tls {
                    let stream = tls.handshake(&host, stream).await?;
                    return Ok((Stream::Tls(Box::new(stream)), address));
                }
                Ok((Stream::Tcp(stream), address))
            })
        });
        let opened = opening.as_mut().await;
        self.opening = None;
        let (stream, address) = opened.map_err(|(network, words)| {
            self.failure = Some(words);
            network
        })?;
        self.failure = None;
        self.last_good = Some(address);
        self.halves = Some(stream.split());
        Ok(())
    }

    fn split(&mut self) -> Option<(&mut Reader, &mut Writer)> {
        self.halves
            .as_mut()
            .map(|(reader, writer)| (reader, writer))
    }

    fn close(&mut self) {
        self.opening = None;
        if let Some((reader, writer)) = self.halves.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(linger(reader, writer));
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tls::TlsStream>),
}

impl Stream {
    fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (
                    Reader(ReadHalf::Tcp(reader)),
                    Writer(WriteHalf::Tcp(writer)),
                )
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                let (reader, writer) = ::tokio::io::split(*stream);
                (
                    Reader(ReadHalf::Tls(reader)),
                    Writer(WriteHalf::Tls(writer)),
                )
            }
        }
    }
}

/// The half of a connection that receives.
#[derive(Debug)]
pub struct Reader(ReadHalf);

#[derive(Debug)]
enum ReadHalf {
    Tcp(::tokio::net::tcp::OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(::tokio::io::ReadHalf<tls::TlsStream>),
}

/// The half of a connection that sends.
#[derive(Debug)]
pub struct Writer(WriteHalf);

#[derive(Debug)]
enum WriteHalf {
    Tcp(::tokio::net::tcp::OwnedWriteHalf),
    #[cfg(feature = "tls")]
    Tls(::tokio::io::WriteHalf<tls::TlsStream>),
}

/// An error of the operating system, as embedded-io knows it.
#[derive(Debug)]
pub struct IoError(io::Error);

impl std::fmt::Display for IoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for IoError {}

impl embedded_io_async::Error for IoError {
    fn kind(&self) -> ErrorKind {
        match self.0.kind() {
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::ConnectionReset,
        }
    }
}

impl ErrorType for Reader {
    type Error = IoError;
}

impl ErrorType for Writer {
    type Error = IoError;
}

impl Read for Reader {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, IoError> {
        poll_fn(|cx| {
            let mut buf = ReadBuf::new(buf);
            let read = match &mut self.0 {
                ReadHalf::Tcp(half) => Pin::new(half).poll_read(cx, &mut buf),
                #[cfg(feature = "tls")]
                ReadHalf::Tls(half) => Pin::new(half).poll_read(cx, &mut buf),
            };
            match ready!(read) {
                Ok(()) => Poll::Ready(Ok(buf.filled().len())),
                // TLS ended without saying so. MQTT knows where its packets end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                Err(error) => Poll::Ready(Err(IoError(error))),
            }
        })
        .await
    }
}

impl Write for Writer {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, IoError> {
        poll_fn(|cx| match &mut self.0 {
            WriteHalf::Tcp(half) => Pin::new(half).poll_write(cx, buf),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(half) => Pin::new(half).poll_write(cx, buf),
        })
        .await
        .map_err(IoError)
    }

    async fn flush(&mut self) -> Result<(), IoError> {
        match &mut self.0 {
            // TCP keeps nothing behind.
            WriteHalf::Tcp(_) => Ok(()),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(half) => poll_fn(|cx| Pin::new(&mut *half).poll_flush(cx))
                .await
                .map_err(IoError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 1))
    }

    /// The session's bound would pass while a dead name server is waited for.
    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_leaves_time_for_the_last_good_address() {
        let start = time::Instant::now();
        let found = addresses("host", std::future::pending(), Some(address(1))).await;
        assert_eq!(found.unwrap(), [address(1)]);
        assert_eq!(start.elapsed(), LOOKUP);
    }

    /// What the resolver finds comes first: the broker may have moved.
    #[tokio::test]
    async fn the_last_good_address_is_used_only_where_nothing_else_is() {
        let last = Some(address(1));
        let found = addresses("host", async { Ok(vec![address(2)]) }, last).await;
        assert_eq!(found.unwrap(), [address(2)]);
        let found = addresses("host", async { Ok(vec![]) }, last).await;
        assert_eq!(found.unwrap(), [address(1)]);
        let failure = || async { Err(io::ErrorKind::Other.into()) };
        let found = addresses("host", failure(), last).await;
        assert_eq!(found.unwrap(), [address(1)]);
        let (network, words) = addresses("host", failure(), None).await.unwrap_err();
        assert_eq!(network, Network::Dns);
        assert!(words.starts_with("host: "), "{words}");
    }

    /// The first of two addresses is dead and takes all the time there is: the
    /// second must have its turn in the next attempt.
    #[tokio::test]
    async fn an_attempt_begins_where_the_last_one_ended() {
        let listener = ::tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap();
        let alive = listener.local_addr().unwrap();
        let turn = AtomicUsize::new(0);
        // Refused, then connected.
        let (_, to) = connect(vec![address(1), alive], &turn).await.unwrap();
        assert_eq!((to, turn.load(Ordering::Relaxed)), (alive, 1));
        // An attempt that was cut short at the first address.
        let turn = AtomicUsize::new(3);
        let (_, to) = connect(vec![address(1), alive], &turn).await.unwrap();
        assert_eq!((to, turn.load(Ordering::Relaxed)), (alive, 1));
    }

    /// Nothing listens anywhere: waiting for more would only delay the next attempt.
    #[tokio::test]
    async fn addresses_that_all_refuse_are_told_at_once() {
        let turn = AtomicUsize::new(0);
        let refused = connect(vec![address(1), address(2)], &turn).await;
        assert_eq!(refused.unwrap_err().0, Network::ConnectionRefused);
        assert_eq!(turn.load(Ordering::Relaxed), 2);
        let none = connect(vec![], &turn).await;
        assert_eq!(none.unwrap_err().0, Network::Dns);
    }

    /// A machine that takes no more connections drops them without a word, and the
    /// operating system asks it again after 1, 3, 7 and 15 seconds. Once it takes
    /// some again, that would be late.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_silent_address_is_asked_again_each_second() {
        let socket = ::tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        // As many as wait to be accepted.
        let waiting = TcpStream::connect(address).await.unwrap();
        let turn = Arc::new(AtomicUsize::new(0));
        let attempts = turn.clone();
        let connecting = ::tokio::spawn(async move { connect(vec![address], &attempts).await });
        let start = time::Instant::now();
        while turn.load(Ordering::Relaxed) < 4 {
            let waited = start.elapsed();
            assert!(waited < Duration::from_secs(60), "it is not asked again");
            time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!connecting.is_finished());
        let accepted = listener.accept().await.unwrap();
        let connected = timeout(Duration::from_secs(60), connecting).await;
        assert_eq!(connected.unwrap().unwrap().unwrap().1, address);
        drop((waiting, accepted));
    }
}
