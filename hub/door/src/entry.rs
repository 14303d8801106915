//! A connection on its way in: until the broker has answered its CONNECT.

#[cfg(feature = "tls")]
use std::future::poll_fn;
use std::io;
#[cfg(feature = "tls")]
use std::net::SocketAddr;
use std::pin::Pin;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll};

#[cfg(feature = "tls")]
use behind::{Builder, Result};
use behind::{MqttStream, v3, v5};
#[cfg(feature = "tls")]
use futures_core::Stream as _;
#[cfg(feature = "tls")]
use rmqtt_codec::error::DecodeError;
#[cfg(feature = "tls")]
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{MqttCodec, MqttPacket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};
use tokio_util::codec::{Framed, FramedParts};

use crate::door::Place;

/// What bytes come and go through.
pub trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for S {}

/// A connection that keeps its place at the door. What the broker waits to read from it before
/// it has answered anything must come in time.
pub struct Entering {
    io: Box<dyn Io>,
    place: Place,
    /// Until the first answer.
    limits: Option<Limits>,
}

struct Limits {
    time: Pin<Box<Sleep>>,
    shown_out: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Entering {
    fn new(io: Box<dyn Io>, place: Place) -> Self {
        let limits = Limits {
            time: Box::pin(sleep_until(place.until())),
            shown_out: Box::pin(place.shown_out()),
        };
        Self {
            io,
            place,
            limits: Some(limits),
        }
    }
}

impl AsyncRead for Entering {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        let Some(limits) = &mut this.limits else {
            return read;
        };
        if read.is_ready() {
            this.place.spoke();
            return read;
        }
        this.place.is_silent();
        if limits.shown_out.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if limits.time.as_mut().poll(context).is_ready() {
            this.place.was_too_slow();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Entering {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // The first that the broker says is its answer to CONNECT.
        if this.limits.take().is_some() {
            this.place.spoke();
        }
        Pin::new(&mut this.io).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

/// The stream of whichever version of MQTT is spoken, which its first packet tells.
#[cfg(feature = "tls")]
pub(crate) async fn version<S: Io>(
    io: S,
    remote_addr: SocketAddr,
    cfg: Arc<Builder>,
) -> Result<MqttStream<S>> {
    let mut io = Framed::new(io, MqttCodec::Version(VersionCodec));
    let first = poll_fn(|context| Pin::new(&mut io).poll_next(context)).await;
    let Some(Ok((MqttPacket::Version(version), _))) = first else {
        return Err(DecodeError::InvalidProtocol.into());
    };
    let most = cfg.max_packet_size;
    Ok(match version {
        ProtocolVersion::MQTT3 => {
            *io.codec_mut() = MqttCodec::V3(rmqtt_codec::v3::Codec::new(most));
            MqttStream::V3(v3::MqttStream {
                io,
                remote_addr,
                cfg,
                cert_info: None,
            })
        }
        ProtocolVersion::MQTT5 => {
            *io.codec_mut() = MqttCodec::V5(rmqtt_codec::v5::Codec::new(most, most));
            MqttStream::V5(v5::MqttStream {
                io,
                remote_addr,
                cfg,
                cert_info: None,
            })
        }
    })
}

/// The stream with its place at the door.
pub(crate) fn behind_door(stream: MqttStream<Box<dyn Io>>, place: Place) -> MqttStream<Entering> {
    over(stream, |io| Entering::new(io, place))
}

/// The stream over other bytes, with what was read already.
pub(crate) fn over<A: Io, B: Io>(
    stream: MqttStream<A>,
    change: impl FnOnce(A) -> B,
) -> MqttStream<B> {
    match stream {
        MqttStream::V3(stream) => MqttStream::V3(v3::MqttStream {
            io: framed(stream.io, change),
            remote_addr: stream.remote_addr,
            cfg: stream.cfg,
            #[cfg(feature = "tls")]
            cert_info: stream.cert_info,
        }),
        MqttStream::V5(stream) => MqttStream::V5(v5::MqttStream {
            io: framed(stream.io, change),
            remote_addr: stream.remote_addr,
            cfg: stream.cfg,
            #[cfg(feature = "tls")]
            cert_info: stream.cert_info,
        }),
    }
}

fn framed<A: Io, B: Io>(
    framed: Framed<A, MqttCodec>,
    change: impl FnOnce(A) -> B,
) -> Framed<B, MqttCodec> {
    let parts = framed.into_parts();
    let mut changed = FramedParts::new::<MqttPacket>(change(parts.io), parts.codec);
    changed.read_buf = parts.read_buf;
    changed.write_buf = parts.write_buf;
    Framed::from_parts(changed)
}
