//! Messages: what came of those that the broker holds, what is kept, and what is told of it.

use std::collections::{BTreeMap, VecDeque};

use aldis_device::{Letter, Mail, Mark, Note, Outgoing as Sent};
use aldis_protocol::MessageState;

use super::Witness;
use crate::invariant::Invariant;
use crate::log::{What, short};

/// How long something of a message may be on its way in calm, in milliseconds.
const ON_ITS_WAY_MS: u64 = 60_000;

/// How many ids of messages to other devices are remembered, and how many reports.
const REMEMBERED: usize = 64;

/// What a sender calls a message, and who it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    id: String,
    from: String,
}

/// A message that the broker holds for the device.
#[derive(Clone, Debug)]
struct Due {
    id: Option<String>,
    text: String,
    at: u64,
    forgiven: bool,
    came: bool,
}

/// Something with the device that is not acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Coming {
    pub packet: u16,
    pub at: u64,
    pub what: Arrived,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Arrived {
    Message {
        /// What the device calls it, as soon as that is known, and whether it took it in.
        name: Option<(String, String)>,
        taken: bool,
        /// The flash was asked to keep it, or it was of no interest any more.
        kept: bool,
        expired: bool,
        refused: bool,
        /// Whose it is and what it says, where it has no name.
        text: Option<(String, String)>,
    },
    /// A command with this id.
    Command(String),
}

/// A message that the device knows or knew, until what became of it is told.
#[derive(Clone, Debug)]
struct Record {
    name: Name,
    text: String,
    /// When it was acknowledged, the last time that it came.
    asked_at: Option<u64>,
    ended: Option<MessageState>,
    changed_at: u64,
    told: Option<(MessageState, u64)>,
    /// The broker took no report of it.
    untellable: bool,
    noted: Noted,
    /// What became of others of this name before it, which may still be told.
    earlier: Vec<MessageState>,
}

/// Whether the flash has what became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    No,
    Kept,
    /// Power went while it was written.
    Perhaps,
}

impl Noted {
    const fn new(done: bool, power: bool) -> Self {
        match (done, power) {
            (_, false) => Self::Perhaps,
            (true, true) => Self::Kept,
            (false, true) => Self::No,
        }
    }
}

/// A place in the flash: what is in it, and what may be, where power went while it was written.
#[derive(Clone, Debug, Default)]
struct Place {
    letter: Option<Letter>,
    maybe_letter: Option<Letter>,
    mark: Option<Mark>,
    maybe_mark: Option<Mark>,
    /// The flash refused something: what is in it is what it was, or not.
    doubtful: bool,
}

impl Place {
    fn may_have(&self, letter: Option<&Letter>) -> bool {
        letter == self.letter.as_ref()
            || self.maybe_letter.is_some() && letter == self.maybe_letter.as_ref()
            || self.doubtful && letter.is_some()
    }
}

/// A message that was refused and that nobody can name.
#[derive(Clone, Debug)]
struct Nameless {
    at: u64,
    /// The packet that it came in, until that is acknowledged.
    packet: Option<u16>,
    /// What the device calls it, as soon as that is known.
    id: Option<String>,
    noted: Noted,
}

/// A message to another device that a person chose, until the flash is to forget it.
#[derive(Clone, Debug)]
struct Outgoing {
    number: u32,
    id: String,
    to: String,
    at: u64,
    kept: Noted,
    /// Since when the broker has it.
    came_at: Option<u64>,
}

/// What a message says, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'m> {
    pub id: Option<&'m str>,
    pub from: Option<&'m str>,
    pub text: &'m str,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Messages {
    due: Vec<Due>,
    pub(super) coming: Vec<Coming>,
    records: Vec<Record>,
    /// What the device has, by its number.
    held: BTreeMap<u32, Name>,
    flash: Vec<Place>,
    recalled: Vec<(usize, Letter, Option<Mark>)>,
    /// Since when a report of each message is owed that nobody could name.
    nameless: VecDeque<Nameless>,
    /// The last states that were told, of late.
    told: VecDeque<(String, MessageState)>,
    outgoing: Vec<Outgoing>,
    /// The ids of messages that came to the broker, and whether the device knows that for good.
    sent: VecDeque<(String, bool)>,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            due: Vec::new(),
            coming: Vec::new(),
            records: Vec::new(),
            held: BTreeMap::new(),
            flash: vec![Place::default(); Mail::PLACES],
            recalled: Vec::new(),
            nameless: VecDeque::new(),
            told: VecDeque::new(),
            outgoing: Vec::new(),
            sent: VecDeque::new(),
        }
    }
}

