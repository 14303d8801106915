//! What the broker may have kept from before the start.

use core::fmt::Write;

use aldis_mqtt::{Instant, Message, PublicationId};
use heapless::String;

use super::publish::Told;
use crate::mail::Prints;

/// What the device tells itself: the number of the start, and a number by chance. Both because
/// a device without a memory counts from the beginning again.
type Word = String<21>;

/// How many commands that were refused may come again.
const REFUSED: usize = 64;

/// Whether what comes may have been sent before the device was started.
///
/// The broker keeps the session of a device that is switched off, and with it commands,
/// which nobody wants to be obeyed an hour later. So the device begins with a word to
/// itself: what comes before that is of before the start, what comes after it is not. It
/// tells the broker that it is online after it, so who answers to that is heard. (The
/// standard lets a broker deliver in another order what is of different topics; those that
/// we know do not.)
///
/// What was refused comes again where contact is lost before it is acknowledged. It is known
/// by its print until a second word is: it was sent after the acknowledgements.
#[derive(Debug)]
pub(super) struct Past {
    state: State,
    nonce: Option<u32>,
    word: Told,
    /// The broker has it, and may have had no room for it.
    again_at: Instant,
    /// Nothing came for so long that nothing can.
    quiet_at: Instant,
    /// Until then at the latest.
    last_at: Instant,
    /// How much longer that is, without the time between connections.
    left_ms: u32,
    refused: Prints<REFUSED>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There was no connection yet.
    Unknown,
    /// It may come: the word has not.
    Waits,
    /// What was refused may come again, and nothing else.
    Came,
    /// Nothing is left of it.
    Over,
}

impl Past {
    /// How long the word may take before it is said again, in milliseconds.
    const AGAIN_MS: u32 = 10_000;
    /// How long it is waited for where nothing else comes, or where the broker has refused
    /// it, in milliseconds.
    const QUIET_MS: u32 = 60_000;
    /// How long it is waited for at most, in milliseconds: a broker may let the device not
    /// talk to itself, and not say so.
    const LAST_MS: u32 = 3_600_000;

    pub const fn new() -> Self {
        Self {
            state: State::Unknown,
            nonce: None,
            word: Told::sent(None),
            again_at: Instant::NEVER,
            quiet_at: Instant::NEVER,
            last_at: Instant::NEVER,
            left_ms: Self::LAST_MS,
            refused: Prints::new(),
        }
    }

    /// There is a connection; `kept`: the broker has the session of an earlier one.
    pub fn connected(&mut self, kept: bool, now: Instant) {
        if self.state == State::Unknown {
            self.state = State::Waits;
        }
        if !kept {
            self.over();
        }
        if self.state != State::Over {
            self.word.due = true;
        }
        if self.state == State::Waits {
            self.quiet_at = now.after(Self::QUIET_MS);
            self.last_at = now.after(self.left_ms);
        }
    }

    /// The connection is gone, and time does not count.
    pub fn lost(&mut self, now: Instant) {
        if self.state == State::Waits {
            let left = self.last_at.since(now);
            self.left_ms = u32::try_from(left).map_or(self.left_ms, |left| left.min(self.left_ms));
        }
        self.refused.lost();
        self.stop_clocks();
    }

    fn stop_clocks(&mut self) {
        (self.again_at, self.quiet_at, self.last_at) =
            (Instant::NEVER, Instant::NEVER, Instant::NEVER);
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.word.due = false;
        self.refused.forget();
        self.stop_clocks();
    }

    /// The rest is new.
    fn came(&mut self) {
        self.state = State::Came;
        self.word.due = true;
        self.stop_clocks();
    }

    /// Whether it may still come.
    pub fn waits(&self) -> bool {
        self.state == State::Waits
    }

    /// Whether this command is to be refused. It is then known when it comes again.
    pub fn refuses(&mut self, message: &Message<'_>) -> bool {
        match self.state {
            State::Waits => {
                if !self.refused.renews(message) && message.token.is_some() {
                    self.refused.push(message);
                }
                true
            }
            State::Came => self.refused.renews(message),
            State::Unknown | State::Over => false,
        }
    }

    /// Whether the word is to be said before the device is told to be online.
    pub fn is_due(&self) -> bool {
        self.state == State::Waits && self.word.waits()
    }

    /// What the device is to tell itself now, if anything. `chance` is any number.
    pub fn next_word(&mut self, boot: u32, chance: impl FnOnce() -> u32) -> Option<Word> {
        let waits = self.state != State::Over && self.word.waits();
        waits.then(|| spell(boot, *self.nonce.get_or_insert_with(chance)))
    }

    /// It is under way, or cannot be.
    pub fn sent(&mut self, id: Option<PublicationId>) {
        self.word = Told::sent(id);
        if id.is_none() {
            self.forbidden();
        }
    }

    /// The end of a publication came; `taken`: the broker has it. Says whether it was the
    /// word's.
    pub fn ended(&mut self, id: PublicationId, taken: bool, now: Instant) -> bool {
        // One that was said before the first came back proves nothing.
        let due = self.word.due;
        if !self.word.ended(id) {
            return false;
        }
        match self.state {
            State::Came if !due => self.over(),
            State::Waits if !taken => self.forbidden(),
            State::Waits => {
                self.word.due = false;
                self.again_at = now.after(Self::AGAIN_MS);
            }
            _ => {}
        }
        true
    }

    /// The broker lets the device not talk to itself.
    pub fn forbidden(&mut self) {
        self.word.due = false;
        self.left_ms = self.left_ms.min(Self::QUIET_MS);
        self.last_at = self.last_at.min(self.quiet_at);
        if self.state == State::Came {
            self.over();
        }
    }

    /// Something came, or could not for the device's own sake.
    pub fn not_quiet(&mut self, now: Instant) {
        if self.state == State::Waits {
            self.quiet_at = now.after(Self::QUIET_MS);
        }
    }

    /// A word came.
    pub fn heard(&mut self, boot: u32, payload: &[u8]) {
        let is_own = |nonce| spell(boot, nonce).as_bytes() == payload;
        if self.state == State::Waits && self.nonce.is_some_and(is_own) {
            self.came();
        }
    }

    /// Looks at the time.
    pub fn run(&mut self, now: Instant) {
        if self.again_at <= now {
            self.again_at = Instant::NEVER;
            self.word.due = true;
        }
        if self.quiet_at.min(self.last_at) <= now {
            self.came();
        }
    }

    /// When it is to be looked at again.
    pub fn deadline(&self) -> Instant {
        self.again_at.min(self.quiet_at).min(self.last_at)
    }
}

fn spell(boot: u32, nonce: u32) -> Word {
    let mut word = Word::new();
    // Two numbers of ten digits at most: there is room.
    let _ = write!(word, "{boot}-{nonce}");
    word
}
