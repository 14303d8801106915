//! Time as the session sees it: milliseconds that somebody else counts.

/// A moment, in milliseconds since a start that the caller chooses.
///
/// The session never reads a clock: every call that depends on time takes the
/// present as an argument, so virtual time and real time are the same to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// A moment that never comes: the value of a timer that is not armed.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `ms` milliseconds after the start of the clock.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the start of the clock.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `ms` milliseconds later; [`Instant::NEVER`] stays what it is.
    #[must_use]
    pub const fn after(self, ms: u32) -> Self {
        Self(self.0.saturating_add(ms as u64))
    }

    /// Milliseconds from `earlier` to this moment, zero if it lies in the future.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
