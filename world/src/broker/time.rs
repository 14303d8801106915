//! Timers: silence, wills and session expiry.

use super::codec::{Version, Violation, reason};
use super::{Broker, ConnId};
use alloc::string::String;
use alloc::vec::Vec;

impl Broker {
    /// Does what has become due. Every other method that takes the time does so as well.
    pub fn tick(&mut self, now: u64) {
        self.advance(now);
    }

    /// When [`tick`](Self::tick) is next needed. Expired messages need none: they are noticed
    /// when their turn comes.
    pub fn deadline(&self) -> Option<u64> {
        let silence = self.connections.values().filter_map(|c| c.silent_at());
        let sessions = self
            .sessions
            .values()
            .filter(|s| s.connection.is_none())
            .flat_map(|s| [s.expires_at, s.will_at])
            .flatten();
        silence.chain(sessions).min()
    }

    /// Moves the time on, one deadline after the other; gives the time that it is.
    pub(super) fn advance(&mut self, now: u64) -> u64 {
        let now = self.now.max(now);
        if now < self.quiet_until {
            self.now = now;
            return now;
        }
        while let Some(at) = self.deadline().filter(|&at| at <= now) {
            let at = self.now.max(at);
            self.now = at;
            self.fire(at);
        }
        self.now = now;
        self.quiet_until = self.deadline().unwrap_or(u64::MAX);
        now
    }

    /// No later than [`deadline`](Self::deadline), and found without a search.
    pub fn next_look(&self) -> u64 {
        self.quiet_until
    }

    fn fire(&mut self, now: u64) {
        let silent: Vec<(ConnId, Version)> = self
            .connections
            .iter()
            .filter(|(_, c)| c.silent_at().is_some_and(|at| at <= now))
            .map(|(&conn, c)| (conn, c.version))
            .collect();
        for (conn, version) in silent {
            let violation = Violation::new(
                reason::KEEP_ALIVE_TIMEOUT,
                "nothing was heard for one and a half times the keep-alive",
            );
            self.violations.push((conn, version, violation));
            self.fail(conn, violation, now);
        }
        let away: Vec<String> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.connection.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for client_id in away {
            self.end_what_is_due(&client_id, now);
        }
    }
}
