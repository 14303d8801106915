//! What the session promises about time, as numbers.

/// The bounds that a run holds the session to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A silent peer is noticed within the keep-alive and this many thousandths of it more.
    pub silence_permille: u64,
    /// And so many milliseconds.
    pub silence_extra_ms: u64,
    /// How many attempts there may be within 10 s.
    pub attempts_in_10_s: usize,
    /// How many within a minute, three minutes after contact was lost.
    pub attempts_in_60_s_later: usize,
    /// When all faults have ended, contact is back within so many milliseconds.
    pub contact_ms: u64,
}

impl Policy {
    /// How long nothing may answer before it is noticed.
    pub const fn silence_ms(&self, keep_alive_ms: u64) -> u64 {
        keep_alive_ms + keep_alive_ms * self.silence_permille / 1_000 + self.silence_extra_ms
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            silence_permille: 500,
            silence_extra_ms: 500,
            attempts_in_10_s: 48,
            attempts_in_60_s_later: 20,
            contact_ms: 300_000,
        }
    }
}
