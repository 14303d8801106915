//! The table of docs/peers.md, and the same as JSON.

use serde_json::{Value, json};

use super::OURS;
use super::cell::{Cell, tenths};
use super::fault::{Fault, Unit};

/// One client with everything that was measured of it.
pub struct Column {
    pub name: &'static str,
    pub version: String,
    pub cells: Vec<Cell>,
}

impl Column {
    /// What was measured of it against this fault.
    pub fn cell(&self, fault: Fault) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.fault == fault)
    }
}

/// The table. Whoever is better than ours is marked.
pub fn markdown(columns: &[Column], faults: &[Fault]) -> String {
    let mut heads = vec![String::new()];
    heads.extend(
        columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.version)),
    );
    heads.push(String::from("goal"));
    let mut lines = vec![line(&heads)];
    let rules = std::iter::once("---").chain(heads.iter().skip(1).map(|_| "---:"));
    lines.push(line(&rules.map(str::to_owned).collect::<Vec<_>>()));
    let ours = columns.iter().find(|column| column.name == OURS);
    for &fault in faults {
        let mut cells = vec![fault.title().to_owned()];
        for column in columns {
            let Some(cell) = column.cell(fault) else {
                cells.push(String::from("?"));
                continue;
            };
            let ours = ours.and_then(|ours| ours.cell(fault));
            let beats = ours.is_some_and(|ours| ours.is_beaten_by(cell));
            let text = text(cell);
            cells.push(if beats { format!("**{text}**") } else { text });
        }
        cells.push(match fault.goal() {
            goal if goal > 0.0 => format!("≤ {goal}"),
            goal => goal.to_string(),
        });
        lines.push(line(&cells));
    }
    lines.concat()
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A cell in words: the worst run, and what went wrong beside it.
pub fn text(cell: &Cell) -> String {
    let mut words = match (cell.spread(), cell.fault.unit()) {
        (None, _) => String::from("?"),
        (Some([_, _, worst]), _) if worst.is_infinite() => String::from("never"),
        (Some([_, _, worst]), Unit::Seconds) => format!("{:.1}", tenths(worst)),
        (Some([_, _, worst]), Unit::Reconnects) => format!("{worst:.0}"),
    };
    if cell.most(|run| run.ended.into()) > 0 {
        words += ", ended by itself";
    }
    for (count, what) in [
        (cell.most(|run| run.lost), "lost"),
        (cell.most(|run| run.dropped), "dropped"),
        (cell.most(|run| run.duplicates), "twice"),
    ] {
        if count > 0 {
            words += &format!(", {count} {what}");
        }
    }
    words
}

/// One object for each cell.
pub fn json(columns: &[Column]) -> Vec<Value> {
    let cells = columns
        .iter()
        .flat_map(|column| column.cells.iter().map(move |cell| (column, cell)));
    cells
        .map(|(column, cell)| {
            let [_, median, worst] = cell.spread().unwrap_or([f64::INFINITY; 3]);
            let number = |value: f64| value.is_finite().then_some(value);
            let of = |count: fn(&super::measure::Run) -> usize| -> Vec<usize> {
                cell.runs.iter().map(count).collect()
            };
            json!({
                "client": column.name,
                "version": column.version,
                "fault": cell.fault.name(),
                "unit": match cell.fault.unit() {
                    Unit::Seconds => "s",
                    Unit::Reconnects => "reconnects",
                },
                // null is never.
                "runs": cell.runs.iter().map(|run| run.value).collect::<Vec<_>>(),
                "median": number(median),
                "worst": number(worst),
                "lost": of(|run| run.lost),
                "dropped": of(|run| run.dropped),
                "refused": of(|run| run.refused),
                "duplicates": of(|run| run.duplicates),
                "attempts": of(|run| run.attempts),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::measure::Run;

    fn cell(fault: Fault, values: &[Option<f64>]) -> Cell {
        let run = |value: &Option<f64>| Run {
            value: *value,
            ..Run::default()
        };
        Cell {
            fault,
            runs: values.iter().map(run).collect(),
        }
    }

    fn column(name: &'static str, cells: Vec<Cell>) -> Column {
        Column {
            name,
            version: String::from("1.0"),
            cells,
        }
    }

    #[test]
    fn a_cell_says_the_worst_and_what_else_went_wrong() {
        assert_eq!(text(&cell(Fault::Killed, &[Some(0.24), Some(0.96)])), "1.0");
        assert_eq!(text(&cell(Fault::Dead, &[Some(5.0), None])), "never");
        assert_eq!(text(&cell(Fault::Slow, &[Some(3.0), Some(12.0)])), "12");
        assert_eq!(text(&cell(Fault::Slow, &[])), "?");
        let mut wrong = cell(Fault::Killed, &[Some(1.0), Some(2.0)]);
        wrong.runs[0].lost = 7;
        wrong.runs[1].duplicates = 3;
        wrong.runs[1].dropped = 1;
        wrong.runs[1].ended = true;
        assert_eq!(
            text(&wrong),
            "2.0, ended by itself, 7 lost, 1 dropped, 3 twice"
        );
    }

    /// Who is better has to be seen, and who was not measured, too.
    #[test]
    fn the_table_has_a_row_for_each_fault_and_marks_who_is_better() {
        let ours = column(
            "aldis-mqtt",
            vec![
                cell(Fault::Killed, &[Some(0.3)]),
                cell(Fault::Slow, &[Some(1.0)]),
            ],
        );
        let peer = column("peer", vec![cell(Fault::Slow, &[Some(0.0)])]);
        assert_eq!(
            markdown(&[ours, peer], &[Fault::Killed, Fault::Slow]),
            "|  | aldis-mqtt 1.0 | peer 1.0 | goal |\n\
             | --- | ---: | ---: | ---: |\n\
             | broker killed, back after 5 s | 0.3 | ? | ≤ 0.5 |\n\
             | 8 s round trips: reconnects | 1 | **0** | 0 |\n"
        );
        // Without ours nobody is compared with anybody.
        let others = ["a", "b"].map(|name| {
            let value = if name == "a" { 5.0 } else { 1.0 };
            column(name, vec![cell(Fault::Dead, &[Some(value)])])
        });
        assert!(!markdown(&others, &[Fault::Dead]).contains("**"));
    }

    #[test]
    fn json_has_every_run() {
        let values = json(&[column(
            "peer",
            vec![cell(Fault::Dead, &[Some(1.5), None, Some(2.5)])],
        )]);
        assert_eq!(values.len(), 1);
        assert_eq!(values[0]["runs"], json!([1.5, null, 2.5]));
        assert_eq!(values[0]["median"], 2.5);
        assert_eq!(values[0]["worst"], Value::Null);
        assert_eq!(values[0]["fault"], "dead");
    }
}
