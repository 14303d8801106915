//! Readings of a time that turned out to be still to come.

use super::{Store, lock, transaction};
use crate::error::HistoryError;
use crate::when::LATE_MS;

/// How long before it came a reading may have been taken, to be looked for: a device that was
/// without contact sends what it holds.
const HELD_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

impl Store {
    /// Takes what came later than it is now for what it is: it came when the clock was ahead, so
    /// its times are no more than the latest that they can be.
    pub(super) async fn doubt(&self, now: i64) -> Result<(), HistoryError> {
        // Recorders that share a store may differ a little.
        let future = now.saturating_add(LATE_MS);
        let oldest = now.saturating_sub(HELD_MS);
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT CAST(d.id AS BIGINT) FROM device d WHERE d.removed = 0 AND \
             (d.first_ms > $1 OR EXISTS (SELECT 1 FROM reading x WHERE x.device = d.id \
              AND x.taken_ms > $2 AND x.received_ms > $1 AND x.exact = 1)) ORDER BY d.id",
        )
        .bind(future)
        .bind(oldest)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        for id in ids {
            transaction!(self, tx => {
                lock(&mut tx, &[id]).await?;
                sqlx::query(
                    "UPDATE reading SET exact = 0 WHERE device = $1 AND taken_ms > $2 \
                     AND received_ms > $3 AND exact = 1",
                )
                .bind(id)
                .bind(oldest)
                .bind(future)
                .execute(&mut *tx)
                .await?;
                sqlx::query("UPDATE device SET first_ms = $2 WHERE id = $1 AND first_ms > $3")
                    .bind(id)
                    .bind(now)
                    .bind(future)
                    .execute(&mut *tx)
                    .await?;
            })?;
        }
        Ok(())
    }
}
