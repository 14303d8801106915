//! Sees what one device does and what comes of it, and says when it is not as it must be.
//!
//! It stands outside of the device: it sees what the device asks of its board, the bytes
//! between it and the broker, and what the broker accepted.

mod commands;
mod connection;
mod messages;
mod readings;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use aldis_protocol::{Lamp, Reading, SensorState};

use crate::frames::Frames;
use crate::invariant::Invariant;
use crate::log::{Log, What};
use crate::policy::Policy;
use commands::{Doing, Ids, Orders, Owed};
use messages::Messages;
use readings::Taken;

pub(crate) use messages::Said;

/// How many readings the device keeps.
pub(crate) const BACKLOG: usize = 512;

/// How many readings are remembered to recognise those that come again.
const REMEMBERED: usize = 1_024;

/// How long a reading may be on its way in calm, in milliseconds.
const ON_ITS_WAY_MS: u64 = 90_000;

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
    /// Messages that devices took in.
    pub messages: u64,
    /// Reports of what became of messages.
    pub reports: u64,
    /// Answers to commands.
    pub answers: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
    /// Starts of devices, but for the first.
    pub restarts: u64,
    /// Those of them that somebody told a device to do.
    pub told_restarts: u64,
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
    /// What the lamp shows, which is not its own state while it calls for a person.
    shines: Lamp,
    /// What was understood and is to be done next.
    executing: VecDeque<Doing>,
    ids: Ids,
    answers: VecDeque<Owed>,
    /// How often it was told to restart since its start.
    told: u32,
    messages: Messages,
    pub sensor_state: Option<SensorState>,
    /// When one of the states changed that the broker is told.
    pub changed_at: u64,

    pub connected: bool,
    /// There is a connection on which CONNACK did not come.
    opened: bool,
    /// The session may be another's than the device's, if the broker has one.
    doubt: bool,
    pub connected_at: u64,
    first_connection: bool,
    /// The broker has a word of this start to itself.
    marked: bool,
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
            shines: Lamp::Off,
            executing: VecDeque::new(),
            ids: Ids::default(),
            answers: VecDeque::new(),
            told: 0,
            messages: Messages::default(),
            sensor_state: None,
            changed_at: 0,
            connected: false,
            opened: false,
            doubt: false,
            connected_at: 0,
            first_connection: true,
            marked: false,
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

    /// The chip starts; nothing of it was run yet.
    pub fn starts(&mut self) {
        self.powered = true;
        self.lit = false;
        self.recalled.clear();
        self.sensor_state = None;
        self.connected = false;
        self.opened = false;
        self.doubt = false;
        self.first_connection = true;
        self.truth = None;
        self.ids_start();
        self.messages_start();
        self.executing.clear();
        self.reacting.clear();
        self.outage_at = self.now;
        self.attempts = 0;
        self.turned_at = self.local;
        self.given_up = 0;
        self.snapshots.clear();
        self.orders_start();
        self.told = 0;
        self.doubt_messages();
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
        self.letters_recalled();
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

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let waiting: usize = self.orders.iter().map(|orders| orders.waiting.len()).sum();
        let known = self.counts.executed + waiting as u64;
        Counts {
            forgotten: self.counts.commands.saturating_sub(known),
            ..self.counts
        }
    }
}
