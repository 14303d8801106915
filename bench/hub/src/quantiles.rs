//! What most and nearly all of many durations were.

use std::time::Duration;

use serde_json::{Value, json};

pub fn milliseconds(mut of: Vec<Duration>) -> Value {
    of.sort_unstable();
    let at = |percent: usize| {
        let index = (of.len() * percent).div_ceil(100).saturating_sub(1);
        of.get(index).map(|time| time.as_secs_f64() * 1e3)
    };
    json!({"n": of.len(), "p50": at(50), "p99": at(99), "most": at(100)})
}
