//! Instructions per message, counted by valgrind's callgrind.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::build::Builder;

/// Messages in the shorter run; the longer has twice as many.
const TIMES: u64 = 1000;

/// The broker in memory, whose work is not the client's.
const HARNESS: [&str; 2] = ["Broker::give", "Broker::take"];

/// What a client executes per message, the broker in memory not counted.
pub struct Instructions {
    /// To publish 32 bytes at QoS 1 and take in the acknowledgement.
    pub publish: u64,
    /// To receive 32 bytes at QoS 0.
    pub receive: u64,
}

/// Says what to type where valgrind is missing.
pub fn check() -> Result<()> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => bail!("valgrind does not run; see what `valgrind --version` says"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("valgrind is not installed; type: sudo apt-get install valgrind")
        }
        Err(error) => Err(error).context("cannot start valgrind"),
    }
}

/// Builds the client's program for this machine and counts.
pub fn measure(builder: &Builder, client: &str) -> Result<Instructions> {
    let program = format!("count-{client}");
    let program = builder.build("bench-instructions", &program, Some(client), None)?;
    let count = |work| {
        let profile = builder
            .target_dir()
            .join(format!("{client}-{work}.callgrind"));
        let once = run(&program, work, TIMES, &profile)?;
        let twice = run(&program, work, 2 * TIMES, &profile)?;
        let difference = twice
            .checked_sub(once)
            .context("more messages took fewer instructions")?;
        anyhow::Ok((difference + TIMES / 2) / TIMES)
    };
    Ok(Instructions {
        publish: count("publish")?,
        receive: count("receive")?,
    })
}

fn run(program: &Path, work: &str, times: u64, profile: &Path) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args([work, &times.to_string()])
        .output()
        .context("cannot start valgrind")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed under valgrind:\n{said}", program.display());
    }
    let text = fs::read_to_string(profile)
        .with_context(|| format!("cannot read {}", profile.display()))?;
    client_instructions(&text).with_context(|| format!("in {}", profile.display()))
}

/// All instructions of a profile except those within calls to the harness.
fn client_instructions(profile: &str) -> Result<u64> {
    let mut total = None;
    let mut harness = 0;
    let mut callee = "";
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(cost) = line.strip_prefix("summary: ") {
            total = Some(number(cost)?);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if line.starts_with("calls=") {
            // The next line holds where the call is and what it cost, callees included.
            let cost = lines.next().and_then(|line| line.split_whitespace().nth(1));
            let cost = cost.context("a call without its cost")?;
            if HARNESS.iter().any(|name| callee.ends_with(name)) {
                harness += number(cost)?;
            }
        }
    }
    total
        .context("no summary")?
        .checked_sub(harness)
        .context("the harness costs more than everything")
}

fn number(text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .with_context(|| format!("`{text}` is not a count"))
}

#[cfg(test)]
mod tests {
    use super::client_instructions;

    const PROFILE: &str = "events: Ir\n\nfn=main\n10 400\ncfn=bench::Broker::give\ncalls=3 20\n\
                           11 90\ncfn=client::poll\ncalls=3 30\n12 300\n\n\
                           fn=bench::Broker::give\n20 90\n\nfn=client::poll\n30 300\n\
                           cfn=bench::Broker::take\ncalls=1 40\n31 10\n\nsummary: 800\n";

    /// Counted in, the broker in memory would make every client look alike.
    #[test]
    fn the_harness_is_not_counted() {
        assert_eq!(client_instructions(PROFILE).ok(), Some(700));
    }

    /// A profile cut short would otherwise pass for a very fast client.
    #[test]
    fn a_profile_without_its_end_is_refused() {
        let (cut, _) = PROFILE.split_at(PROFILE.len() - 13);
        assert!(client_instructions(cut).is_err());
    }
}
