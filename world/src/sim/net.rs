//! Connections: opened, carried, broken.

use crate::env::{End, Phase, SEND_ROOM};
use crate::fault::FaultKind;
use crate::log::What;
use crate::queue::Queue;

use super::tcp::{Flow, Gone, Leaving, Tcp};
use super::{Ev, World};

/// What a packet meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Passes,
    /// It vanishes.
    Vanishes,
    /// It is answered by a reset.
    Resets,
}

/// How many bytes a broker takes that does not look at them.
const WINDOW: usize = 4_096;

/// Where a SYN is not answered, the virtual device begins another attempt after so many
/// milliseconds, and a board knocks.
const SYN_AGAIN_MS: u64 = 1_000;

/// Whether a board's SYN after so many seconds is the attempt's own: its network stack sends it
/// again after 1, 3, 7 and 15 s. Between them it knocks.
const fn is_own(seconds: u32) -> bool {
    seconds.wrapping_add(1).is_power_of_two()
}

impl World {
    pub(super) fn is_dialling(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let opening = node.env.side.borrow().socket.phase == Phase::Opening;
        opening && node.tcp.is_none()
    }

    /// The device opens a connection: it asks for the broker's address first.
    pub(super) fn dial(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.gen_ += 1;
        if node.names.answer.is_some() {
            return self.named(index);
        }
        if !node.names.asked {
            node.names.asked = true;
            let wait = match node.active.has(FaultKind::DnsSlow) {
                true => node.rng.between(2_000, 15_000),
                false => node.rng.between(2, 30),
            };
            self.queue.push(self.now + wait, Ev::Name(index));
        }
    }

    pub(super) fn fail_dialling(&mut self, index: usize, network: aldis_mqtt::Network) {
        let node = &mut self.nodes[index];
        node.tcp = None;
        node.env.side.borrow_mut().socket.verdict = Some(Err(network));
        self.news(index);
    }

    /// The broker's address is known: a SYN goes out.
    pub(super) fn named(&mut self, index: usize) {
        let restarts = self.nodes[index].restarts();
        let node = &mut self.nodes[index];
        let Some(to) = node.names.answer.take() else {
            return;
        };
        let from = node.env.side.borrow().address.unwrap_or(0);
        node.tcp = Some(Tcp::new(from, to, self.now, restarts));
        let gen_ = node.gen_;
        let at = self.now + self.latency(index, true);
        self.queue.push(at, Ev::Syn(index, gen_, 0));
    }

    /// How long a packet takes one way.
    fn latency(&mut self, index: usize, up: bool) -> u64 {
        let node = &mut self.nodes[index];
        let mut latency = node.latency;
        if node.active.is_quiet() && !self.host.slow {
            return latency;
        }
        if node.active.has(FaultKind::SlowPath) {
            latency += node.rng.between(1_000, 3_500);
        }
        if node.active.has(FaultKind::LossyPath) {
            let mut again = 300;
            while node.rng.percent(33) && again < 5_000 {
                latency += again;
                again *= 2;
            }
        }
        if up && self.host.slow {
            latency += node.rng.below(3_000);
        }
        latency
    }

    /// Whether anything comes through between this home and the broker's machine, one way.
    fn path(&mut self, index: usize, up: bool) -> bool {
        let node = &self.nodes[index];
        let active = &node.active;
        if !node.wifi.carries() || self.host.dark {
            return false;
        }
        if active.is_quiet() {
            return true;
        }
        let dark = active.has(FaultKind::Blackhole)
            || active.has(FaultKind::NatRestart)
            || up && active.has(FaultKind::BlackholeUp)
            || !up && active.has(FaultKind::BlackholeDown);
        !dark
    }

    /// What a packet of the device's connection meets.
    pub(super) fn passage(&mut self, index: usize, up: bool) -> Passage {
        if !self.path(index, up) {
            return Passage::Vanishes;
        }
        let (now, host) = (self.now, self.host.address);
        let node = &mut self.nodes[index];
        let restarts = node.restarts();
        let expires = node.active.has(FaultKind::NatExpiry);
        let address = node.env.side.borrow().address;
        let Some(tcp) = &mut node.tcp else {
            return Passage::Vanishes;
        };
        if address != Some(tcp.from) || tcp.to != host {
            return Passage::Vanishes;
        }
        let idle = now - tcp.used_at;
        for router in &node.routers {
            let expiry = match expires {
                true => 20_000,
                false => router.expiry_ms,
            };
            if idle > expiry || tcp.restarts != restarts {
                return match up && router.resets {
                    true => Passage::Resets,
                    false => Passage::Vanishes,
                };
            }
        }
        tcp.used_at = now;
        Passage::Passes
    }

