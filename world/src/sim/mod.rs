//! The world: devices, what lies between them and the broker, the broker, and time.

mod calm;
mod chip;
mod faults;
mod home;
mod net;
mod node;
mod outside;
mod people;
mod radio;
mod recorder;
mod tcp;

use std::cell::RefCell;
use std::rc::Rc;

use aldis_protocol::MessageState;

use crate::broker::{BriefLog, Broker, Config};
use crate::fault::{FaultKind, Scope};
use crate::invariant::Violation;
use crate::log::{Entry, Log};
use crate::plan::{Plan, Script};
use crate::queue::Queue;
use crate::report::{Lane, Report, Timeline};
use crate::rng::Rng;

use faults::{Active, Fault};
use node::Node;
use outside::Host;
use people::People;
use recorder::Recorder;

/// How many bins a picture has.
const BINS: u64 = 600;

/// How many turns a device may take at one moment.
const TURNS_AT_ONCE: u32 = 2_000;

/// Something that is to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ev {
    /// A device's loop goes on.
    Wake(usize),
    /// Bytes come through to the broker, or to the device, on the connection of this number.
    Up(usize, u32),
    Down(usize, u32),
    /// A device without power starts, if this is still its so many-th life.
    Power(usize, u32),
    /// A clean stop has taken long enough.
    Stopped(usize, u32),
    /// The radio has done what it did.
    Radio(usize, u32),
    /// The access point was not heard for long enough, or told the device to leave.
    Beacon(usize, u32),
    /// DHCP answers.
    Dhcp(usize, u32),
    /// The name server answers.
    Name(usize),
    /// A SYN comes to the broker's machine, for the how many-th time; its answer to the device.
    Syn(usize, u32, u32),
    SynAck(usize, u32),
    Refused(usize, u32),
    /// The path resets a connection, or closes it.
    Ended(usize, u32, bool),
    /// What is left of closed connections goes through.
    Leaving(usize),
    /// The watchdog looks whether it was fed.
    Watchdog(usize, u32),
    /// Another client of a device's id looks whether it is connected.
    Rival(usize),
    /// Faults come, of one device, or of the broker.
    Episode(Option<usize>),
    /// A fault begins; it ends.
    Begin(FaultKind, usize, u64),
    End(usize),
    /// The recorder looks after itself.
    Recorder,
    /// Somebody gives a command.
    Command,
    /// Somebody has to do with some device.
    People,
    /// One of so many messages in a row; the button's contact closes or opens.
    Message(usize, u32),
    Button(usize, bool),
    /// Somebody reads what is there, of so many messages at most.
    Read(usize, u32),
    /// It is calm since then: contact must be back, everything must be settled.
    Contact(usize, u64),
    Settle(usize, u64),
    /// A device is off since then: the broker must have told it.
    Gone(usize, u32),
    /// What the reference hour has next.
    Scene(u32),
}

