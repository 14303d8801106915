//! The application of a device.

use aldis_mqtt::{
    Cause, Dropped, Event, Instant, Network, Publication, PublicationId, PublishError, QoS,
    ReasonCode, RetainHandling, Session, SubscribeError, SubscribeOptions, Token, Version,
    wire::Properties, wire::Property,
};
use aldis_protocol::topic::MAX_LEN;
use aldis_protocol::{
    Availability, Climate, Diag, Lamp, LampCommand, Mode, Reading, SensorState, Topic, decode_ack,
    encode_readout,
};

use crate::backlog::{Backlog, Entry};
use crate::counters::Counters;
use crate::dht::{self, Pulse};
use crate::quiet::Quiet;
use crate::sensor::Sensor;
use crate::{Board, GivenUp, Kept, Notice, Recalled, Saved, Settings};

/// A device: it measures, publishes and obeys. It keeps the newest `BACKLOG`
/// readings that are not yet delivered.
#[derive(Debug)]
pub struct Device<'a, const BACKLOG: usize = 512> {
    settings: Settings<'a>,
    saved: Saved,
    sensor: Sensor,
    backlog: &'a mut Backlog<BACKLOG>,
    counters: Counters,
    quiet: Quiet,
    /// The session is to be told how long it may be quiet.
    quiet_due: bool,
    started: Instant,

    /// When the next measurement begins, and until when the present one may take.
    measure_at: Instant,
    measuring_until: Instant,
    /// When the next reading is recorded.
    record_at: Instant,
    diag_at: Instant,
    /// When this start counts as one that lasts.
    stable_at: Instant,
    /// The sensor is left alone.
    safe: bool,
    /// The board knows that every reading up to this one is done.
    known_done: u32,
    /// The last of the readings that were taken back.
    recalled: Option<u32>,

    /// What the broker is to be told again.
    status: Told,
    lamp: Told,
    sensor_state: Told,
    diag_due: bool,
    /// How many readings may be under way on this connection.
    window: usize,
    /// The broker takes no packets as large as a reading.
    too_large: bool,
    stopping: Stopping,
}

/// How far the broker knows a state of the device.
///
/// One publication of each is under way at most. So none of an earlier state
/// can come after a later one's, and a broker that never answers does not fill
/// the outbox.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// It is to be told.
    due: bool,
    under_way: Option<PublicationId>,
}

impl Told {
    /// Whether it is to be told now.
    const fn waits(&self) -> bool {
        self.due && self.under_way.is_none()
    }

    /// The end of a publication came. Says whether it was this one's.
    fn ended(&mut self, id: PublicationId) -> bool {
        let ended = self.under_way == Some(id);
        if ended {
            self.under_way = None;
        }
        ended
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// `offline` is to be published, until this moment.
    Wanted(Instant),
    /// It was; its delivery is awaited.
    Published(PublicationId, Instant),
    /// The broker has it.
    Told(Instant),
    /// The session is to be stopped by this moment.
    Closing(Instant),
    Done,
}

/// What an event asks the device to do, in [`Device::react`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a message is acknowledged only when it was reacted to"]
pub struct Reaction {
    command: Option<LampCommand>,
    token: Option<Token>,
    disconnected: Option<(Cause, Instant)>,
}

impl<'a, const BACKLOG: usize> Device<'a, BACKLOG> {
    /// Milliseconds from one measurement to the next: the DHT22 wants two
    /// seconds (data sheet, section 7.3).
    pub const MEASURE_MS: u32 = 2_000;
    /// Milliseconds that a measurement may take.
    pub const MEASUREMENT_MS: u32 = 100;
    /// Milliseconds from the start to the first measurement: the DHT22 is
    /// unstable for a second after power came (data sheet, section 7.2).
    pub const SETTLE_MS: u32 = 1_000;
    /// Milliseconds from one `diag` to the next.
    pub const DIAG_MS: u32 = 60_000;
    /// Milliseconds that a clean stop may take.
    pub const STOP_MS: u32 = 2_000;
    /// Milliseconds after which a start counts as one that lasts.
    pub const STABLE_MS: u32 = 60_000;
    /// Milliseconds after which a device that leaves its sensor alone tries it again:
    /// what made it restart may be gone.
    pub const SAFE_MS: u32 = 600_000;
    /// How many readings may be done before the board is told.
    pub const UNTOLD: u32 = 16;
    /// Readings that may be under way to the broker at the same time.
    pub const WINDOW: usize = 8;

