//! The firmware for ESP32 and ESP32-S3, compiled as far as Rust alone can: upstream Rust has a
//! compiler for Xtensa and no linker.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{root, target_dir};

/// The first version whose compiler gets through. Older ones lack assembly or crash.
const TOOLCHAIN: &str = "1.99.0";

/// A chip, and what its compiler is told beside [`FLAGS`].
const CHIPS: [(&str, &str); 2] = [("esp32", ""), ("esp32s3", " -C target-cpu=esp32")];

/// The compiler is kept from what its backend cannot do yet, and `true` is the linker.
const FLAGS: &str = "-C no-vectorize-slp -C no-vectorize-loops -C target-feature=-fp,-bool \
                     -C linker=true";

const INSTALL: [&str; 8] = [
    "toolchain",
    "install",
    TOOLCHAIN,
    "--profile",
    "minimal",
    "--component",
    "rust-src",
    "--no-self-update",
];

/// Installs the toolchain where it is missing. Where that fails, [`check`] says so.
pub fn set_up() {
    if check().is_err() {
        println!("rustup {}", INSTALL.join(" "));
        let mut rustup = Command::new("rustup");
        let _ = rustup.args(INSTALL).stdin(Stdio::null()).status();
    }
}

/// Says what to type where the toolchain is missing.
pub fn check() -> Result<()> {
    // Rust's own sources are compiled, too.
    let rustup = Command::new("rustup")
        .args(["run", TOOLCHAIN, "rustc", "--print", "sysroot"])
        .output();
    let sysroot = rustup.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let library = "lib/rustlib/src/rust/library/core/Cargo.toml";
    if sysroot.is_ok_and(|sysroot| std::path::Path::new(&sysroot).join(library).is_file()) {
        return Ok(());
    }
    bail!(
        "THE FIRMWARE FOR ESP32 AND ESP32-S3 IS NOT CHECKED: there is no Rust {TOOLCHAIN} with its \
         sources; type `rustup {}`",
        INSTALL.join(" ")
    );
}

/// Compiles it for each chip.
pub fn commands() -> Vec<Command> {
    let folder = root().join("boards/esp");
    let commands = CHIPS.map(|(chip, more)| {
        // Only rustup knows where another version's Cargo is.
        let mut command = crate::command("rustup");
        command.current_dir(&folder);
        command
            .args(["run", TOOLCHAIN, "cargo", "build", "--release", "--locked"])
            .args(["-Zbuild-std=core,alloc", "--features", chip, "--target"])
            .arg(format!("xtensa-{chip}-none-elf"))
            .arg("--target-dir")
            .arg(target_dir().join("boards/xtensa"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("{FLAGS}{more}"))
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    });
    commands.into()
}
