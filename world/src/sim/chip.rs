//! A device's chip: power, turns of its loop, its watchdog, its orders.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use aldis_device::Order;
use aldis_protocol::ResetReason;

use crate::env::Phase;
use crate::fault::FaultKind;
use crate::invariant::Invariant;
use crate::life::life;
use crate::log::What;

use super::{Ev, TURNS_AT_ONCE, World};

/// How long a watchdog waits to be fed, in milliseconds, after the last look that fed it.
const WATCHDOG_MS: u64 = 20_000;

/// What the reason of a start is called by the device.
fn reset_reason(why: &str) -> ResetReason {
    match why {
        "brownout" => ResetReason::Brownout,
        "panic" => ResetReason::Panic,
        "watchdog" => ResetReason::Watchdog,
        "order" | "told" => ResetReason::Software,
        _ => ResetReason::Power,
    }
}

impl World {
    /// A device gets power, or is reset.
    pub(super) fn boot(&mut self, index: usize, why: &'static str) {
        let node = &mut self.nodes[index];
        node.lives += 1;
        node.boots += 1;
        node.clock.start(self.now);
        node.wifi.restart();
        node.dhcp_epoch += 1;
        node.flash.0.borrow_mut().restore();
        let mut birth = node.birth.clone();
        birth.seed = node.rng.bits();
        birth.why = why;
        {
            let side = &mut *node.env.side.borrow_mut();
            side.socket.clear();
            side.socket.wants_open = false;
            side.socket.wants_close = false;
            side.vitals.reset = Some(reset_reason(why));
            side.vitals.wifi_losses = Some(0);
            side.vitals.dhcp_losses = Some(0);
            side.radio = aldis_device::Radio::default();
            side.hangs = false;
            side.address = None;
            side.orders.clear();
            side.button.clear();
            side.stop = false;
            side.stopped = false;
            side.restarts = false;
            side.witness.now = self.now;
            side.witness.local = 0;
            side.witness.starts();
            if node.boots > 1 {
                side.witness.counts.restarts += 1;
            }
        }
        node.life = Some(Box::pin(life(node.env.clone(), birth, node.flash.clone())));
        node.contact_lost = true;
        node.was_connected = false;
        node.lane.power.push((self.now, u64::MAX));
        self.show_link(index);
        let node = &mut self.nodes[index];
        let wait = node.wifi.join(&mut node.rng);
        let epoch = node.wifi.epoch;
        self.queue.push(self.now + wait, Ev::Radio(index, epoch));
        self.turn(index);
    }

    /// It has no power any more.
    pub(super) fn power_off(&mut self, index: usize, why: &'static str) {
        let node = &mut self.nodes[index];
        if node.life.is_none() && !node.off_why.is_empty() {
            return;
        }
        node.life = None;
        node.lives += 1;
        node.off_why = why;
        node.wake_at = u64::MAX;
        node.env.poked.set(false);
        node.wifi.radio = super::home::Radio::Off;
        node.wifi.epoch += 1;
        node.dhcp_epoch += 1;
        node.names = Default::default();
        {
            let side = &mut *node.env.side.borrow_mut();
            side.witness.now = self.now;
            side.witness.powered = false;
            if side.witness.connected {
                side.witness.connected = false;
                side.witness.say(What::Off(why));
            } else {
                side.witness.say(What::Off(why));
            }
            side.socket.clear();
            side.address = None;
        }
        if let Some(span) = node.lane.power.last_mut() {
            span.1 = span.1.min(self.now);
        }
        // Nobody tells the broker.
        if let Some(tcp) = node.tcp.take()
            && let Some(conn) = tcp.conn
        {
            node.abandoned.push(conn);
        }
        for leaving in node.leaving.drain(..) {
            node.abandoned.push(leaving.conn);
        }
        self.note_contact(index);
        self.show_link(index);
        // Whatever the radio or its task had is gone with the power.
        let wifi = &mut self.nodes[index].wifi;
        wifi.deaf = false;
        wifi.stuck = false;
        wifi.mute = false;
        self.cured(index);
        self.end_kind(FaultKind::TaskHangs, index);
        let node = &mut self.nodes[index];
        let keep_alive_ms = u64::from(node.birth.keep_alive_s) * 1_500;
        let lives = node.lives;
        self.queue
            .push(self.now + keep_alive_ms + 90_000, Ev::Gone(index, lives));
    }

