//! What came out, for people and for programs.

use std::time::Duration;

use serde_json::json;

use super::cases::Case;
use super::run::Row;

const HEADINGS: [&str; 12] = [
    "fault",
    "broker",
    "device",
    "way",
    "noticed",
    "back",
    "losses",
    "published",
    "delivered",
    "lost",
    "twice",
    "commands",
];

/// How many columns of words come first.
const WORDS: usize = 4;

const FOOTNOTE: &str = "\
noticed: seconds from the beginning of the fault until the device said that contact is lost.
back: seconds from its end to the first new delivery; of one that does not end, from its beginning.
losses: connections lost. twice: readings that came again, with the same number.
commands: executed, of those that the broker took. *: later than the goal.";

fn seconds(time: Option<Duration>, late: bool) -> String {
    match time {
        Some(time) => format!("{:.1}{}", time.as_secs_f64(), if late { "*" } else { "" }),
        None => "-".to_owned(),
    }
}

fn cells(row: &Row) -> [String; 12] {
    let Case { setting, .. } = row.case;
    let figures = &row.figures;
    let late = |what: &str| row.missed.iter().any(|missed| missed.starts_with(what));
    [
        row.case.name(),
        setting.broker.to_string(),
        setting.device.to_string(),
        setting.topology.to_string(),
        seconds(figures.noticed, late("noticed")),
        seconds(figures.back, late("back")),
        figures.losses.to_string(),
        figures.published.to_string(),
        figures.delivered.to_string(),
        figures.lost.to_string(),
        figures.duplicated.to_string(),
        format!("{}/{}", figures.executed, figures.commands),
    ]
}

/// One line for somebody who waits.
pub fn progress(row: &Row) -> String {
    let [fault, broker, device, way, noticed, back, ..] = cells(row);
    let outcome = match row.broken.first() {
        None => format!("noticed {noticed}, back {back}"),
        Some(broken) => format!("FAILED: {}", broken.lines().next().unwrap_or_default()),
    };
    format!("{fault}, {broker}, {device}, {way}: {outcome}")
}

/// Prints the table, and what is wrong below it.
pub fn print(rows: &[Row], took: Duration) {
    let table: Vec<_> = [HEADINGS.map(str::to_owned)]
        .into_iter()
        .chain(rows.iter().map(cells))
        .collect();
    for line in aligned(&table) {
        println!("{line}");
    }
    println!("{FOOTNOTE}");
    for row in rows {
        let name = progress(row);
        let name = name.split(": ").next().unwrap_or_default();
        for missed in &row.missed {
            println!("late: {name}: {missed}");
        }
        for broken in &row.broken {
            println!("FAILED: {name}: {broken}");
        }
    }
    println!("{} experiments in {} s.", rows.len(), took.as_secs());
}

/// Columns below each other: words to the left, numbers to the right.
fn aligned(table: &[[String; 12]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: [usize; 12] = std::array::from_fn(width);
    let line = |row: &[String; 12]| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            match column < WORDS {
                true => line += &format!("{cell:<width$}  "),
                false => line += &format!("{cell:>width$}  "),
            }
        }
        line.trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

/// Prints one JSON object per experiment.
pub fn print_json(rows: &[Row]) {
    for row in rows {
        println!("{}", object(row));
    }
}

fn object(row: &Row) -> serde_json::Value {
    let Case { setting, lasts, .. } = row.case;
    let figures = &row.figures;
    let seconds =
        |time: Option<Duration>| time.map(|time| (time.as_secs_f64() * 1_000.0).round() / 1_000.0);
    json!({
        "fault": row.case.name(),
        "lasts_s": lasts.as_secs(),
        "broker": setting.broker.to_string(),
        "device": setting.device.to_string(),
        "way": setting.topology.to_string(),
        "noticed_s": seconds(figures.noticed),
        "back_s": seconds(figures.back),
        "losses": figures.losses,
        "published": figures.published,
        "delivered": figures.delivered,
        "lost": figures.lost,
        "told": figures.told,
        "twice": figures.duplicated,
        "commands": figures.commands,
        "executed": figures.executed,
        "late": row.missed,
        "broken": row.broken,
    })
}

/// Says what would be done.
pub fn list(cases: &[Case]) {
    for case in cases {
        let setting = case.setting;
        println!(
            "{:<22} {:>4} s  {}, {}, {}",
            case.name(),
            case.lasts.as_secs(),
            setting.broker,
            setting.device,
            setting.topology
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::verdict::Figures;

    fn row() -> Row {
        Row {
            case: super::super::cases::all(true)[0],
            figures: Figures {
                back: Some(Duration::from_millis(1_250)),
                commands: 12,
                executed: 11,
                ..Figures::default()
            },
            broken: vec!["one\ntwo".into()],
            missed: vec!["back after 1.2 s, goal 0.5 s".into()],
        }
    }

    /// A figure in the column of another.
    #[test]
    fn figures_are_below_their_headings() {
        let row = row();
        let lines = aligned(&[HEADINGS.map(str::to_owned), cells(&row)]);
        for (heading, cell) in [("back", "1.2*"), ("commands", "11/12"), ("noticed", "-")] {
            let end = lines[0].find(heading).unwrap() + heading.len();
            let cells = &lines[1].as_bytes()[..end];
            assert!(cells.ends_with(cell.as_bytes()), "{lines:#?}");
        }
        assert!(progress(&row).ends_with("FAILED: one"));
    }

    /// A program that reads the figures finds none.
    #[test]
    fn json_has_the_figures() {
        let object = object(&row());
        assert_eq!(object["back_s"], 1.25);
        assert_eq!(object["noticed_s"], serde_json::Value::Null);
        assert_eq!(object["broken"][0], "one\ntwo");
    }
}
