//! `aldis hub unpair`: takes a device's key away, or what it may send to others.

use aldis_hub::KeysFile;
use serde_json::json;

use super::{Common, say};

/// Take a device's key away; one that is connected is put out at once
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis hub unpair kitchen\n  \
    aldis hub unpair kitchen --peer attic   (only what it may send to attic)")]
pub struct Args {
    /// The device's id
    id: String,
    /// Only take away that it may send messages to this device; may be repeated
    #[arg(long, value_name = "ID")]
    peer: Vec<String>,
}

/// Takes it away.
pub fn run(args: &Args, common: &Common) -> Result<(), String> {
    let id = &args.id;
    let file = KeysFile::of(&common.data()?);
    file.update(|keys| {
        let Some(device) = keys.devices.get_mut(id) else {
            return Err(format!(
                "no device `{id}` is paired; `{}` lists those that are",
                common.typed("devices")
            ));
        };
        for peer in &args.peer {
            if !device.peers.contains(peer) {
                return Err(format!("`{id}` may not send to `{peer}` anyway"));
            }
        }
        if args.peer.is_empty() {
            keys.devices.remove(id);
            // Whoever gets this id later is somebody else.
            for other in keys.devices.values_mut() {
                other.peers.retain(|peer| peer != id);
            }
        } else {
            device.peers.retain(|peer| !args.peer.contains(peer));
        }
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    if common.json {
        return say(json!({"event": "unpaired", "id": id, "peers": args.peer}));
    }
    match args.peer.is_empty() {
        true => say(format_args!(
            "{id} is not paired any more, and may not come in."
        )),
        false => say(format_args!(
            "{id} may not send to {} any more.",
            args.peer.join(", ")
        )),
    }
}
