//! The devices.

use std::sync::Arc;

use aldis_history::{HistoryError, is_invisible};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::take::{Body, Named};
use crate::commands;
use crate::error::{ApiError, ErrorBody, Refusals};
use crate::shared::Shared;
use crate::view::{Device, Live};

/// The longest title, in characters.
const TITLE: usize = 64;

#[derive(Serialize, ToSchema)]
pub(crate) struct Devices {
    devices: Vec<Device>,
}

/// A device and what is missing of its readings.
#[derive(Serialize, ToSchema)]
pub(crate) struct Whole {
    #[serde(flatten)]
    device: Device,
    gaps_list: Vec<Gap>,
}

/// Readings that are missing.
#[derive(Serialize, ToSchema)]
pub(crate) struct Gap {
    /// The device's life in which they are counted.
    #[schema(minimum = 0, maximum = 65535)]
    life: u32,
    #[schema(value_type = i64, minimum = 0, maximum = 4_294_967_295_i64)]
    first: u32,
    #[schema(value_type = i64, minimum = 0, maximum = 4_294_967_295_i64)]
    last: u32,
    /// Whether they were given up.
    lost: bool,
    /// When the reading before was taken, if it is still stored.
    after_ms: Option<i64>,
    /// When the reading behind was taken, if it is still stored.
    before_ms: Option<i64>,
}

/// What people call a device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Title {
    /// Null: its id is enough.
    #[serde(deserialize_with = "present")]
    #[schema(required, max_length = 64)]
    title: Option<String>,
}

/// A field that may be null and may not be missing.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(field)
}

/// All devices
///
/// By name. Until the store was read they are those that were heard.
#[utoipa::path(get, path = "/api/devices", tag = "devices", security(("session" = [])),
    responses((status = 200, body = Devices), (status = 401, body = ErrorBody),
        (status = 503, body = ErrorBody, description = "The store could not be read yet, and no device was heard.")))]
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Result<Json<Devices>, ApiError> {
    let (devices, loaded) = {
        let model = shared.model();
        (model.devices(), model.loaded)
    };
    if !loaded {
        // Either it says why, or it has just come back. What is live is shown all the same; what
        // is stored comes as events.
        match shared.history.devices().await {
            Ok(_) => shared.ask.notify_one(),
            Err(error) if devices.is_empty() => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(Json(Devices { devices }))
}

/// One device
#[utoipa::path(get, path = "/api/devices/{key}", tag = "devices", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen")),
    responses((status = 200, body = Whole), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
) -> Result<Json<Whole>, ApiError> {
    let device = shared.model().device(&key).cloned();
    let device = device.ok_or_else(|| ApiError::no_device(&key.to_string()))?;
    let gaps = match shared.history.gaps(&key).await {
        Ok(gaps) => gaps,
        // It was heard, and is not stored yet.
        Err(HistoryError::NoDevice { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let gaps_list = gaps
        .into_iter()
        .map(|gap| Gap {
            life: gap.life,
            first: gap.first,
            last: gap.last,
            lost: gap.lost,
            after_ms: gap.after_ms,
            before_ms: gap.before_ms,
        })
        .collect();
    Ok(Json(Whole { device, gaps_list }))
}

/// Give a device a title
#[utoipa::path(patch, path = "/api/devices/{key}", tag = "devices",
    security(("session" = [], "csrf" = [])), request_body = Title,
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen")),
    responses((status = 200, body = Device), Refusals))]
pub(crate) async fn rename(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Body(Title { title }): Body<Title>,
) -> Result<Json<Device>, ApiError> {
    let title = title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty());
    let unseen = |c: char| c.is_control() || is_invisible(c);
    if title.is_some_and(|title| title.chars().count() > TITLE || title.contains(unseen)) {
        return Err(ApiError::invalid(
            "A title has at most 64 characters, and no control or invisible characters.",
        ));
    }
    shared.history.rename(&key, title).await?;
    let mut model = shared.model();
    model.rename(&key, title);
    shared.tell_device(&model, &key);
    let device = model.device(&key).cloned();
    device
        .map(Json)
        .ok_or_else(|| ApiError::no_device(&key.to_string()))
}

/// Remove a device
///
/// It is hidden at once and its data is deleted in pieces; what the broker keeps of it is
/// cleared. If it speaks again, it is a new one.
#[utoipa::path(delete, path = "/api/devices/{key}", tag = "devices",
    security(("session" = [], "csrf" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
) -> Result<StatusCode, ApiError> {
    let known = shared.model().device(&key).is_some();
    // What the broker keeps would bring it back: without the broker it is not removed.
    if known {
        commands::clear(&shared, &key).await?;
    }
    match shared.history.remove(&key).await {
        Ok(()) => {}
        Err(HistoryError::NoDevice { .. }) if known => {}
        Err(error) => return Err(error.into()),
    }
    let mut model = shared.model();
    model.remove(&key);
    shared.stage.tell(&Live::Removed {
        key: key.to_string(),
    });
    Ok(StatusCode::NO_CONTENT)
}
