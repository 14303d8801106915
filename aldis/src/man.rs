//! `aldis man`: the manual pages, for packages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

/// Write the manual pages into a folder
#[derive(clap::Args)]
#[command(after_help = "Example:\n  aldis man ./man && man -l ./man/aldis-hub.1")]
pub struct Args {
    /// The folder, which is made if it is not there
    folder: PathBuf,
}

/// Writes a page for each verb and each command of a verb.
pub fn run(args: &Args) -> ExitCode {
    let written = std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(crate::Cli::command(), &args.folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::fail(format_args!(
            "cannot write the pages into {}: {error}",
            args.folder.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package without the pages that its unit and its documentation name.
    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("man");
        run(&Args {
            folder: folder.clone(),
        });
        for (page, words) in [
            ("aldis.1", "aldis demo"),
            ("aldis-hub.1", "ALDIS_HUB_LISTEN"),
            ("aldis-hub-trust.1", "certificate"),
            ("aldis-sub.1", "cafile"),
        ] {
            let text = std::fs::read_to_string(folder.join(page)).unwrap();
            assert!(text.contains(words), "{page}:\n{text}");
        }
    }
}