    /// Starts a device that remembers `saved`: restores the lamp before
    /// anything else, and counts the start.
    ///
    /// If it was started too often without lasting ([`Settings::start_limit`]),
    /// it leaves the sensor alone for [`Device::SAFE_MS`].
    pub fn new(
        settings: Settings<'a>,
        saved: Saved,
        backlog: &'a mut Backlog<BACKLOG>,
        now: Instant,
        board: &mut impl Board,
    ) -> Self {
        const {
            assert!(
                BACKLOG > Self::WINDOW,
                "a reading under way is kept as well"
            )
        };
        board.light(saved.lamp);
        let limit = settings.start_limit;
        let safe = limit.is_some_and(|limit| saved.unstable >= limit);
        let saved = Saved {
            boot: saved.boot.wrapping_add(1),
            unstable: match limit {
                Some(_) => saved.unstable.saturating_add(1),
                None => 0,
            },
            ..saved
        };
        board.save(&saved);
        Self {
            settings,
            saved,
            sensor: Sensor::default(),
            backlog,
            counters: Counters::default(),
            quiet: Quiet::new(settings.keep_alive_s),
            quiet_due: false,
            started: now,
            measure_at: match safe {
                true => Instant::NEVER,
                false => now.after(Self::SETTLE_MS),
            },
            measuring_until: Instant::NEVER,
            record_at: now,
            diag_at: now,
            stable_at: match limit {
                Some(_) if safe => now.after(Self::SAFE_MS),
                Some(_) => now.after(Self::STABLE_MS),
                None => Instant::NEVER,
            },
            safe,
            known_done: saved.seq.wrapping_sub(1),
            recalled: None,
            status: Told::default(),
            lamp: Told::default(),
            sensor_state: Told::default(),
            diag_due: false,
            window: Self::WINDOW,
            too_large: false,
            stopping: Stopping::No,
        }
    }

    /// Subscribes to what the device obeys.
    ///
    /// # Errors
    /// If a topic of the settings is no topic, or the outbox too small.
    pub fn subscribe(&self, session: &mut Session<'_>) -> Result<(), SubscribeError> {
        let commands = SubscribeOptions {
            qos: QoS::ExactlyOnce,
            retain_handling: RetainHandling::Never,
            ..SubscribeOptions::default()
        };
        if let Some(topic) = self.settings.command_topic {
            session.subscribe(topic, commands, None)?;
        }
        let mut name = [0; MAX_LEN];
        session.subscribe(self.topic(Topic::LedSet, &mut name), commands, None)?;
        if self.settings.confirm {
            let confirmations = SubscribeOptions {
                qos: QoS::AtLeastOnce,
                ..SubscribeOptions::default()
            };
            session.subscribe(
                self.topic(Topic::ClimateAck, &mut name),
                confirmations,
                None,
            )?;
        }
        Ok(())
    }

    /// Takes back a reading that the board kept over the restart, in the order of
    /// their numbers, before the device runs.
    pub fn recall(&mut self, recalled: Recalled) {
        self.known_done = self.known_done.min(recalled.seq.wrapping_sub(1));
        self.recalled = Some(recalled.seq);
        let entry = Entry::recalled(recalled, self.started);
        if self.backlog.push(entry).is_some() {
            self.counters.gave_up(GivenUp::Superseded);
        }
    }

    /// Whether the device was started too often without lasting, so that it
    /// leaves the sensor alone.
    pub fn is_safe(&self) -> bool {
        self.safe
    }

    /// The state of the lamp.
    pub fn lamp(&self) -> Lamp {
        self.saved.lamp
    }

    /// How many readings wait for delivery or confirmation.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Begins a clean stop: the broker is told `offline`, within
    /// [`Device::STOP_MS`]. It is complete when the session has stopped.
    pub fn stop(&mut self, now: Instant) {
        if self.stopping == Stopping::No {
            self.stopping = Stopping::Wanted(now.after(Self::STOP_MS));
        }
    }

