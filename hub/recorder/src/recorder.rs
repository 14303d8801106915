//! Receiving, storing, acknowledging.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aldis_client::{Client, Event, Events, Message, Options, Publish, QoS, Token};
use aldis_history::{Arrival, Committed, DeviceKey, HistoryError, Series, What};
use aldis_protocol::topic::{MAX_LEN, Topics};
use aldis_protocol::{Topic, encode_ack};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::arrivals::{self, Came, Passed, TOPICS};
use crate::behind::{Behind, Due};
use crate::figures::{Board, Figures};
use crate::housekeeping::keep_house;
use crate::listening::{self, Listening};
use crate::lives::Lives;
use crate::newcomers::{Entry, Newcomers};
use crate::odd::Odd;
use crate::options::RecorderOptions;
use crate::waited::Waited;

/// The target of good news in the log for whoever read of the trouble before.
pub const TOLD: &str = "aldis::told";

/// The most messages that are stored together.
const BATCH: usize = 2_000;
/// For how many seconds a confirmation is worth sending. The next one says the same and more.
const CONFIRMATION_S: u32 = 60;
/// How long the broker keeps the session of a recorder that is away.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The same where others do its work meanwhile: what the broker keeps for it they do not get.
const KEEP_SHARED: Duration = Duration::from_secs(5 * 60);
/// How soon to store again what could not be stored, at first and in the end.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long its own word may take to come back before its absence is given no meaning.
const WORD: Duration = Duration::from_secs(30);
/// How long ending may take, of which the last batch may take the first part.
const END: (Duration, Duration) = (Duration::from_millis(1_500), Duration::from_secs(3));

/// Why there is no recorder.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// What it was told cannot work.
    #[error("the recorder cannot start: {0}")]
    Options(String),
}

/// Stores what devices say.
#[derive(Debug)]
pub struct Recorder;

/// A recorder that works until it is shut down or dropped.
pub struct RunningRecorder {
    figures: Board,
    stop: Arc<Notify>,
    working: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
}

impl Recorder {
    /// Starts a recorder. It waits for the broker and for the store as long as they are away.
    ///
    /// # Errors
    /// If what it is told cannot work.
    pub fn start(options: RecorderOptions) -> Result<RunningRecorder, RecorderError> {
        let wrong = |error: &dyn fmt::Display| RecorderError::Options(error.to_string());
        let word = Topics::new(&options.prefix, &options.client_id)
            .map_err(|error| wrong(&error))?
            .write(Topic::Start, &mut [0; MAX_LEN])
            .map_err(|error| wrong(&error))?
            .to_owned();
        let mut client = Options {
            keep: Some(match options.share {
                None => KEEP,
                Some(_) => KEEP_SHARED,
            }),
            receive_maximum: 4_096,
            ..Options::new(options.broker.clone(), &options.client_id)
        };
        let mut shared_filters = Vec::new();
        for (topic, shared) in TOPICS {
            let mut filter = [0; MAX_LEN];
            let filter = topic
                .filter(&options.prefix, &mut filter)
                .map_err(|error| wrong(&error))?;
            let filter = match &options.share {
                Some(group) if shared => {
                    let filter = format!("$share/{group}/{filter}");
                    shared_filters.push(filter.clone());
                    filter
                }
                _ => filter.to_owned(),
            };
            client = client.subscribe(filter, QoS::AtLeastOnce);
        }
        let client = client.subscribe(&word, QoS::AtLeastOnce);
        let (client, events) = aldis_client::start(client).map_err(|error| wrong(&error))?;
        let figures = Board::default();
        let stop = Arc::new(Notify::new());
        let housekeeping = tokio::spawn(keep_house(
            options.history.clone(),
            options.retention,
            options.clock.clone(),
        ));
        let work = Work {
            behind: Behind::new(options.first_patience, options.patience),
            lives: Lives::default(),
            newcomers: Newcomers::new(options.newcomers),
            odd: Odd::default(),
            late: Late::default(),
            listening: Listening::default(),
            waited: None,
            client,
            word,
            shared_filters,
            figures: figures.clone(),
            stop: stop.clone(),
            options,
        };
        let working = tokio::spawn(work.run(events));
        Ok(RunningRecorder {
            figures,
            stop,
            working,
            housekeeping,
        })
    }
}

