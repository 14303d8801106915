//! What a device reports, as lines for people or as JSON.

use std::time::{Duration, Instant};

use aldis_mqtt::{Cause, Network, ReasonCode, Version};
use aldis_pc::Report;
use aldis_protocol::{Lamp, SensorState, Tenths};
use serde_json::{Value, json};

use crate::printable::printable;

/// A connection that ends sooner is not one that was held.
const BRIEF: Duration = Duration::from_secs(30);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Words, without colour.
    Plain,
    /// Words, with colour.
    Colour,
    /// One JSON object.
    Json,
}

/// Turns reports into lines, one for each change.
#[derive(Debug)]
pub struct Words {
    style: Style,
    /// Also what is no change: readings, and every attempt to connect.
    verbose: bool,
    /// A user name is given to the broker.
    has_user: bool,
    broker: String,
    lamp: Option<Lamp>,
    /// Since when there is a connection.
    connected: Option<Instant>,
    /// How many connections in a row the broker ended soon.
    brief: u32,
    /// What was said about the loss of the connection.
    lost: Option<String>,
}

#[derive(Clone, Copy)]
enum Mood {
    Good,
    Bad,
    Bright,
    Calm,
}

impl Words {
    /// For a device at this broker (`host:port`).
    pub fn new(style: Style, verbose: bool, broker: String, has_user: bool) -> Self {
        Self {
            style,
            verbose,
            has_user,
            broker,
            lamp: None,
            connected: None,
            brief: 0,
            lost: None,
        }
    }

