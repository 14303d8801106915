//! The application of a device.

mod look;
mod obey;
mod past;
mod person;
mod publish;
mod stop;

use aldis_mqtt::wire::{Properties, Property};
use aldis_mqtt::{
    Cause, Dropped, Event, Instant, PublicationId, QoS, RetainHandling, Session, SubscribeError,
    SubscribeOptions, Version,
};
use aldis_protocol::topic::MAX_LEN;
use aldis_protocol::{Lamp, Reading, Reason, SensorState, Topic};
use heapless::Deque;

use crate::backlog::{Backlog, Entry};
use crate::button::Button;
use crate::counters::Counters;
use crate::dht::{self, Pulse};
use crate::lights::Lights;
use crate::mail::{Entry as Noted, Mail, Print, Word as Said};
use crate::morse::{Heard, Receiver};
use crate::quiet::Quiet;
use crate::sensor::Sensor;
use crate::ui::{Ui, Word};
use crate::{
    Board, GivenUp, Kept, Letter, Mark, Note, Notice, Outgoing, Recalled, Saved, Settings,
};

pub use look::Facts;
pub use obey::Reaction;
use obey::{Playing, Promise};
use past::Past;
use publish::Told;
use stop::{Restart, Stopping};

/// A device: it measures, publishes and obeys. It keeps the newest `BACKLOG`
/// readings that are not yet delivered.
#[derive(Debug)]
pub struct Device<'a, const BACKLOG: usize = 512> {
    settings: Settings<'a>,
    saved: Saved,
    sensor: Sensor,
    backlog: &'a mut Backlog<BACKLOG>,
    mail: &'a mut Mail,
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
    past: Past,
    /// How many readings may be under way on this connection.
    window: usize,
    /// The broker takes no packets as large as a reading.
    too_large: bool,
    stopping: Stopping,
    restart: Option<Restart>,

    lights: Lights,
    /// When the lamp shows something else by itself.
    lights_at: Instant,
    /// For whom the lamp plays.
    playing: Option<Playing>,
    button: Button,
    receiver: Receiver,
    /// The key is held by somebody who reads with it.
    reading: bool,
    /// What was keyed and not yet published.
    heard: Deque<Heard, 4>,
    last_heard: Option<Heard>,
    ui: Ui,
    /// What is to be seen has changed.
    seen: bool,
    /// How many ids were given in this start.
    named: u32,
    /// The last measurement that succeeded, and when the broker had something last.
    reading_now: Option<Reading>,
    delivered_at: Option<Instant>,
    connected: bool,
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
        mail: &'a mut Mail,
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
            mail,
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
            past: Past::new(),
            window: Self::WINDOW,
            too_large: false,
            stopping: Stopping::No,
            restart: None,
            lights: Lights::new(saved.lamp),
            lights_at: now,
            playing: None,
            button: Button::new(),
            receiver: Receiver::new(),
            reading: false,
            heard: Deque::new(),
            last_heard: None,
            ui: Ui::new(now),
            seen: true,
            named: 0,
            reading_now: None,
            delivered_at: None,
            connected: false,
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
        for topic in [
            Topic::LedSet,
            Topic::MessageSet,
            Topic::MorseSet,
            Topic::Restart,
        ] {
            session.subscribe(self.topic(topic, &mut name), commands, None)?;
        }
        let once = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            ..commands
        };
        session.subscribe(self.topic(Topic::Start, &mut name), once, None)?;
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

    /// Takes back a message that the board kept over the restart
    /// ([`Board::keep_letter`]), with what it kept of its state ([`Board::mark_letter`]).
    pub fn recall_letter(&mut self, letter: Letter, mark: Option<Mark>) {
        self.mail.letters.recall(letter, mark, self.started);
    }

    /// Takes back a note that the board kept over the restart ([`Board::keep_note`]),
    /// after the messages. How old it was then is not known.
    pub fn recall_note(&mut self, note: Note) {
        // Power went before the newer one was kept: that message is still here.
        let is_here = |number| self.mail.letters.has(number);
        let untrue = note.letter.is_some_and(is_here);
        let entry = Noted {
            id: note.id,
            word: Said::State(note.state, note.reason),
            at: self.started,
            first: false,
        };
        self.mail.tray.notes.recall(entry, note.number, untrue);
    }

    /// Takes back a message of the person that the board kept over the restart
    /// ([`Board::keep_outgoing`]). It is sent again, under the same id.
    pub fn recall_outgoing(&mut self, outgoing: Outgoing) {
        let number = outgoing.number;
        self.mail.outgoing.recall(outgoing, number, false);
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

    fn topic<'n>(&self, topic: Topic, name: &'n mut [u8; MAX_LEN]) -> &'n str {
        // The length of prefix and id was checked when the settings were made.
        self.settings.topics.write(topic, name).unwrap_or("")
    }

    /// Takes note of something that happened to the session. Every reaction is
    /// given to [`Device::react`] before the next event.
    // Not inlined: the frame of the loop that calls it would be so large that it costs code.
    #[inline(never)]
    pub fn event(&mut self, event: &Event<'_>, now: Instant, board: &mut impl Board) -> Reaction {
        let mut reaction = Reaction::at(now);
        match *event {
            Event::Connected {
                version,
                properties,
                session_present,
            } => {
                if !session_present {
                    self.mail.held.forget();
                }
                self.past.connected(session_present, now);
                self.connected(version, properties, now, board);
            }
            Event::Disconnected { cause, .. } => {
                reaction.disconnected = Some(cause);
                self.past.lost(now);
                self.lost(cause, board);
            }
            Event::Message(message) if self.mail.held.renews(&message) => {
                self.past.not_quiet(now);
            }
            Event::Message(message) => {
                self.past.not_quiet(now);
                reaction.token = message.token.map(|token| (token, Print::of(&message)));
                self.message(&message, &mut reaction, now, board);
                self.seen = true;
            }
            Event::Delivered { id, .. } => {
                self.delivered_at = Some(now);
                self.told(id, true, now, board);
                if self.mail.outgoing.ended(id) {
                    self.ui.tell_later(Word::Sent, now);
                    self.seen = true;
                }
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
            Event::Dropped { id, reason } => self.dropped(id, reason, now, board),
            Event::Subscribed {
                filter,
                result: Err(reason),
            } => {
                if self.settings.topics.parse(filter.as_str()) == Some(Topic::Start) {
                    self.past.forbidden();
                }
                board.notice(Notice::Refused {
                    topic: filter.as_str(),
                    reason,
                });
            }
            Event::Oversized { topic, .. } => {
                let reason = Reason::TooLarge;
                let (topic, why) = (topic.as_str(), reason.as_str());
                board.notice(Notice::Ignored { topic, why });
                self.counters.too_large();
                if self.settings.topics.parse(topic) == Some(Topic::MessageSet) {
                    let refused = obey::refused(self.own_id(), reason);
                    self.note(refused, Promise::None, now, board);
                }
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
        self.connected = true;
        self.ui.connected(&self.mail.letters, now);
        self.seen = true;
        board.notice(Notice::Connected(version));
    }

    fn lost(&mut self, cause: Cause, board: &mut impl Board) {
        self.diag_due = false;
        self.seen |= self.connected;
        self.connected = false;
        self.counters.lost(cause);
        board.notice(Notice::Lost(cause));
    }

    /// The end of a publication came; `taken`: the broker has it. Says on which topic it was,
    /// unless that of the readings.
    fn told(
        &mut self,
        id: PublicationId,
        taken: bool,
        now: Instant,
        board: &mut impl Board,
    ) -> Option<Topic> {
        let states = [
            (&mut self.status, Topic::Status),
            (&mut self.lamp, Topic::Led),
            (&mut self.sensor_state, Topic::Sensor),
        ];
        let state = states
            .into_iter()
            .find_map(|(told, topic)| told.ended(id).then_some(topic));
        if state.is_some() {
            return state;
        }
        if self.past.ended(id, taken, now) {
            return Some(Topic::Start);
        }
        if let Some(told) = self.mail.letters.told(id) {
            if let Some(place) = told
                && let Some(entry) = self.mail.letters.get(place)
            {
                board.mark_letter(&entry.mark(now));
            }
            return Some(Topic::MessageState);
        }
        let tray = &mut self.mail.tray;
        (tray.notes.ended(id) || tray.replies.ended(id)).then_some(Topic::Answer)
    }

    fn dropped(
        &mut self,
        id: PublicationId,
        reason: Dropped,
        now: Instant,
        board: &mut impl Board,
    ) {
        let reading = self.backlog.dropped(id);
        if let Some(seq) = reading {
            let why = match reason {
                Dropped::Expired => GivenUp::Expired,
                Dropped::Refused(_) | Dropped::SessionLost => GivenUp::Full,
            };
            self.give_up(seq, why, board);
        }
        let offline = matches!(self.stopping, Stopping::Published(offline, _) if offline == id);
        if offline {
            // The broker lets nobody be told, and has read what came before it.
            self.stopping = Stopping::Told(now.after(Self::STOP_MS));
        }
        let topic = match self.told(id, false, now, board) {
            Some(topic) => topic,
            None if reading.is_some() => Topic::Climate,
            None if offline => Topic::Status,
            None => Topic::MorseHeard,
        };
        let peer = self.mail.outgoing.going(id).map(|going| going.to.clone());
        // Perhaps the broker passed it on: who gets it twice knows its id.
        let again = matches!(reason, Dropped::SessionLost) && self.mail.outgoing.again(id);
        if !again && self.mail.outgoing.ended(id) {
            self.ui.tell_later(Word::Refused, now);
            self.seen = true;
        }
        if let Dropped::Refused(reason) = reason {
            let mut name = [0; MAX_LEN];
            let topic = match peer {
                Some(peer) => self.inbox(&peer, &mut name).unwrap_or_default(),
                None => self.topic(topic, &mut name),
            };
            board.notice(Notice::Refused { topic, reason });
        }
    }

    fn give_up(&mut self, seq: u32, why: GivenUp, board: &mut impl Board) {
        self.counters.gave_up(why);
        board.notice(Notice::GivenUp { seq, why });
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
            self.seen |= self.reading_now != Some(reading);
            self.reading_now = Some(reading);
            board.notice(Notice::Reading(reading));
        }
        if let Some(state) = self.sensor.measured(result, now) {
            self.sensor_state.due = true;
            self.seen = true;
            board.notice(Notice::Sensor(state));
        }
    }

    /// Does everything that is due. Says when it is to be called again at the
    /// latest; it is to be called after every event and measurement as well.
    // Not inlined: the frame of the loop that calls it would be so large that it costs code.
    #[inline(never)]
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
        if !self.mail.tray.is_calm() || !self.mail.held.is_empty() {
            // The broker may wait for that with more.
            self.past.not_quiet(now);
        }
        self.past.run(now);
        self.quiet_due |= self.quiet.run(now);
        if core::mem::take(&mut self.quiet_due) {
            session.ask_within(self.quiet.limit_ms());
            board.notice(Notice::Quiet {
                most_ms: self.quiet.limit_ms(),
            });
        }
        self.person(now, board);
        self.expire(now, board);
        self.shine(now, board);
        self.send_outgoing(session, now, board);
        if session.is_connected() {
            self.publish(session, now, board);
        }
        self.sweep(session, board);
        let done = self.done();
        // A start may end before another reading tells it, again and again.
        let settled = self.recalled.is_some_and(|last| last <= done)
            || matches!(self.stopping, Stopping::Leaving(_));
        if settled {
            self.recalled = None;
        }
        let untold = done.wrapping_sub(self.known_done);
        if untold >= Self::UNTOLD || settled && untold > 0 {
            board.done(&self.kept(None, now));
            self.known_done = done;
        }
        self.stop_step(session, now, board);
        self.deadline()
    }

    /// Puts away what was told, and acknowledges what waited for that.
    fn sweep(&mut self, session: &mut Session<'_>, board: &mut impl Board) {
        let mail = &mut *self.mail;
        mail.tray.notes.sweep(|number| board.forget_note(number));
        mail.tray.replies.sweep(|_| {});
        mail.outgoing.sweep(|number| board.forget_outgoing(number));
        if mail.tray.is_calm() {
            while let Some(token) = mail.held.pop() {
                session.acknowledge(token);
            }
        } else if session.is_blocked() {
            // What is to be told before more is taken in may wait for an answer that is
            // behind what has no room.
            session.leave();
        }
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
            | Stopping::Closing(until)
            | Stopping::Leaving(until) => until,
            Stopping::No | Stopping::Done => Instant::NEVER,
        };
        let restart_at = match self.restart {
            Some(restart) if self.stopping == Stopping::No => restart.until,
            _ => Instant::NEVER,
        };
        self.measure_at
            .min(self.measuring_until)
            .min(record_at)
            .min(self.diag_at)
            .min(self.stable_at)
            .min(self.past.deadline())
            .min(stop_at)
            .min(restart_at)
            .min(self.lights_at)
            .min(self.button.deadline())
            .min(self.receiver.deadline())
            .min(match self.button.is_open() {
                true => Instant::NEVER,
                false => self.ui.deadline(&self.mail.letters),
            })
            .min(self.mail.letters.deadline())
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
