//! The task between the client and the announcer.

use std::collections::HashSet;
use std::future::pending;
use std::time::Duration;

use aldis_client::{Client, Event, Events, Publish, PublishError, QoS};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::announcer::{Announcer, Outcome, Publication};
use crate::options::{HomeAssistantError, Options, Titles};

/// How many announcements may be under way at once.
const UNDER_WAY: usize = 32;
/// How long leaving may take.
const LEAVING: Duration = Duration::from_millis(1_500);

/// Announces the devices of a broker to Home Assistant.
#[derive(Debug)]
pub struct HomeAssistant;

impl HomeAssistant {
    /// Starts it. It connects to the broker, and connects again, by itself; it needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the options cannot work.
    pub fn start(options: Options) -> Result<RunningHomeAssistant, HomeAssistantError> {
        let announcer = Announcer::new(options.settings()?, options.seed);
        let mut client = aldis_client::Options::new(options.broker, options.client_id);
        for (filter, matters) in announcer.filters() {
            let qos = match matters {
                true => QoS::AtLeastOnce,
                false => QoS::AtMostOnce,
            };
            client = client.subscribe(filter, qos);
        }
        let (client, events) = aldis_client::start(client)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (withdrawn, was_withdrawn) = watch::channel(None);
        let task = Task {
            announcer,
            client,
            events,
            commands: receiver,
            titles: options.titles,
            under_way: JoinSet::new(),
            withdrawn,
            denied: HashSet::new(),
            began: Instant::now(),
        };
        Ok(RunningHomeAssistant {
            commands,
            withdrawn: was_withdrawn,
            task: tokio::spawn(task.run()),
        })
    }
}

#[derive(Debug)]
enum Command {
    Title(String, Option<String>),
    Forget(String),
    Stop,
}

/// The announcer at work.
#[derive(Debug)]
pub struct RunningHomeAssistant {
    commands: mpsc::UnboundedSender<Command>,
    withdrawn: watch::Receiver<Option<u64>>,
    task: JoinHandle<()>,
}

impl RunningHomeAssistant {
    /// A device (`prefix/id`) is called so from now on; nothing: by its id.
    pub fn announce_title(&self, key: &str, title: Option<&str>) {
        self.command(Command::Title(key.to_owned(), title.map(str::to_owned)));
    }

    /// A device (`prefix/id`) was removed: it goes from Home Assistant too. If it speaks
    /// again, it is a new one.
    pub fn forget(&self, key: &str) {
        self.command(Command::Forget(key.to_owned()));
    }

    /// Waits until all was taken away that this hub has announced, and tells how much that
    /// was. Without [`Options::withdraw`], or if it is shut down before, it is nothing.
    pub async fn withdrawn(&self) -> Option<u64> {
        let mut withdrawn = self.withdrawn.clone();
        let count = withdrawn.wait_for(Option::is_some).await.ok()?;
        *count
    }

    /// Waits until it has ended; unasked, it is of no use any more.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.task).await
    }

    /// Ends it, within two seconds. What was announced stays.
    pub async fn shutdown(mut self) {
        self.command(Command::Stop);
        if !self.task.is_finished() && timeout(LEAVING, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }

    fn command(&self, command: Command) {
        // After its end there is nothing to be done.
        let _ = self.commands.send(command);
    }
}

/// What happens next.
enum Next {
    Event(Option<Event>),
    Command(Option<Command>),
    Titles(bool),
    Published(String, Result<(), PublishError>),
    Due,
}

struct Task {
    announcer: Announcer,
    client: Client,
    events: Events,
    commands: mpsc::UnboundedReceiver<Command>,
    titles: Option<watch::Receiver<Titles>>,
    under_way: JoinSet<(String, Result<(), PublishError>)>,
    withdrawn: watch::Sender<Option<u64>>,
    /// What the broker refused, told once each.
    denied: HashSet<String>,
    began: Instant,
}

