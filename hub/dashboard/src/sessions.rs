//! Who is signed in. Of a session's id only the digest is known here, in memory and in the file.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// A session that was not used for so long ends.
const IDLE_MS: i64 = 30 * DAY_MS;
/// A session ends after so long in any case.
const WHOLE_MS: i64 = 90 * DAY_MS;
/// How long the file may be behind with when a session was used.
const BEHIND_MS: i64 = 3_600_000;
/// So many are kept; the one that was not used longest goes first.
const MOST: usize = 100;

type Digest = [u8; 32];

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    by_digest: HashMap<Digest, Session>,
    path: Option<PathBuf>,
    random: SystemRandom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    begun_ms: i64,
    used_ms: i64,
    /// What the file says of it.
    told_ms: i64,
    /// The mark of the password with which it was begun.
    mark: u64,
}

/// A session in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    digest: String,
    begun_ms: i64,
    used_ms: i64,
    mark: u64,
}

/// The id of a session, which only its browser knows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Reads it from a cookie.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Writes it for a cookie.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What a page must send along to change something: known to whoever has the session's id,
    /// and no way back to it.
    pub fn csrf(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(b"aldis csrf", &self.0))
    }

    /// Whether this was sent along; the time it takes tells nothing of how much was right.
    pub fn has_csrf(&self, given: &[u8]) -> bool {
        digest(b"aldis given", given) == digest(b"aldis given", self.csrf().as_bytes())
    }

    fn digest(&self) -> Digest {
        digest(b"aldis session", &self.0)
    }
}

fn digest(purpose: &[u8], bytes: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(purpose);
    context.update(bytes);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

impl Sessions {
    /// Those of the file, if there is one. A file that cannot be read means signing in again.
    pub fn open(path: Option<PathBuf>, now: i64) -> Self {
        let mut sessions = Self {
            by_digest: HashMap::new(),
            path,
            random: SystemRandom::new(),
        };
        if let Some(path) = &sessions.path {
            match read(path) {
                Ok(found) => sessions.by_digest = found,
                Err(error) => tracing::warn!(
                    "the dashboard's sessions in {} cannot be read ({error}); everybody has to \
                     sign in again",
                    path.display()
                ),
            }
        }
        sessions
            .by_digest
            .retain(|_, session| !session.is_over(now));
        sessions
    }

    /// Begins one; nothing if the system gives no random numbers.
    pub fn begin(&mut self, mark: u64, now: i64) -> Option<Token> {
        let mut id = [0; 32];
        self.random.fill(&mut id).ok()?;
        let token = Token(id);
        self.by_digest.retain(|_, session| !session.is_over(now));
        while self.by_digest.len() >= MOST {
            let oldest = self
                .by_digest
                .iter()
                .min_by_key(|(_, session)| session.used_ms);
            let oldest = oldest.map(|(digest, _)| *digest)?;
            self.by_digest.remove(&oldest);
        }
        let session = Session {
            begun_ms: now,
            used_ms: now,
            told_ms: now,
            mark,
        };
        self.by_digest.insert(token.digest(), session);
        self.save();
        Some(token)
    }

    /// Whether a session goes on; that it was used now is noted.
    pub fn is_signed_in(&mut self, token: &Token, mark: u64, now: i64) -> bool {
        let digest = token.digest();
        let Some(session) = self.by_digest.get_mut(&digest) else {
            return false;
        };
        if session.is_over(now) || session.mark != mark {
            self.by_digest.remove(&digest);
            self.save();
            return false;
        }
        session.used_ms = session.used_ms.max(now);
        if session.used_ms.saturating_sub(session.told_ms) >= BEHIND_MS {
            session.told_ms = session.used_ms;
            self.save();
        }
        true
    }

    /// Ends one.
    pub fn end(&mut self, token: &Token) {
        if self.by_digest.remove(&token.digest()).is_some() {
            self.save();
        }
    }

    /// The disk may be full: the session goes on all the same.
    fn save(&self) {
        let Some(path) = &self.path else { return };
        if let Err(error) = write(path, &self.by_digest) {
            tracing::warn!(
                "the dashboard's sessions cannot be kept in {} ({error}); they end with the hub",
                path.display()
            );
        }
    }
}

impl Session {
    fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.used_ms) >= IDLE_MS || now.saturating_sub(self.begun_ms) >= WHOLE_MS
    }
}

