//! The store, which may be away when the hub starts.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use aldis_history::{History, HistoryError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::logging::TOLD;

/// How long the start of the hub waits for it.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How soon it is tried again, at first.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause where it may come back by itself.
const SOON: Duration = Duration::from_secs(5);
/// The longest pause where somebody has to see to it.
const LATER: Duration = Duration::from_secs(30);

/// Opens it. One that may come is waited for by the task that is given.
pub async fn open(history: &History) -> Result<Option<JoinHandle<()>>, String> {
    let began = Instant::now();
    let mut said = Vec::new();
    match timeout(AT_ONCE, history.connect()).await {
        Ok(Ok(())) => return Ok(None),
        // Somebody is there to read it.
        Ok(Err(error)) if !error.is_transient() => return Err(error.to_string()),
        Ok(Err(error)) => {
            tracing::error!(
                "{error}. Broker and dashboard run; what comes is recorded when the store is there"
            );
            said.push(discriminant(&error));
        }
        Err(_) => tracing::error!(
            "{} has not answered yet. Broker and dashboard run; what comes is recorded when the \
             store is there",
            history.name()
        ),
    }
    Ok(Some(tokio::spawn(wait_for(history.clone(), said, began))))
}

/// Opens it as soon as that goes: whatever is wrong with it, somebody may see to it. Each kind of
/// trouble is said once.
async fn wait_for(history: History, mut said: Vec<Discriminant<HistoryError>>, began: Instant) {
    let mut pause = FIRST;
    loop {
        sleep(pause).await;
        let Err(error) = history.connect().await else {
            break;
        };
        let kind = discriminant(&error);
        if !said.contains(&kind) {
            tracing::error!("{error}. It is tried again and again");
            said.push(kind);
        }
        let longest = if error.is_transient() { SOON } else { LATER };
        pause = (pause * 2).min(longest);
    }
    let away = Duration::from_secs(began.elapsed().as_secs());
    tracing::info!(
        target: TOLD,
        "{} is there, {} after the hub: recording begins",
        history.name(),
        humantime::format_duration(away)
    );
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder that is mounted late, or a database that is made late, would need somebody to
    /// restart the hub.
    #[tokio::test]
    async fn whatever_is_wrong_with_it_it_is_opened_when_that_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("later");
        let address = folder.join("history.db").display().to_string();
        let history = History::later(&address).unwrap();
        // At the start somebody reads it.
        let error = open(&history).await.unwrap_err();
        assert!(error.contains(&address), "{error}");
        let devices = history.devices().await.unwrap_err();
        assert_eq!(devices.to_string(), error);
        let waiting = tokio::spawn(wait_for(history.clone(), Vec::new(), Instant::now()));
        fs::create_dir(&folder).unwrap();
        timeout(Duration::from_secs(40), waiting)
            .await
            .unwrap()
            .unwrap();
        assert!(history.is_open());
        assert_eq!(history.devices().await.unwrap(), []);
    }
}
