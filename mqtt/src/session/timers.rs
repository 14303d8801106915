//! The one table of everything that waits.

use crate::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The next attempt to connect.
    Reconnect,
    /// An attempt must have come to CONNACK.
    Connect,
    /// The connection has lasted long enough to be trusted.
    Stable,
    /// The broker is to be asked for an answer.
    Ping,
    /// PINGRESP must have come.
    Answer,
    /// Something must have been written.
    Write,
    /// Every other answer must have come.
    Acknowledge,
    /// A publication expires.
    Expire,
    /// DISCONNECT must have been written.
    Close,
}

const COUNT: usize = 9;

/// Timers whose deadline has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due(u16);

impl Due {
    pub const fn has(self, timer: Timer) -> bool {
        self.0 >> timer as u16 & 1 == 1
    }
}

/// The deadlines, [`Instant::NEVER`] where nothing waits.
#[derive(Debug)]
pub(crate) struct Timers {
    deadlines: [Instant; COUNT],
    /// None is earlier.
    soonest: Instant,
}

impl Timers {
    pub const fn new() -> Self {
        Self {
            deadlines: [Instant::NEVER; COUNT],
            soonest: Instant::NEVER,
        }
    }

    pub fn arm(&mut self, timer: Timer, deadline: Instant) {
        self.deadlines[timer as usize] = deadline;
        if deadline < self.soonest {
            self.soonest = deadline;
        }
    }

    #[inline]
    pub fn stop(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = Instant::NEVER;
    }

    /// Stops all but those that outlive a connection.
    pub fn stop_connection(&mut self) {
        for timer in [
            Timer::Connect,
            Timer::Stable,
            Timer::Ping,
            Timer::Answer,
            Timer::Write,
            Timer::Acknowledge,
            Timer::Close,
        ] {
            self.stop(timer);
        }
    }

    #[inline]
    pub fn is_armed(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize] != Instant::NEVER
    }

    pub fn deadline(&self, timer: Timer) -> Instant {
        self.deadlines[timer as usize]
    }

    /// Whether any deadline may have come.
    #[inline]
    pub fn is_due(&self, now: Instant) -> bool {
        self.soonest <= now
    }

    /// Stops the timers whose deadline has come, and says which.
    pub fn take_due(&mut self, now: Instant) -> Due {
        let mut due = 0;
        for (index, deadline) in self.deadlines.iter_mut().enumerate() {
            if *deadline <= now {
                *deadline = Instant::NEVER;
                due |= 1 << index;
            }
        }
        Due(due)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Instant {
        self.deadlines
            .iter()
            .copied()
            .min()
            .unwrap_or(Instant::NEVER)
    }

    /// To be called when all that is due was handled.
    pub fn settle(&mut self) {
        self.soonest = self.next();
    }
}
