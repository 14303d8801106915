//! What is printed about a message.

use std::io::{self, Write};
use std::time::Duration;

use aldis_protocol::MessageReport;
use jiff::Zoned;
use serde::Serialize;

/// Prints lines for people or programs.
pub struct Lines {
    json: bool,
}

/// A state of the message.
#[derive(Serialize)]
struct State<'a> {
    time: String,
    id: &'a str,
    state: &'a str,
    age_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// A message from the device.
#[derive(Serialize)]
struct Reply<'a> {
    time: String,
    from: &'a str,
    reply: &'a str,
}

impl Lines {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// A report about the message of this id.
    pub fn state(&self, id: &str, report: &MessageReport<'_>) -> io::Result<()> {
        let at = Zoned::now();
        if self.json {
            return print_json(&State {
                time: stamp(&at),
                id,
                state: report.state.as_str(),
                age_ms: report.age_ms,
                reason: report.reason,
            });
        }
        print(&words(&at, report))
    }

    /// What the device says to us.
    pub fn reply(&self, from: &str, text: &str) -> io::Result<()> {
        let at = Zoned::now();
        if self.json {
            return print_json(&Reply {
                time: stamp(&at),
                from,
                reply: text,
            });
        }
        print(&format!("{} {from}: {}", clock(&at), one_line(text)))
    }
}

fn words(at: &Zoned, report: &MessageReport<'_>) -> String {
    let mut line = format!("{} {}", clock(at), report.state);
    let age = Duration::from_secs(report.age_ms / 1_000);
    if !age.is_zero() {
        line += &format!(", {} ago", humantime::format_duration(age));
    }
    if let Some(reason) = report.reason {
        line += &format!(": {}", one_line(reason));
    }
    line
}

fn clock(at: &Zoned) -> String {
    at.strftime("%H:%M:%S").to_string()
}

fn stamp(at: &Zoned) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string()
}

/// A text from outside, which must not tell the terminal anything.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

fn print_json(line: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string(line)?)
}

/// Prints a line at once. Where nobody reads any more, the exit code still tells.
fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_protocol::MessageState;

    /// An age that is read as another, or a reason that moves the cursor.
    #[test]
    fn a_state_is_one_line() {
        let at: Zoned = "2026-03-01T09:05:07+02[Europe/Vilnius]".parse().unwrap();
        let line = |state, age_ms, reason| {
            words(
                &at,
                &MessageReport {
                    id: Some("7"),
                    state,
                    age_ms,
                    reason,
                },
            )
        };
        assert_eq!(line(MessageState::Received, 999, None), "09:05:07 received");
        assert_eq!(
            line(MessageState::Read, 123_456, None),
            "09:05:07 read, 2m 3s ago"
        );
        assert_eq!(
            line(MessageState::Refused, 1_000, Some("a\u{1b}[2Jb\nc")),
            "09:05:07 refused, 1s ago: a\u{fffd}[2Jb c"
        );
        assert!(line(MessageState::Read, u64::MAX, None).contains("years"));
    }
}
