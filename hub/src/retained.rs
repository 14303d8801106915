//! Retained messages: in memory to be found, in the store to outlive the process.
//!
//! In a cluster each node has all of them. The newest counts, by the clock of the node that it
//! was published at; so that one that was taken away does not come back from a node that was
//! not there, it is remembered for some weeks that it was.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rmqtt::retain::{DefaultRetainStorage, RetainStorage};
use rmqtt::types::{Retain, TopicFilter, TopicName};
use serde::{Deserialize, Serialize};

use crate::store::{Change, Store};

/// How long it is remembered that a message was taken away.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The retained messages of a hub.
pub struct Retained {
    memory: DefaultRetainStorage,
    store: Store,
    /// In a cluster: when those were published that took others away.
    gone: Option<Mutex<HashMap<TopicName, Retain>>>,
    /// One is compared and set at a time.
    turn: tokio::sync::Mutex<()>,
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
    pub async fn load(store: Store, stored: Vec<(String, Vec<u8>)>, in_cluster: bool) -> Self {
        let memory = DefaultRetainStorage::new();
        let mut gone = HashMap::new();
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
            if message.message.publish.payload.is_empty() {
                gone.insert(name, message.message);
                continue;
            }
            if let Err(error) = memory.set_with_timeout(&name, message.message, left).await {
                tracing::error!(topic = %name, "a retained message is lost: {error}");
            }
        }
        Self {
            memory,
            store,
            gone: in_cluster.then(|| Mutex::new(gone)),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn gone(&self) -> Option<MutexGuard<'_, HashMap<TopicName, Retain>>> {
        let gone = self.gone.as_ref()?;
        Some(gone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something newer is known of the topic, or the same.
    async fn is_outdated(&self, topic: &TopicName, retain: &Retain) -> rmqtt::Result<bool> {
        let gone = self.gone().and_then(|gone| gone.get(topic).cloned());
        let known = self.memory.get_message(topic).await?;
        let known = known.into_iter().map(|(_, known)| known).chain(gone);
        Ok(known.into_iter().any(|known| {
            let (there, here) = (published(&known), published(retain));
            there > here || (there == here && known.publish.payload == retain.publish.payload)
        }))
    }

    /// Remembers that there is nothing any more, or forgets it.
    fn remember(&self, topic: &TopicName, retain: &Retain) {
        let Some(mut gone) = self.gone() else {
            return;
        };
        if !retain.publish.payload.is_empty() {
            gone.remove(topic);
            return;
        }
        gone.insert(topic.clone(), retain.clone());
        let oldest = now().saturating_sub(millis(REMEMBERED));
        gone.retain(|_, retain| published(retain) > oldest);
    }
}

/// When a message was published.
fn published(retain: &Retain) -> i64 {
    retain.publish.create_time.unwrap_or_default()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    /// The cluster's watch sees to it.
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
        let _turn = match self.gone {
            Some(_) => Some(self.turn.lock().await),
            None => None,
        };
        let mut expiry = retain
            .publish
            .properties
            .as_ref()
            .and_then(|properties| properties.message_expiry_interval)
            .map(|seconds| Duration::from_secs(seconds.get().into()));
        if self.gone.is_some() {
            if self.is_outdated(topic, &retain).await? {
                return Ok(());
            }
            // It may be from another node, and of long ago.
            let age = now().saturating_sub(published(&retain));
            let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            expiry = expiry.map(|expiry| expiry.saturating_sub(age).max(Duration::from_millis(1)));
            self.remember(topic, &retain);
        }
        self.memory
            .set_with_timeout(topic, retain.clone(), expiry)
            .await?;
        let gone = retain.publish.payload.is_empty();
        if gone && self.gone.is_some() {
            expiry = Some(REMEMBERED);
        }
        let change = if gone && self.gone.is_none() {
            Change::Unretain {
                topic: topic.to_string(),
            }
        } else {
            let expires = expiry.map(|expiry| now().saturating_add(millis(expiry)));
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

    /// With those that took others away, which have no payload.
    async fn get_all_paginated(
        &self,
        offset: usize,
        limit: usize,
    ) -> rmqtt::Result<(Vec<(TopicName, Retain, Option<Duration>)>, bool)> {
        let (mut all, _) = self.memory.get_all_paginated(0, usize::MAX).await?;
        if let Some(gone) = self.gone() {
            let gone = gone.iter();
            all.extend(gone.map(|(topic, retain)| (topic.clone(), retain.clone(), None)));
        }
        all.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let more = all.len() > offset.saturating_add(limit);
        Ok((all.into_iter().skip(offset).take(limit).collect(), more))
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

#[cfg(test)]
mod tests {
    use rmqtt::codec::types::Publish as Packet;
    use rmqtt::retain::RetainStorage;
    use rmqtt::types::{ClientId, From, Id, Publish, QoS, Retain, TopicName};

    use super::{Retained, now};
    use crate::store::Store;

    /// A retained message; without a payload it takes the one that is there away.
    fn message(payload: &str, published: i64) -> Retain {
        let packet = Packet {
            dup: false,
            retain: true,
            qos: QoS::AtLeastOnce,
            topic: TopicName::from("a/b"),
            packet_id: None,
            payload: payload.to_owned().into(),
            properties: None,
        };
        Retain {
            msg_id: None,
            from: From::from_custom(Id::from(1, ClientId::from("c"))),
            publish: Publish::new(Box::new(packet), None, None, Some(published)),
        }
    }

    async fn set(retained: &Retained, payload: &str, published: i64) {
        let topic = TopicName::from("a/b");
        let set = retained
            .set(&topic, message(payload, published), None)
            .await;
        set.expect("it is set");
    }

    async fn get(retained: &Retained) -> Option<String> {
        let found = retained.get(&TopicName::from("a/b")).await.expect("found");
        let payload = found.first().map(|(_, retain)| &retain.publish.payload);
        payload.map(|payload| String::from_utf8_lossy(payload).into_owned())
    }

    /// What a node that was away has not heard of is overwritten by what it remembers, or comes
    /// back though it was taken away.
    #[tokio::test]
    async fn in_a_cluster_the_newest_counts() {
        let (store, _) = Store::open(None).expect("a store in memory");
        let (at, in_cluster) = (now(), true);
        let retained = Retained::load(store.clone(), Vec::new(), in_cluster).await;
        set(&retained, "old", at - 20).await;
        set(&retained, "new", at - 10).await;
        set(&retained, "old", at - 20).await;
        assert_eq!(get(&retained).await.as_deref(), Some("new"));
        // Two of one millisecond: the one that comes last.
        set(&retained, "newer", at - 10).await;
        assert_eq!(get(&retained).await.as_deref(), Some("newer"));
        set(&retained, "", at).await;
        set(&retained, "newer", at - 10).await;
        assert_eq!(get(&retained).await, None);
        // Another node is told that it was taken away.
        let (all, more) = retained.get_all_paginated(0, 10).await.expect("a piece");
        assert_eq!((all.len(), more), (1, false));
        assert!(all[0].1.publish.payload.is_empty());
        set(&retained, "again", at + 10).await;
        assert_eq!(get(&retained).await.as_deref(), Some("again"));
        let (all, _) = retained.get_all_paginated(0, 10).await.expect("a piece");
        assert_eq!(all.len(), 1);
    }

    /// A hub by itself whose clock was set back takes no retained messages any more.
    #[tokio::test]
    async fn alone_the_last_counts() {
        let (store, _) = Store::open(None).expect("a store in memory");
        let retained = Retained::load(store, Vec::new(), false).await;
        set(&retained, "new", now()).await;
        set(&retained, "of an earlier hour", now() - 3_600_000).await;
        assert_eq!(get(&retained).await.as_deref(), Some("of an earlier hour"));
        set(&retained, "", now() - 3_600_000).await;
        assert_eq!(get(&retained).await, None);
        let (all, _) = retained.get_all_paginated(0, 10).await.expect("a piece");
        assert!(all.is_empty());
    }
}
