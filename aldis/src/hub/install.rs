//! `aldis hub install` and `uninstall`: the hub as a service that survives restarts.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::unit::{DATA, Flag, NAME, Scope, Unit, VARIABLES, variables};
use super::{Common, say, serve};

/// Where the machine's units are.
const UNITS: &str = "/etc/systemd/system";
/// Where a program is put that a service could not reach.
const PROGRAM: &str = "/usr/local/bin/aldis";
/// Where a service of the machine sees nothing.
const HIDDEN: [&str; 4] = ["/home", "/root", "/run/user", "/tmp"];

/// Make the hub a service that starts with the machine (systemd)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    sudo aldis hub install --lan\n  \
    aldis hub install --user\n  \
    aldis hub install --lan --print\n\n\
    The flags of the running hub go into the unit; passwords go into a file that only its owner may \
    read. Typed again, it replaces unit and program: that is how they are upgraded.")]
pub struct Args {
    /// For this user alone, without root
    #[arg(long)]
    user: bool,
    /// Print the unit and change nothing
    #[arg(long)]
    print: bool,
    /// The program that the unit starts [default: this one]
    #[arg(long, value_name = "FILE", hide = true)]
    program: Option<PathBuf>,
    #[command(flatten)]
    serve: serve::Args,
}

/// Remove the hub's service; what it kept stays
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    sudo aldis hub uninstall\n  \
    aldis hub uninstall --user")]
pub struct UninstallArgs {
    /// The service of this user
    #[arg(long)]
    user: bool,
}

/// The folders of a service, below `root` for tests.
struct Place {
    units: PathBuf,
    variables: PathBuf,
    program: PathBuf,
    scope: Scope,
    /// What systemctl is called with.
    systemctl: &'static [&'static str],
    /// Whether systemd runs this machine.
    runs: bool,
}

impl Place {
    fn of(user: bool, common: &Common) -> Result<Self, String> {
        let runs = Path::new("/run/systemd/system").exists();
        if !user {
            if let Some(data) = &common.data
                && data != Path::new(DATA)
            {
                return Err(format!(
                    "the service of the machine keeps everything in {DATA}; leave `--data` out, or \
                     install it for your user with `--user`"
                ));
            }
            return Ok(Self {
                units: UNITS.into(),
                variables: VARIABLES.into(),
                program: PROGRAM.into(),
                scope: Scope::Machine,
                systemctl: &[],
                runs,
            });
        }
        let config =
            dirs::config_dir().ok_or("there is no configuration directory for this user")?;
        let variables = config.join("aldis").join("hub.env");
        Ok(Self {
            units: config.join("systemd").join("user"),
            variables: variables.clone(),
            program: PathBuf::new(),
            scope: Scope::User {
                data: absolute(&common.data()?)?,
                variables,
            },
            systemctl: &["--user"],
            runs,
        })
    }

    fn unit(&self) -> PathBuf {
        self.units.join(NAME)
    }

    fn is_user(&self) -> bool {
        matches!(self.scope, Scope::User { .. })
    }

    fn data(&self) -> &Path {
        match &self.scope {
            Scope::Machine => Path::new(DATA),
            Scope::User { data, .. } => data,
        }
    }

    fn systemctl(&self, arguments: &[&str]) -> Vec<String> {
        let words = ["systemctl"].iter().chain(self.systemctl).chain(arguments);
        words.map(|word| (*word).to_owned()).collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What was done, and what is left to be done.
#[derive(Default)]
struct Report {
    done: Vec<String>,
    left: Vec<String>,
}

impl Report {
    /// Runs a command, or leaves it to the reader.
    fn run(&mut self, runs: bool, command: &[String]) {
        let typed = command.join(" ");
        let [program, arguments @ ..] = command else {
            return;
        };
        if !runs {
            self.left.push(typed);
            return;
        }
        match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => self.done.push(typed),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().next().unwrap_or("it failed").trim().to_owned();
                self.left.push(format!("{typed}    # {said}"));
            }
            Err(error) => self.left.push(format!("{typed}    # {error}")),
        }
    }

    fn say(&self, common: &Common, unit: &Path, data: &Path) -> Result<(), String> {
        if common.json {
            return say(json!({
                "unit": unit,
                "data": data,
                "done": self.done,
                "left": self.left,
            }));
        }
        let mut text = String::new();
        for done in &self.done {
            let _ = writeln!(text, "done  {done}");
        }
        if !self.left.is_empty() {
            text.push_str("\nType this yourself:\n\n");
            for left in &self.left {
                let _ = writeln!(text, "  {left}");
            }
        }
        say(text.trim_end())
    }
}

