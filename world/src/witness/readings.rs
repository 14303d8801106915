//! Readings: from the sensor to the recorder, over restarts.

use aldis_device::{Kept, Saved};
use aldis_protocol::Reading;

use super::{ON_ITS_WAY_MS, REMEMBERED, Witness};
use crate::invariant::Invariant;
use crate::log::What;

/// A reading that got its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) seq: u32,
    pub(super) boot: u32,
    pub(super) reading: Reading,
    pub(super) at: u64,
    pub(super) uptime_ms: u64,
    /// When it was given to the session last.
    pub(super) published_at: u64,
    /// The flash did not take it.
    pub(super) volatile: bool,
    pub(super) delivered: bool,
    pub(super) stored: bool,
    /// It will not come, for a reason that was told or is known.
    pub(super) lost: bool,
}

impl Witness {
    /// The sensor gave a good answer.
    pub fn measured(&mut self, reading: Option<Reading>) {
        self.counts.measurements += 1;
        self.said = reading;
    }

    /// The device believes to have read this.
    pub fn believed(&mut self, reading: Reading) {
        if self.said != Some(reading) {
            let detail = format!("{reading:?} was read, the sensor said {:?}", self.said);
            self.violate(Invariant::TrueValues, detail);
        }
        self.truth = Some((reading, self.now));
    }

    /// The flash was to keep a reading, and did; unless power went.
    pub fn kept(&mut self, kept: &Kept, saved: &Saved, done: bool, power: bool) {
        if self.powered && self.lamp_refused && saved.lamp != self.saved_lamp {
            self.maybe_lamp = Some(saved.lamp);
        }
        let Some(reading) = kept.reading.filter(|_| self.powered) else {
            return;
        };
        if !power {
            self.maybe_taken = self.truth.map(|(_, at)| Taken {
                seq: kept.seq,
                boot: kept.boot,
                reading,
                at,
                uptime_ms: kept.uptime_ms,
                published_at: 0,
                volatile: false,
                delivered: false,
                stored: false,
                lost: false,
            });
            return;
        }
        if kept.seq <= self.max_seq && !self.numbers_forgiven {
            let detail = format!("{} is given, and {} was before", kept.seq, self.max_seq);
            self.violate(Invariant::NumbersOnce, detail);
        }
        let at = match self.truth {
            Some((truth, at)) if truth == reading => at,
            _ => {
                let detail = format!("{reading:?} is recorded, the sensor said {:?}", self.truth);
                self.violate(Invariant::TrueValues, detail);
                self.now
            }
        };
        self.numbers_forgiven |= !done;
        self.boot = kept.boot;
        if kept.seq <= self.max_seq {
            // The flash lost the number: what had it before is lost.
            while self.taken.back().is_some_and(|taken| taken.seq >= kept.seq) {
                if let Some(taken) = self.taken.pop_back()
                    && !taken.lost
                    && !(if self.confirm {
                        taken.stored
                    } else {
                        taken.delivered
                    })
                {
                    self.missing -= 1;
                    self.counts.lost_with_power += 1;
                }
            }
            self.first_max = self.first_max.min(kept.seq.saturating_sub(1));
        }
        self.max_seq = kept.seq;
        let again = kept.seq <= self.ever;
        self.ever = self.ever.max(kept.seq);
        self.counts.accepted += 1;
        self.missing += u32::from(!again);
        self.taken.push_back(Taken {
            seq: kept.seq,
            boot: kept.boot,
            reading,
            at,
            uptime_ms: kept.uptime_ms,
            published_at: 0,
            volatile: !done,
            delivered: false,
            stored: false,
            lost: again,
        });
        self.say(What::Kept(kept.seq));
        while self.taken.len() > REMEMBERED
            && let Some(oldest) = self.taken.front()
            && (oldest.lost
                || if self.confirm {
                    oldest.stored
                } else {
                    oldest.delivered
                })
        {
            self.taken.pop_front();
        }
    }

