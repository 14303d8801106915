//! The readout: a picture of the model, for any size of terminal.

use std::time::Duration;

use aldis_mqtt::Version;
use aldis_protocol::{Lamp, Reading, SensorState, Tenths};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::{Entry, Model, State};
use crate::panel::Size;
use crate::terminal::Looks;

/// From this height on everything has its heading, and the commands are shown.
const FULL: u16 = 20;
/// From this height on there is a title, and a line for each thing.
const MEDIUM: u16 = 9;
/// Messages that are shown at least, where everything has its heading.
const FEW: usize = 3;
/// From this height on a command or two are shown without the other headings.
const SOME_COMMANDS: u16 = 14;
/// From this width on labels are whole words.
const WIDE: u16 = 60;
/// Up to this width there is no room for how long something lasts.
const NARROW: u16 = 28;

/// Messages that are shown at least, where the panel is.
const ONE: usize = 1;

/// Draws the model.
pub fn draw(frame: &mut Frame<'_>, model: &Model, looks: Looks) {
    let area = frame.area();
    let painter = Painter {
        model,
        looks,
        width: area.width,
    };
    let lines = match area.height {
        FULL.. => painter.full(area.height),
        _ if model.prefers_panel && painter.panel_size(0, area.height.into()).is_some() => {
            painter.with_panel(area.height.into())
        }
        MEDIUM.. => painter.medium(area.height),
        height => painter.small(height),
    };
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        frame.render_widget(line, Rect::new(area.x, y, area.width, 1));
    }
}

struct Painter<'a> {
    model: &'a Model,
    looks: Looks,
    width: u16,
}

