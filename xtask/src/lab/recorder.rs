//! Somebody at the broker who wants everything that the device says.
//!
//! It is mosquitto's client, which knows nothing of ours. It waits a second before it connects
//! again, so a new one is started instead: a measurement is not to wait for it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::device::ID;
use super::journal::{Journal, Line};
use super::namespace::Namespace;
use super::program::Program;

/// How long it waits before it tries again.
const AGAIN: Duration = Duration::from_millis(20);

/// A subscriber whose session the broker keeps.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    heard: Journal,
    program: Mutex<Option<Program>>,
    /// Which start this is.
    start: AtomicUsize,
    over: AtomicBool,
}

impl Recorder {
    /// Starts it beside the broker.
    pub fn start(at: &Namespace) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let name = at.name().to_owned();
        let thread = thread::spawn(move || {
            while !theirs.over.load(Ordering::Relaxed) {
                // An error is shown by what is not heard.
                let _ = theirs.listen(&mut client(&name));
                thread::sleep(AGAIN);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// What it heard.
    pub fn heard(&self) -> &Journal {
        &self.shared.heard
    }

    /// Has it connect anew, as soon as it can.
    pub fn renew(&self) {
        self.shared.kill();
    }

    /// Waits until it is subscribed, since its last [`Recorder::renew`].
    pub fn wait_subscribed(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        let alive = || {
            let mut program = self.shared.lock();
            program
                .as_mut()
                .is_some_and(|program| program.ended().is_none())
        };
        let subscribed = self.shared.heard.wait(0, until, |lines| {
            let word = format!("subscribed {}", self.shared.start.load(Ordering::Relaxed));
            let there = lines.iter().rev().any(|line| line.text == word);
            (there && alive()).then_some(())
        });
        subscribed.context("the recorder cannot subscribe at the broker")
    }

    /// What the device delivered.
    pub fn record(&self) -> Record {
        Record::of(&self.shared.heard.all())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.shared.kill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// One client, from its start to its end.
    fn listen(&self, command: &mut Command) -> Result<()> {
        let start = self.start.fetch_add(1, Ordering::Relaxed) + 1;
        let said = Journal::default();
        let program = Program::start_into(command, said.clone())?;
        *self.lock() = Some(program);
        let mut place = 0;
        loop {
            let ended = self
                .lock()
                .as_mut()
                .is_none_or(|program| program.ended().is_some());
            let until = Instant::now() + Duration::from_millis(100);
            let more = said.wait(place, until, |lines| {
                (!lines.is_empty()).then(|| lines.to_vec())
            });
            let Some(lines) = more else {
                if ended {
                    return Ok(());
                }
                continue;
            };
            place += lines.len();
            for line in lines {
                if line.text.starts_with("Subscribed ") {
                    self.heard.write(format!("subscribed {start}"));
                } else if line.text.starts_with("heard ") {
                    self.heard.write(line.text);
                }
            }
        }
    }

    fn kill(&self) {
        if let Some(program) = self.lock().as_mut() {
            program.kill();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Program>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(namespace: &str) -> Command {
    let mut command = Command::new(super::find("ip"));
    command
        .args([
            "netns",
            "exec",
            namespace,
            "stdbuf",
            "-oL",
            "mosquitto_sub",
            "-d",
        ])
        .args(["-h", "127.0.0.1", "-i", "recorder", "-c", "-q", "2", "-R"])
        .args(["-t", &format!("aldis/{ID}/#"), "-F", "heard %t %p"]);
    command
}

/// A message of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A reading of this number.
    Reading(u32),
    /// It is online.
    Online,
    /// The lamp's state.
    Lamp(String),
    /// How many readings it gave up so far.
    Dropped(u64),
}

impl Heard {
    /// Reads a line of the recorder's.
    pub fn read(line: &str) -> Option<Self> {
        let (topic, payload) = line.strip_prefix("heard ")?.split_once(' ')?;
        let object = || serde_json::from_str::<Value>(payload).ok();
        match topic.strip_prefix("aldis/")?.strip_prefix(ID)? {
            "/climate" => {
                let seq = object()?.get("seq")?.as_u64()?;
                u32::try_from(seq).ok().map(Self::Reading)
            }
            "/status" if payload == "online" => Some(Self::Online),
            "/led" => Some(Self::Lamp(payload.to_owned())),
            "/diag" => {
                let object = object()?;
                let dropped = object.get("dropped")?.as_object()?;
                Some(Self::Dropped(
                    dropped.values().filter_map(Value::as_u64).sum(),
                ))
            }
            _ => None,
        }
    }
}

/// What the device delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When each reading came first.
    pub readings: BTreeMap<u32, Instant>,
    /// How many came once more.
    pub again: usize,
    /// When the device said that it is online.
    pub online: Vec<Instant>,
    /// How many readings the device gave up, as it said itself last.
    pub dropped: u64,
}

impl Record {
    /// Made of the recorder's lines.
    pub fn of(lines: &[Line]) -> Self {
        let mut record = Self::default();
        for line in lines {
            match Heard::read(&line.text) {
                Some(Heard::Reading(seq)) => match record.readings.entry(seq) {
                    Entry::Occupied(_) => record.again += 1,
                    Entry::Vacant(place) => drop(place.insert(line.at)),
                },
                Some(Heard::Online) => record.online.push(line.at),
                Some(Heard::Dropped(dropped)) => record.dropped = dropped,
                Some(Heard::Lamp(_)) | None => {}
            }
        }
        record
    }

    /// The last reading's number.
    pub fn last(&self) -> u32 {
        self.readings.keys().last().copied().unwrap_or(0)
    }

    /// When the first thing came after this moment that had not come before, when the last
    /// reading was `known`.
    pub fn first_new_after(&self, moment: Instant, known: u32) -> Option<Instant> {
        let readings = self.readings.iter().filter(|(seq, _)| **seq > known);
        let readings = readings.map(|(_, at)| *at);
        let new = readings.chain(self.online.iter().copied());
        new.filter(|at| *at > moment).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that is not understood is taken for one that did not come.
    #[test]
    fn messages_are_understood() {
        for (line, expected) in [
            (
                r#"heard aldis/dev/climate {"seq":7,"boot":1,"age_ms":0,"t":24.1,"h":26.5}"#,
                Some(Heard::Reading(7)),
            ),
            ("heard aldis/dev/status online", Some(Heard::Online)),
            ("heard aldis/dev/status offline", None),
            ("heard aldis/dev/led on", Some(Heard::Lamp("on".into()))),
            (
                r#"heard aldis/dev/diag {"dropped":{"expired":1,"superseded":2,"full":0}}"#,
                Some(Heard::Dropped(3)),
            ),
            ("heard aldis/dev/climate garbage", None),
            ("subscribed 1", None),
        ] {
            assert_eq!(Heard::read(line), expected, "{line}");
        }
    }

    /// A repetition would be taken for contact.
    #[test]
    fn only_what_is_new_is_new() {
        let start = Instant::now();
        let line = |second, text: &str| Line {
            at: start + Duration::from_secs(second),
            text: format!("heard aldis/dev/{text}"),
        };
        let reading = |second, seq| line(second, &format!("climate {{\"seq\":{seq}}}"));
        let record = Record::of(&[
            reading(1, 1),
            reading(5, 1),
            line(6, "status offline"),
            line(8, "status online"),
            reading(9, 2),
        ]);
        let after = |second| {
            let new = record.first_new_after(start + Duration::from_secs(second), 1);
            new.map(|at| (at - start).as_secs())
        };
        assert_eq!((after(2), after(8), after(9)), (Some(8), Some(9), None));
        assert_eq!(
            record.first_new_after(start + Duration::from_secs(8), 2),
            None
        );
        assert_eq!((record.again, record.readings.len()), (1, 2));
    }
}
