//! What a run came to, for programs: one object a line.

use aldis_world::{Entry, Recoveries, Report};
use serde_json::{Map, Value, json};

use super::summary::name;

/// An event.
pub fn entry(entry: &Entry) -> Value {
    json!({
        "at_ms": entry.at,
        "device": entry.device,
        "what": entry.what.to_string(),
    })
}

/// A run.
pub fn report(report: &Report, seed: u64, command: &str, days_a_second: Option<f64>) -> Value {
    let counts = &report.counts;
    let recoveries: Map<String, Value> = report
        .recoveries
        .iter()
        .map(|(cause, recoveries)| (name(*cause).to_owned(), times(recoveries)))
        .collect();
    let faults: Map<String, Value> = report
        .faults
        .iter()
        .map(|(kind, count)| (kind.name().to_owned(), (*count).into()))
        .collect();
    let violation = report.violation.as_ref().map(|violation| {
        json!({
            "invariant": violation.invariant.name(),
            "words": violation.invariant.words(),
            "at_ms": violation.at,
            "device": violation.device,
            "detail": violation.detail,
            "last": violation.last.iter().map(entry).collect::<Vec<_>>(),
        })
    });
    json!({
        "seed": seed,
        "command": command,
        "devices": report.devices,
        "virtual_ms": report.virtual_ms,
        "steps": report.steps,
        "hash": format!("{:016x}", report.hash),
        "days_a_second": days_a_second,
        "readings": {
            "taken": counts.accepted,
            "delivered": counts.delivered,
            "duplicates": counts.duplicates,
            "given_up": counts.dropped,
            "lost_with_power": counts.lost_with_power,
        },
        "publications": counts.publications,
        "commands": {
            "held": counts.commands,
            "executed": counts.executed,
            "forgotten": counts.forgotten,
        },
        "messages": {
            "taken_in": counts.messages,
            "states_told": counts.reports,
        },
        "answers": counts.answers,
        "attempts": counts.attempts,
        "connections": counts.connections,
        "restarts": counts.restarts,
        "settled": report.settled,
        "faults": faults,
        "recoveries": recoveries,
        "all": times(&report.all()),
        "violation": violation,
    })
}

fn times(recoveries: &Recoveries) -> Value {
    json!({
        "outages": recoveries.outages,
        "recovered": recoveries.ms.len(),
        "p50_ms": recoveries.percentile(50),
        "p99_ms": recoveries.percentile(99),
        "max_ms": recoveries.max(),
    })
}

/// A sweep.
pub fn sweep(all: &Report, seed: u64, done: u64, runs: u64, steps: u64, seconds: f64) -> Value {
    json!({
        "seed": seed,
        "runs": done,
        "of": runs,
        "steps": steps,
        "virtual_ms": all.virtual_ms,
        "seconds": seconds,
        "settled": all.settled,
        "violations": u8::from(all.violation.is_some()),
    })
}
