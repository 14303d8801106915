//! What a run came to, as a table.

use std::io::{self, Write};

use aldis_world::{Cause, Recoveries, Report};

/// Prints it.
pub fn print(
    out: &mut impl Write,
    report: &Report,
    seeds: &str,
    days: f64,
    seconds: f64,
) -> io::Result<()> {
    let counts = &report.counts;
    writeln!(
        out,
        "{seeds}: {} of devices' lives in {seconds:.1} s, {:.1} days a second, {} steps",
        amount(days),
        days / seconds.max(1e-9),
        report.steps
    )?;
    writeln!(out)?;
    let rows = [
        (
            "readings",
            format!(
                "{} taken, {} at the broker, {} given up, {} lost with the power",
                counts.accepted, counts.delivered, counts.dropped, counts.lost_with_power
            ),
        ),
        (
            "duplicates",
            format!("{} readings came once more", counts.duplicates),
        ),
        (
            "commands",
            format!(
                "{} held by the broker, {} executed, {} forgotten by broker or restart",
                counts.commands, counts.executed, counts.forgotten
            ),
        ),
        (
            "messages",
            format!(
                "{} taken in, {} states told, {} commands with ids answered",
                counts.messages, counts.reports, counts.answers
            ),
        ),
        (
            "connections",
            format!(
                "{} in {} attempts; contact was lost {} times",
                counts.connections,
                counts.attempts,
                report.outages()
            ),
        ),
        ("restarts", counts.restarts.to_string()),
        (
            "settled",
            format!("{} times everything was accounted for", report.settled),
        ),
        (
            "violations",
            match &report.violation {
                None => "none".to_owned(),
                Some(violation) => violation.invariant.to_string(),
            },
        ),
    ];
    for (name, text) in rows {
        writeln!(out, "{name:12} {text}")?;
    }
    if report
        .recoveries
        .values()
        .any(|recoveries| recoveries.outages > 0)
    {
        writeln!(out)?;
        writeln!(
            out,
            "{:20} {:>8} {:>9} {:>9} {:>9}",
            "contact lost for", "times", "p50", "p99", "max"
        )?;
        for (cause, recoveries) in &report.recoveries {
            row(out, name(*cause), recoveries)?;
        }
        row(out, "all", &report.all())?;
        writeln!(
            out,
            "from the end of the fault to the next publication at the broker, in seconds"
        )?;
    }
    Ok(())
}

/// What contact was lost for, as a word.
pub fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::Fault(kind) => kind.name(),
        Cause::Several => "several",
        Cause::None => "none",
    }
}

fn row(out: &mut impl Write, name: &str, recoveries: &Recoveries) -> io::Result<()> {
    let seconds = |ms: Option<u64>| match ms {
        Some(ms) => format!("{:.2}", ms as f64 / 1_000.0),
        None => "-".to_owned(),
    };
    writeln!(
        out,
        "{name:20} {:>8} {:>9} {:>9} {:>9}",
        recoveries.outages,
        seconds(recoveries.percentile(50)),
        seconds(recoveries.percentile(99)),
        seconds(recoveries.max()),
    )
}

fn amount(days: f64) -> String {
    match days {
        1000.0.. => format!("{:.1} years", days / 365.25),
        10.0.. => format!("{days:.0} days"),
        _ => format!("{days:.2} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that leaves a cause out hides the slow ones.
    #[test]
    fn every_cause_has_its_row() {
        let mut report = Report::default();
        let recoveries = Recoveries {
            ms: vec![100, 300, 200, 59_000],
            outages: 5,
        };
        report.recoveries.insert(Cause::Several, recoveries);
        let mut text = Vec::new();
        print(&mut text, &report, "seed 1", 2_000.0, 10.0).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("5.5 years of devices' lives in 10.0 s, 200.0 days a second"),
            "{text}"
        );
        let row = "several                     5      0.30     59.00     59.00";
        assert!(text.lines().any(|line| line == row), "{text}");
        assert!(text.contains("violations   none"), "{text}");
    }
}
