//! The everyday packets, looked at where they lie: publications at QoS 0 and 1 on a topic that
//! nobody has subscribed to, and PINGREQ. Whatever else comes takes the long way.

use super::codec::{Qos, Version, frame, reason};
use super::{Broker, ConnId};
use alloc::vec::Vec;

/// A topic that a connection has published to, and that nobody had subscribed to when this was
/// the number of the subscriptions' changes.
#[derive(Clone, Debug)]
pub(super) struct Unheard {
    topic: Vec<u8>,
    routes: u64,
}

/// How many topics a connection is expected to use.
const TOPICS: usize = 8;

/// Publications that were accepted, in one piece of memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct BriefLog {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    topic_end: u32,
    end: u32,
    qos: Qos,
    retain: bool,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief<'l> {
    /// Topic, with aliases resolved.
    pub topic: &'l [u8],
    /// Payload.
    pub payload: &'l [u8],
    /// Quality of service.
    pub qos: Qos,
    /// Retain flag.
    pub retain: bool,
}

impl BriefLog {
    /// Notes one.
    pub(super) fn push(&mut self, brief: &Brief<'_>) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(brief.topic);
        let topic_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(brief.payload);
        self.entries.push(Entry {
            start,
            topic_end,
            end: self.bytes.len() as u32,
            qos: brief.qos,
            retain: brief.retain,
        });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Brief<'_>> {
        self.entries.iter().map(|entry| {
            let part = |from: u32, to: u32| self.bytes.get(from as usize..to as usize);
            Brief {
                topic: part(entry.start, entry.topic_end).unwrap_or(&[]),
                payload: part(entry.topic_end, entry.end).unwrap_or(&[]),
                qos: entry.qos,
                retain: entry.retain,
            }
        })
    }

    /// Forgets them, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// The parts of a PUBLISH without properties.
struct Plain<'p> {
    topic: &'p [u8],
    packet_id: u16,
    payload: &'p [u8],
}

fn plain(version: Version, qos: u8, body: &[u8]) -> Option<Plain<'_>> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (packet_id, rest) = match qos {
        0 => (0, rest),
        _ => {
            let (id, rest) = rest.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*id), rest)
        }
    };
    let payload = match version {
        Version::V4 => rest,
        Version::V5 => rest.strip_prefix(&[0])?,
    };
    let sound = !topic.is_empty() && (qos == 0 || packet_id != 0);
    sound.then_some(Plain {
        topic,
        packet_id,
        payload,
    })
}

impl Broker {
    /// Takes the whole packets at the beginning of `bytes` that are everyday ones; gives the
    /// rest.
    pub(super) fn take_everyday<'p>(
        &mut self,
        conn: ConnId,
        mut bytes: &'p [u8],
        now: u64,
    ) -> &'p [u8] {
        let simple = self.config.deny_publish.is_empty()
            && !self.config.trace
            && self.faults.is_quiet()
            && self.config.maximum_qos != Qos::AtMostOnce;
        if !simple {
            return bytes;
        }
        let limit = self
            .config
            .maximum_packet_size
            .map_or(usize::MAX, |m| m as usize);
        let receive_maximum = usize::from(self.config.receive_maximum.max(1));
        while let Some(&first) = bytes.first() {
            let Ok(Some(frame)) = frame(bytes) else { break };
            let Some((packet, rest)) = bytes.split_at_checked(frame.total) else {
                break;
            };
            let Some(c) = self.connections.get_mut(&conn) else {
                break;
            };
            let ready = !c.closed && c.client_id.is_some() && c.input.is_empty();
            if !ready || c.hang.reads() || frame.overlong || frame.total > limit {
                break;
            }
            let body = packet.get(frame.header..).unwrap_or(&[]);
            match first {
                0xC0 if body.is_empty() => c.output.extend_from_slice(&[0xD0, 0]),
                0x30 | 0x32 => {
                    let qos = first >> 1 & 1;
                    let Some(publish) = plain(c.version, qos, body) else {
                        break;
                    };
                    if qos == 1 && c.unanswered.len() + c.answers >= receive_maximum {
                        break;
                    }
                    let routes = self.routes;
                    if !c
                        .unheard
                        .iter()
                        .any(|known| known.is(publish.topic, routes))
                        && !self.learn(conn, publish.topic)
                    {
                        break;
                    }
                    self.accept_unheard(conn, qos, &publish, now);
                }
                _ => break,
            }
            if let Some(c) = self.connections.get_mut(&conn) {
                c.last_received = now;
            }
            bytes = rest;
        }
        bytes
    }

    fn accept_unheard(&mut self, conn: ConnId, qos: u8, publish: &Plain<'_>, now: u64) {
        let qos = Qos::from_number(qos).unwrap_or_default();
        self.note(
            conn,
            publish.topic,
            publish.payload,
            qos,
            publish.packet_id,
            now,
        );
        let code = match self.config.report_no_subscribers {
            true => reason::NO_MATCHING_SUBSCRIBERS,
            false => reason::SUCCESS,
        };
        let Some(c) = self.connections.get_mut(&conn) else {
            return;
        };
        if qos == Qos::AtLeastOnce {
            let [high, low] = publish.packet_id.to_be_bytes();
            match (c.version, code) {
                (Version::V4, _) | (_, reason::SUCCESS) => {
                    c.output.extend_from_slice(&[0x40, 2, high, low]);
                }
                _ => c.output.extend_from_slice(&[0x40, 3, high, low, code]),
            }
            c.unanswered.remove(&publish.packet_id);
            c.answers += 1;
        }
    }

    /// Finds out whether nobody has subscribed to a topic, and remembers that.
    fn learn(&mut self, conn: ConnId, topic: &[u8]) -> bool {
        let Ok(name) = core::str::from_utf8(topic) else {
            return false;
        };
        let heard = self
            .sessions
            .values()
            .flat_map(|session| session.subscriptions.values())
            .any(|subscription| subscription.matches(name));
        if heard || !super::topic::is_name(name) || name.contains('\0') {
            return false;
        }
        let routes = self.routes;
        if let Some(c) = self.connections.get_mut(&conn) {
            c.unheard
                .retain(|known| known.routes == routes && known.topic != topic);
            if c.unheard.len() >= TOPICS {
                c.unheard.remove(0);
            }
            c.unheard.push(Unheard {
                topic: topic.to_vec(),
                routes,
            });
        }
        true
    }
}

impl Unheard {
    fn is(&self, topic: &[u8], routes: u64) -> bool {
        self.routes == routes && self.topic == topic
    }
}