impl Messages {
    fn record(&mut self, name: &Name) -> Option<&mut Record> {
        self.records.iter_mut().find(|record| record.name == *name)
    }

    fn holds(&self, name: &Name) -> bool {
        self.held.values().any(|held| held == name)
    }

    /// Of what is told nothing is to be known any more, unless it is still here.
    fn tidy(&mut self) {
        let (held, coming) = (&self.held, &self.coming);
        self.records.retain(|record| {
            !record.is_done()
                || held.values().any(|held| *held == record.name)
                || coming.iter().any(|coming| coming.is(&record.name))
        });
    }

    /// Something new is known of a message; what was known before of another one of its name is
    /// of no interest any more.
    fn begin(&mut self, name: Name, text: &str, ended: Option<MessageState>, now: u64) {
        let mut earlier = Vec::new();
        if let Some(at) = self.records.iter().position(|of| of.name == name) {
            let before = self.records.remove(at);
            earlier = before.earlier;
            earlier.extend(before.ended);
        }
        self.records.push(Record {
            name,
            text: text.to_owned(),
            asked_at: None,
            ended,
            changed_at: now,
            told: None,
            untellable: false,
            noted: Noted::No,
            earlier,
        });
    }

    /// The message that came last, while the device looks at it.
    fn current(&mut self) -> Option<&mut Arrived> {
        let coming = self.coming.last_mut()?;
        matches!(coming.what, Arrived::Message { .. }).then_some(&mut coming.what)
    }
}

impl Witness {
    /// The broker holds a message for the device that has no time to expire in.
    pub fn message_due(&mut self, id: Option<&str>, text: &str) {
        let at = self.now;
        self.messages.due.push(Due {
            id: id.map(str::to_owned),
            text: text.to_owned(),
            at,
            forgiven: false,
            came: false,
        });
    }

    /// What the broker held may be lost, and what the device had sent may come again.
    pub(super) fn forgive_messages(&mut self) {
        for due in &mut self.messages.due {
            due.forgiven = true;
        }
        self.doubt_messages();
    }

    /// What the device had sent may come again, unless it knows that it came.
    pub(super) fn doubt_messages(&mut self) {
        self.messages.sent.retain(|(_, finished)| *finished);
    }

    /// The chip starts: what it had in its memory is gone.
    pub(super) fn messages_start(&mut self) {
        let messages = &mut self.messages;
        messages.coming.clear();
        messages.nameless.retain(|of| of.noted == Noted::Kept);
        for refused in &mut messages.nameless {
            refused.packet = None;
        }
        messages.outgoing.retain(|of| of.kept == Noted::Kept);
        messages.recalled.clear();
    }

    /// The flash has this message, in this place.
    pub fn letter_recalled(&mut self, place: usize, letter: &Letter, mark: Option<Mark>) {
        self.messages.recalled.push((place, letter.clone(), mark));
    }

