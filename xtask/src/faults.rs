//! `cargo xtask faults`: real programs, real faults, and how long contact is lost.

mod cases;
mod run;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::lab::{self, broker, device, network};
use crate::sizes::board::Board;
use cases::Case;

/// Put a device and its broker through every fault, and measure contact.
///
/// The virtual device, and the board under QEMU where that is installed, meet mosquitto and the
/// hub in network namespaces with routers between them. For each fault the table says after how
/// many seconds the device noticed it (from its beginning), and after how many there was contact
/// again (from its end to the first new delivery; of a fault that does not end, from its
/// beginning). It fails if a reading was lost unseen, a command executed twice, or contact did
/// not come back. The full course of each is kept in `target/xtask-faults`.
/// Example: `cargo xtask faults --quick`, `cargo xtask faults --only silent`.
#[derive(Args)]
pub struct Faults {
    /// Leave out what takes longest.
    #[arg(long)]
    quick: bool,
    /// A program `aldis` that is built already; else one is built.
    #[arg(long, value_name = "FILE")]
    aldis: Option<PathBuf>,
    /// Only faults whose name begins like this; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only at this broker.
    #[arg(long, value_name = "BROKER")]
    broker: Option<WhichBroker>,
    /// Only with this device.
    #[arg(long, value_name = "DEVICE")]
    device: Option<WhichDevice>,
    /// Only over this way.
    #[arg(long, value_name = "WAY")]
    topology: Option<Way>,
    /// How many experiments run at the same time; they wait most of it.
    #[arg(long, value_name = "N", default_value_t = 8)]
    jobs: usize,
    /// Makes the device's chance repeatable.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object per experiment instead of a table.
    #[arg(long)]
    json: bool,
    /// Fail as well if contact was noticed as lost, or came back, later than it should.
    #[arg(long)]
    strict: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    list: bool,
    /// Succeed without doing anything where network namespaces are not allowed.
    #[arg(long)]
    skip_without_namespaces: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum WhichBroker {
    Mosquitto,
    Hub,
}

#[derive(Clone, Copy, ValueEnum)]
enum WhichDevice {
    Pc,
    Virt,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    /// One router with NAT.
    Single,
    /// Two routers with NAT, one behind the other or each before one side.
    Double,
}

impl Faults {
    /// Runs what is wanted, and prints what came out.
    pub fn run(self) -> Result<()> {
        let mut cases = cases::all(self.quick);
        cases.retain(|case| self.wants(case));
        ensure!(
            !cases.is_empty(),
            "no experiment is left; see `cargo xtask faults --list`"
        );
        if self.list {
            table::list(&cases);
            return Ok(());
        }
        if !lab::open(self.skip_without_namespaces)? {
            return Ok(());
        }
        let is_virt = |case: &Case| case.setting.device == device::Kind::Virt;
        let aldis = match self.aldis {
            Some(built) => built,
            None if self.quick => lab::build_aldis(lab::Profile::Dev)?,
            None => lab::build_aldis(lab::Profile::Release)?,
        };
        let firmware = match cases.iter().any(is_virt) {
            true if lab::has_qemu() => Some(Board::Virt.build()?),
            true => {
                eprintln!("left out: the board, because qemu-system-riscv32 is not installed");
                cases.retain(|case| !is_virt(case));
                None
            }
            false => None,
        };
        let programs = device::Programs { aldis, firmware };
        let start = Instant::now();
        let rows = run::all(&cases, &programs, self.jobs, self.seed)?;
        match self.json {
            true => table::print_json(&rows),
            false => table::print(&rows, start.elapsed()),
        }
        let broken = rows.iter().filter(|row| !row.broken.is_empty()).count();
        ensure!(broken == 0, "{broken} of {} experiments failed", rows.len());
        let late = rows.iter().filter(|row| !row.missed.is_empty()).count();
        ensure!(
            late == 0 || !self.strict,
            "{late} of {} experiments missed a goal",
            rows.len()
        );
        Ok(())
    }

    fn wants(&self, case: &Case) -> bool {
        let name = case.name();
        let named = self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only));
        let setting = case.setting;
        let at = self.broker.is_none_or(|broker| match broker {
            WhichBroker::Hub => setting.broker == broker::Kind::Hub,
            WhichBroker::Mosquitto => setting.broker != broker::Kind::Hub,
        });
        let with = self.device.is_none_or(|device| match device {
            WhichDevice::Pc => setting.device == device::Kind::Pc,
            WhichDevice::Virt => setting.device == device::Kind::Virt,
        });
        let over = self.topology.is_none_or(|way| match way {
            Way::Single => setting.topology == network::Topology::Single,
            Way::Double => setting.topology != network::Topology::Single,
        });
        named && at && with && over
    }
}
