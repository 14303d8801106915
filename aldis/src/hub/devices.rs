//! `aldis hub devices`: who was paired.

use aldis_hub::KeysFile;
use serde_json::json;

use super::{Common, say};

/// List the paired devices
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  aldis hub devices\n  aldis hub devices --json")]
pub struct Args {}

/// Lists them.
pub fn run(_: &Args, common: &Common) -> Result<(), String> {
    let keys = KeysFile::of(&common.data()?)
        .read()
        .map_err(|error| error.to_string())?;
    if common.json {
        for (id, device) in &keys.devices {
            say(json!({
                "id": id,
                "prefix": device.prefix,
                "peers": device.peers,
                "readout": device.readout,
                "command": device.command,
                "created": device.created,
            }))?;
        }
        return Ok(());
    }
    if keys.devices.is_empty() {
        return say(format_args!(
            "No device is paired. `{}` adds one.",
            common.typed("pair ID")
        ));
    }
    let width = keys.devices.keys().map(|id| id.chars().count()).max();
    let width = width.unwrap_or(0);
    for (id, device) in &keys.devices {
        let created = device.created.as_deref().unwrap_or("?");
        let peers = match device.peers.is_empty() {
            true => "sends to nobody".to_owned(),
            false => format!("sends to {}", device.peers.join(", ")),
        };
        say(format_args!(
            "{id:width$}  {}/{id}  paired {created}  {peers}",
            device.prefix
        ))?;
    }
    Ok(())
}
