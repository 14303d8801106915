//! What outlives a connection: subscriptions, publications on their way, the will.

use super::ConnId;
use super::codec::{Properties, Publish, Qos, SubscribeFilter, Will};
use super::topic::{split_shared, topic_matches};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A session expiry that never comes.
pub(super) const NEVER: u32 = u32::MAX;

/// A publication, apart from any packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: Qos,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Properties that are passed on to subscribers: format, expiry, content type, response
    /// topic, correlation data and user properties.
    pub properties: Properties,
}

impl Message {
    /// A message without properties.
    pub fn new(topic: &str, payload: &[u8], qos: Qos) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain: false,
            properties: Properties::default(),
        }
    }

    /// The same, retained.
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }
}

/// Keeps those properties that belong to the message and not to one hop of it.
pub(super) fn end_to_end(properties: Properties) -> Properties {
    Properties {
        payload_format_indicator: properties.payload_format_indicator,
        message_expiry_interval: properties.message_expiry_interval,
        content_type: properties.content_type,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data,
        user_properties: properties.user_properties,
        ..Properties::default()
    }
}

/// A message and when it stops being worth sending.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) message: Message,
    pub(super) expires_at: Option<u64>,
}

impl Stored {
    pub(super) fn new(message: Message, now: u64) -> Self {
        let expires_at = message
            .properties
            .message_expiry_interval
            .map(|seconds| now.saturating_add(u64::from(seconds) * 1000));
        Self {
            message,
            expires_at,
        }
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A message on its way to one client.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) stored: Arc<Stored>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) subscription_ids: Vec<u32>,
}

impl Delivery {
    /// The packet as it is to be sent now. A message that expires while it is in flight is still
    /// repeated, with an expiry interval of 0: its delivery had begun in time.
    pub(super) fn packet(&self, packet_id: u16, dup: bool, now: u64) -> Publish {
        let message = &self.stored.message;
        let mut properties = message.properties.clone();
        properties.subscription_identifiers = self.subscription_ids.clone();
        properties.message_expiry_interval = self
            .stored
            .expires_at
            .map(|at| u32::try_from(at.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX));
        Publish {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: message.topic.clone(),
            packet_id,
            properties,
            payload: message.payload.clone(),
        }
    }
}

/// Where a QoS 1 or 2 publication to the client stands.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// PUBLISH is to be answered.
    Publish(Delivery),
    /// PUBREC came; PUBREL is to be answered.
    Release,
}

/// A publication that has a packet identifier.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) packet_id: u16,
    pub(super) stage: Stage,
    /// Whether it was sent on this connection.
    pub(super) sent: bool,
}

/// One subscription of a session.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) options: SubscribeFilter,
    pub(super) id: Option<u32>,
    /// Where the filter begins, behind a share group, and how long it is up to a wildcard or the
    /// separator before it: few topics get further.
    start: usize,
    literal: usize,
}

impl Subscription {
    pub(super) fn new(options: SubscribeFilter, id: Option<u32>) -> Self {
        let whole = &options.filter;
        let filter = split_shared(whole).map_or(whole.as_str(), |(_, filter)| filter);
        let start = whole.len() - filter.len();
        let literal = filter.find(['+', '#']).unwrap_or(filter.len());
        // `a/#` matches `a` too.
        let literal = filter[..literal].trim_end_matches('/').len();
        Self {
            options,
            id,
            start,
            literal,
        }
    }

    /// The share group, if it has one, and the filter behind it.
    pub(super) fn parts(&self) -> (Option<&str>, &str) {
        split_shared(&self.options.filter).unwrap_or((None, &self.options.filter))
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        let filter = &self.options.filter[self.start..];
        topic
            .as_bytes()
            .starts_with(&filter.as_bytes()[..self.literal])
            && topic_matches(filter, topic)
    }
}

/// A client's session.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) connection: Option<ConnId>,
    pub(super) expiry_s: u32,
    pub(super) expires_at: Option<u64>,
    pub(super) will: Option<Will>,
    pub(super) will_at: Option<u64>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) queue: VecDeque<Delivery>,
    /// QoS 2 publications from the client that wait for PUBREL, with the message where it is
    /// passed on only then.
    pub(super) incoming: BTreeMap<u16, Option<Publish>>,
    pub(super) last_packet_id: u16,
}

impl Session {
    /// The next packet identifier that is not in use; `None` if all are.
    pub(super) fn next_packet_id(&mut self) -> Option<u16> {
        for _ in 0..=u16::MAX {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self
                .in_flight
                .iter()
                .any(|entry| entry.packet_id == self.last_packet_id)
            {
                return Some(self.last_packet_id);
            }
        }
        None
    }

    pub(super) fn position(&self, packet_id: u16) -> Option<usize> {
        self.in_flight
            .iter()
            .position(|entry| entry.packet_id == packet_id)
    }
}