    fn find(&self, seq: u32) -> Option<usize> {
        // Nearly always the newest.
        let last = self.taken.len().checked_sub(1)?;
        if self.taken[last].seq == seq {
            return Some(last);
        }
        self.taken
            .binary_search_by_key(&seq, |taken| taken.seq)
            .ok()
    }

    /// A reading is given to the session.
    pub fn published(&mut self, seq: u32, age_ms: u64) {
        if !self.powered {
            return;
        }
        self.say(What::Published(
            seq,
            u32::try_from(age_ms).unwrap_or(u32::MAX),
        ));
        let Some(at) = self.find(seq) else {
            let detail = format!("reading {seq} was never taken");
            return self.violate(Invariant::TrueValues, detail);
        };
        self.taken[at].published_at = self.now;
        let taken = self.taken[at];
        let right = match taken.boot == self.boot {
            true => age_ms == self.local.saturating_sub(taken.uptime_ms),
            false => age_ms <= bearable(self.now.saturating_sub(taken.at)),
        };
        if !right {
            let true_ms = match taken.boot == self.boot {
                true => self.local.saturating_sub(taken.uptime_ms),
                false => self.now.saturating_sub(taken.at),
            };
            let detail = format!("reading {seq} is {true_ms} ms old, and said to be {age_ms}");
            self.violate(Invariant::TrueAge, detail);
        }
    }

    /// A diag is written.
    pub fn diag_written(&mut self) {
        if self.snapshots.len() == 8 {
            self.snapshots.pop_front();
        }
        self.snapshots
            .push_back((self.local / 1_000, self.max_seq, self.given_up));
    }

    /// A reading came to the broker; `current`: on the device's present connection.
    pub fn arrived(&mut self, seq: u32, age_ms: u64, reading: Reading, current: bool) {
        let Some(at) = self.find(seq) else {
            // Long ago, or never.
            if seq > self.max_seq || self.taken.front().is_none_or(|first| seq > first.seq) {
                let detail = format!("reading {seq} came, and was never taken");
                self.violate(Invariant::TrueValues, detail);
            }
            self.counts.duplicates += 1;
            return;
        };
        let taken = &mut self.taken[at];
        let age = self.now.saturating_sub(taken.at);
        let (expected, again) = (taken.reading, taken.delivered);
        let published_at = taken.published_at;
        // A flash that took nothing did not learn that it was given up.
        let is_back = taken.lost && self.recalled.binary_search(&seq).is_ok();
        if !again {
            taken.delivered = true;
            if !self.confirm && !taken.lost {
                self.missing -= 1;
            }
            taken.lost &= self.confirm;
        }
        if expected != reading {
            let detail = format!("reading {seq} was {expected:?}, and came as {reading:?}");
            self.violate(Invariant::TrueValues, detail);
        }
        if age_ms > bearable(age) {
            let detail = format!("reading {seq} is {age} ms old, and came as {age_ms} ms");
            self.violate(Invariant::TrueAge, detail);
        }
        if current && self.connected && published_at < self.connected_at {
            let detail = format!("reading {seq} came with an age of the connection before");
            self.violate(Invariant::TrueAge, detail);
        }
        if again {
            self.counts.duplicates += 1;
            self.say(What::Again(seq));
            return;
        }
        self.counts.delivered += 1;
        self.say(What::Arrived(seq));
        if seq < self.first_max && !is_back {
            let detail = format!("reading {seq} came after {}", self.first_max);
            self.violate(Invariant::InOrder, detail);
        }
        self.first_max = self.first_max.max(seq);
    }

    /// The recorder has stored a reading.
    pub fn stored(&mut self, seq: u32) {
        if let Some(at) = self.find(seq) {
            let taken = &mut self.taken[at];
            if self.confirm && !taken.stored && !taken.lost {
                self.missing -= 1;
            }
            taken.stored = true;
        }
    }

