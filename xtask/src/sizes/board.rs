//! The boards whose firmware can be linked with what Rust brings along.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::{cargo_in, root, target_dir};

/// A board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// ESP32-C3.
    Esp32c3,
    /// ESP32-C6.
    Esp32c6,
    /// QEMU's machine.
    Virt,
}

impl Board {
    /// Every board.
    pub const ALL: [Self; 3] = [Self::Esp32c3, Self::Esp32c6, Self::Virt];

    /// Its name, as `aldis image` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Esp32c3 => "esp32c3",
            Self::Esp32c6 => "esp32c6",
            Self::Virt => "virt",
        }
    }

    /// Its folder among the boards.
    const fn folder(self) -> &'static str {
        match self {
            Self::Esp32c3 | Self::Esp32c6 => "esp",
            Self::Virt => "virt",
        }
    }

    const fn target(self) -> &'static str {
        match self {
            Self::Esp32c3 => "riscv32imc-unknown-none-elf",
            Self::Esp32c6 | Self::Virt => "riscv32imac-unknown-none-elf",
        }
    }

    /// The RAM that the linker may use, as the data bus has it: `esp-hal/ld/<chip>/memory.x`,
    /// from the beginning of DRAM or RAM to the end of `dram2_seg`. Cache, RTC memory and what the
    /// ROM keeps for itself are not in it. On the C3 it is 6 KiB less than the 384 KiB of its data bus.
    pub const fn ram(self) -> Range<u64> {
        match self {
            Self::Esp32c3 => 0x3fc8_0000..0x3fcd_e710,
            Self::Esp32c6 => 0x4080_0000..0x4087_e610,
            // boards/virt/memory.x, with what a restart leaves as it is.
            Self::Virt => 0x8020_0000..0x8023_0000,
        }
    }

    /// How much that is.
    pub const fn ram_len(self) -> u64 {
        let ram = self.ram();
        ram.end - ram.start
    }

    /// What the build keeps free for the main stack. The radio's tasks have theirs on the heap.
    pub fn stack(self) -> Result<u64> {
        const KEY: &str = "ESP_HAL_CONFIG_ENSURE_MAIN_STACK_MINIMUM";
        if self == Self::Virt {
            // 16 KiB and the guard, as boards/virt/memory.x has it.
            return Ok(20 * 1024);
        }
        let path = root().join("boards/esp/.cargo/config.toml");
        let file = fs::read_to_string(&path);
        let file = file.with_context(|| format!("cannot read {}", path.display()))?;
        stack_of(&file, KEY).with_context(|| format!("{}: [env] has no {KEY}", path.display()))
    }

    /// Cargo in the board's folder, with this board's target and features.
    pub fn cargo(self, verb: &str) -> Command {
        let folder = root().join("boards").join(self.folder());
        let mut command = cargo_in(&folder, &[verb, "--release", "--locked"]);
        command
            .args(["--target", self.target(), "--target-dir"])
            .arg(target_dir().join("boards").join(self.folder()));
        if self.folder() == "esp" {
            command.args(["--features", self.as_str()]);
        }
        // The caller's flags would take the place of the board's own.
        command
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }

    /// Builds the firmware and returns its ELF file.
    pub fn build(self) -> Result<PathBuf> {
        eprintln!("building the firmware for {}", self.as_str());
        let status = self.cargo("build").arg("--quiet").status();
        let status = status.context("cannot start cargo")?;
        ensure!(
            status.success(),
            "the firmware for {} does not build (see above)",
            self.as_str()
        );
        let folder = target_dir().join("boards").join(self.folder());
        let name = format!("aldis-{}", self.folder());
        Ok(folder.join(self.target()).join("release").join(name))
    }
}

fn stack_of(config: &str, key: &str) -> Option<u64> {
    let config: toml::Table = config.parse().ok()?;
    config.get("env")?.get(key)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack that is taken for nothing is counted as free memory.
    #[test]
    fn the_stack_is_what_the_build_is_told() {
        assert_eq!(stack_of("[env]\nA = \"32768\"", "A"), Some(32_768));
        assert_eq!(stack_of("[env]\nA = \"much\"", "A"), None);
        assert_eq!(stack_of("[env]\nB = \"1\"", "A"), None);
        for board in Board::ALL {
            assert!(board.stack().unwrap() >= 16 * 1024, "{board:?}");
        }
    }
}
