//! Checking passwords without letting those who guess hold up those who know.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use argon2::Params;
use argon2::password_hash::PasswordHash;
use argon2::password_hash::rand_core::{OsRng, RngCore};
use blake2::Blake2sMac256 as Code;
use blake2::digest::{KeyInit, Mac};
use tokio::sync::Semaphore;

use crate::access::{NOBODY, fits};
use crate::limiter::{Limiter, Wrong};

/// How many passwords of people are checked at a time: each takes a core and 19 MiB.
const CONCURRENT: usize = 2;
/// How many more may wait for that, and how many of them from one address.
const WAITING: usize = 64;
const WAITING_EACH: usize = 16;
/// The most memory, in KiB, and turns of a hash that is checked at once: those that the hub
/// makes for devices take some microseconds.
const AT_ONCE: (u32, u32) = (64, 2);

/// What became of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the user's.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// It was not looked at: too many wrong ones came from the address.
    TooMany,
    /// It was not looked at: too many are being checked.
    Busy,
}

/// The hash of a password, and whose it is.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// A paired device's: the hub made its password, so nobody guesses it.
    Device(&'a str),
    /// A person's.
    Person(&'a str),
}

impl<'a> Stored<'a> {
    /// The hash.
    pub const fn hash(self) -> &'a str {
        match self {
            Self::Device(hash) | Self::Person(hash) => hash,
        }
    }
}

/// Checks passwords.
///
/// One that was right is remembered for its user and its hash, as a code that only this
/// process can make of it; so whoever comes again is let in at once, until the password is
/// changed.
#[derive(Debug)]
pub struct Passwords {
    begin: Instant,
    limiter: Mutex<Limiter>,
    key: [u8; 32],
    right: Mutex<HashMap<String, [u8; 32]>>,
    turns: Semaphore,
    waiting: AtomicUsize,
    waiting_each: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Passwords {
    fn default() -> Self {
        let mut key = [0; 32];
        OsRng.fill_bytes(&mut key);
        Self {
            begin: Instant::now(),
            limiter: Mutex::default(),
            key,
            right: Mutex::default(),
            turns: Semaphore::new(CONCURRENT),
            waiting: AtomicUsize::new(0),
            waiting_each: Mutex::default(),
        }
    }
}

impl Passwords {
    /// Checks a password against the hash of the user, if there is such a user.
    pub async fn check(
        &self,
        from: IpAddr,
        user: &str,
        stored: Option<Stored<'_>>,
        password: &[u8],
    ) -> Verdict {
        // What the hub made itself cannot be guessed, so nobody is kept from trying.
        if let Some(Stored::Device(hash)) = stored
            && is_light(hash)
        {
            return match fits(hash, password) {
                true => Verdict::Right,
                false => Verdict::Wrong,
            };
        }
        let hash = stored.map(Stored::hash);
        let known = hash.map(|_| user);
        if !lock(&self.limiter).allows(self.begin.elapsed(), from, known) {
            return Verdict::TooMany;
        }
        let code = self.code(hash.unwrap_or(NOBODY), password);
        if hash.is_some() && self.remembers(user, &code) {
            return Verdict::Right;
        }
        let Some(_place) = self.wait_in_line(from) else {
            return Verdict::Busy;
        };
        let Ok(_turn) = self.turns.acquire().await else {
            return Verdict::Busy;
        };
        // Those before it may have used up what the address had.
        if !lock(&self.limiter).allows(self.begin.elapsed(), from, known) {
            return Verdict::TooMany;
        }
        // It takes as long for an unknown user as for a person.
        let (stored, given) = (hash.unwrap_or(NOBODY).to_owned(), password.to_vec());
        let checked = tokio::task::spawn_blocking(move || fits(&stored, &given)).await;
        if checked.unwrap_or(false) && hash.is_some() {
            let code = code.finalize().into_bytes().into();
            lock(&self.right).insert(user.to_owned(), code);
            return Verdict::Right;
        }
        if lock(&self.limiter).wrong(self.begin.elapsed(), from, known) == Wrong::WasTheLast {
            let whose = known.unwrap_or("unknown users");
            tracing::warn!(
                "too many wrong passwords of {whose} from {from}: for a while none is looked at"
            );
        }
        Verdict::Wrong
    }

    /// Whether this user came in with the same password and hash before.
    fn remembers(&self, user: &str, code: &Code) -> bool {
        let right = lock(&self.right).get(user).copied();
        // In a time that does not tell how much of it is right.
        right.is_some_and(|right| code.clone().verify(&right.into()).is_ok())
    }

    /// A code for a password and the hash that it belongs to, which only this process makes.
    fn code(&self, hash: &str, password: &[u8]) -> Code {
        let key = blake2::digest::Key::<Code>::from(self.key);
        let mut code = <Code as KeyInit>::new(&key);
        // No hash has a zero byte in it.
        code.update(hash.as_bytes());
        code.update(&[0]);
        code.update(password);
        code
    }

