//! Breaks the product on purpose, a promise at a time, and requires that the world notices.

mod patches;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{cargo_in, root, target_dir};
use patches::{PATCHES, Patch};

/// What is copied: the rooms that the world runs, and the world.
const ROOMS: [&str; 6] = [
    "mqtt",
    "protocol",
    "device",
    "boards/flash",
    "boards/panel",
    "world",
];

/// Break the product on purpose, a promise at a time, and require that the world notices
///
/// A copy is broken, in `target/broken`; the repository stays as it is. Example:
/// `cargo xtask broken clean-start`.
#[derive(Args)]
pub struct Broken {
    /// Only those with this in their name
    only: Option<String>,
    /// List them
    #[arg(long)]
    list: bool,
    /// Break each promise in one way; of the others only see that they are still to be found
    #[arg(long, conflicts_with = "only")]
    quick: bool,
}

impl Broken {
    /// Breaks one thing after the other.
    pub fn run(&self) -> Result<()> {
        let only = self.only.as_deref().unwrap_or("");
        let mut chosen: Vec<&Patch> = PATCHES.iter().filter(|p| p.name.contains(only)).collect();
        ensure!(
            !chosen.is_empty(),
            "nothing is named '{only}'; `cargo xtask broken --list` names all"
        );
        if self.list {
            for patch in chosen {
                println!("{:32} {}", patch.name, patch.what);
            }
            return Ok(());
        }
        let copy = copy(&target_dir().join("broken"))?;
        for patch in &chosen {
            patch.apply(&read(&copy.join(patch.file))?)?;
        }
        if self.quick {
            // Those of one promise stand together.
            chosen.dedup_by_key(|patch| patch.promise());
        }
        let begin = Instant::now();
        match proof(&copy)? {
            Outcome::Held => println!("{:32} held, as it must", "unbroken"),
            outcome => bail!("the unbroken product: {outcome:?}"),
        }
        let mut unnoticed = Vec::new();
        for patch in &chosen {
            let file = copy.join(patch.file);
            let whole = read(&file)?;
            fs::write(&file, patch.apply(&whole)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
            let outcome = proof(&copy);
            fs::write(&file, whole).with_context(|| format!("cannot write {}", file.display()))?;
            let outcome = outcome.with_context(|| format!("broken as {}", patch.name))?;
            println!("{:32} {}", patch.name, outcome.words());
            if !matches!(&outcome, Outcome::Violated(name) if patch.expected.contains(&name.as_str()))
            {
                unnoticed.push(format!(
                    "{}: {}, expected {}",
                    patch.name,
                    outcome.words(),
                    patch.expected.join(" or ")
                ));
            }
        }
        let seconds = begin.elapsed().as_secs();
        ensure!(
            unnoticed.is_empty(),
            "not noticed as expected:\n{}",
            unnoticed.join("\n")
        );
        println!(
            "{} ways to break it, each noticed, in {seconds} s",
            chosen.len()
        );
        Ok(())
    }
}

/// What the world said.
#[derive(Debug)]
enum Outcome {
    Held,
    Violated(String),
}

impl Outcome {
    fn words(&self) -> String {
        match self {
            Self::Held => "held".to_owned(),
            Self::Violated(name) => format!("violates {name}"),
        }
    }
}

impl Patch {
    /// The number of the promise that it breaks.
    fn promise(&self) -> &'static str {
        self.name
            .split_once('-')
            .map_or(self.name, |(number, _)| number)
    }

