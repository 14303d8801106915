//! What lasts as long as one connection: buffers, limits, aliases.

use super::codec::{Packet, Properties, Publish, Version, Violation, frame};
use super::fast::Unheard;
use super::faults::{Faults, Hang};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// One connection to a client.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) closed: bool,
    pub(super) hang: Hang,
    pub(super) version: Version,
    /// `None` until CONNECT was accepted.
    pub(super) client_id: Option<String>,
    pub(super) last_received: u64,
    /// After how much silence the connection is closed; 0 is never.
    pub(super) silence_ms: u64,
    /// The client's receive maximum, bounded by our own limit, and what is left of it.
    pub(super) receive_maximum: u16,
    pub(super) quota: u16,
    pub(super) maximum_packet_size: u32,
    pub(super) problem_information: bool,
    pub(super) aliases_in: BTreeMap<u16, String>,
    pub(super) aliases_out: BTreeMap<String, u16>,
    pub(super) aliases_out_max: u16,
    /// Publications from the client on this connection that have not got their last answer.
    pub(super) unanswered: BTreeSet<u16>,
    /// Answers to such that nobody has taken yet: the client cannot have seen them.
    pub(super) answers: usize,
    /// Topics that it has published to and nobody has subscribed to.
    pub(super) unheard: Vec<Unheard>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// A fault kept it back.
    Withheld,
    /// It is larger than the client takes.
    TooLarge,
}

impl Connection {
    pub(super) fn new(now: u64, connect_timeout_ms: u64, hang: Hang) -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            closed: false,
            hang,
            version: Version::V4,
            client_id: None,
            last_received: now,
            silence_ms: connect_timeout_ms,
            receive_maximum: 0,
            quota: 0,
            maximum_packet_size: u32::MAX,
            problem_information: true,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            aliases_out_max: 0,
            unanswered: BTreeSet::new(),
            answers: 0,
            unheard: Vec::new(),
        }
    }

    /// When silence becomes too long.
    pub(super) fn silent_at(&self) -> Option<u64> {
        let counts = !self.closed && self.silence_ms > 0 && !self.hang.reads();
        counts.then(|| self.last_received.saturating_add(self.silence_ms))
    }

    /// Takes the bytes of the next whole packet out of the input.
    pub(super) fn next_packet(&mut self, limit: Option<u32>) -> Result<Option<Vec<u8>>, Violation> {
        let Some(frame) = frame(&self.input)? else {
            return Ok(None);
        };
        if limit.is_some_and(|limit| frame.total > limit as usize) {
            return Err(Violation::new(
                super::codec::reason::PACKET_TOO_LARGE,
                "the packet is larger than the maximum",
            ));
        }
        if self.input.len() < frame.total {
            return Ok(None);
        }
        let rest = self.input.split_off(frame.total);
        Ok(Some(core::mem::replace(&mut self.input, rest)))
    }

    /// Sends a packet other than PUBLISH; explanations are left out where they do not fit.
    pub(super) fn send(&mut self, faults: &mut Faults, mut packet: Packet) -> Sent {
        if faults.swallows(packet.packet_type()) {
            return Sent::Withheld;
        }
        let mut bytes = packet.encode(self.version);
        if !self.fits(&bytes)
            && let Some(properties) = packet.properties_mut()
        {
            properties.reason_string = None;
            bytes = packet.encode(self.version);
        }
        if !self.fits(&bytes) {
            return Sent::TooLarge;
        }
        self.output.extend_from_slice(&bytes);
        Sent::Yes
    }

    /// Sends a PUBLISH, with a topic alias where one may be used.
    pub(super) fn send_publish(&mut self, faults: &mut Faults, mut publish: Publish) -> Sent {
        if self.version == Version::V4 {
            publish.properties = Properties::default();
        }
        let mut new_alias = None;
        if let Some(&alias) = self.aliases_out.get(&publish.topic) {
            publish.properties.topic_alias = Some(alias);
            publish.topic = String::new();
        } else if self.aliases_out.len() < usize::from(self.aliases_out_max) {
            let alias = self.aliases_out.len() as u16 + 1;
            publish.properties.topic_alias = Some(alias);
            new_alias = Some((publish.topic.clone(), alias));
        }
        let packet = Packet::Publish(publish);
        let bytes = packet.encode(self.version);
        if !self.fits(&bytes) {
            return Sent::TooLarge;
        }
        if faults.swallows(packet.packet_type()) {
            return Sent::Withheld;
        }
        if let Some((topic, alias)) = new_alias {
            self.aliases_out.insert(topic, alias);
        }
        self.output.extend_from_slice(&bytes);
        Sent::Yes
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() <= self.maximum_packet_size as usize
    }
}
