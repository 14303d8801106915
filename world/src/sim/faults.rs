//! Faults: when they come, what they do, how they end.

use aldis_protocol::LampCommand;

use crate::broker::codec::{PacketType, Version, reason};
use crate::broker::{Hang, Keep, Versions};
use crate::fault::{FaultKind, Scope};
use crate::flash::Cut;
use crate::invariant::Invariant;
use crate::log::What;
use crate::plan::Script;
use crate::rng::Rng;
use crate::sensor::Mode;

use super::tcp::Gone;
use super::{Ev, World};

/// Faults that are there.
#[derive(Clone, Debug)]
pub(super) struct Active {
    counts: [u8; FaultKind::ALL.len()],
    all: u32,
}

impl Default for Active {
    fn default() -> Self {
        Self {
            counts: [0; FaultKind::ALL.len()],
            all: 0,
        }
    }
}

impl Active {
    #[inline]
    pub fn has(&self, kind: FaultKind) -> bool {
        self.counts[kind.index()] > 0
    }

    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.all == 0
    }

    fn add(&mut self, kind: FaultKind) {
        self.counts[kind.index()] += 1;
        self.all += 1;
    }

    fn remove(&mut self, kind: FaultKind) {
        self.counts[kind.index()] -= 1;
        self.all -= 1;
    }
}

/// A fault that was ordered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    kind: FaultKind,
    node: usize,
    active: bool,
    /// Its place in the picture.
    span: usize,
}

/// Faults that end because the device does something about them.
const fn ends_by_itself(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::RadioDeaf
            | FaultKind::RadioStuck
            | FaultKind::RadioMute
            | FaultKind::TaskHangs
            | FaultKind::FlashCut
    )
}

/// Codes with which brokers refuse clients, and end connections.
const REFUSALS: [u8; 8] = [1, 2, 3, 4, 5, 0x88, 0x89, 0x97];
const ENDINGS: [u8; 6] = [
    reason::SERVER_SHUTTING_DOWN,
    reason::NOT_AUTHORIZED,
    0x89,
    0x97,
    0x98,
    reason::SESSION_TAKEN_OVER,
];

/// How long a fault lasts, in milliseconds: short ones are as likely as long ones.
fn lasts_ms(kind: FaultKind, rng: &mut Rng) -> u64 {
    let (from, to) = kind.lasts_s();
    if to == 1 {
        return 1;
    }
    let (from, to) = (from * 1_000, to * 1_000);
    // Powers of two between the two, and a part.
    let mut bound = from;
    let doublings = (to / from).max(1).ilog2() + 1;
    for _ in 0..rng.below(doublings.into()) {
        bound *= 2;
    }
    (bound + rng.below(bound)).clamp(from, to)
}

impl World {
    /// When the next faults come, of a device or of the broker.
    pub(super) fn plan_episode(&mut self, scope: Option<usize>, least: u64) {
        if self.plan.faults.is_empty() {
            return;
        }
        let mean = match scope {
            Some(_) => self.plan.calm_ms,
            None => self.plan.calm_ms * 2,
        };
        let rng = match scope {
            Some(index) => &mut self.nodes[index].rng,
            None => &mut self.rng,
        };
        let at = self.now + least + rng.wait(mean);
        self.queue.push(at, Ev::Episode(scope));
    }

