//! The broker's machine and what comes to the broker; who gives commands.

use aldis_protocol::{Answer, Climate, Diag, LampCommand, MessageReport, Scratch};

use crate::broker::codec::{Qos, Version, reason};
use crate::broker::{BriefLog, ConnId, DropReason, Keep, Message};
use crate::invariant::Invariant;
use crate::log::What;
use crate::report::Cause;
use crate::witness::{ALL, Channel, OWN};

use super::tcp::Gone;
use super::{Ev, World};

/// A broker that takes so many connections a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    a_second: u32,
    second: u64,
    taken: u32,
}

impl Gate {
    pub fn lets_in(&mut self, now: u64) -> bool {
        if self.second != now / 1_000 {
            self.second = now / 1_000;
            self.taken = 0;
        }
        self.taken += 1;
        self.taken <= self.a_second
    }
}

/// The broker's machine.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// The program runs.
    pub up: bool,
    /// The machine is not there.
    pub dark: bool,
    pub address: u32,
    pub slow: bool,
    /// It closes connections before CONNACK.
    pub shuts: bool,
    /// It does not read.
    pub deaf: bool,
    /// Nobody can publish just now.
    pub hangs: bool,
    pub gate: Option<Gate>,
}

impl Host {
    pub fn new(connections_a_second: Option<u32>) -> Self {
        Self {
            up: true,
            dark: false,
            address: 1,
            slow: false,
            shuts: false,
            deaf: false,
            hangs: false,
            gate: connections_a_second.map(|a_second| Gate {
                a_second,
                second: u64::MAX,
                taken: 0,
            }),
        }
    }
}

/// The topic of commands for all.
const COMMANDS: &str = "output";

impl World {
    /// Commands that the broker keeps for later subscribers, and that nobody may obey.
    pub(super) fn keep_ghosts(&mut self) {
        let ghost =
            |topic: &str, word: &[u8]| Message::new(topic, word, Qos::AtLeastOnce).retained();
        self.broker.publish(ghost(COMMANDS, b"on"), 0);
        for node in &self.nodes {
            self.broker
                .publish(ghost(&node.topics.led_set, b"toggle"), 0);
        }
    }

    /// The broker has done something: looks at what it accepted, from this device if from any.
    pub(super) fn after_broker(&mut self, index: Option<usize>) {
        let mut brief = std::mem::take(&mut self.brief);
        self.broker.swap_brief_log(&mut brief);
        if !brief.is_empty() {
            self.accepted(index, &brief);
            brief.clear();
        }
        self.brief = brief;
        if self.broker.has_violations() {
            self.look_at_violations(index);
        }
        if let Some(index) = index {
            self.pump(index);
        }
        while let Some(receiver) = self.receivers.pop() {
            self.pump(receiver);
        }
        self.recorder_reads();
    }

