//! The command that people type: `aldis <verb>`.
//!
//! Every verb is a module of its own with `Args` (a `clap::Args` whose
//! `after_help` carries an example) and `fn run(args: Args) -> ExitCode`. To add
//! one: the module below, a variant in [`Verb`], an arm in [`main`].
//!
//! Exit codes: 0 fine, 1 failed (after [`fail`]), 2 usage (clap exits with it);
//! `sub` and `pub` have those of mosquitto's tools, `send` has some more.

mod blink;
mod client;
mod completions;
mod decode;
mod demo;
mod device;
mod duration;
mod fingers;
mod flash;
mod history;
mod hub;
mod image;
mod lines;
mod logging;
mod man;
mod panel;
mod printable;
mod publish;
mod send;
mod shell;
mod signals;
mod sub;
mod terminal;
mod words;
mod world;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

/// The hub's broker allocates many times for each message: with this allocator it takes a seventh
/// more of them, and gives more of its memory back after a rush.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A communication device that does not lose contact: hub, virtual device and tools.
#[derive(Parser)]
#[command(
    name = "aldis",
    version,
    after_help = "Example:\n  aldis demo\n\n\
                  `aldis <VERB> --help` has an example for every verb."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
enum Verb {
    Demo(demo::Args),
    Hub(hub::Args),
    Device(device::Args),
    History(history::Args),
    Sub(sub::Args),
    Pub(publish::Args),
    Send(Box<send::Args>),
    Blink(blink::Args),
    Decode(decode::Args),
    Image(image::Args),
    Flash(flash::Args),
    World(Box<world::Args>),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(man::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Theirs are mosquitto's exit codes, where 2 is a refused connection.
        Err(error) if error.use_stderr() && is_mosquittos(std::env::args().nth(1)) => {
            // Standard error may be closed.
            let _ = error.print();
            return ExitCode::FAILURE;
        }
        Err(error) => error.exit(),
    };
    match cli.verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Hub(args) => hub::run(args),
        Verb::Device(args) => device::run(args),
        Verb::History(args) => history::run(args),
        Verb::Sub(args) => sub::run(args),
        Verb::Pub(args) => publish::run(args),
        Verb::Send(args) => send::run(&args),
        Verb::Blink(args) => blink::run(args),
        Verb::Decode(args) => decode::run(args),
        Verb::Image(args) => image::run(args),
        Verb::Flash(args) => flash::run(args),
        Verb::World(args) => world::run(*args),
        Verb::Completions(args) => completions::run(args),
        Verb::Man(args) => man::run(&args),
    }
}

/// Whether this verb has the exit codes of mosquitto's tools.
fn is_mosquittos(verb: Option<String>) -> bool {
    matches!(verb.as_deref(), Some("sub" | "pub"))
}

/// Says on standard error what went wrong and gives the exit code of a failure.
///
/// The message says what is wrong and what to do about it.
fn fail(what: impl Display) -> ExitCode {
    // Standard error may be gone, as when the terminal is.
    let _ = writeln!(io::stderr(), "aldis: {what}");
    ExitCode::FAILURE
}

/// Says on standard error how a verb is used otherwise, as clap does, and gives the exit code.
fn usage(verb: &str, what: impl Display) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let kind = ErrorKind::MissingRequiredArgument;
    let error = match command.find_subcommand_mut(verb) {
        Some(verb) => verb.error(kind, what),
        None => command.error(kind, what),
    };
    // Standard error may be closed.
    let _ = error.print();
    ExitCode::from(2)
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