fn read(path: &Path) -> io::Result<HashMap<Digest, Session>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let lines: Vec<Line> = serde_json::from_slice(&text)?;
    let mut sessions = HashMap::new();
    for line in lines {
        let digest = URL_SAFE_NO_PAD.decode(&line.digest).ok();
        let digest = digest.and_then(|bytes| Digest::try_from(bytes).ok());
        let digest = digest.ok_or_else(|| io::Error::other("a digest is none"))?;
        let session = Session {
            begun_ms: line.begun_ms,
            used_ms: line.used_ms,
            told_ms: line.used_ms,
            mark: line.mark,
        };
        sessions.insert(digest, session);
    }
    Ok(sessions)
}

fn write(path: &Path, sessions: &HashMap<Digest, Session>) -> io::Result<()> {
    let lines: Vec<_> = sessions
        .iter()
        .map(|(digest, session)| Line {
            digest: URL_SAFE_NO_PAD.encode(digest),
            begun_ms: session.begun_ms,
            used_ms: session.used_ms,
            mark: session.mark,
        })
        .collect();
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(&serde_json::to_vec(&lines)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: u64 = 7;

    /// A session that never ends is a stolen phone that is signed in for ever.
    #[test]
    fn sessions_end_by_age_and_by_rest() {
        let mut sessions = Sessions::open(None, 0);
        let idle = sessions.begin(MARK, 0).unwrap();
        let used = sessions.begin(MARK, 0).unwrap();
        for day in 1..90 {
            assert!(sessions.is_signed_in(&used, MARK, day * DAY_MS), "{day}");
        }
        assert!(!sessions.is_signed_in(&used, MARK, 90 * DAY_MS));
        assert!(!sessions.is_signed_in(&idle, MARK, 30 * DAY_MS));
        // It is gone, not asleep.
        assert!(!sessions.is_signed_in(&idle, MARK, 0));
    }

    /// Whoever knew the old password stays signed in.
    #[test]
    fn sessions_end_with_the_password() {
        let mut sessions = Sessions::open(None, 0);
        let token = sessions.begin(MARK, 0).unwrap();
        assert!(!sessions.is_signed_in(&token, MARK + 1, 1));
        assert!(!sessions.is_signed_in(&token, MARK, 1));
    }

    /// Whoever reads the file is signed in; or each restart signs everybody out.
    #[test]
    fn sessions_outlive_the_process_and_their_ids_do_not_leave_the_browser() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.json");
        let mut sessions = Sessions::open(Some(path.clone()), 0);
        let token = sessions.begin(MARK, 5).unwrap();
        let ended = sessions.begin(MARK, 5).unwrap();
        sessions.end(&ended);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains(&token.text()) && !text.contains(&token.csrf()),
            "{text}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut sessions = Sessions::open(Some(path.clone()), 6);
        assert!(sessions.is_signed_in(&token, MARK, 7));
        assert!(!sessions.is_signed_in(&ended, MARK, 7));
        // A file that is none means signing in again, and is put right then.
        fs::write(&path, "{").unwrap();
        let mut sessions = Sessions::open(Some(path.clone()), 6);
        assert!(!sessions.is_signed_in(&token, MARK, 7));
        let token = sessions.begin(MARK, 7).unwrap();
        assert!(Sessions::open(Some(path), 8).is_signed_in(&token, MARK, 8));
    }

    /// A full disk, or no such directory, keeps the owner out.
    #[test]
    fn without_a_disk_sessions_work() {
        let mut sessions = Sessions::open(Some("/nowhere/sessions.json".into()), 0);
        let token = sessions.begin(MARK, 0).unwrap();
        assert!(sessions.is_signed_in(&token, MARK, 1));
    }

    /// Signing in again and again fills the memory.
    #[test]
    fn there_is_room_for_so_many() {
        let mut sessions = Sessions::open(None, 0);
        let tokens: Vec<_> = (0..1000)
            .map(|now| sessions.begin(MARK, now).unwrap())
            .collect();
        assert_eq!(sessions.by_digest.len(), MOST);
        assert!(sessions.is_signed_in(&tokens[999], MARK, 1000));
        assert!(!sessions.is_signed_in(&tokens[0], MARK, 1000));
    }

    /// Ids that can be guessed, or what the page is told gives them away.
    #[test]
    fn ids_are_of_256_bits_and_read_as_written() {
        let mut sessions = Sessions::open(None, 0);
        let token = sessions.begin(MARK, 0).unwrap();
        let other = sessions.begin(MARK, 0).unwrap();
        assert!(token != other && token.csrf() != other.csrf());
        assert_eq!(token.text().len(), 43);
        assert!(Token::read(&token.text()).unwrap() == token);
        assert!(Token::read(&token.csrf()).unwrap() != token);
        for wrong in ["", "abc", &token.text()[1..], "!".repeat(43).as_str()] {
            assert!(Token::read(wrong).is_none(), "{wrong}");
        }
    }
}
