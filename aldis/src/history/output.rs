//! What is recorded, as text, comma-separated values or JSON.

use std::io::{self, BufWriter, Stdout, Write};

use aldis_history::{
    Device, Event, Gap, Kind, Latest, Outage, Point, Standing, StoredReading, csv,
};
use aldis_protocol::topic::DEFAULT_PREFIX;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::printable::{escaped, escaped_json};

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Csv,
    Json,
}

/// Prints lines, and knows whether there were any.
pub struct Output {
    form: Form,
    to: BufWriter<Stdout>,
    zone: TimeZone,
    lines: u64,
}

impl Output {
    pub fn new(form: Form) -> Self {
        Self {
            form,
            to: BufWriter::new(io::stdout()),
            zone: TimeZone::system(),
            lines: 0,
        }
    }

    /// Nothing more comes; if nothing came, that is said to people.
    pub fn end(&mut self, nothing: &str) -> io::Result<()> {
        if self.lines == 0 && self.form != Form::Json {
            match self.form {
                Form::Text => writeln!(self.to, "{nothing}")?,
                _ => writeln!(io::stderr(), "aldis: {nothing}")?,
            }
        }
        self.to.flush()
    }

    /// A moment with its zone, for programs.
    fn exact(&self, ms: i64) -> String {
        csv::moment(ms, &self.zone)
    }

    /// A moment for people.
    fn plain(&self, ms: i64) -> String {
        match Timestamp::from_millisecond(ms) {
            Ok(moment) => format!(
                "{}",
                moment
                    .to_zoned(self.zone.clone())
                    .strftime("%Y-%m-%d %H:%M:%S")
            ),
            Err(_) => ms.to_string(),
        }
    }

    fn line(&mut self, heading: &str, row: &str, text: &str, json: &Value) -> io::Result<()> {
        if self.lines == 0 && self.form == Form::Csv {
            writeln!(self.to, "{heading}")?;
        }
        self.lines += 1;
        match self.form {
            Form::Text => writeln!(self.to, "{text}"),
            Form::Csv => self.to.write_all(row.as_bytes()),
            Form::Json => writeln!(self.to, "{}", escaped_json(&json.to_string())),
        }
    }

    pub fn reading(&mut self, of: &StoredReading) -> io::Result<()> {
        let (t, h) = (
            of.reading.temperature().to_string(),
            of.reading.humidity().to_string(),
        );
        let mut row = String::new();
        csv::reading(&mut row, of, &self.zone);
        let text = format!(
            "{}{} {t:>6} °C {h:>5} %",
            self.plain(of.taken_ms),
            if of.exact { ' ' } else { '~' }
        );
        let json = json!({
            "taken_ms": of.taken_ms,
            "taken": self.exact(of.taken_ms),
            "t": number(i32::from(of.reading.t)),
            "h": number(i32::from(of.reading.h)),
            "seq": of.seq,
            "life": of.life,
            "boot": of.boot,
            "received_ms": of.received_ms,
            "exact": of.exact,
        });
        self.line(csv::READING, &row, &text, &json)
    }

    pub fn point(&mut self, of: &Point) -> io::Result<()> {
        let tenth = |tenths: i32| format!("{:.1}", f64::from(tenths) / 10.0);
        let mean = |mean: f64| format!("{:.2}", mean / 10.0);
        let fields = [
            self.exact(of.start_ms),
            of.n.to_string(),
            tenth(of.t.min),
            mean(of.t.mean),
            tenth(of.t.max),
            tenth(of.h.min),
            mean(of.h.mean),
            tenth(of.h.max),
        ];
        let text = format!(
            "{}  {:>6} {:>6} {:>6} °C  {:>5} {:>5} {:>5} %  {}",
            self.plain(of.start_ms),
            fields[2],
            fields[3],
            fields[4],
            fields[5],
            fields[6],
            fields[7],
            of.n
        );
        let range = |of: &aldis_history::Range| {
            json!({
                "min": number(of.min),
                "mean": (of.mean * 10.0).round() / 100.0,
                "max": number(of.max),
            })
        };
        let json = json!({
            "start_ms": of.start_ms,
            "start": self.exact(of.start_ms),
            "n": of.n,
            "t": range(&of.t),
            "h": range(&of.h),
        });
        let heading = "start,n,t_min,t_mean,t_max,h_min,h_mean,h_max";
        self.line(heading, &row(&fields), &text, &json)
    }