    fn accepted(&mut self, hint: Option<usize>, brief: &BriefLog) {
        let now = self.now;
        let bin = (now / self.bin_ms()) as usize;
        // They were routed already, and what was dropped of them is told.
        let mut dropped = None;
        for publication in brief.iter() {
            let topic = publication.topic;
            if let Some(index) = hint
                && topic.ends_with(b"/message/set")
            {
                let dropped = dropped.get_or_insert_with(|| self.broker.take_dropped());
                self.sent(index, topic, publication.payload, dropped);
                continue;
            }
            let of = |node: &super::node::Node| topic.starts_with(node.topics.prefix.as_bytes());
            // Only the plain readout does not say whose it is.
            let hinted =
                hint.filter(|index| !topic.starts_with(b"aldis/") || of(&self.nodes[*index]));
            let Some(index) = hinted.or_else(|| self.nodes.iter().position(of)) else {
                continue;
            };
            let node = &mut self.nodes[index];
            let env = node.env.clone();
            let side = &mut *env.side.borrow_mut();
            side.witness.now = now;
            side.witness.counts.publications += 1;
            node.heard_at = now;
            let back = node.contact_lost && side.witness.connected;
            if topic == node.topics.climate.as_bytes() {
                match climate(publication.payload) {
                    Some(climate) => {
                        let before = side.witness.counts.delivered;
                        let (seq, age) = (climate.seq, climate.age_ms);
                        side.witness
                            .arrived(seq, age, climate.reading, self.current);
                        if side.witness.counts.delivered != before {
                            let bins = &mut node.lane.deliveries;
                            if bins.len() <= bin {
                                bins.resize(bin + 1, 0);
                            }
                            bins[bin] += 1;
                        }
                    }
                    None => {
                        let text = String::from_utf8_lossy(publication.payload);
                        let detail = format!("not a reading: {text}");
                        side.witness.violate(Invariant::TrueValues, detail);
                    }
                }
            } else if topic == node.topics.diag.as_bytes()
                && let Ok(diag) = Diag::decode(publication.payload)
            {
                let dropped = diag.dropped.unwrap_or_default();
                let sum = [dropped.expired, dropped.superseded, dropped.full];
                let sum = sum.into_iter().flatten().sum();
                side.witness.diag_arrived(
                    diag.boot.unwrap_or(0),
                    diag.uptime_s.unwrap_or(0),
                    diag.outbox.unwrap_or(0),
                    sum,
                );
            } else if topic == node.topics.message_state.as_bytes() {
                let mut scratch = Scratch::new();
                match MessageReport::decode(publication.payload, &mut scratch) {
                    Ok(report) => side.witness.reported(report.id, report.state),
                    Err(error) => {
                        let detail = format!("not a report: {error}");
                        side.witness.violate(Invariant::MessagesHaveAState, detail);
                    }
                }
            } else if topic == node.topics.start.as_bytes() {
                side.witness.marked(publication.payload);
            } else if topic == node.topics.answer.as_bytes()
                || topic == node.topics.response.as_bytes()
            {
                let mut scratch = Scratch::new();
                match Answer::decode(publication.payload, &mut scratch) {
                    Ok(answer) => side
                        .witness
                        .answered(answer.id.unwrap_or_default(), answer.outcome.is_ok()),
                    Err(error) => {
                        let detail = format!("not an answer: {error}");
                        side.witness.violate(Invariant::IdsOnce, detail);
                    }
                }
            }
            if back {
                self.contact_is_back(index);
            }
        }
    }

    /// The broker heard of a device again.
    fn contact_is_back(&mut self, index: usize) {
        let cause = self.cause(index);
        let node = &mut self.nodes[index];
        node.contact_lost = false;
        let calm_since = node.calm_since;
        if calm_since == u64::MAX {
            return;
        }
        let took = self.now.saturating_sub(calm_since);
        if cause != Cause::None {
            self.report
                .recoveries
                .entry(cause)
                .or_default()
                .ms
                .push(took);
        }
        node.causes = crate::fault::FaultSet::NONE;
    }

