//! Retained messages: in memory to be found, in the store to outlive the process.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rmqtt::retain::{DefaultRetainStorage, RetainStorage};
use rmqtt::types::{Retain, TopicFilter, TopicName};
use serde::{Deserialize, Serialize};

use crate::store::{Change, Store};

/// The retained messages of a hub.
pub struct Retained {
    memory: DefaultRetainStorage,
    store: Store,
}

/// A retained message as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    message: Retain,
    /// When it expires, in milliseconds since 1970.
    expires: Option<i64>,
}

impl Retained {
    /// The retained messages that were stored, without those that have expired since.
    pub async fn load(store: Store, stored: Vec<(String, Vec<u8>)>) -> Self {
        let memory = DefaultRetainStorage::new();
        for (topic, body) in stored {
            let message = match postcard::from_bytes::<Stored>(&body) {
                Ok(stored) => stored,
                Err(error) => {
                    tracing::error!(topic, "a retained message is unreadable and lost: {error}");
                    store.post(Change::Unretain { topic }).await;
                    continue;
                }
            };
            let left = match message.expires.map(|at| at.saturating_sub(now())) {
                Some(left) => match u64::try_from(left) {
                    Ok(left) if left > 0 => Some(Duration::from_millis(left)),
                    _ => {
                        store.post(Change::Unretain { topic }).await;
                        continue;
                    }
                },
                None => None,
            };
            let name = TopicName::from(topic);
            if let Err(error) = memory.set_with_timeout(&name, message.message, left).await {
                tracing::error!(topic = %name, "a retained message is lost: {error}");
            }
        }
        Self { memory, store }
    }
}

#[async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    fn need_sync(&self) -> bool {
        false
    }

    /// Returns when the message is stored, so that only then the publisher gets its PUBACK.
    ///
    /// The broker's default expiry is not for retained messages: they stay until replaced
    /// unless the publisher said otherwise.
    async fn set(
        &self,
        topic: &TopicName,
        retain: Retain,
        _default_expiry: Option<Duration>,
    ) -> rmqtt::Result<()> {
        let expiry = retain
            .publish
            .properties
            .as_ref()
            .and_then(|properties| properties.message_expiry_interval)
            .map(|seconds| Duration::from_secs(seconds.get().into()));
        self.memory
            .set_with_timeout(topic, retain.clone(), expiry)
            .await?;
        let change = if retain.publish.payload.is_empty() {
            Change::Unretain {
                topic: topic.to_string(),
            }
        } else {
            let expires = expiry.map(|expiry| {
                now().saturating_add(i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX))
            });
            let body = postcard::to_stdvec(&Stored {
                message: retain,
                expires,
            })?;
            Change::Retain {
                topic: topic.to_string(),
                body,
            }
        };
        self.store.write(change).await;
        Ok(())
    }

    async fn get(&self, filter: &TopicFilter) -> rmqtt::Result<Vec<(TopicName, Retain)>> {
        let mut found = self.memory.get_message(filter).await?;
        // The broker stamps them anew, so the time they have been here must come off.
        for (_, retain) in &mut found {
            let published = retain.publish.create_time;
            let Some(properties) = &mut retain.publish.properties else {
                continue;
            };
            if let (Some(expiry), Some(published)) = (properties.message_expiry_interval, published)
            {
                let age = now().saturating_sub(published) / 1000;
                let left = expiry
                    .get()
                    .saturating_sub(u32::try_from(age).unwrap_or(u32::MAX));
                properties.message_expiry_interval =
                    Some(NonZeroU32::new(left).unwrap_or(NonZeroU32::MIN));
            }
        }
        Ok(found)
    }

    async fn count(&self) -> isize {
        self.memory.count().await
    }

    async fn max(&self) -> isize {
        self.memory.max().await
    }
}

/// Milliseconds since 1970, as the broker stamps its messages.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
