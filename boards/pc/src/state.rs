//! What a virtual device remembers over restarts: one small file.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aldis_device::Saved;
use aldis_protocol::Lamp;

/// The file in the state folder.
const FILE: &str = "state.toml";

/// A folder in which one device keeps its state.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Held for as long as the device lives, so that no second one uses the folder.
    _lock: File,
}

/// Why a state folder cannot be used. Printed, it says what to do.
#[derive(Debug)]
pub enum StateError {
    /// Another device uses it.
    InUse(PathBuf),
    /// The operating system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(
                f,
                "another virtual device uses the state in {}: \
                 stop it, or give this one another --id or --state",
                path.display()
            ),
            Self::Io(path, error) => write!(
                f,
                "the state in {} cannot be used: {error}; choose another folder with --state",
                path.display()
            ),
        }
    }
}

impl Error for StateError {}

impl StateDir {
    /// Opens the folder, makes it where there is none, and reserves it.
    ///
    /// # Errors
    /// If it cannot be made or written, or another device uses it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let io = |error| StateError::Io(path.to_owned(), error);
        fs::create_dir_all(path).map_err(io)?;
        let lock = File::create(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::InUse(path.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// What was saved last. A file that cannot be read is set aside, and the
    /// second value says so.
    ///
    /// # Errors
    /// If the file is there and the operating system does not give it.
    pub fn load(&self) -> Result<(Saved, Option<String>), StateError> {
        let path = self.path.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Saved::default(), None));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(StateError::Io(self.path.clone(), error)),
        };
        if let Some(saved) = parse(&text) {
            return Ok((saved, None));
        }
        let aside = self.path.join("state.damaged");
        fs::rename(&path, &aside).map_err(|error| StateError::Io(self.path.clone(), error))?;
        let warning = format!(
            "the state in {} was damaged: it was set aside as {}, and the device starts anew",
            path.display(),
            aside.display()
        );
        Ok((Saved::default(), Some(warning)))
    }

    /// Keeps this: afterwards the file holds either it or, if that failed, what
    /// it held before.
    ///
    /// # Errors
    /// If the operating system refuses, for example because the disk is full.
    pub fn save(&self, saved: &Saved) -> io::Result<()> {
        let new = self.path.join("state.new");
        let mut file = File::create(&new)?;
        write!(
            file,
            "lamp = \"{}\"\nboot = {}\nseq = {}\n",
            saved.lamp.as_str(),
            saved.boot,
            saved.seq
        )?;
        file.sync_data()?;
        fs::rename(&new, self.path.join(FILE))
    }
}

fn parse(text: &str) -> Option<Saved> {
    let table: toml::Table = text.parse().ok()?;
    let number = |key: &str| u32::try_from(table.get(key)?.as_integer()?).ok();
    Some(Saved {
        lamp: Lamp::decode(table.get("lamp")?.as_str()?.as_bytes())?,
        boot: number("boot")?,
        seq: number("seq")?,
        // A program is started and stopped as its user likes.
        unstable: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("aldis-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A lamp that was on would be off after a restart, or a number given twice.
    #[test]
    fn what_was_saved_is_found_again() {
        let folder = Folder::new("saved");
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load().unwrap(), (Saved::default(), None));
        let saved = Saved {
            lamp: Lamp::On,
            boot: 7,
            seq: u32::MAX,
            unstable: 0,
        };
        state.save(&saved).unwrap();
        drop(state);
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load().unwrap(), (saved, None));
    }

    /// A damaged file would end the device, or vanish without a word.
    #[test]
    fn damage_is_told_and_set_aside() {
        let folder = Folder::new("damage");
        let state = StateDir::open(&folder.0).unwrap();
        for damage in [
            &b""[..],
            b"lamp = \"on\"\nboot = 1\n",
            b"\xff\xfe",
            b"lamp = \"dim\"\n",
        ] {
            fs::write(folder.0.join(FILE), damage).unwrap();
            let (saved, warning) = state.load().unwrap();
            assert_eq!(saved, Saved::default());
            assert!(warning.unwrap().contains("state.damaged"));
            assert_eq!(fs::read(folder.0.join("state.damaged")).unwrap(), damage);
        }
    }

    /// Two devices on one state would give the same numbers to different readings.
    #[test]
    fn a_folder_belongs_to_one_device() {
        let folder = Folder::new("lock");
        let first = StateDir::open(&folder.0).unwrap();
        let second = StateDir::open(&folder.0);
        assert!(matches!(second, Err(StateError::InUse(_))));
        drop(first);
        assert!(StateDir::open(&folder.0).is_ok());
    }
}
