//! What is taken from a request, and what is said when it is not what it should be.

use std::sync::Arc;
use std::time::Duration;

use aldis_history::{DeviceKey, MAX_MS};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::error::ApiError;
use crate::shared::Shared;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// The device that the path names.
pub(crate) struct Named(pub DeviceKey);

impl FromRequestParts<Arc<Shared>> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let Ok(Path(name)) = Path::<String>::from_request_parts(parts, shared).await else {
            return Err(ApiError::no_device("of that name"));
        };
        match shared.key(&name) {
            Some(key) => Ok(Self(key)),
            None => {
                let shown: String = name
                    .chars()
                    .filter(|char| !char.is_control())
                    .take(140)
                    .collect();
                Err(ApiError::no_device(&shown))
            }
        }
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        // A form of another site's page cannot send this kind.
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "Send JSON, with `Content-Type: application/json`.",
            ));
        }
        let bytes = match timeout(PATIENCE, Bytes::from_request(request, state)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(
                _,
            )))) => {
                return Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    "The body is larger than 256 KiB.",
                ));
            }
            Ok(Err(_)) => {
                return Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "broken_off",
                    "The body broke off.",
                ));
            }
            Err(_) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "too_slow",
                    "The body did not come within ten seconds.",
                ));
            }
        };
        match Json::<T>::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(ApiError::invalid(without_line_ends(&rejection.body_text()))),
        }
    }
}

/// What stands behind the question mark.
pub(crate) struct Ask<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(ask)) => Ok(Self(ask)),
            Err(rejection) => Err(ApiError::invalid(without_line_ends(&rejection.body_text()))),
        }
    }
}

fn without_line_ends(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(300)
        .collect()
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Stretch {
    /// From when on, in milliseconds since 1970; without it a day before `to`.
    #[param(minimum = 0, maximum = 253402300799999_i64)]
    pub from: Option<i64>,
    /// Until before when; without it until now.
    #[param(minimum = 0, maximum = 253402300799999_i64)]
    pub to: Option<i64>,
}

impl Stretch {
    /// The stretch, at the time that it is now.
    pub fn at(self, now: i64) -> Result<(i64, i64), ApiError> {
        // What was taken in this very millisecond belongs to it.
        let to = self.to.unwrap_or(now.saturating_add(1));
        let from = self
            .from
            .unwrap_or_else(|| to.saturating_sub(DAY_MS).max(0));
        if !(0..=MAX_MS).contains(&from) || !(0..=MAX_MS).contains(&to) {
            return Err(ApiError::invalid(format!(
                "`from` and `to` are milliseconds since 1970, from 0 to {MAX_MS}."
            )));
        }
        if from > to {
            return Err(ApiError::invalid("`from` is after `to`."));
        }
        Ok((from, to))
    }
}

/// A number within bounds.
pub(crate) fn within(
    name: &str,
    given: Option<u32>,
    usual: u32,
    most: u32,
) -> Result<u32, ApiError> {
    let number = given.unwrap_or(usual);
    match (1..=most).contains(&number) {
        true => Ok(number),
        false => Err(ApiError::invalid(format!("`{name}` is from 1 to {most}."))),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Number {
        #[allow(dead_code)]
        n: u8,
    }

    async fn taken(body: axum::body::Body, kind: &str) -> Result<Number, u16> {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .unwrap();
        let taken = Body::<Number>::from_request(request, &()).await;
        taken.map(|Body(number)| number).map_err(|error| {
            axum::response::IntoResponse::into_response(error)
                .status()
                .as_u16()
        })
    }

    /// Who sends a byte a minute holds a connection and its memory for days.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
        });
        let body = axum::body::Body::from_stream(drops);
        let began = tokio::time::Instant::now();
        assert_eq!(taken(body, "application/json").await.unwrap_err(), 408);
        assert_eq!(began.elapsed(), PATIENCE);
    }

    /// A form of another site's page, or a body that broke off, is taken for a command.
    #[tokio::test]
    async fn bodies_are_json_and_whole() {
        let body = |text: &'static str| axum::body::Body::from(text);
        assert!(taken(body(r#"{"n":5}"#), "application/json").await.is_ok());
        assert!(
            taken(body(r#"{"n":5}"#), "Application/JSON; charset=utf-8")
                .await
                .is_ok()
        );
        for kind in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonx",
        ] {
            assert_eq!(
                taken(body(r#"{"n":5}"#), kind).await.unwrap_err(),
                415,
                "{kind}"
            );
        }
        for wrong in [
            "",
            "{",
            "[]",
            "null",
            r#"{"n":256}"#,
            r#"{"n":5,"m":1}"#,
            "{\"n\":5}x",
        ] {
            assert_eq!(
                taken(body(wrong), "application/json").await.unwrap_err(),
                422,
                "{wrong}"
            );
        }
        let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        let broken = axum::body::Body::from_stream(broken);
        assert_eq!(taken(broken, "application/json").await.unwrap_err(), 400);
    }

    /// A chart of all years, from before 1970 or to after 9999, stops the store.
    #[test]
    fn stretches_are_within_bounds() {
        let at = |from, to| Stretch { from, to }.at(1_790_000_000_000).ok();
        assert_eq!(at(None, None), Some((1_789_913_600_001, 1_790_000_000_001)));
        assert_eq!(at(None, Some(5)), Some((0, 5)));
        assert_eq!(at(Some(5), Some(5)), Some((5, 5)));
        for (from, to) in [
            (Some(6), Some(5)),
            (Some(-1), Some(5)),
            (Some(0), Some(MAX_MS + 1)),
            (Some(i64::MAX), Some(i64::MAX)),
            (Some(i64::MIN), None),
        ] {
            assert_eq!(at(from, to), None, "{from:?} {to:?}");
        }
        assert_eq!(within("limit", Some(0), 5, 9).ok(), None);
        assert_eq!(within("limit", Some(10), 5, 9).ok(), None);
        assert_eq!(within("limit", None, 5, 9).ok(), Some(5));
    }
}