    /// The device has what the flash had: is that all that was there?
    pub(super) fn letters_recalled(&mut self) {
        let recalled = std::mem::take(&mut self.messages.recalled);
        let mut wrong = None;
        let mut held = Vec::new();
        let now = self.now;
        for (place, at) in self.messages.flash.iter_mut().enumerate() {
            let found = recalled.iter().find(|(of, ..)| *of == place);
            let letter = found.map(|(_, letter, _)| letter);
            if !at.may_have(letter) {
                let words = |letter: Option<&Letter>| match letter {
                    Some(letter) => format!("message {} ({})", letter.id, letter.number),
                    None => "nothing".to_owned(),
                };
                wrong = Some(format!(
                    "{} was kept in place {place}, and {} is there",
                    words(at.letter.as_ref()),
                    words(letter)
                ));
            }
            let mark = found.and_then(|(_, _, mark)| *mark);
            let mark = mark.filter(|mark| letter.is_some_and(|of| of.number == mark.number));
            let of = |mark: &Option<Mark>| {
                mark.filter(|mark| letter.is_some_and(|of| of.number == mark.number))
                    .map(|mark| mark.state)
            };
            let state = mark.map(|mark| mark.state);
            let may_be =
                state == of(&at.mark) || at.maybe_mark.is_some() && state == of(&at.maybe_mark);
            if let Some(letter) = letter
                && !may_be
                && !at.doubtful
            {
                wrong = Some(format!(
                    "message {} was kept as {:?}, and is there as {state:?}",
                    letter.id,
                    of(&at.mark)
                ));
            }
            let doubtful = at.doubtful;
            *at = Place {
                letter: letter.cloned(),
                mark,
                doubtful,
                ..Place::default()
            };
            held.extend(letter.map(|letter| {
                (
                    letter.number,
                    Name::of(letter),
                    letter.text.to_string(),
                    state,
                )
            }));
        }
        let messages = &mut self.messages;
        messages.records.retain(|record| {
            let is_owed = record.noted == Noted::Kept && !record.untellable;
            is_owed || held.iter().any(|(_, name, ..)| *name == record.name)
        });
        for (_, name, text, state) in &held {
            if messages.record(name).is_none() {
                messages.begin(name.clone(), text, None, now);
            }
            if let Some(record) = messages.record(name) {
                record.ended = state.filter(|state| state.is_final());
                record.noted = Noted::No;
                record.changed_at = now;
                if record.told.is_some() {
                    // The question is forgotten, what was told is not.
                    record.asked_at = None;
                }
            }
        }
        let names = held.into_iter().map(|(number, name, ..)| (number, name));
        messages.held = names.collect();
        if let Some(detail) = wrong {
            self.violate(Invariant::MessagesKept, detail);
        }
    }

    /// A message is with the device: what it says, as far as it can be read, and whether it is
    /// of no interest any more.
    pub fn message_comes(
        &mut self,
        packet: u16,
        said: Result<Said<'_>, Option<&str>>,
        expired: bool,
    ) {
        let due = &mut self.messages.due;
        if let Ok(Said { id, text, .. }) = said {
            // Which of two alike it is cannot be seen: one that may be lost is missed last.
            let alike = |due: &&mut Due| due.id.as_deref() == id && due.text == text;
            let surest = due.iter_mut().filter(alike).min_by_key(|due| due.forgiven);
            if let Some(due) = surest {
                due.came = true;
            }
        }
        due.retain(|due| !due.came);
        let refused = said.is_err();
        let text = match &said {
            Ok(Said {
                id: None,
                from,
                text,
                ..
            }) => Some((from.unwrap_or_default().to_owned(), (*text).to_owned())),
            _ => None,
        };
        let (id, from) = match said {
            Ok(said) => (said.id, said.from.unwrap_or_default()),
            Err(id) => (id, ""),
        };
        if let Some(id) = id {
            self.say(What::Letter("comes", short(id)));
        }
        let at = self.now;
        let messages = &mut self.messages;
        // Of one that waits to be acknowledged, and comes again over another connection, the
        // device knows what it did.
        let known = messages
            .coming
            .iter()
            .any(|coming| coming.packet == packet && coming.is_nameless_refused());
        if !known {
            messages
                .nameless
                .retain(|refused| refused.packet != Some(packet));
        }
        match id {
            None if refused && known => {}
            None if refused => messages.nameless.push_back(Nameless {
                at,
                packet: Some(packet),
                id: None,
                noted: Noted::No,
            }),
            None => {}
            Some(id) => {
                let name = Name {
                    id: id.to_owned(),
                    from: from.to_owned(),
                };
                if refused {
                    let state = Some(MessageState::Refused);
                    messages.begin(name, "", state, at);
                } else if let Some(record) = messages.record(&name) {
                    record.untellable = false;
                }
            }
        }
        let again = messages
            .coming
            .iter()
            .find_map(|coming| match &coming.what {
                Arrived::Message {
                    name, taken, kept, ..
                } if coming.packet == packet => Some((name.clone(), *taken, *kept)),
                _ => None,
            });
        let (name, taken, kept) = again.unwrap_or_default();
        let own = name.filter(|_| id.is_none());
        self.comes(Coming {
            packet,
            at,
            what: Arrived::Message {
                name: id.map(|id| (id.to_owned(), from.to_owned())).or(own),
                taken,
                kept: kept || expired,
                expired,
                refused,
                text,
            },
        });
    }