    pub(super) fn power_back(&mut self, index: usize, life: u32) -> bool {
        if self.nodes[index].lives != life || self.nodes[index].life.is_some() {
            return false;
        }
        let why = match self.nodes[index].off_why {
            "brownout" => "brownout",
            "panic" => "panic",
            "watchdog" => "watchdog",
            "order" => "order",
            "told" => "told",
            _ => "power",
        };
        self.boot(index, why);
        true
    }

    /// It restarts at once.
    pub(super) fn restart(&mut self, index: usize, why: &'static str) {
        self.power_off(index, why);
        let life = self.nodes[index].lives;
        self.queue.push(self.now + 300, Ev::Power(index, life));
    }

    /// A clean stop may take no longer.
    pub(super) fn stopped(&mut self, index: usize, life: u32) -> bool {
        let stops = self.nodes[index].lives == life && self.nodes[index].life.is_some();
        if stops {
            self.power_off(index, "stopped, too late");
        }
        stops
    }

    pub(super) fn watchdog(&mut self, index: usize, life: u32) -> bool {
        let node = &self.nodes[index];
        let hangs = node.active.has(FaultKind::TaskHangs);
        if node.lives != life || node.life.is_none() || !hangs {
            return false;
        }
        let since = node.env.side.borrow().hangs_since;
        let bound = u64::from(aldis_device::Supervisor::TURN_MS) + WATCHDOG_MS;
        if self.now - since >= bound + bound / 25 {
            // It was not fed for long enough.
            self.restart(index, "watchdog");
            self.end_kind(FaultKind::TaskHangs, index);
        } else {
            self.queue.push(self.now + 5_000, Ev::Watchdog(index, life));
        }
        true
    }

    pub(super) fn wake(&mut self, index: usize) -> bool {
        if self.nodes[index].wake_at != self.now {
            return false;
        }
        self.turn(index);
        true
    }

    /// Something is there for the device: its loop goes on, soon.
    pub(super) fn poke(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.life.is_none() {
            return;
        }
        if node.active.has(FaultKind::SlowTask) {
            let at = self.now + node.rng.below(2_000);
            if at < node.wake_at {
                node.wake_at = at;
                self.queue.push(at, Ev::Wake(index));
            }
            return;
        }
        self.turn(index);
    }

    /// The network has something for the device.
    pub(super) fn news(&mut self, index: usize) {
        let node = &self.nodes[index];
        node.env.poked.set(!node.active.has(FaultKind::SlowTask));
        self.poke(index);
    }

