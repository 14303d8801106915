//! What a virtual device remembers over restarts: two small files, and one of readings
//! ([`Readings`](crate::readings::Readings)).

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aldis_device::{Letter, Mail, Mark, Note, Outgoing, Recent, Saved};
use aldis_protocol::{Lamp, MessageState, Priority, Reason};
use toml::{Table, Value};

/// The files in the state folder.
const FILE: &str = "state.toml";
const POST: &str = "messages.toml";

/// All that is kept of messages, by their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Post {
    /// Those to the person, and what is known of each.
    pub letters: BTreeMap<u32, (Letter, Option<Mark>)>,
    /// What became of others, until it is told.
    pub notes: BTreeMap<u32, Note>,
    /// Those of the person, until the broker has them.
    pub outgoing: BTreeMap<u32, Outgoing>,
}

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
    pub fn load_post(&self) -> Result<(Post, Option<String>), StateError> {
        let Some(text) = self.read(POST)? else {
            return Ok((Post::default(), None));
        };
        let (post, whole) = parse_post(&text);
        if whole {
            return Ok((post, None));
        }
        let warning = self.set_aside(POST, "messages", "what cannot be read is forgotten")?;
        // What can be is there at the next start as well.
        let saved = self.save_post(&post);
        saved.map_err(|error| StateError::Io(self.path.join(POST), error))?;
        Ok((post, Some(warning)))
    }

    /// The text of a file, if there is one; one that is no text is empty.
    fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(String::new())),
            Err(error) => Err(StateError::Io(self.path.join(name), error)),
        }
    }

    /// Where a file of the folder is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Renames a damaged file, and says what that means.
    pub(crate) fn set_aside(
        &self,
        name: &str,
        what: &str,
        then: &str,
    ) -> Result<String, StateError> {
        let path = self.path.join(name);
        let aside = path.with_extension("damaged");
        fs::rename(&path, &aside).map_err(|error| StateError::Io(path.clone(), error))?;
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
    pub fn save_post(&self, post: &Post) -> io::Result<()> {
        let letters = post.letters.values().map(|(letter, mark)| {
            let mut entry = Table::new();
            let mut set = |key: &str, value: Value| entry.insert(key.into(), value);
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
        let notes = post.notes.values().map(|note| {
            let mut entry = Table::new();
            let mut set = |key: &str, value: Value| entry.insert(key.into(), value);
            set("number", number(note.number));
            set("id", note.id.as_str().into());
            set("state", note.state.as_str().into());
            if let Some(reason) = note.reason {
                set("reason", reason.as_str().into());
            }
            if let Some(letter) = note.letter {
                set("message", number(letter));
            }
            Value::Table(entry)
        });
        let outgoing = post.outgoing.values().map(|outgoing| {
            let mut entry = Table::new();
            let mut set = |key: &str, value: Value| entry.insert(key.into(), value);
            set("number", number(outgoing.number));
            set("id", outgoing.id.as_str().into());
            set("to", outgoing.to.as_str().into());
            set("text", outgoing.text.as_str().into());
            Value::Table(entry)
        });
        let mut table = Table::new();
        table.insert("message".into(), Value::Array(letters.collect()));
        table.insert("note".into(), Value::Array(notes.collect()));
        table.insert("outgoing".into(), Value::Array(outgoing.collect()));
        self.replace(POST, table.to_string().as_bytes())
    }

    /// Keeps this: afterwards the file holds either it or, if that failed, what
    /// it held before.
    ///
    /// # Errors
    /// If the operating system refuses, for example because the disk is full.
    pub fn save(&self, saved: &Saved) -> io::Result<()> {
        let commands = saved.recent.ids.map(|id| format!("\"{id:016x}\""));
        let text = format!(
            "lamp = \"{}\"\nboot = {}\nseq = {}\nlife = {}\n\n[commands]\nids = [{}]\nnext = {}\nfailed = {}\n",
            saved.lamp.as_str(),
            saved.boot,
            saved.seq,
            saved.life,
            commands.join(", "),
            saved.recent.next,
            saved.recent.failed,
        );
        self.replace(FILE, text.as_bytes())
    }

    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.path.join("state.new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
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
        // Nor had they this.
        life: number("life")
            .and_then(|life| life.try_into().ok())
            .unwrap_or(0),
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

/// What can be read of a file of messages, and whether that is all of it.
fn parse_post(text: &str) -> (Post, bool) {
    let Ok(table) = text.parse::<Table>() else {
        return (Post::default(), false);
    };
    let (letters, whole) = parse_all(&table, "message", Mail::PLACES, parse_letter);
    let (notes, notes_whole) = parse_all(&table, "note", Mail::NOTES, parse_note);
    let (outgoing, sent_whole) = parse_all(&table, "outgoing", Mail::OUTGOING, parse_outgoing);
    let post = Post {
        letters,
        notes,
        outgoing,
    };
    // Files of earlier versions have messages only.
    let has_messages = table.get("message").is_some_and(Value::is_array);
    (post, has_messages && whole && notes_whole && sent_whole)
}

/// The entries of one kind, at most so many, and whether those are all there are.
fn parse_all<T>(
    table: &Table,
    key: &str,
    most: usize,
    parse: impl Fn(&Value) -> Option<(u32, T)>,
) -> (BTreeMap<u32, T>, bool) {
    let entries = table.get(key).and_then(Value::as_array);
    let entries = entries.map_or(&[][..], Vec::as_slice);
    let found: BTreeMap<_, _> = entries.iter().filter_map(parse).take(most).collect();
    let whole = found.len() == entries.len();
    (found, whole)
}

fn number(number: impl TryInto<i64>) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

fn parse_letter(entry: &Value) -> Option<(u32, (Letter, Option<Mark>))> {
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
    Some((letter.number, (letter, mark)))
}

fn parse_note(entry: &Value) -> Option<(u32, Note)> {
    let text = |key: &str| entry.get(key)?.as_str();
    let number = |key: &str| entry.get(key)?.as_integer()?.try_into().ok();
    let note = Note {
        number: number("number")?,
        id: text("id")?.try_into().ok()?,
        state: MessageState::decode(text("state")?.as_bytes()).filter(|state| state.is_final())?,
        reason: text("reason").and_then(|reason| Reason::decode(reason.as_bytes())),
        letter: number("message"),
    };
    Some((note.number, note))
}

fn parse_outgoing(entry: &Value) -> Option<(u32, Outgoing)> {
    let text = |key: &str| entry.get(key)?.as_str();
    let outgoing = Outgoing {
        number: entry.get("number")?.as_integer()?.try_into().ok()?,
        id: text("id")?.try_into().ok()?,
        to: text("to")?.try_into().ok()?,
        text: text("text")?.try_into().ok()?,
    };
    Some((outgoing.number, outgoing))
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

    fn note(number: u32, state: MessageState, reason: Option<Reason>) -> Note {
        Note {
            number,
            id: format!("{number}-\"ž\"").as_str().try_into().unwrap(),
            state,
            reason,
            letter: number.is_multiple_of(2).then_some(number),
        }
    }

    fn outgoing(number: u32, text: &str) -> Outgoing {
        Outgoing {
            number,
            id: "00c0ffee-1-1".try_into().unwrap(),
            to: "attic".try_into().unwrap(),
            text: text.try_into().unwrap(),
        }
    }

    fn one(number: u32, letter: (Letter, Option<Mark>)) -> Post {
        Post {
            letters: BTreeMap::from([(number, letter)]),
            ..Post::default()
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
            life: 40_123,
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

    /// A message would be another one after a restart, or be gone; or what became of one, or
    /// one of the person.
    #[test]
    fn messages_that_were_saved_are_found_again() {
        let folder = Folder::new("messages");
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load_post().unwrap(), (Post::default(), None));
        let longest = "ž".repeat(128);
        let texts = [
            "",
            "dinner is ready",
            "she said \"no\", he said 'yes'\n\"\"\"\n'''",
            "C:\\new\\table \t \r\n",
            "ąčęėįšųūž ÄÖÜß łżźć 火",
            "\u{7f}\u{1b}[2J\0\u{85}",
            &"\u{1}".repeat(256),
            "[[message]]\nnumber = 3",
            &longest,
        ];
        let mut post = Post::default();
        for (text, number) in texts.iter().zip(0..) {
            let mark = (number % 2 == 0).then(|| mark(number));
            post.letters.insert(number, (letter(number, text), mark));
            if number < 4 {
                post.outgoing.insert(number, outgoing(number, text));
            }
        }
        let plain = Letter {
            id: "".try_into().unwrap(),
            from: "".try_into().unwrap(),
            priority: Priority::Low,
            expires_s: None,
            ..letter(u32::MAX, "last")
        };
        post.letters.insert(u32::MAX, (plain, None));
        let states = MessageState::ALL.iter().filter(|state| state.is_final());
        let reasons = Reason::ALL.iter().copied().map(Some).chain([None]);
        for (reason, number) in reasons.zip(0..) {
            let state = *states.clone().cycle().nth(number as usize).unwrap();
            post.notes.insert(number, note(number, state, reason));
        }
        state.save_post(&post).unwrap();
        drop(state);
        let state = StateDir::open(&folder.0).unwrap();
        assert_eq!(state.load_post().unwrap(), (post, None));
        assert_eq!(state.load().unwrap(), (Saved::default(), None));
        state.save_post(&Post::default()).unwrap();
        assert_eq!(state.load_post().unwrap(), (Post::default(), None));
    }

    /// Messages of an earlier version would be forgotten, or called damaged.
    #[test]
    fn a_file_with_places_is_read() {
        let folder = Folder::new("places");
        let state = StateDir::open(&folder.0).unwrap();
        let text = "[[message]]\nplace = 1\nnumber = 9\nid = \"7\"\nfrom = \"hall\"\n\
                    text = \"x\"\npriority = \"high\"\nexpires_s = 4294967295\n\
                    state = \"read\"\ntold = true\nage_ms = 60000\n";
        fs::write(folder.0.join(POST), text).unwrap();
        let (post, warning) = state.load_post().unwrap();
        assert_eq!(warning, None);
        assert_eq!(post, one(9, (letter(9, "x"), Some(mark(9)))));
    }

    /// What was known of the message before it in this place would be said of this one.
    #[test]
    fn what_is_known_of_another_message_is_not_saved() {
        let folder = Folder::new("mark");
        let state = StateDir::open(&folder.0).unwrap();
        let post = one(5, (letter(5, "new"), Some(mark(4))));
        state.save_post(&post).unwrap();
        let (found, _) = state.load_post().unwrap();
        assert_eq!(found, one(5, (letter(5, "new"), None)));
    }

    /// A damaged file would end the device, or take all messages with it without a word.
    #[test]
    fn damaged_messages_are_told_and_set_aside() {
        let folder = Folder::new("damaged-messages");
        let state = StateDir::open(&folder.0).unwrap();
        let path = folder.0.join(POST);
        let first = (letter(1, "first"), Some(mark(1)));
        let mut post = one(1, first.clone());
        post.letters.insert(2, (letter(2, "second"), None));
        post.notes
            .insert(3, note(3, MessageState::Refused, Some(Reason::NoText)));
        post.outgoing.insert(4, outgoing(4, "fourth"));
        state.save_post(&post).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let without = |what: &str| {
            let mut post = post.clone();
            match what {
                "second" => drop(post.letters.remove(&2)),
                "note" => post.notes.clear(),
                _ => post.outgoing.clear(),
            }
            post
        };
        for (damage, left) in [
            (String::new(), Post::default()),
            ("message = 7\n".into(), Post::default()),
            (good[..good.len() - 5].into(), Post::default()),
            (good.replace("second", &"x".repeat(257)), without("second")),
            (
                good.replace("number = 2", "number = 4294967296"),
                without("second"),
            ),
            (good.replace("\"second\"", "2"), without("second")),
            (good.replace("refused", "received"), without("note")),
            (good.replace("number = 3", "number = -1"), without("note")),
            (
                good.replace("to = \"attic\"", "to = 7"),
                without("outgoing"),
            ),
        ] {
            assert_ne!(damage, good);
            fs::write(&path, &damage).unwrap();
            let (found, warning) = state.load_post().unwrap();
            assert_eq!(found, left, "{damage}");
            assert!(warning.unwrap().contains("messages.damaged"));
            let aside = fs::read_to_string(folder.0.join("messages.damaged")).unwrap();
            assert_eq!(aside, damage);
            // What was rescued stays.
            assert_eq!(state.load_post().unwrap(), (left, None));
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(state.load_post().unwrap().1.is_some());
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
