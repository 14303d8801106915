//! What a virtual device remembers over restarts: one small file.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aldis_device::{Letter, Mail, Mark, Recent, Saved};
use aldis_protocol::{Lamp, MessageState, Priority};
use toml::{Table, Value};

/// The files in the state folder.
const FILE: &str = "state.toml";
const LETTERS: &str = "messages.toml";

/// The messages that are kept, each in its place, and what is known of it.
pub type Letters = BTreeMap<usize, (Letter, Option<Mark>)>;

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

    /// The messages that are kept. Those that cannot be read are none.
    pub fn load_letters(&self) -> Letters {
        let text = fs::read_to_string(self.path.join(LETTERS)).unwrap_or_default();
        let table: Table = text.parse().unwrap_or_default();
        let letters = table.get("message").and_then(Value::as_array);
        let letters = letters.into_iter().flatten().filter_map(parse_letter);
        letters.filter(|(place, _)| *place < Mail::PLACES).collect()
    }

    /// Keeps the messages, as [`Self::save`] does.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn save_letters(&self, letters: &Letters) -> io::Result<()> {
        let letters = letters.iter().map(|(place, (letter, mark))| {
            let mut entry = Table::new();
            let mut set = |key: &str, value: Value| entry.insert(key.into(), value);
            set("place", number(*place));
            set("number", number(letter.number));
            set("id", letter.id.as_str().into());
            set("from", letter.from.as_str().into());
            set("text", letter.text.as_str().into());
            set("priority", letter.priority.as_str().into());
            if let Some(seconds) = letter.expires_s {
                set("expires_s", number(seconds));
            }
            if let Some(mark) = mark.filter(|mark| mark.number == letter.number) {
                set("state", mark.state.as_str().into());
                set("told", mark.told.into());
                set("age_ms", number(mark.age_ms));
            }
            Value::Table(entry)
        });
        let mut table = Table::new();
        table.insert("message".into(), Value::Array(letters.collect()));
        self.replace(LETTERS, &table.to_string())
    }

    /// Keeps this: afterwards the file holds either it or, if that failed, what
    /// it held before.
    ///
    /// # Errors
    /// If the operating system refuses, for example because the disk is full.
    pub fn save(&self, saved: &Saved) -> io::Result<()> {
        let commands = saved.recent.ids.map(|id| format!("\"{id:016x}\""));
        let text = format!(
            "lamp = \"{}\"\nboot = {}\nseq = {}\n\n[commands]\nids = [{}]\nnext = {}\nfailed = {}\n",
            saved.lamp.as_str(),
            saved.boot,
            saved.seq,
            commands.join(", "),
            saved.recent.next,
            saved.recent.failed,
        );
        self.replace(FILE, &text)
    }

    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let new = self.path.join("state.new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&new, self.path.join(name))
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
        // Files of earlier versions have none.
        recent: table
            .get("commands")
            .and_then(parse_recent)
            .unwrap_or_default(),
    })
}

fn parse_recent(commands: &Value) -> Option<Recent> {
    let mut recent = Recent::default();
    let ids = commands.get("ids")?.as_array()?;
    for (place, id) in recent.ids.iter_mut().zip(ids) {
        *place = u64::from_str_radix(id.as_str()?, 16).ok()?;
    }
    recent.next = commands.get("next")?.as_integer()?.try_into().ok()?;
    recent.failed = commands.get("failed")?.as_integer()?.try_into().ok()?;
    Some(recent)
}

fn number(number: impl TryInto<i64>) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

fn parse_letter(entry: &Value) -> Option<(usize, (Letter, Option<Mark>))> {
    let text = |key: &str| entry.get(key)?.as_str();
    let number = |key: &str| entry.get(key)?.as_integer();
    let letter = Letter {
        number: number("number")?.try_into().ok()?,
        id: text("id")?.try_into().ok()?,
        from: text("from")?.try_into().ok()?,
        text: text("text")?.try_into().ok()?,
        priority: Priority::decode(text("priority")?.as_bytes())?,
        expires_s: number("expires_s").and_then(|seconds| seconds.try_into().ok()),
    };
    let mark = text("state").and_then(|state| {
        Some(Mark {
            number: letter.number,
            state: MessageState::decode(state.as_bytes())?,
            told: entry.get("told")?.as_bool()?,
            age_ms: number("age_ms")?.try_into().ok()?,
        })
    });
    Some((number("place")?.try_into().ok()?, (letter, mark)))
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
        let mut recent = Recent::default();
        (recent.ids[0], recent.ids[15]) = (1, u64::MAX);
        (recent.next, recent.failed) = (3, 0x8001);
        let saved = Saved {
            lamp: Lamp::On,
            boot: 7,
            seq: u32::MAX,
            unstable: 0,
            recent,
        };
        state.save(&saved).unwrap();
        drop(state);
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load().unwrap(), (saved, None));
    }

    /// A message is gone after a restart, is another one, or keeps the device from
    /// starting.
    #[test]
    fn messages_are_found_again() {
        let folder = Folder::new("letters");
        let state = StateDir::open(&folder.0).unwrap();
        assert!(state.load_letters().is_empty());
        let letter = |number, text: &str| Letter {
            number,
            id: "7".try_into().unwrap(),
            from: "hall".try_into().unwrap(),
            text: text.try_into().unwrap(),
            priority: Priority::High,
            expires_s: Some(600),
        };
        let mark = Mark {
            number: u32::MAX,
            state: MessageState::Expired,
            told: true,
            age_ms: u32::MAX,
        };
        let plain = Letter {
            from: "".try_into().unwrap(),
            expires_s: None,
            ..letter(3, "\"quoted\"\n\u{17e} \\ '''\u{0}\u{7f}\u{85}")
        };
        let longest = letter(u32::MAX, &"\u{1}".repeat(256));
        let letters = Letters::from([(0, (plain, None)), (15, (longest, Some(mark)))]);
        state.save_letters(&letters).unwrap();
        assert_eq!(state.load_letters(), letters);
        // One that cannot be read is none; a file that cannot be is all of them.
        let path = folder.0.join(LETTERS);
        let text = fs::read_to_string(&path).unwrap();
        for (from, to, left) in [("place = 15", "place = 16", 0), ("high", "highest", 15)] {
            assert!(text.contains(from));
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert_eq!(state.load_letters().keys().collect::<Vec<_>>(), [&left]);
        }
        for damage in [&b"\xff"[..], b"message = 3", b"[[message]", b""] {
            fs::write(&path, damage).unwrap();
            assert!(state.load_letters().is_empty());
        }
        state.save_letters(&letters).unwrap();
        assert_eq!(state.load_letters(), letters);
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
