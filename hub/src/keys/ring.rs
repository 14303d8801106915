//! The keys that are in force while a hub runs.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use super::file::{KeysError, KeysFile};
use super::{Keys, OWNER};
use crate::access::fits;

/// The keys that are in force; they follow their file.
#[derive(Debug, Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keys: RwLock<Arc<Keys>>,
    file: Option<Mutex<Watched>>,
}

#[derive(Debug)]
struct Watched {
    file: KeysFile,
    /// What the file looked like when it was last read.
    seen: Option<Look>,
}

/// What is different when a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Keyring {
    /// The keys of the hub with this data directory.
    ///
    /// # Errors
    /// If their file cannot be read or has a mistake.
    pub fn open(dir: &Path) -> Result<Self, KeysError> {
        let file = KeysFile::of(dir);
        // Looked at before it is read: what is changed in between is read once more.
        let seen = look(&file);
        let keys = file.read()?;
        if let Some(warning) = file.exposure() {
            tracing::warn!("{warning}");
        }
        Ok(Self::new(keys, Some(Mutex::new(Watched { file, seen }))))
    }

    /// Keys that are nowhere but here.
    pub fn in_memory(keys: Keys) -> Self {
        Self::new(keys, None)
    }

    fn new(keys: Keys, file: Option<Mutex<Watched>>) -> Self {
        let keys = RwLock::new(Arc::new(keys));
        Self {
            inner: Arc::new(Inner { keys, file }),
        }
    }

    /// The keys of this moment.
    pub fn current(&self) -> Arc<Keys> {
        let keys = self.inner.keys.read();
        keys.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up what was changed in the file; tells whether anything was.
    ///
    /// While the file is away, cannot be read or has a mistake, the keys that were in force
    /// stay, and the log says so.
    pub fn refresh(&self) -> bool {
        let Some(watched) = &self.inner.file else {
            return false;
        };
        let mut watched: MutexGuard<'_, Watched> =
            watched.lock().unwrap_or_else(PoisonError::into_inner);
        let now = look(&watched.file);
        if now == watched.seen {
            return false;
        }
        watched.seen = now;
        let path = watched.file.path();
        if now.is_none() {
            tracing::error!(
                "{} is gone; the keys that it had stay in force",
                path.display()
            );
            return false;
        }
        match watched.file.read() {
            Ok(keys) => {
                let mut current = self
                    .inner
                    .keys
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                if **current == keys {
                    return false;
                }
                *current = Arc::new(keys);
                tracing::info!("the keys in {} were changed", path.display());
                true
            }
            Err(error) => {
                tracing::error!("{error}; the keys of before stay in force");
                false
            }
        }
    }

    /// Whether this is the owner's password. It takes a moment of a core, so it does not
    /// belong into an async task.
    pub fn is_owner(&self, password: &[u8]) -> bool {
        self.refresh();
        let keys = self.current();
        keys.hash_of(OWNER).is_some_and(|hash| fits(hash, password))
    }
}

fn look(file: &KeysFile) -> Option<Look> {
    let metadata = fs::metadata(file.path()).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Look {
        modified: metadata.modified().ok(),
        len: metadata.len(),
        inode,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Keyring;
    use crate::access::hash_password;
    use crate::keys::KeysFile;

    /// A change goes unseen, or a mistake opens the hub or locks everybody out.
    #[test]
    fn changes_are_taken_up_and_mistakes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeysFile::of(dir.path());
        let ring = Keyring::open(dir.path()).unwrap();
        assert!(!ring.refresh());
        assert!(!ring.is_owner(b""));
        file.update(|keys| {
            keys.owner = Some(hash_password("right").unwrap());
            keys.anonymous = false;
            Ok(())
        })
        .unwrap();
        assert!(ring.is_owner(b"right"));
        assert!(!ring.is_owner(b"wrong"));
        let good = fs::read_to_string(file.path()).unwrap();
        for broken in ["anonymous = 1", "", "[owner]\npassword = ''", "\0"] {
            fs::write(file.path(), broken).unwrap();
            assert!(!ring.refresh(), "{broken}");
            assert!(
                !ring.current().anonymous && ring.is_owner(b"right"),
                "{broken}"
            );
            assert!(Keyring::open(dir.path()).is_err(), "{broken}");
            fs::write(file.path(), &good).unwrap();
            ring.refresh();
        }
        fs::remove_file(file.path()).unwrap();
        assert!(!ring.refresh());
        assert!(!ring.current().anonymous && ring.is_owner(b"right"));
        fs::write(file.path(), &good).unwrap();
        assert!(!ring.refresh());
        assert!(ring.is_owner(b"right"));
    }
}
