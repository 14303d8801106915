//! Flash and RAM of one program per client, read from the program's file.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, ObjectSymbol};

use super::build::{Builder, CHIP};

/// What a client costs on the chip, in bytes.
pub struct Size {
    /// All code of the program.
    pub text: u64,
    /// Its constants.
    pub rodata: u64,
    /// The client itself, without the two buffers.
    pub client: u32,
    /// The futures of a conversation, for asynchronous clients.
    pub future: u32,
    /// What there is to panic with: functions of `core`, by their names.
    pub panics: Vec<String>,
}

/// Says what to type where the chip's target is missing.
pub fn check() -> Result<()> {
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", CHIP])
        .output()
        .context("cannot start rustc")?;
    let directory = String::from_utf8_lossy(&libraries.stdout);
    if !libraries.status.success() || !Path::new(directory.trim()).is_dir() {
        bail!("the target {CHIP} is not installed; type: rustup target add {CHIP}");
    }
    Ok(())
}

/// Builds the client's program for the chip and measures it.
pub fn measure(builder: &Builder, client: &str) -> Result<Size> {
    let program = builder.build("bench-size", client, Some(client), Some(CHIP))?;
    read(&program).with_context(|| format!("in {}", program.display()))
}

/// The code of a program without any client.
pub fn measure_empty(builder: &Builder) -> Result<u64> {
    let program = builder.build("bench-size", "empty", None, Some(CHIP))?;
    let size = read(&program).with_context(|| format!("in {}", program.display()))?;
    Ok(size.text)
}

fn read(program: &Path) -> Result<Size> {
    let bytes = fs::read(program)?;
    let elf = object::File::parse(&*bytes)?;
    let section = |name: &str| {
        elf.section_by_name(name)
            .with_context(|| format!("no section {name}"))
    };
    let state = section(".bench.state")?.data()?;
    ensure!(state.len() == 8, "the note about the state is damaged");
    let word = |at: usize| {
        let bytes = state.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    // The handler belongs to the programs, and is in each of them.
    let panics = elf.symbols().filter_map(|symbol| symbol.name().ok());
    let panics = panics.filter(|name| name.contains("4core9panicking"));
    Ok(Size {
        panics: panics.map(str::to_owned).collect(),
        text: section(".text")?.size(),
        rodata: section(".rodata")?.size(),
        client: word(0),
        future: word(4),
    })
}
