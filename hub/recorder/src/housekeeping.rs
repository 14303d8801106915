//! What keeps the store small and charts fast.

use std::time::Duration;

use aldis_history::{History, HistoryError, Retention};
use tokio::time::{Instant, interval_at};

use crate::options::Clock;

/// How often what is over is rolled up.
const EACH: Duration = Duration::from_secs(60);
/// How many rows are deleted in one go.
const PIECE: u32 = 5_000;
/// How long others have their turn between two pieces.
const PAUSE: Duration = Duration::from_millis(20);

/// Rolls up and deletes, for ever.
pub(crate) async fn keep_house(history: History, retention: Retention, clock: Clock) {
    let mut minutes = interval_at(Instant::now() + Duration::from_secs(5), EACH);
    let mut trouble = false;
    loop {
        minutes.tick().await;
        match once(&history, &retention, &clock).await {
            Ok(rows) => {
                trouble = false;
                if rows > 0 {
                    tracing::debug!("{rows} old rows were deleted");
                }
            }
            Err(error) => {
                if !trouble {
                    tracing::warn!("old readings are not summed up: {error}");
                }
                trouble = true;
            }
        }
    }
}

async fn once(
    history: &History,
    retention: &Retention,
    clock: &Clock,
) -> Result<u64, HistoryError> {
    history.roll_up(clock.now()).await?;
    let mut rows = 0;
    loop {
        let purged = history.purge(clock.now(), retention, PIECE).await?;
        rows += purged.rows;
        if !purged.more {
            return Ok(rows);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