    /// What contact is lost for.
    pub(super) fn cause(&self, index: usize) -> Cause {
        let causes = self.nodes[index].causes;
        let mut kinds = causes.iter();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Cause::Fault(kind),
            (Some(_), Some(_)) => Cause::Several,
            (None, _) => Cause::None,
        }
    }

    fn look_at_violations(&mut self, index: Option<usize>) {
        for (conn, version, violation) in self.broker.take_violations() {
            let owner = self.owner(conn).or(index);
            let Some(owner) = owner else { continue };
            let node = &self.nodes[owner];
            let current = node.tcp.as_ref().is_some_and(|tcp| tcp.conn == Some(conn));
            if violation.code == reason::KEEP_ALIVE_TIMEOUT {
                let keep_alive_ms = u64::from(node.birth.keep_alive_s) * 3_000;
                let calm = node.calm_since.saturating_add(keep_alive_ms) < self.now;
                if !current || !calm || !self.is_open(owner) {
                    continue;
                }
            }
            if violation.code == reason::PACKET_TOO_LARGE && version == Version::V4 {
                // MQTT 3.1.1 has no word for that limit.
                continue;
            }
            let mut log = self.log.borrow_mut();
            let detail = format!("the broker says: {}", violation.text);
            log.violate(Invariant::LimitsObeyed, Some(owner as u32), detail);
        }
    }

    fn owner(&self, conn: ConnId) -> Option<usize> {
        self.nodes.iter().position(|node| {
            node.tcp.as_ref().is_some_and(|tcp| tcp.conn == Some(conn))
                || node.abandoned.contains(&conn)
                || node.leaving.iter().any(|leaving| leaving.conn == conn)
        })
    }

    /// The broker's program starts again.
    pub(super) fn restart_broker(&mut self, keep: Keep) {
        self.broker.restart(keep, self.now);
        if keep != Keep::Everything {
            for node in &mut self.nodes {
                node.will_lost = true;
                node.env.side.borrow_mut().witness.forgive();
            }
        }
        let up = std::mem::replace(&mut self.host.up, true);
        self.pump_all();
        self.host.up = up;
    }

    /// Every connection is gone at the broker, and nobody says so.
    pub(super) fn forget_connections(&mut self, gone: Gone) {
        for index in 0..self.nodes.len() {
            self.forget_connection(index, gone);
        }
    }

    pub(super) fn forget_connection(&mut self, index: usize, gone: Gone) {
        let node = &mut self.nodes[index];
        if let Some(tcp) = &mut node.tcp
            && let Some(conn) = tcp.conn.take()
        {
            tcp.gone = gone;
            self.broker.closed(conn, self.now);
        }
    }

    /// Somebody gives some device a command.
    pub(super) fn command_by_chance(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        let words = [
            LampCommand::Toggle,
            LampCommand::Toggle,
            LampCommand::On,
            LampCommand::Off,
        ];
        let index = self.rng.below(self.nodes.len() as u64) as usize;
        if self.rng.percent(12) {
            let word = self.rng.of(&[LampCommand::On, LampCommand::Off]);
            self.give(ALL, COMMANDS, word, 0..self.nodes.len());
            return;
        }
        // Several at once, now and then.
        for _ in 0..=self.rng.below(4).saturating_sub(2) {
            let word = self.rng.of(&words);
            self.give_command(index, word);
        }
    }

    pub(super) fn give_command(&mut self, index: usize, word: LampCommand) -> bool {
        let Some(node) = self.nodes.get(index) else {
            return false;
        };
        let topic = node.topics.led_set.clone();
        self.give(OWN, &topic, word, index..index + 1)
    }

    fn give(
        &mut self,
        channel: Channel,
        topic: &str,
        word: LampCommand,
        to: std::ops::Range<usize>,
    ) -> bool {
        if !self.host.up || self.host.dark || self.host.hangs {
            return false;
        }
        let mut held = false;
        for index in to.clone() {
            let node = &self.nodes[index];
            let holds = self.broker.session(&node.id).is_some_and(|session| {
                session
                    .subscriptions
                    .iter()
                    .any(|(filter, _)| filter == topic)
            });
            let witness = &mut node.env.side.borrow_mut().witness;
            witness.now = self.now;
            witness.say(What::Command(word, holds));
            if holds {
                witness.ordered(channel, word);
            }
            held |= holds;
        }
        self.broker.take_dropped();
        let message = Message::new(topic, word.as_str().as_bytes(), Qos::ExactlyOnce);
        self.broker.publish(message, self.now);
        for dropped in self.broker.take_dropped() {
            let full = dropped.reason == DropReason::QueueFull && dropped.topic == topic;
            if let Some(node) = self.nodes.iter().find(|node| node.id == dropped.client_id)
                && full
            {
                node.env.side.borrow_mut().witness.no_room(channel);
                held = false;
            }
        }
        for index in to {
            self.pump(index);
        }
        held
    }

    /// Another client of a device's id connects, so that the broker throws the device out.
    pub(super) fn rival(&mut self, index: usize) -> bool {
        use crate::broker::codec::{Connect, Packet, Version};
        use crate::fault::FaultKind;
        let lasts = self.nodes[index].active.has(FaultKind::Takeover);
        if !lasts || !self.host.up || self.host.hangs {
            return false;
        }
        // A session that the other client begins would be taken for the device's own, which the
        // broker reports as present: nothing in the protocol tells the two apart.
        let present = self.broker.session(&self.nodes[index].id).is_some();
        let taken = self.nodes[index].rival.filter(|_| present);
        if present && taken.is_none_or(|conn| self.broker.is_closed(conn)) {
            if let Some(conn) = taken {
                self.broker.closed(conn, self.now);
            }
            let version = match self.broker.config().versions {
                crate::broker::Versions::Only(version) => version,
                crate::broker::Versions::Both => Version::V5,
            };
            let mut connect = Connect::new(version, &self.nodes[index].id);
            connect.clean_start = false;
            connect.keep_alive = 0;
            if version == Version::V5 {
                connect.properties.session_expiry_interval = Some(3_600);
            }
            let conn = self.broker.open(self.now);
            self.broker
                .receive(conn, &Packet::Connect(connect).encode(version), self.now);
            self.nodes[index].rival = Some(conn);
            self.after_broker(Some(index));
        }
        if let Some(conn) = self.nodes[index].rival {
            self.broker.output(conn);
        }
        self.queue.push(self.now + 20_000, Ev::Rival(index));
        true
    }

    /// The other client leaves.
    pub(super) fn rival_leaves(&mut self, index: usize) {
        if let Some(conn) = self.nodes[index].rival.take() {
            self.broker.receive(conn, &[0xE0, 0], self.now);
            self.broker.output(conn);
            self.broker.closed(conn, self.now);
        }
    }
}

