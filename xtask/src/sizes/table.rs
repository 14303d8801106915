//! The figures for people, for programs and for the README.

use serde_json::json;

use super::baseline::Baseline;
use super::{Figures, Measured};

const HEADINGS: [&str; 6] = [
    "",
    "flash",
    "static RAM",
    "heap for the radio",
    "free RAM",
    "largest task",
];

/// What the figures mean, and why two chips are not there.
const FOOTNOTE: &str = "\
Free is what is left beside static RAM, the heap and the main stack.
esp32 and esp32s3 are not measured: linking them needs Espressif's toolchain.";

/// Prints one line per board, and what is largest in each.
pub fn print(measured: &[Measured]) {
    let rows = measured.iter().map(|one| {
        let mut row = row(one.board.as_str(), &one.figures);
        row[5] = format!("{} ({})", row[5], one.task);
        row
    });
    let rows: Vec<_> = [HEADINGS.map(str::to_owned)]
        .into_iter()
        .chain(rows)
        .collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.max().unwrap_or_default()
    });
    for row in &rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        println!("{line}");
    }
    println!("{FOOTNOTE}");
    for one in measured {
        println!("\nLargest functions of {}, in bytes:", one.board.as_str());
        for function in &one.functions {
            println!("{:>8}  {}", function.size, function.name);
        }
    }
}

/// Prints one JSON object per board.
pub fn print_json(measured: &[Measured]) {
    for one in measured {
        let functions = one.functions.iter();
        let functions: Vec<_> = functions
            .map(|function| json!({"name": function.name, "size": function.size}))
            .collect();
        let figures = &one.figures;
        let line = json!({
            "chip": one.board.as_str(),
            "flash": figures.flash,
            "static_ram": figures.static_ram,
            "heap": figures.heap,
            "free_ram": figures.free_ram,
            "task": {"name": one.task, "size": figures.task},
            "functions": functions,
        });
        println!("{line}");
    }
}

/// The recorded figures, as the README has them.
pub fn markdown(baseline: &Baseline) -> String {
    let mut text = format!(
        "|{} |\n|---|---:|---:|---:|---:|---:|\n",
        HEADINGS.join(" | ")
    );
    for (board, figures) in &baseline.0 {
        text += &format!("| {} |\n", row(board, figures).join(" | "));
    }
    text + "\n" + FOOTNOTE + "\n"
}

fn row(board: &str, figures: &Figures) -> [String; 6] {
    [
        board.to_owned(),
        kib(figures.flash),
        kib(figures.static_ram),
        kib(figures.heap),
        kib(figures.free_ram),
        kib(figures.task),
    ]
}

/// Bytes for people.
pub fn kib(bytes: u64) -> String {
    match bytes {
        0 => "none".to_owned(),
        _ => format!("{:.1} KiB", bytes as f64 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A cell in the wrong column reads as another figure.
    #[test]
    fn the_table_has_a_cell_for_each_heading() {
        let figures = Figures {
            flash: 595_552,
            static_ram: 102_416,
            heap: 0,
            free_ram: 168_704,
            task: 5_712,
        };
        let baseline = Baseline(BTreeMap::from([("virt".to_owned(), figures)]));
        let table = markdown(&baseline);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[0],
            "| | flash | static RAM | heap for the radio | free RAM | largest task |"
        );
        assert_eq!(
            lines[2],
            "| virt | 581.6 KiB | 100.0 KiB | none | 164.8 KiB | 5.6 KiB |"
        );
        for line in &lines[..3] {
            assert_eq!(line.matches('|').count(), 7, "{line}");
        }
    }
}
