//! The task that holds the session.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::wire::{Properties, Property, valid_filter};
use aldis_mqtt::{
    Backoff, Buffers, Cause, CleanStart, Publication, PublicationId, QoS, Session, Slot,
    SubscribeOptions, Token, Will,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::events::{Event, Events, Message, Shared, Sink};
use crate::options::{Options, Publish};

/// The largest packet that can be received: a little more than brokers usually allow.
const RECEIVE: usize = (1 << 20) + 4_096;
/// Memory for what is to be published, and for filters.
const OUTBOX: usize = 1 << 20;
/// How many publications and filters there can be at once.
const SLOTS: usize = 4_096;
/// How many bytes of packets are written together.
const TOGETHER: usize = 16 << 10;
/// How many publications may be under way at once.
const IN_FLIGHT: u16 = 64;
/// How long leaving may take.
const LEAVING: Duration = Duration::from_secs(1);
/// How soon to look whether everything is sent.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How many commands are taken before the connection has its turn.
const AT_ONCE: usize = 256;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(String);

/// Why something was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// At QoS 0 it is for the present connection, and there is none.
    #[error("there is no connection to the broker")]
    NotConnected,
    /// It cannot be published as it is.
    #[error("{0}")]
    Invalid(String),
    /// The broker refused it.
    #[error("the broker refused it: {0}")]
    Refused(String),
    /// The client has ended, or was asked to.
    #[error("the client has ended")]
    Stopped,
}

#[derive(Debug)]
enum Command {
    Publish(Publish, oneshot::Sender<Result<(), PublishError>>),
    Latest(Publish, u32),
    Acknowledge(Vec<Token>),
    Subscribe(String, QoS),
    Unsubscribe(String),
    Stop(oneshot::Sender<()>),
}

/// What a client is asked to do. Cheap to clone; when the last clone is gone, it ends.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Publishes. At QoS 1 and 2 it waits until the broker has taken it over, however long
    /// that takes and over as many connections; dropping the future does not take it back.
    ///
    /// # Errors
    /// If it was not published, or, after the client has ended, may not have been.
    pub async fn publish(&self, publish: Publish) -> Result<(), PublishError> {
        let (done, outcome) = oneshot::channel();
        self.command(Command::Publish(publish, done));
        outcome.await.unwrap_or(Err(PublishError::Stopped))
    }

    /// Sees to it that this is published if it can be within so many seconds, in place of
    /// what was to be published in this way to the same topic before.
    pub fn publish_latest(&self, publish: Publish, expires_s: u32) {
        self.command(Command::Latest(publish, expires_s));
    }

    /// Tells the broker that these messages were handled. It forgets them then.
    pub fn acknowledge(&self, tokens: Vec<Token>) {
        if !tokens.is_empty() {
            self.command(Command::Acknowledge(tokens));
        }
    }

    /// Subscribes, for all connections to come. A filter that is none is refused by an event.
    pub fn subscribe(&self, filter: impl Into<String>, qos: QoS) {
        self.command(Command::Subscribe(filter.into(), qos));
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, filter: impl Into<String>) {
        self.command(Command::Unsubscribe(filter.into()));
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Ends the connection in order, within a second.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        self.command(Command::Stop(done));
        let _ = stopped.await;
    }

    fn command(&self, command: Command) {
        // After its end, what waits for an answer gets one by the channel's end.
        let _ = self.commands.send(command);
    }
}

/// Starts a client. It connects, and connects again, by itself.
///
/// # Errors
/// If the options cannot work: an invalid filter, will or client id.
pub fn start(options: Options) -> Result<(Client, Events), ClientError> {
    for (filter, _) in &options.subscriptions {
        if !valid_filter(filter) {
            return Err(ClientError(format!(
                "`{filter}` is no topic filter: `+` stands for one whole level, `#` for all the rest"
            )));
        }
    }
    // The session checks the rest; it is made once more where it lives.
    session(
        &options,
        &mut vec![0; 4_096],
        &mut [0; 64],
        &mut [Slot::EMPTY],
        &TokioClock::new(),
    )
    .map_err(|error| ClientError(error.to_string()))?;
    let (commands, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::default());
    let sink = Sink {
        shared: shared.clone(),
    };
    tokio::spawn(run(options, receiver, sink));
    let events = Events {
        shared: shared.clone(),
    };
    Ok((Client { commands, shared }, events))
}

