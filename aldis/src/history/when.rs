//! Moments as people type them.

use jiff::civil::{DateTime, Time};
use jiff::{Timestamp, Zoned};

use crate::duration;

/// Reads a moment, in milliseconds since 1970: a date, a time, both, or how long ago.
pub fn parse(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(now.timestamp().as_millisecond());
    }
    let ago = text.strip_suffix("ago").map_or(text, str::trim_end);
    if let Ok(ago) = duration::parse(ago) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(now.timestamp().as_millisecond().saturating_sub(ago).max(0));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    // A date alone is its midnight; a number alone could be anything.
    let time = || {
        let time = text.parse::<Time>().ok().filter(|_| text.contains(':'))?;
        Some(now.date().to_datetime(time))
    };
    let local = text.parse::<DateTime>().ok().or_else(time);
    match local.map(|local| local.to_zoned(now.time_zone().clone())) {
        Some(Ok(moment)) => Ok(moment.timestamp().as_millisecond()),
        _ => Err(format!(
            "`{text}` is no moment; write for example 2026-11-26, 2026-11-26T18:30, 18:30, \
             2026-11-26T18:30:00Z, or 2h for two hours ago"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read as another day or in another time zone it gives readings of another time.
    #[test]
    fn moments_are_what_people_mean() {
        let now: Zoned = "2026-11-26T18:30:15+02:00[Europe/Vilnius]".parse().unwrap();
        for (text, expected) in [
            ("now", "2026-11-26T16:30:15Z"),
            ("2h", "2026-11-26T14:30:15Z"),
            ("90s ago", "2026-11-26T16:28:45Z"),
            ("2026-11-01", "2026-10-31T22:00:00Z"),
            ("2026-07-01", "2026-06-30T21:00:00Z"),
            ("2026-11-26T12:00", "2026-11-26T10:00:00Z"),
            ("2026-11-26 12:00:01", "2026-11-26T10:00:01Z"),
            ("06:15", "2026-11-26T04:15:00Z"),
            ("2026-11-26T12:00:00Z", "2026-11-26T12:00:00Z"),
            ("2026-11-26T12:00:00+05:00", "2026-11-26T07:00:00Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(parse(text, &now), Ok(expected.as_millisecond()), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "25:00", "12", "-2h"] {
            let error = parse(text, &now).unwrap_err();
            assert!(error.contains("2026-11-26"), "{error}");
        }
    }
}
