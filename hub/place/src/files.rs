//! Files that are replaced as a whole, and that may be their user's alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::PlaceError;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its user alone.
    User,
    /// Everybody who comes that far.
    All,
}

/// Reads a file, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, PlaceError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(PlaceError::Read {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Replaces a file: what is read is the old one or the new one, also after a power cut.
pub(crate) fn replace(path: &Path, text: &str, readers: Readers) -> Result<(), PlaceError> {
    write(path, text, readers).map_err(|reason| PlaceError::Write {
        path: path.to_owned(),
        reason,
    })
}

fn write(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // One that a kill left behind could have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options(readers).create_new(true).open(&new)?;
    adopt(&file, path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // Makes the name itself last.
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Makes a folder for the authority, and waits until nobody else changes it.
pub(crate) fn lock(dir: &Path) -> Result<File, PlaceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |reason| PlaceError::Write { path, reason }
    };
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir).map_err(failed(dir))?;
    #[cfg(unix)]
    File::open(dir)
        .and_then(|folder| adopt(&folder, dir))
        .map_err(failed(dir))?;
    let path = dir.join("lock");
    let file = options(Readers::User)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed(&path))?;
    adopt(&file, &path).map_err(failed(&path))?;
    file.lock().map_err(failed(&path))?;
    Ok(file)
}

/// Gives a file to the folder's user, where root made it: the hub may be a service with a user of
/// its own, which has to read it.
fn adopt(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        use std::os::unix::fs::{MetadataExt, fchown};
        let (dir, own) = (fs::metadata(dir)?, file.metadata()?);
        if own.uid() == 0 && dir.uid() != 0 {
            fchown(file, Some(dir.uid()), Some(dir.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, path);
    Ok(())
}

fn options(readers: Readers) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match readers {
            Readers::User => 0o600,
            Readers::All => 0o644,
        },
    );
    #[cfg(not(unix))]
    let _ = readers;
    options
}

/// What others could do with a key, if they could.
pub(crate) fn exposure(path: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            return Some(format!(
                "others may read {}; type: chmod 600 {0}",
                path.display()
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    None
}
