//! The connection: attempts, packets, and whether a silent broker is noticed.

use aldis_mqtt::Cause;

use super::Witness;
use crate::frames::Frames;
use crate::invariant::Invariant;
use crate::log::What;

/// A connection that ends so soon may have been ended by another client.
const BRIEF_MS: u64 = 11_000;

impl Witness {
    /// A connection is to be opened.
    pub fn attempt(&mut self) {
        self.attempts += 1;
        self.counts.attempts += 1;
        self.say(What::Attempt(self.attempts));
        self.up = Frames::default();
        self.down = Frames::default();
        let now = self.now;
        if self.attempts == 1 {
            // Without an address there is none before.
            self.first_attempt_at = now;
        }
        self.attempt_times.push_back(now);
        while self
            .attempt_times
            .front()
            .is_some_and(|at| now - at > 60_000)
        {
            self.attempt_times.pop_front();
        }
        let age = now - self.first_attempt_at;
        let soon = self
            .attempt_times
            .iter()
            .rev()
            .take_while(|at| now - **at <= 10_000);
        let soon = soon.count();
        let minute = self.attempt_times.len();
        if soon > self.policy.attempts_in_10_s
            || age > 180_000 && minute > self.policy.attempts_in_60_s_later
        {
            let detail = format!(
                "{soon} attempts in 10 s and {minute} in a minute, {} s after the first",
                age / 1_000
            );
            self.violate(Invariant::NoStorm, detail);
        }
    }

    /// How many attempts were made since contact was lost.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    pub fn connected(&mut self, kept: bool, keep_alive_ms: u64) {
        self.connected = true;
        self.connected_at = self.now;
        self.counts.connections += 1;
        self.keep_alive_ms = keep_alive_ms;
        self.answer_at = self.local;
        self.say(What::Connected(kept));
        if !kept {
            self.messages.coming.clear();
        }
        // The broker keeps the session for an hour. One that it calls present after that was begun
        // by an attempt whose answer did not come through.
        let expired = self.now.saturating_sub(self.outage_at) > 3_590_000;
        if std::mem::take(&mut self.doubt) {
            self.doubt_messages();
        }
        let first = std::mem::take(&mut self.first_connection);
        if expired || first && !kept {
            self.forgive();
        }
    }

    /// The connection is open.
    pub fn opened(&mut self) {
        self.say(What::Opened);
        self.opened = true;
    }

    pub fn lost(&mut self, cause: Cause) {
        self.say(What::Lost(cause.into()));
        // As the session sees it: a new one may have been begun, by another client or by an
        // attempt whose answer did not come, and would be called present.
        let brief = self.connected && self.now - self.connected_at <= BRIEF_MS;
        let unheard = std::mem::take(&mut self.opened) && !self.connected;
        self.doubt |= brief || unheard || cause == Cause::TakenOver;
        if self.connected {
            self.connected = false;
            self.outage_at = self.now;
            self.attempts = 0;
        }
    }

    /// The device writes these bytes.
    pub fn writes(&mut self, bytes: &[u8]) {
        if !self.powered {
            return;
        }
        let mut early = None;
        let mut connect = None;
        let reacting = &self.reacting;
        let is_coming = !self.messages.coming.is_empty();
        let mut acknowledged = Vec::new();
        self.up.feed(bytes, |passed| {
            if passed.first != (passed.kind == 1) {
                connect = Some(passed.kind);
            }
            if matches!(passed.kind, 4 | 5) {
                if reacting.contains(&passed.id) {
                    early = Some(passed.id);
                }
                if is_coming {
                    acknowledged.push(passed.id);
                }
            }
        });
        for id in acknowledged {
            self.acknowledges(id);
        }
        if let Some(kind) = self.up.first_kind()
            && kind != 1
        {
            connect = Some(kind);
        }
        if let Some(kind) = connect {
            let detail = match kind {
                1 => "a second CONNECT".to_owned(),
                kind => format!("the connection begins with a packet of type {kind}"),
            };
            self.violate(Invariant::ConnectionsApart, detail);
        }
        if self.up.is_broken() {
            let detail = "what the device writes is no stream of packets".to_owned();
            self.violate(Invariant::ConnectionsApart, detail);
        }
        if let Some(id) = early {
            let detail = format!("message {id} is acknowledged and was not handled");
            self.violate(Invariant::HandledThenAcknowledged, detail);
        }
    }

    /// The device reads these bytes.
    pub fn reads(&mut self, bytes: &[u8]) {
        let mut answered = false;
        self.down.feed(bytes, |passed| {
            answered |= passed.kind != 3 && passed.kind != 6
        });
        if answered {
            self.answer_at = self.local;
        }
    }

    /// A message is with the application.
    pub fn reacts(&mut self, id: u16) {
        self.reacting.push(id);
    }

    /// What was with the application is handled.
    pub fn reacted(&mut self) {
        let packets = std::mem::take(&mut self.reacting);
        self.passed_over(&packets);
    }

    /// A turn of the loop is over.
    #[inline]
    pub fn turned(&mut self, connected: bool) {
        let late = self.local.saturating_sub(self.turned_at);
        self.turned_at = self.local;
        if connected && self.connected && self.keep_alive_ms > 0 {
            let silent = self.local.saturating_sub(self.answer_at);
            if silent > self.policy.silence_ms(self.keep_alive_ms) + late {
                let detail = format!(
                    "no answer since {silent} ms, with a keep-alive of {} ms",
                    self.keep_alive_ms
                );
                self.violate(Invariant::DeadPeerNoticed, detail);
            }
        }
    }
}
