//! What a broker allows and announces.

use super::codec::{Qos, Version};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// The limits and habits of a [`Broker`](super::Broker). The default is a generous broker that
/// speaks both versions; [`config_mut`](super::Broker::config_mut) changes one that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which versions are spoken.
    pub versions: Versions,
    /// How many QoS 1 and 2 publications a client may have unacknowledged (MQTT 5). At least 1.
    pub receive_maximum: u16,
    /// The largest packet that is accepted.
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases a client may use.
    pub topic_alias_maximum: u16,
    /// Whether outgoing publications use as many topic aliases as the client allows.
    pub assign_topic_aliases: bool,
    /// A keep-alive in seconds to impose on MQTT 5 clients.
    pub server_keep_alive: Option<u16>,
    /// The highest QoS for publications from clients and for grants.
    pub maximum_qos: Qos,
    /// Whether retained messages are supported.
    pub retain_available: bool,
    /// Whether wildcard subscriptions are supported.
    pub wildcards_available: bool,
    /// Whether shared subscriptions are supported.
    pub shared_available: bool,
    /// Whether subscription identifiers are supported.
    pub subscription_ids_available: bool,
    /// The longest session expiry in seconds; `u32::MAX` for no limit. Holds for 3.1.1 as well.
    pub maximum_session_expiry: u32,
    /// Whether a client without an identifier is given one.
    pub assign_client_ids: bool,
    /// User names and passwords; `None` lets everyone in.
    pub credentials: Option<BTreeMap<String, Vec<u8>>>,
    /// Refuse every CONNECT with this code. Codes of either version may be given (1 to 5 are
    /// those of 3.1.1); each client gets the one of its version that says the same.
    pub refuse: Option<u8>,
    /// Filters of topics that clients must not publish to.
    pub deny_publish: Vec<String>,
    /// Filters that clients must not subscribe to: a subscription is denied if one of these
    /// matches its filter (without share prefix), read as a topic.
    pub deny_subscribe: Vec<String>,
    /// How many publications may be in flight to one client.
    pub inflight_limit: u16,
    /// Whether a client's receive maximum, and the limit before, are heeded; mosquitto 2.0 sends
    /// what comes while the client is connected at once.
    pub heeds_receive_maximum: bool,
    /// How many publications may wait for one client; more are dropped, newest first.
    pub maximum_queued: usize,
    /// Whether a client with several matching subscriptions gets one copy for each.
    pub copy_per_subscription: bool,
    /// When a QoS 2 publication is passed on.
    pub qos2_method: Qos2Method,
    /// Whether retained messages are sent before the SUBACK, as the standard permits.
    pub retained_before_suback: bool,
    /// Whether PUBACK and PUBREC say 0x10 when nobody has subscribed.
    pub report_no_subscribers: bool,
    /// Whether refusals carry a reason string, where client and packet size allow.
    pub reason_strings: bool,
    /// How long a connection may wait before its CONNECT, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Whether every packet from a client is kept for [`take_trace`](super::Broker::take_trace).
    pub trace: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            versions: Versions::Both,
            receive_maximum: 20,
            maximum_packet_size: None,
            topic_alias_maximum: 10,
            assign_topic_aliases: false,
            server_keep_alive: None,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            wildcards_available: true,
            shared_available: true,
            subscription_ids_available: true,
            maximum_session_expiry: u32::MAX,
            assign_client_ids: true,
            credentials: None,
            refuse: None,
            deny_publish: Vec::new(),
            deny_subscribe: Vec::new(),
            inflight_limit: 20,
            heeds_receive_maximum: true,
            maximum_queued: 1000,
            copy_per_subscription: false,
            qos2_method: Qos2Method::OnPublish,
            retained_before_suback: false,
            report_no_subscribers: true,
            reason_strings: true,
            connect_timeout_ms: 30_000,
            trace: false,
        }
    }
}

/// Which versions a broker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 3.1.1 and 5.
    Both,
    /// Only one of them.
    Only(Version),
}

impl Versions {
    pub(super) fn contains(self, version: Version) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == version,
        }
    }
}

/// When a QoS 2 publication from a client is passed on (figure 4.3 of the standard permits both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos2Method {
    /// As soon as it arrives; its identifier is kept until PUBREL.
    OnPublish,
    /// When PUBREL arrives, as mosquitto does.
    OnPubRel,
}
