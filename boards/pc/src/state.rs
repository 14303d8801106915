//! What a virtual device remembers over restarts: two small files.

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
/// One of them.
type Placed = (usize, (Letter, Option<Mark>));

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
        let Some(text) = self.read(FILE)? else {
            return Ok((Saved::default(), None));
        };
        if let Some(saved) = parse(&text) {
            return Ok((saved, None));
        }
        let warning = self.set_aside(FILE, "state", "the device starts anew")?;
        Ok((Saved::default(), Some(warning)))
    }

    /// The messages that are kept. A file in which anything cannot be read is set
    /// aside; the others in it are given all the same, and the second value says so.
    ///
    /// # Errors
    /// If the file is there and the operating system does not give it.
    pub fn load_letters(&self) -> Result<(Letters, Option<String>), StateError> {
        let Some(text) = self.read(LETTERS)? else {
            return Ok((Letters::new(), None));
        };
        let entries = parse_letters(&text);
        let whole = entries
            .as_ref()
            .is_some_and(|all| all.iter().all(Option::is_some));
        let letters = entries.into_iter().flatten().flatten().collect();
        if whole {
            return Ok((letters, None));
        }
        let warning = self.set_aside(LETTERS, "messages", "what cannot be read is forgotten")?;
        Ok((letters, Some(warning)))
    }

    /// The text of a file, if there is one; one that is no text is empty.
    fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(String::new())),
            Err(error) => Err(StateError::Io(self.path.clone(), error)),
        }
    }

    /// Renames a damaged file, and says what that means.
    fn set_aside(&self, name: &str, what: &str, then: &str) -> Result<String, StateError> {
        let path = self.path.join(name);
        let aside = path.with_extension("damaged");
        fs::rename(&path, &aside).map_err(|error| StateError::Io(self.path.clone(), error))?;
        let (path, aside) = (path.display(), aside.display());
        let verb = if what.ends_with('s') { "were" } else { "was" };
        Ok(format!(
            "the {what} in {path} {verb} damaged: the file was set aside as {aside}, and {then}"
        ))
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

/// All entries of a file of messages, those that can be read and those that cannot.
fn parse_letters(text: &str) -> Option<Vec<Option<Placed>>> {
    let table: Table = text.parse().ok()?;
    let entries = table.get("message")?.as_array()?;
    Some(entries.iter().map(parse_letter).collect())
}

fn number(number: impl TryInto<i64>) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

fn parse_letter(entry: &Value) -> Option<Placed> {
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
    let place = number("place")?.try_into().ok()?;
    (place < Mail::PLACES).then_some((place, (letter, mark)))
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

    fn recent() -> Recent {
        let mut recent = Recent::default();
        recent.ids.fill(u64::MAX);
        recent.ids[3] = 7;
        recent.next = 4;
        recent.failed = 0b1010;
        recent
    }

    fn letter(number: u32, text: &str) -> Letter {
        Letter {
            number,
            id: "7".try_into().unwrap(),
            from: "hall".try_into().unwrap(),
            text: text.try_into().unwrap(),
            priority: Priority::High,
            expires_s: Some(u32::MAX),
        }
    }

    fn mark(number: u32) -> Mark {
        Mark {
            number,
            state: MessageState::Read,
            told: true,
            age_ms: 60_000,
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
            recent: recent(),
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

    /// The file of an earlier version would be set aside, and the numbers given twice.
    #[test]
    fn a_file_without_commands_is_read() {
        let folder = Folder::new("earlier");
        let state = StateDir::open(&folder.0).unwrap();
        fs::write(folder.0.join(FILE), "lamp = \"on\"\nboot = 3\nseq = 9\n").unwrap();
        let (saved, warning) = state.load().unwrap();
        assert_eq!((saved.boot, saved.seq, warning), (3, 9, None));
        assert_eq!(saved.recent, Recent::default());
    }

    /// A message would be another one after a restart, or be gone.
    #[test]
    fn messages_that_were_saved_are_found_again() {
        let folder = Folder::new("messages");
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load_letters().unwrap(), (Letters::new(), None));
        let longest = "ž".repeat(128);
        let texts = [
            "",
            "dinner is ready",
            "she said \"no\", he said 'yes'\n\"\"\"\n'''",
            "C:\\new\\table \t \r\n",
            "ąčęėįšųūž ÄÖÜß łżźć 火",
            "\u{7f}\u{1b}[2J\0\u{85}",
            &"\u{1}".repeat(256),
            "[[message]]\nplace = 3",
            &longest,
        ];
        let mut letters = Letters::new();
        for (place, text) in texts.iter().enumerate() {
            let number = u32::try_from(place).unwrap();
            let mark = (place % 2 == 0).then(|| mark(number));
            letters.insert(place, (letter(number, text), mark));
        }
        let plain = Letter {
            id: "".try_into().unwrap(),
            from: "".try_into().unwrap(),
            priority: Priority::Low,
            expires_s: None,
            ..letter(u32::MAX, "last")
        };
        letters.insert(Mail::PLACES - 1, (plain, None));
        state.save_letters(&letters).unwrap();
        drop(state);
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load_letters().unwrap(), (letters, None));
        assert_eq!(state.load().unwrap(), (Saved::default(), None));
        state.save_letters(&Letters::new()).unwrap();
        assert_eq!(state.load_letters().unwrap(), (Letters::new(), None));
    }

    /// What was known of the message before it in this place would be said of this one.
    #[test]
    fn what_is_known_of_another_message_is_not_saved() {
        let folder = Folder::new("mark");
        let state = StateDir::open(&folder.0).unwrap();
        let letters = Letters::from([(2, (letter(5, "new"), Some(mark(4))))]);
        state.save_letters(&letters).unwrap();
        let (found, _) = state.load_letters().unwrap();
        assert_eq!(found, Letters::from([(2, (letter(5, "new"), None))]));
    }

    /// A damaged file would end the device, or take all messages with it without a word.
    #[test]
    fn damaged_messages_are_told_and_set_aside() {
        let folder = Folder::new("damaged-messages");
        let state = StateDir::open(&folder.0).unwrap();
        let path = folder.0.join(LETTERS);
        let first = (letter(1, "first"), Some(mark(1)));
        let letters = Letters::from([(0, first.clone()), (1, (letter(2, "second"), None))]);
        state.save_letters(&letters).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let one = Letters::from([(0, first)]);
        let none = Letters::new();
        let too_high = format!("place = {}", Mail::PLACES);
        for (damage, left) in [
            (String::new(), &none),
            ("message = 7\n".into(), &none),
            (good[..good.len() - 30].into(), &none),
            (good.replace("second", &"x".repeat(257)), &one),
            (good.replace("place = 1", &too_high), &one),
            (good.replace("place = 1", "place = -1"), &one),
            (good.replace("number = 2", "number = 4294967296"), &one),
            (good.replace("\"second\"", "2"), &one),
        ] {
            assert_ne!(damage, good);
            fs::write(&path, &damage).unwrap();
            let (found, warning) = state.load_letters().unwrap();
            assert_eq!(&found, left, "{damage}");
            assert!(warning.unwrap().contains("messages.damaged"));
            let aside = fs::read_to_string(folder.0.join("messages.damaged")).unwrap();
            assert_eq!(aside, damage);
            assert_eq!(state.load_letters().unwrap(), (Letters::new(), None));
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(state.load_letters().unwrap().1.is_some());
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
