//! What is kept of a device.

use std::sync::Arc;

use aldis_history::{Kind, Level, Point, StoredReading, csv};
use aldis_protocol::Tenths;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::take::{Ask, Named, Stretch, within};
use crate::cause;
use crate::error::{ApiError, ErrorBody};
use crate::model::diag;
use crate::shared::Shared;
use crate::view::{mean, tenths};

/// Outages that are told at most, the newest.
const OUTAGES: usize = 500;
/// How many of them are looked into.
const LOOKED_INTO: usize = 100;
/// Readings that are written together.
const LINES: usize = 512;

/// How many points.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Points {
    /// How many points at most.
    #[param(minimum = 1, maximum = 5000)]
    points: Option<u32>,
}

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// How many at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// In which form.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Shape {
    /// Without it `csv`.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A line of headings, then a line for each reading, as `aldis history --csv` prints them.
    #[default]
    Csv,
    /// A JSON object for each reading.
    Jsonl,
}

/// A chart, column by column. Where there is nothing for a while, a row of nulls stands.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Chart {
    /// What it was made of: `raw`, `5min` or `hour`.
    level: &'static str,
    at_ms: Vec<i64>,
    t_min: Vec<Option<f64>>,
    t: Vec<Option<f64>>,
    t_max: Vec<Option<f64>>,
    h_min: Vec<Option<f64>>,
    h: Vec<Option<f64>>,
    h_max: Vec<Option<f64>>,
    /// How many readings a point stands for.
    count: Vec<Option<u64>>,
}

impl Chart {
    fn new(chart: &aldis_history::Chart) -> Self {
        let level = match chart.level {
            Level::Raw => "raw",
            Level::Five => "5min",
            Level::Hour => "hour",
        };
        let mut columns = Self {
            level,
            ..Self::default()
        };
        let step = step(&chart.points, chart.width_ms);
        let mut last: Option<i64> = None;
        for point in &chart.points {
            if let Some(last) = last
                && point.start_ms.saturating_sub(last) > step.saturating_mul(3)
            {
                columns.push(last.saturating_add(step), None);
            }
            columns.push(point.start_ms, Some(point));
            last = Some(point.start_ms);
        }
        columns
    }

    fn push(&mut self, at_ms: i64, point: Option<&Point>) {
        self.at_ms.push(at_ms);
        self.t_min.push(point.map(|point| tenths(point.t.min)));
        self.t.push(point.map(|point| mean(point.t.mean)));
        self.t_max.push(point.map(|point| tenths(point.t.max)));
        self.h_min.push(point.map(|point| tenths(point.h.min)));
        self.h.push(point.map(|point| mean(point.h.mean)));
        self.h_max.push(point.map(|point| tenths(point.h.max)));
        self.count.push(point.map(|point| point.n));
    }
}

/// How far points are apart, as a rule.
fn step(points: &[Point], width_ms: i64) -> i64 {
    let mut steps: Vec<_> = points
        .windows(2)
        .filter_map(|pair| match pair {
            [one, two] => two.start_ms.checked_sub(one.start_ms),
            _ => None,
        })
        .collect();
    let middle = steps.len() / 2;
    let usual = match steps.is_empty() {
        true => 0,
        false => *steps.select_nth_unstable(middle).1,
    };
    // Readings of one millisecond are no measure.
    usual.max(width_ms).max(1000)
}

