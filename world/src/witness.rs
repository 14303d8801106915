//! Sees what one device does and what comes of it, and says when it is not as it must be.
//!
//! It stands outside of the device: it sees what the device asks of its board, the bytes
//! between it and the broker, and what the broker accepted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use aldis_device::{Kept, Saved};
use aldis_protocol::{Lamp, LampCommand, Reading, SensorState};

use crate::frames::Frames;
use crate::invariant::Invariant;
use crate::log::{Log, What, Why};
use crate::policy::Policy;

/// How many readings the device keeps.
pub(crate) const BACKLOG: usize = 512;

/// How many readings are remembered to recognise those that come again.
const REMEMBERED: usize = 1_024;

/// How long a reading may be on its way in calm, in milliseconds.
const ON_ITS_WAY_MS: u64 = 90_000;

/// A reading that got its number.
#[derive(Clone, Copy, Debug)]
struct Taken {
    seq: u32,
    boot: u32,
    reading: Reading,
    at: u64,
    uptime_ms: u64,
    /// When it was given to the session last.
    published_at: u64,
    /// The flash did not take it.
    volatile: bool,
    delivered: bool,
    stored: bool,
    /// It will not come, for a reason that was told or is known.
    lost: bool,
}

/// A command that the broker holds for the device.
#[derive(Clone, Copy, Debug)]
struct Order {
    word: LampCommand,
    at: u64,
    /// The broker lost it, or the device forgot its session: it may not come.
    forgiven: bool,
}

/// The commands of one topic that the broker holds or held, and how far they may have come.
/// Where some are forgiven, which of two alike was executed cannot be seen: then both are
/// followed.
#[derive(Clone, Debug)]
struct Orders {
    waiting: VecDeque<Order>,
    /// How many of those waiting may have been done or lost, each possible number.
    done: Vec<usize>,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            done: vec![0],
        }
    }
}

impl Orders {
    /// A command was executed. Says whether it was one that could be next.
    fn executed(&mut self, word: LampCommand) -> bool {
        let mut next = Vec::new();
        for &from in &self.done {
            for (at, order) in self.waiting.iter().enumerate().skip(from) {
                if order.word == word {
                    next.push(at + 1);
                }
                if !order.forgiven {
                    break;
                }
            }
        }
        if next.is_empty() {
            return false;
        }
        self.done = next;
        self.trim();
        true
    }

    /// Whether everything that is late was executed, or may be lost.
    fn settle(&mut self, late: impl Fn(&Order) -> bool) -> bool {
        let mut next = Vec::new();
        for &from in &self.done {
            let mut at = from;
            while self
                .waiting
                .get(at)
                .is_some_and(|order| late(order) && order.forgiven)
            {
                at += 1;
            }
            if self.waiting.get(at).is_none_or(|order| !late(order)) {
                next.push(at);
            }
        }
        let settled = !next.is_empty();
        if settled {
            self.done = next;
            self.trim();
        }
        settled
    }

    fn trim(&mut self) {
        self.done.sort_unstable();
        self.done.dedup();
        let first = self.done.first().copied().unwrap_or(0);
        self.waiting.drain(..first);
        for done in &mut self.done {
            *done -= first;
        }
    }
}

/// On which of its two topics for commands a device was told something.
pub(crate) type Channel = usize;

/// The topic of the device's own commands.
pub(crate) const OWN: Channel = 0;
/// The topic of commands for all.
pub(crate) const ALL: Channel = 1;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Readings that got a number.
    pub accepted: u64,
    /// Readings that came to the broker.
    pub delivered: u64,
    /// Readings that came more than once, each time counted.
    pub duplicates: u64,
    /// Readings that the device reported as dropped.
    pub dropped: u64,
    /// Readings that were lost with the power, where the flash had not taken them.
    pub lost_with_power: u64,
    /// Publications of any kind that the broker accepted.
    pub publications: u64,
    /// Commands that the broker held for a device.
    pub commands: u64,
    /// Commands that were executed.
    pub executed: u64,
    /// Commands that the broker, or a restart of the device, forgot.
    pub forgotten: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
    /// Starts of devices, but for the first.
    pub restarts: u64,
    /// Measurements.
    pub measurements: u64,
    /// Turns of devices' loops.
    pub turns: u64,
}

