//! The file with the keys: `keys.toml` in the data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Keys;

/// What the file is called.
const NAME: &str = "keys.toml";
/// Beside it, locked while the file is changed.
const LOCK: &str = "keys.lock";

/// The file with the keys could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// There is a mistake in it.
    #[error("{}: {reason}; nobody comes in by it until that is mended", .path.display())]
    Mistake {
        /// The file.
        path: PathBuf,
        /// The line, and what would be right.
        reason: String,
    },
    /// It cannot be written.
    #[error("cannot write {}: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The change is not possible.
    #[error("{0}")]
    Refused(String),
}

/// Where the keys are kept: mode 0600, replaced as a whole.
#[derive(Debug, Clone)]
pub struct KeysFile {
    dir: PathBuf,
}

impl KeysFile {
    /// The file of the hub with this data directory.
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Reads it. Where there is none there are no keys yet.
    ///
    /// # Errors
    /// If it cannot be read or has a mistake.
    pub fn read(&self) -> Result<Keys, KeysError> {
        let path = self.path();
        match read_whole(&path, &self.dir) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => {
                    Keys::parse(&text).map_err(|reason| KeysError::Mistake { path, reason })
                }
                Err(_) => Err(KeysError::Mistake {
                    path,
                    reason: "it is not text in UTF-8".to_owned(),
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Keys::default()),
            Err(reason) => Err(KeysError::Read { path, reason }),
        }
    }

    /// Changes it, unless `change` says why not. Others that change it at the same time wait.
    ///
    /// # Errors
    /// If it cannot be read or written, has a mistake, or `change` refuses.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut Keys) -> Result<T, String>,
    ) -> Result<T, KeysError> {
        let failed = |path: PathBuf| move |reason| KeysError::Write { path, reason };
        create_dir(&self.dir).map_err(failed(self.dir.clone()))?;
        let lock = self.dir.join(LOCK);
        let lock = open_lock(&lock, &self.dir)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(failed(lock))?;
        let mut keys = self.read()?;
        let before = keys.clone();
        let result = change(&mut keys).map_err(KeysError::Refused)?;
        if keys != before || !self.path().exists() {
            // What would not be read again is not written.
            let text = keys
                .text()
                .map_err(|error| KeysError::Refused(error.to_string()))?;
            Keys::parse(&text).map_err(KeysError::Refused)?;
            self.write(&text).map_err(failed(self.path()))?;
        }
        drop(lock);
        Ok(result)
    }

    /// Replaces the file: what is read is the old one or the new one, also after a power cut.
    fn write(&self, text: &str) -> io::Result<()> {
        let path = self.path();
        let new = self.dir.join(format!("{NAME}.new"));
        // One that a kill left behind could have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
        adopt(&file, &self.dir)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        // Makes the name itself last.
        #[cfg(unix)]
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    /// What others could do with the file, if they could.
    pub(crate) fn exposure(&self) -> Option<String> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = self.path();
            let mode = fs::metadata(&path).ok()?.permissions().mode();
            if mode & 0o077 != 0 {
                return Some(format!(
                    "others may use {}; type: chmod 600 {0}",
                    path.display()
                ));
            }
            let mode = fs::metadata(&self.dir).ok()?.permissions().mode();
            if mode & 0o022 != 0 && mode & 0o1000 == 0 {
                return Some(format!(
                    "others may replace files in {}; type: chmod 700 {0}",
                    self.dir.display()
                ));
            }
        }
        None
    }
}

/// Makes a directory that is its user's alone. One that is there stays as it is.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// The longest file that is read, in bytes: keys of two hundred thousand devices.
const LONGEST: u64 = 64 << 20;