    /// Faults come: one, two, or a storm.
    pub(super) fn episode(&mut self, scope: Option<usize>) {
        let wanted = match scope {
            Some(_) => Scope::Home,
            None => Scope::Broker,
        };
        let faults = self.plan.faults;
        let kinds: Vec<FaultKind> = faults
            .iter()
            .filter(|kind| kind.scope() == wanted)
            .collect();
        if kinds.is_empty() {
            return;
        }
        let mut rng = match scope {
            Some(index) => self.nodes[index].rng.clone(),
            None => self.rng.clone(),
        };
        let (count, window) = match rng.below(20) {
            0..12 => (1, 1),
            12..17 => (2, rng.of(&[1_000, 30_000, 120_000])),
            _ => (rng.between(3, 12), rng.between(60_000, 1_800_000)),
        };
        let mut last = 0;
        for _ in 0..count {
            let kind = rng.of(&kinds);
            let begins = self.now + rng.below(window);
            let lasts = lasts_ms(kind, &mut rng);
            last = last.max(begins + lasts.min(3_600_000) - self.now);
            self.queue
                .push(begins, Ev::Begin(kind, scope.unwrap_or(0), lasts));
        }
        match scope {
            Some(index) => self.nodes[index].rng = rng,
            None => self.rng = rng,
        }
        let least = last + self.plan.policy.contact_ms + 600_000;
        self.plan_episode(scope, least);
    }

    /// One fault more than the reference hour has; contact must come back after it.
    pub(super) fn inject(&mut self, kind: FaultKind) {
        let mut rng = self.rng.fork(self.steps);
        let (from, _) = kind.lasts_s();
        let lasts = match lasts_ms(kind, &mut rng) {
            1 => 1,
            _ if ends_by_itself(kind) => 7_200_000,
            lasts => lasts.min(600_000).max(from * 1_000),
        };
        self.begin(kind, 0, lasts);
    }

    fn affected(&self, scope: Option<usize>) -> std::ops::Range<usize> {
        match scope {
            Some(index) => index..index + 1,
            None => 0..self.nodes.len(),
        }
    }

    pub(super) fn begin(&mut self, kind: FaultKind, node: usize, lasts: u64) {
        let scope = Self::scope_of(kind, node);
        let off = scope.is_some_and(|index| self.nodes[index].life.is_none());
        let again = match scope {
            Some(index) => self.nodes[index].active.has(kind),
            None => self.active.has(kind),
        };
        // What is off cannot fail; and some things cannot fail twice at once.
        if off || again {
            return;
        }
        let device = scope.map(|index| index as u32);
        self.log.borrow_mut().push(device, What::FaultBegins(kind));
        *self.report.faults.entry(kind).or_default() += 1;
        for index in self.affected(scope) {
            let node = &mut self.nodes[index];
            node.calm_since = u64::MAX;
            node.causes.insert(kind);
        }
        let spans = match scope {
            Some(index) => {
                self.nodes[index].active.add(kind);
                &mut self.nodes[index].lane.faults
            }
            None => {
                self.active.add(kind);
                &mut self.broker_lane
            }
        };
        let span = spans.len();
        spans.push((kind, self.now, u64::MAX));
        self.faults.push(Fault {
            kind,
            node,
            active: true,
            span,
        });
        let fault = self.faults.len() - 1;
        self.queue.push(self.now + lasts, Ev::End(fault));
        match kind.scope() {
            Scope::Home => self.begin_at_home(kind, node),
            Scope::Broker => self.begin_at_broker(kind),
        }
    }

    /// A fault that ends by itself has ended.
    pub(super) fn end_kind(&mut self, kind: FaultKind, node: usize) {
        let found = self
            .faults
            .iter()
            .rposition(|fault| fault.active && fault.kind == kind && fault.node == node);
        if let Some(fault) = found {
            self.finish(fault);
        }
    }

    /// The time of a fault is over.
    pub(super) fn end(&mut self, fault: usize) -> bool {
        let Fault {
            kind, node, active, ..
        } = self.faults[fault];
        if !active {
            return false;
        }
        let alone = self.active.is_quiet() && self.nodes[node].active.all == 1;
        if ends_by_itself(kind) && kind != FaultKind::FlashCut && alone {
            let detail = format!("{kind} for two hours, and nothing was done about it");
            let mut log = self.log.borrow_mut();
            log.violate(Invariant::RadioHelped, Some(node as u32), detail);
            return true;
        }
        match kind.scope() {
            Scope::Home => self.end_at_home(kind, node),
            Scope::Broker => self.end_at_broker(kind),
        }
        if self.faults[fault].active {
            self.finish(fault);
        }
        true
    }

