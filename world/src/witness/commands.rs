//! Commands: what the broker holds, what was done of it, and the lamp.

use std::collections::VecDeque;

use aldis_device::Saved;
use aldis_protocol::{Lamp, LampCommand};

use super::{ALL, Channel, OWN, Witness};
use crate::invariant::Invariant;
use crate::log::What;

/// A command that the broker holds for the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    word: LampCommand,
    at: u64,
    /// The broker lost it, or the device forgot its session: it may not come.
    forgiven: bool,
}

/// The commands of one topic that the broker holds or held, and how far they may have come.
/// Where some are forgiven, which of two alike was executed cannot be seen: then both are
/// followed.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub(super) waiting: VecDeque<Order>,
    /// How many of those waiting may have been done or lost, each possible number.
    pub(super) done: Vec<usize>,
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

impl Witness {
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
}