    /// A SYN comes to where the broker should be.
    pub(super) fn syn(&mut self, index: usize, gen_: u32, tries: u32) -> bool {
        if self.nodes[index].gen_ != gen_ || self.nodes[index].tcp.is_none() {
            return false;
        }
        if self.passage(index, true) != Passage::Passes {
            let again = Ev::Syn(index, gen_, tries.saturating_add(1));
            self.queue.push(self.now + SYN_AGAIN_MS, again);
            return true;
        }
        if !self.nodes[index].races && !is_own(tries) {
            // Who answers a knock is asked anew.
            let at = self.now + self.latency(index, false) + self.latency(index, true);
            self.queue.push(at, Ev::Syn(index, gen_, 0));
            return true;
        }
        if !self.host.up {
            let at = self.now + self.latency(index, false);
            self.queue.push(at, Ev::Refused(index, gen_));
            return true;
        }
        let now = self.now;
        let gate = self.host.gate.as_mut();
        let open = gate.is_none_or(|gate| gate.lets_in(now)) && !self.host.shuts;
        if let Some(tcp) = &mut self.nodes[index].tcp {
            if open {
                tcp.conn = Some(self.broker.open(self.now));
            } else {
                tcp.down.ends = true;
            }
        }
        let at = self.now + self.latency(index, false);
        self.queue.push(at, Ev::SynAck(index, gen_));
        true
    }

    pub(super) fn refused(&mut self, index: usize, gen_: u32) -> bool {
        if self.nodes[index].gen_ != gen_ || self.nodes[index].tcp.is_none() {
            return false;
        }
        if self.passage(index, false) == Passage::Passes {
            self.fail_dialling(index, aldis_mqtt::Network::ConnectionRefused);
        } else {
            let again = Ev::Syn(index, gen_, 1);
            self.queue.push(self.now + SYN_AGAIN_MS, again);
        }
        true
    }

    pub(super) fn syn_ack(&mut self, index: usize, gen_: u32) -> bool {
        let node = &self.nodes[index];
        let opening = node.env.side.borrow().socket.phase == Phase::Opening;
        if node.gen_ != gen_ || node.tcp.is_none() || !opening {
            return false;
        }
        if self.passage(index, false) != Passage::Passes {
            self.queue
                .push(self.now + SYN_AGAIN_MS, Ev::SynAck(index, gen_));
            return true;
        }
        let node = &mut self.nodes[index];
        node.env.side.borrow_mut().socket.verdict = Some(Ok(()));
        let ends = node.tcp.as_ref().is_some_and(|tcp| tcp.down.ends);
        if ends {
            let wait = node.rng.between(1, 30);
            self.queue
                .push(self.now + wait, Ev::Ended(index, gen_, false));
        }
        self.news(index);
        true
    }

    /// The device has written something.
    pub(super) fn send(&mut self, index: usize) {
        let at = self.now + self.latency(index, true);
        let node = &mut self.nodes[index];
        let env = node.env.clone();
        let socket = &mut env.side.borrow_mut().socket;
        let Some(tcp) = &mut node.tcp else {
            socket.written.clear();
            return;
        };
        tcp.counts.0 += socket.written.len() as u32;
        tcp.up.send(&socket.written, at);
        socket.written.clear();
        let gen_ = node.gen_;
        look(&mut self.queue, &mut tcp.up, self.now, Ev::Up(index, gen_));
    }

    /// How many of the bytes that have arrived come through now, and when the rest does.
    fn piece(&mut self, index: usize, len: usize) -> (usize, u64) {
        let node = &mut self.nodes[index];
        if node.active.is_quiet() {
            return (len, 0);
        }
        if node.active.has(FaultKind::Trickle) {
            return (
                len.min(1 + node.rng.below(2) as usize),
                node.rng.between(1, 40),
            );
        }
        if node.active.has(FaultKind::Fragments) {
            let part = 1 + node.rng.below(len.max(1) as u64) as usize;
            return (len.min(part), node.rng.below(3));
        }
        (len, 0)
    }