/// A world.
pub struct World {
    plan: Plan,
    now: u64,
    queue: Queue<Ev>,
    nodes: Vec<Node>,
    broker: Broker,
    host: Host,
    recorder: Recorder,
    people: People,
    /// Devices for which the broker has something of other devices.
    receivers: Vec<usize>,
    log: Rc<RefCell<Log>>,
    rng: Rng,
    faults: Vec<Fault>,
    active: Active,
    brief: BriefLog,
    scratch: Vec<u8>,
    steps: u64,
    report: Report,
    broker_lane: Vec<(FaultKind, u64, u64)>,
    injected: bool,
    /// What the broker takes comes on a device's present connection.
    current: bool,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("plan", &self.plan)
            .field("now", &self.now)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world as planned, at its beginning: every device gets power.
    pub fn new(plan: Plan) -> Self {
        let rng = Rng::new(plan.seed);
        let log = Rc::new(RefCell::new(Log::new(plan.keep_log)));
        let mut broker = Broker::new(Config {
            receive_maximum: 20,
            maximum_queued: 1_000,
            inflight_limit: 20,
            ..Config::default()
        });
        broker.log_briefly();
        let nodes = (0..plan.devices as usize)
            .map(|index| Node::new(index, &plan, &rng, &log))
            .collect();
        let mut world = Self {
            now: 0,
            queue: Queue::new(),
            nodes,
            broker,
            host: Host::new(plan.connections_a_second),
            recorder: Recorder::new(plan.devices as usize),
            receivers: Vec::new(),
            people: People::new(rng.fork(3), plan.devices as usize),
            log,
            rng,
            faults: Vec::new(),
            active: Active::default(),
            brief: BriefLog::default(),
            scratch: Vec::new(),
            steps: 0,
            report: Report {
                devices: plan.devices,
                ..Report::default()
            },
            broker_lane: Vec::new(),
            injected: false,
            current: false,
            plan,
        };
        world.keep_ghosts();
        world.recorder_looks();
        world.queue.push(10_000, Ev::Recorder);
        for index in 0..world.nodes.len() {
            world.boot(index, "power");
            let at = world.plan.policy.contact_ms;
            world.queue.push(at, Ev::Contact(index, 0));
        }
        match world.plan.script {
            Script::Random => {
                for index in 0..world.nodes.len() {
                    world.plan_episode(Some(index), 600_000);
                }
                world.plan_episode(None, 900_000);
                world.queue.push(60_000, Ev::Command);
                world.queue.push(90_000, Ev::People);
            }
            Script::Reference(_) => world.queue.push(0, Ev::Scene(0)),
            Script::Manual => {}
        }
        world
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The time, in milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// How many events were dispatched.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What did not hold, if anything did not.
    pub fn violation(&self) -> Option<Violation> {
        self.log.borrow().violation.clone()
    }

    /// Whether everything held so far.
    pub fn holds(&self) -> bool {
        self.log.borrow().violation.is_none()
    }

    /// Whether the fault that the reference hour was to have has begun.
    pub fn is_injected(&self) -> bool {
        self.injected
    }

    /// How often a calm device was found to have everything accounted for.
    pub fn settled(&self) -> u64 {
        self.report.settled
    }

    /// The last events.
    pub fn last_events(&self) -> Vec<Entry> {
        self.log.borrow().last_events()
    }

    /// Everything that happened since this was called last, if the plan wants it kept.
    pub fn take_log(&mut self) -> Vec<Entry> {
        let mut log = self.log.borrow_mut();
        log.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Lets the next thing happen, unless it is later than `until`. Says whether it was not.
    pub fn step(&mut self, until: u64) -> bool {
        if let Script::Reference(Some(injection)) = self.plan.script
            && injection.step == self.steps
            && !self.injected
        {
            self.injected = true;
            self.steps += 1;
            self.inject(injection.kind);
            return true;
        }
        let at = self.queue.next_at();
        let tick = self.broker.next_look();
        if tick < at && tick <= until {
            self.set_now(tick.max(self.now));
            self.broker.tick(self.now);
            self.pump_all();
            self.steps += 1;
            return true;
        }
        if at > until {
            return false;
        }
        let Some((at, event)) = self.queue.pop() else {
            return false;
        };
        self.set_now(at);
        if self.dispatch(event) {
            self.steps += 1;
        }
        true
    }

    fn set_now(&mut self, now: u64) {
        debug_assert!(now >= self.now, "time does not run backwards");
        if now != self.now {
            self.now = now;
            self.log.borrow_mut().now = now;
        }
    }

    /// Does what is to happen; says whether there was anything.
    fn dispatch(&mut self, event: Ev) -> bool {
        match event {
            Ev::Wake(node) => return self.wake(node),
            Ev::Up(node, gen_) => return self.arrive_up(node, gen_),
            Ev::Down(node, gen_) => return self.arrive_down(node, gen_),
            Ev::Power(node, life) => return self.power_back(node, life),
            Ev::Stopped(node, life) => return self.stopped(node, life),
            Ev::Radio(node, epoch) => return self.radio(node, epoch),
            Ev::Beacon(node, epoch) => return self.beacon(node, epoch),
            Ev::Dhcp(node, epoch) => return self.dhcp(node, epoch),
            Ev::Name(node) => return self.name(node),
            Ev::Syn(node, gen_, tries) => return self.syn(node, gen_, tries),
            Ev::SynAck(node, gen_) => return self.syn_ack(node, gen_),
            Ev::Refused(node, gen_) => return self.refused(node, gen_),
            Ev::Ended(node, gen_, reset) => return self.ended(node, gen_, reset),
            Ev::Leaving(node) => return self.leaving(node),
            Ev::Watchdog(node, life) => return self.watchdog(node, life),
            Ev::Rival(node) => return self.rival(node),
            Ev::Episode(scope) => self.episode(scope),
            Ev::Begin(kind, node, lasts) => self.begin(kind, node, lasts),
            Ev::End(fault) => return self.end(fault),
            Ev::Recorder => {
                self.recorder_looks();
                self.confirm();
                self.queue.push(self.now + 10_000, Ev::Recorder);
            }
            Ev::Command => {
                self.command_by_chance();
                let mean = 900_000 / self.nodes.len().max(1) as u64;
                let wait = self.rng.wait(mean).max(1_000);
                self.queue.push(self.now + wait, Ev::Command);
            }
            Ev::People => {
                self.people_act();
                let mean = self.plan.people_ms / self.nodes.len().max(1) as u64;
                let wait = self.people.wait(mean);
                self.queue.push(self.now + wait, Ev::People);
            }
            Ev::Message(node, left) => self.message_follows(node, left),
            Ev::Read(node, left) => return self.read(node, left),
            Ev::Button(node, pressed) => return self.button(node, pressed),
            Ev::Contact(node, stamp) => return self.check_contact(node, stamp),
            Ev::Settle(node, stamp) => return self.check_settled(node, stamp),
            Ev::Gone(node, life) => return self.check_gone(node, life),
            Ev::Scene(scene) => self.scene(scene),
        }
        true
    }

    /// Runs until then, or until something does not hold.
    pub fn run_until(&mut self, until: u64) -> bool {
        while self.holds() && self.step(until) {}
        let holds = self.holds();
        if holds {
            self.set_now(until.max(self.now));
        }
        holds
    }

    /// Runs as planned; `look` is called now and then, and stops it by saying `false`.
    pub fn run(&mut self, mut look: impl FnMut(&mut Self) -> bool) -> Report {
        let end = match self.plan.script {
            Script::Manual => self.now,
            _ => self.plan.duration_ms,
        };
        let mut count = 0_u32;
        loop {
            if !self.holds() || !self.step(end) {
                break;
            }
            count += 1;
            if count.is_multiple_of(1 << 12) && !look(self) {
                return self.report();
            }
        }
        if self.holds() {
            self.set_now(end.max(self.now));
        }
        look(self);
        self.report()
    }

    /// What it came to so far.
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.virtual_ms = self.now;
        report.steps = self.steps;
        for node in &self.nodes {
            report.counts.add(&node.env.side.borrow().witness.counts());
        }
        let log = self.log.borrow();
        report.violation.clone_from(&log.violation);
        report.hash = log.hash();
        report
    }

    /// What contact was like so far.
    pub fn timeline(&self) -> Timeline {
        let now = self.now;
        let open = |spans: &[(u64, u64)]| -> Vec<(u64, u64)> {
            spans
                .iter()
                .map(|&(from, to)| (from, to.min(now)))
                .collect()
        };
        let faults = |spans: &[(FaultKind, u64, u64)]| -> Vec<(FaultKind, u64, u64)> {
            spans
                .iter()
                .map(|&(kind, from, to)| (kind, from, to.min(now)))
                .collect()
        };
        Timeline {
            devices: self
                .nodes
                .iter()
                .map(|node| Lane {
                    contact: open(&node.lane.contact),
                    power: open(&node.lane.power),
                    faults: faults(&node.lane.faults),
                    deliveries: node.lane.deliveries.clone(),
                })
                .collect(),
            broker: faults(&self.broker_lane),
            duration_ms: now,
            bin_ms: self.bin_ms(),
        }
    }

    fn bin_ms(&self) -> u64 {
        match self.plan.duration_ms {
            u64::MAX => 60_000,
            duration => (duration / BINS).max(1),
        }
    }

    /// A fault begins now, for so many milliseconds; at this device, or at the broker.
    pub fn inflict(&mut self, kind: FaultKind, device: usize, lasts_ms: u64) {
        self.begin(kind, device, lasts_ms);
    }

    /// Somebody gives a device a command, at QoS 2. Says whether the broker holds it for the
    /// device.
    pub fn command(&mut self, device: usize, word: aldis_protocol::LampCommand) -> bool {
        self.give_command(device, word)
    }

    /// Somebody sends a device a message, at QoS 2. Says whether the broker holds it for the
    /// device.
    pub fn message(&mut self, device: usize, from: Option<&str>, text: &str) -> bool {
        self.send_message(device, from, text)
    }

    /// A person presses a device's button for so long.
    pub fn press(&mut self, device: usize, ms: u64) {
        self.queue.push(self.now, Ev::Button(device, true));
        self.queue.push(self.now + ms, Ev::Button(device, false));
    }

    /// The messages that a device has: from whom, what they say, and what was told of each last.
    pub fn letters(&self, device: usize) -> Vec<(String, String, Option<MessageState>)> {
        let node = self.nodes.get(device);
        node.map(|node| node.env.side.borrow().witness.letters())
            .unwrap_or_default()
    }

    /// Whether the broker has accepted a device's connection, as the device knows.
    pub fn is_connected(&self, device: usize) -> bool {
        let node = self.nodes.get(device);
        node.is_some_and(|node| node.env.side.borrow().witness.connected)
    }

    /// How many attempts a device made since it lost contact.
    pub fn attempts(&self, device: usize) -> u32 {
        let node = self.nodes.get(device);
        node.map_or(0, |node| node.env.side.borrow().witness.attempts())
    }

    /// How many readings wait in a device.
    pub fn backlog(&self, device: usize) -> usize {
        let node = self.nodes.get(device);
        node.map_or(0, |node| node.env.side.borrow().backlog)
    }

    /// When the broker accepted a device's last publication.
    pub fn last_heard(&self, device: usize) -> u64 {
        self.nodes.get(device).map_or(0, |node| node.heard_at)
    }

    /// When there was contact last, if it was lost since; and when it was back.
    pub fn counts(&self, device: usize) -> crate::witness::Counts {
        let node = self.nodes.get(device);
        node.map(|node| node.env.side.borrow().witness.counts())
            .unwrap_or_default()
    }

    fn scope_of(kind: FaultKind, node: usize) -> Option<usize> {
        match kind.scope() {
            Scope::Home => Some(node),
            Scope::Broker => None,
        }
    }
}
