//! The table, and the same as JSON.

use serde_json::json;

use super::size::Size;
use super::{Figures, OptLevel};

const HEADINGS: [&str; 10] = [
    "",
    ".text",
    "state beside buffers",
    "instr. publish+ack",
    "instr. receive",
    "acknowledged/s",
    "echoed/s",
    "windowed/s",
    "answered/s",
    "pipelined/s",
];

/// Prints one line per client; ratios are against the first.
pub fn print(figures: &[Figures], opt_level: OptLevel) {
    let Some(first) = figures.first() else {
        return;
    };
    let base = numbers(first);
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for figures in figures {
        let numbers = numbers(figures);
        let ratio = |column: usize| match (numbers[column], base[column]) {
            (Some(number), Some(base)) if base > 0 => {
                format!(" ({:.2}x)", number as f64 / base as f64)
            }
            _ => String::new(),
        };
        let cell = |column: usize, unit: &str| match numbers[column] {
            Some(number) => format!("{}{unit}{}", grouped(number), ratio(column)),
            None => String::new(),
        };
        let state = match &figures.size {
            Some(size) => format!("{}{}", state(size, figures.client.heap), ratio(1)),
            None => String::new(),
        };
        rows.push([
            format!("{} {}", figures.client.name, figures.version),
            cell(0, " B"),
            state,
            cell(2, ""),
            cell(3, ""),
            cell(4, ""),
            cell(5, ""),
            cell(6, ""),
            cell(7, ""),
            cell(8, ""),
        ]);
    }
    let widths: [usize; 10] = std::array::from_fn(|column| {
        let cells = rows.iter().skip(1).map(|row| row[column].len());
        match cells.max() {
            // A column that was not measured is left out.
            None | Some(0) => 0,
            Some(widest) => widest.max(HEADINGS[column].len()),
        }
    });
    println!(
        "opt-level = {}, lto = \"fat\", codegen-units = 1, panic = \"abort\"\n",
        opt_level.toml()
    );
    for row in &rows {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let line: Vec<_> = cells
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("{}", line.join("  ").trim_end());
    }
}

/// Prints one JSON object per client.
pub fn print_json(figures: &[Figures], opt_level: OptLevel) {
    for figures in figures {
        let size = figures.size.as_ref();
        let instructions = figures.instructions.as_ref();
        let rates = figures.rates.as_ref();
        let line = json!({
            "client": figures.client.name,
            "version": figures.version,
            "opt_level": opt_level.toml().trim_matches('"'),
            "text": size.map(|s| s.text),
            "rodata": size.map(|s| s.rodata),
            "state_client": size.map(|s| s.client),
            "state_future": size.map(|s| s.future),
            "heap": figures.client.heap,
            "instructions_publish": instructions.map(|i| i.publish),
            "instructions_receive": instructions.map(|i| i.receive),
            "acknowledged_per_second": rates.map(|r| r.acknowledged),
            "echoed_per_second": rates.map(|r| r.echoed),
            "windowed_per_second": rates.map(|r| r.windowed),
            "answered_per_second": rates.map(|r| r.answered),
            "pipelined_per_second": rates.map(|r| r.pipelined),
        });
        println!("{line}");
    }
}

fn numbers(figures: &Figures) -> [Option<u64>; 9] {
    let size = figures.size.as_ref();
    let instructions = figures.instructions.as_ref();
    let rates = figures.rates.as_ref();
    [
        size.map(|s| s.text),
        size.map(|s| u64::from(s.client) + u64::from(s.future)),
        instructions.map(|i| i.publish),
        instructions.map(|i| i.receive),
        rates.map(|r| r.acknowledged),
        rates.map(|r| r.echoed),
        rates.map(|r| r.windowed),
        rates.map(|r| r.answered),
        rates.map(|r| r.pipelined),
    ]
}

fn state(size: &Size, heap: bool) -> String {
    let mut text = grouped(size.client.into());
    if size.future > 0 {
        text += &format!(" + {}", grouped(size.future.into()));
    }
    text += " B";
    if heap {
        text += " + heap";
    }
    text
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    /// A misplaced comma would make a number read as another.
    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(819), "819");
        assert_eq!(grouped(2022), "2,022");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
