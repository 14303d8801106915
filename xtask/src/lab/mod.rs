//! A laboratory: real programs in network namespaces, and what goes wrong between them.
//!
//! Every experiment has namespaces, folders and processes of its own, so that many can run at the
//! same time. Their names begin with `aldis-lab-` and the number of this process.

pub mod broker;
pub mod commander;
pub mod device;
pub mod experiment;
pub mod fault;
pub mod journal;
pub mod namespace;
pub mod network;
pub mod program;
pub mod proxy;
pub mod recorder;
pub mod verdict;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::test::setup;
use crate::{cargo_in, root, target_dir};
use namespace::Namespace;

/// Set, what needs a namespace is left out where there can be none.
const SKIP: &str = "ALDIS_SKIP_NAMESPACES";

/// The programs that experiments start.
const PROGRAMS: [&str; 9] = [
    "ip",
    "ss",
    "nft",
    "conntrack",
    "dnsmasq",
    "mosquitto",
    "mosquitto_pub",
    "mosquitto_sub",
    "kill",
];

/// Makes sure that there can be a laboratory here, and clears away what a run that was killed
/// left behind. Says whether there can be one; where not, that is an error unless it may be
/// left out.
pub fn open(may_be_left_out: bool) -> Result<bool> {
    sweep(|process| !Path::new("/proc").join(process).exists());
    if let Err(error) = Namespace::new(&prefix(), "probe") {
        if may_be_left_out || env::var_os(SKIP).is_some() {
            println!("left out: network namespaces are not allowed here");
            return Ok(false);
        }
        bail!(
            "network namespaces are not allowed here ({error:#}): run as root, or leave this out \
             with --skip-without-namespaces or {SKIP}=1"
        );
    }
    let absent = setup::packages_of(&PROGRAMS);
    ensure!(
        absent.is_empty(),
        "programs are missing; type: apt-get install {}",
        Vec::from_iter(absent).join(" ")
    );
    // Namespaces outlive the process that made them.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            close();
            std::process::exit(130);
        }
    });
    Ok(true)
}

/// Ends every process in the namespaces of this run, and removes them.
fn close() {
    let ours = std::process::id().to_string();
    sweep(|process| process == ours);
}

/// Removes what belongs to the processes of which this is true.
fn sweep(of: impl Fn(&str) -> bool) {
    namespace::sweep(&of);
    let folders = fs::read_dir(env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    for folder in folders {
        if process(&folder.file_name().to_string_lossy()).is_some_and(&of) {
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

/// The number of the process whose namespace or folder this is.
fn process(name: &str) -> Option<&str> {
    name.strip_prefix("aldis-lab-")?.split('-').next()
}

/// What the names of this process's namespaces begin with.
fn prefix() -> String {
    format!("aldis-lab-{}", std::process::id())
}

/// A program by its name, wherever it is.
fn find(program: &str) -> PathBuf {
    let found = setup::search_path()
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| program.into())
}

/// Whether there is QEMU for the board.
pub fn has_qemu() -> bool {
    find("qemu-system-riscv32").is_file()
}

/// Builds `aldis` with this profile, and gives its file.
pub fn build_aldis(profile: Profile) -> Result<PathBuf> {
    eprintln!("building aldis");
    let (name, folder) = match profile {
        Profile::Release => ("release", "release"),
        Profile::Dev => ("dev", "debug"),
    };
    let mut build = cargo_in(root(), &["build", "--quiet", "--locked"]);
    build.args(["--package", "aldis", "--profile", name]);
    let status = build.status().context("cannot start cargo")?;
    ensure!(status.success(), "aldis does not build (see above)");
    Ok(target_dir().join(folder).join("aldis"))
}

/// How `aldis` is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As users have it.
    Release,
    /// In a short time.
    Dev,
}

/// Runs a command to its end, and gives what it wrote on standard output.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A folder that is removed in the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, of this name.
    pub fn new(name: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("{}-{name}", prefix()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and gives its path.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody else's namespace or folder is removed.
    #[test]
    fn only_our_names_are_ours() {
        assert_eq!(process("aldis-lab-123-7-device"), Some("123"));
        assert_eq!(process("aldis-123-0"), None);
        assert_eq!(process("vpn"), None);
    }
}