/// A chart
#[utoipa::path(get, path = "/api/devices/{key}/chart", tag = "kept", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen"), Stretch, Points),
    responses((status = 200, body = Chart), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn chart(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Ask(stretch): Ask<Stretch>,
    Ask(Points { points }): Ask<Points>,
) -> Result<Json<Chart>, ApiError> {
    let (from, to) = stretch.at(shared.now())?;
    let points = within("points", points, 800, 5000)?;
    let chart = shared.history.chart(&key, from, to, points).await?;
    Ok(Json(Chart::new(&chart)))
}

/// All readings
///
/// As a file, in the order in which they were taken.
#[utoipa::path(get, path = "/api/devices/{key}/readings", tag = "kept", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen"), Stretch, Shape),
    responses((status = 200, content((String = "text/csv"), (String = "application/jsonl"))),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn readings(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Ask(stretch): Ask<Stretch>,
    Ask(Shape { format }): Ask<Shape>,
) -> Result<Response, ApiError> {
    let (from, to) = stretch.at(shared.now())?;
    let mut readings = shared.history.readings(&key, from, to).peekable();
    // What is wrong is said while it can be.
    if let Some(Err(_)) = std::pin::Pin::new(&mut readings).peek().await
        && let Some(Err(error)) = readings.next().await
    {
        return Err(error.into());
    }
    let head = match format {
        Format::Csv => Bytes::from(format!("{}\n", csv::READING)),
        Format::Jsonl => Bytes::new(),
    };
    let head = futures::stream::iter((!head.is_empty()).then_some(Ok(head)));
    let zone = TimeZone::system();
    let lines = readings.ready_chunks(LINES).map(move |readings| {
        let mut lines = String::new();
        for reading in readings {
            // An end that is none: the file breaks off, and the browser sees it.
            let reading = reading?;
            match format {
                Format::Csv => csv::reading(&mut lines, &reading, &zone),
                Format::Jsonl => object(&mut lines, &reading),
            }
        }
        Ok::<_, aldis_history::HistoryError>(Bytes::from(lines))
    });
    let (kind, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        Format::Jsonl => ("application/jsonl", "jsonl"),
    };
    let name: String = key
        .to_string()
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() || char == '-' {
                char
            } else {
                '_'
            }
        })
        .collect();
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.{ending}\""))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::from_stream(head.chain(lines))).into_response())
}

