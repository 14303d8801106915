//! A client like `aldis sub -t '#'`: it sees every message, and publishes the lamp's commands.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;

use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{
    Backoff, Buffers, Event, Message, Options, OptionsError, Publication, QoS, Session, Slot,
    SubscribeError, SubscribeOptions,
};
use aldis_pc::Secret;
use tokio::sync::mpsc::UnboundedReceiver;

/// Bytes of the largest message that is shown as a whole.
const LARGEST: usize = 64 * 1024;
/// Bytes of commands that wait for the hub.
const OUTBOX: usize = 4 * 1024;
/// How many of them.
const SLOTS: usize = 32;

/// What the client has seen.
pub enum Seen<'a> {
    Message(Message<'a>),
    /// A message that was too large.
    Oversized {
        topic: &'a str,
        size: usize,
    },
}

/// The client of a hub.
pub struct Watcher {
    pub hub: SocketAddr,
    pub client_id: String,
    pub username: String,
    pub password: Secret,
    /// Where the lamp takes commands.
    pub lamp_topic: String,
    /// Makes the waiting between attempts differ from another's.
    pub seed: u64,
}

/// Why there can be no client.
#[derive(Debug)]
pub enum WatchError {
    Options(OptionsError),
    Subscribe(SubscribeError),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Subscribe(error) => error.fmt(f),
        }
    }
}

impl Watcher {
    /// Watches for ever; with each toggle the lamp is told to change.
    pub async fn run(
        &self,
        mut seen: impl FnMut(Seen<'_>),
        mut toggles: UnboundedReceiver<()>,
    ) -> Result<Infallible, WatchError> {
        let mut receive = vec![0; LARGEST];
        let mut outbox = vec![0; OUTBOX];
        let clock = TokioClock::new();
        let options = Options {
            backoff: Backoff {
                base_ms: 100,
                cap_ms: 2_000,
                ..Backoff::default()
            },
            username: Some(&self.username),
            password: Some(self.password.expose().as_bytes()),
            ..Options::new(&self.client_id)
        };
        let now = clock.now();
        let mut slots = [Slot::EMPTY; SLOTS];
        let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
        let mut session =
            Session::new(options, buffers, self.seed, now).map_err(WatchError::Options)?;
        session
            .subscribe("#", SubscribeOptions::default(), None)
            .map_err(WatchError::Subscribe)?;
        let connector = TcpConnector::new(self.hub.ip().to_string(), self.hub.port());
        let mut link = Link::new(session, connector, clock);
        loop {
            tokio::select! {
                event = link.next() => {
                    let token = match event {
                        Event::Message(message) => {
                            seen(Seen::Message(message));
                            message.token
                        }
                        Event::Oversized { topic, size } => {
                            let topic = topic.as_str();
                            seen(Seen::Oversized { topic, size });
                            None
                        }
                        _ => None,
                    };
                    if let Some(token) = token {
                        link.session().acknowledge(token);
                    }
                }
                Some(()) = toggles.recv() => {
                    let (session, now) = link.parts();
                    let toggle = Publication::new(&self.lamp_topic, b"toggle")
                        .qos(QoS::AtLeastOnce);
                    // A full outbox: the key is held down, or the hub does not answer.
                    let _ = session.publish(&toggle, now);
                }
            }
        }
    }
}