    /// Something is with the device.
    pub(super) fn comes(&mut self, coming: Coming) {
        self.messages
            .coming
            .retain(|before| before.packet != coming.packet);
        self.messages.coming.push(coming);
    }

    /// A message came that the device has no room for and that nobody can name.
    pub fn oversized(&mut self) {
        self.messages.nameless.push_back(Nameless {
            at: self.now,
            packet: None,
            id: None,
            noted: Noted::No,
        });
    }

    /// The device takes a message in.
    pub fn takes_in(&mut self, id: &str, from: Option<&str>, text: &str) {
        self.counts.messages += 1;
        let name = Name {
            id: id.to_owned(),
            from: from.unwrap_or_default().to_owned(),
        };
        self.say(What::Letter("is taken in", short(id)));
        if self.messages.holds(&name) {
            let detail = format!("message {id} of '{}' was taken in before", name.from);
            return self.violate(Invariant::MessagesOnce, detail);
        }
        let now = self.now;
        let mut ended = None;
        if let Some(Arrived::Message {
            name: of,
            taken,
            expired,
            ..
        }) = self.messages.current()
        {
            *of = Some((name.id.clone(), name.from.clone()));
            *taken = true;
            ended = expired.then_some(MessageState::Expired);
        }
        self.messages.begin(name, text, ended, now);
    }

    /// The device knows a message without an id: power went before it was acknowledged.
    pub fn came_before(&mut self) {
        let messages = &mut self.messages;
        let Some(Arrived::Message {
            name: None,
            text: Some(text),
            ..
        }) = messages.current()
        else {
            return;
        };
        let (from, text) = text.clone();
        let mut records = messages.records.iter().rev();
        let known = records.find(|record| {
            record.text == text && record.name.from == from && messages.holds(&record.name)
        });
        let known = known.map(|record| (record.name.id.clone(), record.name.from.clone()));
        if let Some(Arrived::Message {
            name, taken, kept, ..
        }) = messages.current()
        {
            (*name, *taken, *kept) = (known, true, true);
        }
    }

    /// The device has handled what came in these packets. Of what it said nothing, and what looks
    /// like one of a connection that is gone, was taken for that one: which of two alike is which
    /// cannot be seen where neither has an id, and the other one is to be taken in when it comes.
    pub(super) fn passed_over(&mut self, packets: &[u16]) {
        let since = self.connected_at;
        let coming = &mut self.messages.coming;
        for packet in packets {
            let new = coming.iter().position(|of| {
                of.packet == *packet && of.nameless().is_some_and(|(_, is_known)| !is_known)
            });
            let Some(new) = new else { continue };
            let text = coming[new].nameless().map(|(text, _)| text);
            let old = coming.iter().position(|of| {
                let known = of.nameless().filter(|(_, is_known)| *is_known);
                of.at < since && known.map(|(text, _)| text) == text
            });
            if let Some(old) = old {
                let known = coming[old].what.clone();
                coming[old].what = std::mem::replace(&mut coming[new].what, known);
            }
        }
    }

    /// The flash is to keep a message in the place of another one.
    pub fn keeps_letter(&mut self, slot: Option<usize>, letter: &Letter, done: bool, power: bool) {
        if !self.powered {
            return;
        }
        if let Some(Arrived::Message { kept, .. }) = self.messages.current() {
            *kept = true;
        }
        if let Some(at) = slot.and_then(|slot| self.messages.flash.get_mut(slot)) {
            match (power, done) {
                (false, _) => at.maybe_letter = Some(letter.clone()),
                (true, false) => at.doubtful = true,
                (true, true) => {
                    at.letter = Some(letter.clone());
                    at.doubtful = false;
                }
            }
        }
        let held = &mut self.messages.held;
        if held.len() == Mail::PLACES {
            held.pop_first();
        }
        held.insert(letter.number, Name::of(letter));
    }

