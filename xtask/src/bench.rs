//! Measures our MQTT session against other clients and prints one table with ratios.
//!
//! What is measured, and how, is written beside the programs in `bench/`.

mod build;
mod hub;
mod instructions;
mod limits;
mod roundtrip;
mod size;
mod table;

use std::fs;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::root;
use build::Builder;
use instructions::Instructions;
use roundtrip::Rates;
use size::Size;

/// Measure our MQTT session against other clients.
///
/// Sizes and instruction counts are exact and repeatable on one machine; round trips are timed in
/// turns within one run. Example: `cargo xtask bench size --opt-level 3`.
#[derive(Args)]
pub struct Bench {
    /// What to measure.
    #[arg(default_value = "all")]
    subject: Subject,
    /// The optimisation of every program in every column.
    #[arg(long, default_value = "s")]
    opt_level: OptLevel,
    /// Measure our own client only.
    #[arg(long)]
    ours: bool,
    /// Print one JSON object per client instead of a table.
    #[arg(long)]
    json: bool,
    /// Of the hub, with small loads.
    #[arg(long)]
    quick: bool,
    /// Measure our own client only, and fail if it costs more than it may.
    #[arg(long, conflicts_with = "opt_level")]
    check: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Flash and RAM on riscv32imc.
    Size,
    /// Instructions per message, counted by callgrind.
    Instructions,
    /// Round trips per second through mosquitto.
    Roundtrip,
    /// What a hub records a second, and 10,000 virtual devices at it: minutes, and asked for by
    /// name only.
    Hub,
    /// Everything about the client.
    All,
}

impl Subject {
    fn includes(self, other: Self) -> bool {
        self == other || (self == Self::All && other != Self::Hub)
    }
}

/// `opt-level` of the release profile.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OptLevel {
    S,
    Z,
    #[value(name = "2")]
    Two,
    #[value(name = "3")]
    Three,
}

impl OptLevel {
    /// As Cargo's configuration writes it.
    fn toml(self) -> &'static str {
        match self {
            Self::S => "\"s\"",
            Self::Z => "\"z\"",
            Self::Two => "2",
            Self::Three => "3",
        }
    }
}

/// A client that takes part.
struct Client {
    /// Its package, feature and program.
    name: &'static str,
    /// Whether there is a program for the chip.
    size: bool,
    /// Whether it keeps state on the heap, beside what its types show.
    heap: bool,
    /// Whether it takes part in the round trips.
    roundtrip: bool,
}

/// All clients; ratios are against the first.
const CLIENTS: [Client; 5] = [
    Client {
        name: "aldis-mqtt",
        size: true,
        heap: false,
        roundtrip: true,
    },
    Client {
        name: "minimq",
        size: true,
        heap: false,
        roundtrip: false,
    },
    Client {
        name: "rust-mqtt",
        size: true,
        heap: false,
        roundtrip: false,
    },
    Client {
        name: "mqtt-protocol-core",
        size: true,
        heap: true,
        roundtrip: false,
    },
    Client {
        name: "rumqttc",
        size: false,
        heap: true,
        roundtrip: true,
    },
];

/// Everything that was measured of one client.
struct Figures {
    client: &'static Client,
    version: String,
    size: Option<Size>,
    instructions: Option<Instructions>,
    rates: Option<Rates>,
}

impl Bench {
    /// Builds, runs and reports.
    pub fn run(self) -> Result<()> {
        if self.subject == Subject::Hub {
            let loads = match self.quick {
                true => hub::Loads::QUICK,
                false => hub::Loads::WHOLE,
            };
            return hub::run(loads, self.json);
        }
        if self.check && self.subject == Subject::Roundtrip {
            bail!("round trips depend on the machine: check size or instructions");
        }
        // Whatever is missing is said before the first program is built.
        if self.subject.includes(Subject::Size) {
            size::check()?;
        }
        if self.subject.includes(Subject::Instructions) {
            instructions::check()?;
        }

        let builder = Builder::new(self.opt_level);
        let lock = root().join("bench/Cargo.lock");
        let lock =
            fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let clients = match self.ours || self.check {
            true => &CLIENTS[..1],
            false => &CLIENTS[..],
        };
        let mut figures = vec![];
        for client in clients {
            let size = self.subject.includes(Subject::Size) && client.size;
            let instructions = self.subject.includes(Subject::Instructions);
            figures.push(Figures {
                client,
                version: locked_version(&lock, client.name)?.to_owned(),
                size: size
                    .then(|| size::measure(&builder, client.name))
                    .transpose()?,
                instructions: instructions
                    .then(|| instructions::measure(&builder, client.name))
                    .transpose()?,
                rates: None,
            });
        }
        let mut bare = None;
        if !self.check && self.subject.includes(Subject::Roundtrip) {
            let rates = roundtrip::measure(&builder)?;
            bare = Some(rates.of("bare")?);
            for figures in figures.iter_mut().filter(|f| f.client.roundtrip) {
                figures.rates = Some(rates.of(figures.client.name)?);
            }
        }
        figures.retain(|f| f.size.is_some() || f.instructions.is_some() || f.rates.is_some());

        if self.json {
            table::print_json(&figures, self.opt_level);
        } else {
            self.print(&figures, &builder, bare)?;
        }
        match figures.first() {
            Some(ours) if self.check => {
                limits::check(ours.size.as_ref(), ours.instructions.as_ref())
            }
            _ => Ok(()),
        }
    }

    /// Prints the table and what belongs to it.
    fn print(&self, figures: &[Figures], builder: &Builder, bare: Option<Rates>) -> Result<()> {
        table::print(figures, self.opt_level);
        if self.subject.includes(Subject::Size) {
            let text = size::measure_empty(builder)?;
            println!("\nOf each .text, the program without any client would take {text} B.");
        }
        if let Some(Rates {
            acknowledged,
            echoed,
            windowed,
            answered,
            pipelined,
        }) = bare
        {
            println!(
                "\nA socket without any client: {acknowledged}/s, {echoed}/s, {windowed}/s; \
                 only answered: {answered}/s, {pipelined}/s."
            );
        }
        Ok(())
    }
}

/// The version of a package in a lock file.
pub fn locked_version<'l>(lock: &'l str, package: &str) -> Result<&'l str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .with_context(|| format!("bench/Cargo.lock has no {package}"))
}

#[cfg(test)]
mod tests {
    use super::locked_version;

    const LOCK: &str = "[[package]]\nname = \"mini\"\nversion = \"0.1.0\"\n\n\
                        [[package]]\nname = \"minimq\"\nversion = \"0.13.5\"\n";

    /// A table that names another package's version would be wrong about who was measured.
    #[test]
    fn a_locked_version_is_that_of_the_whole_name() {
        assert_eq!(locked_version(LOCK, "minimq").ok(), Some("0.13.5"));
        assert_eq!(locked_version(LOCK, "mini").ok(), Some("0.1.0"));
        assert!(locked_version(LOCK, "inimq").is_err());
    }
}
