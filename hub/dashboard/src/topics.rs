//! What was published last on each topic, and who looks on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::live::frame;

/// Topics that are remembered.
const TOPICS: usize = 10_000;
/// The room that they may take together. Ten thousand topics of a few hundred bytes fit.
const ROOM: usize = 16 << 20;
/// What a topic takes beside its name and payload.
const BESIDE: usize = 256;
/// The longest part of a payload that is shown and remembered.
const SHOWN: usize = 8 << 10;
/// How many messages who looks on may be behind.
const RING: usize = 1024;

/// A message as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TopicMessage {
    pub topic: String,
    /// The payload, if it is text.
    pub payload: Option<String>,
    /// The payload, if it is not.
    pub base64: Option<String>,
    /// How long the payload is; only the first 8 KiB are shown.
    pub bytes: usize,
    #[schema(minimum = 0, maximum = 2)]
    pub qos: u8,
    /// The broker had kept it.
    pub retain: bool,
    pub at_ms: i64,
}

impl TopicMessage {
    pub fn new(topic: String, payload: &[u8], qos: u8, retain: bool, at_ms: i64) -> Self {
        let (text, base64) = shown(payload);
        Self {
            topic,
            payload: text,
            base64,
            bytes: payload.len(),
            qos,
            retain,
            at_ms,
        }
    }

    /// The room that it takes where it is remembered: three times its topic, and what is shown.
    fn room(&self) -> usize {
        let payload =
            [&self.payload, &self.base64].map(|text| text.as_ref().map_or(0, String::len));
        let topic = self.topic.len().saturating_mul(3);
        payload
            .into_iter()
            .fold(topic.saturating_add(BESIDE), usize::saturating_add)
    }
}

/// The part of a payload that is shown, as text if it is.
fn shown(payload: &[u8]) -> (Option<String>, Option<String>) {
    let part = payload.get(..SHOWN).unwrap_or(payload);
    match std::str::from_utf8(part) {
        Ok(text) => (Some(text.to_owned()), None),
        // A character that was cut is no reason to show numbers.
        Err(error) if part.len() < payload.len() && error.error_len().is_none() => {
            let whole = part.get(..error.valid_up_to()).unwrap_or_default();
            (Some(String::from_utf8_lossy(whole).into_owned()), None)
        }
        Err(_) => (None, Some(STANDARD.encode(part))),
    }
}

/// What was published since the start.
#[derive(Debug)]
pub(crate) struct Topics {
    last: Mutex<Last>,
    ring: broadcast::Sender<Seen>,
}

#[derive(Debug, Default)]
struct Last {
    by_topic: BTreeMap<String, Known>,
    /// The topics in the order in which they were published on last.
    by_turn: BTreeMap<u64, String>,
    turn: u64,
    room: usize,
    refused: Option<String>,
}

#[derive(Debug)]
struct Known {
    message: TopicMessage,
    turn: u64,
}

impl Last {
    /// Remembers a message. Where there is no room, what was not published on for longest goes.
    fn remember(&mut self, message: TopicMessage) {
        self.forget(&message.topic);
        self.turn = self.turn.wrapping_add(1);
        let (topic, turn) = (message.topic.clone(), self.turn);
        self.room = self.room.saturating_add(message.room());
        self.by_turn.insert(turn, topic.clone());
        self.by_topic.insert(topic, Known { message, turn });
        while self.by_topic.len() > TOPICS || self.room > ROOM {
            let Some((_, oldest)) = self.by_turn.pop_first() else {
                break;
            };
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, topic: &str) {
        if let Some(known) = self.by_topic.remove(topic) {
            self.by_turn.remove(&known.turn);
            self.room = self.room.saturating_sub(known.message.room());
        }
    }

    fn messages(&self) -> impl Iterator<Item = &TopicMessage> {
        self.by_topic.values().map(|known| &known.message)
    }
}

/// A message on its way to those who look on.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub topic: Arc<str>,
    pub frame: Bytes,
}

impl Topics {
    pub fn new() -> Self {
        Self {
            last: Mutex::default(),
            ring: broadcast::Sender::new(RING),
        }
    }

    /// Takes a message.
    pub fn hear(&self, message: TopicMessage) {
        if self.ring.receiver_count() > 0 {
            let seen = Seen {
                topic: message.topic.as_str().into(),
                frame: frame("topic", &message),
            };
            let _ = self.ring.send(seen);
        }
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(message);
    }

    /// Notes whether the broker lets us look on, and why not.
    pub fn refused(&self, why: Option<String>) {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .refused = why;
    }

    /// What was published last on the topics that fit a filter, by topic; how many fit; and why
    /// the broker shows none, if it does not.
    pub fn last(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> (Vec<TopicMessage>, usize, Option<String>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = last
            .messages()
            .filter(|message| filter.fits(&message.topic));
        let first: Vec<_> = fitting.by_ref().take(limit).cloned().collect();
        let known = first.len().saturating_add(fitting.count());
        (first, known, last.refused.clone())
    }

    /// Forgets what was published under a device's name.
    pub fn forget(&self, prefix: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let under = last
            .by_topic
            .keys()
            .filter(|topic| topic.starts_with(prefix));
        for topic in under.cloned().collect::<Vec<_>>() {
            last.forget(&topic);
        }
    }

    /// The topics under a device's name on which the broker had kept something.
    pub fn kept(&self, prefix: &str) -> Vec<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let under = last
            .messages()
            .filter(|message| message.topic.starts_with(prefix));
        under
            .filter(|message| message.retain)
            .map(|message| message.topic.clone())
            .collect()
    }