impl<'a> Painter<'a> {
    fn full(&self, height: u16) -> Vec<Line<'a>> {
        let mut lines = vec![
            self.title(),
            self.heading("Climate"),
            self.temperature(),
            self.humidity(),
            self.heading("Device"),
            self.lamp(),
            self.connection(),
            self.sensor(),
        ];
        let height = usize::from(height);
        // Two headings and the keys; and the panel's heading.
        let commands = self.commands(height.saturating_sub(lines.len() + 3 + FEW));
        let fixed = lines.len() + 3;
        let size = self.panel_size(fixed + 1 + commands.len() + FEW, height);
        if self.model.prefers_panel && self.panel_size(0, height) != size {
            return self.with_panel(height);
        }
        if let Some(size) = size {
            lines.push(self.heading("Screen"));
            lines.extend(self.panel(size));
        }
        let room = height.saturating_sub(lines.len() + 3 + commands.len());
        lines.push(self.heading("Messages"));
        lines.extend(self.log(room));
        lines.push(self.heading("In another terminal"));
        lines.extend(commands);
        lines.push(self.keys());
        lines
    }

    /// The panel, and as much besides as there is room for.
    fn with_panel(&self, height: usize) -> Vec<Line<'a>> {
        let besides = [
            self.title(),
            self.temperature(),
            self.humidity(),
            self.lamp(),
            self.connection(),
        ];
        let Some(size) = self
            .panel_size(besides.len() + ONE + 1, height)
            .or_else(|| self.panel_size(0, height))
        else {
            return Vec::new();
        };
        let mut left = height.saturating_sub(size.lines());
        let keys = left.min(1);
        left -= keys;
        let mut lines: Vec<_> = besides.into_iter().take(left).collect();
        left -= lines.len();
        lines.extend(self.panel(size));
        lines.extend(self.log(left));
        lines.extend((keys == 1).then(|| self.keys()));
        lines
    }

    /// The largest panel for which there is room with so many other lines.
    fn panel_size(&self, others: usize, height: usize) -> Option<Size> {
        let room = height.checked_sub(others)?;
        Size::within(usize::from(self.width), room, self.looks)
    }

    fn panel(&self, size: Size) -> Vec<Line<'a>> {
        self.model.sight.drawn(size, self.looks)
    }

    fn medium(&self, height: u16) -> Vec<Line<'a>> {
        let mut lines = vec![
            self.title(),
            self.temperature(),
            self.humidity(),
            self.lamp(),
            self.connection(),
            self.heading("Messages"),
        ];
        let commands = match height {
            SOME_COMMANDS.. => self.commands(3),
            _ => Vec::new(),
        };
        let below = match commands.len() {
            0 => 1,
            some => some + 2,
        };
        lines.extend(self.log(usize::from(height).saturating_sub(lines.len() + below)));
        if !commands.is_empty() {
            lines.push(self.heading("In another terminal"));
            lines.extend(commands);
        }
        lines.push(self.keys());
        lines
    }

    fn small(&self, height: u16) -> Vec<Line<'a>> {
        let (t, h) = self.values();
        let climate = Line::from(vec![
            Span::raw(" "),
            Span::styled(format!("{t} {}", self.degrees()), self.bold()),
            Span::raw("  "),
            Span::styled(format!("{h} %"), self.bold()),
        ]);
        let mut lines = vec![climate, self.lamp(), self.connection()];
        let rest = usize::from(height).saturating_sub(lines.len());
        let keys = usize::from(rest > 1);
        lines.extend(self.log(rest.saturating_sub(keys)));
        if keys == 1 {
            lines.push(self.keys());
        }
        lines
    }

    fn title(&self) -> Line<'a> {
        let up = span(self.model.now);
        let mut line = Line::from(vec![
            Span::raw(" "),
            Span::styled("aldis demo", self.bold()),
            Span::raw("   hub "),
            Span::raw(self.model.hub.as_str()),
        ]);
        let device = format!("device {}   {up} ", self.model.device);
        let room = usize::from(self.width).saturating_sub(line.width());
        if device.chars().count() + 3 <= room {
            line.push_span(Span::raw(format!("{device:>room$}")));
        }
        line
    }

    fn heading(&self, name: &str) -> Line<'a> {
        let rule = if self.looks.unicode { "─" } else { "-" };
        let rest = usize::from(self.width).saturating_sub(name.chars().count() + 4);
        Line::from(vec![
            Span::styled(rule.repeat(2), self.dim()),
            Span::styled(format!(" {name} "), self.bold()),
            Span::styled(rule.repeat(rest), self.dim()),
        ])
    }

    fn label(&self, long: &str, short: &str) -> Span<'a> {
        match self.width {
            WIDE.. => Span::raw(format!(" {long:<13}")),
            _ => Span::raw(format!(" {short:<5}")),
        }
    }

    fn degrees(&self) -> &'static str {
        if self.looks.unicode { "°C" } else { "C" }
    }

    /// Temperature and humidity, if they can be believed.
    fn values(&self) -> (String, String) {
        let believed = self.model.sensor == Some(SensorState::Ok);
        match self.model.reading.filter(|_| believed) {
            Some(reading) => (
                reading.temperature().to_string(),
                reading.humidity().to_string(),
            ),
            None => ("--".to_owned(), "--".to_owned()),
        }
    }

    fn temperature(&self) -> Line<'a> {
        let value = format!("{:>6} {:<4}", self.values().0, self.degrees());
        self.quantity(
            self.label("Temperature", "Temp"),
            value,
            |reading| i32::from(reading.t),
            Color::LightRed,
        )
    }

    fn humidity(&self) -> Line<'a> {
        let value = format!("{:>6} {:<4}", self.values().1, "%");
        self.quantity(
            self.label("Humidity", "Hum"),
            value,
            |reading| i32::from(reading.h),
            Color::LightBlue,
        )
    }

    /// A value, its history and, where there is room, between which bounds that was.
    fn quantity(
        &self,
        label: Span<'a>,
        value: String,
        tenths: impl Fn(&Reading) -> i32,
        colour: Color,
    ) -> Line<'a> {
        let mut line = Line::from(vec![label, Span::styled(value, self.bold())]);
        let room = usize::from(self.width).saturating_sub(line.width() + 1);
        let bounds_width = if self.width >= WIDE { 18 } else { 0 };
        let chart = room.saturating_sub(bounds_width).min(60);
        let skipped = self.model.history.len().saturating_sub(chart);
        let shown: Vec<i32> = self
            .model
            .history
            .iter()
            .skip(skipped)
            .map(tenths)
            .collect();
        let (Some(&low), Some(&high)) = (shown.iter().min(), shown.iter().max()) else {
            return line;
        };
        line.push_span(Span::styled(
            self.chart(&shown, low, high),
            self.colour(colour),
        ));
        if bounds_width > 0 {
            let dots = if self.looks.unicode { "…" } else { ".." };
            let bounds = format!("  {} {dots} {}", Tenths(low), Tenths(high));
            line.push_span(Span::styled(bounds, self.dim()));
        }
        line
    }

    fn chart(&self, values: &[i32], low: i32, high: i32) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        const ASCII: [char; 8] = ['_', '.', ',', '-', '~', '=', '^', '#'];
        /// A tenth more or less is no mountain.
        const LEAST_RANGE: i32 = 8;
        let marks = if self.looks.unicode { &BARS } else { &ASCII };
        let range = (high - low).max(LEAST_RANGE);
        let base = low - (range - (high - low)) / 2;
        values
            .iter()
            .map(|value| {
                let level = (value - base) * 8 / (range + 1);
                let level = usize::try_from(level).unwrap_or(0);
                marks.get(level).copied().unwrap_or('#')
            })
            .collect()
    }

    fn lamp(&self) -> Line<'a> {
        let bright = self.colour(Color::Yellow).patch(self.bold());
        let (text, style) = match self.model.lamp {
            Some(Lamp::On) => ("on", bright),
            Some(Lamp::Off) => ("off", Style::new()),
            None => ("--", self.dim()),
        };
        // While it calls for somebody, or plays Morse code, that is not its state.
        let (dot, light) = match self.model.light.or(self.model.lamp) {
            Some(Lamp::On) => (self.dot(true), bright),
            Some(Lamp::Off) => (self.dot(false), Style::new()),
            None => (self.dot(false), self.dim()),
        };
        let mut line = Line::from(vec![
            self.label("Lamp", "Lamp"),
            Span::styled(dot, light),
            Span::styled(format!(" {text:<3}"), style),
        ]);
        if self.model.lamp.is_some() {
            line.push_span(self.since(self.model.lamp_since));
        }
        line
    }

    fn connection(&self) -> Line<'a> {
        let connection = &self.model.connection;
        let (dot, text, style) = match &connection.state {
            State::Connecting => (self.dot(false), "connecting".to_owned(), self.dim()),
            State::Connected(version) => {
                let version = match version {
                    Version::V4 => "MQTT 3.1.1",
                    Version::V5 => "MQTT 5",
                };
                let text = match self.width {
                    WIDE.. => format!("connected, {version}"),
                    _ => version.to_owned(),
                };
                (self.dot(true), text, self.colour(Color::Green))
            }
            State::Lost(words) => {
                let text = format!("lost: {words}");
                (
                    self.dot(false),
                    text,
                    self.colour(Color::Red).patch(self.bold()),
                )
            }
        };
        let mut line = Line::from(vec![
            self.label("Connection", "MQTT"),
            Span::styled(format!("{dot} "), style),
        ]);
        let since = self.since(connection.since);
        let room = usize::from(self.width).saturating_sub(line.width() + since.width() + 1);
        line.push_span(Span::styled(self.cut(&text, room), style));
        line.push_span(since);
        line
    }

    fn sensor(&self) -> Line<'a> {
        let (text, style) = match self.model.sensor {
            Some(SensorState::Ok) => ("ok", Style::new()),
            Some(SensorState::Stale) => ("stale", self.colour(Color::Yellow)),
            Some(SensorState::Missing) => ("missing", self.colour(Color::Red)),
            None => ("--", self.dim()),
        };
        Line::from(vec![
            self.label("Sensor", "Sens"),
            Span::styled(text, style),
        ])
    }

    fn since(&self, since: Duration) -> Span<'a> {
        let lasted = span(self.model.now.saturating_sub(since));
        let text = match self.width {
            WIDE.. => format!("  for {lasted}"),
            ..NARROW => String::new(),
            _ => format!(" {lasted}"),
        };
        Span::styled(text, self.dim())
    }

    /// The latest messages in exactly so many lines.
    fn log(&self, room: usize) -> Vec<Line<'a>> {
        let skipped = self.model.log.len().saturating_sub(room);
        let shown = self.model.log.iter().skip(skipped);
        // The column is as wide as it must be, up to a third of the line.
        let topic = shown
            .clone()
            .filter_map(|entry| entry.topic.as_ref())
            .map(|topic| width(topic))
            .max()
            .unwrap_or(0)
            .min(usize::from(self.width) / 3);
        let mut lines: Vec<_> = shown.map(|entry| self.entry(entry, topic)).collect();
        lines.resize(room, Line::default());
        lines
    }

    fn entry(&self, entry: &'a Entry, topic_width: usize) -> Line<'a> {
        let mut line = Line::default();
        if self.width >= 40 {
            line.push_span(Span::styled(clock(entry.at), self.dim()));
        }
        line.push_span(Span::raw(" "));
        let text = match &entry.topic {
            Some(topic) => {
                let topic = self.cut_start(topic, topic_width);
                let pad = topic_width.saturating_sub(width(&topic));
                line.push_span(Span::styled(topic, self.colour(Color::Cyan)));
                line.push_span(Span::raw(" ".repeat(pad + 1)));
                if entry.retained {
                    line.push_span(Span::styled("(retained) ", self.dim()));
                }
                &entry.text
            }
            None => {
                line.push_span(Span::styled("! ", self.colour(Color::Yellow)));
                &entry.text
            }
        };
        let room = usize::from(self.width).saturating_sub(line.width());
        line.push_span(Span::raw(self.cut(text, room)));
        line
    }

    /// As many commands as fit into so many lines, ready to be pasted.
    fn commands(&self, most: usize) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        for command in &self.model.commands {
            let wrapped = wrap(command, usize::from(self.width).saturating_sub(1));
            if lines.len() + wrapped.len() > most {
                break;
            }
            lines.extend(
                wrapped
                    .into_iter()
                    .map(|line| Line::from(format!(" {line}"))),
            );
        }
        lines
    }

    fn keys(&self) -> Line<'a> {
        let keys: &[_] = match self.width {
            WIDE.. => &[
                ("l", "lamp"),
                ("b", "button"),
                ("r", "reply"),
                ("p", "presets"),
                ("s", "screen"),
                ("q", "quit"),
            ],
            NARROW.. => &[("l", "lamp"), ("b", "button"), ("q", "quit")],
            _ => &[("l", "lamp"), ("q", "quit")],
        };
        let mut line = Line::default();
        for (key, what) in keys {
            line.push_span(Span::raw(" "));
            line.push_span(Span::styled(*key, self.bold()));
            line.push_span(Span::raw(format!(" {what} ")));
        }
        line
    }

    fn dot(&self, full: bool) -> &'static str {
        match (self.looks.unicode, full) {
            (true, true) => "●",
            (true, false) => "○",
            (false, true) => "*",
            (false, false) => "o",
        }
    }

    /// The text in so many columns, without its end if need be.
    fn cut(&self, text: &str, room: usize) -> String {
        let text = self.showable(text);
        if width(&text) <= room {
            return text;
        }
        let mut cut: String = fitting(text.chars(), room).collect();
        cut.push_str(self.dots(room));
        cut
    }

    /// The text in so many columns, without its beginning if need be: topics differ in their end.
    fn cut_start(&self, text: &str, room: usize) -> String {
        let text = self.showable(text);
        if width(&text) <= room {
            return text;
        }
        let end: Vec<char> = fitting(text.chars().rev(), room).collect();
        self.dots(room)
            .chars()
            .chain(end.into_iter().rev())
            .collect()
    }

    fn showable(&self, text: &str) -> String {
        let ascii = |c: char| if c.is_ascii() { c } else { '?' };
        match self.looks.unicode {
            true => text.to_owned(),
            false => text.chars().map(ascii).collect(),
        }
    }

    /// What stands for the part that was cut off.
    fn dots(&self, room: usize) -> &'static str {
        match (room, self.looks.unicode) {
            (0, _) => "",
            (_, true) => "…",
            (_, false) => "~",
        }
    }

    fn colour(&self, colour: Color) -> Style {
        match self.looks.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn bold(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// A command in lines that a shell puts together again.
fn wrap(command: &str, width: usize) -> Vec<String> {
    const JOIN: &str = " \\";
    let mut lines = vec![String::new()];
    let mut words = command.split(' ').peekable();
    while let Some(word) = words.next() {
        let join = if words.peek().is_some() {
            JOIN.len()
        } else {
            0
        };
        let Some(line) = lines.last_mut() else { break };
        let is_first = line.trim().is_empty();
        if !is_first && self::width(line) + 1 + self::width(word) + join > width {
            line.push_str(JOIN);
            lines.push(format!("  {word}"));
        } else {
            if !is_first {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The first characters that fit into so many columns and leave one of them.
fn fitting(text: impl Iterator<Item = char>, room: usize) -> impl Iterator<Item = char> {
    let mut left = room.saturating_sub(1);
    text.map_while(move |c| {
        left = left.checked_sub(width(c.encode_utf8(&mut [0; 4])))?;
        Some(c)
    })
}

/// A time of the demo: `12:34`.
fn clock(at: Duration) -> String {
    let secs = at.as_secs();
    let (h, m, s) = (secs / 3_600, secs / 60 % 60, secs % 60);
    match h {
        0 => format!("{m:>3}:{s:02}"),
        _ => format!("{h}:{m:02}:{s:02}"),
    }
}

/// How long: the two largest units.
fn span(lasted: Duration) -> String {
    let secs = lasted.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        3_600..86_400 => format!("{} h {} min", secs / 3_600, secs / 60 % 60),
        _ => format!("{} d {} h", secs / 86_400, secs / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::wrap;

    /// A command that is cut off, or that the shell takes for two.
    #[test]
    fn commands_wrap_so_that_they_can_be_pasted() {
        let command = "mosquitto_pub -h 127.0.0.1 -p 1883 -t output -m on -q 1";
        assert_eq!(wrap(command, 80), [command]);
        for width in 20..60 {
            let lines = wrap(command, width);
            assert!(lines.iter().all(|line| line.len() <= width), "{lines:?}");
            let joined = lines.join("\n").replace(" \\\n ", "");
            assert_eq!(joined, command);
        }
        assert_eq!(
            wrap("/a/very/long/path x", 5),
            ["/a/very/long/path \\", "  x"]
        );
    }
}
