//! What the broker keeps of devices that were removed is cleared: it would bring them back.

use std::collections::BTreeSet;
use std::time::Duration;

use aldis_client::{Broker, Options, Publish};
use aldis_history::{DeviceKey, History};
use aldis_protocol::Topic;
use aldis_protocol::topic::{MAX_LEN, Topics};
use tokio::time::{interval, timeout};

/// How soon a removal is seen.
const EACH: Duration = Duration::from_secs(2);
/// How long clearing may take; what is not cleared then comes back.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a device has the broker keep.
const KEPT: [Topic; 3] = [Topic::Status, Topic::Led, Topic::Sensor];

/// Looks which devices were removed, by whomever, and clears what the broker keeps of them, for
/// ever.
pub async fn follow(history: History, broker: Broker, client_id: String) {
    let mut done: BTreeSet<i64> = BTreeSet::new();
    let mut known: BTreeSet<DeviceKey> = BTreeSet::new();
    let mut ticks = interval(EACH);
    loop {
        ticks.tick().await;
        // What goes wrong here, storing tells.
        let Ok(removed) = history.removed().await else {
            continue;
        };
        done.retain(|number| removed.iter().any(|(of, _)| of == number));
        let Ok(devices) = history.devices().await else {
            continue;
        };
        let there: BTreeSet<_> = devices.into_iter().map(|device| device.key).collect();
        // Of some nothing is left any more, others were removed before this began.
        let mut gone = std::mem::take(&mut known);
        gone.extend(
            removed
                .into_iter()
                .filter(|(number, _)| done.insert(*number))
                .map(|(_, device)| device),
        );
        // What has spoken again meanwhile has the broker keep what it is now.
        gone.retain(|device| !there.contains(device));
        known = there;
        if !gone.is_empty() {
            clear(&broker, &client_id, &gone).await;
        }
    }
}

async fn clear(broker: &Broker, client_id: &str, removed: &BTreeSet<DeviceKey>) {
    let options = Options::new(broker.clone(), client_id);
    let (client, events) = match aldis_client::start(options) {
        Ok(started) => started,
        Err(error) => {
            return tracing::warn!("what removed devices left cannot be cleared: {error}");
        }
    };
    let clearing = async {
        for topic in removed.iter().flat_map(kept) {
            if let Err(error) = client.publish(Publish::new(topic, "").retained()).await {
                return Err(error.to_string());
            }
        }
        Ok(())
    };
    let why = match timeout(PATIENCE, clearing).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some("the broker has not taken it in time".to_owned()),
    };
    if let Some(why) = why {
        tracing::warn!(
            "what the broker keeps of devices that were removed was not all cleared ({why}); \
             those that come back have to be removed again"
        );
    }
    client.stop().await;
    drop(events);
}

fn kept(device: &DeviceKey) -> Vec<String> {
    let Ok(topics) = Topics::new(device.prefix(), device.id()) else {
        return Vec::new();
    };
    let name = |topic| Some(topics.write(topic, &mut [0; MAX_LEN]).ok()?.to_owned());
    KEPT.into_iter().filter_map(name).collect()
}
