//! The clients that take part, and how their programs are made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::locked_version;
use crate::{cargo, command, root, target_dir};

/// A client.
pub struct Peer {
    /// Its name in the table and on the command line.
    pub name: &'static str,
    source: Source,
}

/// Where its program comes from.
enum Source {
    /// A program and a feature of `bench/peers`, for the package of this name.
    Rust,
    /// A file in `bench/peers/c`, a library, and Debian's package with its headers.
    C {
        file: &'static str,
        library: &'static str,
        package: &'static str,
    },
    /// A file in `bench/peers/python`.
    Python(&'static str),
}

/// All of them, ours first.
pub const PEERS: [Peer; 7] = [
    Peer {
        name: "aldis-mqtt",
        source: Source::Rust,
    },
    Peer {
        name: "rumqttc",
        source: Source::Rust,
    },
    Peer {
        name: "paho-mqtt",
        source: Source::Python("paho_mqtt.py"),
    },
    Peer {
        name: "libmosquitto",
        source: Source::C {
            file: "libmosquitto.c",
            library: "mosquitto",
            package: "libmosquitto-dev",
        },
    },
    Peer {
        name: "paho-c",
        source: Source::C {
            file: "paho-c.c",
            library: "paho-mqtt3a",
            package: "libpaho-mqtt-dev",
        },
    },
    Peer {
        name: "minimq",
        source: Source::Rust,
    },
    Peer {
        name: "rust-mqtt",
        source: Source::Rust,
    },
];

/// A client that is ready to run.
pub struct Ready {
    pub name: &'static str,
    /// Its program and the first arguments.
    pub command: Vec<String>,
    /// Where its program does not say it itself.
    pub version: Option<String>,
}

impl Peer {
    /// Makes its program, or says what is missing.
    pub fn prepare(&self) -> Result<Ready> {
        eprintln!("preparing {}", self.name);
        let (command, version) = match &self.source {
            Source::Rust => (vec![rust(self.name)?], Some(rust_version(self.name)?)),
            Source::C {
                file,
                library,
                package,
            } => (vec![c(file, library, package)?], None),
            Source::Python(file) => (python(file)?, None),
        };
        Ok(Ready {
            name: self.name,
            command,
            version,
        })
    }
}

/// Where programs and files of the measurement go.
pub fn folder() -> PathBuf {
    target_dir().join("peers")
}

fn sources() -> PathBuf {
    root().join("bench/peers")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn rust(name: &str) -> Result<String> {
    let program = format!("peer-{name}");
    let target = target_dir().join("bench");
    let status = command(cargo())
        .args(["build", "--quiet", "--locked", "--profile", "peers"])
        .args(["--package", "bench-peers", "--bin", &program])
        // By itself, so that none gets another's dependencies.
        .args(["--features", name, "--manifest-path"])
        .arg(root().join("bench/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "{program} does not build (see above)");
    Ok(text(&target.join("peers").join(program)))
}

fn rust_version(name: &str) -> Result<String> {
    let lock = root().join("bench/Cargo.lock");
    let lock =
        fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    Ok(locked_version(&lock, name)?.to_owned())
}

fn c(file: &str, library: &str, package: &str) -> Result<String> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let program = folder.join(file.trim_end_matches(".c"));
    let output = Command::new("cc")
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(&program)
        .arg(sources().join("c").join(file))
        .args([&format!("-l{library}"), "-lpthread"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!("there is no C compiler; type: sudo apt-get install build-essential {package}")
        })?;
    if !output.status.success() {
        bail!(
            "{file} does not compile; if the library is missing, type: \
             sudo apt-get install {package}\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(text(&program))
}

fn python(file: &str) -> Result<Vec<String>> {
    let venv = folder().join("venv");
    let python = venv.join("bin/python");
    let sources = sources().join("python");
    // What is there already, pip leaves alone.
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(&venv)
        .stdin(Stdio::null())
        .output();
    let made = made.context("python3 is missing; type: sudo apt-get install python3-venv")?;
    ensure!(
        made.status.success(),
        "python3 makes no environment; type: sudo apt-get install python3-venv\n{}",
        String::from_utf8_lossy(&made.stdout).trim_end()
    );
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(sources.join("requirements.txt"))
        .stdin(Stdio::null())
        .output()
        .context("the environment of Python has no pip")?;
    ensure!(
        installed.status.success(),
        "pip does not install what {file} needs; is there a network?\n{}",
        String::from_utf8_lossy(&installed.stderr).trim_end()
    );
    Ok(vec![text(&python), text(&sources.join(file))])
}
