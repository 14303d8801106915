//! The device under test: the virtual device, or the board under QEMU.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::commander::Word;
use super::journal::{Journal, Line};
use super::network::Network;
use super::program::Program;
use super::{Folder, succeed};

/// The device's id.
pub const ID: &str = "dev";
/// Its password: the hub lets nobody in from another machine without one.
pub const PASSWORD: &str = "lab";

/// How long it has time to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `aldis device`.
    Pc,
    /// `boards/virt` under QEMU.
    Virt,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pc => "pc",
            Self::Virt => "virt",
        })
    }
}

/// What is built once for all experiments.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The command.
    pub aldis: PathBuf,
    /// The firmware for QEMU, where that is wanted.
    pub firmware: Option<PathBuf>,
}

/// How the device is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who the broker is: an address or a name.
    pub broker: String,
    /// Seconds between readings.
    pub interval_s: u32,
    /// The keep-alive in seconds, where it is not the usual one.
    pub keep_alive_s: Option<u32>,
    /// Makes chance repeatable, where the device can.
    pub seed: u64,
}

/// A device that runs.
#[derive(Debug)]
pub struct Device {
    kind: Kind,
    folder: Folder,
    program: Program,
}

impl Device {
    /// Starts it.
    pub fn start(
        kind: Kind,
        name: &str,
        network: &Network,
        programs: &Programs,
        settings: &Settings,
    ) -> Result<Self> {
        let folder = Folder::new(name)?;
        let keep_alive = settings.keep_alive_s;
        let keep_alive = keep_alive.map_or_else(String::new, |s| format!("keep_alive_s = {s}\n"));
        let text = format!(
            "id = \"{ID}\"\n[broker]\nurl = \"mqtt://{}\"\n\
             username = \"{ID}\"\npassword = \"{PASSWORD}\"\n{keep_alive}\
             [readout]\ninterval_s = {}\n",
            settings.broker, settings.interval_s
        );
        let config = folder.file("device.toml", &text)?;
        let mut command = match kind {
            Kind::Pc => {
                let mut command = network.device.command(&programs.aldis);
                command
                    .args(["device", "--json", "-v", "--config"])
                    .arg(config);
                command.args(["--seed", &settings.seed.to_string(), "--state"]);
                command.arg(folder.path().join("state"));
                command
            }
            Kind::Virt => {
                let firmware = programs.firmware.as_deref();
                let firmware = firmware.context("the firmware was not built")?;
                let flash = folder.path().join("flash.bin");
                let mut image = Command::new(&programs.aldis);
                image
                    .args(["image", "--chip", "virt", "--config"])
                    .arg(config);
                succeed(image.arg("-o").arg(&flash))?;
                machine(network, firmware, &flash)
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ALDIS_") {
                command.env_remove(name);
            }
        }
        Ok(Self {
            kind,
            folder,
            program: Program::start(&mut command)?,
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What it said.
    pub fn said(&self) -> &Journal {
        &self.program.said
    }

    /// Waits for something that it says from this place on.
    pub fn wait_for(
        &mut self,
        first: usize,
        patience: Duration,
        what: &str,
        is_it: impl Fn(&Said) -> bool,
    ) -> Result<Line> {
        self.program.wait_for(first, patience, what, |line| {
            Said::read(line).is_some_and(|said| is_it(&said))
        })
    }

    /// An error, if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.program.ended() {
            None => Ok(()),
            Some(status) => anyhow::bail!(
                "the device ended: {status}; it said:\n{}",
                self.program.said.tail()
            ),
        }
    }

    /// What it has said about its readings and commands.
    pub fn account(&self) -> Account {
        Account::of(&self.program.said.all())
    }

    /// Ends it, and closes its account.
    pub fn stop(&mut self) -> Result<Account> {
        if self.kind == Kind::Virt {
            self.program.kill();
            return Ok(self.account());
        }
        self.program.stop(PATIENCE)?;
        // The last line may be read a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        let stopped = |line: &str| matches!(Said::read(line), Some(Said::Stopped(_)));
        let stopped = self.program.said.wait_line(0, until, stopped);
        stopped.context("the device did not say what still waits")?;
        let mut account = self.account();
        let state = self.folder.path().join("state/state.toml");
        account.accepted = Some(accepted(&state)?);
        Ok(account)
    }
}

/// How many readings got a number, by what the device keeps over restarts.
fn accepted(state: &Path) -> Result<u32> {
    let text = std::fs::read_to_string(state)
        .with_context(|| format!("cannot read {}", state.display()))?;
    let state: toml::Table = text.parse().context("the device's state is no TOML")?;
    let next = state.get("seq").and_then(toml::Value::as_integer);
    let next = next.and_then(|next| u32::try_from(next).ok());
    Ok(next
        .context("the device's state has no `seq`")?
        .saturating_sub(1))
}

/// The board, at the cable of the namespace.
fn machine(network: &Network, firmware: &Path, flash: &Path) -> Command {
    let mut command = network.device.command("qemu-system-riscv32");
    command
        .args(["-machine", "virt", "-m", "16M", "-display", "none"])
        .args(["-serial", "stdio", "-monitor", "none"])
        .args(["-device", "virtio-net-device,netdev=n0"])
        .args(["-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no"])
        .args(["-device", "virtio-rng-device", "-drive"])
        .arg(format!(
            "if=pflash,unit=1,format=raw,file={}",
            flash.display()
        ))
        .arg("-bios")
        .arg(firmware);
    command
}

/// Something that the device said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The broker accepted the connection.
    Connected,
    /// The connection is gone: why.
    Lost(String),
    /// An attempt failed: why.
    NotConnected(String),
    /// A reading is on its way.
    Published(u32),
    /// The broker has a reading.
    Delivered(u32),
    /// A reading will not be delivered: why.
    GivenUp(u32, String),
    /// A command was executed.
    Command(Word),
    /// The lamp was lit or darkened.
    Lamp(String),
    /// It has ended; so many readings were still to be delivered.
    Stopped(usize),
}

