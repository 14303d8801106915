//! Somebody at the broker who switches the lamp all the time, at QoS 2.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::device::ID;
use super::journal::Journal;
use super::namespace::Namespace;
use super::program::Program;

/// From one command to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How long the broker has time to take a command.
const PATIENCE: Duration = Duration::from_secs(5);

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// Light the lamp.
    On,
    /// Darken it.
    Off,
    /// One or the other.
    Toggle,
}

impl Word {
    /// As it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Toggle => "toggle",
        }
    }

    /// Reads it.
    pub fn read(text: &str) -> Option<Self> {
        [Self::On, Self::Off, Self::Toggle]
            .into_iter()
            .find(|word| word.as_str() == text)
    }
}

/// A word of a sequence in which no part is followed by itself: so one that is executed twice
/// shows, and so do some that are executed twice one after the other. (How many ones there are
/// between zeros of the Thue-Morse sequence.)
pub fn word(index: usize) -> Word {
    let ones = |number: usize| number.count_ones() % 2 == 1;
    // There are two zeros in each four.
    let zeros = (0..).filter(|number| !ones(*number));
    let mut zeros = zeros.skip(index);
    let (from, to) = (zeros.next().unwrap_or(0), zeros.next().unwrap_or(1));
    match to - from - 1 {
        0 => Word::Off,
        1 => Word::Toggle,
        _ => Word::On,
    }
}

/// What became of a command at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has it.
    Taken,
    /// It may have it.
    Unknown,
}

/// A command that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When it began to be sent.
    pub at: Instant,
    /// What it was.
    pub word: Word,
    /// What became of it.
    pub outcome: Outcome,
}

/// Sends commands until it is dropped.
#[derive(Debug)]
pub struct Commander {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    paused: bool,
    over: bool,
    /// A command is on its way to the broker.
    busy: bool,
    /// When the next one is to be sent.
    due: Option<Instant>,
    sent: Vec<Sent>,
}

impl Commander {
    /// Starts it beside the broker, paused; with `toggles` that is all it sends.
    pub fn start(at: &Namespace, toggles: bool) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().paused = true;
        let theirs = shared.clone();
        let name = at.name().to_owned();
        let thread = thread::spawn(move || theirs.command(&name, toggles));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Goes on, soon.
    pub fn resume(&self) {
        let mut state = self.shared.lock();
        state.paused = false;
        // Between two readings, not together with one.
        state.due = Some(Instant::now() + EVERY / 2);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Sends nothing more for now; returns when nothing is on its way to the broker.
    pub fn pause(&self) {
        let mut state = self.shared.lock();
        state.paused = true;
        while state.busy {
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What it sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.lock().sent.clone()
    }
}

impl Drop for Commander {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, namespace: &str, toggles: bool) {
        let mut index = 0;
        loop {
            let mut state = self.lock();
            loop {
                if state.over {
                    return;
                }
                let due = state.due.filter(|_| !state.paused);
                let left = due.map(|due| due.saturating_duration_since(Instant::now()));
                if left == Some(Duration::ZERO) {
                    break;
                }
                // Woken by a change, or at the next beat.
                let left = left.unwrap_or(EVERY);
                let waited = self.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.busy = true;
            drop(state);
            let at = Instant::now();
            let word = if toggles { Word::Toggle } else { word(index) };
            let outcome = send(namespace, word);
            let mut state = self.lock();
            state.busy = false;
            state.due = Some(at + EVERY);
            if let Some(outcome) = outcome {
                index += 1;
                state.sent.push(Sent { at, word, outcome });
            }
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// Sends a command; nothing, if it certainly did not reach the broker.
fn send(namespace: &str, word: Word) -> Option<Outcome> {
    let mut command = std::process::Command::new(super::find("ip"));
    command
        .args([
            "netns",
            "exec",
            namespace,
            "stdbuf",
            "-oL",
            "mosquitto_pub",
            "-d",
            "-q",
            "2",
        ])
        .args(["-h", "127.0.0.1", "-t", &format!("aldis/{ID}/led/set")])
        .args(["-m", word.as_str()]);
    let said = Journal::default();
    let mut client = Program::start_into(&mut command, said.clone()).ok()?;
    let ended = client.wait_end(Instant::now() + PATIENCE);
    if ended.is_some_and(|status| status.success()) {
        return Some(Outcome::Taken);
    }
    client.kill();
    let sent = |line: &str| line.contains("sending PUBLISH");
    // Its output ends soon after it.
    let soon = Instant::now() + Duration::from_millis(200);
    said.wait_line(0, soon, sent).map(|_| Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that is executed twice could be taken for the next one.
    #[test]
    fn no_part_is_followed_by_itself() {
        let words: Vec<_> = (0..400).map(word).collect();
        for length in 1..=words.len() / 2 {
            let repeated = words
                .windows(2 * length)
                .position(|part| part[..length] == part[length..]);
            assert_eq!(repeated, None, "{length}");
        }
        assert_eq!(Word::read("toggle"), Some(Word::Toggle));
        assert_eq!(Word::read("ON"), None);
    }
}
