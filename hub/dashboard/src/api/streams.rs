//! What happens, as it happens.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::take::{Ask, within};
use crate::error::{ApiError, ErrorBody};
use crate::gate::Signed;
use crate::live::{Part, frame, respond};
use crate::shared::Shared;
use crate::topics::{Filter, Seen, TopicMessage};
use crate::view::Live;

/// Which topics.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// A topic filter; without it all.
    #[param(min_length = 1, example = "aldis/+/status")]
    filter: Option<String>,
}

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// How many at most.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<u32>,
}

impl Which {
    fn filter(self) -> Result<Filter, ApiError> {
        Filter::new(self.filter.as_deref().unwrap_or("#")).ok_or_else(|| {
            ApiError::invalid(
                "`filter` is no topic filter: `+` stands for one whole level, `#` for all the rest.",
            )
        })
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Topics {
    topics: Vec<TopicMessage>,
    /// How many topics fit, shown or not.
    known: usize,
    /// Why the broker shows none, if it does not.
    refused: Option<String>,
}

/// What happens
///
/// Events `hello`, `device`, `reading`, `message`, `answer`, `morse`, `removed`, `broker` and
/// `health`, and a `beat` each five seconds: a stream without one is dead. A browser that is too
/// slow is disconnected; it comes back by itself and asks for the devices anew.
#[utoipa::path(get, path = "/api/live", tag = "live", security(("session" = [])),
    responses((status = 200, content((String = "text/event-stream"))),
        (status = 401, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn live(
    State(shared): State<Arc<Shared>>,
    Extension(Signed(token)): Extension<Signed>,
) -> Result<Response, ApiError> {
    let room = shared.stage.streams.enter()?;
    // From here on nothing is missed: what `hello` says comes before it.
    let receiver = shared.stage.listen();
    let hello = Live::Hello {
        hub_ms: shared.now(),
        connected: shared.contact().connected,
    };
    let streams = shared.stage.streams.clone();
    Ok(respond(
        &streams,
        room,
        frame(hello.name(), &hello),
        receiver,
        |part, bytes| match part {
            Part::Event(event) => {
                bytes.extend_from_slice(&event);
                true
            }
            // What was missed cannot be told; what is now can be asked for.
            Part::Missed(_) => false,
        },
        move || shared.is_signed_in(&token),
    ))
}

/// What was published last
///
/// The last message of each topic since the dashboard started, by topic.
#[utoipa::path(get, path = "/api/topics", tag = "live", security(("session" = [])),
    params(Which, Limit),
    responses((status = 200, body = Topics), (status = 401, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(crate) async fn last(
    State(shared): State<Arc<Shared>>,
    Ask(which): Ask<Which>,
    Ask(Limit { limit }): Ask<Limit>,
) -> Result<Json<Topics>, ApiError> {
    let filter = which.filter()?;
    let limit = within("limit", limit, 500, 5000)?;
    let (topics, known, refused) = shared
        .topics
        .last(&filter, usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Json(Topics {
        topics,
        known,
        refused,
    }))
}

#[derive(Serialize)]
struct Dropped {
    count: u64,
}

/// What is published
///
/// Events `topic`, `dropped` with how many messages, of all topics, a browser was too slow for,
/// and `beat` each five seconds.
#[utoipa::path(get, path = "/api/topics/live", tag = "live", security(("session" = [])),
    params(Which),
    responses((status = 200, content((String = "text/event-stream"))), (status = 401, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn topics(
    State(shared): State<Arc<Shared>>,
    Extension(Signed(token)): Extension<Signed>,
    Ask(which): Ask<Which>,
) -> Result<Response, ApiError> {
    let filter = which.filter()?;
    let room = shared.stage.streams.enter()?;
    let receiver = shared.topics.listen();
    let streams = shared.stage.streams.clone();
    Ok(respond(
        &streams,
        room,
        axum::body::Bytes::new(),
        receiver,
        move |part: Part<Seen>, bytes| {
            match part {
                Part::Event(seen) if filter.fits(&seen.topic) => {
                    bytes.extend_from_slice(&seen.frame);
                }
                Part::Event(_) => {}
                Part::Missed(count) => {
                    bytes.extend_from_slice(&frame("dropped", &Dropped { count }));
                }
            }
            true
        },
        move || shared.is_signed_in(&token),
    ))
}
