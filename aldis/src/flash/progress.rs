//! How far the writing is: a bar on a terminal, lines elsewhere.

use std::io::Write;

use espflash::target::ProgressCallbacks;
use serde_json::json;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A bar that grows.
    Bar,
    /// A line for every quarter.
    Lines,
    /// An object for every quarter.
    Json,
}

const BAR: usize = 32;

/// The progress of writing parts, one after the other.
pub struct Progress<W> {
    out: W,
    style: Style,
    /// The names of the parts.
    names: Vec<&'static str>,
    /// How many of them are done.
    done: usize,
    /// In blocks, of whatever size.
    total: usize,
    /// What was said last about the one that is written.
    percent: Option<usize>,
}

impl<W: Write> Progress<W> {
    /// For these parts.
    pub fn new(out: W, style: Style, names: Vec<&'static str>) -> Self {
        Self {
            out,
            style,
            names,
            done: 0,
            total: 0,
            percent: None,
        }
    }

    fn name(&self) -> &'static str {
        self.names.get(self.done).copied().unwrap_or_default()
    }

    fn show(&mut self, percent: usize) {
        let step = match self.style {
            Style::Bar => 1,
            Style::Lines | Style::Json => 25,
        };
        let percent = percent / step * step;
        if self.percent == Some(percent) {
            return;
        }
        self.percent = Some(percent);
        let name = self.name();
        let text = match self.style {
            Style::Bar => format!("\r{}", bar(name, percent)),
            Style::Lines => format!("{name}: {percent} % written\n"),
            Style::Json => {
                let object = json!({"event": "progress", "part": name, "percent": percent});
                format!("{object}\n")
            }
        };
        self.say(&text);
    }

    /// Writing goes on when nobody can see it.
    fn say(&mut self, text: &str) {
        let _ = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
    }

    /// Ends a bar's line, so that what follows is not written over it.
    pub fn interrupted(mut self) {
        if self.style == Style::Bar && self.percent.is_some() {
            self.say("\n");
        }
    }
}

fn bar(name: &str, percent: usize) -> String {
    let full = BAR * percent.min(100) / 100;
    let (full, empty) = ("#".repeat(full), "-".repeat(BAR - full));
    format!("{name:<13} [{full}{empty}] {percent:>3} %")
}

impl<W: Write> ProgressCallbacks for Progress<W> {
    fn init(&mut self, _addr: u32, total: usize) {
        self.total = total;
        self.show(0);
    }

    fn update(&mut self, current: usize) {
        self.show((current * 100).checked_div(self.total).unwrap_or(100));
    }

    fn verifying(&mut self) {}

    fn finish(&mut self, skipped: bool) {
        let name = self.name();
        let how = match skipped {
            true => "unchanged",
            false => "verified",
        };
        let text = match self.style {
            Style::Bar => format!("\r{} {how}\n", bar(name, 100)),
            Style::Lines => format!("{name}: {how}\n"),
            Style::Json => format!("{}\n", json!({"event": how, "part": name})),
        };
        self.say(&text);
        self.percent = None;
        self.done += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, style, vec!["bootloader", "application"]);
        progress.finish(true);
        progress.init(0, 9);
        for block in 1..=9 {
            progress.update(block);
        }
        progress.verifying();
        progress.finish(false);
        String::from_utf8(out).unwrap()
    }

    /// A log full of bars, or a terminal that says nothing for a minute.
    #[test]
    fn progress_is_shown_as_it_can_be_read() {
        assert_eq!(
            shown(Style::Lines),
            "bootloader: unchanged\napplication: 0 % written\napplication: 25 % written\napplication: 50 % written\n\
             application: 75 % written\napplication: 100 % written\napplication: verified\n"
        );
        let bars = shown(Style::Bar);
        let bars: Vec<_> = bars.split('\r').collect();
        assert_eq!(bars.len(), 13, "{bars:?}");
        assert_eq!(
            bars[1],
            "bootloader    [################################] 100 % unchanged\n"
        );
        assert_eq!(
            bars[6],
            "application   [##############------------------]  44 %"
        );
        assert!(bars[12].ends_with("] 100 % verified\n"));
        let json = shown(Style::Json);
        let objects = json
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let events: Vec<_> = objects
            .map(|object| (object["event"].clone(), object["part"].clone()))
            .collect();
        assert_eq!(events.len(), 7, "{json}");
        assert_eq!(events[0], ("unchanged".into(), "bootloader".into()));
        assert_eq!(events[6], ("verified".into(), "application".into()));
    }

    /// An error is written at the end of the bar, or a part without blocks divides by zero.
    #[test]
    fn a_bar_that_stops_leaves_its_line() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, Style::Bar, vec!["application"]);
        progress.init(0, 0);
        progress.update(0);
        progress.interrupted();
        assert!(out.ends_with(b"100 %\n"));
    }
}
