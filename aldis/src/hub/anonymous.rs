//! `aldis hub anonymous`: whether clients of this machine need a name.

use aldis_hub::KeysFile;
use serde_json::json;

use super::{Common, say};

/// Say whether clients of this machine come in without a name, or switch that
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis hub anonymous\n  \
    aldis hub anonymous off\n\n\
    A hub that runs takes it up within a second. From other machines nobody ever comes in without \
    a name.")]
pub struct Args {
    /// on or off
    switch: Option<Switch>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Says or switches it.
pub fn run(args: &Args, common: &Common) -> Result<(), String> {
    let file = KeysFile::of(&common.data()?);
    let anonymous = match args.switch {
        None => file.read().map(|keys| keys.anonymous),
        Some(switch) => file.update(|keys| {
            keys.anonymous = matches!(switch, Switch::On);
            Ok(keys.anonymous)
        }),
    }
    .map_err(|error| error.to_string())?;
    if common.json {
        return say(json!({"event": "anonymous", "on": anonymous}));
    }
    say(match anonymous {
        true => {
            "Clients of this machine come in without a name, unless hub.toml or a flag says otherwise."
        }
        false => "Nobody comes in without a name.",
    })
}
