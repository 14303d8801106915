//! The one table of everything that waits.

use crate::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The next attempt to connect.
    Reconnect,
    /// A publication expires.
    Expire,
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
    /// DISCONNECT must have been written.
    Close,
}

const COUNT: usize = 9;

/// From here on they end with the connection.
const OF_CONNECTION: usize = Timer::Connect as usize;

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
    /// The present, as the caller told it last.
    now: Instant,
}

impl Timers {
    pub const fn new(now: Instant) -> Self {
        Self {
            deadlines: [Instant::NEVER; COUNT],
            soonest: Instant::NEVER,
            now,
        }
    }

    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The low half of the present, for what is compared with the near past.
    pub const fn low(&self) -> u32 {
        self.now.as_millis() as u32
    }

    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// Lets `timer` fire at `deadline`.
    #[inline(never)]
    pub fn arm(&mut self, timer: Timer, deadline: Instant) {
        if let Some(place) = self.deadlines.get_mut(timer as usize) {
            *place = deadline;
        }
        self.soonest = self.soonest.min(deadline);
    }

    /// Lets `timer` fire so many milliseconds from now.
    #[inline(never)]
    pub fn arm_after(&mut self, timer: Timer, ms: u32) {
        self.arm(timer, self.now.after(ms));
    }

    #[inline]
    pub fn stop(&mut self, timer: Timer) {
        if let Some(place) = self.deadlines.get_mut(timer as usize) {
            *place = Instant::NEVER;
        }
    }

    /// Stops all but those that outlive a connection.
    pub fn stop_connection(&mut self) {
        for deadline in self.deadlines.iter_mut().skip(OF_CONNECTION) {
            *deadline = Instant::NEVER;
        }
    }

    #[inline]
    pub fn is_armed(&self, timer: Timer) -> bool {
        self.deadline(timer) != Instant::NEVER
    }

    pub fn deadline(&self, timer: Timer) -> Instant {
        let place = self.deadlines.get(timer as usize);
        place.copied().unwrap_or(Instant::NEVER)
    }

    /// Whether any deadline may have come.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.soonest <= self.now
    }

    /// Stops the timers whose deadline has come, and says which.
    pub fn take_due(&mut self) -> Due {
        let mut due = 0;
        for (index, deadline) in self.deadlines.iter_mut().enumerate() {
            if *deadline <= self.now {
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
