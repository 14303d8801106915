//! Round trips per second, through a real broker and with one that only answers.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build::Builder;

/// What one client reached, as medians over all rounds.
#[derive(Clone, Copy)]
pub struct Rates {
    /// Publications at QoS 1 acknowledged, per second.
    pub acknowledged: u64,
    /// Publications at QoS 1 received back through a subscription, per second.
    pub echoed: u64,
    /// As `acknowledged`, with several under way at once.
    pub windowed: u64,
    /// As `acknowledged`, with a broker that only answers.
    pub answered: u64,
    /// As `windowed`, likewise.
    pub pipelined: u64,
}

/// The rates of all clients.
pub struct AllRates(Vec<Value>);

/// Builds and runs the program in which the clients take turns.
pub fn measure(builder: &Builder) -> Result<AllRates> {
    let program = builder.build("bench-roundtrip", "bench-roundtrip", None, None)?;
    eprintln!("timing round trips");
    let output = Command::new(&program)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("the round trips failed (see above)");
    }
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(AllRates(lines.collect::<Result<_, _>>()?))
}

impl AllRates {
    /// The rates of one client.
    pub fn of(&self, client: &str) -> Result<Rates> {
        Ok(Rates {
            acknowledged: self.median(client, "acknowledged")?,
            echoed: self.median(client, "echoed")?,
            windowed: self.median(client, "windowed")?,
            answered: self.median(client, "answered")?,
            pipelined: self.median(client, "pipelined")?,
        })
    }

    fn median(&self, client: &str, exercise: &str) -> Result<u64> {
        let mut lines = self.0.iter();
        let line = lines.find(|line| line["client"] == client && line["exercise"] == exercise);
        let rates = line.and_then(|line| line["per_second"].as_array());
        let mut rates: Vec<_> = rates
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .collect();
        rates.sort_unstable();
        rates
            .get(rates.len() / 2)
            .copied()
            .with_context(|| format!("{client} did not report how often it {exercise}"))
    }
}
