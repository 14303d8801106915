//! What our own client may cost. The figures are exact, so that what was gained is not lost
//! unnoticed.

use anyhow::{Result, bail};

use super::instructions::Instructions;
use super::size::Size;

/// Bytes of code in the program for the chip.
const TEXT: u64 = 20_000;
/// Bytes of state beside the buffers.
const STATE: u64 = 1_024;
/// Instructions to publish at QoS 1 and take in the acknowledgement.
const PUBLISH: u64 = 800;
/// Instructions to receive a message at QoS 0.
const RECEIVE: u64 = 400;

/// Compares what was measured with the limits; the error names everything that is above.
pub fn check(size: Option<&Size>, instructions: Option<&Instructions>) -> Result<()> {
    let mut faults = vec![];
    let mut compare = |what: &str, figure: u64, limit: u64| {
        if figure > limit {
            faults.push(format!("{what}: {figure}, but at most {limit}"));
        }
    };
    if let Some(size) = size {
        let state = u64::from(size.client) + u64::from(size.future);
        compare("bytes of .text", size.text, TEXT);
        compare("bytes of state", state, STATE);
    }
    if let Some(instructions) = instructions {
        compare(
            "instructions per publication",
            instructions.publish,
            PUBLISH,
        );
        compare("instructions per message", instructions.receive, RECEIVE);
    }
    if let Some(size) = size.filter(|size| !size.panics.is_empty()) {
        let panics = size.panics.join(", ");
        faults.push(format!("the program can panic: it has {panics}"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!(
        "the client costs more than it may (see xtask/src/bench/limits.rs):\n{}",
        faults.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::{Instructions, PUBLISH, RECEIVE, STATE, Size, TEXT, check};

    fn at_the_limits() -> (Size, Instructions) {
        let size = Size {
            text: TEXT,
            rodata: 0,
            client: STATE as u32,
            future: 0,
            panics: vec![],
        };
        let instructions = Instructions {
            publish: PUBLISH,
            receive: RECEIVE,
        };
        (size, instructions)
    }

    /// A check that refuses what it allows would be switched off.
    #[test]
    fn what_is_at_its_limit_passes() {
        let (size, instructions) = at_the_limits();
        assert!(check(Some(&size), Some(&instructions)).is_ok());
        assert!(check(None, None).is_ok());
    }

    /// A check that compares the wrong figure, or only the first, would let the others grow.
    #[test]
    fn whatever_is_above_its_limit_is_named() {
        let (mut size, mut instructions) = at_the_limits();
        size.text += 1;
        size.future += 1;
        size.panics.push("core::panicking::panic_fmt".to_owned());
        instructions.publish += 1;
        instructions.receive += 1;
        let error = check(Some(&size), Some(&instructions)).err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        for part in [".text", "state", "publication", "message", "panic_fmt"] {
            assert!(said.contains(part), "{part} is missing in: {said}");
        }
    }
}
