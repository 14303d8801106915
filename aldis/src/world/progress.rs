//! How far it is, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line changes.
const EACH: Duration = Duration::from_millis(100);
/// How long the bar is.
const WIDTH: usize = 30;

/// A line on standard error, if that is a terminal.
pub struct Progress {
    shown: bool,
    is_terminal: bool,
    begin: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// Nothing is shown to programs.
    pub fn new(for_programs: bool) -> Self {
        Self {
            shown: false,
            is_terminal: !for_programs && io::stderr().is_terminal(),
            begin: Instant::now(),
            last: None,
        }
    }

    /// Shows how far it is.
    pub fn show(&mut self, done: f64, all: f64) {
        if !self.is_terminal || self.last.is_some_and(|last| last.elapsed() < EACH) {
            return;
        }
        self.last = Some(Instant::now());
        self.shown = true;
        let line = line(done / all.max(1.0), self.begin.elapsed());
        // A terminal that is gone needs no progress.
        let _ = write!(io::stderr(), "\r{line}\x1b[K");
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(part: f64, elapsed: Duration) -> String {
    let part = part.clamp(0.0, 1.0);
    let full = (part * WIDTH as f64) as usize;
    let bar: String = (0..WIDTH)
        .map(|at| if at < full { '█' } else { '·' })
        .collect();
    let left = match part > 0.01 {
        true => {
            let seconds = elapsed.as_secs_f64() * (1.0 - part) / part;
            format!("{:.0} s left", seconds.ceil())
        }
        false => String::new(),
    };
    format!("{bar} {:3.0} %  {left}", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::line;
    use std::time::Duration;

    /// A bar that overflows its line scrolls the terminal away.
    #[test]
    fn the_line_has_its_length() {
        for part in [0.0, 0.5, 1.0, 7.0, f64::NAN] {
            let line = line(part, Duration::from_secs(30));
            assert!(line.chars().count() < 60, "{line}");
        }
        assert!(line(0.5, Duration::from_secs(30)).ends_with("30 s left"));
    }
}
