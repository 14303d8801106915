//! A device's home: access point and radio, address, names, routers.

use crate::rng::Rng;

/// What the radio is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Radio {
    Off,
    Joining,
    Joined,
    Paused,
}

/// The longest wait between attempts to join, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;

/// How long a connection must hold for the waits to begin anew.
const STABLE_MS: u64 = 10_000;

/// Access point and radio.
#[derive(Clone, Debug)]
pub(crate) struct Wifi {
    pub radio: Radio,
    /// Counts what the radio did, so that what was to follow something else is left out.
    pub epoch: u32,
    wait_ms: u64,
    joined_at: u64,
    /// The access point is there, and on its channel.
    pub away: u32,
    pub moved: bool,
    /// It refuses the device until then.
    pub refuses_until: u64,
    /// Nothing comes through; it takes no frames; it does not answer.
    pub deaf: bool,
    pub stuck: bool,
    pub mute: bool,
    /// A full scan comes after a failed attempt.
    scans: bool,
}

impl Wifi {
    pub fn new() -> Self {
        Self {
            radio: Radio::Off,
            epoch: 0,
            wait_ms: 1_000,
            joined_at: 0,
            away: 0,
            moved: false,
            refuses_until: 0,
            deaf: false,
            stuck: false,
            mute: false,
            scans: false,
        }
    }

    /// Whether frames come through.
    pub fn carries(&self) -> bool {
        self.radio == Radio::Joined && self.away == 0 && !self.deaf && !self.stuck && !self.mute
    }

    /// The radio starts to join; after so many milliseconds it shows what comes of it.
    pub fn join(&mut self, rng: &mut Rng) -> u64 {
        self.radio = Radio::Joining;
        self.epoch += 1;
        match (self.mute, self.scans) {
            (true, _) => 20_000,
            (false, true) => rng.between(2_500, 4_000),
            (false, false) => rng.between(600, 2_000),
        }
    }

    /// What came of joining: whether it is joined.
    pub fn joins(&mut self, now: u64) -> bool {
        let found = self.away == 0 && (!self.moved || self.scans);
        let joined = found && !self.mute && self.refuses_until <= now;
        self.scans = !joined;
        if joined {
            self.radio = Radio::Joined;
            self.joined_at = now;
            self.epoch += 1;
        }
        joined
    }

    /// The radio waits before the next attempt, for so many milliseconds.
    pub fn pause(&mut self, now: u64, rng: &mut Rng) -> u64 {
        if self.radio == Radio::Joined && now - self.joined_at >= STABLE_MS {
            self.wait_ms = 1_000;
        }
        self.radio = Radio::Paused;
        self.epoch += 1;
        let half = self.wait_ms / 2;
        self.wait_ms = (self.wait_ms * 2).min(LONGEST_WAIT_MS);
        half + rng.below(half)
    }

    /// The chip starts: whatever was wrong with the radio is not any more.
    pub fn restart(&mut self) {
        let epoch = self.epoch + 1;
        let (away, moved, refuses_until) = (self.away, self.moved, self.refuses_until);
        *self = Self {
            epoch,
            away,
            moved,
            refuses_until,
            ..Self::new()
        };
    }
}

/// The name server, as the device sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// A question is under way.
    pub asked: bool,
    /// An answer that came when nobody waited for it.
    pub answer: Option<u32>,
}

/// A router that translates addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Router {
    /// How long a connection is remembered without traffic.
    pub expiry_ms: u64,
    /// Counts its restarts.
    pub restarts: u32,
    /// What it does with packets of a connection that it does not know: says so, or nothing.
    pub resets: bool,
}