/// Installs it.
pub fn run(args: &Args, common: &Common) -> Result<(), String> {
    let place = Place::of(args.user, common)?;
    let given = args.serve.unit_flags()?;
    let flags = checked(&place, given.flags)?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => env::current_exe().map_err(|error| format!("which program is this? {error}"))?,
    };
    let moves = !place.is_user() && HIDDEN.iter().any(|hidden| program.starts_with(hidden));
    let unit = Unit {
        program: if moves { &place.program } else { &program },
        scope: &place.scope,
        flags: &flags,
        low_port: given.low_port,
    };
    let text = unit.text();
    if args.print {
        return say(text.trim_end());
    }
    let mut report = Report::default();
    install(
        &place,
        &text,
        &flags,
        moves.then_some(&program),
        &mut report,
    )?;
    report.run(place.runs, &place.systemctl(&["daemon-reload"]));
    report.run(place.runs, &place.systemctl(&["enable", NAME]));
    // It may run already, with other flags.
    report.run(place.runs, &place.systemctl(&["restart", NAME]));
    if place.is_user() {
        // Otherwise it begins when its user comes, and ends when he goes.
        let linger = ["loginctl", "enable-linger"].map(str::to_owned);
        report.run(place.runs, &linger);
    }
    report.say(common, &place.unit(), place.data())?;
    if common.json {
        return Ok(());
    }
    let data = place.data().display();
    let sudo = if place.is_user() { "" } else { "sudo " };
    let journal = place.systemctl(&["status", NAME]).join(" ");
    say(format_args!(
        "\nThe hub keeps everything in {data}. Next:\n\n  \
         {sudo}aldis hub password --data {data}\n  \
         {sudo}aldis hub pair kitchen --lan --data {data}\n  \
         {journal}"
    ))
}

/// Writes unit, variables and program.
fn install(
    place: &Place,
    text: &str,
    flags: &[Flag],
    program: Option<&PathBuf>,
    report: &mut Report,
) -> Result<(), String> {
    let wrong = |path: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied if !place.is_user() => format!(
            "cannot write {}: {error}; type `sudo aldis hub install ...`, or install it for \
             yourself with `--user`",
            path.display()
        ),
        _ => format!("cannot write {}: {error}", path.display()),
    };
    if let Some(program) = program {
        copy(program, &place.program).map_err(|error| wrong(&place.program, error))?;
        report.done.push(format!(
            "copied {} to {}",
            program.display(),
            place.program.display()
        ));
    }
    let secrets: Vec<(&str, &str)> = flags
        .iter()
        .filter_map(|flag| match flag {
            Flag::Secret(name, value) => Some((*name, value.as_str())),
            _ => None,
        })
        .collect();
    if !secrets.is_empty() {
        let path = &place.variables;
        let before = match fs::read_to_string(path) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let text = variables(&before, &secrets);
        replace(path, text.as_bytes(), 0o600).map_err(|error| wrong(path, error))?;
        let names: Vec<&str> = secrets.iter().map(|(name, _)| *name).collect();
        report.done.push(format!(
            "wrote {} into {}",
            names.join(", "),
            path.display()
        ));
    }
    let unit = place.unit();
    replace(&unit, text.as_bytes(), 0o644).map_err(|error| wrong(&unit, error))?;
    report.done.push(format!("wrote {}", unit.display()));
    Ok(())
}

/// Looks at what the service could not do.
fn checked(place: &Place, flags: Vec<Flag>) -> Result<Vec<Flag>, String> {
    flags
        .into_iter()
        .map(|flag| match flag {
            Flag::File(name, path) => {
                let path = absolute(&path)?;
                match path.is_file() {
                    true => Ok(Flag::File(name, path)),
                    false => Err(format!(
                        "`{name} {}`: there is no such file",
                        path.display()
                    )),
                }
            }
            Flag::Value("--store", store) if !store.contains("://") => {
                let path = Path::new(store.strip_prefix("sqlite:").unwrap_or(&store));
                if place.is_user() {
                    let path = absolute(path)?;
                    return Ok(Flag::Value("--store", path.to_string_lossy().into_owned()));
                }
                match path.starts_with(DATA) {
                    true => Ok(Flag::Value("--store", store)),
                    false => Err(format!(
                        "`--store {store}`: the service may write in {DATA} alone; name a file \
                         there, or a server"
                    )),
                }
            }
            flag => Ok(flag),
        })
        .collect()
}

/// Replaces a file as a whole, with these rights.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(&new)?;
    // Whatever the umask is.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = mode;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// Copies the program, also over one that runs.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from == to {
        return Ok(());
    }
    replace(to, &fs::read(from)?, 0o755)
}