fn object(lines: &mut String, reading: &StoredReading) {
    use std::fmt::Write as _;
    let time = jiff::Timestamp::from_millisecond(reading.taken_ms).unwrap_or_default();
    let (t, h) = (
        Tenths(reading.reading.t.into()),
        Tenths(reading.reading.h.into()),
    );
    let StoredReading {
        life,
        seq,
        boot,
        taken_ms,
        exact,
        ..
    } = *reading;
    // Writing to a string does not fail.
    let _ = writeln!(
        lines,
        r#"{{"time":"{time:.3}","taken_ms":{taken_ms},"t":{t},"h":{h},"life":{life},"seq":{seq},"boot":{boot},"exact":{exact}}}"#
    );
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    events: Vec<Event>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
pub(crate) struct Event {
    at_ms: i64,
    /// `led`, `sensor`, `status`, `message`, `message_state`, `answer` or `morse`.
    kind: &'static str,
    /// A state's word, or an object.
    value: Value,
}

/// The word for a kind of event.
pub(crate) fn kind(kind: Kind) -> &'static str {
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

/// What happened
///
/// The newest first.
#[utoipa::path(get, path = "/api/devices/{key}/events", tag = "kept", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen"), Stretch, Limit),
    responses((status = 200, body = Events), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn events(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Ask(stretch): Ask<Stretch>,
    Ask(Limit { limit }): Ask<Limit>,
) -> Result<Json<Events>, ApiError> {
    let (from, to) = stretch.at(shared.now())?;
    let limit = within("limit", limit, 100, 1000)?;
    let events = shared.history.events(&key, from, to, limit).await?;
    let events = events
        .into_iter()
        .map(|event| Event {
            at_ms: event.at_ms,
            kind: kind(event.kind),
            value: match event.kind {
                Kind::Led | Kind::Sensor | Kind::Status => event.value.into(),
                _ => serde_json::from_str(&event.value).unwrap_or(Value::Null),
            },
        })
        .collect();
    Ok(Json(Events { events }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Outages {
    outages: Vec<Outage>,
}

/// Time without contact.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outage {
    from_ms: i64,
    /// Null: it lasts.
    to_ms: Option<i64>,
    /// The reconnect counter of the device that rose (`wifi`, `dhcp`, `dns`, `tcp`, `refused`,
    /// `silent`, `taken_over`, `broker`) or why it started again (`power`, `software`, ...). `hub`:
    /// it began while the hub was away, after the last sign of life at `from_ms`.
    cause: Option<&'static str>,
}

/// When there was no contact
///
/// The newest 500, newest first.
#[utoipa::path(get, path = "/api/devices/{key}/outages", tag = "kept", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen"), Stretch),
    responses((status = 200, body = Outages), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn outages(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Ask(stretch): Ask<Stretch>,
) -> Result<Json<Outages>, ApiError> {
    let (from, to) = stretch.at(shared.now())?;
    let mut found = shared.history.outages(&key, from, to).await?;
    found.sort_unstable_by_key(|outage| std::cmp::Reverse(outage.from_ms));
    let mut outages = Vec::new();
    for (at, outage) in found.iter().take(OUTAGES).enumerate() {
        let cause = match at < LOOKED_INTO {
            true => cause::of(&shared.history, &key, outage).await?,
            false => None,
        };
        outages.push(Outage {
            from_ms: outage.from_ms,
            to_ms: outage.to_ms,
            cause,
        });
    }
    Ok(Json(Outages { outages }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Diags {
    /// As they were published, with `at_ms`.
    diags: Vec<Map<String, Value>>,
}

/// Health reports
///
/// The newest first.
#[utoipa::path(get, path = "/api/devices/{key}/diags", tag = "kept", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen"), Stretch, Limit),
    responses((status = 200, body = Diags), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn diags(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Ask(stretch): Ask<Stretch>,
    Ask(Limit { limit }): Ask<Limit>,
) -> Result<Json<Diags>, ApiError> {
    let (from, to) = stretch.at(shared.now())?;
    let limit = within("limit", limit, 100, 1000)?;
    let stored = shared.history.diags(&key, from, to, limit).await?;
    let diags = stored
        .iter()
        .filter_map(|stored| diag(stored.diag.body.as_bytes(), stored.at_ms))
        .collect();
    Ok(Json(Diags { diags }))
}

#[cfg(test)]
mod tests {
    use aldis_history::Range;

    use super::*;

    fn point(start_ms: i64) -> Point {
        let range = Range {
            min: 241,
            max: 243,
            mean: 241.96,
        };
        Point {
            start_ms,
            n: 3,
            t: range,
            h: range,
        }
    }

    fn drawn(starts: &[i64], width_ms: i64) -> Chart {
        Chart::new(&aldis_history::Chart {
            level: Level::Raw,
            width_ms,
            points: starts.iter().copied().map(point).collect(),
        })
    }

    /// A line is drawn through hours without contact, or has a hole between any two readings.
    #[test]
    fn gaps_in_time_are_rows_of_nothing() {
        let steady = [0, 5_000, 10_001, 15_000, 20_000];
        assert!(drawn(&steady, 0).t.iter().all(Option::is_some));
        // Points narrower than the readings are apart.
        assert!(drawn(&steady, 2_000).t.iter().all(Option::is_some));
        let broken = [0, 5_000, 10_000, 15_000, 95_000, 100_000, 105_000];
        let chart = drawn(&broken, 0);
        assert_eq!(chart.at_ms[4], 20_000);
        assert_eq!(
            (chart.t[4], chart.count[4], chart.h_max[4]),
            (None, None, None)
        );
        assert_eq!(
            (chart.t[5], chart.t_min[5], chart.t_max[5]),
            (Some(24.2), Some(24.1), Some(24.3))
        );
        assert_eq!(chart.at_ms.len(), broken.len() + 1);
        for few in [&[][..], &[7], &[7, 7], &[7, 7, 7]] {
            assert_eq!(drawn(few, 0).at_ms.len(), few.len());
        }
    }

    /// An object that no program reads, or numbers that were rounded on the way.
    #[test]
    fn readings_are_written_exactly() {
        let reading = StoredReading {
            life: 7,
            seq: 1,
            boot: 2,
            received_ms: 9,
            taken_ms: 1_790_000_000_012,
            exact: false,
            reading: aldis_protocol::Reading { t: -5, h: 265 },
        };
        let mut lines = String::new();
        object(&mut lines, &reading);
        let read: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(read["t"], -0.5);
        assert_eq!(read["exact"], false);
    }
}
