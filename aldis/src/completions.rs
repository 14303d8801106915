//! `aldis completions`: what makes the shell complete verbs and flags.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// Print the completion script of a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis completions bash > ~/.local/share/bash-completion/completions/aldis\n  \
    aldis completions fish > ~/.config/fish/completions/aldis.fish")]
pub struct Args {
    /// The shell to complete for
    shell: Shell,
}

/// Prints the script to standard output.
pub fn run(args: Args) -> ExitCode {
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "aldis", &mut script);
    match io::stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => crate::fail(format_args!("cannot write the script: {error}")),
    }
}