fn session<'b>(
    options: &'b Options,
    receive: &'b mut [u8],
    outbox: &'b mut [u8],
    slots: &'b mut [Slot],
    clock: &TokioClock,
) -> Result<Session<'b>, aldis_mqtt::OptionsError> {
    let broker = &options.broker;
    let will = options.will.as_ref().map(|will| Will {
        topic: &will.topic,
        payload: &will.payload,
        qos: will.qos,
        retain: will.retain,
        properties: Properties::NONE,
    });
    let keep = options
        .keep
        .map(|keep| u32::try_from(keep.as_secs()).unwrap_or(u32::MAX));
    let options = aldis_mqtt::Options {
        username: broker.username.as_deref(),
        password: broker.password.as_ref().map(String::as_bytes),
        will,
        clean_start: match keep {
            Some(_) => CleanStart::Never,
            None => CleanStart::Always,
        },
        session_expiry_s: keep.unwrap_or(0),
        receive_maximum: options.receive_maximum,
        inbound: u16::MAX,
        in_flight: IN_FLIGHT,
        backoff: Backoff {
            cap_ms: 5_000,
            ..Backoff::default()
        },
        ..aldis_mqtt::Options::new(&options.client_id)
    };
    let buffers = Buffers::new(receive, outbox, slots);
    Session::new(options, buffers, fastrand::u64(..), clock.now())
}

async fn run(options: Options, commands: mpsc::UnboundedReceiver<Command>, sink: Sink) {
    let clock = TokioClock::new();
    let (mut receive, mut outbox) = (vec![0; RECEIVE], vec![0; OUTBOX]);
    let (mut slots, mut together) = (vec![Slot::EMPTY; SLOTS], vec![0; TOGETHER]);
    let session = match session(&options, &mut receive, &mut outbox, &mut slots, &clock) {
        Ok(session) => session,
        Err(error) => {
            // They were checked.
            tracing::error!("the client cannot start: {error}");
            return;
        }
    };
    let mut connector = TcpConnector::new(&options.broker.host, options.broker.port);
    if let Some(tls) = &options.broker.tls {
        connector = connector.with_tls(tls.clone());
    }
    let mut task = Task {
        link: Link::new(session, connector, clock).gather(&mut together),
        sink,
        under_way: HashMap::new(),
        waiting: VecDeque::new(),
    };
    for (filter, qos) in &options.subscriptions {
        task.subscribe(filter, *qos);
    }
    task.run(commands).await;
}

struct Task<'b> {
    link: Link<'b, TcpConnector, TokioClock>,
    sink: Sink,
    /// Who waits for the broker to take over what.
    under_way: HashMap<PublicationId, oneshot::Sender<Result<(), PublishError>>>,
    /// What found no room in the outbox yet.
    waiting: VecDeque<(Publish, oneshot::Sender<Result<(), PublishError>>)>,
}

/// What an event leads to, when it is no longer borrowed.
enum Then {
    Nothing,
    Told(PublicationId, Result<(), PublishError>),
    Disconnected(Cause, Option<String>),
}

