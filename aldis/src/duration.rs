//! Durations as people type them: `30s`, `5m`, `2h`, `30d`.

use std::time::Duration;

/// Reads a duration; for `clap`'s `value_parser`.
pub fn parse(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(duration) if duration.is_zero() => Err("it must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!(
            "`{text}` is not a duration; write a number and a unit, for example 30s, 5m, 2h or 30d"
        )),
    }
}

/// Waits until the time is over; without one, for ever.
pub async fn over(lifetime: Option<Duration>) {
    match lifetime {
        Some(lifetime) => tokio::time::sleep(lifetime).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    /// `5m` read as five months would keep a program running.
    #[test]
    fn units_mean_what_people_expect() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("2h", 7_200),
            ("30d", 2_592_000),
            ("1h30m", 5_400),
            (" 1s ", 1),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    /// A number without a unit could be taken for anything.
    #[test]
    fn what_is_not_a_duration_is_refused_with_an_example() {
        for text in ["", "30", "s", "-5s", "5 parsecs", "99999999999999999999d"] {
            assert!(parse(text).unwrap_err().contains("30s"), "{text}");
        }
        assert!(parse("0s").is_err());
    }
}