    /// The flash is to keep what became of a message that is not here, or not any more.
    pub fn keeps_note(&mut self, note: &Note, done: bool, power: bool) {
        if !self.powered {
            return;
        }
        let noted = Noted::new(done, power);
        let messages = &mut self.messages;
        let mut records = messages.records.iter_mut().rev();
        let record = records.find(|of| of.name.id == *note.id && of.ended == Some(note.state));
        let mut nameless = messages.nameless.iter_mut().rev();
        if let Some(record) = record {
            record.noted = noted;
        } else if let Some(refused) = nameless.find(|of| of.id.is_none())
            && note.state == MessageState::Refused
        {
            refused.id = Some(note.id.to_string());
            refused.noted = noted;
        }
    }

    /// The flash is to keep what became of a message.
    pub fn marks_letter(&mut self, slot: Option<usize>, mark: &Mark, done: bool, power: bool) {
        if !self.powered {
            return;
        }
        let Some(at) = slot.and_then(|slot| self.messages.flash.get_mut(slot)) else {
            return;
        };
        // A newer message has its place.
        if at.letter.as_ref().is_none_or(|of| of.number != mark.number) {
            return;
        }
        match (power, done) {
            (false, _) => at.maybe_mark = Some(*mark),
            (true, false) => at.doubtful = true,
            (true, true) => at.mark = Some(*mark),
        }
    }

    /// A message was read, has expired or had to go.
    pub fn message_ended(&mut self, id: &str, state: MessageState) {
        self.say(What::Letter(state.as_str(), short(id)));
        let now = self.now;
        let messages = &mut self.messages;
        let mut of = messages.records.iter_mut().rev();
        if let Some(record) = of.find(|record| record.name.id == id && record.ended.is_none()) {
            record.ended = Some(state);
            record.changed_at = now;
        }
    }

    /// The device acknowledges what came in this packet.
    pub(super) fn acknowledges(&mut self, packet: u16) {
        let coming = &mut self.messages.coming;
        let Some(place) = coming.iter().position(|coming| coming.packet == packet) else {
            return;
        };
        let Coming { at, what, .. } = coming.remove(place);
        match what {
            Arrived::Command(id) => self.command_acknowledged(&id),
            Arrived::Message {
                name: None,
                refused: true,
                ..
            } => {
                let mut nameless = self.messages.nameless.iter_mut();
                if let Some(refused) = nameless.find(|of| of.packet == Some(packet)) {
                    refused.packet = None;
                    if refused.noted == Noted::No {
                        let detail = "a message without an id is acknowledged, and that it was \
                                      refused is neither kept nor told";
                        self.violate(Invariant::MessagesHaveAState, detail.to_owned());
                    }
                }
            }
            Arrived::Message { name: None, .. } => {
                let detail = "a message is acknowledged that nobody took in or refused".to_owned();
                self.violate(Invariant::MessagesHaveAState, detail);
            }
            Arrived::Message {
                name: Some((id, from)),
                taken,
                kept,
                ..
            } => {
                if taken && !kept {
                    let detail = format!("message {id} is acknowledged, and nothing kept it");
                    self.violate(Invariant::MessagesKept, detail);
                }
                let name = Name { id, from };
                let held = self.messages.holds(&name);
                // What is known is of the last that has come.
                let mut later = self.messages.coming.iter().skip(place);
                let is_last = !later.any(|coming| coming.is(&name));
                match self.messages.record(&name) {
                    Some(record) => {
                        record.asked_at = Some(at);
                        let unsaid = record.noted == Noted::No && record.untold(Some(at)).is_some();
                        if record.ended.is_some() && unsaid && !held && is_last {
                            let (id, ended) = (&name.id, record.ended);
                            let detail = format!(
                                "message {id} is acknowledged, and that it is {ended:?} is \
                                 neither kept nor told"
                            );
                            self.violate(Invariant::MessagesHaveAState, detail);
                        }
                        self.messages.tidy();
                    }
                    None => {
                        let id = &name.id;
                        let detail = format!("message {id} is acknowledged, and not taken in");
                        self.violate(Invariant::MessagesHaveAState, detail);
                    }
                }
            }
        }
    }

    /// The broker took no report, or no message.
    pub fn report_refused(&mut self) {
        let messages = &mut self.messages;
        for record in &mut messages.records {
            record.untellable = true;
        }
        messages.nameless.clear();
        messages.outgoing.clear();
        self.answers.clear();
    }

