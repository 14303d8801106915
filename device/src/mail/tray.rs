//! What is to be told of commands, and of messages that are not kept.

use core::fmt::Write as _;

use aldis_mqtt::Instant;
use aldis_mqtt::wire::{Properties, Property};
use aldis_protocol::message::MAX_MESSAGE_ID_LEN;
use aldis_protocol::{MessageState, Reason};
use heapless::{String, Vec};

use super::queue::Queue;
use crate::recent::Recent;

/// The longest response topic that is kept.
const RESPONSE_LEN: usize = 128;
/// The longest correlation data that is kept.
const CORRELATION_LEN: usize = 64;

/// What a sender calls a message or a command.
pub(crate) type Id = String<MAX_MESSAGE_ID_LEN>;

/// Done, or why not.
pub(crate) type Outcome = Result<(), &'static str>;

/// What became of a message that is not kept, or not any more, as a board keeps it until
/// it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The order in which these arose, over restarts.
    pub number: u32,
    /// What the sender calls the message.
    pub id: String<MAX_MESSAGE_ID_LEN>,
    /// What became of it.
    pub state: MessageState,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// The number of the message, if it was kept until a newer one needed its place.
    pub letter: Option<u32>,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// What became of a message.
    State(MessageState, Option<Reason>),
    /// What became of a command.
    Answer(Outcome),
}

/// Something to be told on the device's own topics.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub id: Id,
    pub word: Word,
    pub at: Instant,
    /// No message is acknowledged before this is told.
    pub first: bool,
}

/// An answer to be given where the sender wants it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub id: Option<Id>,
    pub outcome: Outcome,
    pub topic: String<RESPONSE_LEN>,
    pub correlation: Option<Vec<u8, CORRELATION_LEN>>,
}

/// Who wants to know what became of a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    pub id: Option<Id>,
    pub topic: Option<String<RESPONSE_LEN>>,
    correlation: Option<Vec<u8, CORRELATION_LEN>>,
}

impl Asker {
    /// The sender of a message with these properties, whose payload has this id.
    ///
    /// Without an id the correlation data is one, as it is if it could be one, else in
    /// hexadecimal digits, else what stands for all of it.
    pub fn new(id: Option<&str>, properties: Properties<'_>) -> Self {
        let mut asker = Self {
            id: id.and_then(|id| Id::try_from(id).ok()),
            ..Self::default()
        };
        for property in properties {
            match property {
                Property::ResponseTopic(topic) => {
                    asker.topic = String::try_from(topic).ok();
                }
                Property::CorrelationData(data) => {
                    asker.correlation = Vec::from_slice(data).ok();
                    if asker.id.is_none() && !data.is_empty() {
                        asker.id = Some(name(data));
                    }
                }
                _ => {}
            }
        }
        asker
    }
}

/// An id made of correlation data, of all of it: what begins alike is not the same.
fn name(data: &[u8]) -> Id {
    let text = core::str::from_utf8(data).ok();
    let text = text.filter(|text| !text.contains(char::is_control));
    if let Some(id) = text.and_then(|text| Id::try_from(text).ok()) {
        return id;
    }
    let mut id = Id::new();
    let written = data.iter().try_for_each(|byte| write!(id, "{byte:02x}"));
    if written.is_err() {
        id.clear();
        // It has room for that.
        let _ = write!(id, "{:016x}", Recent::hash("", data.iter().copied()));
    }
    id
}

/// Notes and replies, in the order in which they arose.
///
/// There is always room: while it is not calm, messages are not acknowledged, and of
/// those the broker sends [`Tray::HELD`] at most.
#[derive(Debug)]
pub(crate) struct Tray {
    pub notes: Queue<Entry, { Tray::NOTES }>,
    pub replies: Queue<Reply, { Tray::CALM_REPLIES + Tray::ASKING }>,
    /// How many notes the board was given of late; one less counts each
    /// [`Tray::EACH_MS`] from then on.
    used: u8,
    since: Instant,
}

impl Tray {
    /// So many may wait without holding anything back.
    const CALM_NOTES: usize = 16;
    const CALM_REPLIES: usize = 4;
    /// As many messages as a session has places for.
    pub const HELD: usize = 32;
    /// Milliseconds after which the board may be given one more, in the long run.
    const EACH_MS: u64 = 120_000;
    /// How many notes there may be.
    pub const NOTES: usize = Self::CALM_NOTES + Self::HELD;
    /// As many of them as a broker of MQTT 5 may send; others know no response topic.
    const ASKING: usize = 16;

    pub const fn new() -> Self {
        Self {
            notes: Queue::new(),
            replies: Queue::new(),
            used: 0,
            since: Instant::from_millis(0),
        }
    }

    /// Whether more may come, and what came be acknowledged.
    pub fn is_calm(&self) -> bool {
        self.notes.len() < Self::CALM_NOTES
            && self.replies.len() < Self::CALM_REPLIES
            && !self.notes.waiting().any(|entry| entry.first)
    }

    /// Whether the board may be given another note: its flash bears so many writes and
    /// no more. Counts it, if so.
    pub fn may_keep(&mut self, now: Instant) -> bool {
        let back = now
            .since(self.since)
            .checked_div(Self::EACH_MS)
            .unwrap_or(0);
        if back >= self.used.into() {
            self.used = 0;
            self.since = now;
        } else if let Ok(back) = u8::try_from(back)
            && back > 0
        {
            self.used = self.used.saturating_sub(back);
            let ms = u64::from(back).saturating_mul(Self::EACH_MS);
            self.since = Instant::from_millis(self.since.as_millis().saturating_add(ms));
        }
        let may = usize::from(self.used) < Self::CALM_NOTES;
        self.used = self.used.saturating_add(may.into());
        may
    }

    /// Answers who asked, if anybody did. Says whether there was room.
    pub fn answer(&mut self, asker: &Asker, outcome: Outcome, at: Instant) -> bool {
        if let Some(topic) = &asker.topic {
            return self.replies.push(
                Reply {
                    id: asker.id.clone(),
                    outcome,
                    topic: topic.clone(),
                    correlation: asker.correlation.clone(),
                },
                None,
            );
        }
        let Some(id) = asker.id.clone() else {
            return true;
        };
        let entry = Entry {
            id,
            word: Word::Answer(outcome),
            at,
            first: false,
        };
        self.notes.push(entry, None)
    }
}
