//! tokio's TCP, with or without TLS, and tokio's clock.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::{TcpStream, lookup_host};
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
/// The name is resolved at each attempt and every address is tried; where that
/// fails, the address that worked last is.
pub struct TcpConnector {
    host: String,
    port: u16,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    last_good: Option<SocketAddr>,
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

/// How long one of several addresses is tried before the next.
const PER_ADDRESS: Duration = Duration::from_secs(3);

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

/// Tries one address after the other.
async fn connect(
    host: String,
    port: u16,
    last_good: Option<SocketAddr>,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut addresses = Vec::new();
    let mut failure = (Network::Dns, format!("{host} has no address"));
    match lookup_host((host.as_str(), port)).await {
        Ok(found) => addresses.extend(found),
        Err(error) => failure.1 = format!("{host}: {error}"),
    }
    if addresses.is_empty() {
        addresses.extend(last_good);
    }
    for address in addresses {
        match timeout(PER_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Packets are complete as they are: waiting for more only
                // delays them. Where it cannot be set it is not needed.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(error)) => failure = (network(&error), format!("{address}: {error}")),
            Err(_) => failure = (Network::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(failure)
}

impl Connector for TcpConnector {
    type Reader<'c> = &'c mut Reader;
    type Writer<'c> = &'c mut Writer;

    const NEEDS_FLUSH: bool = cfg!(feature = "tls");

    async fn open(&mut self) -> Result<(), Network> {
        let opening = self.opening.get_or_insert_with(|| {
            let (host, port, last_good) = (self.host.clone(), self.port, self.last_good);
            #[cfg(feature = "tls")]
            if let Some(tls) = self.tls.clone() {
                return Box::pin(async move {
                    let (stream, address) = connect(host.clone(), port, last_good).await?;
                    Ok((
                        Stream::Tls(Box::new(tls.handshake(&host, stream).await?)),
                        address,
                    ))
                });
            }
            Box::pin(async move {
                let (stream, address) = connect(host, port, last_good).await?;
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
        self.halves = None;
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
            ready!(read).map_err(IoError)?;
            Poll::Ready(Ok(buf.filled().len()))
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
        poll_fn(|cx| match &mut self.0 {
            // TCP keeps nothing behind.
            WriteHalf::Tcp(_) => Poll::Ready(Ok(())),
            #[cfg(feature = "tls")]
            WriteHalf::Tls(half) => Pin::new(half).poll_flush(cx),
        })
        .await
        .map_err(IoError)
    }
}
