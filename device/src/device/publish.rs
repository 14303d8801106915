//! What the broker is told.

use aldis_mqtt::wire::{Properties, Property};
use aldis_mqtt::{Instant, Publication, PublicationId, PublishError, QoS, ReasonCode, Session};
use aldis_protocol::topic::MAX_LEN;
use aldis_protocol::{
    Answer, Availability, Climate, Diag, MessageReport, Mode, MorseHeard, Reason, Topic,
    encode_readout,
};

use super::Device;
use super::stop::Stopping;
use crate::backlog::Entry;
use crate::mail::Word;
use crate::{Board, GivenUp, Kept, Notice};

/// How many states and answers may be under way to the broker at the same time.
const REPORTS: usize = 4;
/// As long as the longest of them.
const REPORT_LEN: usize = 512;
/// As long as what was keyed can be: 512 bytes, of which those that need an escape (quotes)
/// take six marks each.
const HEARD_LEN: usize = 640;

/// How far the broker knows a state of the device.
///
/// One publication of each is under way at most. So none of an earlier state
/// can come after a later one's, and a broker that never answers does not fill
/// the outbox.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// It is to be told.
    pub due: bool,
    under_way: Option<PublicationId>,
}

impl Told {
    /// It is under way, or cannot be.
    pub const fn sent(under_way: Option<PublicationId>) -> Self {
        Self {
            due: false,
            under_way,
        }
    }

    /// Whether it is to be told now.
    pub const fn waits(&self) -> bool {
        self.due && self.under_way.is_none()
    }

    /// The end of a publication came. Says whether it was this one's.
    pub fn ended(&mut self, id: PublicationId) -> bool {
        let ended = self.under_way == Some(id);
        if ended {
            self.under_way = None;
        }
        ended
    }

    /// The connection is gone: what is under way may not be true on the next one.
    pub fn take_back(&mut self, withdraw: impl FnOnce(PublicationId) -> bool) {
        if self.under_way.is_some_and(withdraw) {
            self.under_way = None;
        }
    }
}

