//! Pictures that must stay as they are.

use std::boxed::Box;
use std::path::{Path, PathBuf};
use std::{env, format, fs, io};

use crate::Picture;
use crate::png::{self, Style};

/// The variable that has golden pictures written: `ALDIS_GOLDEN=write`.
pub const VARIABLE: &str = "ALDIS_GOLDEN";

/// Compares a picture with the one in the file. With `ALDIS_GOLDEN=write` in the
/// environment, the file is written instead, if it is not the same already: in the style
/// that it has, a new one as [`Style::FRAMED`].
///
/// A relative path starts at the package's folder, where cargo runs tests.
///
/// # Panics
/// When they differ, or there is no such file. The message shows both, and says where
/// the picture was saved.
#[track_caller]
#[allow(clippy::panic)] // It is an assertion.
pub fn assert_golden(path: impl AsRef<Path>, picture: &Picture) {
    let write = env::var_os(VARIABLE).is_some_and(|value| value == "write");
    if let Err(why) = check(path.as_ref(), picture, write, &target()) {
        panic!("{why}");
    }
}

/// What [`assert_golden`] does: compares, or writes, and saves what differs in the folder
/// `aside`.
///
/// # Errors
/// What there is to tell a person.
pub fn check(path: &Path, picture: &Picture, write: bool, aside: &Path) -> Result<(), Box<str>> {
    let known = match png::read(path) {
        Ok(known) => Some(known),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        // Damaged or of another size: only a person can want it overwritten.
        Err(error) if !write => {
            return Err(format!("{}: {error}", path.display()).into());
        }
        Err(_) => None,
    };
    let style = match &known {
        Some((golden, _)) if golden == picture => return Ok(()),
        Some((_, style)) => *style,
        None => Style::FRAMED,
    };
    if write {
        return save(picture, style, path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()).into());
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    let actual = aside.join(name);
    let mut told = match &known {
        Some((golden, _)) => format!(
            "{} pixels are not as in {}.\nThere:\n{golden}Now:\n{picture}",
            picture.differs(golden),
            path.display(),
        ),
        None => format!("there is no {}. Now:\n{picture}", path.display()),
    };
    told.push_str(&match save(picture, style, &actual) {
        Ok(()) => format!("Saved as {}.\n", actual.display()),
        Err(error) => format!("Could not save it as {}: {error}.\n", actual.display()),
    });
    told.push_str("If this is how it should look, run the test with ALDIS_GOLDEN=write.");
    Err(told.into())
}

fn save(picture: &Picture, style: Style, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    png::write(picture, style, path)
}

/// Where what differs is saved: `golden` in cargo's target folder.
fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.or_else(|| {
        // The workspace's, whose root has the lock file.
        let here = env::current_dir().ok()?;
        let root = here
            .ancestors()
            .find(|dir| dir.join("Cargo.lock").exists())?;
        Some(root.join("target"))
    });
    target
        .unwrap_or_else(|| PathBuf::from("target"))
        .join("golden")
}
