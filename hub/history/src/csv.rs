//! Comma-separated values (RFC 4180, but lines end with LF), in one form for whoever writes them.
//!
//! Text of others may be opened in a spreadsheet: what that would take for a formula begins with
//! an apostrophe.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::view::StoredReading;

/// The headings of what [`reading`] writes.
pub const READING: &str = "taken,t,h,seq,life,boot,received,exact";

/// With what a field begins that a spreadsheet takes for a formula, or passes over before one.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A moment in milliseconds since 1970, with its offset from UTC.
pub fn moment(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(moment) => moment
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%dT%H:%M:%S.%3f%:z")
            .to_string(),
        Err(_) => ms.to_string(),
    }
}

/// Appends a line.
pub fn row<'a>(to: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    for (at, field) in fields.into_iter().enumerate() {
        if at > 0 {
            to.push(',');
        }
        push(to, field);
    }
    to.push('\n');
}

/// Appends the line of a reading: temperature in °C, relative humidity in %, times in this zone.
pub fn reading(to: &mut String, of: &StoredReading, zone: &TimeZone) {
    row(
        to,
        [
            moment(of.taken_ms, zone).as_str(),
            &of.reading.temperature().to_string(),
            &of.reading.humidity().to_string(),
            &of.seq.to_string(),
            &of.life.to_string(),
            &of.boot.to_string(),
            &moment(of.received_ms, zone),
            if of.exact { "true" } else { "false" },
        ],
    );
}

fn push(to: &mut String, field: &str) {
    let begins = |char: char| FORMULA.contains(&char);
    let is_formula = field.starts_with(begins) && !is_number(field);
    let quoted = field.contains([',', ';', '"', '\t', '\n', '\r']);
    if quoted {
        to.push('"');
    }
    if is_formula {
        to.push('\'');
    }
    match quoted {
        true => to.push_str(&field.replace('"', "\"\"")),
        false => to.push_str(field),
    }
    if quoted {
        to.push('"');
    }
}

/// Whether it is a number below zero: that is computed to itself.
fn is_number(field: &str) -> bool {
    field.strip_prefix('-').is_some_and(|digits| {
        digits.starts_with(|char: char| char.is_ascii_digit())
            && digits
                .chars()
                .all(|char| char.is_ascii_digit() || char == '.')
    })
}

#[cfg(test)]
mod tests {
    use aldis_protocol::Reading;

    use super::*;

    /// A message with a comma would move the columns, one with `=` would be run by a spreadsheet.
    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (field, expected) in [
            ("24.1", "24.1"),
            ("-4.1", "-4.1"),
            ("a,b", "\"a,b\""),
            ("a;b", "\"a;b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=1+1", "'=1+1"),
            ("=a,b", "\"'=a,b\""),
            ("\t=1+1", "\"'\t=1+1\""),
            ("\n=1+1", "\"'\n=1+1\""),
            ("＝1+1", "'＝1+1"),
            ("+1", "'+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-cmd", "'-cmd"),
            ("-1+1", "'-1+1"),
            ("-", "'-"),
            ("", ""),
        ] {
            let mut line = String::new();
            row(&mut line, [field, field]);
            assert_eq!(line, format!("{expected},{expected}\n"));
        }
    }

    /// A line that does not fit its headings, or numbers that were rounded on the way.
    #[test]
    fn readings_are_written_exactly() {
        let of = StoredReading {
            life: 7,
            seq: 1,
            boot: 2,
            received_ms: 1_790_000_000_512,
            taken_ms: 1_790_000_000_012,
            exact: false,
            reading: Reading { t: -5, h: 265 },
        };
        let mut line = String::new();
        reading(&mut line, &of, &TimeZone::UTC);
        assert_eq!(
            line,
            "2026-09-21T14:13:20.012+00:00,-0.5,26.5,1,7,2,2026-09-21T14:13:20.512+00:00,false\n"
        );
        assert_eq!(READING.split(',').count(), line.split(',').count());
        assert_eq!(moment(i64::MAX, &TimeZone::UTC), i64::MAX.to_string());
    }
}
