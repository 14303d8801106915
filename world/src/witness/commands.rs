//! Commands: what the broker holds, what was done of it, what is answered, and the lamp.

use std::collections::VecDeque;

use aldis_device::{Recent, Saved};
use aldis_protocol::{Lamp, LampCommand};

use super::messages::{Arrived, Coming};
use super::{ALL, Channel, OWN, Witness};
use crate::invariant::Invariant;
use crate::log::{What, short};

/// How many ids that were executed once are remembered here.
const REMEMBERED: usize = 256;

/// How long an answer may be on its way in calm, in milliseconds.
const ON_ITS_WAY_MS: u64 = 60_000;

/// A command that was understood and is to be done next.
#[derive(Clone, Debug)]
pub(super) struct Doing {
    channel: Channel,
    word: LampCommand,
    id: Option<String>,
    /// What the flash said when it was asked to keep that it is done.
    saved: Option<bool>,
}

/// A command with an id that was executed, of the newest.
#[derive(Clone, Debug)]
pub(super) struct Done {
    id: String,
    /// The flash was asked to keep that, and did; without power nobody knows.
    saved: Option<bool>,
    /// It may be forgotten.
    doubtful: bool,
}

/// An answer that is owed.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    id: String,
    at: u64,
    acknowledged: bool,
}

/// Commands with ids.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    done: VecDeque<Done>,
    ever: VecDeque<String>,
    /// Those that were under way when power went, and may count as done.
    maybe: VecDeque<String>,
    /// Those that were taken for old. One that is given again is executed, perhaps before
    /// that it was refused is told.
    too_old: VecDeque<String>,
    /// What the device was asked last.
    current: Option<String>,
    /// Those that were given since the device started last.
    new: VecDeque<String>,
}