    /// The line for a report, if it is worth one.
    pub fn line(&mut self, report: &Report, now: Instant) -> Option<String> {
        let (subject, mood, text, object) = match report {
            Report::Started { id, broker, boot } => (
                "device",
                Mood::Calm,
                format!("{id}, start {boot}"),
                json!({"event": "started", "id": id, "broker": broker, "boot": boot}),
            ),
            Report::Lamp(lamp) if self.lamp == Some(*lamp) => return None,
            Report::Lamp(lamp) => {
                self.lamp = Some(*lamp);
                let mood = match lamp {
                    Lamp::On => Mood::Bright,
                    Lamp::Off => Mood::Calm,
                };
                (
                    "lamp",
                    mood,
                    lamp.to_string(),
                    json!({"event": "lamp", "state": lamp.as_str()}),
                )
            }
            Report::Sensor(state) => {
                let (mood, text) = match state {
                    SensorState::Ok => (Mood::Good, "ok".to_owned()),
                    SensorState::Stale => {
                        (Mood::Bad, "stale: no good reading for a while".to_owned())
                    }
                    SensorState::Missing => (Mood::Bad, "missing: it does not answer".to_owned()),
                };
                let object = json!({"event": "sensor", "state": state.as_str()});
                ("sensor", mood, text, object)
            }
            Report::Connected(version) => {
                self.connected = Some(now);
                self.lost = None;
                let number = match version {
                    Version::V4 => 4,
                    Version::V5 => 5,
                };
                (
                    "mqtt",
                    Mood::Good,
                    format!("connected {} v{number}", self.broker),
                    json!({"event": "connected", "broker": self.broker, "version": number}),
                )
            }
            Report::Lost {
                cause: Cause::Stopped,
                ..
            } => return None,
            Report::Lost { cause, words } => {
                let connected = self.connected.take();
                self.count_brief(*cause, connected, now);
                let words = match self.advice(*cause) {
                    Some(advice) => format!("{words}; {advice}"),
                    None => words.clone(),
                };
                if !self.verbose && self.lost.as_ref() == Some(&words) {
                    return None;
                }
                let what = match connected {
                    Some(_) => "lost",
                    None => "not connected",
                };
                self.lost = Some(words.clone());
                (
                    "mqtt",
                    Mood::Bad,
                    format!("{what}: {words}"),
                    json!({"event": what.replace(' ', "_"), "cause": words}),
                )
            }
            Report::Reading(reading) if self.verbose => (
                "reading",
                Mood::Calm,
                format!("{} °C, {} %", reading.temperature(), reading.humidity()),
                json!({
                    "event": "reading",
                    "t": number(reading.temperature()),
                    "h": number(reading.humidity()),
                }),
            ),
            Report::Published { seq, age_ms } if self.verbose => (
                "published",
                Mood::Calm,
                format!("reading {seq}, {age_ms} ms old"),
                json!({"event": "published", "seq": seq, "age_ms": age_ms}),
            ),
            Report::Delivered { seq } if self.verbose => (
                "delivered",
                Mood::Calm,
                format!("reading {seq}"),
                json!({"event": "delivered", "seq": seq}),
            ),
            Report::GivenUp { seq, why } if self.verbose => (
                "given up",
                Mood::Bad,
                format!("reading {seq}: {}", why.as_str()),
                json!({"event": "given_up", "seq": seq, "why": why.as_str()}),
            ),
            Report::Command { topic, command } if self.verbose => (
                "command",
                Mood::Calm,
                format!("{command}, by {topic}"),
                json!({"event": "command", "topic": topic, "command": command.as_str()}),
            ),
            Report::Reading(_)
            | Report::Published { .. }
            | Report::Delivered { .. }
            | Report::GivenUp { .. }
            | Report::Command { .. }
            | Report::Light(_)
            | Report::Drawn => return None,
            Report::Message { id, from, text } => (
                "message",
                Mood::Bright,
                match from {
                    Some(from) => format!("{id}, from {from}: {}", printable(text)),
                    None => format!("{id}: {}", printable(text)),
                },
                json!({"event": "message", "id": id, "from": from, "text": text}),
            ),
            Report::MessageState { id, state } => (
                "message",
                Mood::Calm,
                format!("{id}, {state}"),
                json!({"event": "message_state", "id": id, "state": state.as_str()}),
            ),
            Report::Sending { to, text } => (
                "sending",
                Mood::Calm,
                format!("to {to}: {}", printable(text)),
                json!({"event": "sending", "to": to, "text": text}),
            ),
            Report::Heard { text, wpm } => (
                "heard",
                Mood::Calm,
                format!("{text} ({wpm} words a minute)"),
                json!({"event": "heard", "text": text, "wpm": wpm}),
            ),
            Report::Ignored { topic, why } => (
                "ignored",
                Mood::Calm,
                format!("a message on {topic}: {why}"),
                json!({"event": "ignored", "topic": topic, "why": why}),
            ),
            Report::Quiet { most_ms } => (
                "mqtt",
                Mood::Calm,
                format!(
                    "the broker is asked after {} s without an answer: the path seems to forget \
                     connections that are quiet for longer",
                    most_ms / 1_000
                ),
                json!({"event": "quiet", "most_ms": most_ms}),
            ),
            Report::Refused { topic, reason } => (
                "refused",
                Mood::Bad,
                format!("{topic}: {reason}; {}", reason.advice()),
                json!({"event": "refused", "topic": topic, "reason": reason.to_string()}),
            ),
            Report::Warning(text) => (
                "warning",
                Mood::Bad,
                text.clone(),
                json!({"event": "warning", "message": text}),
            ),
            Report::Restarting => (
                "device",
                Mood::Calm,
                "restarting, as it was told".to_owned(),
                json!({"event": "restarting"}),
            ),
            Report::Stopped { waiting } => (
                "device",
                Mood::Calm,
                match waiting {
                    0 => "stopped".to_owned(),
                    1 => "stopped; 1 reading was not delivered".to_owned(),
                    many => format!("stopped; {many} readings were not delivered"),
                },
                json!({"event": "stopped", "waiting": waiting}),
            ),
        };
        Some(self.format(subject, mood, &text, &object))
    }

    /// The line for a message that somebody published.
    pub fn message(&self, topic: &str, payload: &str) -> String {
        let object = json!({"event": "message", "topic": topic, "payload": payload});
        self.format(
            "message",
            Mood::Calm,
            &format!("{topic} {payload}"),
            &object,
        )
    }