pub(crate) struct Witness {
    pub device: u32,
    pub log: Rc<RefCell<Log>>,
    pub now: u64,
    pub local: u64,
    /// What the chip does counts: there is power.
    pub powered: bool,
    pub counts: Counts,
    confirm: bool,
    policy: Policy,

    taken: VecDeque<Taken>,
    missing: u32,
    max_seq: u32,
    /// The highest number that was ever given. Where a flash that refused lets numbers come
    /// again, a recorder takes what has them for what it has already.
    ever: u32,
    first_max: u32,
    boot: u32,
    /// What the sensor said last, and what of it the device has heard, and when.
    said: Option<Reading>,
    truth: Option<(Reading, u64)>,
    /// Numbers may come again: the flash refused them.
    numbers_forgiven: bool,
    recalled: Vec<u32>,
    /// Power went while this was written: it may be in the flash.
    maybe_taken: Option<Taken>,
    /// How many readings the device gave up since its start.
    given_up: u32,
    /// What was true when diags were written, by uptime: the last number, and how many were
    /// given up.
    snapshots: VecDeque<(u64, u32, u32)>,

    orders: [Orders; 2],
    pub lamp: Lamp,
    saved_lamp: Lamp,
    /// This may be in the flash: power went while it was written, or it is written now and then
    /// since it was refused.
    maybe_lamp: Option<Lamp>,
    /// The flash refused the lamp's state when it was asked last.
    lamp_refused: bool,
    lit: bool,
    /// What was understood and is to be done next.
    executing: VecDeque<(Channel, LampCommand)>,
    pub sensor_state: Option<SensorState>,
    /// When one of the states changed that the broker is told.
    pub changed_at: u64,

    pub connected: bool,
    pub connected_at: u64,
    first_connection: bool,
    keep_alive_ms: u64,
    answer_at: u64,
    turned_at: u64,
    up: Frames,
    down: Frames,
    /// Messages that are with the device, not yet handled.
    reacting: Vec<u16>,
    /// Since when there is no connection, and the attempts since.
    outage_at: u64,
    attempts: u32,
    first_attempt_at: u64,
    attempt_times: VecDeque<u64>,
}

impl Witness {
    pub fn new(device: u32, confirm: bool, policy: Policy, log: Rc<RefCell<Log>>) -> Self {
        Self {
            device,
            log,
            now: 0,
            local: 0,
            powered: false,
            counts: Counts::default(),
            confirm,
            policy,
            taken: VecDeque::new(),
            missing: 0,
            max_seq: 0,
            ever: 0,
            first_max: 0,
            boot: 0,
            said: None,
            truth: None,
            numbers_forgiven: false,
            recalled: Vec::new(),
            maybe_taken: None,
            given_up: 0,
            snapshots: VecDeque::new(),
            orders: [Orders::default(), Orders::default()],
            lamp: Lamp::Off,
            saved_lamp: Lamp::Off,
            maybe_lamp: None,
            lamp_refused: false,
            lit: false,
            executing: VecDeque::new(),
            sensor_state: None,
            changed_at: 0,
            connected: false,
            connected_at: 0,
            first_connection: true,
            keep_alive_ms: 15_000,
            answer_at: 0,
            turned_at: 0,
            up: Frames::default(),
            down: Frames::default(),
            reacting: Vec::new(),
            outage_at: 0,
            attempts: 0,
            first_attempt_at: 0,
            attempt_times: VecDeque::new(),
        }
    }

    pub fn say(&self, what: What) {
        self.log.borrow_mut().push(Some(self.device), what);
    }

