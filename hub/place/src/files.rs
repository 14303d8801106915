//! Files that are replaced as a whole, and that may be their user's alone.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
#[cfg(not(unix))]
use std::{fs::OpenOptions, path::PathBuf};

#[cfg(unix)]
use rustix::fs::{AtFlags, Mode, OFlags};
#[cfg(unix)]
use rustix::io::Errno;

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
    let folder = Folder::of(path)?;
    let (name, new) = (name(path)?, name(Path::new(&new))?);
    // One that a kill left behind could have another mode.
    match folder.remove(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = folder.create(new, readers)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    folder.rename(new, name)
}

fn name(path: &Path) -> io::Result<&OsStr> {
    path.file_name()
        .ok_or_else(|| io::Error::other("this is no file's name"))
}

/// Makes a folder for the authority, and waits until nobody else changes it.
pub(crate) fn lock(dir: &Path) -> Result<File, PlaceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |reason| PlaceError::Write { path, reason }
    };
    Folder::make(dir).map_err(failed(dir))?;
    let path = dir.join("lock");
    let file = Folder::of(&path).and_then(|folder| folder.lock(OsStr::new("lock")));
    let file = file.map_err(failed(&path))?;
    file.lock().map_err(failed(&path))?;
    Ok(file)
}

/// The folder that files are made in.
///
/// It may belong to somebody else than whoever runs this: the hub may be a service with a user of
/// its own, and root gives the commands. So the folder stays the same while a file is made in it,
/// links are not followed, and only what was made here is given to the folder's user: root would
/// hand over any file of the machine.
struct Folder {
    #[cfg(unix)]
    handle: File,
    #[cfg(not(unix))]
    path: PathBuf,
}

#[cfg(unix)]
impl Folder {
    /// Makes it, with those above it, unless it is there.
    fn make(dir: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above {
            builder.recursive(true).create(above)?;
        }
        match builder.recursive(false).create(dir) {
            Ok(()) => {
                let made = Self::open(dir)?;
                let above = File::open(above.unwrap_or(Path::new(".")))?;
                adopt(&made.handle, &above)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::open(dir).map(|_| ())
            }
            Err(error) => Err(error),
        }
    }

    /// The one that a file is in.
    fn of(path: &Path) -> io::Result<Self> {
        match path.parent() {
            Some(dir) => Self::open(dir),
            None => Err(io::Error::other("this is no file's name")),
        }
    }

    fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(dir, flags, Mode::empty()) {
            Ok(handle) => Ok(Self {
                handle: handle.into(),
            }),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(io::Error::other(format!(
                "{} is a link, or no folder; remove it",
                dir.display()
            ))),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, name: &OsStr, readers: Readers) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = match readers {
            Readers::User => Mode::RUSR | Mode::WUSR,
            Readers::All => Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
        };
        let file = rustix::fs::openat(&self.handle, name, flags, mode)?;
        let file = File::from(file);
        adopt(&file, &self.handle)?;
        Ok(file)
    }

    /// Opens a file that is to be locked, or makes it.
    fn lock(&self, name: &OsStr) -> io::Result<File> {
        match self.create(name, Readers::User) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        // Without NONBLOCK a pipe in its place waits for ever.
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let no_file = || io::Error::other("it is a link, or no file; remove it");
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP | Errno::NXIO) => return Err(no_file()),
            Err(error) => return Err(error.into()),
        };
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(no_file()),
        }
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())?)
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)?;
        // Makes the name itself last.
        self.handle.sync_all()
    }
}

/// Gives what was just made to the folder's user, where root made it.
#[cfg(unix)]
fn adopt(made: &File, folder: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let (folder, own) = (folder.metadata()?, made.metadata()?);
    let is_ours = own.is_dir() || (own.is_file() && own.nlink() == 1);
    if own.uid() == 0 && folder.uid() != 0 && is_ours {
        fchown(made, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

#[cfg(not(unix))]
impl Folder {
    fn make(dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn of(path: &Path) -> io::Result<Self> {
        let path = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { path })
    }

    fn create(&self, name: &OsStr, _readers: Readers) -> io::Result<File> {
        let path = self.path.join(name);
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn lock(&self, name: &OsStr) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options.open(self.path.join(name))
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    use super::*;

    /// The service's user puts a link where root's next command makes something, and gets what it
    /// leads to.
    #[test]
    fn what_leads_elsewhere_is_refused_and_nothing_is_given_away() {
        let root = tempfile::tempdir().unwrap();
        let (data, other) = (root.path().join("data"), root.path().join("other"));
        let secret = root.path().join("secret");
        let service = 12_345;
        for dir in [&data, &other] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(&secret, "secret").unwrap();
        let own = fs::metadata(&secret).unwrap().uid();
        let uid = |path: &Path| fs::metadata(path).unwrap().uid();
        // Only root gives files away.
        let is_root = chown(&data, Some(service), Some(service)).is_ok();
        let dir = data.join("ca");

        symlink(&other, &dir).unwrap();
        let said = lock(&dir).unwrap_err().to_string();
        assert!(said.contains("remove it"), "{said}");
        let written = replace(&dir.join("ca.pem"), "x", Readers::All);
        assert!(written.unwrap_err().to_string().contains("remove it"));
        assert_eq!(
            (uid(&other), fs::read_dir(&other).unwrap().count()),
            (own, 0)
        );
        fs::remove_file(&dir).unwrap();

        // What is made here is the service's.
        drop(lock(&dir).unwrap());
        replace(&dir.join("ca.pem"), "x", Readers::All).unwrap();
        for made in ["", "lock", "ca.pem"] {
            let expected = if is_root { service } else { own };
            assert_eq!(uid(&dir.join(made)), expected, "{made}");
        }

        for target in [&secret, &root.path().join("new")] {
            fs::remove_file(dir.join("lock")).unwrap();
            symlink(target, dir.join("lock")).unwrap();
            let said = lock(&dir).unwrap_err().to_string();
            assert!(
                said.contains("lock") && said.contains("remove it"),
                "{said}"
            );
        }
        assert!(!root.path().join("new").exists());
        fs::remove_file(dir.join("lock")).unwrap();
        fs::hard_link(&secret, dir.join("lock")).unwrap();
        drop(lock(&dir).unwrap());
        assert_eq!(uid(&secret), own);

        // A link in the place of a file is replaced, not followed.
        symlink(&secret, dir.join("ca.pem.new")).unwrap();
        fs::remove_file(dir.join("ca.pem")).unwrap();
        symlink(&secret, dir.join("ca.pem")).unwrap();
        replace(&dir.join("ca.pem"), "y", Readers::All).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(fs::read_to_string(dir.join("ca.pem")).unwrap(), "y");
        assert_eq!(uid(&secret), own);
    }
}