    fn format(&self, subject: &str, mood: Mood, text: &str, object: &Value) -> String {
        let colour = match mood {
            Mood::Good => "32",
            Mood::Bad => "31",
            Mood::Bright => "33",
            Mood::Calm => return self.plain(subject, text, object),
        };
        match self.style {
            Style::Colour => {
                let (word, rest) = text.split_at(text.find([' ', ':']).unwrap_or(text.len()));
                format!("{subject}: \x1b[{colour}m{word}\x1b[0m{rest}")
            }
            _ => self.plain(subject, text, object),
        }
    }

    fn plain(&self, subject: &str, text: &str, object: &Value) -> String {
        match self.style {
            Style::Json => object.to_string(),
            Style::Plain | Style::Colour => format!("{subject}: {text}"),
        }
    }

    /// Most brokers throw a client out without a word when another takes its id.
    fn count_brief(&mut self, cause: Cause, connected: Option<Instant>, now: Instant) {
        let Some(since) = connected else { return };
        let closed = matches!(cause, Cause::Network(Network::Closed | Network::Reset));
        self.brief = match closed && now.saturating_duration_since(since) < BRIEF {
            true => self.brief.saturating_add(1),
            false => 0,
        };
    }

    /// What to do about a lost connection, where the cause does not say it already.
    fn advice(&self, cause: Cause) -> Option<&'static str> {
        Some(match cause {
            Cause::Network(Network::ConnectionRefused) => {
                "start a broker there, for example with `aldis hub`, or name another with `--broker`"
            }
            Cause::Network(Network::Dns) => "check the host name in `--broker`",
            Cause::Network(Network::Unreachable | Network::TimedOut | Network::Down) => {
                "check the address in `--broker`, the network and firewalls"
            }
            Cause::ConnectTimeout => {
                "check that the port is that of an MQTT broker (usually 1883; 8883 with mqtts://)"
            }
            Cause::Refused(ReasonCode::NOT_AUTHORIZED | ReasonCode::BAD_USER_NAME_OR_PASSWORD) => {
                match self.has_user {
                    true => {
                        "the user name or the password may be wrong: change ALDIS_USERNAME and \
                     ALDIS_PASSWORD, or `username` and `password` in the configuration file"
                    }
                    false => {
                        "set ALDIS_USERNAME and ALDIS_PASSWORD, or `username` and `password` in the \
                     configuration file"
                    }
                }
            }
            Cause::Network(Network::Closed | Network::Reset) if self.brief > 1 => {
                "this happens again and again: another client may use the same client id; give \
                 each an id of its own with `--id`"
            }
            Cause::TakenOver => "trying again in a minute or more: see `--id`",
            _ => return None,
        })
    }
}

/// Tenths as a JSON number.
fn number(tenths: Tenths) -> f64 {
    f64::from(tenths.0) / 10.0
}

#[cfg(test)]
mod tests {
    use aldis_pc::GivenUp;
    use aldis_protocol::Reading;

    use super::*;

    fn words(style: Style, verbose: bool) -> Words {
        Words::new(style, verbose, "127.0.0.1:1883".into(), false)
    }

    fn lost(cause: Cause) -> Report {
        Report::Lost {
            cause,
            words: cause.to_string(),
        }
    }

    /// A script that waits for these words would wait for ever.
    #[test]
    fn changes_have_their_words() {
        let mut words = words(Style::Plain, false);
        for (report, expected) in [
            (Report::Lamp(Lamp::Off), Some("lamp: off")),
            (
                Report::Connected(Version::V5),
                Some("mqtt: connected 127.0.0.1:1883 v5"),
            ),
            (Report::Sensor(SensorState::Ok), Some("sensor: ok")),
            (Report::Lamp(Lamp::Off), None),
            (Report::Lamp(Lamp::On), Some("lamp: on")),
            (Report::Reading(Reading { t: 1, h: 2 }), None),
        ] {
            assert_eq!(
                words.line(&report, Instant::now()).as_deref(),
                expected,
                "{report:?}"
            );
        }
    }

