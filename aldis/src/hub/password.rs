//! `aldis hub password`: the owner's password.

use std::io::{self, IsTerminal};

use aldis_hub::{KeysFile, OWNER, OwnerPassword, hash_password};
use serde_json::json;

use super::{Common, say};

/// Fewer characters are guessed.
const LEAST: usize = 10;

/// Set the owner's password: typed, piped in, or made
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis hub password\n  \
    aldis hub password --generate\n  \
    aldis hub password < file\n\n\
    A hub that runs takes it up within a second, and closes what was opened with the old one.")]
pub struct Args {
    /// Make a password and print it
    #[arg(long)]
    generate: bool,
}

/// Sets it.
pub fn run(args: &Args, common: &Common) -> Result<(), String> {
    let file = KeysFile::of(&common.data()?);
    // Before anybody types.
    file.read().map_err(|error| error.to_string())?;
    let made = args.generate.then(OwnerPassword::generate);
    let typed = match &made {
        Some(_) => String::new(),
        None => read(true)?,
    };
    let password = made.as_ref().map_or(typed.as_str(), OwnerPassword::expose);
    if password.chars().count() < LEAST {
        return Err(format!(
            "the password is too short: at least {LEAST} characters, or `--generate`"
        ));
    }
    let hash = hash_password(password).map_err(|error| error.to_string())?;
    file.update(|keys| {
        keys.owner = Some(hash);
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    match (&made, common.json) {
        (Some(made), true) => {
            say(json!({"event": "owner", "user": OWNER, "password": made.expose()}))
        }
        (None, true) => say(json!({"event": "owner", "user": OWNER})),
        (Some(made), false) => say(format_args!(
            "The password of the user `{OWNER}`, shown this once:\n\n  {}",
            made.expose()
        )),
        (None, false) => say(format_args!("The user `{OWNER}` has a new password.")),
    }
}

/// Reads a password: from the terminal, where it is not shown (and asked for `twice`), or the
/// first line of standard input.
pub fn read(twice: bool) -> Result<String, String> {
    let failed = |error: io::Error| format!("cannot read the password: {error}");
    if !io::stdin().is_terminal() {
        let line = io::stdin().lines().next();
        let password = line.unwrap_or_else(|| Ok(String::new())).map_err(failed)?;
        return match password.is_empty() {
            true => Err("the password is empty; type one, or pipe one in".to_owned()),
            false => Ok(password),
        };
    }
    let password = rpassword::prompt_password("Password: ").map_err(failed)?;
    if password.is_empty() {
        return Err("the password is empty; type one, or pipe one in".to_owned());
    }
    if twice && rpassword::prompt_password("Once more: ").map_err(failed)? != password {
        return Err("these were two different passwords; nothing was changed".to_owned());
    }
    Ok(password)
}
