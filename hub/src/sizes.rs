//! Messages that are larger than their receiver takes.
//!
//! A client of MQTT 5 may say how large a packet may be (Maximum Packet Size). What is
//! larger is to be left out as if it had been sent ([MQTT-3.1.2-24], [MQTT-3.1.2-25]).
//! rmqtt 0.24 ends the connection instead, sends the message again on the next one and
//! ends that, for as long as it keeps the message. It takes the longest fixed header for
//! every message's, so what would only just fit is left out as well.

use async_trait::async_trait;
use rmqtt::hook::{Handler, HookResult, Parameter, Register, ReturnType, Type};
use rmqtt::types::{ConnectInfo, Publish, QoS};

/// The longest fixed header.
const FIXED_HEADER: u64 = 5;

/// Leaves out what is too large.
struct Sizes;

/// Has each message measured before it goes to a client.
pub async fn install(register: &dyn Register) {
    // Asked right before a message is sent, and the one place where it can be dropped.
    register
        .add(Type::MessageExpiryCheck, Box::new(Sizes))
        .await;
}

#[async_trait]
impl Handler for Sizes {
    async fn hook(&self, parameter: &Parameter, acc: Option<HookResult>) -> ReturnType {
        if let Parameter::MessageExpiryCheck(session, _, publish) = parameter
            && let Ok(client) = session.connect_info().await
            && let Some(most) = client.max_packet_size()
            && FIXED_HEADER + alias(&client) + size(publish) > u64::from(most.get())
        {
            tracing::debug!(
                client = %session.id.client_id,
                topic = %publish.topic,
                "left out: larger than the client takes"
            );
            return (false, Some(HookResult::MessageExpiry));
        }
        (true, acc)
    }
}

/// The bytes of a topic alias, for a client that allows them.
fn alias(client: &ConnectInfo) -> u64 {
    match client {
        ConnectInfo::V5(_, connect) if connect.topic_alias_max > 0 => 3,
        _ => 0,
    }
}

/// The bytes of the packet in MQTT 5 without its fixed header.
fn size(publish: &Publish) -> u64 {
    let topic = text(publish.topic.len());
    let properties = publish.properties.as_ref().map_or(0, |properties| {
        let field = |len: Option<usize>| len.map_or(0, |len| 1 + text(len));
        let user = properties
            .user_properties
            .iter()
            .map(|(name, value)| 1 + text(name.len()) + text(value.len()));
        let subscriptions = properties
            .subscription_ids
            .iter()
            .map(|id| 1 + number(id.get().into()));
        // A number of four bytes, and a flag.
        5 * u64::from(properties.message_expiry_interval.is_some())
            + 2 * u64::from(properties.is_utf8_payload)
            + field(properties.content_type.as_ref().map(|text| text.len()))
            + field(properties.response_topic.as_ref().map(|text| text.len()))
            + field(properties.correlation_data.as_ref().map(|data| data.len()))
            + user.sum::<u64>()
            + subscriptions.sum::<u64>()
    });
    topic
        + 2 * u64::from(publish.qos != QoS::AtMostOnce)
        + number(properties)
        + properties
        + publish.payload.len() as u64
}

/// Bytes of a text or of binary data of this length.
const fn text(len: usize) -> u64 {
    2 + len as u64
}

/// Bytes of a variable byte integer.
const fn number(number: u64) -> u64 {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