    fn finish(&mut self, fault: usize) {
        let Fault {
            kind, node, span, ..
        } = self.faults[fault];
        self.faults[fault].active = false;
        let scope = Self::scope_of(kind, node);
        let device = scope.map(|index| index as u32);
        self.log.borrow_mut().push(device, What::FaultEnds(kind));
        let spans = match scope {
            Some(index) => {
                self.nodes[index].active.remove(kind);
                &mut self.nodes[index].lane.faults
            }
            None => {
                self.active.remove(kind);
                &mut self.broker_lane
            }
        };
        if let Some(span) = spans.get_mut(span) {
            span.2 = self.now;
        }
        for index in self.affected(scope) {
            self.maybe_calm(index);
        }
    }

    fn begin_at_home(&mut self, kind: FaultKind, index: usize) {
        let now = self.now;
        match kind {
            FaultKind::ApReboot | FaultKind::ApAway => {
                self.nodes[index].wifi.away += 1;
                let epoch = self.nodes[index].wifi.epoch;
                self.queue
                    .push(now + super::radio::BEACON_MS, Ev::Beacon(index, epoch));
                self.show_link(index);
            }
            FaultKind::ApStale => {
                self.nodes[index].wifi.refuses_until = now + 90_000;
                self.leave_network(index, 0);
            }
            FaultKind::ApChannel => {
                self.nodes[index].wifi.moved = true;
                self.leave_network(index, 0);
            }
            FaultKind::RadioDeaf => self.nodes[index].wifi.deaf = true,
            FaultKind::RadioStuck => self.nodes[index].wifi.stuck = true,
            FaultKind::RadioMute => {
                self.nodes[index].wifi.mute = true;
                self.leave_network(index, 0);
            }
            FaultKind::DhcpSlow | FaultKind::DhcpAway => self.leave_network(index, 0),
            FaultKind::DhcpMoves => {
                self.nodes[index].lease += 1;
                if self.nodes[index].env.side.borrow().address.is_some() {
                    self.give_address(index);
                }
            }
            FaultKind::DnsFails | FaultKind::DnsSlow | FaultKind::DnsAway | FaultKind::DnsStale => {
                // A name is asked for when there is no connection.
                self.break_connection(index, true);
            }
            FaultKind::NatExpiry => {}
            FaultKind::NatRestart => {
                for router in &mut self.nodes[index].routers {
                    router.restarts += 1;
                }
            }
            FaultKind::TcpReset => self.break_connection(index, true),
            FaultKind::TcpClose => self.break_connection(index, false),
            FaultKind::HalfOpen => {
                let gone = match self.nodes[index].rng.percent(50) {
                    true => Gone::Silent,
                    false => Gone::Resets,
                };
                self.forget_connection(index, gone);
                self.pump_all();
            }
            FaultKind::Blackhole
            | FaultKind::BlackholeUp
            | FaultKind::BlackholeDown
            | FaultKind::Trickle
            | FaultKind::Fragments
            | FaultKind::SlowPath
            | FaultKind::LossyPath => {}
            FaultKind::StallUp | FaultKind::StallDown => {
                let node = &mut self.nodes[index];
                let after = node.rng.below(120) as usize;
                if let Some(tcp) = &mut node.tcp {
                    match kind {
                        FaultKind::StallUp => tcp.up.stalls_after = Some(after),
                        _ => tcp.down.stalls_after = Some(after),
                    }
                }
            }
            FaultKind::NoRoom => {
                let node = &mut self.nodes[index];
                let window = node.rng.below(300) as usize;
                node.env.side.borrow_mut().socket.window = Some(window);
            }
            FaultKind::SensorAway => self.set_sensor(index, Mode::Away),
            FaultKind::SensorNoisy => self.set_sensor(index, Mode::Noisy),
            FaultKind::SensorStuck => self.set_sensor(index, Mode::Stuck),
            FaultKind::SensorLate => self.set_sensor(index, Mode::Late),
            FaultKind::FlashCut => {
                let node = &mut self.nodes[index];
                let after = node.rng.below(40);
                let cut = match node.rng.below(3) {
                    0 => Cut::Before,
                    1 => Cut::Within(node.rng.bits()),
                    _ => Cut::After,
                };
                node.flash.0.borrow_mut().cut(after, cut);
            }
            FaultKind::FlashWorn => self.nodes[index].flash.0.borrow_mut().refuse(true),
            FaultKind::PowerCut => self.power_off(index, "power cut"),
            FaultKind::Brownout => self.restart(index, "brownout"),
            FaultKind::Panic => self.restart(index, "panic"),
            FaultKind::TaskHangs => {
                let node = &self.nodes[index];
                {
                    let side = &mut *node.env.side.borrow_mut();
                    side.hangs = true;
                    side.hangs_since = now;
                }
                let lives = node.lives;
                self.queue.push(now + 5_000, Ev::Watchdog(index, lives));
            }
            FaultKind::SlowTask => {}
            FaultKind::Drift => {
                let node = &mut self.nodes[index];
                let ppm = node.rng.between(0, 40_000) as i64 - 20_000;
                node.clock.drift(ppm, now);
                self.poke(index);
            }
            FaultKind::CleanStop => {
                let node = &self.nodes[index];
                node.env.side.borrow_mut().stop = true;
                let lives = node.lives;
                self.queue.push(now + 5_500, Ev::Stopped(index, lives));
            }
            FaultKind::ToldToRestart => self.tell_to_restart(index),
            FaultKind::Takeover => {
                self.queue.push(now, Ev::Rival(index));
            }
            FaultKind::Malformed => self.send_garbage(index),
            FaultKind::SessionForgotten => {
                let node = &mut self.nodes[index];
                node.will_lost = true;
                node.env.side.borrow_mut().witness.forgive();
                let id = node.id.clone();
                self.broker.forget(&id);
                self.pump_all();
            }
            _ => {}
        }
        self.show_link(index);
    }

