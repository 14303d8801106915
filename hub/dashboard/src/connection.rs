//! Connections: how many there may be, and how long one may hold up what is written to it.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready as wait_for};
use std::time::Duration;

use axum_server::accept::Accept;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Connections at once.
const MOST: usize = 2048;
/// From one address that is not this machine.
const MOST_OF_ONE: usize = 128;
/// A browser that takes nothing for so long is asleep or gone; when it wakes it comes back.
const STALLED: Duration = Duration::from_secs(60);

/// What the system keeps for a browser that does not take it. Left to itself it grows to megabytes
/// for each that sleeps.
const BUFFER: usize = 256 << 10;

/// Counts connections.
#[derive(Clone, Debug)]
pub(crate) struct Hall {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place for a connection, given back when it is dropped.
#[derive(Debug)]
struct Place {
    from: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Hall {
    pub fn new() -> Self {
        Self {
            counts: Arc::default(),
        }
    }

    fn enter(&self, from: IpAddr) -> io::Result<Place> {
        let from = from.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = counts.by_address.get(&from).copied().unwrap_or(0);
        if counts.all >= MOST || (of_one >= MOST_OF_ONE && !from.is_loopback()) {
            return Err(io::Error::other("too many connections"));
        }
        counts.all = counts.all.saturating_add(1);
        counts.by_address.insert(from, of_one.saturating_add(1));
        drop(counts);
        Ok(Place {
            from,
            counts: self.counts.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        match counts.by_address.get(&self.from).copied() {
            Some(count) if count > 1 => {
                counts.by_address.insert(self.from, count.saturating_sub(1));
            }
            _ => {
                counts.by_address.remove(&self.from);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Hall {
    type Stream = Watched<TcpStream>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = || {
            let place = self.enter(stream.peer_addr()?.ip())?;
            // An event is to be seen at once.
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_send_buffer_size(BUFFER)?;
            Ok(Watched::new(stream, Some(place)))
        };
        ready(match accepted() {
            Ok(watched) => Ok((watched, service)),
            Err(error) => Err(error),
        })
    }
}

/// A connection that ends when nothing can be written to it for too long.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    stream: T,
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
}

impl<T> Watched<T> {
    fn new(stream: T, place: Option<Place>) -> Self {
        Self {
            stream,
            stalled: None,
            _place: place,
        }
    }

    /// Watches over a try to write.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        tried: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if tried.is_ready() {
            self.stalled = None;
            return tried;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALLED)));
        wait_for!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch(cx, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, tried)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// A browser that sleeps holds its connection, and what waits for it, for ever.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_nothing_ends() {
        let (near, _far) = duplex(16);
        let mut watched = Watched::new(near, None);
        let began = Instant::now();
        let error = watched.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), STALLED);

        // A slow one that takes something now and then stays.
        let (near, mut far) = duplex(16);
        let mut watched = Watched::new(near, None);
        let reader = async {
            for _ in 0..90 {
                tokio::time::sleep(STALLED / 2).await;
                far.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(
            async {
                let written = watched.write_all(&[0; 90]).await;
                drop(watched);
                written
            },
            reader
        );
        written.unwrap();
    }

    /// One machine takes all connections, and the owner at this one gets none.
    #[test]
    fn one_address_does_not_take_all() {
        let hall = Hall::new();
        let stranger: IpAddr = "10.0.0.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let owner: IpAddr = "127.0.0.1".parse().unwrap();
        let mut places: Vec<_> = (0..MOST_OF_ONE)
            .map(|_| hall.enter(stranger).unwrap())
            .collect();
        assert!(hall.enter(stranger).is_err() && hall.enter(mapped).is_err());
        places.extend((MOST_OF_ONE..MOST).map(|_| hall.enter(owner).unwrap()));
        assert!(hall.enter(owner).is_err());
        places.clear();
        assert!(hall.enter(stranger).is_ok());
        assert!(hall.counts.lock().unwrap().by_address.is_empty());
    }
}
