//! What the broker may have kept from before the start.

use core::fmt::Write;

use aldis_mqtt::{Instant, PublicationId};
use heapless::String;

use super::publish::Told;

/// What the device tells itself: the number of the start, and a number by chance. Both because
/// a device without a memory counts from the beginning again.
type Word = String<21>;

/// Whether what comes may have been sent before the device was started.
///
/// The broker keeps the session of a device that is switched off, and with it commands,
/// which nobody wants to be obeyed an hour later. So the device begins with a message to
/// itself: what comes before that is of before the start, what comes after it is not. It
/// tells the broker that it is online after it, so who answers to that is heard.
#[derive(Clone, Debug)]
pub(super) enum Past {
    /// There was no connection yet.
    Unknown,
    /// It may come: the message to itself has not.
    Waits {
        nonce: Option<u32>,
        mark: Told,
        /// The broker has it, and may have had no room for it.
        again_at: Instant,
        /// Nothing came for so long that nothing can.
        until: Instant,
        /// Until then at the latest.
        last: Instant,
    },
    /// There is none.
    Over,
}

impl Past {
    /// How long the message to itself may take before it is sent again, in milliseconds.
    const AGAIN_MS: u32 = 10_000;
    /// How long it is waited for where nothing else comes, in milliseconds. A broker may
    /// forbid it.
    const WAIT_MS: u32 = 60_000;
    /// How long it is waited for on one connection, in milliseconds.
    const LAST_MS: u32 = 600_000;

    /// There is a connection; `kept`: the broker has the session of an earlier one.
    pub fn connected(&mut self, kept: bool, now: Instant) {
        let (nonce, mut mark) = match self {
            Self::Over => return,
            Self::Waits { nonce, mark, .. } => (*nonce, *mark),
            Self::Unknown => (None, Told::default()),
        };
        mark.due = true;
        *self = match kept {
            true => Self::Waits {
                nonce,
                mark,
                again_at: Instant::NEVER,
                until: now.after(Self::WAIT_MS),
                last: now.after(Self::LAST_MS),
            },
            false => Self::Over,
        };
    }

    /// The connection is gone, and time does not count.
    pub fn lost(&mut self) {
        if let Self::Waits {
            again_at, until, ..
        } = self
        {
            (*again_at, *until) = (Instant::NEVER, Instant::NEVER);
        }
    }

    /// Whether what comes now may be of before.
    pub const fn waits(&self) -> bool {
        matches!(self, Self::Waits { .. })
    }

    /// Whether the message to itself is to be sent now.
    pub const fn is_due(&self) -> bool {
        matches!(self, Self::Waits { mark, .. } if mark.waits())
    }

    /// What the device is to tell itself now, if anything. `chance` is any number.
    pub fn word(&mut self, boot: u32, chance: impl FnOnce() -> u32) -> Option<Word> {
        if !self.is_due() {
            return None;
        }
        let Self::Waits { nonce, .. } = self else {
            return None;
        };
        Some(spell(boot, *nonce.get_or_insert_with(chance)))
    }

    /// It is under way, or cannot be.
    pub fn sent(&mut self, id: Option<PublicationId>) {
        if let Self::Waits { mark, .. } = self {
            *mark = Told::sent(id);
        }
    }

    /// The end of a publication came; `taken`: the broker has it. Says whether it was that of
    /// the message to itself.
    pub fn ended(&mut self, id: PublicationId, taken: bool, now: Instant) -> bool {
        let Self::Waits { mark, again_at, .. } = self else {
            return false;
        };
        if !mark.ended(id) {
            return false;
        }
        mark.due = false;
        if taken {
            *again_at = now.after(Self::AGAIN_MS);
        }
        true
    }

    /// A message came.
    pub fn message(&mut self, now: Instant) {
        if let Self::Waits { until, last, .. } = self {
            *until = now.after(Self::WAIT_MS).min(*last);
        }
    }

    /// A message of the device to itself came.
    pub fn marked(&mut self, boot: u32, payload: &[u8]) {
        if let Self::Waits {
            nonce: Some(nonce), ..
        } = self
            && spell(boot, *nonce).as_bytes() == payload
        {
            *self = Self::Over;
        }
    }

    /// Looks at the time.
    pub fn run(&mut self, now: Instant) {
        if let Self::Waits {
            mark,
            again_at,
            until,
            ..
        } = self
        {
            if *again_at <= now {
                *again_at = Instant::NEVER;
                mark.due = true;
            }
            if *until <= now {
                *self = Self::Over;
            }
        }
    }

    /// When it is to be looked at again.
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Waits {
                again_at, until, ..
            } => (*again_at).min(*until),
            _ => Instant::NEVER,
        }
    }
}

fn spell(boot: u32, nonce: u32) -> Word {
    let mut word = Word::new();
    // Two numbers of ten digits at most: there is room.
    let _ = write!(word, "{boot}-{nonce}");
    word
}