    /// The broker was told what became of a message.
    pub fn reported(&mut self, id: Option<&str>, state: MessageState) {
        self.counts.reports += 1;
        let now = self.now;
        if let Some(id) = id {
            self.say(What::Report(state, short(id)));
        }
        let messages = &mut self.messages;
        let named = id.and_then(|id| {
            let mut records = messages.records.iter_mut().rev();
            records.find(|record| record.name.id == id)
        });
        let mut untrue = None;
        match named {
            Some(record) => {
                record.told = Some((state, now));
                let told = messages.told.iter();
                let mut known = told.map(|(id, state)| (id, *state));
                let was_told = known.any(|told| told == (&record.name.id, state));
                let is_true = record.ended == Some(state) || record.earlier.contains(&state);
                if state.is_final() && !is_true && !was_told {
                    untrue = Some(format!(
                        "message {} is {:?}, and is told as {state:?}",
                        record.name.id, record.ended
                    ));
                }
            }
            None if state == MessageState::Refused => {
                let nameless = &mut messages.nameless;
                let known = nameless.iter().position(|of| of.id.as_deref() == id);
                let other = || nameless.iter().position(|of| of.id.is_none());
                if let Some(at) = known.or_else(other) {
                    nameless.remove(at);
                }
            }
            None => {}
        }
        messages.tidy();
        if let Some(id) = id.filter(|_| state.is_final()) {
            if messages.told.len() == REMEMBERED {
                messages.told.pop_front();
            }
            messages.told.push_back((id.to_owned(), state));
        }
        if let Some(detail) = untrue {
            self.violate(Invariant::MessagesHaveAState, detail);
        }
    }

    /// The flash is to keep a message to another device, which a person chose.
    pub fn keeps_outgoing(&mut self, outgoing: &Sent, done: bool, power: bool) {
        if !self.powered {
            return;
        }
        self.say(What::Letter("is chosen for another", short(&outgoing.to)));
        let at = self.now;
        self.messages.outgoing.push(Outgoing {
            number: outgoing.number,
            id: outgoing.id.to_string(),
            to: outgoing.to.to_string(),
            at,
            kept: Noted::new(done, power),
            came_at: None,
        });
    }

    /// The flash is to forget it.
    pub fn forgets_outgoing(&mut self, number: u32, done: bool, power: bool) {
        if !self.powered {
            return;
        }
        let messages = &mut self.messages;
        let mut outgoing = messages.outgoing.iter();
        let Some(at) = outgoing.position(|of| of.number == number) else {
            return;
        };
        let Outgoing {
            id, to, came_at, ..
        } = messages.outgoing.remove(at);
        if came_at.is_none() {
            let detail = format!("message {id} to {to} is forgotten, and not at the broker");
            return self.violate(Invariant::MessagesArrive, detail);
        }
        let mut sent = messages.sent.iter_mut();
        if let Some((_, finished)) = sent.find(|(sent, _)| *sent == id) {
            *finished = done && power;
        }
    }

    /// The broker has a message of the device's to another one.
    pub fn sent(&mut self, to: &str, id: &str) {
        self.say(What::Letter("comes to the broker for another", short(to)));
        let messages = &mut self.messages;
        if messages.sent.iter().any(|(sent, _)| sent == id) {
            let detail = format!("message {id} to {to} came to the broker twice");
            return self.violate(Invariant::MessagesArrive, detail);
        }
        if messages.sent.len() == REMEMBERED {
            messages.sent.pop_front();
        }
        messages.sent.push_back((id.to_owned(), false));
        let now = self.now;
        for outgoing in messages.outgoing.iter_mut().filter(|of| of.id == id) {
            outgoing.came_at = outgoing.came_at.or(Some(now));
        }
    }

    /// Whether a message waits to be read, as far as the lamp may say so.
    pub fn has_unread(&self) -> bool {
        let mut records = self.messages.records.iter();
        records.any(|record| record.ended.is_none())
    }

    /// What the device has: from whom, what it says, and what was told of it.
    pub fn letters(&self) -> Vec<(String, String, Option<MessageState>)> {
        let messages = &self.messages;
        let held = messages.held.values();
        held.filter_map(|name| {
            let mut records = messages.records.iter();
            let record = records.find(|record| record.name == *name)?;
            let told = record.told.map(|(state, _)| state);
            Some((name.from.clone(), record.text.clone(), told))
        })
        .collect()
    }

