//! What can be asked under `/api`.

mod commands;
mod devices;
mod hub;
mod kept;
mod messages;
mod session;
mod streams;
mod take;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};

use crate::error::ApiError;
use crate::gate::{self, Way};
use crate::shared::Shared;

/// The longest body of a request.
const BODY: usize = 256 << 10;

/// The routes.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let signed = Router::new()
        .route("/api/session", delete(session::end))
        .route("/api/devices", get(devices::list))
        .route(
            "/api/devices/{key}",
            get(devices::one)
                .patch(devices::rename)
                .delete(devices::remove),
        )
        .route("/api/devices/{key}/chart", get(kept::chart))
        .route("/api/devices/{key}/readings", get(kept::readings))
        .route("/api/devices/{key}/events", get(kept::events))
        .route("/api/devices/{key}/outages", get(kept::outages))
        .route("/api/devices/{key}/diags", get(kept::diags))
        .route("/api/devices/{key}/messages", get(messages::list))
        .route("/api/devices/{key}/lamp", post(commands::lamp))
        .route("/api/devices/{key}/message", post(commands::message))
        .route("/api/publish", post(commands::publish))
        .route("/api/live", get(streams::live))
        .route("/api/topics", get(streams::last))
        .route("/api/topics/live", get(streams::topics))
        .route("/api/health", get(hub::health))
        .route("/api/address", get(hub::address))
        .route("/api/qr.svg", get(hub::qr))
        .route_layer(from_fn_with_state(shared.clone(), gate::signed));
    Router::new()
        .route("/api/session", get(session::look).post(session::begin))
        .route("/api/openapi.json", get(openapi))
        .merge(signed)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY))
}

async fn not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This address knows other methods: see `Allow`.",
    )
}

/// What this interface is, for programs.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Aldis dashboard",
        description = "What the dashboard's pages ask of the hub. Times are milliseconds since \
            1970, temperatures are in °C, humidities in %RH. Sign in with the owner's password; \
            what changes something also needs the session's `csrf` in the header `X-Aldis-CSRF`."
    ),
    paths(
        session::look,
        session::begin,
        session::end,
        devices::list,
        devices::one,
        devices::rename,
        devices::remove,
        kept::chart,
        kept::readings,
        kept::events,
        kept::outages,
        kept::diags,
        messages::list,
        commands::lamp,
        commands::message,
        commands::publish,
        streams::live,
        streams::last,
        streams::topics,
        hub::health,
        hub::address,
        hub::qr,
    )
)]
struct Description;

/// The description, with the names that are right on this way.
async fn openapi(
    State(shared): State<Arc<Shared>>,
    Extension(way): Extension<Way>,
) -> axum::Json<utoipa::openapi::OpenApi> {
    let mut openapi = Description::openapi();
    let components = openapi.components.get_or_insert_default();
    let session = ApiKeyValue::with_description(
        shared.cookie_name(way),
        "Made by signing in. Its name ends with the port, and begins with `__Host-` over HTTPS."
            .to_owned(),
    );
    let csrf = ApiKeyValue::new("X-Aldis-CSRF");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    components.add_security_scheme("csrf", SecurityScheme::ApiKey(ApiKey::Header(csrf)));
    axum::Json(openapi)
}