    /// A diag came to the broker.
    pub fn diag_arrived(&mut self, boot: u32, uptime_s: u64, outbox: u32, dropped: u32) {
        if boot != self.boot {
            return;
        }
        let mut then = self.snapshots.iter().filter(|(at, ..)| *at == uptime_s);
        let Some(&(_, seq, given_up)) = then.clone().next_back() else {
            return;
        };
        if !then.any(|(_, _, given_up)| *given_up == dropped) {
            let detail = format!("{given_up} readings were given up, and {dropped} are counted");
            self.violate(Invariant::NothingLost, detail);
        }
        if self.missing == 0 {
            return;
        }
        let missing = self.waiting().filter(|taken| taken.seq <= seq).count() as u32;
        if missing > outbox {
            let first = self.waiting().next().map_or(0, |taken| taken.seq);
            let detail =
                format!("{missing} readings from {first} to {seq} are missing, {outbox} wait");
            self.violate(Invariant::NothingLost, detail);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Taken> {
        let confirm = self.confirm;
        self.taken.iter().filter(move |taken| {
            !taken.lost
                && !(if confirm {
                    taken.stored
                } else {
                    taken.delivered
                })
        })
    }

    /// It is calm, for long: `stored` also for the recorder.
    pub fn settled(&mut self, stored: bool) {
        let late =
            |taken: &&Taken| !taken.lost && self.now.saturating_sub(taken.at) > ON_ITS_WAY_MS;
        if let Some(taken) = self
            .taken
            .iter()
            .filter(late)
            .find(|taken| !taken.delivered)
        {
            let seq = taken.seq;
            let detail = format!("reading {seq} did not come, and was not given up");
            self.violate(Invariant::NothingLost, detail);
        }
        let unstored = self.taken.iter().filter(late).find(|taken| !taken.stored);
        if stored
            && self.confirm
            && let Some(taken) = unstored
        {
            let seq = taken.seq;
            let detail = format!("reading {seq} was not stored by the recorder");
            self.violate(Invariant::Confirmed, detail);
        }
    }

    /// The device says that the broker has a reading.
    pub fn acknowledged(&mut self, seq: u32) {
        let taken = self.find(seq).and_then(|at| self.taken.get(at));
        if taken.is_some_and(|taken| !taken.delivered) {
            let detail = format!("reading {seq} counts as delivered, and the broker never had it");
            self.violate(Invariant::NothingLost, detail);
        }
    }

    /// The device gives a reading up, and says so.
    pub fn gave_up(&mut self, seq: u32, why: &'static str) {
        self.say(What::GivenUp(seq, why));
        self.given_up += 1;
        self.counts.dropped += 1;
        if let Some(at) = self.find(seq) {
            let confirm = self.confirm;
            let taken = &mut self.taken[at];
            let waits = !(if confirm {
                taken.stored
            } else {
                taken.delivered
            });
            if waits && !taken.lost {
                self.missing -= 1;
            }
            taken.lost = true;
        }
    }

    /// The recorder gave up to wait for what lies before this reading; `calm`: nothing was wrong
    /// while it waited.
    pub fn given_up(&mut self, before: u32, calm: bool) {
        let mut kept_back = None;
        for taken in &mut self.taken {
            if taken.seq < before && !taken.stored {
                taken.stored = true;
                if self.confirm && !taken.lost {
                    self.missing -= 1;
                    kept_back.get_or_insert(taken.seq);
                }
            }
        }
        if calm && let Some(seq) = kept_back {
            let detail = format!("the recorder asked for reading {seq} in vain");
            self.violate(Invariant::Confirmed, detail);
        }
    }

    /// How old the newest reading at the broker is, in milliseconds.
    pub fn newest_ms(&self) -> u64 {
        let newest = self.taken.iter().rev().find(|taken| taken.delivered);
        newest.map_or(u64::MAX, |taken| self.now.saturating_sub(taken.at))
    }
}

/// The most that a reading may be said to be old: clocks are wrong, by little.
fn bearable(age_ms: u64) -> u64 {
    age_ms + age_ms / 25 + 1_000
}