    /// A script that follows readings would not learn what became of them.
    #[test]
    fn the_end_of_each_reading_is_told() {
        let mut words = words(Style::Plain, true);
        for (report, expected) in [
            (Report::Delivered { seq: 7 }, "delivered: reading 7"),
            (
                Report::GivenUp {
                    seq: 8,
                    why: GivenUp::Superseded,
                },
                "given up: reading 8: superseded",
            ),
            (Report::Restarting, "device: restarting, as it was told"),
            (Report::Stopped { waiting: 0 }, "device: stopped"),
            (
                Report::Stopped { waiting: 3 },
                "device: stopped; 3 readings were not delivered",
            ),
        ] {
            let line = words.line(&report, Instant::now());
            assert_eq!(line.as_deref(), Some(expected), "{report:?}");
        }
    }

    /// A broker that is away for a day would fill the screen, or its loss go unnoticed.
    #[test]
    fn a_loss_is_told_once_for_each_reason() {
        let mut words = words(Style::Plain, false);
        let now = Instant::now();
        let _ = words.line(&Report::Connected(Version::V4), now);
        let closed = lost(Cause::Network(Network::Closed));
        let refused = lost(Cause::Network(Network::ConnectionRefused));
        assert!(
            words
                .line(&closed, now)
                .unwrap()
                .starts_with("mqtt: lost: ")
        );
        let told = words.line(&refused, now).unwrap();
        assert!(
            told.starts_with("mqtt: not connected: ") && told.contains("aldis hub"),
            "{told}"
        );
        assert_eq!(words.line(&refused, now), None);
        assert!(words.line(&Report::Connected(Version::V4), now).is_some());
        assert!(words.line(&closed, now).is_some());
    }

    /// An error without a way out leaves the user guessing.
    #[test]
    fn losses_say_what_to_do() {
        for (cause, what) in [
            (Cause::Network(Network::Dns), "host name"),
            (Cause::ConnectTimeout, "1883"),
            (Cause::Refused(ReasonCode::NOT_AUTHORIZED), "ALDIS_PASSWORD"),
            (Cause::TakenOver, "id"),
        ] {
            let line = words(Style::Plain, false)
                .line(&lost(cause), Instant::now())
                .unwrap();
            assert!(line.contains(what), "{line}");
        }
    }

    /// Two devices of one id throw each other out, and nothing says so.
    #[test]
    fn connections_that_never_last_are_explained() {
        let mut words = words(Style::Plain, false);
        let closed = lost(Cause::Network(Network::Closed));
        let mut now = Instant::now();
        let mut lose_after = |seconds| {
            let _ = words.line(&Report::Connected(Version::V4), now);
            now += Duration::from_secs(seconds);
            words.line(&closed, now).unwrap().contains("--id")
        };
        assert_eq!(
            [1, 1, 29, 31, 1, 1].map(&mut lose_after),
            [false, true, true, false, false, true]
        );
    }

    /// A program that reads the lines would stumble over words or colours.
    #[test]
    fn json_is_an_object_without_colour() {
        let mut words = words(Style::Json, true);
        for (report, expected) in [
            (
                Report::Reading(Reading { t: 241, h: 265 }),
                json!({"event": "reading", "t": 24.1, "h": 26.5}),
            ),
            (
                Report::Lamp(Lamp::On),
                json!({"event": "lamp", "state": "on"}),
            ),
            (
                Report::Connected(Version::V5),
                json!({"event": "connected", "broker": "127.0.0.1:1883", "version": 5}),
            ),
        ] {
            let line = words.line(&report, Instant::now()).unwrap();
            assert_eq!(line.parse::<Value>().unwrap(), expected);
        }
    }

    /// Colour that swallows the words, or does not end.
    #[test]
    fn colour_marks_one_word() {
        let line = words(Style::Colour, false)
            .line(&Report::Lamp(Lamp::On), Instant::now())
            .unwrap();
        assert_eq!(line, "lamp: \x1b[33mon\x1b[0m");
    }
}