    #[cold]
    pub fn violate(&self, invariant: Invariant, detail: String) {
        self.log
            .borrow_mut()
            .violate(invariant, Some(self.device), detail);
    }

    // The start of a life.

    /// The chip starts; nothing of it was run yet.
    pub fn starts(&mut self) {
        self.powered = true;
        self.lit = false;
        self.recalled.clear();
        self.sensor_state = None;
        self.connected = false;
        self.first_connection = true;
        self.truth = None;
        self.executing.clear();
        self.reacting.clear();
        self.outage_at = self.now;
        self.attempts = 0;
        self.turned_at = self.local;
        self.given_up = 0;
        self.snapshots.clear();
        // A device that starts begins a new session.
        self.forgive();
    }

    pub fn recalled(&mut self, seq: u32) {
        self.recalled.push(seq);
        if let Some(taken) = self.maybe_taken.take_if(|taken| taken.seq == seq)
            && seq > self.max_seq
        {
            self.max_seq = seq;
            self.counts.accepted += 1;
            self.missing += 1;
            self.taken.push_back(taken);
        }
    }

    /// The device was made, and has what it remembers; its radio starts.
    pub fn radio_starts(&mut self) {
        if !self.lit {
            let detail = "the radio starts, and the lamp was not set".to_owned();
            self.violate(Invariant::LampRestored, detail);
        }
        self.maybe_taken = None;
        let newest = self.taken.iter().rev().find(|taken| !taken.volatile);
        let newest = newest.map_or(0, |taken| taken.seq);
        let oldest = newest.saturating_sub(BACKLOG as u32);
        let mut lost = None;
        let mut gone = 0;
        for taken in &mut self.taken {
            let waits = match self.confirm {
                true => !taken.stored,
                false => !taken.delivered,
            };
            if !waits || taken.lost || self.recalled.binary_search(&taken.seq).is_ok() {
                continue;
            }
            if taken.volatile || taken.seq <= oldest {
                taken.lost = true;
                gone += 1;
            } else if lost.is_none() {
                lost = Some(taken.seq);
            }
        }
        self.missing -= gone;
        self.counts.lost_with_power += u64::from(gone);
        if let Some(seq) = lost {
            let detail = format!(
                "reading {seq} was neither delivered nor kept over the restart, of {newest} in \
                 the flash"
            );
            self.violate(Invariant::NothingLost, detail);
        }
    }

    // What the device asks of its board.

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

    pub fn light(&mut self, lamp: Lamp) {
        if !self.powered {
            return;
        }
        if !self.lit {
            self.lit = true;
            if lamp != self.saved_lamp && self.maybe_lamp != Some(lamp) {
                let detail = format!("the lamp was {}, and is {lamp}", self.saved_lamp);
                self.violate(Invariant::LampRestored, detail);
            }
            self.maybe_lamp = None;
            self.saved_lamp = lamp;
            self.lamp = lamp;
            return;
        }
        let expected = self
            .executing
            .front()
            .map(|(_, word)| word.apply(self.lamp));
        if expected != Some(lamp) {
            let detail = match self.executing.front() {
                Some((_, word)) => format!("{word} made the lamp {lamp}, it was {}", self.lamp),
                None => format!("the lamp became {lamp} without a command"),
            };
            self.violate(Invariant::LampObeys, detail);
        }
        self.lamp = lamp;
    }

