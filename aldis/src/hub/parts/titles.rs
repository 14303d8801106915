//! What devices are called, told to Home Assistant as it changes.

use std::collections::BTreeSet;
use std::time::Duration;

use aldis_history::History;
use aldis_homeassistant::{RunningHomeAssistant, Titles};
use tokio::sync::watch;
use tokio::time::interval;

/// How soon a new name is told.
const EACH: Duration = Duration::from_secs(5);

/// Looks at what devices are called and which were removed, as long as they are announced.
pub async fn follow(
    history: History,
    titles: watch::Sender<Titles>,
    mut announcer: RunningHomeAssistant,
) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut ticks = interval(EACH);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            ended = announcer.ended() => {
                if let Err(error) = ended {
                    tracing::error!("devices are not announced to Home Assistant: {error}");
                }
                return;
            }
        }
        let devices = match history.devices().await {
            Ok(devices) => devices,
            Err(error) => {
                tracing::debug!("the devices' names cannot be read: {error}");
                continue;
            }
        };
        let there: BTreeSet<_> = devices
            .iter()
            .map(|device| device.key.to_string())
            .collect();
        for removed in known.difference(&there) {
            announcer.forget(removed);
        }
        known = there;
        let now: Titles = devices
            .into_iter()
            .filter_map(|device| Some((device.key.to_string(), device.title?)))
            .collect();
        titles.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                *before = now;
            }
            changed
        });
    }
}
