//! A recorder: a client of the broker that stores readings and confirms them.

use std::collections::BTreeSet;

use aldis_protocol::Climate;

use crate::broker::codec::{
    Ack, Connect, Packet, Qos, Subscribe, SubscribeFilter, Version, frame, reason,
};
use crate::broker::{ConnId, Message};
use crate::log::What;

use super::World;

/// How long the recorder waits for what is missing, in milliseconds.
const PATIENCE_MS: u64 = 1_800_000;

/// The recorder.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    pub away: bool,
    conn: Option<ConnId>,
    input: Vec<u8>,
    shelves: Vec<Shelf>,
}

/// What it has of one device.
#[derive(Clone, Debug, Default)]
struct Shelf {
    /// Everything before this number is stored.
    next: u32,
    ahead: BTreeSet<u32>,
    gap_since: u64,
    news: bool,
}

impl Recorder {
    pub fn new(devices: usize) -> Self {
        let shelf = Shelf {
            next: 1,
            ..Shelf::default()
        };
        Self {
            away: false,
            conn: None,
            input: Vec::new(),
            shelves: vec![shelf; devices],
        }
    }
}

impl World {
    /// The recorder connects if it is not connected.
    pub(super) fn recorder_looks(&mut self) {
        let wanted: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| node.birth.confirm)
            .map(|node| node.topics.climate.clone())
            .collect();
        let able = self.host.up && !self.host.dark && !self.host.hangs && !self.recorder.away;
        if wanted.is_empty() || !able {
            return;
        }
        if let Some(conn) = self.recorder.conn {
            if !self.broker.is_closed(conn) {
                return;
            }
            self.broker.closed(conn, self.now);
        }
        let version = match self.broker.config().versions {
            crate::broker::Versions::Only(version) => version,
            crate::broker::Versions::Both => Version::V5,
        };
        let mut connect = Connect::new(version, "recorder");
        connect.clean_start = false;
        connect.keep_alive = 0;
        if version == Version::V5 {
            connect.properties.session_expiry_interval = Some(u32::MAX);
        }
        let conn = self.broker.open(self.now);
        self.recorder.conn = Some(conn);
        self.recorder.input.clear();
        self.broker
            .receive(conn, &Packet::Connect(connect).encode(version), self.now);
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: Default::default(),
            filters: wanted
                .into_iter()
                .map(|filter| SubscribeFilter {
                    filter,
                    qos: Qos::AtLeastOnce,
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: 0,
                })
                .collect(),
        });
        self.broker
            .receive(conn, &subscribe.encode(version), self.now);
        self.recorder_reads();
    }

    /// The recorder goes away, and what comes meanwhile is not kept for it.
    pub(super) fn recorder_leaves(&mut self) {
        self.recorder.away = true;
        if let Some(conn) = self.recorder.conn.take() {
            self.broker.closed(conn, self.now);
            self.broker.forget("recorder");
        }
    }

    pub(super) fn recorder_returns(&mut self) {
        self.recorder.away = false;
        self.recorder_looks();
    }

    /// The recorder takes what the broker has for it.
    pub(super) fn recorder_reads(&mut self) {
        let Some(conn) = self.recorder.conn else {
            return;
        };
        while self.broker.has_news(conn) && !self.broker.is_closed(conn) {
            let mut input = std::mem::take(&mut self.recorder.input);
            let before = input.len();
            self.broker.output_into(conn, &mut input);
            let more = input.len() > before;
            let mut at = 0;
            while let Ok(Some(frame)) = frame(&input[at..])
                && input.len() - at >= frame.total
            {
                let packet = &input[at..at + frame.total];
                at += frame.total;
                self.recorder_packet(conn, packet);
            }
            input.drain(..at);
            self.recorder.input = input;
            if !more {
                break;
            }
        }
    }

    fn recorder_packet(&mut self, conn: ConnId, bytes: &[u8]) {
        let version = match self.broker.config().versions {
            crate::broker::Versions::Only(version) => version,
            crate::broker::Versions::Both => Version::V5,
        };
        let Ok(Packet::Publish(publish)) = Packet::decode(version, bytes) else {
            return;
        };
        if let Ok(climate) = Climate::decode(&publish.payload)
            && let Some(index) = self
                .nodes
                .iter()
                .position(|n| n.topics.climate == publish.topic)
        {
            self.store(index, climate.seq);
        }
        if publish.qos != Qos::AtMostOnce {
            let ack = Packet::PubAck(Ack::new(publish.packet_id, reason::SUCCESS));
            self.broker.receive(conn, &ack.encode(version), self.now);
        }
    }

    fn store(&mut self, index: usize, seq: u32) {
        self.nodes[index].env.side.borrow_mut().witness.stored(seq);
        let shelf = &mut self.recorder.shelves[index];
        shelf.news = true;
        if seq == shelf.next && shelf.ahead.is_empty() {
            shelf.next += 1;
            return;
        }
        if seq < shelf.next {
            return;
        }
        if shelf.ahead.is_empty() {
            shelf.gap_since = self.now;
        }
        shelf.ahead.insert(seq);
        let before = shelf.next;
        while shelf.ahead.remove(&shelf.next) {
            shelf.next += 1;
        }
        if shelf.next != before {
            shelf.gap_since = self.now;
        }
    }

    /// The recorder confirms what it has.
    pub(super) fn confirm(&mut self) {
        let able = self.host.up && !self.host.dark && !self.host.hangs && !self.recorder.away;
        if !able {
            return;
        }
        for index in 0..self.nodes.len() {
            if !self.nodes[index].birth.confirm {
                continue;
            }
            let shelf = &mut self.recorder.shelves[index];
            if let Some(&first) = shelf.ahead.first()
                && self.now.saturating_sub(shelf.gap_since) > PATIENCE_MS
            {
                // What does not come for so long is lost; the device says how much that is.
                shelf.next = first;
                while shelf.ahead.remove(&shelf.next) {
                    shelf.next += 1;
                }
                shelf.gap_since = self.now;
                let next = shelf.next;
                let node = &self.nodes[index];
                let calm = node.calm_since.saturating_add(PATIENCE_MS) < self.now;
                node.env.side.borrow_mut().witness.given_up(next, calm);
            }
            let shelf = &mut self.recorder.shelves[index];
            if !std::mem::take(&mut shelf.news) || shelf.next <= 1 {
                continue;
            }
            let seq = shelf.next - 1;
            self.say(index, What::Confirmed(seq));
            let text = seq.to_string();
            let topic = self.nodes[index].topics.ack.clone();
            let message = Message::new(&topic, text.as_bytes(), Qos::AtLeastOnce);
            self.broker.publish(message, self.now);
            self.pump(index);
        }
    }
}
