//! `cargo xtask package`: a Debian package of the command, with the hub as a service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// What the package is called.
const NAME: &str = "aldis";
/// Within this time no clock is believed that says less: 2026-01-01.
const EARLIEST: u64 = 1_767_225_600;

/// Build a Debian package (dpkg-deb)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask package\n  \
    sudo apt install ./target/package/aldis_0.1.0_amd64.deb\n\n\
    SOURCE_DATE_EPOCH is the time of its files, otherwise that of the last commit: the same program \
    gives the same package, byte for byte.")]
pub struct Package {
    /// Build with this profile
    #[arg(long, default_value = "release")]
    profile: String,
    /// Put this program into it, and build none
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    program: Option<PathBuf>,
    /// Where to put the package
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Package {
    /// Builds the program and the package, and prints where it is.
    pub fn run(self) -> Result<()> {
        let out = self.out.clone();
        let out = out.unwrap_or_else(|| crate::target_dir().join("package"));
        let program = match self.program {
            Some(program) => program,
            None => build(&self.profile)?,
        };
        let tree = out.join("tree");
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        fs::create_dir_all(&tree)?;
        let architecture = said(Command::new("dpkg").arg("--print-architecture"))?;
        let version = env!("CARGO_PKG_VERSION");
        let epoch = epoch()?;
        let tree = Tree {
            root: tree,
            version,
            epoch,
        };
        tree.fill(&program)?;
        tree.control(architecture.trim(), &program)?;
        let package = out.join(format!("{NAME}_{version}_{}.deb", architecture.trim()));
        said(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "-Zxz", "--build"])
                .arg(&tree.root)
                .arg(&package)
                .env("SOURCE_DATE_EPOCH", epoch.to_string()),
        )?;
        println!("{}", package.display());
        Ok(())
    }
}

fn build(profile: &str) -> Result<PathBuf> {
    let arguments = ["build", "--package", NAME, "--profile", profile];
    let status = crate::cargo_in(crate::root(), &arguments)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the program cannot be built");
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(crate::target_dir().join(folder).join(NAME))
}

/// The time of the files.
fn epoch() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => said(
            Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(crate::root()),
        )?,
    };
    let epoch: u64 = text
        .trim()
        .parse()
        .with_context(|| format!("SOURCE_DATE_EPOCH is no time: {text}"))?;
    Ok(epoch.max(EARLIEST))
}

/// What a program prints; an error if it fails.
fn said(command: &mut Command) -> Result<String> {
    // A manual page would name the values of ours.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ALDIS_") {
            command.env_remove(name);
        }
    }
    let output = command.output().with_context(|| {
        format!(
            "cannot run {}; on Debian: apt-get install dpkg binutils",
            command.get_program().display()
        )
    })?;
    if !output.status.success() {
        bail!(
            "{} failed: {}",
            command.get_program().display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).context("what it printed is no text")
}

/// The files of the package.
struct Tree {
    root: PathBuf,
    version: &'static str,
    epoch: u64,
}

impl Tree {
    fn fill(&self, program: &Path) -> Result<()> {
        let installed = self.root.join("usr/bin").join(NAME);
        parent(&installed)?;
        said(
            Command::new("strip")
                .args(["--remove-section=.comment", "--remove-section=.note", "-o"])
                .arg(&installed)
                .arg(program),
        )?;
        mode(&installed, 0o755)?;

        let ask = |arguments: &[&str]| said(Command::new(program).args(arguments));
        let unit = ask(&["hub", "install", "--print", "--program", "/usr/bin/aldis"])?;
        let unit = unit.replacen(
            "[Unit]\n",
            "[Unit]\nDocumentation=man:aldis-hub(1) file:///usr/share/doc/aldis/docs/hub.md\n",
            1,
        );
        self.write("usr/lib/systemd/system/aldis-hub.service", &unit)?;
        // Copied by postinst where there is none: as a file of dpkg's it would be asked about where
        // `aldis hub install` made one, and others could read it.
        self.write("usr/share/aldis/hub.env", include_str!("package/hub.env"))?;
        for (shell, path) in [
            ("bash", "usr/share/bash-completion/completions/aldis"),
            ("zsh", "usr/share/zsh/vendor-completions/_aldis"),
            ("fish", "usr/share/fish/vendor_completions.d/aldis.fish"),
        ] {
            self.write(path, &ask(&["completions", shell])?)?;
        }
        let man = self.root.join("usr/share/man/man1");
        fs::create_dir_all(&man)?;
        said(Command::new(program).arg("man").arg(&man))?;
        for page in files(&man)? {
            gzip(&page)?;
        }
        self.documents()
    }

