//! `cargo xtask picture`: draws the readout of the demo anew.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Draw docs/demo.svg and the readout's snapshots anew
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask picture && git diff --stat")]
pub struct Picture {}

impl Picture {
    /// Lets the tests that compare the pictures write them.
    pub fn run(self) -> Result<()> {
        let status = Command::new(env!("CARGO"))
            .args(["test", "--package", "aldis", "--bin", "aldis", "--"])
            .arg("demo::picture")
            .env("ALDIS_WRITE_PICTURES", "1")
            .current_dir(crate::root())
            .status()
            .context("cannot run cargo")?;
        ensure!(status.success(), "the readout cannot be drawn");
        Ok(())
    }
}
