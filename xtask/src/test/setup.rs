//! What the tests need beside Cargo.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, root};

/// The targets of the chips.
pub const TARGETS: [&str; 2] = [
    "riscv32imc-unknown-none-elf",
    "riscv32imac-unknown-none-elf",
];

/// Programs that tests start, and Debian's packages with them.
const PROGRAMS: [(&str, &str); 17] = [
    ("mosquitto", "mosquitto"),
    ("mosquitto_passwd", "mosquitto"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
    ("stdbuf", "coreutils"),
    ("kill", "procps"),
    ("valgrind", "valgrind"),
    ("qemu-system-riscv32", "qemu-system-misc"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("dnsmasq", "dnsmasq-base"),
    ("avahi-daemon", "avahi-daemon"),
    // Debian keeps the server itself where only this program looks.
    ("pg_ctlcluster", "postgresql"),
    ("chromium", "chromium"),
    ("protoc", "protobuf-compiler"),
];

/// The packages with a service, and what systemd calls it.
const SERVICES: [(&str, &[&str]); 3] = [
    ("mosquitto", &["mosquitto.service"]),
    // The socket would start the service again.
    (
        "avahi-daemon",
        &["avahi-daemon.socket", "avahi-daemon.service"],
    ),
    ("postgresql", &["postgresql.service"]),
];

/// Installs what is missing, or says what to type.
pub fn run() -> Result<()> {
    programs()?;
    components()?;
    targets()
}

/// Where programs are looked for: Debian keeps servers where users do not look.
pub fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let servers = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    // PostgreSQL has a folder for each of its versions.
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let versions = versions.flatten().map(|version| version.path().join("bin"));
    let servers = servers.into_iter().chain(versions);
    env::split_paths(&path).chain(servers).collect()
}

/// The packages with programs that are in none of the folders.
fn missing(folders: &[PathBuf]) -> BTreeSet<&'static str> {
    let absent = |program: &str| !folders.iter().any(|folder| folder.join(program).is_file());
    let absent = PROGRAMS.iter().filter(|(program, _)| absent(program));
    absent.map(|(_, package)| *package).collect()
}

/// The packages that are missing for these programs.
pub fn packages_of(programs: &[&str]) -> BTreeSet<&'static str> {
    let missing = missing(&search_path());
    let theirs = PROGRAMS.iter().filter(|(name, _)| programs.contains(name));
    let theirs = theirs.map(|(_, package)| *package);
    theirs.filter(|package| missing.contains(package)).collect()
}

fn programs() -> Result<()> {
    let packages: Vec<_> = missing(&search_path()).into_iter().collect();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !is_root() || !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("the tests need {names}; type: sudo apt-get install {names}");
    }
    println!("installing {names}");
    // A list of packages that cannot be renewed may still do.
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&packages);
    ensure!(
        apt(&install)?,
        "the tests need {names}, which cannot be installed (see above); \
         type: apt-get update && apt-get install {names}"
    );
    for (package, units) in SERVICES {
        if packages.contains(&package) {
            stop_service(package, units);
        }
    }
    let still = missing(&search_path());
    ensure!(
        still.is_empty(),
        "the programs of {still:?} are missing though the packages are installed"
    );
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .arg("--quiet")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("cannot start apt-get")?;
    Ok(status.success())
}

/// Debian starts a server as soon as it is installed. Nobody asked for one on port 1883 or in the
/// local network, and the tests start their own.
fn stop_service(name: &str, units: &[&str]) {
    let _ = match Path::new("/run/systemd/system").is_dir() {
        true => succeeds(
            Command::new("systemctl")
                .args(["disable", "--now"])
                .args(units),
        ),
        false => succeeds(Command::new("service").args([name, "stop"])),
    };
}

/// Whether everything is allowed.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// rustup installs what rust-toolchain.toml lists, but not into a toolchain that it finds there.
fn components() -> Result<()> {
    let absent = |tool: &&str| !succeeds(Command::new(cargo()).args([*tool, "--version"]));
    let tools = [("fmt", "rustfmt"), ("clippy", "clippy")];
    let absent = tools.iter().filter(|(tool, _)| absent(tool));
    let components: Vec<_> = absent.map(|(_, component)| *component).collect();
    add("component", &components)
}

fn targets() -> Result<()> {
    let mut absent = Vec::new();
    for target in TARGETS {
        let output = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", target])
            .current_dir(root())
            .output()
            .context("cannot start rustc")?;
        let folder = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !Path::new(folder.trim()).is_dir() {
            absent.push(target);
        }
    }
    add("target", &absent)
}

/// Has rustup add these to the toolchain.
fn add(kind: &str, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    println!("adding {} to the toolchain", names.join(" "));
    let status = Command::new("rustup")
        .args([kind, "add"])
        .args(names)
        .current_dir(root())
        .stdin(Stdio::null())
        .status();
    ensure!(
        status.is_ok_and(|status| status.success()),
        "the Rust toolchain lacks {0}; type: rustup {kind} add {0}",
        names.join(" ")
    );
    Ok(())
}

/// Whether a command exists and ends well.
fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A missing program that is not noticed fails some test later, with worse words.
    #[test]
    fn each_missing_program_names_its_package_once() {
        let all: BTreeSet<_> = PROGRAMS.iter().map(|(_, package)| *package).collect();
        assert_eq!(missing(&[]), all);
        let folder = crate::target_dir().join(format!("setup-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for program in [
            "mosquitto",
            "mosquitto_passwd",
            "stdbuf",
            "kill",
            "valgrind",
            "mosquitto_sub",
            "qemu-system-riscv32",
            "ip",
            "ss",
            "conntrack",
            "avahi-daemon",
            "pg_ctlcluster",
            "protoc",
        ] {
            std::fs::write(folder.join(program), "").unwrap();
        }
        let found = missing(std::slice::from_ref(&folder));
        std::fs::remove_dir_all(&folder).unwrap();
        let expected = ["chromium", "dnsmasq-base", "mosquitto-clients", "nftables"];
        assert_eq!(found, BTreeSet::from(expected));
    }
}
