//! What somebody says, line by line, and when.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A line, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it came.
    pub at: Instant,
    /// Without its end.
    pub text: String,
}

/// Lines that are written by one thread and awaited by another. Its clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<(Mutex<Vec<Line>>, Condvar)>);

impl Journal {
    /// Adds a line, of now.
    pub fn write(&self, text: impl Into<String>) {
        let text = text.into();
        let at = Instant::now();
        self.lock().push(Line { at, text });
        self.0.1.notify_all();
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// The lines from this one on.
    pub fn since(&self, first: usize) -> Vec<Line> {
        let lines = self.lock();
        lines.get(first..).unwrap_or_default().to_vec()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Line> {
        self.since(0)
    }

    /// The last ones, for an error.
    pub fn tail(&self) -> String {
        let lines = self.lock();
        let from = lines.len().saturating_sub(20);
        let last = lines.iter().skip(from).map(|line| line.text.as_str());
        last.collect::<Vec<_>>().join("\n")
    }

    /// Waits until `find` makes something of the lines from `first` on, which it is given anew
    /// whenever there are more. Nothing, if it does not by then.
    pub fn wait<T>(
        &self,
        first: usize,
        until: Instant,
        mut find: impl FnMut(&[Line]) -> Option<T>,
    ) -> Option<T> {
        let mut lines = self.lock();
        loop {
            if let Some(found) = find(lines.get(first..).unwrap_or_default()) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.0.1.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for one line.
    pub fn wait_line(
        &self,
        first: usize,
        until: Instant,
        is_it: impl Fn(&str) -> bool,
    ) -> Option<Line> {
        self.wait(first, until, |lines| {
            lines.iter().find(|line| is_it(&line.text)).cloned()
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A line that comes while somebody waits is missed, or one of before is taken for it.
    #[test]
    fn a_line_is_awaited_from_a_place_on() {
        let journal = Journal::default();
        journal.write("a");
        journal.write("b");
        let writer = journal.clone();
        let waiting = thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(20);
            journal.wait_line(1, until, |text| text == "a")
        });
        writer.write("a");
        assert_eq!(waiting.join().unwrap().unwrap().text, "a");
        assert_eq!(writer.len(), 3);
        assert_eq!(writer.wait_line(3, Instant::now(), |_| true), None);
    }
}