    /// The flash was to keep this, and did; unless power went.
    pub fn saved(&mut self, saved: &Saved, kept: bool, power: bool) {
        if !self.powered {
            return;
        }
        self.boot = saved.boot;
        if !power {
            self.maybe_lamp = Some(saved.lamp);
        } else {
            self.lamp_refused = !kept;
            if kept {
                self.saved_lamp = saved.lamp;
            }
        }
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

    // What comes to the broker.

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
        if seq < self.first_max {
            let detail = format!("reading {seq} came after {}", self.first_max);
            self.violate(Invariant::InOrder, detail);
        }
        self.first_max = seq;
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

    // Commands.

    /// The broker holds a command for the device.
    pub fn ordered(&mut self, channel: Channel, word: LampCommand) {
        self.counts.commands += 1;
        self.orders[channel].waiting.push_back(Order {
            word,
            at: self.now,
            forgiven: false,
        });
    }

    /// The broker had no room for the newest command.
    pub fn no_room(&mut self, channel: Channel) {
        self.orders[channel].waiting.pop_back();
        self.counts.commands -= 1;
    }

    /// What the broker held may be lost.
    pub fn forgive(&mut self) {
        for order in self
            .orders
            .iter_mut()
            .flat_map(|orders| &mut orders.waiting)
        {
            order.forgiven = true;
        }
    }

    /// The device understood a command.
    pub fn understood(&mut self, channel: Channel, word: LampCommand) {
        self.executing.push_back((channel, word));
    }

    /// It executed that, and the lamp is so.
    pub fn executed(&mut self, lamp: Lamp) {
        if !self.powered {
            return;
        }
        let Some((channel, word)) = self.executing.pop_front() else {
            return;
        };
        self.counts.executed += 1;
        self.changed_at = self.now;
        self.say(What::Executed(word, lamp));
        if self.orders[channel].executed(word) {
            return;
        }
        let (invariant, detail) = match self.orders[channel].waiting.front() {
            Some(order) => (
                Invariant::InOrder,
                format!("{word} was executed before {}", order.word),
            ),
            None if self.counts.commands == 0 => (
                Invariant::RetainedIgnored,
                format!("{word} was executed, and nobody gave it now"),
            ),
            None => (
                Invariant::ExactlyOnce,
                format!("{word} was executed, and was not to be"),
            ),
        };
        self.violate(invariant, detail);
    }

    /// It is calm: every command must have come that was not given just now.
    pub fn orders_settled(&mut self) {
        for channel in [OWN, ALL] {
            let now = self.now;
            let late = |order: &Order| now.saturating_sub(order.at) > 60_000;
            if !self.orders[channel].settle(late)
                && let Some(order) = self.orders[channel].waiting.iter().find(|o| !o.forgiven)
            {
                let detail = format!(
                    "{} was not executed, which the broker holds since {} ms",
                    order.word,
                    now - order.at
                );
                self.violate(Invariant::ExactlyOnce, detail);
            }
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let waiting: usize = self.orders.iter().map(|orders| orders.waiting.len()).sum();
        let known = self.counts.executed + waiting as u64;
        Counts {
            forgotten: self.counts.commands.saturating_sub(known),
            ..self.counts
        }
    }

    // The connection.

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
        // The broker keeps the session for an hour. One that it calls present after that was begun
        // by an attempt whose answer did not come through.
        let expired = self.now.saturating_sub(self.outage_at) > 3_590_000;
        if self.first_connection || expired {
            self.first_connection = false;
            self.forgive();
        }
    }

    pub fn lost(&mut self, why: Why) {
        self.say(What::Lost(why));
        if self.connected {
            self.connected = false;
            self.outage_at = self.now;
            self.attempts = 0;
        }
    }

    /// The device writes these bytes.
    pub fn writes(&mut self, bytes: &[u8]) {
        let mut early = None;
        let mut connect = None;
        let reacting = &self.reacting;
        self.up.feed(bytes, |passed| {
            if passed.first != (passed.kind == 1) {
                connect = Some(passed.kind);
            }
            if matches!(passed.kind, 4 | 5) && reacting.contains(&passed.id) {
                early = Some(passed.id);
            }
        });
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
        self.reacting.clear();
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

/// The most that a reading may be said to be old: clocks are wrong, by little.
fn bearable(age_ms: u64) -> u64 {
    age_ms + age_ms / 25 + 1_000
}
