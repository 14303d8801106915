//! What is told to devices.

use std::time::Duration;

use aldis_client::{Publish, PublishError, QoS};
use aldis_history::DeviceKey;
use aldis_protocol::{LampCommand, Message, Reason, Topic, Topics, encode_command, topic};
use axum::http::StatusCode;
use tokio::time::timeout;

use crate::error::ApiError;
use crate::shared::Shared;

/// Who a message is from: replies come to this name.
const FROM: &str = "dashboard";
/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for a command to the lamp.
const COMMAND: usize = 128;

/// An id for a message or command that nobody else uses.
fn id() -> String {
    format!("w-{:016x}", fastrand::u64(..))
}

/// The name of a device's topic.
pub(crate) fn topic(key: &DeviceKey, topic: Topic) -> Result<String, ApiError> {
    let mut name = [0; topic::MAX_LEN];
    let topics = Topics::new(key.prefix(), key.id())
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let name = topics.write(topic, &mut name);
    name.map(str::to_owned)
        .map_err(|error| ApiError::invalid(error.to_string()))
}

/// Tells the lamp; gives the command's id, which the answer carries.
pub(crate) async fn lamp(
    shared: &Shared,
    key: &DeviceKey,
    command: LampCommand,
) -> Result<String, ApiError> {
    let id = id();
    let mut payload = [0; COMMAND];
    let len = encode_command(Some(&id), command, &mut payload)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let payload = payload.get(..len).unwrap_or_default();
    let command = Publish::new(topic(key, Topic::LedSet)?, payload).expires_s(WORTH_S);
    publish(shared, command).await?;
    Ok(id)
}

/// Sends a message; gives its id, which its states carry.
pub(crate) async fn message(
    shared: &Shared,
    key: &DeviceKey,
    text: &str,
    ttl_s: Option<u32>,
) -> Result<String, ApiError> {
    let id = id();
    let message = Message {
        id: Some(&id),
        from: Some(FROM),
        text,
        expires_s: ttl_s,
        ..Message::default()
    };
    message.check().map_err(unsendable)?;
    let mut payload = [0; Message::MAX_LEN];
    let len = message
        .encode(&mut payload)
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let payload = payload.get(..len).unwrap_or_default();
    let mut letter = Publish::new(topic(key, Topic::MessageSet)?, payload);
    // The device counts from when it has the message; the broker counts for as long as it keeps it.
    // A device that is there gets it all the same, and says what became of it.
    letter.expires_s = ttl_s.map(|seconds| seconds.max(WORTH_S));
    publish(shared, letter).await?;
    Ok(id)
}

fn unsendable(reason: Reason) -> ApiError {
    let (code, words) = match reason {
        Reason::TooLong => (
            "too_long",
            "The text is longer than 256 bytes; letters beyond a to z count twice or more. \
             Shorten it.",
        ),
        Reason::NoText => ("no_text", "Write something first."),
        other => ("invalid", other.as_str()),
    };
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, words)
}

/// Clears what the broker keeps of a device.
pub(crate) async fn clear(shared: &Shared, key: &DeviceKey) -> Result<(), ApiError> {
    let prefix = format!("{key}/");
    let mut kept = shared.topics.kept(&prefix);
    for retained in [Topic::Status, Topic::Led, Topic::Sensor] {
        kept.push(topic(key, retained)?);
    }
    kept.sort_unstable();
    kept.dedup();
    for topic in kept {
        publish(shared, Publish::new(topic, Vec::new()).retained()).await?;
    }
    shared.topics.forget(&prefix);
    Ok(())
}

/// For how many seconds a command is worth carrying out: whoever gave it has seen by then that
/// nothing happened.
pub(crate) const WORTH_S: u32 = 30;

/// Publishes, and waits until the broker has it.
pub(crate) async fn publish(shared: &Shared, publish: Publish) -> Result<(), ApiError> {
    // What waited for a broker that comes back in the night would switch the lamp then.
    if !shared.client.is_connected() {
        return Err(ApiError::no_broker("there is no connection"));
    }
    match timeout(PATIENCE, shared.client.publish(publish)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(PublishError::Invalid(why))) => Err(ApiError::invalid(why)),
        Ok(Err(PublishError::Refused(why))) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "broker_refused",
            format!("The broker refused it: {why}. See the rules for the dashboard's user."),
        )),
        Ok(Err(error)) => Err(ApiError::no_broker(&error.to_string())),
        Err(_) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "broker_slow",
            "The broker has not answered within five seconds. It may still be done: look before \
             you try again.",
        )
        .again_after(5)),
    }
}

/// Reads a QoS.
pub(crate) fn qos(number: u8) -> Result<QoS, ApiError> {
    match number {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        _ => Err(ApiError::invalid("`qos` is 0, 1 or 2.")),
    }
}
