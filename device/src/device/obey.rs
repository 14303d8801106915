//! What a device is told, and what it does about it.

use aldis_mqtt::wire::{Properties, Property};
use aldis_mqtt::{Cause, Instant, Message, Session, Token};
use aldis_protocol::{
    LampCommand, MessageState, MorseSet, Reason, Scratch, Topic, decode_ack, decode_command,
};

use super::Device;
use crate::lights::Call;
use crate::mail::{Asker, Entry, Id, Letter, Note, Outcome, Print, Word};
use crate::morse::Sender;
use crate::recent::Recent;
use crate::{Board, GivenUp, Notice};

/// Why a command is not obeyed that the broker had kept.
pub(super) const OLD: &str = "perhaps given before the device was started";
/// Why a command is not obeyed that the broker keeps for whoever comes.
pub(super) const RETAINED: &str = "a retained command";
/// Why a text that is played ends before its end.
const INTERRUPTED: &str = "interrupted";
/// Why who asks for it as well is not answered at its end.
const PLAYING: &str = "it is playing for somebody else";

/// What an event asks the device to do, in [`Device::react`].
#[derive(Clone, Debug, Default)]
#[must_use = "a message is acknowledged only when it was reacted to"]
pub struct Reaction {
    command: Option<(LampCommand, Asker)>,
    pub(super) token: Option<(Token, Print)>,
    pub(super) disconnected: Option<Cause>,
    now: Option<Instant>,
}

/// What the sender of a message was told without words, before its state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// It was acknowledged.
    Given,
    /// It waits to be.
    Waits,
    /// At QoS 0 and for what is passed over it never is, or already.
    None,
}

/// What became of a message that cannot be shown.
pub(super) fn refused(id: Id, reason: Reason) -> Note {
    Note {
        number: 0,
        id,
        state: MessageState::Refused,
        reason: Some(reason),
        letter: None,
    }
}

/// A text that the lamp plays for somebody.
#[derive(Clone, Debug)]
pub(super) struct Playing {
    hash: Option<u64>,
    asker: Asker,
}

impl Reaction {
    pub(super) fn at(now: Instant) -> Self {
        Self {
            now: Some(now),
            ..Self::default()
        }
    }
}