    /// Bytes come to the broker.
    pub(super) fn arrive_up(&mut self, index: usize, gen_: u32) -> bool {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.gen_ != gen_ {
            return false;
        }
        let Some(tcp) = &mut node.tcp else {
            return false;
        };
        if tcp.up.look_at != now {
            return false;
        }
        tcp.up.look_at = 0;
        match self.passage(index, true) {
            Passage::Passes => {}
            Passage::Resets => {
                let at = now + self.latency(index, false);
                self.queue.push(at, Ev::Ended(index, gen_, true));
                return true;
            }
            Passage::Vanishes => {
                let tcp = self.nodes[index].tcp.as_mut();
                if let Some(tcp) = tcp {
                    tcp.up.again(now);
                    if tcp.up.is_empty() {
                        // The acknowledgement of something is to be had.
                        self.queue.push(now + 2_000, Ev::Up(index, gen_));
                        tcp.up.look_at = now + 2_000;
                    }
                    look(&mut self.queue, &mut tcp.up, now, Ev::Up(index, gen_));
                }
                return true;
            }
        }
        let back = self.path(index, false);
        let deaf = self.host.deaf;
        let most = match self.nodes[index].tcp.as_ref() {
            Some(tcp) if deaf => WINDOW.saturating_sub(tcp.unread),
            _ => usize::MAX,
        };
        let arrived = self.nodes[index].tcp.as_ref();
        let len = arrived.map_or(0, |tcp| tcp.up.arrived(now, most).len());
        let (len, rest_ms) = self.piece(index, len);
        let node = &mut self.nodes[index];
        let Some(tcp) = &mut node.tcp else {
            return true;
        };
        if let Some(conn) = tcp.conn {
            let bytes = tcp.up.arrived(now, len);
            self.broker.receive(conn, bytes, now);
        } else if tcp.gone == Gone::Silent {
            tcp.up.again(now);
            look(&mut self.queue, &mut tcp.up, now, Ev::Up(index, gen_));
            return true;
        } else if !tcp.up.is_empty() {
            let at = now + node.latency;
            self.queue.push(at, Ev::Ended(index, gen_, true));
            return true;
        }
        let stalls = len == 0;
        tcp.up.take(len, now, now + rest_ms.max(1));
        if deaf {
            tcp.unread += len;
            if stalls {
                tcp.up.again(now);
            }
        }
        tcp.owed += len;
        let mut room = false;
        if back {
            let socket = &mut node.env.side.borrow_mut().socket;
            socket.room = (socket.room + std::mem::take(&mut tcp.owed)).min(SEND_ROOM);
            room = std::mem::take(&mut socket.full);
        } else if tcp.up.is_empty() && tcp.owed > 0 {
            tcp.up.look_at = now + 2_000;
            self.queue.push(now + 2_000, Ev::Up(index, gen_));
        }
        if tcp.up.stalls_after != Some(0) {
            look(&mut self.queue, &mut tcp.up, now, Ev::Up(index, gen_));
        }
        self.current = true;
        self.after_broker(Some(index));
        self.current = false;
        if room {
            self.news(index);
        }
        true
    }

    /// Bytes come to the device.
    pub(super) fn arrive_down(&mut self, index: usize, gen_: u32) -> bool {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.gen_ != gen_ {
            return false;
        }
        let Some(tcp) = &mut node.tcp else {
            return false;
        };
        if tcp.down.look_at != now {
            return false;
        }
        tcp.down.look_at = 0;
        if self.passage(index, false) != Passage::Passes {
            if let Some(tcp) = &mut self.nodes[index].tcp {
                tcp.down.again(now);
                look(&mut self.queue, &mut tcp.down, now, Ev::Down(index, gen_));
            }
            return true;
        }
        let arrived = self.nodes[index].tcp.as_ref();
        let len = arrived.map_or(0, |tcp| tcp.down.arrived(now, usize::MAX).len());
        let (len, rest_ms) = self.piece(index, len);
        let node = &mut self.nodes[index];
        let Some(tcp) = &mut node.tcp else {
            return true;
        };
        {
            let side = &mut *node.env.side.borrow_mut();
            side.socket
                .received
                .extend_from_slice(tcp.down.arrived(now, len));
            side.radio.heard = side.radio.heard.wrapping_add(1);
            side.socket.room = (side.socket.room + std::mem::take(&mut tcp.owed)).min(SEND_ROOM);
        }
        tcp.counts.1 += len as u32;
        tcp.down.take(len, now, now + rest_ms.max(1));
        let ends = tcp.down.ends && tcp.down.is_empty();
        if ends {
            node.env.side.borrow_mut().socket.end = Some(End::Closed);
        } else if tcp.down.stalls_after != Some(0) {
            look(&mut self.queue, &mut tcp.down, now, Ev::Down(index, gen_));
        }
        self.news(index);
        true
    }

    /// Something ends a connection: a reset, or a close.
    pub(super) fn ended(&mut self, index: usize, gen_: u32, reset: bool) -> bool {
        let node = &self.nodes[index];
        if node.gen_ != gen_ || node.tcp.is_none() || node.life.is_none() {
            return false;
        }
        if self.passage(index, false) == Passage::Vanishes && !self.path(index, false) {
            // It is said again when the device sends again.
            self.queue
                .push(self.now + 2_000, Ev::Ended(index, gen_, reset));
            return true;
        }
        let node = &mut self.nodes[index];
        {
            let socket = &mut node.env.side.borrow_mut().socket;
            let end = match reset {
                true => End::Reset,
                false => End::Closed,
            };
            if reset {
                socket.clear_received();
            }
            socket.end = Some(end);
            if socket.phase == Phase::Opening && reset {
                socket.verdict = Some(Err(aldis_mqtt::Network::ConnectionRefused));
            }
        }
        self.news(index);
        true
    }