    fn topic<'n>(&self, topic: Topic, name: &'n mut [u8; MAX_LEN]) -> &'n str {
        // The length of prefix and id was checked when the settings were made.
        self.settings.topics.write(topic, name).unwrap_or("")
    }

    /// Takes note of something that happened to the session. Every reaction is
    /// given to [`Device::react`] before the next event.
    pub fn event(&mut self, event: &Event<'_>, now: Instant, board: &mut impl Board) -> Reaction {
        let mut reaction = Reaction::default();
        match *event {
            Event::Connected {
                version,
                properties,
                ..
            } => self.connected(version, properties, now, board),
            Event::Disconnected { cause, .. } => {
                reaction.disconnected = Some((cause, now));
                self.lost(cause, board);
            }
            Event::Message(message) => {
                reaction.token = message.token;
                reaction.command = self.message(
                    message.topic.as_str(),
                    message.payload,
                    message.retain,
                    now,
                    board,
                );
            }
            Event::Delivered { id, .. } => {
                self.told(id);
                let confirm = self.settings.confirm;
                if let Some(seq) = self.backlog.delivered(id, confirm, now) {
                    board.notice(Notice::Delivered { seq });
                }
                if let Stopping::Published(offline, until) = self.stopping
                    && offline == id
                {
                    self.stopping = Stopping::Told(until);
                }
            }
            Event::Dropped { id, reason } => self.dropped(id, reason, board),
            Event::Subscribed {
                filter,
                result: Err(reason),
            } => {
                board.notice(Notice::Refused {
                    topic: filter.as_str(),
                    reason,
                });
            }
            Event::Oversized { topic, .. } => {
                board.notice(Notice::Ignored {
                    topic: topic.as_str(),
                    why: "larger than the device can receive",
                });
            }
            Event::Subscribed { .. } | Event::Unsubscribed { .. } => {}
        }
        reaction
    }

    fn connected(
        &mut self,
        version: Version,
        properties: Properties<'_>,
        now: Instant,
        board: &mut impl Board,
    ) {
        self.status.due = true;
        self.lamp.due = true;
        self.sensor_state.due = self.sensor_state().is_some();
        self.diag_due = true;
        self.diag_at = now.after(Self::DIAG_MS);
        self.too_large = false;
        // What waits in the outbox for its turn would grow older than it says.
        self.window = Self::WINDOW;
        for property in properties {
            if let Property::ReceiveMaximum(maximum) = property {
                self.window = usize::from(maximum).clamp(1, Self::WINDOW);
            }
        }
        self.quiet_due |= self.quiet.connected(now);
        board.notice(Notice::Connected(version));
    }

    fn lost(&mut self, cause: Cause, board: &mut impl Board) {
        self.diag_due = false;
        self.counters.lost(cause);
        board.notice(Notice::Lost(cause));
    }

    /// The end of a publication came. Says which state it told, if any.
    fn told(&mut self, id: PublicationId) -> Option<Topic> {
        let states = [
            (&mut self.status, Topic::Status),
            (&mut self.lamp, Topic::Led),
            (&mut self.sensor_state, Topic::Sensor),
        ];
        states
            .into_iter()
            .find_map(|(told, topic)| told.ended(id).then_some(topic))
    }

    fn dropped(&mut self, id: PublicationId, reason: Dropped, board: &mut impl Board) {
        let reading = self.backlog.dropped(id);
        if let Some(seq) = reading {
            let why = match reason {
                Dropped::Expired => GivenUp::Expired,
                Dropped::Refused(_) | Dropped::SessionLost => GivenUp::Full,
            };
            self.give_up(seq, why, board);
        }
        let topic = match self.told(id) {
            Some(topic) => topic,
            None if reading.is_some() => Topic::Climate,
            None => Topic::Status,
        };
        if let Dropped::Refused(reason) = reason {
            let mut name = [0; MAX_LEN];
            let topic = self.topic(topic, &mut name);
            board.notice(Notice::Refused { topic, reason });
        }
    }

    fn give_up(&mut self, seq: u32, why: GivenUp, board: &mut impl Board) {
        self.counters.gave_up(why);
        board.notice(Notice::GivenUp { seq, why });
    }

    /// What a message asks for.
    fn message(
        &mut self,
        topic: &str,
        payload: &[u8],
        retain: bool,
        now: Instant,
        board: &mut impl Board,
    ) -> Option<LampCommand> {
        let ours = self.settings.topics.parse(topic);
        if ours == Some(Topic::ClimateAck) {
            match decode_ack(payload) {
                // Of an earlier life, perhaps: nobody has what was not yet given.
                Some(seq) if seq >= self.saved.seq => board.notice(Notice::Ignored {
                    topic,
                    why: "no reading of this number was sent",
                }),
                Some(seq) => self.backlog.confirmed(seq, now),
                None => board.notice(Notice::Ignored {
                    topic,
                    why: "not a sequence number",
                }),
            }
            return None;
        }
        let seed = self.settings.command_topic == Some(topic);
        if !seed && ours != Some(Topic::LedSet) {
            return None;
        }
        // A command that was kept was meant for another time.
        let command = match LampCommand::decode(payload) {
            _ if retain => Err("a retained command"),
            Some(LampCommand::Toggle) if seed => Err("neither on nor off"),
            Some(command) => Ok(command),
            None if seed => Err("neither on nor off"),
            None => Err("neither on, off nor toggle"),
        };
        match command {
            Ok(command) => {
                board.notice(Notice::Command { topic, command });
                Some(command)
            }
            Err(why) => {
                board.notice(Notice::Ignored { topic, why });
                None
            }
        }
    }

    /// Does what an event asked for, and only then acknowledges it.
    pub fn react(&mut self, reaction: Reaction, session: &mut Session<'_>, board: &mut impl Board) {
        if let Some(command) = reaction.command {
            let lamp = command.apply(self.saved.lamp);
            board.light(lamp);
            if lamp != self.saved.lamp {
                self.saved.lamp = lamp;
                board.save(&self.saved);
            }
            board.notice(Notice::Lamp(lamp));
            self.lamp.due = true;
        }
        if let Some(token) = reaction.token {
            session.acknowledge(token);
        }
        if let Some((cause, now)) = reaction.disconnected {
            let (answered_at, patience_ms) = (session.answered_at(), session.patience_ms());
            self.quiet.lost(cause, answered_at, patience_ms, now);
            // A reading is sent with its age, which only the next connection knows.
            self.backlog.take_back(|id| session.withdraw(id));
            // The next connection is told the states of its time.
            for told in [&mut self.status, &mut self.lamp, &mut self.sensor_state] {
                if told.under_way.is_some_and(|id| session.withdraw(id)) {
                    told.under_way = None;
                }
            }
        }
    }

    /// The measurement that [`Board::measure`] began has brought these pulses.
    pub fn measured(&mut self, pulses: &[Pulse], now: Instant, board: &mut impl Board) {
        if self.measuring_until != Instant::NEVER {
            self.measurement(dht::decode(pulses, self.settings.model), now, board);
        }
    }

    fn measurement(
        &mut self,
        result: Result<Reading, dht::Error>,
        now: Instant,
        board: &mut impl Board,
    ) {
        self.measuring_until = Instant::NEVER;
        if let Ok(reading) = result {
            board.notice(Notice::Reading(reading));
        }
        if let Some(state) = self.sensor.measured(result, now) {
            self.sensor_state.due = true;
            board.notice(Notice::Sensor(state));
        }
    }

    /// Does everything that is due. Says when it is to be called again at the
    /// latest; it is to be called after every event and measurement as well.
    pub fn run(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) -> Instant {
        if self.measuring_until <= now {
            self.measurement(Err(dht::Error::Missing), now, board);
        }
        if self.measure_at <= now {
            self.measure_at = next(self.measure_at, Self::MEASURE_MS, now);
            self.measuring_until = now.after(Self::MEASUREMENT_MS);
            board.measure();
        }
        if self.stable_at <= now {
            self.stable(now, board);
        }
        if self.record_at <= now && self.can_record() {
            self.record_at = next(self.record_at, self.settings.interval_ms, now);
            self.record(session, now, board);
        }
        if self.diag_at <= now {
            self.diag_at = next(self.diag_at, Self::DIAG_MS, now);
            self.diag_due = true;
        }
        self.quiet_due |= self.quiet.run(now);
        if core::mem::take(&mut self.quiet_due) {
            session.ask_within(self.quiet.limit_ms());
            board.notice(Notice::Quiet {
                most_ms: self.quiet.limit_ms(),
            });
        }
        if session.is_connected() {
            self.publish(session, now, board);
        }
        let done = self.done();
        // A start may end before another reading tells it, again and again.
        let settled = self.recalled.is_some_and(|last| last <= done);
        if settled {
            self.recalled = None;
        }
        let untold = done.wrapping_sub(self.known_done);
        if untold >= Self::UNTOLD || settled && untold > 0 {
            board.done(&self.kept(None, now));
            self.known_done = done;
        }
        self.stop_step(session, now);
        self.deadline()
    }

    /// This start has lasted.
    fn stable(&mut self, now: Instant, board: &mut impl Board) {
        if self.safe {
            // If that was wrong, the next start leaves it alone again at once.
            self.safe = false;
            self.measure_at = now;
            self.stable_at = now.after(Self::STABLE_MS);
            return;
        }
        self.stable_at = Instant::NEVER;
        self.saved.unstable = 0;
        board.save(&self.saved);
    }

    /// What the broker is told of the sensor: one that is left alone cannot be
    /// believed, whatever was told before.
    fn sensor_state(&self) -> Option<SensorState> {
        match self.safe {
            true => Some(SensorState::Stale),
            false => self.sensor.state(),
        }
    }

    /// There is a reading, and none newer is about to come.
    fn can_record(&self) -> bool {
        self.sensor.has_fresh() && self.measuring_until == Instant::NEVER
    }

    fn deadline(&self) -> Instant {
        let record_at = if self.can_record() {
            self.record_at
        } else {
            Instant::NEVER
        };
        let stop_at = match self.stopping {
            Stopping::Wanted(until)
            | Stopping::Published(_, until)
            | Stopping::Told(until)
            | Stopping::Closing(until) => until,
            Stopping::No | Stopping::Done => Instant::NEVER,
        };
        self.measure_at
            .min(self.measuring_until)
            .min(record_at)
            .min(self.diag_at)
            .min(self.stable_at)
            .min(stop_at)
    }

    /// Every reading up to this number is done.
    fn done(&self) -> u32 {
        let first = self.backlog.first().unwrap_or(self.saved.seq);
        first.wrapping_sub(1)
    }

    fn kept(&self, reading: Option<Reading>, at: Instant) -> Kept {
        Kept {
            seq: self.saved.seq.wrapping_sub(1),
            boot: self.saved.boot,
            uptime_ms: at.since(self.started),
            reading,
            done: self.done(),
        }
    }

    /// Gives the newest reading its number, to be published now or later.
    fn record(&mut self, session: &mut Session<'_>, now: Instant, board: &mut impl Board) {
        let Some((reading, taken)) = self.sensor.take() else {
            return;
        };
        let seq = self.saved.seq;
        // Kept before it is used: no number is ever given twice.
        let done = self.done();
        self.saved.seq = seq.wrapping_add(1);
        let kept = Kept {
            done,
            ..self.kept(Some(reading), taken)
        };
        board.keep(&kept, &self.saved);
        self.known_done = done;
        if let Some(seq) = self.backlog.push(Entry::new(seq, taken, reading)) {
            self.give_up(seq, GivenUp::Superseded, board);
        }
        if let Some(topic) = self.settings.readout_topic {
            let mut text = [0; 32];
            if let Ok(len) = encode_readout(reading, &mut text) {
                let payload = text.get(..len).unwrap_or(&[]);
                // At QoS 0 it is for now or not at all.
                let _ = session.publish(&Publication::new(topic, payload), now);
            }
        }
    }

    /// Tells the broker what it does not know, as far as there is room.
    fn publish(&mut self, session: &mut Session<'_>, now: Instant, board: &mut impl Board) {
        let mut name = [0; MAX_LEN];
        // Most of the time there is nothing to tell, and no topic to be written.
        if self.stopping == Stopping::No && self.status.waits() {
            let topic = self.topic(Topic::Status, &mut name);
            tell(
                &mut self.status,
                session,
                topic,
                Availability::Online.as_str(),
                now,
                board,
            );
        }
        if self.lamp.waits() {
            let topic = self.topic(Topic::Led, &mut name);
            tell(
                &mut self.lamp,
                session,
                topic,
                self.saved.lamp.as_str(),
                now,
                board,
            );
        }
        if self.sensor_state.waits()
            && let Some(state) = self.sensor_state()
        {
            let topic = self.topic(Topic::Sensor, &mut name);
            tell(
                &mut self.sensor_state,
                session,
                topic,
                state.as_str(),
                now,
                board,
            );
        }
        if self.diag_due {
            self.diag_due = !self.publish_diag(session, now, board);
        }
        // What waits in the outbox would grow older than it says.
        if self.too_large || session.is_overdue() {
            return;
        }
        while let Some(entry) = self.backlog.next(self.window) {
            let age_ms = entry.age_ms(now);
            let climate = Climate {
                seq: entry.seq,
                boot: self.saved.boot,
                taken: entry.boot(),
                age_ms,
                reading: entry.reading,
            };
            let mut text = [0; Climate::MAX_LEN];
            let Ok(len) = climate.encode(&mut text) else {
                return;
            };
            let payload = text.get(..len).unwrap_or(&[]);
            let topic = self.topic(Topic::Climate, &mut name);
            let publication = Publication::new(topic, payload).qos(QoS::AtLeastOnce);
            match session.publish(&publication, now) {
                Ok(published) => self.backlog.published(entry.seq, published.id),
                Err(PublishError::Full) => return,
                Err(_) => {
                    // The broker takes no packet of this size: another may.
                    self.too_large = true;
                    let reason = ReasonCode::PACKET_TOO_LARGE;
                    board.notice(Notice::Refused { topic, reason });
                    return;
                }
            }
            board.notice(Notice::Published {
                seq: entry.seq,
                age_ms,
            });
        }
    }

    fn publish_diag(
        &self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) -> bool {
        let vitals = board.vitals();
        let diag = Diag {
            uptime_s: Some(now.since(self.started) / 1_000),
            boot: Some(self.saved.boot),
            reset: vitals.reset,
            rssi_dbm: vitals.rssi_dbm,
            free: vitals.free,
            free_min: vitals.free_min,
            reconnects: Some(self.counters.reconnects(&vitals)),
            outbox: u32::try_from(self.backlog.len()).ok(),
            dropped: Some(self.counters.dropped()),
            mode: self.safe.then_some(Mode::Safe),
            version: Some(self.settings.version),
        };
        let mut name = [0; MAX_LEN];
        let mut text = [0; Diag::MAX_LEN + 64];
        let Ok(len) = diag.encode(&mut text) else {
            return true;
        };
        let payload = text.get(..len).unwrap_or(&[]);
        let topic = self.topic(Topic::Diag, &mut name);
        let publication = Publication::new(topic, payload);
        !matches!(session.publish(&publication, now), Err(PublishError::Full))
    }

    fn stop_step(&mut self, session: &mut Session<'_>, now: Instant) {
        if let Stopping::Wanted(until) = self.stopping
            && session.is_connected()
        {
            let mut name = [0; MAX_LEN];
            let offline = Availability::Offline.as_str().as_bytes();
            let topic = self.topic(Topic::Status, &mut name);
            let publication = Publication::new(topic, offline)
                .qos(QoS::AtLeastOnce)
                .retained()
                .latest();
            if let Ok(published) = session.publish(&publication, now) {
                self.stopping = Stopping::Published(published.id, until);
            }
        }
        match self.stopping {
            Stopping::Wanted(until) | Stopping::Published(_, until)
                if until <= now || !session.is_connected() =>
            {
                // Without DISCONNECT the broker publishes the will: it says
                // `offline` where the device could not.
                session.stop(now);
                session.failed(Network::Closed, now);
                self.stopping = Stopping::Done;
            }
            Stopping::Told(until) => {
                session.stop(now);
                self.stopping = Stopping::Closing(until);
            }
            Stopping::Closing(_) if session.is_stopped() => self.stopping = Stopping::Done,
            Stopping::Closing(until) if until <= now => {
                session.failed(Network::Closed, now);
                self.stopping = Stopping::Done;
            }
            _ => {}
        }
    }
}

/// Publishes a state, retained, if it is due and none of its kind is under way.
fn tell(
    told: &mut Told,
    session: &mut Session<'_>,
    topic: &str,
    state: &str,
    now: Instant,
    board: &mut impl Board,
) {
    let publication = Publication::new(topic, state.as_bytes())
        .qos(QoS::AtLeastOnce)
        .retained()
        .latest();
    match session.publish(&publication, now) {
        Ok(published) => {
            *told = Told {
                due: false,
                under_way: Some(published.id),
            };
        }
        Err(PublishError::Full) => {}
        Err(_) => {
            told.due = false;
            let reason = ReasonCode::PACKET_TOO_LARGE;
            board.notice(Notice::Refused { topic, reason });
        }
    }
}

/// The next moment of a regular beat; beats that were missed are left out.
fn next(last: Instant, period_ms: u32, now: Instant) -> Instant {
    let next = last.after(period_ms);
    if next > now {
        next
    } else {
        now.after(period_ms)
    }
}