impl<const BACKLOG: usize> Device<'_, BACKLOG> {
    /// What a message asks for.
    pub(super) fn message(
        &mut self,
        message: &Message<'_>,
        reaction: &mut Reaction,
        now: Instant,
        board: &mut impl Board,
    ) {
        let topic = message.topic.as_str();
        match self.settings.topics.parse(topic) {
            Some(Topic::ClimateAck) => self.confirmation(topic, message.payload, now, board),
            Some(Topic::MessageSet) => self.letter(message, now, board),
            Some(Topic::Start) => self.past.heard(self.saved.boot, message.payload),
            Some(Topic::MorseSet) => self.morse(message, now, board),
            Some(Topic::Restart) => self.restart(message, now, board),
            Some(Topic::LedSet) => {
                reaction.command = self.command(message, false, now, board);
            }
            _ if self.settings.command_topic == Some(topic) => {
                reaction.command = self.command(message, true, now, board);
            }
            _ => {}
        }
    }

    fn confirmation(&mut self, topic: &str, payload: &[u8], now: Instant, board: &mut impl Board) {
        let why = match decode_ack(payload) {
            Some((_, life)) if life != 0 && life != self.saved.life => {
                "a number of another life of the device"
            }
            // Of an earlier life, perhaps: nobody has what was not yet given.
            Some((seq, _)) if seq >= self.saved.seq => "no reading of this number was sent",
            Some((seq, _)) => return self.backlog.confirmed(seq, now),
            None => "not a sequence number",
        };
        board.notice(Notice::Ignored { topic, why });
    }

    /// A command to the lamp; `plain`: on the topic that knows `on` and `off` only.
    fn command(
        &mut self,
        message: &Message<'_>,
        plain: bool,
        now: Instant,
        board: &mut impl Board,
    ) -> Option<(LampCommand, Asker)> {
        let topic = message.topic.as_str();
        let retain = message.retain;
        let mut scratch = Scratch::new();
        let (id, decoded) = decode_command(message.payload, &mut scratch);
        // A command that was kept was meant for another time.
        let command = match decoded {
            _ if retain => Err(RETAINED),
            Ok(LampCommand::Toggle) if plain => Err("neither on nor off"),
            // One that was done then is answered so.
            Ok(_)
                if !self.was_done("led", id, message.properties) && self.past.refuses(message) =>
            {
                Err(OLD)
            }
            Ok(command) => Ok(command),
            Err(_) if plain && id.is_none() => Err("neither on nor off"),
            Err(reason) => Err(reason.as_str()),
        };
        let asker = Asker::new(id, message.properties);
        match command {
            Ok(command) => {
                board.notice(Notice::Command { topic, command });
                Some((command, asker))
            }
            Err(why) => {
                board.notice(Notice::Ignored { topic, why });
                if !retain {
                    self.answer(&asker, Err(why), now);
                }
                None
            }
        }
    }

    fn was_done(&self, topic: &str, id: Option<&str>, properties: Properties<'_>) -> bool {
        let id = Asker::new(id, properties).id;
        let hash = id.map(|id| Recent::hash(topic, id.bytes()));
        hash.is_some_and(|hash| self.saved.recent.outcome(hash).is_some())
    }

    /// A message for the person at the device.
    fn letter(&mut self, message: &Message<'_>, now: Instant, board: &mut impl Board) {
        let topic = message.topic.as_str();
        if message.retain {
            let why = "a retained message";
            return board.notice(Notice::Ignored { topic, why });
        }
        let promise = match message.token {
            Some(_) => Promise::Waits,
            None => Promise::None,
        };
        if promise == Promise::None && !self.mail.tray.is_calm() {
            // What the broker does not hold finds no room, and takes none from others.
            let why = "too much at once";
            self.counters.gave_up(GivenUp::Full);
            return board.notice(Notice::Ignored { topic, why });
        }
        let mut scratch = Scratch::new();
        let decoded = aldis_protocol::Message::decode(message.payload, &mut scratch);
        let id = match &decoded {
            Ok(message) => message.id,
            Err(refused) => refused.id,
        };
        let mut asker = Asker::new(id, message.properties);
        let given = asker.id.take();
        let known = given.is_some();
        let id = given.unwrap_or_else(|| self.free_id());
        if asker.topic.is_some() {
            asker.id = Some(id.clone());
        }
        // Else its state is the answer.
        let mut letter = match decoded {
            Ok(message) => message,
            Err(aldis_protocol::Refused { reason, .. }) => {
                let why = reason.as_str();
                board.notice(Notice::Ignored { topic, why });
                self.answer(&asker, Err(why), now);
                return self.note(refused(id, reason), promise, now, board);
            }
        };
        // What is left of it when the broker sends it: the time there counts as well.
        for property in message.properties {
            if let Property::MessageExpiryInterval(left) = property {
                letter.expires_s = Some(letter.expires_s.map_or(left, |of| of.min(left)));
            }
        }
        let from = letter.from.unwrap_or_default();
        let before = match known {
            true => self.mail.letters.find(&id, from),
            // Power went before it was acknowledged.
            false if message.dup && self.past.waits() => {
                self.mail.letters.find_text(letter.text, from)
            }
            false => None,
        };
        if let Some(place) = before {
            self.mail.letters.tell_again(place);
            let why = "it came before";
            board.notice(Notice::Ignored { topic, why });
            return self.answer(&asker, Ok(()), now);
        }
        board.notice(Notice::Message {
            id: &id,
            from: letter.from,
            text: letter.text,
        });
        if letter.expires_s == Some(0) {
            let why = "expired";
            self.answer(&asker, Err(why), now);
            let expired = Note {
                number: 0,
                id,
                state: MessageState::Expired,
                reason: None,
                letter: None,
            };
            return self.note(expired, promise, now, board);
        }
        let newest = self.mail.letters.newest_number().unwrap_or(0);
        let letter = Letter::new(newest.saturating_add(1), &id, &letter);
        let (place, gone) = self.mail.letters.accept(letter, now);
        // If power goes in between, the old one is still there.
        if let Some(gone) = gone {
            board.notice(Notice::MessageState {
                id: &gone.id,
                state: gone.state,
            });
            let at = gone.at;
            let gone = Note {
                number: 0,
                id: gone.id,
                state: gone.state,
                reason: None,
                letter: Some(gone.number),
            };
            self.note(gone, Promise::Given, at, board);
        }
        if let Some(entry) = self.mail.letters.get(place) {
            board.keep_letter(&entry.letter);
        }
        self.ui.gone(place, &self.mail.letters, now);
        self.ui.message(&self.mail.letters, now);
        self.answer(&asker, Ok(()), now);
    }

    /// A text for the lamp to play.
    fn morse(&mut self, message: &Message<'_>, now: Instant, board: &mut impl Board) {
        let topic = message.topic.as_str();
        if message.retain {
            let why = RETAINED;
            return board.notice(Notice::Ignored { topic, why });
        }
        let mut scratch = Scratch::new();
        let decoded = MorseSet::decode(message.payload, &mut scratch);
        let id = match &decoded {
            Ok(set) => set.id,
            Err(refused) => refused.id,
        };
        let asker = Asker::new(id, message.properties);
        let hash = asker
            .id
            .as_ref()
            .map(|id| Recent::hash("morse", id.bytes()));
        if let Some(done) = hash.and_then(|hash| self.saved.recent.outcome(hash)) {
            let outcome = if done { Ok(()) } else { Err(INTERRUPTED) };
            return self.answer(&asker, outcome, now);
        }
        if hash.is_some()
            && let Some(playing) = &mut self.playing
            && playing.hash == hash
        {
            // It is told at the end, to one of those who ask.
            if playing.asker.topic == asker.topic {
                playing.asker = asker;
                return;
            }
            return self.answer(&asker, Err(PLAYING), now);
        }
        if self.past.refuses(message) {
            board.notice(Notice::Ignored { topic, why: OLD });
            return self.answer(&asker, Err(OLD), now);
        }
        let set = match decoded {
            Ok(set) => set,
            Err(refused) => {
                let why = refused.reason.as_str();
                board.notice(Notice::Ignored { topic, why });
                return self.answer(&asker, Err(why), now);
            }
        };
        if set.text.is_empty() {
            if self.lights.stop() {
                self.played(Err(INTERRUPTED), now, board);
            }
            if let Some(hash) = hash {
                // A later text is not to be stopped when this comes once more.
                self.saved.recent.remember(hash, true);
                board.save(&self.saved);
            }
            self.answer(&asker, Ok(()), now);
            return self.shine(now, board);
        }
        let wpm = set.wpm.unwrap_or(self.settings.morse_wpm);
        let sender = match Sender::new(set.text, wpm) {
            Ok(sender) => sender,
            Err(refused) => {
                let why = refused.as_str();
                board.notice(Notice::Ignored { topic, why });
                return self.answer(&asker, Err(why), now);
            }
        };
        if self.lights.play(sender, now) {
            self.played(Err(INTERRUPTED), now, board);
        }
        self.playing = Some(Playing { hash, asker });
        self.shine(now, board);
    }

    /// What the lamp played has ended.
    pub(super) fn played(&mut self, outcome: Outcome, now: Instant, board: &mut impl Board) {
        let Some(Playing { hash, asker }) = self.playing.take() else {
            return;
        };
        if let Some(hash) = hash {
            self.saved.recent.remember(hash, outcome.is_ok());
            board.save(&self.saved);
        }
        self.answer(&asker, outcome, now);
    }

    /// Lets the lamp show what it is to show now.
    pub(super) fn shine(&mut self, now: Instant, board: &mut impl Board) {
        let (unread, urgent) = self.mail.letters.unread();
        if unread == 0 && self.lights.shows_only(self.saved.lamp) {
            self.lights_at = Instant::NEVER;
            return;
        }
        let call = match urgent {
            true => Call::Urgent,
            false => Call::Message,
        };
        self.lights.call((unread > 0).then_some(call), now);
        let change = self.lights.run(self.saved.lamp, now);
        if let Some(lamp) = change.light {
            board.light(lamp);
        }
        self.lights_at = change.until.unwrap_or(Instant::NEVER);
        if change.played {
            self.played(Ok(()), now, board);
        }
    }

    /// An id of the device's own: `3-17`, the start and a number.
    pub(super) fn own_id(&mut self) -> Id {
        use core::fmt::Write as _;
        self.named = self.named.wrapping_add(1);
        let mut id = Id::new();
        // It has room for more.
        let _ = write!(id, "{}-{}", self.saved.boot, self.named);
        id
    }

    /// An id of the device's own that no message has.
    fn free_id(&mut self) -> Id {
        let mut id = self.own_id();
        // One that is kept may be of a start that nobody remembers.
        while self.mail.letters.has_id(&id) {
            id = self.own_id();
        }
        id
    }

    /// Answers who asked, if anybody did.
    pub(super) fn answer(&mut self, asker: &Asker, outcome: Outcome, now: Instant) {
        if !self.mail.tray.answer(asker, outcome, now) {
            self.counters.gave_up(GivenUp::Full);
        }
    }

    /// Tells what became of a message that is not kept, or not any more.
    ///
    /// Until that is told the board keeps it, or the message is not acknowledged.
    pub(super) fn note(
        &mut self,
        mut note: Note,
        promise: Promise,
        at: Instant,
        board: &mut impl Board,
    ) {
        let tray = &mut self.mail.tray;
        let number = match promise == Promise::Given || tray.may_keep(at) {
            true => tray.notes.next_number(),
            false => None,
        };
        note.number = number.unwrap_or_default();
        let kept = number.filter(|_| board.keep_note(&note));
        let entry = Entry {
            id: note.id,
            word: Word::State(note.state, note.reason),
            at,
            first: kept.is_none() && promise != Promise::None,
        };
        if !tray.notes.push(entry, kept) {
            self.counters.gave_up(GivenUp::Full);
        }
    }

    /// Does what an event asked for, and only then acknowledges it.
    pub fn react(&mut self, reaction: Reaction, session: &mut Session<'_>, board: &mut impl Board) {
        let now = reaction.now.unwrap_or(self.started);
        if let Some((command, asker)) = reaction.command {
            self.obey(command, &asker, now, board);
        }
        if let Some((token, print)) = reaction.token {
            // Nothing more comes while too much waits to be told.
            let held = !self.mail.tray.is_calm() && self.mail.held.push(token, print);
            if !held {
                session.acknowledge(token);
            }
        }
        if let Some(cause) = reaction.disconnected {
            let (answered_at, patience_ms) = (session.answered_at(), session.patience_ms());
            self.quiet.lost(cause, answered_at, patience_ms, now);
            self.mail.held.lost();
            // A reading is sent with its age, which only the next connection knows.
            self.backlog.take_back(|id| session.withdraw(id));
            self.mail.letters.take_back(|id| session.withdraw(id));
            self.mail.tray.notes.take_back(|id| session.withdraw(id));
            self.mail.tray.replies.take_back(|id| session.withdraw(id));
            // The next connection is told the states of its time.
            for told in [&mut self.status, &mut self.lamp, &mut self.sensor_state] {
                told.take_back(|id| session.withdraw(id));
            }
        }
    }

    fn obey(&mut self, command: LampCommand, asker: &Asker, now: Instant, board: &mut impl Board) {
        let hash = asker.id.as_ref().map(|id| Recent::hash("led", id.bytes()));
        if hash.is_some_and(|hash| self.saved.recent.outcome(hash).is_some()) {
            // It was done, and is not done again.
            return self.answer(asker, Ok(()), now);
        }
        let lamp = command.apply(self.saved.lamp);
        if self.lights.set(lamp) {
            board.light(lamp);
        }
        if let Some(hash) = hash {
            self.saved.recent.remember(hash, true);
        }
        if lamp != self.saved.lamp || hash.is_some() {
            self.saved.lamp = lamp;
            board.save(&self.saved);
        }
        board.notice(Notice::Lamp(lamp));
        self.lamp.due = true;
        self.shine(now, board);
        self.answer(asker, Ok(()), now);
    }

    /// What is of no interest any more.
    pub(super) fn expire(&mut self, now: Instant, board: &mut impl Board) {
        while let Some(place) = self.mail.letters.expire(now) {
            self.ended(place, now, board);
            self.ui.gone(place, &self.mail.letters, now);
        }
    }

    /// A message was read, or is of no interest any more.
    pub(super) fn ended(&mut self, place: usize, now: Instant, board: &mut impl Board) {
        self.keep_mark(place, now, board);
        if let Some(entry) = self.mail.letters.get(place) {
            let mark = entry.mark(now);
            board.notice(Notice::MessageState {
                id: &entry.letter.id,
                state: mark.state,
            });
        }
    }

    /// The board keeps what became of a message.
    pub(super) fn keep_mark(&self, place: usize, now: Instant, board: &mut impl Board) {
        if let Some(entry) = self.mail.letters.get(place) {
            board.mark_letter(&entry.mark(now));
        }
    }
}
