//! What the broker brings: to the model and to the browsers, without waiting for either.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aldis_client::{Event, Events, Message, QoS, Token};
use aldis_history::DeviceKey;
use aldis_protocol::Topic;
use tokio::time::{Instant, sleep_until};

use crate::model::Heard;
use crate::shared::Shared;
use crate::topics::TopicMessage;

/// A device is told at most so often; what changes in between is told together.
const PACE: Duration = Duration::from_millis(200);
/// So many messages are handled before browsers are told of the devices.
const AT_ONCE: usize = 256;

/// What is heard of devices.
const HEARD: [Topic; 9] = [
    Topic::Climate,
    Topic::Sensor,
    Topic::Led,
    Topic::Status,
    Topic::Diag,
    Topic::MessageSet,
    Topic::MessageState,
    Topic::MorseHeard,
    Topic::Answer,
];

/// The filters for the devices of a prefix.
pub(crate) fn filters(prefix: &str) -> impl Iterator<Item = String> {
    HEARD
        .into_iter()
        .map(move |topic| format!("{prefix}/+/{}", topic.as_str()))
}

/// Follows the devices.
pub(crate) async fn devices(shared: Arc<Shared>, mut events: Events) {
    let mut pace = Pace::default();
    loop {
        let due = pace.due();
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            () = at(due) => {
                pace.tell(&shared);
                continue;
            }
        };
        let Some(event) = event else { return };
        let mut tokens = Vec::new();
        handle(&shared, event, &mut tokens, &mut pace);
        for _ in 1..AT_ONCE {
            let Some(event) = events.try_next() else {
                break;
            };
            handle(&shared, event, &mut tokens, &mut pace);
        }
        // The recorder keeps it; what the dashboard has seen need not come again.
        shared.client.acknowledge(tokens);
        pace.gather(&shared);
        pace.tell(&shared);
    }
}

fn handle(shared: &Shared, event: Event, tokens: &mut Vec<Token>, pace: &mut Pace) {
    match event {
        Event::Connected { .. } => shared.note_contact(true, None),
        Event::Disconnected { why } => {
            tracing::debug!("the dashboard lost the broker: {why}");
            shared.note_contact(false, Some(why));
        }
        Event::Message(message) => {
            tokens.extend(message.token);
            hear(shared, &message, pace);
        }
        Event::Denied { filter, why } => tracing::warn!(
            "the broker does not let the dashboard hear `{filter}`: {why}; see the rules for its \
             user"
        ),
        Event::Dropped(count) => {
            tracing::debug!("the dashboard was too slow for {count} messages");
        }
        _ => {}
    }
}

fn hear(shared: &Shared, message: &Message, pace: &mut Pace) {
    let named = shared.prefixes.iter().find_map(|prefix| {
        let (id, topic) = Topic::parse(prefix, &message.topic)?;
        Some((DeviceKey::new(prefix, id).ok()?, topic))
    });
    let Some((key, topic)) = named else { return };
    if topic == Topic::Answer {
        // A device says how its lamp is and then that this was done: who is told "done" has seen it.
        pace.gather(shared);
        pace.tell_early(shared, &key);
    }
    let heard = Heard {
        payload: &message.payload,
        retain: message.retain,
        now: shared.now(),
    };
    let mut model = shared.model();
    if let Some(live) = model.hear(&key, topic, &heard) {
        shared.stage.tell(&live);
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// When which device was told, and which are to be told.
#[derive(Default)]
struct Pace {
    told: BTreeMap<DeviceKey, Instant>,
    waiting: BTreeMap<DeviceKey, Instant>,
}

impl Pace {
    fn due(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    fn gather(&mut self, shared: &Shared) {
        let now = Instant::now();
        for key in shared.model().changed() {
            let due = self.told.get(&key).map_or(now, |told| *told + PACE);
            self.waiting.entry(key).or_insert(due);
        }
    }

    /// Tells of a device now, if there is something to tell.
    fn tell_early(&mut self, shared: &Shared, key: &DeviceKey) {
        if self.waiting.remove(key).is_some() {
            shared.tell_device(&shared.model(), key);
            self.told.insert(key.clone(), Instant::now());
        }
    }

    fn tell(&mut self, shared: &Shared) {
        let now = Instant::now();
        let due: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(key, _)| key.clone())
            .collect();
        if due.is_empty() {
            return;
        }
        let model = shared.model();
        for key in due {
            self.waiting.remove(&key);
            shared.tell_device(&model, &key);
            self.told.insert(key, now);
        }
        drop(model);
        // Who was not told lately need not be remembered.
        self.told
            .retain(|_, told| now.saturating_duration_since(*told) < PACE);
    }
}

/// Follows all topics.
pub(crate) async fn topics(shared: Arc<Shared>, mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            Event::Connected { .. } => shared.topics.refused(None),
            Event::Denied { why, .. } => shared.topics.refused(Some(why)),
            Event::Message(message) => {
                let qos = match message.qos {
                    QoS::AtMostOnce => 0,
                    QoS::AtLeastOnce => 1,
                    QoS::ExactlyOnce => 2,
                };
                shared.topics.hear(TopicMessage::new(
                    message.topic,
                    &message.payload,
                    qos,
                    message.retain,
                    shared.now(),
                ));
            }
            _ => {}
        }
    }
}