/// A command that the broker holds for the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    word: LampCommand,
    at: u64,
    /// The broker may lose it, or the device may take it for one of before its start.
    forgiven: bool,
    /// It is one of before the start.
    old: bool,
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
    /// A command was executed. Says whether it was one that could be next, and whether it can
    /// only have been one of before the start.
    fn executed(&mut self, word: LampCommand) -> Option<bool> {
        let mut next = Vec::new();
        let mut new = Vec::new();
        for &from in &self.done {
            for (at, order) in self.waiting.iter().enumerate().skip(from) {
                if order.word == word {
                    let next = if order.old { &mut next } else { &mut new };
                    next.push(at + 1);
                }
                if !order.forgiven {
                    break;
                }
            }
        }
        let old = new.is_empty();
        let next = if old { next } else { new };
        if next.is_empty() {
            return None;
        }
        self.done = next;
        self.trim();
        Some(old)
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

impl Ids {
    /// Whether this one was executed, as far as anybody can know.
    fn is_known(&self, id: &str) -> bool {
        let mut known = self.ever.iter().chain(&self.maybe);
        known.any(|known| known == id)
    }
}

fn remember(ids: &mut VecDeque<String>, id: String) {
    if ids.len() == REMEMBERED {
        ids.pop_front();
    }
    ids.push_back(id);
}

impl Witness {
    /// The broker holds a command for the device.
    pub fn ordered(&mut self, channel: Channel, word: LampCommand) {
        self.counts.commands += 1;
        self.orders[channel].waiting.push_back(Order {
            word,
            at: self.now,
            forgiven: false,
            old: false,
        });
    }

    /// The broker had no room for the newest command.
    pub fn no_room(&mut self, channel: Channel) {
        self.orders[channel].waiting.pop_back();
        self.counts.commands -= 1;
    }

    /// The device takes a command for one of before its start.
    pub fn too_old(&mut self) {
        if !self.powered {
            return;
        }
        if let Some(id) = self.ids.current.clone() {
            remember(&mut self.ids.too_old, id);
        }
        // Those that come after its word to itself must be executed.
        if !self.marked {
            self.forgive_orders();
        }
    }

    /// The broker has a word of the device to itself: what it had before that is old.
    pub fn marked(&mut self, of: &[u8]) {
        let boot = self.boot.to_string();
        let own = of.strip_prefix(boot.as_bytes());
        if self.powered && own.is_some_and(|rest| rest.starts_with(b"-")) {
            self.marked = true;
            self.forgive_orders();
        }
    }

    /// The chip starts: what was ordered before is not to be executed any more.
    pub(super) fn orders_start(&mut self) {
        self.marked = false;
        self.ids.new.clear();
        for order in self.orders.iter_mut().flat_map(|of| &mut of.waiting) {
            (order.forgiven, order.old) = (true, true);
        }
    }

    /// What the broker held may be lost.
    pub fn forgive(&mut self) {
        self.forgive_orders();
        self.forgive_messages();
    }

    /// The commands that the broker holds may be lost.
    pub(super) fn forgive_orders(&mut self) {
        for order in self
            .orders
            .iter_mut()
            .flat_map(|orders| &mut orders.waiting)
        {
            order.forgiven = true;
        }
    }

    /// Somebody gives a command with an id.
    pub fn command_given(&mut self, id: &str) {
        if !self.ids.new.iter().any(|new| new == id) {
            remember(&mut self.ids.new, id.to_owned());
        }
    }

    /// A command comes; with an id, in this packet.
    pub fn command_comes(&mut self, packet: u16, id: Option<&str>) {
        self.ids.current = id.map(str::to_owned);
        if let Some(id) = id {
            let (at, id) = (self.now, id.to_owned());
            self.answers.push_back(Owed {
                id: id.clone(),
                at,
                acknowledged: false,
            });
            let what = Arrived::Command(id);
            self.comes(Coming { packet, at, what });
        }
    }

    /// The device understood a command.
    pub fn understood(&mut self, channel: Channel, word: LampCommand) {
        let id = self.ids.current.clone();
        self.executing.push_back(Doing {
            channel,
            word,
            id,
            saved: None,
        });
    }

    /// How many commands were understood and are to be done.
    pub fn to_be_done(&self) -> usize {
        self.executing.len()
    }

    /// The device has done what it was told, but for so many of the commands.
    pub fn has_reacted(&mut self, left: usize) {
        while self.powered && self.executing.len() > left {
            let Some(Doing { id, word, .. }) = self.executing.pop_front() else {
                return;
            };
            // Without an id, the broker's count tells.
            let Some(id) = id else { continue };
            if !self.ids.is_known(&id) {
                let detail = format!("{word} with the id {id} was not executed");
                self.violate(Invariant::IdsOnce, detail);
            }
            self.say(What::Asked("is known already", short(&id)));
        }
    }

    fn executed_with_id(&mut self, id: String, saved: Option<bool>) {
        self.say(What::Asked("is executed", short(&id)));
        if !self.ids.new.contains(&id) {
            let detail = format!("the command with the id {id} was given before the start");
            self.violate(Invariant::OldIgnored, detail);
        }
        let ids = &mut self.ids;
        if let Some(at) = ids.done.iter().position(|done| done.id == id) {
            if !ids.done[at].doubtful {
                let detail = format!("the command with the id {id} was executed again");
                return self.violate(Invariant::IdsOnce, detail);
            }
            ids.done.remove(at);
        }
        ids.maybe.retain(|maybe| *maybe != id);
        while ids.done.len() >= Recent::LEN {
            ids.done.pop_front();
        }
        ids.done.push_back(Done {
            id: id.clone(),
            saved,
            doubtful: false,
        });
        if !ids.ever.contains(&id) {
            remember(&mut ids.ever, id);
        }
    }

    /// The device acknowledges a command with an id.
    pub(super) fn command_acknowledged(&mut self, id: &str) {
        let unsaved = self
            .ids
            .done
            .iter()
            .any(|done| done.id == id && done.saved.is_none());
        if unsaved {
            let detail = format!("the command with the id {id} is acknowledged, and not kept");
            self.violate(Invariant::IdsOnce, detail);
        }
        for owed in self.answers.iter_mut().filter(|owed| owed.id == id) {
            owed.acknowledged = true;
        }
    }

    /// Somebody tells it to restart.
    pub fn restart_given(&mut self) {
        self.told += 1;
    }

    /// It was told to restart, and will.
    pub fn is_to_restart(&mut self, id: Option<&str>) {
        self.say(What::Asked("is to restart", short(id.unwrap_or_default())));
        if self.told == 0 {
            let detail = "it was not told to restart since its start".to_owned();
            self.violate(Invariant::RestartsAsTold, detail);
        }
        let Some(id) = id else { return };
        // It takes a place from another, if the flash took it.
        let full = self.ids.done.len() >= Recent::LEN;
        if let Some(oldest) = self.ids.done.front_mut().filter(|_| full) {
            oldest.doubtful = true;
        }
        self.ids.done.push_back(Done {
            id: id.to_owned(),
            saved: Some(true),
            doubtful: true,
        });
    }

    /// It restarts because it was told to.
    pub fn restarts(&mut self) {
        self.counts.told_restarts += 1;
        if self.told == 0 {
            let detail = "it restarts, and nobody told it to since its start".to_owned();
            self.violate(Invariant::RestartsAsTold, detail);
        }
    }

    /// The broker has an answer.
    pub fn answered(&mut self, id: &str, done: bool) {
        self.counts.answers += 1;
        if id.starts_with('r') {
            // Whether it restarted is seen.
            return;
        }
        self.say(What::Asked(
            if done { "is answered" } else { "is refused" },
            short(id),
        ));
        let known = self.ids.is_known(id);
        if done && !known {
            let detail = format!("the command with the id {id} is said to be done, and is not");
            self.violate(Invariant::IdsOnce, detail);
        }
        // Of one that may be forgotten it is true that it was not done now.
        let sure = |of: &Done| of.id == id && !of.doubtful;
        let refused = self.ids.too_old.iter().any(|old| old == id);
        if !done && !refused && self.ids.done.iter().any(sure) {
            let detail = format!("the command with the id {id} is done, and said not to be");
            self.violate(Invariant::IdsOnce, detail);
        }
        self.answers.retain(|owed| owed.id != id);
    }

    /// The chip starts: what the flash did not take is not known any more.
    pub(super) fn ids_start(&mut self) {
        self.answers.clear();
        if let Some(doing) = self.executing.front()
            && let Some(id) = &doing.id
        {
            remember(&mut self.ids.maybe, id.clone());
        }
        for done in &mut self.ids.done {
            done.doubtful |= done.saved != Some(true);
        }
    }

    /// It is calm: every command with an id must be answered.
    pub fn answers_settled(&mut self) {
        let now = self.now;
        let mut late = self.answers.iter();
        if let Some(owed) =
            late.find(|owed| owed.acknowledged && now.saturating_sub(owed.at) > ON_ITS_WAY_MS)
        {
            let since = now - owed.at;
            let detail = format!(
                "the command with the id {} is not answered after {since} ms",
                owed.id
            );
            self.violate(Invariant::IdsOnce, detail);
        }
    }

    /// It executed that, and the lamp is so.
    pub fn executed(&mut self, lamp: Lamp) {
        if !self.powered {
            return;
        }
        let Some(doing) = self.executing.pop_front() else {
            let detail = format!("the lamp became {lamp} without a command");
            return self.violate(Invariant::LampObeys, detail);
        };
        let Doing { channel, word, .. } = doing;
        self.changed_at = self.now;
        self.say(What::Executed(word, lamp));
        if word.apply(self.lamp) != lamp {
            let detail = format!("{word} made the lamp {lamp}, it was {}", self.lamp);
            self.violate(Invariant::LampObeys, detail);
        }
        self.lamp = lamp;
        if let Some(id) = doing.id {
            return self.executed_with_id(id, doing.saved);
        }
        self.counts.executed += 1;
        match self.orders[channel].executed(word) {
            Some(true) => {
                let detail = format!("{word} was executed, and was given before the start");
                return self.violate(Invariant::OldIgnored, detail);
            }
            Some(false) => return,
            None => {}
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
            self.shines = lamp;
            return;
        }
        self.shines = lamp;
        // It calls for a person, or is its own again.
        if lamp == self.lamp || self.has_unread() {
            return;
        }
        let doing = self.executing.front();
        if doing.map(|doing| doing.word.apply(self.lamp)) != Some(lamp) {
            let detail = match doing {
                Some(doing) => {
                    let word = doing.word;
                    format!("{word} made the lamp {lamp}, it was {}", self.lamp)
                }
                None => format!("the lamp became {lamp} without a command"),
            };
            self.violate(Invariant::LampObeys, detail);
        }
    }

    /// It is calm: the lamp shows its own state, if nobody is called for.
    pub fn lamp_settled(&mut self) {
        if self.shines != self.lamp && !self.has_unread() {
            let detail = format!("the lamp is {}, and shows {}", self.lamp, self.shines);
            self.violate(Invariant::LampObeys, detail);
        }
    }

    /// The flash was to keep this, and did; unless power went.
    pub fn saved(&mut self, saved: &Saved, kept: bool, power: bool) {
        if !self.powered {
            return;
        }
        self.boot = saved.boot;
        if let Some(doing) = self.executing.front_mut() {
            doing.saved = Some(kept && power);
        }
        if kept && power {
            // One that may have been forgotten at a start is not in it.
            for done in self.ids.done.iter_mut().filter(|done| !done.doubtful) {
                done.saved = Some(true);
            }
        }
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
