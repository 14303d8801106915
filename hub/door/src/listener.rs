//! A listener behind a door.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use behind::{Builder, Error, ListenerType, MqttError, MqttStream, Result};
#[cfg(feature = "tls")]
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout_at};

#[cfg(feature = "tls")]
use crate::certificate::Certificate;
use crate::door::{Door, Place};
use crate::entry::{Entering, Io, behind_door};

/// How long accepting rests when the system has no descriptor or memory left; at first and at
/// most.
const FIRST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Accepts what its door lets in.
pub struct Listener {
    /// What is spoken.
    pub typ: ListenerType,
    /// What it was told.
    pub cfg: Arc<Builder>,
    source: Source,
    door: Door,
}

/// Where connections come from.
enum Source {
    Behind(behind::Listener),
    /// A listener of rmqtt's has its certificate for ever.
    #[cfg(feature = "tls")]
    Tls(TcpListener, Certificate),
}

impl Listener {
    /// A listener of rmqtt's, behind a door.
    pub fn new(behind: behind::Listener, door: Door) -> Self {
        Self {
            typ: behind.typ,
            cfg: behind.cfg.clone(),
            source: Source::Behind(behind),
            door,
        }
    }

    /// A listener for MQTT over TLS, at the address that is told by `cfg`.
    ///
    /// # Errors
    /// If the address cannot be bound.
    #[cfg(feature = "tls")]
    pub fn tls(cfg: Builder, certificate: Certificate, door: Door) -> io::Result<Self> {
        let socket = match cfg.laddr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(cfg.reuseaddr == Some(true))?;
        #[cfg(unix)]
        socket.set_reuseport(cfg.reuseport == Some(true))?;
        // Connections have it from the listener.
        socket.set_keepalive(cfg.tcp_keepalive)?;
        socket.bind(cfg.laddr)?;
        let socket = socket.listen(cfg.backlog.unsigned_abs())?;
        Ok(Self {
            typ: ListenerType::TLS,
            cfg: Arc::new(cfg),
            source: Source::Tls(socket, certificate),
            door,
        })
    }

    /// The next connection that the door lets in. It does not fail: while the system has nothing
    /// left for one more, it waits.
    ///
    /// # Errors
    /// None; rmqtt expects a result.
    pub async fn accept(&self) -> Result<Acceptor> {
        let mut rest = FIRST_REST;
        loop {
            let (remote_addr, speaking) = match self.next().await {
                Ok(next) => next,
                Err(error) => {
                    if is_of_the_system(&error) {
                        self.door.cannot_accept(&error.to_string());
                        sleep(rest).await;
                        rest = rest.saturating_mul(2).min(LONGEST_REST);
                    }
                    // Otherwise the connection had ended before it was taken.
                    continue;
                }
            };
            rest = FIRST_REST;
            let Some(place) = self.door.knock(remote_addr.ip()) else {
                continue;
            };
            return Ok(Acceptor {
                remote_addr,
                speaking,
                place,
            });
        }
    }

    /// The next connection, and what it is to say.
    async fn next(&self) -> Result<(SocketAddr, Speaking)> {
        match &self.source {
            Source::Behind(listener) => {
                let accepted = listener.accept().await?;
                let (remote_addr, typ) = (accepted.remote_addr, self.typ);
                let speaking: Speaking = Box::pin(async move {
                    Ok(match typ {
                        ListenerType::TCP => boxed(accepted.tcp()?.mqtt().await?),
                        #[cfg(feature = "tls")]
                        ListenerType::TLS => boxed(accepted.tls().await?.mqtt().await?),
                        #[cfg(feature = "ws")]
                        ListenerType::WS => boxed(accepted.ws().await?.mqtt().await?),
                        #[cfg(all(feature = "tls", feature = "ws"))]
                        ListenerType::WSS => boxed(accepted.wss().await?.mqtt().await?),
                    })
                });
                Ok((remote_addr, speaking))
            }
            #[cfg(feature = "tls")]
            Source::Tls(listener, certificate) => {
                let (socket, remote_addr) = listener.accept().await?;
                socket.set_nodelay(self.cfg.nodelay)?;
                let (acceptor, cfg) = (certificate.acceptor(), self.cfg.clone());
                let speaking: Speaking = Box::pin(async move {
                    let io: Box<dyn Io> = Box::new(acceptor.accept(socket).await?);
                    crate::entry::version(io, remote_addr, cfg).await
                });
                Ok((remote_addr, speaking))
            }
        }
    }
}

/// Whether the system lacks something for one more connection, whoever it is of.
fn is_of_the_system(error: &Error) -> bool {
    // Those of one connection (Linux passes on what befell it on the network).
    let of_the_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::Interrupted,
        io::ErrorKind::NotConnected,
        io::ErrorKind::TimedOut,
    ];
    error
        .downcast_ref::<io::Error>()
        .is_none_or(|error| !of_the_connection.contains(&error.kind()))
}

type Speaking = Pin<Box<dyn Future<Output = Result<MqttStream<Box<dyn Io>>>> + Send>>;

/// A connection that the door has seen, and that has said nothing yet.
pub struct Acceptor {
    /// Where it comes from.
    pub remote_addr: SocketAddr,
    speaking: Speaking,
    place: Place,
}

impl Acceptor {
    /// For MQTT over TCP.
    ///
    /// # Errors
    /// None yet.
    pub fn tcp(self) -> Result<Dispatcher> {
        Ok(Dispatcher(self))
    }

    /// For MQTT over TLS.
    ///
    /// # Errors
    /// None yet.
    #[cfg(feature = "tls")]
    pub async fn tls(self) -> Result<Dispatcher> {
        Ok(Dispatcher(self))
    }

    /// For MQTT over WebSocket.
    ///
    /// # Errors
    /// None yet.
    #[cfg(feature = "ws")]
    pub async fn ws(self) -> Result<Dispatcher> {
        Ok(Dispatcher(self))
    }

    /// For MQTT over WebSocket over TLS.
    ///
    /// # Errors
    /// None yet.
    #[cfg(all(feature = "tls", feature = "ws"))]
    pub async fn wss(self) -> Result<Dispatcher> {
        Ok(Dispatcher(self))
    }
}

/// A connection whose version of MQTT is to be found out.
pub struct Dispatcher(Acceptor);

impl Dispatcher {
    /// Waits until it has said which version it speaks.
    ///
    /// # Errors
    /// If it speaks something else, says nothing in time, or had to make room for others.
    pub async fn mqtt(self) -> Result<MqttStream<Entering>> {
        let Acceptor {
            speaking, place, ..
        } = self.0;
        let mut speaking = speaking;
        let listening = poll_fn(|context| {
            let spoke = speaking.as_mut().poll(context);
            if spoke.is_pending() {
                place.is_silent();
            }
            spoke
        });
        let spoke = tokio::select! {
            spoke = timeout_at(place.until(), listening) => spoke,
            () = place.shown_out() => return Err(MqttError::ServiceUnavailable.into()),
        };
        match spoke {
            Ok(stream) => {
                place.spoke();
                Ok(behind_door(stream?, place))
            }
            Err(_) => {
                place.was_too_slow();
                Err(MqttError::ReadTimeout.into())
            }
        }
    }
}

/// The stream, of whichever kind it is.
fn boxed<S: Io + 'static>(stream: MqttStream<S>) -> MqttStream<Box<dyn Io>> {
    crate::entry::over(stream, |io| -> Box<dyn Io> { Box::new(io) })
}
