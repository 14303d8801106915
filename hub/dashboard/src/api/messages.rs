//! Messages to a device and what became of them.

use std::collections::HashMap;
use std::sync::Arc;

use aldis_history::{Event, HistoryError, Kind, MAX_MS};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::take::{Ask, Named, within};
use crate::error::{ApiError, ErrorBody};
use crate::shared::Shared;
use crate::view::{Message, State as Became};

/// Events that are read at once while messages are looked for among them.
const PAGE: u32 = 1000;
/// How often, at most.
const PAGES: usize = 10;

#[derive(Serialize, ToSchema)]
pub(crate) struct Messages {
    messages: Vec<Message>,
}

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limit {
    /// How many at most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Messages
///
/// The newest first.
#[utoipa::path(get, path = "/api/devices/{key}/messages", tag = "kept", security(("session" = [])),
    params(("key" = String, Path, description = "`prefix/id`, the slash as `%2F`", example = "aldis/kitchen"), Limit),
    responses((status = 200, body = Messages), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Named(key): Named,
    Ask(Limit { limit }): Ask<Limit>,
) -> Result<Json<Messages>, ApiError> {
    let limit = usize::try_from(within("limit", limit, 50, 200)?).unwrap_or(200);
    // What was seen a moment ago is not stored yet.
    let (seen, known) = {
        let model = shared.model();
        (model.messages(&key), model.device(&key).is_some())
    };
    let mut events = Vec::new();
    let mut to = MAX_MS;
    for _ in 0..PAGES {
        let page = match shared.history.events(&key, 0, to, PAGE).await {
            Ok(page) => page,
            Err(HistoryError::NoDevice { .. }) if known => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let whole = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        let oldest = page.last().map(|event| event.at_ms);
        events.extend(page);
        let found = events
            .iter()
            .filter(|event| event.kind == Kind::Message)
            .count();
        match oldest {
            // Those of its millisecond come again, and are known by then.
            Some(oldest) if !whole && found < limit && oldest < to.saturating_sub(1) => {
                to = oldest.saturating_add(1);
            }
            _ => break,
        }
    }
    let mut messages = gather(&events);
    merge(&mut messages, seen);
    messages.sort_by_key(|message| std::cmp::Reverse(message.at_ms));
    messages.truncate(limit);
    Ok(Json(Messages { messages }))
}

#[derive(Deserialize)]
struct Said {
    id: Option<String>,
    from: Option<String>,
    text: Option<String>,
    state: Option<String>,
    reason: Option<String>,
}

/// The messages among events, newest first, each with its states.
fn gather(events: &[Event]) -> Vec<Message> {
    let mut states: HashMap<String, Vec<Became>> = HashMap::new();
    let mut messages: Vec<Message> = Vec::new();
    for event in events {
        let Ok(said) = serde_json::from_str::<Said>(&event.value) else {
            continue;
        };
        match event.kind {
            Kind::Message => {
                let message = Message {
                    id: said.id,
                    from: said.from,
                    text: said.text.unwrap_or_default(),
                    at_ms: event.at_ms,
                    states: Vec::new(),
                };
                if !messages.contains(&message) {
                    messages.push(message);
                }
            }
            Kind::MessageState => {
                let (Some(id), Some(state)) = (said.id, said.state) else {
                    continue;
                };
                let known = states.entry(id).or_default();
                if !known.iter().any(|known| known.state == state) {
                    known.push(Became {
                        state,
                        at_ms: event.at_ms,
                        reason: said.reason,
                    });
                }
            }
            _ => {}
        }
    }
    for message in &mut messages {
        if let Some(id) = &message.id
            && let Some(states) = states.remove(id)
        {
            message.states = states;
            sort(&mut message.states);
        }
    }
    messages
}

/// Adds what was seen and is not stored.
fn merge(messages: &mut Vec<Message>, seen: Vec<Message>) {
    for new in seen {
        let known = messages.iter_mut().find(|known| match &new.id {
            Some(_) => known.id == new.id && known.from == new.from,
            // The recorder's clock is another one, by some milliseconds.
            None => {
                known.id.is_none()
                    && known.text == new.text
                    && known.at_ms.abs_diff(new.at_ms) < 5_000
            }
        });
        let Some(known) = known else {
            messages.push(new);
            continue;
        };
        for state in new.states {
            if !known.states.iter().any(|known| known.state == state.state) {
                known.states.push(state);
            }
        }
        sort(&mut known.states);
    }
}

/// In the order in which states follow one another: two of a moment come in any.
fn sort(states: &mut [Became]) {
    let rank = |state: &str| {
        let states = aldis_protocol::MessageState::ALL;
        states.iter().position(|known| known.as_str() == state)
    };
    states.sort_by_key(|state| rank(&state.state));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: i64, kind: Kind, value: &str) -> Event {
        Event {
            at_ms,
            kind,
            value: value.to_owned(),
        }
    }

    /// A message without what became of it, one that is shown twice, or another's states.
    #[test]
    fn messages_have_their_states_and_are_there_once() {
        let events = [
            event(
                9,
                Kind::MessageState,
                r#"{"id":"b","state":"refused","reason":"no text"}"#,
            ),
            event(8, Kind::MessageState, r#"{"id":"a","state":"read"}"#),
            event(7, Kind::MessageState, r#"{"id":"a","state":"received"}"#),
            event(7, Kind::MessageState, r#"{"id":"a","state":"received"}"#),
            event(6, Kind::Led, "on"),
            event(
                5,
                Kind::Message,
                r#"{"id":"a","from":"hall","text":"hello"}"#,
            ),
            event(
                5,
                Kind::Message,
                r#"{"id":"a","from":"hall","text":"hello"}"#,
            ),
            event(4, Kind::Message, r#"{"text":"plain"}"#),
            event(3, Kind::Message, "nonsense"),
        ];
        let mut messages = gather(&events);
        assert_eq!(messages.len(), 2);
        let first = |messages: &[Message]| {
            let states = messages[0].states.iter().map(|state| state.state.clone());
            states.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(first(&messages), "received, read");
        assert!(messages[1].states.is_empty());

        let seen = |id: Option<&str>, text: &str, states: &[&str]| Message {
            id: id.map(str::to_owned),
            from: id.map(|_| "hall".to_owned()),
            text: text.to_owned(),
            at_ms: 10,
            states: states
                .iter()
                .map(|state| Became {
                    state: (*state).to_owned(),
                    at_ms: 10,
                    reason: None,
                })
                .collect(),
        };
        let new = [
            seen(Some("a"), "hello", &["shown", "read"]),
            seen(None, "plain", &[]),
            seen(Some("c"), "new", &[]),
        ];
        merge(&mut messages, new.into());
        assert_eq!(messages.len(), 3);
        assert_eq!(first(&messages), "received, shown, read");
    }
}