impl Task<'_> {
    async fn run(&mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut several = Vec::with_capacity(AT_ONCE);
        let shared = self.sink.shared.clone();
        loop {
            tokio::select! {
                biased;
                // What comes now would never be handled.
                () = shared.left() => return self.leave().await,
                count = commands.recv_many(&mut several, AT_ONCE) => {
                    if count == 0 {
                        return self.leave().await;
                    }
                    for command in several.drain(..) {
                        if let Command::Stop(done) = command {
                            self.leave().await;
                            let _ = done.send(());
                            return;
                        }
                        self.obey(command);
                    }
                    // Neither may keep the other from its turn.
                    self.progress_now().await;
                }
                then = next(&mut self.link, &self.sink) => self.then(then),
            }
        }
    }

    /// Lets the connection do what it can without waiting.
    async fn progress_now(&mut self) {
        tokio::select! {
            biased;
            then = next(&mut self.link, &self.sink) => self.then(then),
            () = std::future::ready(()) => {}
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Publish(publish, done) if self.waiting.is_empty() => {
                self.publish(publish, done);
            }
            Command::Publish(publish, done) => self.waiting.push_back((publish, done)),
            Command::Latest(publish, expires_s) => {
                let (session, now) = self.link.parts();
                let publication = Publication {
                    retain: publish.retain,
                    expires_s: Some(expires_s),
                    latest: true,
                    ..Publication::new(&publish.topic, &publish.payload).qos(publish.qos)
                };
                if let Err(error) = session.publish(&publication, now) {
                    tracing::debug!("{} was not published: {error}", publish.topic);
                }
            }
            Command::Acknowledge(tokens) => {
                for token in tokens {
                    self.link.session().acknowledge(token);
                }
            }
            Command::Subscribe(filter, qos) => self.subscribe(&filter, qos),
            Command::Unsubscribe(filter) => {
                if let Err(error) = self.link.session().unsubscribe(&filter) {
                    tracing::debug!("`{filter}` was not unsubscribed: {error}");
                }
            }
            // It is looked at before.
            Command::Stop(_) => {}
        }
    }

    fn subscribe(&mut self, filter: &str, qos: QoS) {
        let options = SubscribeOptions {
            qos,
            ..SubscribeOptions::default()
        };
        if let Err(error) = self.link.session().subscribe(filter, options, None) {
            self.sink.tell(Event::Denied {
                filter: filter.to_owned(),
                why: error.to_string(),
            });
        }
    }

    fn publish(&mut self, publish: Publish, done: oneshot::Sender<Result<(), PublishError>>) {
        let (session, now) = self.link.parts();
        let publication = Publication {
            retain: publish.retain,
            expires_s: publish.expires_s,
            ..Publication::new(&publish.topic, &publish.payload).qos(publish.qos)
        };
        let outcome = match session.publish(&publication, now) {
            Ok(_) if publish.qos == QoS::AtMostOnce => Ok(()),
            Ok(published) => {
                self.under_way.insert(published.id, done);
                return;
            }
            Err(aldis_mqtt::PublishError::Full) => {
                self.waiting.push_front((publish, done));
                return;
            }
            Err(aldis_mqtt::PublishError::NotConnected) => Err(PublishError::NotConnected),
            Err(error) => Err(PublishError::Invalid(error.to_string())),
        };
        let _ = done.send(outcome);
    }

    fn then(&mut self, then: Then) {
        match then {
            Then::Nothing => {}
            Then::Disconnected(cause, reason) => {
                let words = match cause {
                    Cause::Network(_) => self.link.connector().last_failure(),
                    _ => None,
                };
                let why = match words.or(reason.as_deref()) {
                    Some(words) => format!("{cause} ({words})"),
                    None => cause.to_string(),
                };
                self.sink.tell(Event::Disconnected { why });
            }
            Then::Told(id, outcome) => {
                if let Some(done) = self.under_way.remove(&id) {
                    let _ = done.send(outcome);
                }
                while let Some((publish, done)) = self.waiting.pop_front() {
                    let before = self.waiting.len();
                    self.publish(publish, done);
                    if self.waiting.len() > before {
                        break;
                    }
                }
            }
        }
    }

    async fn leave(&mut self) {
        let leaving = async {
            // What was handled is acknowledged, or it would come again.
            while self.link.session().is_connected() && !self.link.session().is_flushed() {
                let _ = timeout(LOOK_AGAIN, self.link.next()).await;
            }
            let (session, now) = self.link.parts();
            session.stop(now);
            while !self.link.session().is_stopped() {
                self.link.next().await;
            }
        };
        // Who does not take it in time is left without.
        let _ = timeout(LEAVING, leaving).await;
        self.sink.shared.connected.store(false, Ordering::Relaxed);
    }
}

/// Waits for the next event and tells it.
async fn next(link: &mut Link<'_, TcpConnector, TokioClock>, sink: &Sink) -> Then {
    use aldis_mqtt::Event as Happened;
    match link.next().await {
        Happened::Connected {
            session_present, ..
        } => {
            sink.shared.connected.store(true, Ordering::Relaxed);
            sink.tell(Event::Connected { session_present });
            Then::Nothing
        }
        Happened::Disconnected { cause, properties } => {
            sink.shared.connected.store(false, Ordering::Relaxed);
            let reason = properties.iter().find_map(|property| match property {
                Property::ReasonString(words) => Some(words.to_owned()),
                _ => None,
            });
            Then::Disconnected(cause, reason)
        }
        Happened::Message(message) => {
            let expiry_s = message
                .properties
                .iter()
                .find_map(|property| match property {
                    Property::MessageExpiryInterval(seconds) => Some(seconds),
                    _ => None,
                });
            sink.tell(Event::Message(Message {
                topic: message.topic.to_string(),
                payload: message.payload.to_vec(),
                qos: message.qos,
                retain: message.retain,
                dup: message.dup,
                expiry_s,
                received: Instant::now(),
                token: message.token,
            }));
            Then::Nothing
        }
        Happened::Delivered { id, .. } => Then::Told(id, Ok(())),
        Happened::Dropped { id, reason } => {
            let why = match reason {
                aldis_mqtt::Dropped::Refused(reason) => reason.to_string(),
                aldis_mqtt::Dropped::Expired => "it was not sent in time".to_owned(),
                aldis_mqtt::Dropped::SessionLost => {
                    "it lost the session, and may have passed it on or not".to_owned()
                }
            };
            Then::Told(id, Err(PublishError::Refused(why)))
        }
        Happened::Subscribed {
            filter,
            result: Err(reason),
        } => {
            sink.tell(Event::Denied {
                filter: filter.to_string(),
                why: reason.to_string(),
            });
            Then::Nothing
        }
        Happened::Subscribed { .. } | Happened::Unsubscribed { .. } => Then::Nothing,
        Happened::Oversized { topic, size } => {
            tracing::warn!("a message of {size} bytes to `{topic}` is too large, and is lost");
            sink.drop_one();
            Then::Nothing
        }
    }
}