    pub fn listen(&self) -> broadcast::Receiver<Seen> {
        self.ring.subscribe()
    }
}

/// A topic filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(String);

impl Filter {
    /// Reads one.
    pub fn new(text: &str) -> Option<Self> {
        let levels: Vec<_> = text.split('/').collect();
        let last = levels.len().checked_sub(1)?;
        let fine = levels.iter().enumerate().all(|(at, level)| {
            (!level.contains(['+', '#']) || level.len() == 1) && (*level != "#" || at == last)
        });
        let fine = fine && !text.is_empty() && text.len() <= 65_535 && !text.contains('\0');
        fine.then(|| Self(text.to_owned()))
    }

    /// Whether a topic is meant.
    pub fn fits(&self, topic: &str) -> bool {
        // What is the broker's own is not meant by a wildcard.
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut names = topic.split('/');
        for level in self.0.split('/') {
            if level == "#" {
                return true;
            }
            match names.next() {
                Some(name) if level == "+" || level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filter shows what it should hide, or hides what it should show.
    #[test]
    fn filters_fit_as_a_broker_has_them() {
        for (filter, topic, fits) in [
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+/c", "a/b/c", true),
            ("+", "/a", false),
            ("/+", "/a", true),
            ("a", "a/b", false),
        ] {
            assert_eq!(
                Filter::new(filter).unwrap().fits(topic),
                fits,
                "{filter} {topic}"
            );
        }
        for wrong in ["", "a#", "#/a", "a/b+", "++", "\0"] {
            assert!(Filter::new(wrong).is_none(), "{wrong}");
        }
    }

    /// Payloads that are no text are shown as nonsense, or large ones fill memory and screen.
    #[test]
    fn payloads_are_shown_as_what_they_are() {
        assert_eq!(shown(b"on"), (Some("on".to_owned()), None));
        assert_eq!(shown(b""), (Some(String::new()), None));
        assert_eq!(shown(b"\xff\0"), (None, Some("/wA=".to_owned())));
        let long = "ž".repeat(SHOWN);
        let (text, _) = shown(format!("a{long}").as_bytes());
        assert_eq!(text.unwrap().len(), SHOWN - 1);
        let (text, base64) = shown(&vec![0xff; 2 * SHOWN]);
        assert!(text.is_none() && base64.unwrap().len() < 2 * SHOWN);
    }

    /// Made-up topics fill the memory, or keep those that are used from being seen.
    #[test]
    fn so_many_topics_are_remembered() {
        let topics = Topics::new();
        for n in 0..TOPICS {
            topics.hear(TopicMessage::new(format!("a/{n}"), b"1", 0, false, 0));
        }
        topics.hear(TopicMessage::new("a/0".to_owned(), b"2", 1, true, 1));
        for n in 0..5 {
            topics.hear(TopicMessage::new(format!("b/{n}"), b"1", 0, false, 2));
        }
        let all = Filter::new("#").unwrap();
        let (first, known, _) = topics.last(&all, 3);
        assert_eq!((first.len(), known), (3, TOPICS));
        let known = |filter: &str| topics.last(&Filter::new(filter).unwrap(), 9);
        assert_eq!(known("b/+").1, 5);
        assert_eq!(known("a/0").0[0].payload.as_deref(), Some("2"));
        for n in 1..=5 {
            assert_eq!(known(&format!("a/{n}")).1, 0, "a/{n}");
        }
        assert_eq!(known("a/6").1, 1);
        assert_eq!(topics.kept("a/"), ["a/0"]);
        topics.forget("a/");
        assert_eq!(topics.last(&all, 3).1, 5);
        topics.forget("b/");
        assert_eq!(room(&topics), (0, 0));
    }

    /// Long topics with long payloads take a hundred times the memory of usual ones.
    #[test]
    fn so_much_is_remembered() {
        let topics = Topics::new();
        let long = "x".repeat(65_000);
        for n in 0..300 {
            let (topic, payload) = (format!("a/{n}/{long}"), vec![0xff; 2 * SHOWN]);
            topics.hear(TopicMessage::new(topic, &payload, 0, false, 0));
        }
        topics.hear(TopicMessage::new("b".to_owned(), b"1", 0, false, 0));
        let all = Filter::new("#").unwrap();
        let (found, known, _) = topics.last(&all, 1000);
        let bytes: usize = found
            .iter()
            .map(|message| 3 * message.topic.len() + message.base64.as_ref().map_or(0, String::len))
            .sum();
        assert!(bytes <= 16 << 20 && bytes > 15 << 20, "{bytes}");
        // The newest are there.
        assert!(found.iter().any(|message| message.topic == "b"));
        assert!(
            found
                .iter()
                .any(|message| message.topic.starts_with("a/299/"))
        );
        assert_eq!(room(&topics).1, known);
        // One that is published on again is counted once.
        let before = room(&topics);
        for _ in 0..1000 {
            topics.hear(TopicMessage::new("b".to_owned(), b"1", 0, false, 0));
        }
        assert_eq!(room(&topics), before);
    }

    /// The room that is counted, and in how many turns.
    fn room(topics: &Topics) -> (usize, usize) {
        let last = topics.last.lock().unwrap();
        (last.room, last.by_turn.len())
    }
}
