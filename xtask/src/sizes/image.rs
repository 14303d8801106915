//! The application as a chip's flash has it: what `aldis image` makes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::board::Board;
use crate::{cargo_in, root, target_dir};

/// A configuration that any chip takes.
const CONFIG: &str = "[wifi]\nssid = \"sample\"\n[broker]\nurl = \"mqtt://192.0.2.1\"\n";

/// The application's size, padding included, by this program `aldis` or one that is built for it.
pub fn application(board: Board, firmware: &Path, aldis: Option<&Path>) -> Result<u64> {
    let folder = target_dir().join("boards/images");
    let config = folder.join("device.toml");
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&config, CONFIG))
        .with_context(|| format!("cannot write {}", config.display()))?;
    let mut make = match aldis {
        Some(built) => Command::new(built),
        None => {
            let run = ["run", "--quiet", "--locked", "--package", "aldis", "--"];
            cargo_in(root(), &run)
        }
    };
    let made = make
        .args(["image", "--json", "--chip", board.as_str(), "--firmware"])
        .arg(firmware)
        .arg("--config")
        .arg(&config)
        .arg("--output")
        .arg(folder.join(board.as_str()).with_extension("bin"))
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", make.get_program().display()))?;
    ensure!(
        made.status.success(),
        "`aldis image` makes no image of the firmware for {} (see above)",
        board.as_str()
    );
    let said: Value = serde_json::from_slice(&made.stdout).unwrap_or_default();
    let size = said.get("application").and_then(Value::as_u64);
    size.context("`aldis image --json` does not say how large the application is")
}