impl Task {
    async fn run(mut self) {
        if let Some(titles) = &mut self.titles {
            self.announcer.begin_with(&titles.borrow_and_update());
        }
        loop {
            self.publish();
            match self.next().await {
                Next::Event(Some(event)) => self.event(event),
                Next::Command(Some(Command::Title(key, title))) => {
                    let now = self.now();
                    self.announcer.title(now, &key, title.as_deref());
                }
                Next::Command(Some(Command::Forget(key))) => {
                    let now = self.now();
                    self.announcer.forget(now, &key);
                }
                Next::Command(Some(Command::Stop) | None) | Next::Event(None) => break,
                Next::Titles(true) => self.take_titles(),
                // Nobody gives titles any more; those that there are stay.
                Next::Titles(false) => self.titles = None,
                Next::Published(topic, outcome) => self.published(&topic, outcome),
                Next::Due => {}
            }
            if let Some(count) = self.announcer.withdrawn(self.now())
                && self.under_way.is_empty()
            {
                tracing::info!("{count} devices were removed from Home Assistant");
                let _ = self.withdrawn.send(Some(count));
                break;
            }
        }
        self.client.stop().await;
    }

    async fn next(&mut self) -> Next {
        let deadline = self
            .announcer
            .deadline()
            // What is due waits for those under way.
            .filter(|_| self.under_way.len() < UNDER_WAY)
            .and_then(|at| self.began.checked_add(Duration::from_millis(at)));
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let titles = async {
            match &mut self.titles {
                Some(titles) => titles.changed().await.is_ok(),
                None => pending().await,
            }
        };
        let published = async {
            match self.under_way.join_next().await {
                Some(Ok((topic, outcome))) => (topic, outcome),
                // None, or one that was aborted, which none is.
                Some(Err(_)) | None => pending().await,
            }
        };
        tokio::select! {
            command = self.commands.recv() => Next::Command(command),
            event = self.events.next() => Next::Event(event),
            changed = titles => Next::Titles(changed),
            (topic, outcome) = published => Next::Published(topic, outcome),
            () = due => Next::Due,
        }
    }

    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn publish(&mut self) {
        while self.under_way.len() < UNDER_WAY
            && let Some(Publication { topic, payload }) = self.announcer.next(self.now())
        {
            let client = self.client.clone();
            let publish = Publish::new(topic.clone(), payload).retained();
            self.under_way
                .spawn(async move { (topic, client.publish(publish).await) });
        }
    }

    fn published(&mut self, topic: &str, outcome: Result<(), PublishError>) {
        let outcome = match outcome {
            Ok(()) => Outcome::Published,
            Err(error @ (PublishError::Refused(_) | PublishError::Invalid(_))) => {
                if self.denied.insert(topic.to_owned()) {
                    tracing::warn!(
                        "Home Assistant cannot be told: `{topic}`: {error}; let the hub publish \
                         there, or set another discovery prefix"
                    );
                }
                Outcome::Refused
            }
            Err(_) => Outcome::Unknown,
        };
        let now = self.now();
        self.announcer.done(now, topic, outcome);
    }

    fn take_titles(&mut self) {
        let now = self.now();
        if let Some(titles) = &mut self.titles {
            let titles = titles.borrow_and_update();
            self.announcer.titles(now, &titles);
        }
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connected { .. } => self.announcer.connected(now),
            Event::Disconnected { why } => {
                tracing::debug!("no contact with the broker: {why}");
                self.announcer.disconnected();
            }
            Event::Message(message) => {
                let (topic, payload) = (&message.topic, &message.payload);
                self.announcer.message(now, topic, payload, message.retain);
                self.client.acknowledge(message.token.into_iter().collect());
            }
            Event::Denied { filter, why } => {
                if self.denied.insert(filter.clone()) {
                    tracing::warn!(
                        "devices cannot be announced to Home Assistant as they should: the broker \
                         does not let the hub subscribe to `{filter}`: {why}; allow that there"
                    );
                }
            }
            // Readings, of which the next will do.
            Event::Dropped(_) => {}
            other => tracing::debug!("passed over: {other:?}"),
        }
    }
}