impl RunningRecorder {
    /// How it is doing.
    pub fn figures(&self) -> Figures {
        self.figures.read()
    }

    /// How it is doing, at any later time.
    pub fn figures_later(&self) -> impl Fn() -> Figures + Send + Sync + 'static {
        let figures = self.figures.clone();
        move || figures.read()
    }

    /// Waits for the end of what works for ever; gives what it was, and how it ended. Then the
    /// recorder is of no use any more.
    pub async fn ended(&mut self) -> (&'static str, Result<(), JoinError>) {
        tokio::select! {
            ended = &mut self.working => ("the recorder", ended),
            ended = &mut self.housekeeping => ("the recorder's housekeeping", ended),
        }
    }

    /// Ends it within three seconds. What it has received is stored, if the store can; else it
    /// is still with the broker.
    pub async fn shutdown(mut self) {
        self.housekeeping.abort();
        self.stop.notify_one();
        if !self.working.is_finished() {
            let _ = timeout(END.1, &mut self.working).await;
        }
    }
}

impl Drop for RunningRecorder {
    fn drop(&mut self) {
        self.housekeeping.abort();
        self.working.abort();
    }
}

impl fmt::Debug for RunningRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningRecorder")
            .field("figures", &self.figures())
            .finish_non_exhaustive()
    }
}

/// Whether what comes may have waited at the broker while the recorder was away.
///
/// The broker sends what waited before what comes now; a word of the recorder to itself stands
/// between them.
#[derive(Debug, Default)]
struct Late {
    /// The word that is awaited, and since when.
    awaited: Option<(String, Instant)>,
}

/// Messages to be stored together.
#[derive(Debug, Default)]
struct Batch {
    arrivals: Vec<Arrival>,
    tokens: Vec<Token>,
}

impl Batch {
    fn len(&self) -> usize {
        self.arrivals.len().max(self.tokens.len())
    }
}

/// What was gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathered {
    Some,
    /// Nothing comes any more: the client has ended, as it does only when it is told to.
    Last,
}

struct Work {
    options: RecorderOptions,
    client: Client,
    /// The topic on which it speaks to itself.
    word: String,
    /// What others get when it leaves.
    shared_filters: Vec<String>,
    behind: Behind,
    lives: Lives,
    newcomers: Newcomers,
    odd: Odd,
    late: Late,
    listening: Listening,
    /// Since when nothing can be stored, and what waited.
    waited: Option<Waited>,
    figures: Board,
    stop: Arc<Notify>,
}

impl Work {
    async fn run(mut self, mut events: Events) {
        let stop = self.stop.clone();
        let mut stopping = false;
        while !stopping {
            let mut batch = Batch::default();
            let gathering = async {
                self.look_who_is_there().await;
                self.gather(&mut events, &mut batch).await
            };
            tokio::select! {
                biased;
                () = stop.notified() => stopping = true,
                gathered = gathering => {
                    stopping = gathered == Gathered::Last;
                }
            }
            self.figures.change(|figures| figures.waiting = batch.len());
            // What was received is stored before the end, if that goes at once.
            if stopping {
                let _ = timeout(END.0, self.leave(&batch)).await;
                break;
            }
            tokio::select! {
                biased;
                () = stop.notified() => {
                    let _ = timeout(END.0, self.leave(&batch)).await;
                    stopping = true;
                }
                () = self.store(&batch) => {}
            }
        }
        for filter in &self.shared_filters {
            self.client.unsubscribe(filter);
        }
        self.client.stop().await;
    }

    /// Looks which devices are in the store, so that it is known who is new.
    async fn look_who_is_there(&mut self) {
        if !self.newcomers.is_due(Instant::now()) {
            return;
        }
        match self.options.history.devices().await {
            Ok(devices) => {
                let known = devices.into_iter().map(|device| device.key);
                self.newcomers.look(known, Instant::now());
            }
            // Storing will tell.
            Err(error) => tracing::debug!("the devices cannot be read: {error}"),
        }
    }

