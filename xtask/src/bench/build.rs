//! Builds the programs in `bench/`, all with the same profile.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::OptLevel;
use crate::{cargo, root, target_dir};

/// The target of the size measurement.
pub const CHIP: &str = "riscv32imc-unknown-none-elf";

/// Builds programs, one client at a time, so that none gets another's dependencies or features.
pub struct Builder {
    cargo: PathBuf,
    target_dir: PathBuf,
    opt_level: OptLevel,
}

impl Builder {
    /// A builder whose output stays apart from the product's.
    pub fn new(opt_level: OptLevel) -> Self {
        Self {
            cargo: cargo(),
            target_dir: target_dir().join("bench"),
            opt_level,
        }
    }

    /// Where intermediate files may go.
    pub fn target_dir(&self) -> &PathBuf {
        &self.target_dir
    }

    /// Builds `program` of `package` with one feature, for the chip or for this machine, and
    /// returns its path.
    pub fn build(
        &self,
        package: &str,
        program: &str,
        feature: Option<&str>,
        target: Option<&str>,
    ) -> Result<PathBuf> {
        eprintln!("building {program} in {package}");
        let mut command = Command::new(&self.cargo);
        command
            .args(["build", "--quiet", "--locked", "--release"])
            .args(["--package", package, "--bin", program])
            .arg("--manifest-path")
            .arg(root().join("bench/Cargo.toml"))
            .arg("--target-dir")
            .arg(&self.target_dir)
            .arg("--config")
            .arg(format!(
                "profile.release.opt-level={}",
                self.opt_level.toml()
            ))
            // The caller's flags would make the figures incomparable.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        if let Some(feature) = feature {
            command.args(["--features", feature]);
        }
        let mut path = self.target_dir.clone();
        if let Some(target) = target {
            command.args(["--target", target]);
            path.push(target);
        }
        let status = command
            .status()
            .with_context(|| format!("cannot start {}", self.cargo.display()))?;
        if !status.success() {
            bail!("{program} of {package} does not build (see above)");
        }
        Ok(path.join("release").join(program))
    }
}
