//! A message as a JSON object, with mosquitto_sub's keys in its order.

use std::fmt::Write;

use aldis_mqtt::wire::Property;
use serde::de::IgnoredAny;

use super::format::Arrival;

const NO_PAYLOAD: &str = ",\"payload\":null}";

/// With the payload as a string. A payload that is not UTF-8 is there once more,
/// in hexadecimal digits, as `payload_hex`.
pub fn message(arrival: &Arrival<'_>) -> String {
    let payload = arrival.message.payload;
    let mut json = head(arrival);
    if payload.is_empty() {
        json.push_str(NO_PAYLOAD);
        return json;
    }
    match std::str::from_utf8(payload) {
        Ok(text) => entry(&mut json, "payload", text),
        Err(_) => {
            entry(&mut json, "payload", &String::from_utf8_lossy(payload));
            let digits: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            entry(&mut json, "payload_hex", &digits);
        }
    }
    json.push('}');
    json
}

/// With the payload as it is, without its white space, if it is JSON.
pub fn message_with_json(arrival: &Arrival<'_>) -> Option<String> {
    let text = std::str::from_utf8(arrival.message.payload).ok()?;
    if text.is_empty() {
        return Some(head(arrival) + NO_PAYLOAD);
    }
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut json = head(arrival);
    json.push_str(",\"payload\":");
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if quoted || !c.is_ascii_whitespace() {
            json.push(c);
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    json.push('}');
    Some(json)
}

fn quoted(text: &str) -> String {
    // A string can always be written.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

fn entry(json: &mut String, key: &str, value: &str) {
    let separator = if json.ends_with('{') { "" } else { "," };
    let _ = write!(json, "{separator}\"{key}\":{}", quoted(value));
}

fn number(json: &mut String, key: &str, value: u64) {
    let separator = if json.ends_with('{') { "" } else { "," };
    let _ = write!(json, "{separator}\"{key}\":{value}");
}

/// Everything before the payload.
fn head(arrival: &Arrival<'_>) -> String {
    let message = arrival.message;
    let mut json = String::from("{");
    let at = arrival.at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ%z").to_string();
    entry(&mut json, "tst", &at);
    entry(&mut json, "topic", message.topic.as_str());
    number(&mut json, "qos", message.qos.bits().into());
    number(&mut json, "retain", message.retain.into());
    number(&mut json, "payloadlen", message.payload.len() as u64);
    if arrival.mid > 0 {
        number(&mut json, "mid", arrival.mid.into());
    }
    if !message.properties.is_empty() {
        properties(&mut json, arrival);
    }
    json
}

fn properties(json: &mut String, arrival: &Arrival<'_>) {
    let mut object = String::from("{");
    let mut users = false;
    for property in arrival.message.properties {
        match property {
            Property::PayloadFormatIndicator(value) => {
                number(&mut object, "payload-format-indicator", value.into());
            }
            Property::MessageExpiryInterval(value) => {
                number(&mut object, "message-expiry-interval", value.into());
            }
            Property::ContentType(value) => entry(&mut object, "content-type", value),
            Property::ResponseTopic(value) => entry(&mut object, "response-topic", value),
            Property::CorrelationData(value) => {
                entry(
                    &mut object,
                    "correlation-data",
                    &String::from_utf8_lossy(value),
                );
            }
            Property::SubscriptionIdentifier(value) => {
                number(&mut object, "subscription-identifier", value.into());
            }
            Property::TopicAlias(value) => number(&mut object, "topic-alias", value.into()),
            // All of them at the place of the first.
            Property::UserProperty(..) if !users => {
                users = true;
                let mut pairs = String::from("{");
                for property in arrival.message.properties {
                    if let Property::UserProperty(key, value) = property {
                        let separator = if pairs.ends_with('{') { "" } else { "," };
                        let _ = write!(pairs, "{separator}{}:{}", quoted(key), quoted(value));
                    }
                }
                let separator = if object.ends_with('{') { "" } else { "," };
                let _ = write!(object, "{separator}\"user-properties\":{pairs}}}");
            }
            _ => {}
        }
    }
    let _ = write!(json, ",\"properties\":{object}}}");
}