impl Said {
    /// Reads a line of JSON, or of a board's console.
    pub fn read(line: &str) -> Option<Self> {
        match line.starts_with('{') {
            true => Self::object(&serde_json::from_str(line).ok()?),
            false => Self::words(line),
        }
    }

    fn object(object: &Value) -> Option<Self> {
        let word = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| object.get(key).and_then(Value::as_u64);
        let seq = || number("seq").and_then(|seq| u32::try_from(seq).ok());
        Some(match object.get("event")?.as_str()? {
            "connected" => Self::Connected,
            "lost" => Self::Lost(word("cause")?),
            "not_connected" => Self::NotConnected(word("cause")?),
            "published" => Self::Published(seq()?),
            "delivered" => Self::Delivered(seq()?),
            "given_up" => Self::GivenUp(seq()?, word("why")?),
            "command" => Self::Command(Word::read(&word("command")?)?),
            "lamp" => Self::Lamp(word("state")?),
            "stopped" => Self::Stopped(number("waiting")?.try_into().ok()?),
            _ => return None,
        })
    }

    fn words(line: &str) -> Option<Self> {
        let (subject, text) = line.split_once(": ")?;
        match (
            subject,
            text.split_once(' ').map_or(text, |(first, _)| first),
        ) {
            ("mqtt", "connected") => Some(Self::Connected),
            ("mqtt", "lost") => Some(Self::Lost(text.strip_prefix("lost ")?.to_owned())),
            ("mqtt", "not") => {
                let why = text.strip_prefix("not connected ")?;
                Some(Self::NotConnected(why.to_owned()))
            }
            ("lamp", state @ ("on" | "off")) => Some(Self::Lamp(state.to_owned())),
            _ => None,
        }
    }
}

/// What the device says about itself, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many readings got a number; only when the device has ended, and not of a board.
    pub accepted: Option<u32>,
    /// Readings that were on their way.
    pub published: BTreeSet<u32>,
    /// Readings that the broker acknowledged.
    pub delivered: BTreeSet<u32>,
    /// Readings that were given up, and why.
    pub given_up: BTreeMap<u32, String>,
    /// Readings that were still to be delivered at the end.
    pub waiting: Option<usize>,
    /// The commands that were executed, as the virtual device tells them.
    pub commands: Vec<(Instant, Word)>,
    /// The lamp's states, the one at the start first.
    pub lamp: Vec<(Instant, String)>,
    /// When there was a connection.
    pub connected: Vec<Instant>,
    /// When it was lost, and why.
    pub lost: Vec<(Instant, String)>,
    /// How many attempts failed.
    pub attempts: usize,
}

