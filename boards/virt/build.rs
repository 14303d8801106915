//! Tells the linker where the machine's memory is, and makes the sensor's waveform
//! of a recording.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// A recording of a real AM2302, the DHT22 with a cable.
const RECORDING: &str = "../../device/tests/captures/dht/am2302_1mhz.csv";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::var("CARGO_MANIFEST_DIR")?;
    println!("cargo:rustc-link-search={folder}");
    println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed={RECORDING}");
    let waveform = waveform(&fs::read_to_string(RECORDING)?)?;
    fs::write(
        Path::new(&env::var("OUT_DIR")?).join("recording.rs"),
        waveform,
    )?;
    Ok(())
}

/// The recording as a constant: each line has a level and how long it lasted.
fn waveform(recording: &str) -> Result<String, Box<dyn Error>> {
    let mut pulses = String::new();
    let mut count = 0;
    for line in recording.lines().skip(1) {
        let (level, duration) = line.split_once(',').ok_or("a line without a comma")?;
        let make = if level == "1" { "high" } else { "low" };
        let duration: u32 = duration.trim().parse()?;
        writeln!(pulses, "    Pulse::{make}({duration}),")?;
        count += 1;
    }
    Ok(format!(
        "/// One answer of a real DHT22.\nstatic RECORDING: [Pulse; {count}] = [\n{pulses}];\n"
    ))
}