/// A reading's text as devices write it, read at once; other forms by the product's own reader.
fn climate(payload: &[u8]) -> Option<Climate> {
    quick(payload).or_else(|| Climate::decode(payload).ok())
}

fn quick(payload: &[u8]) -> Option<Climate> {
    fn number(text: &mut &[u8]) -> Option<u64> {
        let mut value = 0_u64;
        let mut len = 0;
        for byte in text.iter().take_while(|byte| byte.is_ascii_digit()) {
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            len += 1;
        }
        *text = text.get(len..)?;
        (len > 0).then_some(value)
    }
    fn tenths(text: &mut &[u8]) -> Option<i64> {
        let negative = text.first() == Some(&b'-');
        if negative {
            *text = text.get(1..)?;
        }
        let whole = number(text)?;
        *text = text.strip_prefix(b".")?;
        let digit = text.first().filter(|byte| byte.is_ascii_digit())?;
        *text = text.get(1..)?;
        let value = i64::try_from(whole * 10 + u64::from(digit - b'0')).ok()?;
        Some(if negative { -value } else { value })
    }
    let mut text = payload.strip_prefix(b"{\"seq\":")?;
    let seq = u32::try_from(number(&mut text)?).ok()?;
    text = text.strip_prefix(b",\"boot\":")?;
    let boot = u32::try_from(number(&mut text)?).ok()?;
    text = text.strip_prefix(b",\"age_ms\":")?;
    let age_ms = number(&mut text)?;
    text = text.strip_prefix(b",\"t\":")?;
    let t = i16::try_from(tenths(&mut text)?).ok()?;
    text = text.strip_prefix(b",\"h\":")?;
    let h = u16::try_from(tenths(&mut text)?).ok()?;
    let life = match text.strip_prefix(b",\"life\":") {
        Some(mut rest) => {
            let life = number(&mut rest)?;
            text = rest;
            u16::try_from(life).ok()?
        }
        None => 0,
    };
    (text == b"}").then_some(Climate {
        seq,
        life,
        boot,
        taken: None,
        age_ms,
        reading: aldis_protocol::Reading { t, h },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that reads something else than was written finds faults that are not there, or
    /// none.
    #[test]
    fn readings_are_read_as_the_protocol_reads_them() {
        for text in [
            r#"{"seq":1,"boot":3,"age_ms":0,"t":24.1,"h":26.5}"#,
            r#"{"seq":4294967295,"boot":3,"age_ms":99999,"t":-0.1,"h":100.0}"#,
            r#"{"seq":7,"boot":3,"age_ms":99999,"t":-0.1,"h":100.0,"life":65535}"#,
        ] {
            let quick = quick(text.as_bytes());
            assert_eq!(quick, Climate::decode(text.as_bytes()).ok());
            assert!(quick.is_some());
        }
        let old = r#"{"seq":1,"boot":3,"taken":2,"age_ms":0,"t":24.1,"h":26.5}"#;
        assert_eq!(quick(old.as_bytes()), None);
        assert_eq!(
            climate(old.as_bytes()).and_then(|climate| climate.taken),
            Some(2)
        );
        assert_eq!(climate(b"{\"seq\":1}"), None);
    }

    #[test]
    fn a_gate_counts_by_the_second() {
        let mut gate = Gate {
            a_second: 2,
            second: u64::MAX,
            taken: 0,
        };
        let lets = [0, 1, 2, 999, 1_000, 1_001, 1_002].map(|now| gate.lets_in(now));
        assert_eq!(lets, [true, true, false, false, true, true, false]);
    }
}