impl<const BACKLOG: usize> Device<'_, BACKLOG> {
    /// Gives the newest reading its number, to be published now or later.
    pub(super) fn record(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) {
        let Some((reading, taken)) = self.sensor.take() else {
            return;
        };
        let seq = self.saved.seq;
        if self.saved.life == 0 {
            self.saved.life = (session.chance() as u16).max(1);
            // A board may keep the number with the reading, and this not.
            board.save(&self.saved);
        }
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
    pub(super) fn publish(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) {
        let mut name = [0; MAX_LEN];
        self.mark_start(session, now, board);
        // Most of the time there is nothing to tell, and no topic to be written.
        if self.stopping == Stopping::No && self.status.waits() && !self.past.is_due() {
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
        self.publish_heard(session, now);
        // What waits in the outbox would grow older than it says.
        if session.is_overdue() {
            return;
        }
        self.publish_reports(session, now, board);
        if self.too_large {
            return;
        }
        while let Some(entry) = self.backlog.next(self.window) {
            let age_ms = entry.age_ms(now);
            let climate = Climate {
                seq: entry.seq,
                life: self.saved.life,
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
            // What is left of it when it comes says how long the broker let it wait.
            let publication = Publication::new(topic, payload)
                .qos(QoS::AtLeastOnce)
                .expires(Climate::EXPIRY_S);
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

    /// What the device tells itself, to know old commands from new ones.
    fn mark_start(&mut self, session: &mut Session<'_>, now: Instant, board: &mut impl Board) {
        // The second word is for acknowledgements that were all given.
        if !self.past.waits() && !self.mail.held.is_empty() {
            return;
        }
        let Some(word) = self.past.next_word(self.saved.boot, || session.chance()) else {
            return;
        };
        let mut name = [0; MAX_LEN];
        let topic = self.topic(Topic::Start, &mut name);
        let publication = Publication::new(topic, word.as_bytes()).qos(QoS::AtLeastOnce);
        match session.publish(&publication, now) {
            Ok(published) => self.past.sent(Some(published.id)),
            Err(PublishError::Full) => {}
            Err(_) => {
                let reason = ReasonCode::PACKET_TOO_LARGE;
                board.notice(Notice::Refused { topic, reason });
                self.past.sent(None);
            }
        }
    }

    /// What was keyed on the button.
    fn publish_heard(&mut self, session: &mut Session<'_>, now: Instant) {
        while let Some(heard) = self.heard.front() {
            let (text, wpm) = (heard.text(), heard.wpm());
            let mut payload = [0; HEARD_LEN];
            let encoded = MorseHeard { text, wpm }.encode(&mut payload);
            let payload = encoded.ok().and_then(|len| payload.get(..len));
            let mut name = [0; MAX_LEN];
            let topic = self.topic(Topic::MorseHeard, &mut name);
            if let Some(payload) = payload {
                let publication = Publication::new(topic, payload).qos(QoS::AtLeastOnce);
                if session.publish(&publication, now) == Err(PublishError::Full) {
                    return;
                }
            }
            let _ = self.heard.pop_front();
        }
    }

    /// What became of messages and commands.
    fn publish_reports(&mut self, session: &mut Session<'_>, now: Instant, board: &mut impl Board) {
        if self.mail.outgoing.under_way() > 0 {
            // Whoever waits until a message was read gets the reply before that.
            return;
        }
        let tray = &self.mail.tray;
        let mut free = REPORTS
            .saturating_sub(self.mail.letters.under_way())
            .saturating_sub(tray.notes.under_way())
            .saturating_sub(tray.replies.under_way());
        while free > 0 {
            free = free.saturating_sub(1);
            let sent = self.publish_reply(session, now, board)
                || self.publish_note(session, now, board)
                || self.publish_state(session, now, board);
            if !sent {
                return;
            }
        }
    }

    fn publish_state(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) -> bool {
        let Some(untold) = self.mail.letters.untold(now) else {
            return false;
        };
        let report = MessageReport {
            id: Some(untold.id),
            state: untold.state,
            age_ms: untold.age_ms,
            reason: None,
        };
        let mut payload = [0; REPORT_LEN];
        let len = report.encode(&mut payload);
        let (place, level) = (untold.place, untold.level());
        let payload = len.ok().and_then(|len| payload.get(..len));
        match self.report(Topic::MessageState, payload, session, now, board) {
            Some(Some(id)) => self.mail.letters.published(place, level, id),
            // The broker takes none of these: another may.
            Some(None) => {
                self.mail.letters.untellable(place, level);
                self.keep_mark(place, now, board);
            }
            None => return false,
        }
        true
    }

    fn publish_note(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) -> bool {
        let Some(note) = self.mail.tray.notes.next() else {
            return false;
        };
        let mut payload = [0; REPORT_LEN];
        let (topic, len) = match note.word {
            Word::State(state, reason) => {
                let report = MessageReport {
                    id: Some(&note.id),
                    state,
                    age_ms: now.since(note.at),
                    reason: reason.map(Reason::as_str),
                };
                (Topic::MessageState, report.encode(&mut payload))
            }
            Word::Answer(outcome) => {
                let id = Some(&*note.id);
                (Topic::Answer, Answer { id, outcome }.encode(&mut payload))
            }
        };
        let payload = len.ok().and_then(|len| payload.get(..len));
        let Some(id) = self.report(topic, payload, session, now, board) else {
            return false;
        };
        self.mail.tray.notes.sent(id);
        true
    }

    fn publish_reply(
        &mut self,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) -> bool {
        let Some(reply) = self.mail.tray.replies.next() else {
            return false;
        };
        let mut payload = [0; REPORT_LEN];
        let answer = Answer {
            id: reply.id.as_deref(),
            outcome: reply.outcome,
        };
        let len = answer.encode(&mut payload).unwrap_or(0);
        let payload = payload.get(..len).unwrap_or(&[]);
        let correlation = reply.correlation.as_deref().map(Property::CorrelationData);
        let publication = Publication {
            properties: Properties::new(correlation.as_slice()),
            ..Publication::new(&reply.topic, payload).qos(QoS::AtLeastOnce)
        };
        let id = match session.publish(&publication, now) {
            Ok(published) => Some(published.id),
            Err(PublishError::Full) => return false,
            Err(_) => {
                let (topic, reason) = (&reply.topic, ReasonCode::TOPIC_NAME_INVALID);
                board.notice(Notice::Refused { topic, reason });
                None
            }
        };
        self.mail.tray.replies.sent(id);
        true
    }

    /// Publishes what is to be told. Gives the publication, or that it cannot be one;
    /// nothing, if there is no room now.
    fn report(
        &self,
        topic: Topic,
        payload: Option<&[u8]>,
        session: &mut Session<'_>,
        now: Instant,
        board: &mut impl Board,
    ) -> Option<Option<PublicationId>> {
        let Some(payload) = payload else {
            return Some(None);
        };
        let mut name = [0; MAX_LEN];
        let topic = self.topic(topic, &mut name);
        let publication = Publication::new(topic, payload);
        match session.publish(&publication.qos(QoS::AtLeastOnce), now) {
            Ok(published) => Some(Some(published.id)),
            Err(PublishError::Full) => None,
            Err(_) => {
                let reason = ReasonCode::PACKET_TOO_LARGE;
                board.notice(Notice::Refused { topic, reason });
                Some(None)
            }
        }
    }

    pub(super) fn publish_diag(
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
            *told = Told::sent(Some(published.id));
        }
        Err(PublishError::Full) => {}
        Err(_) => {
            told.due = false;
            let reason = ReasonCode::PACKET_TOO_LARGE;
            board.notice(Notice::Refused { topic, reason });
        }
    }
}
