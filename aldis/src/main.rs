//! The command that people type: `aldis <verb>`.
//!
//! Every verb is a module of its own with `Args` (a `clap::Args` whose
//! `after_help` carries an example) and `fn run(args: Args) -> ExitCode`. To add
//! one: the module below, a variant in [`Verb`], an arm in [`main`].
//!
//! Exit codes: 0 fine, 1 failed (after [`fail`]), 2 usage (clap exits with it).

mod completions;
mod decode;
mod duration;
mod hub;
mod logging;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A communication device that does not lose contact: hub, virtual device and tools.
#[derive(Parser)]
#[command(
    name = "aldis",
    version,
    after_help = "Example:\n  aldis decode recording.csv\n\n\
                  `aldis <VERB> --help` has an example for every verb."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
enum Verb {
    Hub(hub::Args),
    Decode(decode::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Hub(args) => hub::run(args),
        Verb::Decode(args) => decode::run(args),
        Verb::Completions(args) => completions::run(args),
    }
}

/// Says on standard error what went wrong and gives the exit code of a failure.
///
/// The message says what is wrong and what to do about it.
fn fail(what: impl Display) -> ExitCode {
    eprintln!("aldis: {what}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    /// Two flags with one letter or a default of the wrong type panic only when the verb is used.
    #[test]
    fn every_verb_is_well_defined() {
        Cli::command().debug_assert();
    }

    /// A verb without an example leaves the user guessing how its arguments fit together.
    #[test]
    fn every_verb_has_an_example() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("aldis ")),
                "`aldis {} --help` shows no example",
                verb.get_name()
            );
        }
    }
}