    /// It is calm: what came must be acknowledged, and what became of it be told.
    pub fn messages_settled(&mut self) {
        let now = self.now;
        let late = |at: u64| now.saturating_sub(at) > ON_ITS_WAY_MS;
        let messages = &self.messages;
        if let Some(due) = messages
            .due
            .iter()
            .find(|due| !due.forgiven && late(due.at))
        {
            let detail = format!(
                "message {:?} did not come, which the broker holds since {} ms",
                due.id,
                now - due.at
            );
            return self.violate(Invariant::MessagesArrive, detail);
        }
        for Outgoing {
            id,
            to,
            at,
            came_at,
            ..
        } in &messages.outgoing
        {
            let (what, since) = match came_at {
                Some(at) => ("came to the broker, and is not forgotten after", at),
                None => ("is on its way since", at),
            };
            if late(*since) {
                let ms = now - since;
                let detail = format!("message {id} to {to} {what} {ms} ms");
                return self.violate(Invariant::MessagesArrive, detail);
            }
        }
        let since = self.connected_at;
        let mut coming = messages.coming.iter();
        if let Some(coming) = coming.find(|coming| late(coming.at) && coming.at >= since) {
            let detail = format!(
                "what came as packet {} is not acknowledged after {} ms",
                coming.packet,
                now - coming.at
            );
            return self.violate(Invariant::MessagesHaveAState, detail);
        }
        let mut nameless = messages.nameless.iter();
        if let Some(refused) = nameless.find(|of| of.packet.is_none() && late(of.at)) {
            let detail = format!(
                "a message was refused {} ms ago, and nobody is told",
                now - refused.at
            );
            return self.violate(Invariant::MessagesHaveAState, detail);
        }
        for record in &messages.records {
            let asked = record.asked_at.filter(|_| !record.untellable);
            if late(record.changed_at)
                && asked.is_none_or(late)
                && let Some(detail) = record.untold(asked)
            {
                return self.violate(Invariant::MessagesHaveAState, detail);
            }
        }
        self.messages
            .due
            .retain(|due| !due.forgiven || !late(due.at));
    }
}

impl Coming {
    /// Whether it is a message without an id that is refused.
    fn is_nameless_refused(&self) -> bool {
        let Arrived::Message { name, refused, .. } = &self.what else {
            return false;
        };
        name.is_none() && *refused
    }

    /// Whose a message without an id is and what it says, and whether the device took it in, if
    /// it was not refused.
    fn nameless(&self) -> Option<(&(String, String), bool)> {
        match &self.what {
            Arrived::Message {
                name,
                taken,
                kept,
                refused: false,
                text: Some(text),
                ..
            } => Some((text, name.is_some() && *taken && *kept)),
            _ => None,
        }
    }

    /// Whether it is a message of this name.
    fn is(&self, name: &Name) -> bool {
        match &self.what {
            Arrived::Message {
                name: Some((id, from)),
                ..
            } => *id == name.id && *from == name.from,
            _ => false,
        }
    }
}

impl Name {
    fn of(letter: &Letter) -> Self {
        Self {
            id: letter.id.to_string(),
            from: letter.from.to_string(),
        }
    }
}

impl Record {
    /// Its last state was told, since it came last.
    fn is_done(&self) -> bool {
        self.told.is_some_and(|(state, at)| {
            state.is_final() && self.ended == Some(state) && self.asked_at <= Some(at)
        })
    }

    /// What of it is not told, or not so.
    fn untold(&self, asked_at: Option<u64>) -> Option<String> {
        if self.untellable {
            return None;
        }
        let id = &self.name.id;
        let Some((state, told_at)) = self.told else {
            let asked_at = asked_at?;
            return Some(format!(
                "message {id} came at {asked_at}, and nobody is told"
            ));
        };
        if asked_at.is_some_and(|asked_at| told_at < asked_at) {
            return Some(format!("message {id} came again, and nobody is told"));
        }
        match self.ended {
            Some(ended) if ended != state => Some(format!(
                "message {id} is {ended:?}, and was told as {state:?} last"
            )),
            None if state.is_final() => Some(format!(
                "message {id} waits to be read, and was told as {state:?} last"
            )),
            _ => None,
        }
    }
}
