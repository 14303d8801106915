//! Where it is recorded.

use std::path::Path;

/// The name of the recorder's file in the hub's data directory.
const FILE: &str = "history.db";

/// Where it is recorded, for the hub that does it and for whoever reads it.
#[derive(clap::Args)]
#[group(skip)]
pub struct StoreArgs {
    /// Where it is recorded: a file, or postgres://USER@HOST/DATABASE [default: DIR/history.db]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "ALDIS_HUB_STORE",
        hide_env_values = true
    )]
    pub store: Option<String>,
}

/// The store in a hub's data directory.
pub fn file_in(data: &Path) -> String {
    data.join(FILE).to_string_lossy().into_owned()
}