impl Account {
    /// Made of the device's lines.
    pub fn of(lines: &[Line]) -> Self {
        let mut account = Self::default();
        for Line { at, text } in lines {
            match Said::read(text) {
                Some(Said::Connected) => account.connected.push(*at),
                Some(Said::Lost(why)) => account.lost.push((*at, why)),
                Some(Said::NotConnected(_)) => account.attempts += 1,
                Some(Said::Published(seq)) => drop(account.published.insert(seq)),
                Some(Said::Delivered(seq)) => drop(account.delivered.insert(seq)),
                Some(Said::GivenUp(seq, why)) => drop(account.given_up.insert(seq, why)),
                Some(Said::Command(word)) => account.commands.push((*at, word)),
                Some(Said::Lamp(state)) => account.lamp.push((*at, state)),
                Some(Said::Stopped(waiting)) => account.waiting = Some(waiting),
                None => {}
            }
        }
        account
    }

    /// The commands that were executed.
    pub fn executed(&self, kind: Kind) -> Vec<(Instant, Word)> {
        match kind {
            Kind::Pc => self.commands.clone(),
            Kind::Virt => self.toggles(),
        }
    }

    /// The commands as the lamp shows them, of a board that does not tell them: each change is a
    /// toggle.
    fn toggles(&self) -> Vec<(Instant, Word)> {
        let changes = self.lamp.windows(2).filter(|pair| pair[0].1 != pair[1].1);
        changes.map(|pair| (pair[1].0, Word::Toggle)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that is not understood is taken for something that did not happen.
    #[test]
    fn lines_are_understood() {
        for (line, expected) in [
            (
                r#"{"event":"connected","broker":"a:1","version":5}"#,
                Some(Said::Connected),
            ),
            (
                r#"{"event":"lost","cause":"closed"}"#,
                Some(Said::Lost("closed".into())),
            ),
            (
                r#"{"event":"not_connected","cause":"refused"}"#,
                Some(Said::NotConnected("refused".into())),
            ),
            (
                r#"{"event":"published","seq":3,"age_ms":0}"#,
                Some(Said::Published(3)),
            ),
            (r#"{"event":"delivered","seq":3}"#, Some(Said::Delivered(3))),
            (
                r#"{"event":"given_up","seq":3,"why":"full"}"#,
                Some(Said::GivenUp(3, "full".into())),
            ),
            (
                r#"{"event":"command","topic":"output","command":"toggle"}"#,
                Some(Said::Command(Word::Toggle)),
            ),
            (
                r#"{"event":"lamp","state":"on"}"#,
                Some(Said::Lamp("on".into())),
            ),
            (r#"{"event":"stopped","waiting":2}"#, Some(Said::Stopped(2))),
            (r#"{"event":"reading","t":1.0,"h":2.0}"#, None),
            ("mqtt: connected 10.0.2.2:1883 v5", Some(Said::Connected)),
            (
                "mqtt: lost the broker does not answer",
                Some(Said::Lost("the broker does not answer".into())),
            ),
            (
                "mqtt: not connected nothing listens",
                Some(Said::NotConnected("nothing listens".into())),
            ),
            ("lamp: on", Some(Said::Lamp("on".into()))),
            ("lamp: GPIO6: no pin", None),
            ("sensor: ok", None),
        ] {
            assert_eq!(Said::read(line), expected, "{line}");
        }
    }

    /// The state at the start is counted as a command.
    #[test]
    fn changes_of_the_lamp_are_toggles() {
        let at = Instant::now();
        let lines = ["lamp: off", "lamp: on", "lamp: off"];
        let lines = lines.map(|text| Line {
            at,
            text: text.into(),
        });
        assert_eq!(Account::of(&lines).toggles().len(), 2);
    }
}