/// Removes it.
pub fn uninstall(args: &UninstallArgs, common: &Common) -> Result<(), String> {
    let place = Place::of(args.user, common)?;
    let unit = place.unit();
    if !unit.exists() {
        return Err(format!(
            "there is no {}; {}",
            unit.display(),
            match args.user {
                true => "was it installed for the machine? Leave `--user` out",
                false => "was it installed with `--user`, or by a package (apt remove aldis)?",
            }
        ));
    }
    let mut report = Report::default();
    report.run(place.runs, &place.systemctl(&["disable", "--now", NAME]));
    fs::remove_file(&unit).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "cannot remove {}: {error}; type `sudo aldis hub uninstall`",
            unit.display()
        ),
        _ => format!("cannot remove {}: {error}", unit.display()),
    })?;
    report.done.push(format!("removed {}", unit.display()));
    report.run(place.runs, &place.systemctl(&["daemon-reload"]));
    report.say(common, &unit, place.data())?;
    if common.json {
        return Ok(());
    }
    let mut kept = vec![place.data().display().to_string()];
    if place.variables.exists() {
        kept.push(place.variables.display().to_string());
    }
    say(format_args!(
        "\nWhat the hub kept is still in {}.",
        kept.join(" and ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flag that is taken at the installation and left out of the unit: the service is another
    /// hub than the one that was asked for.
    #[test]
    fn every_flag_of_the_hub_goes_into_the_unit() {
        use clap::{CommandFactory, Parser};
        let command = crate::Cli::command();
        let hub = command.find_subcommand("hub").unwrap();
        let mut count = 0;
        for argument in hub.get_arguments() {
            let Some(long) = argument.get_long() else {
                continue;
            };
            if ["data", "json", "help", "for", "hash-password"].contains(&long) {
                continue;
            }
            let flag = format!("--{long}");
            let mut words = vec!["aldis", "hub", "install", &flag];
            if argument.get_action().takes_values() {
                words.push(if long == "broker" { "mqtt://h" } else { "1" });
            }
            let cli = crate::Cli::try_parse_from(&words).or_else(|_| {
                words.extend(["--broker", "mqtt://h"]);
                crate::Cli::try_parse_from(&words)
            });
            let Ok(crate::Verb::Hub(args)) = cli.map(|cli| cli.verb) else {
                panic!("{words:?} cannot be read");
            };
            let Some(crate::hub::Verb::Install(args)) = args.verb else {
                panic!("{words:?} is not the command");
            };
            let flags = args.serve.unit_flags().unwrap().flags;
            let is_there = flags.iter().any(|found| match found {
                Flag::Switch("-v") => long == "verbose",
                Flag::Switch(name) | Flag::Value(name, _) | Flag::File(name, _) => *name == flag,
                Flag::Secret(..) => false,
            });
            assert!(is_there, "{flag}: {flags:?}");
            count += 1;
        }
        assert!(count >= 15, "{count}");
    }

    fn place(root: &Path) -> Place {
        Place {
            units: root.join("units"),
            variables: root.join("etc/hub.env"),
            program: root.join("bin/aldis"),
            scope: Scope::Machine,
            systemctl: &[],
            runs: false,
        }
    }

    /// A secret that others may read, or a program that the service cannot reach.
    #[cfg(unix)]
    #[test]
    fn unit_variables_and_program_are_written_with_their_rights() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let place = place(root.path());
        let program = root.path().join("built");
        fs::write(&program, "program").unwrap();
        let secret = Flag::Secret("ALDIS_HUB_STORE", "postgres://u:geheim@h/d".to_owned());
        for _ in 0..2 {
            let mut report = Report::default();
            let flags = [secret.clone()];
            install(&place, "unit", &flags, Some(&program), &mut report).unwrap();
            assert_eq!(report.done.len(), 3, "{:?}", report.done);
            assert!(!report.done.concat().contains("geheim"));
        }
        for (path, mode, text) in [
            (place.unit(), 0o644, "unit"),
            (
                place.variables.clone(),
                0o600,
                "ALDIS_HUB_STORE='postgres://u:geheim@h/d'\n",
            ),
            (place.program.clone(), 0o755, "program"),
        ] {
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }

    /// Without systemd, as in a container, nothing is run and nothing is pretended.
    #[test]
    fn what_could_not_be_done_is_left_to_the_reader() {
        let root = tempfile::tempdir().unwrap();
        let place = place(root.path());
        let mut report = Report::default();
        report.run(place.runs, &place.systemctl(&["daemon-reload"]));
        report.run(true, &["false".to_owned()]);
        report.run(true, &["aldis-no-such-program".to_owned()]);
        assert!(report.done.is_empty());
        assert_eq!(report.left.len(), 3);
        assert_eq!(report.left[0], "systemctl daemon-reload");
        assert!(report.left[1].starts_with("false    # "));
    }

    /// A service that cannot write its records fails at each start, for ever.
    #[test]
    fn files_are_where_the_service_reaches_them() {
        let root = tempfile::tempdir().unwrap();
        let place = place(root.path());
        let store = |text: &str| checked(&place, vec![Flag::Value("--store", text.to_owned())]);
        let error = store("/home/ann/history.db").unwrap_err();
        assert!(error.contains(DATA), "{error}");
        store("/var/lib/aldis/other.db").unwrap();
        store("postgres://h/d").unwrap();
        let missing = vec![Flag::File("--cert", root.path().join("none.pem"))];
        assert!(
            checked(&place, missing)
                .unwrap_err()
                .contains("no such file")
        );
    }
}
