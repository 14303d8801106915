//! Streams of events to browsers. One ring holds what all of them are told; each has only its
//! place in it, so a slow one costs nothing and holds up nobody.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::error::ApiError;
use crate::view::Live;
use axum::http::StatusCode;

/// How many events a browser may be behind before its connection is ended.
const RING: usize = 4096;
/// Streams at once.
const STREAMS: usize = 512;
/// A page that hears nothing for twice as long takes the hub for gone, and proxies do not take
/// the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// An event, because pages are not told of comments.
const BEAT: &[u8] = b"event: beat\ndata: {}\n\n";
/// Events that wait go out together, up to so many bytes.
const TOGETHER: usize = 64 << 10;
/// How soon a browser comes back.
const RETRY: &str = "retry: 1000\n\n";

/// An event as it goes over the wire.
pub(crate) fn frame(name: &str, data: &impl Serialize) -> Bytes {
    let mut frame = format!("event: {name}\ndata: ").into_bytes();
    // What is told has no map with keys that are no text: it always can be written.
    if let Err(error) = serde_json::to_writer(&mut frame, data) {
        tracing::error!("an event `{name}` cannot be written: {error}");
        return Bytes::new();
    }
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

/// Tells all browsers what happens.
#[derive(Debug)]
pub(crate) struct Stage {
    ring: broadcast::Sender<Bytes>,
    pub streams: Streams,
}

impl Stage {
    pub fn new(streams: Streams) -> Self {
        Self {
            ring: broadcast::Sender::new(RING),
            streams,
        }
    }

    /// Tells it to whoever listens now.
    pub fn tell(&self, event: &Live) {
        if self.ring.receiver_count() > 0 {
            // Nobody listens any more: nobody misses it.
            let _ = self.ring.send(frame(event.name(), event));
        }
    }

    pub fn listen(&self) -> broadcast::Receiver<Bytes> {
        self.ring.subscribe()
    }

    /// How many browsers listen.
    pub fn listeners(&self) -> usize {
        self.ring.receiver_count()
    }
}

/// The streams that there are, and the end of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    room: Arc<Semaphore>,
    ending: watch::Receiver<bool>,
    /// Counts sessions that were ended: each stream looks then whether it was its own.
    ended: watch::Sender<u64>,
}

impl Streams {
    pub fn new(ending: watch::Receiver<bool>) -> Self {
        Self {
            room: Arc::new(Semaphore::new(STREAMS)),
            ending,
            ended: watch::Sender::new(0),
        }
    }

    /// A session was ended.
    pub fn session_ended(&self) {
        self.ended
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Room for one more.
    pub fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.room.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_streams",
                format!("{STREAMS} pages are open already; close some."),
            )
            .again_after(10)
        })
    }
}

/// What one browser of a stream may be told.
pub(crate) enum Part<T> {
    /// Something that happened.
    Event(T),
    /// It was too slow for so many.
    Missed(u64),
}

/// Makes the answer that never ends: what `render` makes of what happens, until the session is
/// over, the hub ends or `render` gives nothing.
pub(crate) fn respond<T, R, S>(
    streams: &Streams,
    room: OwnedSemaphorePermit,
    first: Bytes,
    receiver: broadcast::Receiver<T>,
    render: R,
    signed_in: S,
) -> Response
where
    T: Clone + Send + 'static,
    R: FnMut(Part<T>, &mut Vec<u8>) -> bool + Send + 'static,
    S: Fn() -> bool + Send + 'static,
{
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Begun {
        first: Some(first),
        receiver,
        render,
        signed_in,
        heartbeat,
        ending: streams.ending.clone(),
        ended: streams.ended.subscribe(),
        _room: room,
    };
    let stream = stream::unfold(begun, |mut begun| async {
        let bytes = begun.next().await?;
        Some((Ok::<_, Infallible>(bytes), begun))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx gathers what passes unless it is told not to.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

struct Begun<T, R, S> {
    first: Option<Bytes>,
    receiver: broadcast::Receiver<T>,
    render: R,
    signed_in: S,
    heartbeat: Interval,
    ending: watch::Receiver<bool>,
    ended: watch::Receiver<u64>,
    _room: OwnedSemaphorePermit,
}

impl<T, R, S> Begun<T, R, S>
where
    T: Clone,
    R: FnMut(Part<T>, &mut Vec<u8>) -> bool,
    S: Fn() -> bool,
{
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            let mut bytes = RETRY.as_bytes().to_vec();
            bytes.extend_from_slice(&first);
            return Some(bytes.into());
        }
        let mut bytes = Vec::new();
        loop {
            let part = tokio::select! {
                biased;
                _ = self.ending.wait_for(|ending| *ending) => return None,
                Ok(()) = self.ended.changed() => {
                    if (self.signed_in)() {
                        continue;
                    }
                    return None;
                }
                part = self.receiver.recv() => part,
                _ = self.heartbeat.tick() => {
                    return (self.signed_in)().then(|| Bytes::from_static(BEAT));
                }
            };
            let part = match part {
                Ok(event) => Part::Event(event),
                Err(RecvError::Lagged(missed)) => Part::Missed(missed),
                Err(RecvError::Closed) => return None,
            };
            if !(self.render)(part, &mut bytes) {
                return None;
            }
            while bytes.len() < TOGETHER {
                let part = match self.receiver.try_recv() {
                    Ok(event) => Part::Event(event),
                    Err(TryRecvError::Lagged(missed)) => Part::Missed(missed),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                };
                if !(self.render)(part, &mut bytes) {
                    // What is gathered is of before what was missed.
                    return None;
                }
            }
            if !bytes.is_empty() {
                return Some(bytes.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    /// A hub that has stopped, while its connections stay open, looks to a page like one of which
    /// there is nothing to tell.
    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_beats() {
        let (_ending, ending) = watch::channel(false);
        let streams = Streams::new(ending);
        let (tell, receiver) = broadcast::channel::<Bytes>(4);
        let render = |part: Part<Bytes>, bytes: &mut Vec<u8>| match part {
            Part::Event(event) => {
                bytes.extend_from_slice(&event);
                true
            }
            Part::Missed(_) => false,
        };
        let room = streams.enter().unwrap();
        let first = frame("hello", &serde_json::json!({}));
        let answer = respond(&streams, room, first, receiver, render, || true);
        let mut stream = answer.into_body().into_data_stream();
        assert!(
            stream
                .next()
                .await
                .unwrap()
                .unwrap()
                .starts_with(b"retry: ")
        );
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(stream.next().await.unwrap().unwrap(), BEAT);
            assert_eq!(began.elapsed(), HEARTBEAT);
        }
        tell.send(Bytes::from_static(b"event: x\ndata: 1\n\n"))
            .unwrap();
        assert!(
            stream
                .next()
                .await
                .unwrap()
                .unwrap()
                .starts_with(b"event: x")
        );
    }
}
