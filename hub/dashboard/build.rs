//! Builds the front end where npm is there, and puts it, packed as well, where the program
//! embeds it from. Without npm the program is built all the same, and says so where its pages
//! would be.
//!
//! `ALDIS_WEB=keep` takes `web/dist` as it is, `ALDIS_WEB=none` leaves the front end out.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What the front end is made of.
const SOURCES: [&str; 6] = [
    "index.html",
    "package-lock.json",
    "public",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];
/// What is smaller when packed; pictures are packed already.
const PACKED: [&str; 8] = [
    "css",
    "html",
    "ico",
    "js",
    "json",
    "svg",
    "txt",
    "webmanifest",
];

fn main() -> io::Result<()> {
    let out = PathBuf::from(variable("OUT_DIR")?).join("front");
    let web = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../../web");
    println!("cargo::rerun-if-env-changed=ALDIS_WEB");
    println!("cargo::rerun-if-changed=build.rs");
    // Also while it is not there: it may come.
    println!(
        "cargo::rerun-if-changed={}",
        web.join("package.json").display()
    );
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    let dist = web.join("dist");
    match std::env::var("ALDIS_WEB").as_deref() {
        Ok("none") => return Ok(()),
        Ok("keep") => {}
        _ => build(&web, &dist),
    }
    if dist.join("index.html").exists() {
        copy(&dist, &out)?;
    }
    Ok(())
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// Builds the front end if its sources are newer than what was built of them. If that fails, what
/// was built before is taken.
fn build(web: &Path, dist: &Path) {
    let built = modified(&dist.join("index.html"));
    let newest = SOURCES
        .iter()
        .filter_map(|source| newest(&web.join(source)))
        .max();
    let Some(newest) = newest else { return };
    if built.is_some_and(|built| built >= newest) {
        return;
    }
    if run(web, &["--version"]).is_err() {
        warn("npm is not there, so the dashboard has no pages; install Node.js 20 and build again");
        return;
    }
    let installed = modified(&web.join("node_modules/.package-lock.json"));
    let fresh = installed >= modified(&web.join("package-lock.json"));
    let install = if installed.is_some() && fresh {
        Ok(())
    } else {
        run(web, &["ci", "--no-audit", "--no-fund"])
    };
    if let Err(why) = install.and_then(|()| run(web, &["run", "build"])) {
        warn(&format!("the dashboard's pages were not built: {why}"));
    }
}

fn run(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let shown = || format!("`npm {}` in web/", arguments.join(" "));
    let output = Command::new("npm")
        .args(arguments)
        .current_dir(web)
        .output()
        .map_err(|error| format!("{}: {error}", shown()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!("{} failed: {}", shown(), last.unwrap_or_default()))
}

fn warn(what: &str) {
    println!("cargo::warning={what}");
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// When something in it last changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let own = modified(path)?;
    let Ok(entries) = fs::read_dir(path) else {
        return Some(own);
    };
    let inner = entries
        .filter_map(|entry| newest(&entry.ok()?.path()))
        .max();
    Some(inner.map_or(own, |inner| inner.max(own)))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target)?;
            continue;
        }
        let content = fs::read(&path)?;
        fs::write(&target, &content)?;
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| PACKED.contains(&ending)) {
            pack(&content, &target)?;
        }
    }
    Ok(())
}

/// Packs it beside itself, where that makes it smaller.
fn pack(content: &[u8], target: &Path) -> io::Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    let packed = encoder.finish()?;
    if packed.len() < content.len() {
        let mut name = target.as_os_str().to_owned();
        name.push(".gz");
        fs::write(name, packed)?;
    }
    Ok(())
}