    /// The device closes its connection, or gives the attempt up.
    pub(super) fn hang_up(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let Some(tcp) = node.tcp.take() else { return };
        let env = node.env.clone();
        let (up, down) = tcp.counts;
        if up + down > 0 {
            env.side.borrow().witness.say(What::Bytes(up, down));
        }
        let Some(conn) = tcp.conn else { return };
        if tcp.up.stalls_after.is_some() {
            node.abandoned.push(conn);
            return;
        }
        node.leaving.push(Leaving {
            conn,
            bytes: tcp.up.rest().to_vec(),
            tries: 0,
            at: now + node.latency,
        });
        self.queue.push(now + node.latency, Ev::Leaving(index));
    }

    /// What was written on connections that the device has closed comes to the broker, and that
    /// they are closed.
    pub(super) fn leaving(&mut self, index: usize) -> bool {
        let now = self.now;
        let mut leaving = std::mem::take(&mut self.nodes[index].leaving);
        if leaving.is_empty() {
            return false;
        }
        let mut later = u64::MAX;
        let passes =
            self.path(index, true) && self.nodes[index].env.side.borrow().address.is_some();
        let passes = passes || self.nodes[index].life.is_none() && !self.host.dark;
        leaving.retain_mut(|left| {
            if left.at > now {
                later = later.min(left.at);
                return true;
            }
            if passes {
                self.broker.receive(left.conn, &left.bytes, now);
                self.broker.closed(left.conn, now);
                return false;
            }
            left.tries += 1;
            if left.tries > 6 {
                self.nodes[index].abandoned.push(left.conn);
                return false;
            }
            left.at = now + (500 << left.tries);
            later = later.min(left.at);
            true
        });
        let node = &mut self.nodes[index];
        leaving.append(&mut node.leaving);
        node.leaving = leaving;
        if later != u64::MAX {
            self.queue.push(later, Ev::Leaving(index));
        }
        self.after_broker(Some(index));
        true
    }

    /// Takes what the broker has for a device.
    pub(super) fn pump(&mut self, index: usize) {
        let Some(conn) = self.nodes[index].tcp.as_ref().and_then(|tcp| tcp.conn) else {
            return;
        };
        if !self.host.up || !self.broker.has_news(conn) {
            return;
        }
        self.scratch.clear();
        self.broker.output_into(conn, &mut self.scratch);
        let closed = self.broker.is_closed(conn);
        let at = self.now + self.latency(index, false);
        let node = &mut self.nodes[index];
        let gen_ = node.gen_;
        let Some(tcp) = &mut node.tcp else { return };
        if !self.scratch.is_empty() {
            tcp.down.send(&self.scratch, at);
        }
        if closed {
            self.broker.closed(conn, self.now);
            tcp.conn = None;
            tcp.gone = Gone::Resets;
            tcp.down.ends = true;
            if tcp.down.is_empty() {
                self.queue.push(at, Ev::Ended(index, gen_, false));
            }
        }
        if tcp.down.stalls_after != Some(0) {
            look(
                &mut self.queue,
                &mut tcp.down,
                self.now,
                Ev::Down(index, gen_),
            );
        }
    }

    /// Whatever happened, each connection may have something for its device.
    pub(super) fn pump_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.pump(index);
        }
        self.after_broker(None);
        for node in &mut self.nodes {
            node.abandoned.retain(|conn| {
                self.scratch.clear();
                self.broker.output_into(*conn, &mut self.scratch);
                let closed = self.broker.is_closed(*conn);
                if closed {
                    self.broker.closed(*conn, self.now);
                }
                !closed
            });
        }
    }

    /// Bytes that stood still go on.
    pub(super) fn go_on(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let gen_ = node.gen_;
        if let Some(tcp) = &mut node.tcp {
            tcp.unread = 0;
            tcp.up.stalls_after = None;
            tcp.down.stalls_after = None;
            look(&mut self.queue, &mut tcp.up, self.now, Ev::Up(index, gen_));
            look(
                &mut self.queue,
                &mut tcp.down,
                self.now,
                Ev::Down(index, gen_),
            );
        }
    }
}

/// Lets the queue look at a flow when its next bytes arrive.
fn look(queue: &mut Queue<Ev>, flow: &mut Flow, now: u64, event: Ev) {
    if let Some(at) = flow.next_at().map(|at| at.max(now))
        && (flow.look_at == 0 || at < flow.look_at)
    {
        flow.look_at = at;
        queue.push(at, event);
    }
}