    fn documents(&self) -> Result<()> {
        const DOC: &str = "usr/share/doc/aldis";
        let root = crate::root();
        let licence = fs::read_to_string(root.join("LICENSE-MIT"))?;
        let copyright = include_str!("package/copyright").replace("@MIT@", &indented(&licence));
        self.write(&format!("{DOC}/copyright"), &copyright)?;
        // `date` speaks the language of the changelog's format in the C locale.
        let date = said(
            Command::new("date")
                .args(["--utc", "--rfc-email", &format!("--date=@{}", self.epoch)])
                .env("LC_ALL", "C"),
        )?;
        let changelog = format!(
            "{NAME} ({}) unstable; urgency=medium\n\n  * What is new: \
             /usr/share/doc/aldis/CHANGELOG.md\n\n -- {MAINTAINER}  {}\n",
            self.version,
            date.trim()
        );
        let path = format!("{DOC}/changelog");
        self.write(&path, &changelog)?;
        gzip(&self.root.join(path))?;
        for name in ["README.md", "CHANGELOG.md"] {
            self.write(
                &format!("{DOC}/{name}"),
                &fs::read_to_string(root.join(name))?,
            )?;
        }
        for path in files(&root.join("docs"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".md") || name.ends_with(".svg") {
                self.write(&format!("{DOC}/docs/{name}"), &fs::read_to_string(&path)?)?;
            }
        }
        Ok(())
    }

    /// What dpkg needs to know.
    fn control(&self, architecture: &str, program: &Path) -> Result<()> {
        let mut sums = String::new();
        let mut size = 0;
        for path in tree_files(&self.root)? {
            let name = path
                .strip_prefix(&self.root)?
                .to_string_lossy()
                .into_owned();
            size += fs::metadata(&path)?.len().div_ceil(1024);
            let sum = said(Command::new("md5sum").arg("-b").arg(&path))?;
            let sum = sum.split(' ').next().unwrap_or("").trim_start_matches('\\');
            sums.push_str(&format!("{sum}  {name}\n"));
        }
        let control = include_str!("package/control")
            .replace("@VERSION@", self.version)
            .replace("@ARCHITECTURE@", architecture)
            .replace("@MAINTAINER@", MAINTAINER)
            .replace("@SIZE@", &size.to_string())
            .replace("@DEPENDS@", &depends(&fs::read(program)?));
        self.write("DEBIAN/control", &control)?;
        self.write("DEBIAN/md5sums", &sums)?;
        for (name, script) in [
            ("postinst", include_str!("package/postinst")),
            ("prerm", include_str!("package/prerm")),
            ("postrm", include_str!("package/postrm")),
        ] {
            let path = format!("DEBIAN/{name}");
            self.write(&path, script)?;
            mode(&self.root.join(path), 0o755)?;
        }
        for folder in tree_folders(&self.root)? {
            mode(&folder, 0o755)?;
        }
        Ok(())
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.root.join(path);
        parent(&path)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        mode(&path, 0o644)
    }
}

const MAINTAINER: &str = "The Aldis authors <aldis@packages.invalid>";

/// The packages of the libraries that a program is linked with, in the versions that it needs.
fn depends(program: &[u8]) -> String {
    let mut newest = (2, 0);
    for at in memchr(program, b"GLIBC_2.") {
        let digits = program.get(at..).unwrap_or_default();
        let minor: String = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .map(|byte| char::from(*byte))
            .collect();
        if let Ok(minor) = minor.parse() {
            newest = newest.max((2, minor));
        }
    }
    let libc = format!("libc6 (>= {}.{})", newest.0, newest.1);
    match memchr(program, b"libgcc_s.so.1").next() {
        Some(_) => format!("{libc}, libgcc-s1 (>= 4.2)"),
        None => libc,
    }
}

/// Where some bytes end.
fn memchr<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.windows(wanted.len()).enumerate();
    let found = windows.filter(move |(_, window)| *window == wanted);
    found.map(|(at, _)| at + wanted.len())
}

/// A licence as a paragraph of a file in Debian's format.
fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().skip_while(|line| {
        line.is_empty() || line.starts_with("MIT") || line.starts_with("Copyright")
    });
    let lines = lines.map(|line| match line {
        "" => " .".to_owned(),
        line => format!(" {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parent(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

#[cfg(not(unix))]
fn mode(_: &Path, _: u32) -> Result<()> {
    bail!("a Debian package is built on Linux")
}

/// Compressed as Debian wants it, without name and time.
fn gzip(path: &Path) -> Result<()> {
    said(Command::new("gzip").args(["-9nf"]).arg(path)).map(drop)
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn tree_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(tree_folders(&path)?);
        }
    }
    found.sort();
    Ok(found)
}

fn tree_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in tree_folders(folder)? {
        found.extend(files(&folder)?);
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package that is installed where its program cannot run.
    #[test]
    fn the_newest_library_is_asked_for() {
        let program = b"..GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0libgcc_s.so.1\0";
        assert_eq!(depends(program), "libc6 (>= 2.34), libgcc-s1 (>= 4.2)");
        assert_eq!(depends(b"GLIBC_2.17"), "libc6 (>= 2.17)");
    }

    /// An empty line ends the paragraph, and the rest of the licence is a mistake.
    #[test]
    fn a_licence_is_one_paragraph() {
        let text = indented("MIT License\n\nCopyright (c) x\n\nPermission\n\nThe end\n");
        assert_eq!(text, " Permission\n .\n The end");
    }
}
