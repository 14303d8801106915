//! Waiting for what must come, with a bound.

use std::time::Duration;

use aldis_client::{Event, Events, Message};
use tokio::time::{sleep, timeout};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The next event in which something is found.
///
/// # Panics
/// If there is none in time.
pub async fn event<T>(
    events: &mut Events,
    what: &str,
    mut find: impl FnMut(&Event) -> Option<T>,
) -> T {
    let waiting = async {
        while let Some(event) = events.next().await {
            if let Some(found) = find(&event) {
                return found;
            }
        }
        panic!("waited for {what}; the client has ended")
    };
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited for {what}"))
}

/// The next connection: whether the broker had the session.
///
/// # Panics
/// If there is none in time.
pub async fn connected(events: &mut Events) -> bool {
    event(events, "a connection", |event| match event {
        Event::Connected { session_present } => Some(*session_present),
        _ => None,
    })
    .await
}

/// The next message.
///
/// # Panics
/// If there is none in time.
pub async fn message(events: &mut Events) -> Message {
    event(events, "a message", |event| match event {
        Event::Message(message) => Some(message.clone()),
        _ => None,
    })
    .await
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none in time.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("waited until {what}"))
}