    /// Whether what a device says is taken.
    fn admits(&mut self, device: &DeviceKey) -> bool {
        let paired = &self.options.paired;
        let now = Instant::now();
        let entry = self.newcomers.admit(device, || paired.has(device), now);
        if entry == Entry::Open {
            return true;
        }
        if entry == Entry::FullNow {
            tracing::warn!(
                "{} devices that nobody paired spoke for the first time within an hour, the last \
                 being {device}: no more of them are recorded until an hour after the first. If \
                 they are yours, pair them (`aldis hub pair`) or raise `new_devices` in hub.toml; \
                 otherwise `aldis history --remove 'PATTERN'` removes those that somebody made up",
                self.options.newcomers.unwrap_or_default(),
            );
        }
        self.figures.change(|figures| figures.turned_away += 1);
        false
    }

    /// Receives until a batch is worth storing.
    async fn gather(&mut self, events: &mut Events, batch: &mut Batch) -> Gathered {
        let mut until = None;
        while batch.len() < BATCH {
            let next = match until {
                None => match timeout(listening::EACH, events.next()).await {
                    Ok(event) => event,
                    // Nothing waits to be taken: it listens at this moment.
                    Err(_) => {
                        self.tell_waited();
                        self.heard(Instant::now());
                        self.sign().await;
                        continue;
                    }
                },
                Some(_) if batch.len() >= self.options.hurry => match events.try_next() {
                    None => return Gathered::Some,
                    event => event,
                },
                Some(until) => match timeout_at(until, events.next()).await {
                    Ok(event) => event,
                    Err(_) => return Gathered::Some,
                },
            };
            let Some(event) = next else {
                tracing::error!("the recorder's client has ended");
                self.figures.change(|figures| {
                    figures.connected = false;
                    figures.trouble = Some("its client has ended; restart the hub".to_owned());
                });
                return Gathered::Last;
            };
            self.happened(event, batch);
            if batch.len() > 0 && until.is_none() {
                until = Some(Instant::now() + self.options.gather);
            }
        }
        Gathered::Some
    }

    fn happened(&mut self, event: Event, batch: &mut Batch) {
        match event {
            Event::Connected { session_present } => {
                self.figures.change(|figures| {
                    figures.connected = true;
                    figures.trouble = None;
                });
                tracing::debug!("the recorder is connected (session present: {session_present})");
                self.listening.connected(self.options.clock.now());
                self.say_a_word();
            }
            Event::Disconnected { why } => {
                self.listening.disconnected();
                let url = self.options.broker.url();
                self.figures.change(|figures| {
                    if figures.connected || figures.trouble.is_none() {
                        tracing::warn!("the recorder has no connection to {url}: {why}");
                    }
                    figures.connected = false;
                    figures.trouble = Some(why);
                });
            }
            Event::Denied { filter, why } => {
                tracing::error!(
                    "the broker lets the recorder not subscribe to {filter}: {why}; \
                     what comes there is not stored"
                );
                self.figures.change(|figures| {
                    figures.trouble = Some(format!("{filter} is refused: {why}"));
                });
            }
            Event::Dropped(count) => self.figures.change(|figures| figures.dropped += count),
            Event::Message(message) => self.take(&message, batch),
            _ => {}
        }
    }

    /// From here on nothing has waited: says so to itself, behind what has.
    fn say_a_word(&mut self) {
        let word = format!("{:016x}", fastrand::u64(..));
        self.client
            .publish_latest(Publish::new(&self.word, word.as_str()), CONFIRMATION_S);
        self.late.awaited = Some((word, Instant::now()));
    }

    /// Whether what came at that moment may have waited.
    fn is_late(&mut self, received: Instant) -> bool {
        let overdue =
            |(_, since): &(String, Instant)| received.saturating_duration_since(*since) > WORD;
        if self.late.awaited.as_ref().is_some_and(overdue) {
            self.late.awaited = None;
        }
        self.late.awaited.is_some()
    }

    /// What the wall clock said at a moment.
    fn wall(&self, at: Instant) -> i64 {
        let ago = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.options.clock.now().saturating_sub(ago)
    }

