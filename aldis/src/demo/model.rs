//! What the readout shows.

use std::collections::VecDeque;
use std::time::Duration;

use aldis_mqtt::{Cause, Version};
use aldis_pc::Report;
use aldis_protocol::{Lamp, Reading, SensorState};

use crate::panel::Sight;
use crate::printable::{printable, readable};

/// Readings that are remembered; more than any terminal is wide.
const HISTORY: usize = 512;
/// Log lines that are remembered; more than any terminal is high.
const LOG: usize = 256;

/// What the readout shows. All times count from the start.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Where the hub listens.
    pub hub: String,
    /// The device's id.
    pub device: String,
    /// What to type in another terminal.
    pub commands: Vec<String>,
    /// The present.
    pub now: Duration,
    pub connection: Connection,
    pub sensor: Option<SensorState>,
    pub reading: Option<Reading>,
    /// The latest readings, oldest first.
    pub history: VecDeque<Reading>,
    pub lamp: Option<Lamp>,
    /// Whether it is lit, perhaps to call for somebody.
    pub light: Option<Lamp>,
    /// When the lamp was last switched.
    pub lamp_since: Duration,
    /// The latest messages, oldest first.
    pub log: VecDeque<Entry>,
    /// What is on the device's panel.
    pub sight: Sight,
    /// Where there is no room for all, the panel is shown and the commands are not.
    pub prefers_panel: bool,
}

/// The device's connection to the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    pub since: Duration,
    pub state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Connecting,
    Connected(Version),
    /// Why, in words.
    Lost(String),
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Duration,
    /// The topic; a note of the program itself has none.
    pub topic: Option<String>,
    pub text: String,
    /// The message was kept by the broker, and is not new.
    pub retained: bool,
}

impl Model {
    /// Takes note of what the device reports.
    pub fn report(&mut self, at: Duration, report: &Report) {
        match report {
            Report::Reading(reading) => {
                self.reading = Some(*reading);
                push(&mut self.history, HISTORY, *reading);
            }
            Report::Sensor(state) => self.sensor = Some(*state),
            Report::Lamp(lamp) if self.lamp != Some(*lamp) => {
                self.lamp = Some(*lamp);
                self.lamp_since = at;
            }
            Report::Connected(version) => self.connect(at, State::Connected(*version)),
            Report::Lost {
                cause: Cause::Stopped,
                ..
            } => {}
            Report::Lost { words, .. } => self.connect(at, State::Lost(printable(words))),
            Report::Ignored { topic, why } => {
                self.note(at, format!("a message on {topic} was ignored: {why}"));
            }
            Report::Refused { topic, reason } => {
                self.note(at, format!("{topic} was refused: {reason}"));
            }
            Report::Warning(text) => self.note(at, text.clone()),
            Report::Light(light) => self.light = Some(*light),
            Report::Started { .. }
            | Report::Quiet { .. }
            | Report::Lamp(_)
            | Report::Drawn
            | Report::Message { .. }
            | Report::MessageState { .. }
            | Report::Sending { .. }
            | Report::Heard { .. }
            | Report::Published { .. }
            | Report::Delivered { .. }
            | Report::GivenUp { .. }
            | Report::Command { .. }
            | Report::Restarting
            | Report::Stopped { .. } => {}
        }
    }

    fn connect(&mut self, at: Duration, state: State) {
        let lost = |state: &State| matches!(state, State::Lost(_));
        // One attempt after the other fails: lost since the first.
        if !(lost(&self.connection.state) && lost(&state)) {
            self.connection.since = at;
        }
        self.connection.state = state;
    }

    /// Takes note of a message.
    pub fn message(&mut self, at: Duration, topic: &str, payload: &[u8], retained: bool) {
        let entry = Entry {
            at,
            topic: Some(printable(topic)),
            text: readable(payload),
            retained,
        };
        push(&mut self.log, LOG, entry);
    }

    /// Takes note of something that is no message.
    pub fn note(&mut self, at: Duration, text: String) {
        let entry = Entry {
            at,
            topic: None,
            text: printable(&text),
            retained: false,
        };
        push(&mut self.log, LOG, entry);
    }
}

fn push<T>(queue: &mut VecDeque<T>, most: usize, value: T) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use aldis_mqtt::Network;

    use super::*;
    use crate::printable::{MOST, is_invisible};

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// An escape sequence in a message would command the terminal.
    #[test]
    fn messages_cannot_command_the_terminal() {
        let mut model = Model::default();
        model.message(secs(1), "a\x1b[2J", b"\x1b]0;title\x07\x9b", false);
        model.message(secs(1), "b", "\u{202e}evil\u{9b}".as_bytes(), false);
        for entry in &model.log {
            let text = format!("{}{}", entry.topic.as_deref().unwrap(), entry.text);
            assert!(
                !text.chars().any(|c| c.is_control() || is_invisible(c)),
                "{text:?}"
            );
        }
    }

    /// A message of a megabyte, or a million of them, would fill the memory.
    #[test]
    fn the_log_is_bounded() {
        let mut model = Model::default();
        for _ in 0..10_000 {
            model.message(secs(1), "t", &[b'x'; 5_000], false);
            model.report(secs(1), &Report::Reading(Reading { t: 1, h: 1 }));
        }
        assert!(model.log.len() == LOG && model.history.len() == HISTORY);
        assert!(
            model
                .log
                .iter()
                .all(|entry| entry.text.chars().count() <= MOST + 1)
        );
    }

    /// The outage would seem to begin anew with every attempt.
    #[test]
    fn an_outage_lasts_since_its_beginning() {
        let mut model = Model::default();
        let lost = Report::Lost {
            cause: Cause::Network(Network::Closed),
            words: "closed".into(),
        };
        model.report(secs(1), &Report::Connected(Version::V5));
        model.report(secs(5), &lost);
        model.report(secs(7), &lost);
        assert_eq!(model.connection.since, secs(5));
        model.report(secs(9), &Report::Connected(Version::V5));
        assert_eq!(model.connection.since, secs(9));
        assert_eq!(model.connection.state, State::Connected(Version::V5));
    }
}