    fn end_at_home(&mut self, kind: FaultKind, index: usize) {
        match kind {
            FaultKind::ApReboot | FaultKind::ApAway => self.nodes[index].wifi.away -= 1,
            FaultKind::ApChannel => self.nodes[index].wifi.moved = false,
            FaultKind::StallUp | FaultKind::StallDown => self.go_on(index),
            FaultKind::NoRoom => {
                self.nodes[index].env.side.borrow_mut().socket.window = None;
                self.poke(index);
            }
            FaultKind::SensorAway
            | FaultKind::SensorNoisy
            | FaultKind::SensorStuck
            | FaultKind::SensorLate => self.set_sensor(index, Mode::Good),
            FaultKind::FlashCut => self.nodes[index].flash.0.borrow_mut().restore(),
            FaultKind::FlashWorn => self.nodes[index].flash.0.borrow_mut().refuse(false),
            FaultKind::PowerCut | FaultKind::CleanStop => {
                if self.nodes[index].life.is_some() {
                    // It was to stop, and did not get to it.
                    self.power_off(index, "stopped, too late");
                }
                self.boot(index, "power");
            }
            FaultKind::Drift => {
                let now = self.now;
                self.nodes[index].clock.drift(0, now);
                self.poke(index);
            }
            FaultKind::Takeover => self.rival_leaves(index),
            FaultKind::RadioDeaf => self.nodes[index].wifi.deaf = false,
            FaultKind::RadioStuck => self.nodes[index].wifi.stuck = false,
            FaultKind::RadioMute => self.nodes[index].wifi.mute = false,
            FaultKind::TaskHangs => self.nodes[index].env.side.borrow_mut().hangs = false,
            _ => {}
        }
        self.show_link(index);
    }