    /// It listened at a moment; what came before its word may have waited.
    fn heard(&mut self, at: Instant) {
        if !self.is_late(at) {
            let at_ms = self.wall(at);
            self.listening.alive(at_ms, at);
        }
    }

    /// Stores a sign of life when it is time for one.
    async fn sign(&mut self) {
        let Some(listened) = self.listening.due(Instant::now()) else {
            return;
        };
        match self.options.history.listened(&listened).await {
            Ok(()) => self.listening.stored(&listened, Instant::now()),
            // It is due again at once, and whatever comes says that nothing can be stored.
            Err(error) => tracing::debug!("no sign of life can be stored: {error}"),
        }
    }

    fn take(&mut self, message: &Message, batch: &mut Batch) {
        batch.tokens.extend(message.token);
        if message.topic == self.word {
            let heard = |(word, _): &(String, Instant)| word.as_bytes() == message.payload;
            if self.late.awaited.as_ref().is_some_and(heard) {
                self.late.awaited = None;
            }
            self.heard(message.received);
            return;
        }
        let came = Came {
            received_ms: self.wall(message.received),
            late: self.is_late(message.received),
        };
        self.heard(message.received);
        let lives = &self.lives;
        let read = arrivals::arrival(&self.options.prefix, message, came, |device| {
            lives.present(device)
        });
        let read = match read {
            Ok(arrival) if !self.admits(&arrival.device) => return,
            read => read,
        };
        match read {
            Ok(Arrival {
                device,
                received_ms,
                received,
                what: What::NotAReading(mut said),
            }) => {
                self.figures.change(|figures| figures.unreadable += 1);
                // Each is counted; so many are kept that it is seen what comes.
                if let Some(passed_over) = self.odd.keep(&device, message.received) {
                    tracing::warn!(
                        "{device} says something on `climate` that is no reading: {}; `aldis \
                         history {} --events` shows it",
                        said.why,
                        device.id()
                    );
                    said.passed_over = passed_over;
                    batch.arrivals.push(Arrival {
                        device,
                        received_ms,
                        received,
                        what: What::NotAReading(said),
                    });
                }
            }
            Ok(arrival) => batch.arrivals.push(arrival),
            Err(Passed::Other) => {}
            Err(Passed::Unreadable) => {
                tracing::debug!("a message on {} cannot be read", message.topic);
                self.figures.change(|figures| figures.unreadable += 1);
            }
        }
    }