    /// A turn of the device's loop, and what it asks of the world.
    pub(super) fn turn(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let Some(life) = &mut node.life else { return };
        node.wake_at = u64::MAX;
        if node.turned_at == now {
            node.turns_now += 1;
        } else {
            node.turned_at = now;
            node.turns_now = 0;
        }
        let local = node.clock.local(now);
        node.env.begin(local);
        {
            let witness = &mut node.env.side.borrow_mut().witness;
            witness.now = now;
            witness.local = local;
            witness.counts.turns += 1;
            if node.turns_now > TURNS_AT_ONCE {
                let detail = format!("{TURNS_AT_ONCE} turns at one moment");
                witness.violate(Invariant::NoSpin, detail);
                return;
            }
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(&mut context)));
        let ended = match polled {
            Ok(poll) => poll.is_ready(),
            Err(panic) => {
                node.life = None;
                let spins = node.env.spins.get();
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let mut log = self.log.borrow_mut();
                let invariant = match spins {
                    true => Invariant::NoSpin,
                    false => Invariant::NoPanic,
                };
                log.violate(invariant, Some(index as u32), words.unwrap_or_default());
                return;
            }
        };
        let (off, stopped, restarts, closes, opens, written, orders, connected);
        {
            let side = &mut *node.env.side.borrow_mut();
            off = !side.witness.powered;
            stopped = side.stopped;
            restarts = side.restarts;
            closes = std::mem::take(&mut side.socket.wants_close);
            opens = std::mem::take(&mut side.socket.wants_open);
            written = !side.socket.written.is_empty();
            orders = !side.orders.is_empty();
            connected = side.witness.connected;
        }
        if off {
            self.flash_lost_power(index);
            return;
        }
        if connected != node.was_connected {
            self.note_contact(index);
        }
        if written {
            self.send(index);
        }
        if closes {
            self.hang_up(index);
        }
        if opens {
            self.dial(index);
        }
        if restarts {
            self.obeys_and_restarts(index);
            return;
        }
        if ended || stopped {
            // After a clean stop, what was written still goes out.
            self.hang_up(index);
            self.power_off_kept(index, "stopped");
            return;
        }
        if orders {
            self.obey(index);
        }
        let node = &mut self.nodes[index];
        if node.life.is_none() {
            return;
        }
        let mut at = node.clock.global(node.env.wake.get()).max(now);
        if node.active.has(FaultKind::SlowTask) {
            at += node.rng.below(2_000);
        }
        if at != node.wake_at && at < u64::MAX / 4 {
            node.wake_at = at;
            self.queue.push(at, Ev::Wake(index));
        }
    }

    /// It was stopped: what it wrote last goes out by itself.
    fn power_off_kept(&mut self, index: usize, why: &'static str) {
        let leaving = std::mem::take(&mut self.nodes[index].leaving);
        self.power_off(index, why);
        self.nodes[index].leaving = leaving;
    }

    /// It restarts, as somebody told it to, be it in calm.
    fn obeys_and_restarts(&mut self, index: usize) {
        self.nodes[index].env.side.borrow_mut().witness.restarts();
        self.hang_up(index);
        self.power_off_kept(index, "told");
        let node = &mut self.nodes[index];
        let life = node.lives;
        node.calm_since = u64::MAX;
        node.causes.insert(FaultKind::ToldToRestart);
        self.queue.push(self.now + 300, Ev::Power(index, life));
        self.maybe_calm(index);
    }

    /// Power went within a write to the flash.
    fn flash_lost_power(&mut self, index: usize) {
        self.power_off(index, "power cut at the flash");
        let wait = self.nodes[index].rng.between(1_000, 60_000);
        let life = self.nodes[index].lives;
        self.queue.push(self.now + wait, Ev::Power(index, life));
        self.end_kind(FaultKind::FlashCut, index);
    }

    /// What the supervisor wants done.
    fn obey(&mut self, index: usize) {
        let orders = std::mem::take(&mut self.nodes[index].env.side.borrow_mut().orders);
        for order in orders {
            let words = match order {
                Order::Rejoin => "join again",
                Order::Reinitialise => "start the radio again",
                Order::Reset => "restart the chip",
            };
            self.say(index, What::Order(words));
            let node = &mut self.nodes[index];
            match order {
                Order::Rejoin => {
                    if node.rng.percent(50) {
                        node.wifi.deaf = false;
                    }
                    self.leave_network(index, 200);
                }
                Order::Reinitialise => {
                    node.wifi.deaf = false;
                    node.wifi.mute = false;
                    self.leave_network(index, 1_000);
                }
                Order::Reset => {
                    if !node.wifi.stuck && !node.wifi.mute {
                        let detail = "the radio was not stuck".to_owned();
                        let mut log = self.log.borrow_mut();
                        log.violate(Invariant::ResetOnlyWhenStuck, Some(index as u32), detail);
                        return;
                    }
                    self.restart(index, "order");
                    return;
                }
            }
            self.cured(index);
        }
        self.show_link(index);
    }

    /// Faults of the radio that are cured have ended.
    pub(super) fn cured(&mut self, index: usize) {
        let wifi = &self.nodes[index].wifi;
        let (deaf, stuck, mute) = (wifi.deaf, wifi.stuck, wifi.mute);
        for (kind, lasts) in [
            (FaultKind::RadioDeaf, deaf),
            (FaultKind::RadioStuck, stuck),
            (FaultKind::RadioMute, mute),
        ] {
            if !lasts {
                self.end_kind(kind, index);
            }
        }
    }

    pub(super) fn say(&self, index: usize, what: What) {
        self.log.borrow_mut().push(Some(index as u32), what);
    }

    /// The device's connection was made, or lost.
    pub(super) fn note_contact(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let connected = node.env.side.borrow().witness.connected;
        if connected == node.was_connected {
            return;
        }
        node.was_connected = connected;
        if connected {
            node.will_lost = false;
            node.lane.contact.push((now, u64::MAX));
        } else {
            if let Some(span) = node.lane.contact.last_mut() {
                span.1 = now;
            }
            if !node.contact_lost {
                node.contact_lost = true;
                let cause = self.cause(index);
                self.report.recoveries.entry(cause).or_default().outages += 1;
            }
        }
    }

    /// Whether its connection is open, as the device knows.
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.nodes[index].env.side.borrow().socket.phase == Phase::Open
    }
}