    fn begin_at_broker(&mut self, kind: FaultKind) {
        let now = self.now;
        match kind {
            FaultKind::BrokerRestart | FaultKind::BrokerAway => {
                self.restart_broker(Keep::Everything);
                self.host.up = false;
            }
            FaultKind::BrokerForgets => {
                let keep = self.rng.of(&[Keep::Nothing, Keep::Retained]);
                self.restart_broker(keep);
                self.host.up = false;
            }
            FaultKind::BrokerDark => self.host.dark = true,
            FaultKind::BrokerMoves => {
                self.host.address += 1;
                self.forget_connections(Gone::Silent);
                self.restart_broker(Keep::Everything);
            }
            FaultKind::BrokerDeaf | FaultKind::BrokerSilent | FaultKind::BrokerHangs => {
                self.hang(None);
            }
            FaultKind::BrokerSlow => self.host.slow = true,
            FaultKind::BrokerRefuses => {
                let code = self.rng.of(&REFUSALS);
                self.reload(|config| config.refuse = Some(code));
            }
            FaultKind::BrokerShuts => {
                self.restart_broker(Keep::Everything);
                self.host.shuts = true;
            }
            FaultKind::BrokerKicks => {
                let code = self.rng.of(&ENDINGS);
                for index in 0..self.nodes.len() {
                    let id = self.nodes[index].id.clone();
                    self.broker.kick(&id, code, now);
                }
                self.pump_all();
            }
            FaultKind::QueueFull => self.broker.config_mut().maximum_queued = 3,
            FaultKind::ReceiveMaximum => self.reload(|config| config.receive_maximum = 1),
            FaultKind::SmallPackets => self.reload(|config| {
                config.maximum_packet_size = Some(96);
            }),
            FaultKind::ServerKeepAlive => self.reload(|config| config.server_keep_alive = Some(5)),
            FaultKind::OldBroker => self.reload(|config| {
                config.versions = Versions::Only(Version::V4);
            }),
            FaultKind::Aliases => self.reload(|config| config.assign_topic_aliases = true),
            FaultKind::AcksWithheld => {
                self.broker.withhold(PacketType::PubAck, 0, u32::MAX);
                self.broker.withhold(PacketType::PubRec, 0, u32::MAX);
            }
            FaultKind::SubscribeRefused => {
                self.broker
                    .answer_subscribe_with(Some(reason::NOT_AUTHORIZED));
            }
            FaultKind::RecorderAway => self.recorder_leaves(),
            _ => {}
        }
    }

