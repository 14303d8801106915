//! What must hold when nothing is wrong any more.

use aldis_protocol::{Availability, SensorState};

use crate::broker::codec::Qos;
use crate::invariant::Invariant;
use crate::log::What;

use super::{Ev, World};

/// How long after contact is due until everything must be accounted for, in milliseconds.
const SETTLE_MS: u64 = 180_000;

/// How often that is looked at again.
const AGAIN_MS: u64 = 900_000;

/// After so long in calm, the recorder must have everything.
const STORED_MS: u64 = 5_400_000;

impl World {
    /// Whether nothing is wrong with a device and what it needs.
    pub(super) fn is_calm(&self, index: usize) -> bool {
        self.active.is_quiet() && self.nodes[index].active.is_quiet()
    }

    /// A fault has ended: it may be calm from now on.
    pub(super) fn maybe_calm(&mut self, index: usize) {
        if !self.is_calm(index) {
            return;
        }
        let now = self.now;
        self.nodes[index].calm_since = now;
        let at = now + self.plan.policy.contact_ms;
        self.queue.push(at, Ev::Contact(index, now));
    }

    fn fault(&self, index: usize, invariant: Invariant, detail: String) {
        let mut log = self.log.borrow_mut();
        log.violate(invariant, Some(index as u32), detail);
    }

    /// The faults have ended long enough ago: contact must be back.
    pub(super) fn check_contact(&mut self, index: usize, stamp: u64) -> bool {
        let node = &self.nodes[index];
        if node.calm_since != stamp {
            return false;
        }
        let powered = node.life.is_some();
        let connected = node.env.side.borrow().witness.connected;
        if !powered || !connected || node.heard_at < stamp && node.contact_lost {
            let detail = format!(
                "the faults ended {} ms ago, {}",
                self.now - stamp,
                match (powered, connected) {
                    (false, _) => "and it is off",
                    (true, false) => "and it is not connected",
                    (true, true) => "it is connected, and nothing came",
                }
            );
            self.fault(index, Invariant::ContactReturns, detail);
            return true;
        }
        self.nodes[index].causes = crate::fault::FaultSet::NONE;
        self.queue
            .push(self.now + SETTLE_MS, Ev::Settle(index, stamp));
        true
    }

    /// It has been calm for long: everything must be accounted for.
    pub(super) fn check_settled(&mut self, index: usize, stamp: u64) -> bool {
        let node = &self.nodes[index];
        if node.calm_since != stamp || node.life.is_none() {
            return false;
        }
        let env = node.env.clone();
        let (connected, lamp, sensor, safe, state, told);
        {
            let side = &mut *env.side.borrow_mut();
            side.witness.now = self.now;
            connected = side.witness.connected && side.witness.connected_at + 60_000 < self.now;
            if connected {
                side.witness.settled(self.now - stamp > STORED_MS);
                side.witness.orders_settled();
                side.witness.messages_settled();
                side.witness.answers_settled();
            }
            side.witness.lamp_settled();
            lamp = side.witness.lamp;
            told = side.witness.changed_at + 60_000 < self.now;
            sensor = side.sensor;
            safe = side.safe;
            state = side.witness.sensor_state;
        }
        if !connected {
            let detail = "it is calm, and there is no contact".to_owned();
            self.fault(index, Invariant::ContactReturns, detail);
            return true;
        }
        let newest_ms = env.side.borrow().witness.newest_ms();
        let interval_ms = u64::from(node.birth.interval_ms);
        let good = sensor == crate::sensor::Mode::Good && !safe;
        if good && newest_ms > 3 * interval_ms + 15_000 {
            let detail = format!("the newest reading at the broker is {newest_ms} ms old");
            self.fault(index, Invariant::ReadingsGoOn, detail);
        }
        let retained = |topic: &str| {
            let message = self.broker.retained(topic);
            message.map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        };
        let state = match safe {
            true => Some(SensorState::Stale),
            false => state,
        };
        for (topic, expected) in [
            (&node.topics.status, Some(Availability::Online.as_str())),
            (&node.topics.led, Some(lamp.as_str())),
            (&node.topics.sensor, state.map(SensorState::as_str)),
        ] {
            let kept = retained(topic);
            if told && expected.is_some() && kept.as_deref() != expected {
                let detail = format!("{topic} is {kept:?}, and {expected:?} is true");
                self.fault(index, Invariant::StatesTold, detail);
            }
        }
        let session = self.broker.session(&node.id);
        let filters = session
            .map(|session| session.subscriptions)
            .unwrap_or_default();
        let topics = &node.topics;
        for wanted in ["output", &topics.led_set, &topics.message_set] {
            let held = filters.iter().find(|(filter, _)| filter == wanted);
            if held.is_none_or(|(_, qos)| *qos != Qos::ExactlyOnce) {
                let detail = format!("the broker has {held:?} of {wanted}");
                self.fault(index, Invariant::SubscriptionsHold, detail);
            }
        }
        self.report.settled += 1;
        self.say(index, What::Settled);
        self.queue
            .push(self.now + AGAIN_MS, Ev::Settle(index, stamp));
        true
    }

    /// A device is off for long: nobody may believe that it is there.
    pub(super) fn check_gone(&mut self, index: usize, lives: u32) -> bool {
        let node = &self.nodes[index];
        let able = self.host.up && !self.host.dark && !self.host.hangs && self.active.is_quiet();
        if node.lives != lives || node.life.is_some() || !able || node.will_lost {
            return false;
        }
        if let Some(told) = self.broker.retained(&node.topics.status)
            && told.payload != Availability::Offline.as_str().as_bytes()
        {
            let told = String::from_utf8_lossy(&told.payload);
            let detail = format!("it is off for long, and {} is {told}", node.topics.status);
            self.fault(index, Invariant::GoneIsTold, detail);
        }
        true
    }
}
