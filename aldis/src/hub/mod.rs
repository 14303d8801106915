//! `aldis hub`: the broker of an installation, its owner and its devices.

mod address;
mod anonymous;
mod device_file;
mod devices;
mod install;
mod notify;
mod pair;
mod parts;
mod password;
mod place;
mod qr;
mod running;
mod serve;
mod trust;
mod unit;
mod unpair;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aldis_hub::{HubFile, Keys, OWNER};

use crate::shell;

pub use address::{address, own_address};

/// Run the hub: an MQTT 3.1.1 and 5 broker that remembers; name its owner and its devices
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  \
    aldis hub\n  \
    aldis hub --lan\n  \
    aldis hub pair kitchen --lan\n  \
    aldis hub --listen 127.0.0.1:1884 --data ./hub-data\n  \
    aldis hub --lan --tls :8883 --cert cert.pem --key key.pem\n\n\
    Without a command, the hub runs. Users and access rules are in DIR/hub.toml, the owner's and \
    the devices' keys in DIR/keys.toml: see docs/hub.md.",
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Commands",
    subcommand_value_name = "COMMAND"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    serve: serve::Args,
}

/// What the hub and its commands have in common.
#[derive(clap::Args)]
struct Common {
    /// Where the hub keeps everything [default: aldis/hub in the user's data directory; for root,
    /// /var/lib/aldis once the hub is a service]
    #[arg(long, global = true, value_name = "DIR", env = "ALDIS_HUB_DATA")]
    data: Option<PathBuf>,
    /// Commands find that directory without being told.
    #[arg(skip)]
    is_implied: bool,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Verb {
    Password(password::Args),
    Pair(Box<pair::Args>),
    Unpair(unpair::Args),
    Devices(devices::Args),
    Anonymous(anonymous::Args),
    Trust(trust::Args),
    Install(Box<install::Args>),
    Uninstall(install::UninstallArgs),
}

/// Runs the hub, or one of its commands.
pub fn run(args: Args) -> ExitCode {
    let mut common = args.common;
    // Whoever may look into the service's directory means the service.
    if args.verb.is_some() && common.data.is_none() && std::fs::read_dir(unit::DATA).is_ok() {
        let is_install = matches!(args.verb, Some(Verb::Install(_) | Verb::Uninstall(_)));
        common.data = (!is_install).then(|| unit::DATA.into());
        common.is_implied = true;
    }
    match args.verb {
        None => serve::run(args.serve, &common),
        Some(_) if args.serve.is_given() => crate::usage(
            "hub",
            "flags of the running hub do not go with a command; write those of the command behind it",
        ),
        Some(Verb::Password(args)) => ended(password::run(&args, &common)),
        Some(Verb::Pair(args)) => ended(pair::run(&args, &common)),
        Some(Verb::Unpair(args)) => ended(unpair::run(&args, &common)),
        Some(Verb::Devices(args)) => ended(devices::run(&args, &common)),
        Some(Verb::Anonymous(args)) => ended(anonymous::run(&args, &common)),
        Some(Verb::Trust(args)) => ended(trust::run(&args, &common)),
        Some(Verb::Install(args)) => ended(install::run(&args, &common)),
        Some(Verb::Uninstall(args)) => ended(install::uninstall(&args, &common)),
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => crate::fail(what),
    }
}

impl Common {
    /// The data directory, be it there or not.
    fn data(&self) -> Result<PathBuf, String> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => data_dir().ok_or_else(|| {
                "there is no data directory for this user; name one with `--data DIR`".to_owned()
            }),
        }
    }
}

impl Common {
    /// A command of the hub, as it is typed to mean the same data directory.
    fn typed(&self, rest: &str) -> String {
        let set = std::env::var_os("ALDIS_HUB_DATA");
        match &self.data {
            Some(data) if !self.is_implied && set.as_deref() != Some(data.as_os_str()) => {
                let data = shell::quoted(&data.to_string_lossy());
                format!("aldis hub {rest} --data {data}")
            }
            _ => format!("aldis hub {rest}"),
        }
    }
}

/// The configuration file of the hub with this data directory, as it is or as it is named.
fn hub_file(data: &Path, named: Option<&Path>, keys: &Keys) -> Result<HubFile, String> {
    let others: Vec<&str> = std::iter::once(OWNER)
        .chain(keys.devices.keys().map(String::as_str))
        .collect();
    let usual = data.join("hub.toml");
    let file = match named {
        Some(path) => HubFile::read(path, &others),
        None if usual.exists() => HubFile::read(&usual, &others),
        None => Ok(HubFile::default()),
    };
    file.map_err(|error| error.to_string())
}

/// Where a hub of this user keeps everything, unless it is told.
pub fn data_dir() -> Option<PathBuf> {
    dirs::data_dir().map(|dir| dir.join("aldis").join("hub"))
}

/// Prints a line.
fn say(line: impl Display) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| format!("cannot write: {error}"))
}
