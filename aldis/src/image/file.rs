//! Files that are there as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes a file beside its place and moves it there. It may contain passwords, so it is for its
/// owner only.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    NewFile::write(path, bytes)?.keep()
}

/// A file that is written as a whole, beside its place. It goes there when it is kept, else it is
/// removed.
#[derive(Debug)]
pub struct NewFile {
    /// As it was named.
    path: PathBuf,
    place: PathBuf,
    beside: PathBuf,
    is_kept: bool,
}

impl NewFile {
    /// Writes it, for its owner only.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let place = match fs::metadata(path) {
            // A link stays one.
            Ok(metadata) if metadata.is_file() => {
                fs::canonicalize(path).map_err(|error| unwritten(path, &error))?
            }
            Ok(_) => {
                return Err(format!(
                    "{}: is there and is no file: name another with `--output`",
                    path.display()
                ));
            }
            Err(_) => path.to_owned(),
        };
        let beside = beside(&place).ok_or_else(|| {
            format!(
                "{}: is no name of a file: name one with `--output`",
                path.display()
            )
        })?;
        let file = Self {
            path: path.to_owned(),
            place,
            beside,
            is_kept: false,
        };
        match write_new(&file.beside, bytes) {
            Ok(()) => Ok(file),
            Err(error) => Err(unwritten(path, &error)),
        }
    }

    /// Moves it to its place.
    pub fn keep(mut self) -> Result<(), String> {
        let moved = fs::rename(&self.beside, &self.place);
        self.is_kept = moved.is_ok();
        moved.map_err(|error| unwritten(&self.path, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn unwritten(path: &Path, error: &io::Error) -> String {
    format!("{}: cannot be written: {error}", path.display())
}

fn beside(place: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(place.file_name()?);
    name.push(format!(".{}.new", std::process::id()));
    Some(place.with_file_name(name))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The length of a file, if it is there.
pub fn len(path: &Path) -> Result<Option<u64>, String> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
    }
}

/// Writes a part of a file that is there already, and nothing else of it.
pub fn overwrite(path: &Path, offset: u32, bytes: &[u8]) -> Result<(), String> {
    let write = |mut file: File| {
        file.seek(SeekFrom::Start(offset.into()))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let written = OpenOptions::new().write(true).open(path).and_then(write);
    written.map_err(|error| format!("{}: cannot be written: {error}", path.display()))
}