    fn end_at_broker(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::BrokerRestart | FaultKind::BrokerAway | FaultKind::BrokerForgets => {
                let away = |kind| self.active.counts[FaultKind::index(kind)];
                let others = away(FaultKind::BrokerRestart)
                    + away(FaultKind::BrokerAway)
                    + away(FaultKind::BrokerForgets);
                self.host.up = others <= 1;
            }
            FaultKind::BrokerDark => {
                self.host.dark = false;
                if self.rng.percent(50) {
                    // The machine was off: it knows no connection.
                    self.forget_connections(Gone::Resets);
                    self.restart_broker(Keep::Everything);
                }
            }
            FaultKind::BrokerDeaf | FaultKind::BrokerSilent | FaultKind::BrokerHangs => {
                self.hang(Some(kind));
            }
            FaultKind::BrokerSlow => self.host.slow = false,
            FaultKind::BrokerRefuses => self.reload(|config| config.refuse = None),
            FaultKind::BrokerShuts => self.host.shuts = false,
            FaultKind::QueueFull => self.broker.config_mut().maximum_queued = 1_000,
            FaultKind::ReceiveMaximum => self.reload(|config| config.receive_maximum = 20),
            FaultKind::SmallPackets => self.reload(|config| config.maximum_packet_size = None),
            FaultKind::ServerKeepAlive => self.reload(|config| config.server_keep_alive = None),
            FaultKind::OldBroker => self.reload(|config| config.versions = Versions::Both),
            FaultKind::Aliases => self.reload(|config| config.assign_topic_aliases = false),
            FaultKind::AcksWithheld => self.broker.withhold_nothing(),
            FaultKind::SubscribeRefused => {
                self.broker.answer_subscribe_with(None);
                // A subscription that was refused is tried again on another connection.
                self.restart_broker(Keep::Everything);
            }
            FaultKind::RecorderAway => self.recorder_returns(),
            _ => {}
        }
        self.recorder_looks();
    }

    /// The broker hangs as its faults want, without the one that ends, or goes on.
    fn hang(&mut self, ends: Option<FaultKind>) {
        let has = |kind| self.active.has(kind) && ends != Some(kind);
        let all = has(FaultKind::BrokerHangs);
        let reads = all || has(FaultKind::BrokerDeaf);
        let writes = all || has(FaultKind::BrokerSilent);
        let hang = match (reads, writes) {
            (true, true) => Hang::Both,
            (true, false) => Hang::Reads,
            (false, true) => Hang::Writes,
            (false, false) => Hang::Not,
        };
        self.host.deaf = reads;
        self.host.hangs = hang != Hang::Not;
        self.broker.hang_all(hang, self.now);
        if !reads {
            for index in 0..self.nodes.len() {
                self.go_on(index);
            }
        }
        self.pump_all();
    }

    /// The broker restarts with another configuration.
    fn reload(&mut self, change: impl FnOnce(&mut crate::broker::Config)) {
        change(self.broker.config_mut());
        self.restart_broker(Keep::Everything);
    }

    fn set_sensor(&mut self, index: usize, mode: Mode) {
        self.nodes[index].env.side.borrow_mut().sensor = mode;
    }

    /// Something on the way ends the connection, for both sides.
    fn break_connection(&mut self, index: usize, reset: bool) {
        let node = &mut self.nodes[index];
        let gen_ = node.gen_;
        if node.tcp.is_some() {
            self.queue.push(self.now, Ev::Ended(index, gen_, reset));
        }
        self.forget_connection(index, Gone::Resets);
        self.pump_all();
    }

    /// The broker sends what is no packet, or none that may come.
    fn send_garbage(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(conn) = node.tcp.as_ref().and_then(|tcp| tcp.conn) else {
            return;
        };
        let garbage: [&[u8]; 10] = [
            &[0x00, 0x00],
            &[0xF0, 0x00],
            &[0x20, 0x02, 0x00, 0x00],
            &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01],
            &[0x32, 0x03, 0x00, 0x20, b'a'],
            &[0xD0, 0x01, 0x00],
            &[0x82, 0x03, 0x00, 0x01, 0x00],
            &[0x10, 0x00],
            &[0x90, 0x01, 0x00],
        ];
        let mut bytes = node.rng.of(&garbage).to_vec();
        for _ in 0..node.rng.below(200) {
            bytes.push(node.rng.bits() as u8);
        }
        self.broker.send_raw(conn, &bytes);
        self.pump(index);
    }

    /// The reference hour: boot, connection, readings, commands, messages, outages.
    pub(super) fn scene(&mut self, scene: u32) {
        const MINUTE: u64 = 60_000;
        if !matches!(self.plan.script, Script::Reference(_)) {
            return;
        }
        let (next_at, lasts) = match scene {
            0 => (2 * MINUTE, None),
            7 => (26 * MINUTE, Some((FaultKind::BrokerRestart, 20_000))),
            10 => (38 * MINUTE, Some((FaultKind::BrokerForgets, 5_000))),
            12 => (48 * MINUTE, Some((FaultKind::Blackhole, 40_000))),
            1..16 => (self.now + 3 * MINUTE + 17_345, None),
            _ => return,
        };
        match lasts {
            Some((kind, lasts)) => self.begin(kind, 0, lasts),
            None if scene > 0 => {
                let word = match scene % 3 {
                    0 => LampCommand::On,
                    1 => LampCommand::Toggle,
                    _ => LampCommand::Off,
                };
                self.give_command(0, word);
                if scene % 4 == 1 {
                    self.give_command(0, LampCommand::Toggle);
                }
            }
            None => {}
        }
        self.people_in(scene);
        self.queue
            .push(next_at.max(self.now + MINUTE), Ev::Scene(scene + 1));
    }
}
