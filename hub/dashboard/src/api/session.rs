//! Signing in and out.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::take::Body;
use crate::error::{ApiError, ErrorBody};
use crate::gate::{Signed, Way};
use crate::sessions::Token;
use crate::shared::Shared;

/// A longer password is nobody's, and would only cost time.
const LONGEST: usize = 1024;
/// A cookie outlives a session, which ends by itself.
const COOKIE_S: u32 = 90 * 86_400;

/// Who asks.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    signed_in: bool,
    /// To be sent along with whatever changes something, in the header `X-Aldis-CSRF`.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf: Option<String>,
    /// What people call this hub.
    name: String,
    version: &'static str,
    /// Whether the browser is on the hub's own machine.
    loopback: bool,
}

/// A password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Password {
    #[schema(max_length = 1024)]
    password: String,
}

fn session(shared: &Shared, peer: SocketAddr, token: Option<&Token>) -> Session {
    Session {
        signed_in: token.is_some(),
        csrf: token.map(Token::csrf),
        name: shared.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        loopback: peer.ip().to_canonical().is_loopback(),
    }
}

/// Who am I?
#[utoipa::path(get, path = "/api/session", tag = "session",
    responses((status = 200, body = Session)))]
pub(crate) async fn look(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
) -> Json<Session> {
    let token = shared.session(&headers, way);
    Json(session(&shared, peer, token.as_ref()))
}

/// Sign in
#[utoipa::path(post, path = "/api/session", tag = "session", request_body = Password,
    responses(
        (status = 200, body = Session, headers(("Set-Cookie" = String))),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 408, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 422, body = ErrorBody),
        (status = 429, body = ErrorBody, headers(("Retry-After" = u64))),
        (status = 503, body = ErrorBody)))]
pub(crate) async fn begin(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
    Body(Password { password }): Body<Password>,
) -> Result<Response, ApiError> {
    if password.len() > LONGEST {
        return Err(ApiError::invalid("A password has at most 1024 bytes."));
    }
    // Before anything is computed: who tries too often costs nothing.
    let entered = shared.guard().enter(peer.ip(), shared.now());
    if let Err(seconds) = entered {
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            format!("Too many attempts; try again in {seconds} s."),
        )
        .again_after(seconds));
    }
    let owner = shared.owner.clone();
    let verified = {
        let _turn = shared.looking.acquire().await;
        tokio::task::spawn_blocking(move || owner.verify(&password)).await
    };
    let mark = match verified {
        Ok(Ok(Some(mark))) => mark,
        Ok(Ok(None)) => {
            tracing::warn!(
                "{} tried to sign in to the dashboard with a wrong password",
                peer.ip()
            );
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "wrong_password",
                "That is not the owner's password.",
            ));
        }
        Ok(Err(why)) => return Err(cannot(&why)),
        Err(_) => return Err(cannot("the check broke off")),
    };
    shared.guard().forgive(peer.ip());
    // A session that is signed in anew ends: its id may be known to somebody.
    let old = shared.session(&headers, way);
    let now = shared.now();
    let token = {
        let mut sessions = shared.sessions();
        if let Some(old) = old {
            sessions.end(&old);
        }
        sessions.begin(mark, now)
    };
    let token = token.ok_or_else(|| cannot("the system gives no random numbers"))?;
    let cookie = cookie(&shared, way, &token.text(), COOKIE_S)?;
    let body = Json(session(&shared, peer, Some(&token)));
    Ok(([(header::SET_COOKIE, cookie)], body).into_response())
}

fn cannot(why: &str) -> ApiError {
    tracing::warn!("nobody can sign in to the dashboard: {why}");
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "cannot_verify",
        format!("The password cannot be checked now: {why}."),
    )
    .again_after(5)
}

fn cookie(shared: &Shared, way: Way, value: &str, age_s: u32) -> Result<HeaderValue, ApiError> {
    let name = shared.cookie_name(way);
    let secure = if way.https { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}");
    // Made of letters and digits.
    HeaderValue::try_from(cookie).map_err(|_| cannot("the cookie cannot be written"))
}

/// Sign out
#[utoipa::path(delete, path = "/api/session", tag = "session",
    security(("session" = [], "csrf" = [])),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn end(
    State(shared): State<Arc<Shared>>,
    Extension(way): Extension<Way>,
    Extension(Signed(token)): Extension<Signed>,
) -> Result<Response, ApiError> {
    shared.sessions().end(&token);
    shared.stage.streams.session_ended();
    let cookie = cookie(&shared, way, "", 0)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}