    pub fn gap(&mut self, of: &Gap) -> io::Result<()> {
        let fate = if of.lost { "lost" } else { "missing" };
        let moment = |ms: Option<i64>| ms.map(|ms| self.exact(ms)).unwrap_or_default();
        let fields = [
            of.life.to_string(),
            of.first.to_string(),
            of.last.to_string(),
            fate.to_owned(),
            moment(of.after_ms),
            moment(of.before_ms),
        ];
        let count = u64::from(of.last) - u64::from(of.first) + 1;
        let place = match (of.after_ms, of.before_ms) {
            (Some(after), Some(before)) => {
                format!(", between {} and {}", self.plain(after), self.plain(before))
            }
            (Some(after), None) => format!(", after {}", self.plain(after)),
            (None, Some(before)) => format!(", before {}", self.plain(before)),
            (None, None) => String::new(),
        };
        let numbers = match count {
            1 => format!("1 {fate}: number {}", of.first),
            _ => format!("{count} {fate}: numbers {} to {}", of.first, of.last),
        };
        let text = format!("{numbers}{place}");
        let json = json!({
            "life": of.life,
            "first": of.first,
            "last": of.last,
            "lost": of.lost,
            "after_ms": of.after_ms,
            "before_ms": of.before_ms,
        });
        self.line(
            "life,first,last,fate,after,before",
            &row(&fields),
            &text,
            &json,
        )
    }

    pub fn outage(&mut self, of: &Outage) -> io::Result<()> {
        let fields = [
            self.exact(of.from_ms),
            of.to_ms.map(|ms| self.exact(ms)).unwrap_or_default(),
            of.hub_away.to_string(),
        ];
        let mut text = match of.to_ms {
            Some(to) => {
                let seconds = u64::try_from(to.saturating_sub(of.from_ms) / 1_000).unwrap_or(0);
                let long = humantime::format_duration(std::time::Duration::from_secs(seconds));
                let (from, to) = (self.plain(of.from_ms), self.plain(to));
                format!("{from} to {to}  {long}")
            }
            None => format!("{} until now", self.plain(of.from_ms)),
        };
        if of.hub_away {
            text.push_str("  began while the hub was away");
        }
        let json = json!({"from_ms": of.from_ms, "to_ms": of.to_ms, "hub_away": of.hub_away});
        self.line("from,to,hub_away", &row(&fields), &text, &json)
    }

    pub fn event(&mut self, of: &Event) -> io::Result<()> {
        let kind = kind(of.kind);
        let fields = [self.exact(of.at_ms), kind.to_owned(), of.value.clone()];
        let text = format!(
            "{}  {kind:<13} {}",
            self.plain(of.at_ms),
            escaped(&of.value)
        );
        let value = serde_json::from_str(&of.value)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| Value::from(of.value.clone()));
        let json = json!({
            "at_ms": of.at_ms,
            "at": self.exact(of.at_ms),
            "kind": kind,
            "value": value,
        });
        self.line("at,kind,value", &row(&fields), &text, &json)
    }

    pub fn device(
        &mut self,
        of: &Device,
        standings: &[Standing],
        gaps: &[Gap],
        latest: &Latest,
    ) -> io::Result<()> {
        let count = |lost: bool| -> u64 {
            let of = gaps.iter().filter(|gap| gap.lost == lost);
            of.map(|gap| u64::from(gap.last) - u64::from(gap.first) + 1)
                .sum()
        };
        let (missing, lost) = (count(false), count(true));
        let numbers: u64 = standings
            .iter()
            .map(|of| u64::from(of.highest).saturating_sub(u64::from(of.base)) + 1)
            .sum();
        let readings = numbers.saturating_sub(missing + lost);
        let name = match of.key.prefix() {
            DEFAULT_PREFIX => escaped(of.key.id()),
            _ => escaped(&of.key.to_string()),
        };
        let title = of.title.clone().unwrap_or_default();
        let status = latest
            .status
            .as_ref()
            .map_or("unknown", |(_, status)| status.as_str());
        let fields = [
            of.key.to_string(),
            title.clone(),
            status.to_owned(),
            self.exact(of.first_ms),
            self.exact(of.last_ms),
            readings.to_string(),
            missing.to_string(),
            lost.to_string(),
        ];
        let mut text = format!(
            "{name:<20} {status:<8} last heard {}  {readings} readings",
            self.plain(of.last_ms)
        );
        for (count, fate) in [(missing, "missing"), (lost, "lost")] {
            if count > 0 {
                text.push_str(&format!(", {count} {fate}"));
            }
        }
        if !title.is_empty() {
            text.push_str(&format!("  ({})", escaped(&title)));
        }
        let json = json!({
            "device": of.key.to_string(),
            "title": of.title,
            "status": latest.status.as_ref().map(|(_, status)| status),
            "first_ms": of.first_ms,
            "last_ms": of.last_ms,
            "readings": readings,
            "missing": missing,
            "lost": lost,
        });
        let heading = "device,title,status,first_heard,last_heard,readings,missing,lost";
        self.line(heading, &row(&fields), &text, &json)
    }
}

/// Tenths as a JSON number.
fn number(tenths: i32) -> Value {
    json!(f64::from(tenths) / 10.0)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Led => "led",
        Kind::Sensor => "sensor",
        Kind::Status => "status",
        Kind::Message => "message",
        Kind::MessageState => "message_state",
        Kind::Answer => "answer",
        Kind::Morse => "morse",
        Kind::NotAReading => "not_a_reading",
        _ => "other",
    }
}

/// A line of comma-separated values.
fn row(fields: &[String]) -> String {
    let mut row = String::new();
    csv::row(&mut row, fields.iter().map(String::as_str));
    row
}
