//! The hub itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::take::Ask;
use crate::error::{ApiError, ErrorBody};
use crate::health;
use crate::shared::Shared;
use crate::view::Health;

#[derive(Serialize, ToSchema)]
pub(crate) struct Address {
    /// Under which a phone finds the dashboard.
    urls: Vec<String>,
}

/// Which address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Url {
    /// One of those that `/api/address` gives.
    url: String,
}

/// How the hub is
#[utoipa::path(get, path = "/api/health", tag = "hub", security(("session" = [])),
    responses((status = 200, body = Health), (status = 401, body = ErrorBody)))]
pub(crate) async fn health(State(shared): State<Arc<Shared>>) -> Json<Health> {
    Json(health::look(&shared))
}

/// Under which addresses a phone finds the dashboard
#[utoipa::path(get, path = "/api/address", tag = "hub", security(("session" = [])),
    responses((status = 200, body = Address), (status = 401, body = ErrorBody)))]
pub(crate) async fn address(State(shared): State<Arc<Shared>>) -> Json<Address> {
    Json(Address {
        urls: (shared.urls)(),
    })
}

/// An address to be read by a phone's camera
#[utoipa::path(get, path = "/api/qr.svg", tag = "hub", security(("session" = [])), params(Url),
    responses((status = 200, content((String = "image/svg+xml"))), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(crate) async fn qr(
    State(shared): State<Arc<Shared>>,
    Ask(Url { url }): Ask<Url>,
) -> Result<Response, ApiError> {
    // Another one would be somebody's way to have our page lead elsewhere.
    if !(shared.urls)().contains(&url) {
        return Err(ApiError::not_found());
    }
    let code = QrCode::new(url.as_bytes())
        .map_err(|error| ApiError::invalid(format!("This address fits no code: {error}.")))?;
    let picture = code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .build();
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}
