//! What devices and others are told.

use std::sync::Arc;

use aldis_client::Publish;
use aldis_protocol::LampCommand;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::take::{Body, Named};
use crate::commands;
use crate::error::{ApiError, ErrorBody, Refusals};
use crate::shared::Shared;

/// The longest payload, in bytes.
const PAYLOAD: usize = 64 << 10;
/// The longest topic, in bytes.
const TOPIC: usize = 1024;

/// It was sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sent {
    /// What comes of it carries this id.
    #[schema(example = "w-00c0ffee00c0ffee")]
    id: String,
}

/// What the lamp is told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lamp {
    #[schema(inline)]
    state: Wish,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wish {
    On,
    Off,
    Toggle,
}

/// A message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {
    /// 1 to 256 bytes of UTF-8 that are not all spaces.
    #[schema(min_length = 1, max_length = 256, example = "Dinner is ready")]
    text: String,
    /// After how many seconds it is worthless.
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    ttl_s: Option<u32>,
}

/// A publication.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publication {
    #[schema(min_length = 1, max_length = 1024)]
    topic: String,
    #[schema(max_length = 65536)]
    payload: String,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    qos: u8,
    #[serde(default)]
    retain: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Published {}

/// Switch the lamp
///
/// The outcome comes as the event `answer`, the new state as `device`.
#[utoipa::path(post, path = "/api/devices/{key}/lamp", tag = "commands",
    security(("session" = [], "csrf" = [])), request_body = Lamp,
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen")),
    responses((status = 202, body = Sent), Refusals))]
pub(crate) async fn lamp(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Body(Lamp { state }): Body<Lamp>,
) -> Result<(StatusCode, Json<Sent>), ApiError> {
    known(&shared, &key)?;
    let command = match state {
        Wish::On => LampCommand::On,
        Wish::Off => LampCommand::Off,
        Wish::Toggle => LampCommand::Toggle,
    };
    let id = commands::lamp(&shared, &key, command).await?;
    Ok((StatusCode::ACCEPTED, Json(Sent { id })))
}

/// Send a message
///
/// What becomes of it comes as the event `message`.
#[utoipa::path(post, path = "/api/devices/{key}/message", tag = "commands",
    security(("session" = [], "csrf" = [])), request_body = Text,
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen")),
    responses((status = 202, body = Sent), Refusals))]
pub(crate) async fn message(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Body(Text { text, ttl_s }): Body<Text>,
) -> Result<(StatusCode, Json<Sent>), ApiError> {
    known(&shared, &key)?;
    let id = commands::message(&shared, &key, &text, ttl_s).await?;
    Ok((StatusCode::ACCEPTED, Json(Sent { id })))
}

fn known(shared: &Shared, key: &aldis_history::DeviceKey) -> Result<(), ApiError> {
    match shared.model().device(key) {
        Some(_) => Ok(()),
        None => Err(ApiError::no_device(&key.to_string())),
    }
}

/// Publish
#[utoipa::path(post, path = "/api/publish", tag = "commands",
    security(("session" = [], "csrf" = [])), request_body = Publication,
    responses((status = 202, body = Published), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 408, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 415, body = ErrorBody), (status = 422, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn publish(
    State(shared): State<Arc<Shared>>,
    Body(publication): Body<Publication>,
) -> Result<(StatusCode, Json<Published>), ApiError> {
    let Publication {
        topic,
        payload,
        qos,
        retain,
    } = publication;
    if topic.is_empty()
        || topic.len() > TOPIC
        || topic.contains(['+', '#'])
        || topic.contains(char::is_control)
    {
        return Err(ApiError::invalid(
            "A topic has 1 to 1024 bytes, without `+`, `#` and control characters.",
        ));
    }
    if topic.starts_with('$') {
        return Err(ApiError::invalid(
            "Topics that begin with `$` are the broker's own.",
        ));
    }
    if payload.len() > PAYLOAD {
        return Err(ApiError::invalid("A payload has at most 65536 bytes here."));
    }
    let publish = Publish {
        topic,
        payload: payload.into_bytes(),
        qos: commands::qos(qos)?,
        retain,
        // What is kept does not expire; a command of now is none of tomorrow.
        expires_s: (!retain).then_some(commands::WORTH_S),
    };
    commands::publish(&shared, publish).await?;
    Ok((StatusCode::ACCEPTED, Json(Published {})))
}