/// Reads a file of the directory.
///
/// Where the directory is somebody else's, as for root's commands, a link is not followed: what
/// it leads to is none of their business, and would be told in errors or written anew for them.
fn read_whole(path: &Path, dir: &Path) -> io::Result<Vec<u8>> {
    let file = open_to_read(path, dir)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file; remove it"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) >= LONGEST {
        return Err(io::Error::other("it is too long for keys; remove it"));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn open_to_read(path: &Path, dir: &Path) -> io::Result<File> {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{Mode, OFlags};
    let is_ours = fs::metadata(dir)?.uid() == rustix::process::geteuid().as_raw();
    // Without NONBLOCK a pipe in its place waits for ever.
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if !is_ours {
        flags |= OFlags::NOFOLLOW;
    }
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::LOOP) => Err(io::Error::other(
            "it is a link, in a directory of another user; put the file itself there",
        )),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn open_to_read(path: &Path, _dir: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens the file that is locked, or makes it.
///
/// The directory may belong to somebody else than whoever runs this. So a link is not followed,
/// and only a file that was made here is given away: root's commands would hand over any file of
/// the machine.
fn open_lock(path: &Path, dir: &Path) -> io::Result<File> {
    let new = private(OpenOptions::new().write(true).create_new(true)).open(path);
    match new {
        Ok(file) => adopt(&file, dir).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_existing(path),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn open_existing(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    // Without NONBLOCK a pipe in its place waits for ever.
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let no_file = || io::Error::other("it is a link, or no file; remove it");
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(no_file()),
        Err(error) => return Err(error.into()),
    };
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no_file()),
    }
}

#[cfg(not(unix))]
fn open_existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Gives a file that was just made to the directory's user, where root made it: the hub may be a
/// service with a user of its own, which has to read it.
fn adopt(file: &File, dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let (dir, own) = (fs::metadata(dir)?, file.metadata()?);
        if own.uid() == 0 && dir.uid() != 0 && own.is_file() && own.nlink() == 1 {
            fchown(file, Some(dir.uid()), Some(dir.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (file, dir);
    Ok(())
}

/// A file that is its user's alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{KeysError, KeysFile};
    use crate::keys::{Device, DevicePassword};

    /// A kill in the middle of a change loses every key, or others read the file.
    #[cfg(unix)]
    #[test]
    fn the_file_is_replaced_as_a_whole_and_is_its_users_alone() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        let file = KeysFile::of(&dir);
        assert!(file.read().unwrap().anonymous);
        file.update(|keys| {
            keys.anonymous = false;
            Ok(())
        })
        .unwrap();
        let first = fs::metadata(file.path()).unwrap();
        // What a kill before the renaming leaves behind.
        fs::write(dir.join("keys.toml.new"), "half").unwrap();
        file.update(|keys| {
            let hash = DevicePassword::generate().hash().unwrap();
            keys.devices.insert("kitchen".to_owned(), Device::new(hash));
            Ok(())
        })
        .unwrap();
        let second = fs::metadata(file.path()).unwrap();
        assert_ne!(first.ino(), second.ino());
        for metadata in [&first, &second] {
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(file.exposure(), None);
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(file.exposure().unwrap().contains("chmod 600"));
        let keys = file.read().unwrap();
        assert!(!keys.anonymous && keys.devices.contains_key("kitchen"));
    }

    /// The service's user makes the lock a link, and root's next command gives it any file of the
    /// machine.
    #[cfg(unix)]
    #[test]
    fn a_lock_that_leads_elsewhere_is_refused_and_nothing_is_given_away() {
        use std::os::unix::fs::{MetadataExt, chown, symlink};
        let root = tempfile::tempdir().unwrap();
        let (dir, secret) = (root.path().join("data"), root.path().join("secret"));
        let service = 12_345;
        fs::create_dir(&dir).unwrap();
        fs::write(&secret, "secret").unwrap();
        let own = fs::metadata(&secret).unwrap().uid();
        // Only root gives files away.
        let is_root = chown(&dir, Some(service), Some(service)).is_ok();
        let (file, lock) = (KeysFile::of(&dir), dir.join("keys.lock"));
        for target in [secret.clone(), root.path().join("new")] {
            symlink(&target, &lock).unwrap();
            let said = file.update(|_| Ok(())).unwrap_err().to_string();
            assert!(
                said.contains("keys.lock") && said.contains("remove it"),
                "{said}"
            );
            fs::remove_file(&lock).unwrap();
        }
        assert!(!root.path().join("new").exists());
        // As a second name of the same file it is one that root did not make here.
        fs::hard_link(&secret, &lock).unwrap();
        file.update(|_| Ok(())).unwrap();
        assert_eq!(fs::metadata(&secret).unwrap().uid(), own);
        fs::remove_file(&lock).unwrap();
        fs::remove_file(file.path()).unwrap();
        // What is made here is the service's.
        file.update(|_| Ok(())).unwrap();
        for made in [&lock, &file.path()] {
            let uid = if is_root { service } else { own };
            assert_eq!(fs::metadata(made).unwrap().uid(), uid, "{made:?}");
        }
    }

    /// `sudo aldis hub pair`, and the service cannot read its keys: nobody comes in any more.
    #[cfg(unix)]
    #[test]
    fn what_root_changes_in_a_services_folder_stays_the_services() {
        use std::os::unix::fs::{MetadataExt, chown};
        let dir = tempfile::tempdir().unwrap();
        if fs::metadata(dir.path()).unwrap().uid() != 0 {
            println!("only root gives files away");
            return;
        }
        chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
        let file = KeysFile::of(dir.path());
        file.update(|keys| {
            keys.anonymous = false;
            Ok(())
        })
        .unwrap();
        for path in [file.path(), dir.path().join("keys.lock")] {
            assert_eq!(fs::metadata(path).unwrap().uid(), 65_534);
        }
    }

    /// Root's commands read whatever the service's user lets a link lead to, and give it to him,
    /// or wait for ever at a pipe.
    #[cfg(unix)]
    #[test]
    fn a_link_in_a_folder_of_somebody_else_is_not_followed() {
        use std::os::unix::fs::{MetadataExt, chown, symlink};
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        fs::create_dir(&dir).unwrap();
        let file = KeysFile::of(&dir);
        let elsewhere = root.path().join("elsewhere.toml");
        fs::write(&elsewhere, "anonymous = false\n").unwrap();
        symlink(&elsewhere, file.path()).unwrap();
        // One's own may be anywhere.
        assert!(!file.read().unwrap().anonymous);
        if fs::metadata(&dir).unwrap().uid() == 0 {
            chown(&dir, Some(65_534), Some(65_534)).unwrap();
            let error = file.read().unwrap_err();
            assert!(error.to_string().contains("it is a link"), "{error}");
            assert!(matches!(
                file.update(|_| Ok(())),
                Err(KeysError::Read { .. })
            ));
        } else {
            println!("only root reads in the folders of others");
        }
        fs::remove_file(file.path()).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            file.path(),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let error = file.read().unwrap_err();
        assert!(error.to_string().contains("it is no file"), "{error}");
    }

    /// A file with a mistake is overwritten, and what it said is gone.
    #[test]
    fn a_file_with_a_mistake_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeysFile::of(dir.path());
        fs::write(file.path(), "anonymous = false\nowner = 5\n").unwrap();
        let error = file.update(|_| Ok(())).unwrap_err();
        assert!(matches!(error, KeysError::Mistake { .. }));
        let said = error.to_string();
        assert!(said.contains("keys.toml: line 2"), "{said}");
        fs::write(file.path(), b"\xff\xfe").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(fs::read(file.path()).unwrap(), b"\xff\xfe");
    }

    /// A hub that does not start any more, because of what one of its commands wrote.
    #[test]
    fn what_would_not_be_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeysFile::of(dir.path());
        let hash = DevicePassword::generate().hash().unwrap();
        for device in [
            Device::new("no hash".to_owned()),
            Device {
                readout: Some("aldis/attic/led/set".to_owned()),
                ..Device::new(hash.clone())
            },
            Device {
                peers: vec!["#".to_owned()],
                ..Device::new(hash)
            },
        ] {
            assert!(device.check("kitchen").is_err());
            let refused = file.update(|keys| {
                keys.devices.insert("kitchen".to_owned(), device);
                Ok(())
            });
            assert!(matches!(refused, Err(KeysError::Refused(_))));
            assert!(!file.path().exists());
        }
    }

    /// Of two that pair at once, one device is forgotten.
    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let hash = DevicePassword::generate().hash().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (file, hash) = (KeysFile::of(dir.path()), &hash);
                scope.spawn(move || {
                    for number in 0..10 {
                        let id = format!("d{thread}-{number}");
                        file.update(|keys| {
                            keys.devices.insert(id, Device::new(hash.clone()));
                            Ok(())
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(KeysFile::of(dir.path()).read().unwrap().devices.len(), 40);
    }
}