    /// Stores a batch, however long it takes, and tells so.
    async fn store(&mut self, batch: &Batch) {
        if !batch.arrivals.is_empty() {
            let mut pause = AGAIN.0;
            let committed = loop {
                let begun = Instant::now();
                match self.options.history.commit(&batch.arrivals).await {
                    Ok(committed) => {
                        self.figures.took(begun.elapsed());
                        break committed;
                    }
                    Err(error) => self.cannot_store(&error),
                }
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN.1);
            };
            self.stored(&committed, batch);
            self.client.acknowledge(batch.tokens.clone());
            self.confirm(&committed).await;
        } else {
            self.client.acknowledge(batch.tokens.clone());
        }
        self.sign().await;
    }

    /// Stores the last batch and the last sign of life.
    async fn leave(&mut self, batch: &Batch) {
        self.store(batch).await;
        self.tell_waited();
        self.heard(Instant::now());
        if let Some(listened) = self.listening.last()
            && let Err(error) = self.options.history.listened(&listened).await
        {
            tracing::debug!("the last sign of life cannot be stored: {error}");
        }
    }

    fn cannot_store(&mut self, error: &HistoryError) {
        let told = error.to_string();
        // Whoever opens the store says why it is not open.
        let is_open = self.options.history.is_open();
        self.waited
            .get_or_insert_with(|| Waited::new(Instant::now()));
        self.figures.change(|figures| {
            if is_open && figures.store_trouble.as_ref() != Some(&told) {
                tracing::error!(
                    "{told}. What comes stays with the broker meanwhile, as far as that has room"
                );
            }
            figures.store_trouble = Some(told);
        });
    }

    /// Tells that storing works again, once all that waited here is stored.
    fn tell_waited(&mut self) {
        if let Some(waited) = self.waited.take_if(|waited| waited.is_over()) {
            tracing::info!(target: TOLD, "{}: {waited}", self.options.history.name());
        }
    }

    fn stored(&mut self, committed: &Committed, batch: &Batch) {
        let now = self.options.clock.now();
        if let Some(waited) = &mut self.waited {
            let readings = batch.arrivals.iter();
            let readings = readings.filter(|of| matches!(of.what, What::Reading(_)));
            let received: Vec<_> = readings.map(|of| of.received_ms).collect();
            if waited.stored(&received, now, Instant::now()) {
                self.tell_waited();
            }
        }
        let sum = |of: fn(&Series) -> u64| committed.series.iter().map(of).sum::<u64>();
        self.figures.change(|figures| {
            figures.store_trouble = None;
            figures.waiting = 0;
            figures.stored += sum(|series| series.new);
            figures.repeated += sum(|series| series.repeated);
            figures.events += committed.events + committed.diags;
            figures.last_commit_ms = Some(now);
        });
    }

    /// Tells devices what of their readings is stored, and gives up what will not come.
    async fn confirm(&mut self, committed: &Committed) {
        for series in &committed.series {
            let (device, life, key) = (&series.device, series.life, series.key());
            let now = Instant::now();
            let due = self
                .behind
                .stored(device, key, series.confirmed, series.highest, now);
            let outcome = self.see_to(due, device, key).await;
            let confirmed = outcome.unwrap_or(series.confirmed);
            if series.present {
                self.lives.is(device, life);
            }
            // A number without a life would be taken for one of the present life.
            if series.present || life != 0 {
                self.tell(device, life, confirmed);
            }
        }
        let behind = self.behind.len();
        self.figures.change(|figures| figures.behind = behind);
    }

    /// Does what is due about a series; gives up to where may be confirmed then.
    async fn see_to(&mut self, due: Due, device: &DeviceKey, series: u64) -> Option<u32> {
        let history = &self.options.history;
        let outcome = match due {
            Due::Nothing => return None,
            Due::Settle => {
                let settled = history.settle(device, series).await;
                if settled.is_ok() {
                    self.behind.settled(device, series);
                }
                settled
            }
            Due::GiveUp(up_to) => match history.give_up(device, series, up_to).await {
                Ok(Some((confirmed, lost))) => {
                    tracing::warn!("{lost} readings of {device} up to number {up_to} did not come");
                    self.figures.change(|figures| figures.given_up += lost);
                    Ok(Some(confirmed))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            },
        };
        match outcome {
            Ok(confirmed) => confirmed,
            Err(error) => {
                // It is due again with the next reading.
                tracing::debug!("{error}");
                None
            }
        }
    }

    fn tell(&self, device: &DeviceKey, life: u32, confirmed: u32) {
        let mut topic = [0; MAX_LEN];
        let mut payload = [0; 16];
        let topic = Topics::new(device.prefix(), device.id())
            .ok()
            .and_then(|topics| Some(topics.write(Topic::ClimateAck, &mut topic).ok()?.to_owned()));
        // Lives are of 16 bits; what says another is no device of ours.
        let life = u16::try_from(life).unwrap_or(0);
        let len = encode_ack(confirmed, life, &mut payload);
        if let (Some(topic), Ok(len)) = (topic, len)
            && let Some(payload) = payload.get(..len)
        {
            self.client
                .publish_latest(Publish::new(topic, payload), CONFIRMATION_S);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recorder that died would be missed by nobody, and neither would the readings.
    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_told() {
        let broken = || tokio::spawn(async { panic!("broken") });
        let at_work = || tokio::spawn(std::future::pending());
        for (working, housekeeping, what) in [
            (broken(), at_work(), "the recorder"),
            (at_work(), broken(), "the recorder's housekeeping"),
        ] {
            let mut recorder = RunningRecorder {
                figures: Board::default(),
                stop: Arc::default(),
                working,
                housekeeping,
            };
            let (who, how) = recorder.ended().await;
            assert_eq!(who, what);
            assert!(how.unwrap_err().is_panic());
            recorder.working.abort();
            recorder.shutdown().await;
        }
    }
}
