//! What the store knows: brought to the model at the start and looked at again from time to time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_history::HistoryError;
use tokio::time::sleep;

use crate::health;
use crate::shared::{Counted, Shared};
use crate::view::Live;

/// How often the list of devices is looked at.
const PERIOD: Duration = Duration::from_secs(10);
/// How soon it is tried again when it cannot be read.
const AGAIN: Duration = Duration::from_secs(1);
/// How often browsers are told how the hub is.
const HEALTH: Duration = Duration::from_secs(5);
/// Counting takes at most this part of the time.
const COUNTING: u32 = 100;
/// How old a count may be, at least.
const COUNT_AGE: Duration = Duration::from_secs(30);

/// Keeps the model in step with the store.
pub(crate) async fn devices(shared: Arc<Shared>) {
    let mut failed = false;
    loop {
        let pause = match look(&shared).await {
            Ok(()) => {
                failed = false;
                PERIOD
            }
            Err(error) => {
                // Whoever opens the store says why it is not open.
                if shared.history.is_open() && !std::mem::replace(&mut failed, true) {
                    tracing::warn!("the dashboard cannot read what is kept: {error}");
                }
                AGAIN
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.ask.notified() => {}
        }
    }
}

async fn look(shared: &Shared) -> Result<(), HistoryError> {
    let removals = shared.model().removals;
    let devices = shared.history.devices().await?;
    let asked = {
        let mut model = shared.model();
        // One that was removed meanwhile is still in the list.
        if model.removals != removals {
            shared.ask.notify_one();
            return Ok(());
        }
        for gone in model.merge(&devices) {
            shared.stage.tell(&Live::Removed {
                key: gone.to_string(),
            });
        }
        model.to_ask()
    };
    tell(shared);
    for (key, new) in asked {
        if new {
            match shared.history.latest(&key).await {
                Ok(latest) => shared.model().recall(&key, &latest),
                // It is gone again.
                Err(HistoryError::NoDevice { .. }) => continue,
                Err(error) => return Err(error),
            }
        }
        match shared.history.gaps(&key).await {
            Ok(gaps) => shared.model().count(&key, &gaps),
            Err(HistoryError::NoDevice { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    tell(shared);
    Ok(())
}

/// Tells browsers which devices changed. The feed paces what devices say; this is rare.
fn tell(shared: &Shared) {
    let mut model = shared.model();
    for key in model.changed() {
        shared.tell_device(&model, &key);
    }
}

/// Looks how the hub is, and tells it while somebody listens.
pub(crate) async fn health(shared: Arc<Shared>) {
    loop {
        let due = {
            let sizes = shared.sizes();
            sizes.as_ref().is_none_or(|counted| {
                let age = counted.at.elapsed();
                age >= COUNT_AGE.max(counted.took.saturating_mul(COUNTING))
                    || (counted.sizes.is_err() && age >= AGAIN)
            })
        };
        if due {
            let began = Instant::now();
            let sizes = shared
                .history
                .sizes()
                .await
                .map_err(|error| error.to_string());
            *shared.sizes() = Some(Counted {
                sizes,
                at: Instant::now(),
                took: began.elapsed(),
            });
        }
        let health = health::look(&shared);
        shared.stage.tell(&Live::Health(Box::new(health)));
        sleep(HEALTH).await;
    }
}