    /// A place in the line, unless it is full or has enough of this address.
    fn wait_in_line(&self, from: IpAddr) -> Option<Place<'_>> {
        let mut each = lock(&self.waiting_each);
        let mine = each.get(&from).copied().unwrap_or(0);
        if mine >= WAITING_EACH
            || self.waiting.load(Ordering::Relaxed) >= const { WAITING + CONCURRENT }
        {
            return None;
        }
        each.insert(from, mine.saturating_add(1));
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            passwords: self,
            from,
        })
    }
}

/// Whether the secret that was given is the one that is right, in a time that does not tell
/// how much of it is.
pub fn same(given: &[u8], right: &[u8]) -> bool {
    let passwords = Passwords::default();
    let right = passwords.code("", right).finalize();
    passwords
        .code("", given)
        .verify(&right.into_bytes())
        .is_ok()
}

/// Somebody in the line.
struct Place<'a> {
    passwords: &'a Passwords,
    from: IpAddr,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut each = lock(&self.passwords.waiting_each);
        match each.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                each.remove(&self.from);
            }
        }
        self.passwords.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a hash is checked in no time.
fn is_light(hash: &str) -> bool {
    PasswordHash::new(hash)
        .ok()
        .and_then(|hash| Params::try_from(&hash).ok())
        .is_some_and(|params| params.m_cost() <= AT_ONCE.0 && params.t_cost() <= AT_ONCE.1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Passwords, Stored, Verdict, is_light, same};
    use crate::access::hash_password;
    use crate::keys::DevicePassword;
    use crate::limiter::BURST;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Whoever knew the old password, or another's, is let in by memory.
    #[tokio::test]
    async fn what_is_remembered_is_one_password_of_one_user_and_hash() {
        let passwords = Passwords::default();
        let check = async |user: &str, hash: &str, password: &str| {
            let verdict =
                passwords.check(HERE, user, Some(Stored::Person(hash)), password.as_bytes());
            verdict.await
        };
        let (old, new) = (hash_password("old").unwrap(), hash_password("new").unwrap());
        for _ in 0..2 {
            assert_eq!(check("ann", &old, "old").await, Verdict::Right);
        }
        assert_eq!(check("ann", &new, "old").await, Verdict::Wrong);
        assert_eq!(check("ann", &old, "new").await, Verdict::Wrong);
        assert_eq!(check("bob", &new, "old").await, Verdict::Wrong);
        assert_eq!(check("ann", &new, "new").await, Verdict::Right);
        // The same password under another salt.
        let again = hash_password("new").unwrap();
        assert_eq!(check("ann", &again, "new").await, Verdict::Right);
        assert_eq!(check("ann", &again, "").await, Verdict::Wrong);
    }

    /// Somebody who does not exist comes in, or can be guessed at for ever.
    #[tokio::test]
    async fn unknown_users_are_wrong_and_count() {
        let passwords = Passwords::default();
        for _ in 0..BURST {
            let verdict = passwords.check(HERE, "ghost", None, b"x").await;
            assert_eq!(verdict, Verdict::Wrong);
        }
        let verdict = passwords.check(HERE, "ghost", None, b"x").await;
        assert_eq!(verdict, Verdict::TooMany);
    }

    /// Devices are locked out by somebody at their address who guesses, or a guess is right.
    #[tokio::test]
    async fn what_cannot_be_guessed_is_always_looked_at() {
        let passwords = Passwords::default();
        let password = DevicePassword::generate();
        let hash = password.hash().unwrap();
        assert!(is_light(&hash) && !is_light(&hash_password("x").unwrap()) && !is_light(""));
        let check = async |password: &[u8]| {
            passwords
                .check(HERE, "kitchen", Some(Stored::Device(&hash)), password)
                .await
        };
        for _ in 0..2 * BURST {
            assert_eq!(check(b"a guess").await, Verdict::Wrong);
        }
        for _ in 0..2 {
            assert_eq!(check(password.expose().as_bytes()).await, Verdict::Right);
        }
    }

    /// A person whose hash takes little work, made by another program, can be guessed at for ever.
    #[tokio::test]
    async fn people_are_limited_whatever_their_hash() {
        let passwords = Passwords::default();
        let hash = DevicePassword::generate().hash().unwrap();
        assert!(is_light(&hash));
        let check = async || {
            let stored = Some(Stored::Person(&hash));
            passwords.check(HERE, "ann", stored, b"a guess").await
        };
        for _ in 0..BURST {
            assert_eq!(check().await, Verdict::Wrong);
        }
        assert_eq!(check().await, Verdict::TooMany);
    }

    /// A part of the secret, or none, is as good as the whole.
    #[test]
    fn only_the_whole_secret_is_the_secret() {
        assert!(same(b"secret", b"secret"));
        for wrong in [b"".as_slice(), b"secre", b"secrets", b"Secret"] {
            assert!(!same(wrong, b"secret"));
        }
    }
}