    /// The file's text, broken.
    fn apply(&self, whole: &str) -> Result<String> {
        let count = whole.matches(self.from).count();
        ensure!(
            count == 1,
            "the patch '{}' is stale: {} has its text {count} times, not once:\n{}",
            self.name,
            self.file,
            self.from
        );
        Ok(whole.replacen(self.from, self.to, 1))
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Copies the rooms into a workspace of their own.
pub fn copy(to: &Path) -> Result<PathBuf> {
    for room in ROOMS {
        copy_folder(&root().join(room), &to.join(room))?;
    }
    let text = read(&root().join("Cargo.toml"))?;
    write_if_new(&to.join("Cargo.toml"), manifest(&text).as_bytes())?;
    // The versions that were tested, as far as they are needed.
    if !to.join("Cargo.lock").exists() {
        fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock")).context("Cargo.lock")?;
    }
    Ok(to.to_owned())
}

/// The root's manifest with these rooms for members. Its profiles are not needed.
fn manifest(root: &str) -> String {
    let members: Vec<String> = ROOMS.iter().map(|room| format!("{room:?}")).collect();
    let mut text = format!("[workspace]\nmembers = [{}]\n", members.join(", "));
    let others = ["[workspace]", "members =", "exclude =", "default-members ="];
    let lines = root
        .lines()
        .take_while(|line| !line.starts_with("[profile"));
    // What other crates are replaced by is not copied.
    let mut patches = false;
    let lines = lines.filter(|line| {
        if line.starts_with('[') {
            patches = line.starts_with("[patch");
        }
        !patches
    });
    for line in lines.filter(|line| !others.iter().any(|other| line.starts_with(other))) {
        text += line;
        text.push('\n');
    }
    text
}

/// Copies what has changed, so that Cargo builds no more than that, and removes what is gone.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {}", from.display());
    fs::create_dir_all(to).with_context(failed)?;
    let skipped = |name: &OsStr| name == "target" || name == "fuzz";
    for entry in fs::read_dir(from).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        if skipped(&name) {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            write_if_new(&to.join(name), &fs::read(&path).with_context(failed)?)?;
        }
    }
    for entry in fs::read_dir(to).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        if skipped(&name) || from.join(&name).exists() {
            continue;
        }
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn write_if_new(file: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// Most of the time goes to building.
pub fn optimised_little(cargo: &mut Command, copy: &Path) {
    cargo
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
        .env("RUSTFLAGS", "-Awarnings");
}

/// Builds the copy and runs the quick set.
fn proof(copy: &Path) -> Result<Outcome> {
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "-p",
        "aldis-world",
        "--example",
        "proof",
    ];
    let mut build = cargo_in(copy, &arguments);
    optimised_little(&mut build, copy);
    let built = build.output().context("cannot start cargo")?;
    if !built.status.success() {
        bail!(
            "it does not build:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
    }
    let program = copy.join("target/release/examples/proof");
    let run = crate::command(&program).output();
    let run = run.with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&run.stdout);
    match text.lines().last() {
        Some("held") => Ok(Outcome::Held),
        Some(line) => match line.strip_prefix("violated ") {
            Some(name) => Ok(Outcome::Violated(name.to_owned())),
            None => bail!("the world said something else:\n{text}"),
        },
        None => bail!("the world said nothing: {}", run.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A patch that does not fit any more breaks nothing, and what it was to show is not shown.
    #[test]
    fn every_patch_fits_once() {
        for patch in PATCHES {
            let whole = read(&root().join(patch.file)).unwrap();
            let broken = patch.apply(&whole).unwrap();
            assert_ne!(whole, broken, "{}", patch.name);
            assert!(!patch.expected.is_empty(), "{}", patch.name);
        }
    }

    /// A file that was moved would be there twice, and nothing build.
    #[test]
    fn the_copy_forgets_what_is_gone() {
        let folder = std::env::temp_dir().join(format!("aldis-copy-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("old")).unwrap();
        for name in ["kept.rs", "moved.rs", "old/file.rs"] {
            fs::write(from.join(name), name).unwrap();
        }
        copy_folder(&from, &to).unwrap();
        fs::create_dir_all(to.join("target")).unwrap();
        fs::remove_file(from.join("moved.rs")).unwrap();
        fs::remove_dir_all(from.join("old")).unwrap();
        copy_folder(&from, &to).unwrap();
        let mut names: Vec<_> = fs::read_dir(&to)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["kept.rs", "target"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_copy_is_a_workspace_of_its_own() {
        let text = manifest(&read(&root().join("Cargo.toml")).unwrap());
        let manifest: toml::Table = toml::from_str(&text).unwrap();
        let workspace = manifest["workspace"].as_table().unwrap();
        assert_eq!(workspace["members"].as_array().unwrap().len(), ROOMS.len());
        assert!(workspace.contains_key("dependencies") && !manifest.contains_key("profile"));
    }

    #[test]
    fn names_are_given_once() {
        let mut names: Vec<&str> = PATCHES.iter().map(|patch| patch.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count >= 20);
    }
}
