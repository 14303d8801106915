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
    let mut doubted = false;
    // By a clock that nobody sets.
    let mut asked = Instant::now();
    loop {
        minutes.tick().await;
        match once(&history, &retention, &clock, &mut asked, &mut doubted).await {
            Ok(rows) => {
                trouble = false;
                if rows > 0 {
                    tracing::debug!("{rows} old rows were deleted");
                }
            }
            Err(error) => {
                // Whoever stores or opens it says so as well.
                if !trouble && !error.is_transient() && history.is_open() {
                    tracing::warn!("old readings are not summed up: {error}");
                    trouble = true;
                }
            }
        }
    }
}

async fn once(
    history: &History,
    retention: &Retention,
    clock: &Clock,
    asked: &mut Instant,
    doubted: &mut bool,
) -> Result<u64, HistoryError> {
    history.roll_up(clock.now()).await?;
    let believed = history.believe(clock.now(), asked.elapsed()).await?;
    *asked = Instant::now();
    let off = believed.is_off_by();
    if let Some(off_ms) = off.filter(|_| !*doubted) {
        tracing::warn!(
            "the clock is {} days {} what it was; is it right? Nothing is deleted by it until \
             the recorder has been running with it for a day",
            off_ms.unsigned_abs() / 86_400_000,
            if off_ms < 0 { "behind" } else { "ahead of" },
        );
    }
    *doubted = off.is_some();
    let mut rows = 0;
    loop {
        let purged = history.purge(believed, retention, PIECE).await?;
        rows += purged.rows;
        if !purged.more {
            return Ok(rows);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use aldis_history::{Arrival, DeviceKey, Taken, What};
    use aldis_protocol::Reading;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    const DAY: i64 = 86_400_000;

    /// A clock that is wrong for a minute, in which a device speaks, would empty the store.
    #[tokio::test]
    async fn a_wrong_clock_deletes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path().join("history.db").to_str().unwrap())
            .await
            .unwrap();
        let now = Arc::new(AtomicI64::new(NOW));
        let told = now.clone();
        let clock = Clock::new(move || told.load(Ordering::Relaxed));
        let retention = Retention {
            raw_ms: Some(90 * DAY),
            ..Retention::default()
        };
        let hear = async |seq, at: i64| {
            let reading = What::Reading(Taken {
                life: 1,
                seq,
                boot: 1,
                taken_ms: at,
                exact: true,
                reading: Reading { t: 211, h: 500 },
            });
            let arrival = Arrival {
                device: DeviceKey::new("aldis", "kitchen").unwrap(),
                received_ms: at,
                received: None,
                what: reading,
            };
            history.commit(&[arrival]).await.unwrap();
        };
        hear(1, NOW - 100 * DAY).await;
        hear(2, NOW - DAY).await;
        let (mut asked, mut doubted) = (Instant::now(), false);
        let mut deleted = async |ran: Duration| {
            asked = Instant::now().checked_sub(ran).unwrap();
            let rows = once(&history, &retention, &clock, &mut asked, &mut doubted)
                .await
                .unwrap();
            assert!(asked.elapsed() < EACH);
            (rows, doubted)
        };
        assert_eq!(deleted(EACH).await, (0, false));
        assert_eq!(deleted(Duration::from_secs(86_400)).await, (1, false));

        now.fetch_add(3650 * DAY, Ordering::Relaxed);
        hear(3, NOW + 3650 * DAY).await;
        assert_eq!(deleted(EACH).await, (0, true));
        assert_eq!(deleted(EACH).await, (0, true));
        now.store(NOW, Ordering::Relaxed);
        assert_eq!(deleted(EACH).await, (0, false));
        assert_eq!(history.sizes().await.unwrap().readings, 2);
    }
}
