//! Deletes what is too old, in pieces, so that writing goes on between them.

use super::super::FOR_UPDATE;
use super::{Connection, Store, lock, transaction};
use crate::clock::{Believed, Clock, DAY_MS};
use crate::error::HistoryError;
use crate::view::{Purged, Retention};
use crate::when::{HOUR_MS, LATE_MS, floor};

/// How far the time may be ahead of what was heard last. Where it is further ahead nobody speaks
/// any more, and nothing is gained by deleting.
const AHEAD_MS: i64 = DAY_MS;

/// What is deleted of which table: devices that have some, and how it is deleted of one.
struct Rule {
    devices: &'static str,
    delete: &'static str,
}

const RAW: Rule = Rule {
    devices: "SELECT CAST(d.id AS BIGINT) FROM device d WHERE d.removed = 0 AND EXISTS \
              (SELECT 1 FROM reading x WHERE x.device = d.id AND x.taken_ms < $1) ORDER BY d.id",
    delete: "DELETE FROM reading WHERE (series, seq) IN (SELECT series, seq FROM reading \
             WHERE device = $1 AND taken_ms < $2 ORDER BY taken_ms LIMIT $3)",
};
const FIVE: Rule = Rule {
    devices: "SELECT CAST(d.id AS BIGINT) FROM device d WHERE d.removed = 0 AND EXISTS \
              (SELECT 1 FROM five x WHERE x.device = d.id AND x.start_ms < $1 \
               AND x.start_ms < d.raw_from) ORDER BY d.id",
    delete: "DELETE FROM five WHERE (device, start_ms) IN (SELECT device, start_ms FROM five \
             WHERE device = $1 AND start_ms < $2 ORDER BY start_ms LIMIT $3)",
};
const HOUR: Rule = Rule {
    devices: "SELECT CAST(d.id AS BIGINT) FROM device d WHERE d.removed = 0 AND EXISTS \
              (SELECT 1 FROM hour x WHERE x.device = d.id AND x.start_ms < $1) ORDER BY d.id",
    delete: "DELETE FROM hour WHERE (device, start_ms) IN (SELECT device, start_ms FROM hour \
             WHERE device = $1 AND start_ms < $2 ORDER BY start_ms LIMIT $3)",
};
/// The last of each state before that time stays: it is what the device was in from then on.
const EVENTS: Rule = Rule {
    devices: "SELECT CAST(d.id AS BIGINT) FROM device d WHERE d.removed = 0 AND EXISTS \
              (SELECT 1 FROM event x WHERE x.device = d.id AND x.at_ms < $1) ORDER BY d.id",
    delete: "DELETE FROM event WHERE id IN (SELECT x.id FROM event x \
             WHERE x.device = $1 AND x.at_ms < $2 AND (x.mark IS NOT NULL OR EXISTS \
             (SELECT 1 FROM event y WHERE y.device = x.device AND y.kind = x.kind \
              AND y.at_ms < $2 AND (y.at_ms, y.id) > (x.at_ms, x.id))) \
             ORDER BY x.at_ms LIMIT $3)",
};
const DIAGS: Rule = Rule {
    devices: "SELECT CAST(d.id AS BIGINT) FROM device d WHERE d.removed = 0 AND EXISTS \
              (SELECT 1 FROM diag x WHERE x.device = d.id AND x.at_ms < $1) ORDER BY d.id",
    delete: "DELETE FROM diag WHERE (device, life, boot, uptime_s) IN \
             (SELECT device, life, boot, uptime_s FROM diag \
             WHERE device = $1 AND at_ms < $2 ORDER BY at_ms LIMIT $3)",
};

/// What is deleted of a device that was removed; its row goes last.
const REMOVED: [&str; 8] = [
    "DELETE FROM reading WHERE (series, seq) IN \
     (SELECT series, seq FROM reading WHERE device = $1 LIMIT $2)",
    "DELETE FROM five WHERE (device, start_ms) IN \
     (SELECT device, start_ms FROM five WHERE device = $1 LIMIT $2)",
    "DELETE FROM hour WHERE (device, start_ms) IN \
     (SELECT device, start_ms FROM hour WHERE device = $1 LIMIT $2)",
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE device = $1 LIMIT $2)",
    "DELETE FROM diag WHERE (device, life, boot, uptime_s) IN \
     (SELECT device, life, boot, uptime_s FROM diag WHERE device = $1 LIMIT $2)",
    "DELETE FROM touched WHERE (device, start_ms) IN \
     (SELECT device, start_ms FROM touched WHERE device = $1 LIMIT $2)",
    "DELETE FROM newest WHERE (device, kind) IN \
     (SELECT device, kind FROM newest WHERE device = $1 LIMIT $2)",
    "DELETE FROM run WHERE (series, first) IN \
     (SELECT r.series, r.first FROM series s JOIN run r ON r.series = s.id \
      WHERE s.device = $1 LIMIT $2)",
];

/// Which table a boundary is kept of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Raw,
    Five,
    None,
}

impl Store {
    /// Takes what the clock says, so many milliseconds of running after it was asked before.
    ///
    /// Where it was set back, what came before that in its future is doubted first: after a crash
    /// in between it would never be.
    pub async fn believe(&self, now: i64, ran_ms: i64) -> Result<Believed, HistoryError> {
        let said: Option<i64> = self
            .one("SELECT coalesce(told_ms, believed_ms) FROM clock")
            .await?;
        let was_set_back = said.is_some_and(|said| {
            let expected = said.saturating_add(ran_ms.max(0));
            expected.saturating_sub(now) > LATE_MS
        });
        if was_set_back {
            self.doubt(now).await?;
        }
        transaction!(self, tx => {
            let statement = ["SELECT believed_ms, told_ms, ran_ms FROM clock", FOR_UPDATE];
            let (believed_ms, told_ms, before_ms): (Option<i64>, Option<i64>, i64) =
                sqlx::query_as(sqlx::AssertSqlSafe(statement.concat()))
                    .fetch_one(&mut *tx)
                    .await?;
            let mut clock = Clock {
                believed_ms,
                told_ms,
                ran_ms: before_ms,
            };
            let believed = clock.tell(now, ran_ms);
            sqlx::query("UPDATE clock SET believed_ms = $1, told_ms = $2, ran_ms = $3")
                .bind(clock.believed_ms)
                .bind(clock.told_ms)
                .bind(clock.ran_ms)
                .execute(&mut *tx)
                .await?;
            believed
        })
    }

    /// Deletes at most so many rows that are too old, or of removed devices.
    pub async fn purge(
        &self,
        believed: Believed,
        retention: &Retention,
        at_most: u32,
    ) -> Result<Purged, HistoryError> {
        let limit = i64::from(at_most.max(1));
        let mut rows = 0;
        let heard: Option<i64> = self.one("SELECT max(last_ms) FROM device").await?;
        let Some(heard) = heard else {
            return Ok(Purged::default());
        };
        while rows < limit {
            let removed = self
                .one("SELECT CAST(min(id) AS BIGINT) FROM device WHERE removed = 1")
                .await?;
            let Some(id) = removed else { break };
            rows += self.purge_removed(id, limit - rows).await?;
        }
        let Some(until) = believed.until_ms else {
            return Ok(purged(rows, limit));
        };
        if let Some(now) = believed.now_ms {
            self.lower_boundaries(now).await?;
        }
        let now = until.min(heard.saturating_add(AHEAD_MS));
        let rules = [
            (RAW, retention.raw_ms, Boundary::Raw),
            (FIVE, retention.five_ms, Boundary::Five),
            (HOUR, retention.hour_ms, Boundary::None),
            (EVENTS, retention.events_ms, Boundary::None),
            (DIAGS, retention.diag_ms, Boundary::None),
        ];
        for (rule, kept_ms, boundary) in rules {
            let Some(kept_ms) = kept_ms else { continue };
            let before = now.saturating_sub(kept_ms.max(0));
            let devices: Vec<i64> = sqlx::query_scalar(rule.devices)
                .bind(before)
                .fetch_all(self.reader())
                .await
                .map_err(|error| self.error(&error))?;
            for id in devices {
                if rows >= limit {
                    break;
                }
                rows += self
                    .purge_piece(id, &rule, before, boundary, limit - rows)
                    .await?;
            }
        }
        if let Some(kept_ms) = retention.events_ms {
            let before = now.saturating_sub(kept_ms.max(0));
            rows += self.purge_listened(before, limit - rows).await?;
        }
        Ok(purged(rows, limit))
    }

    /// Deletes when recorders listened, as events are; the last stays, as the last of each state
    /// does.
    async fn purge_listened(&self, before: i64, limit: i64) -> Result<i64, HistoryError> {
        if limit <= 0 {
            return Ok(0);
        }
        transaction!(self, tx => {
            let deleted = sqlx::query(
                "DELETE FROM listened WHERE id IN (SELECT id FROM listened WHERE until_ms < $1 \
                 AND until_ms < (SELECT max(until_ms) FROM listened) LIMIT $2)",
            )
            .bind(before)
            .bind(limit)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            i64::try_from(deleted).unwrap_or(i64::MAX)
        })
    }

    /// Takes boundaries back that a wrong clock left in the future: readings would be taken for
    /// late ones until then, and charts be made of hours.
    ///
    /// Before the hour that comes next they stay what they were, late: what they were added to
    /// may be all that is left of others.
    async fn lower_boundaries(&self, now: i64) -> Result<(), HistoryError> {
        let future = now.saturating_add(DAY_MS);
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT CAST(id AS BIGINT) FROM device \
             WHERE removed = 0 AND (raw_from > $1 OR five_from > $1) ORDER BY id",
        )
        .bind(future)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        if ids.is_empty() {
            return Ok(());
        }
        let next = floor(now, HOUR_MS).saturating_add(HOUR_MS);
        transaction!(self, tx => {
            let locked = lock(&mut tx, &ids).await?;
            for (&id, device) in &locked {
                let back = |from: i64| if from > future { next } else { from };
                let five_from = back(device.five_from);
                // Five minutes that are gone cannot be made anew of what comes late.
                let raw_from = back(device.raw_from).max(five_from);
                set(&mut tx, "UPDATE device SET five_from = $2 WHERE id = $1", id, five_from)
                    .await?;
                set(&mut tx, "UPDATE device SET raw_from = $2 WHERE id = $1", id, raw_from)
                    .await?;
            }
        })
    }

    async fn one(&self, statement: &'static str) -> Result<Option<i64>, HistoryError> {
        sqlx::query_scalar(statement)
            .fetch_one(self.reader())
            .await
            .map_err(|error| self.error(&error))
    }

    /// Deletes of one device what is before a moment.
    async fn purge_piece(
        &self,
        id: i64,
        rule: &Rule,
        before: i64,
        boundary: Boundary,
        limit: i64,
    ) -> Result<i64, HistoryError> {
        transaction!(self, tx => {
            let locked = lock(&mut tx, &[id]).await?;
            match locked.get(&id) {
                Some(device) if !device.removed => {
                    let before = match boundary {
                        Boundary::Raw => {
                            // What is not rolled up yet stays, and whole hours go.
                            let open: Option<i64> = sqlx::query_scalar(
                                "SELECT min(start_ms) FROM touched WHERE device = $1",
                            )
                            .bind(id)
                            .fetch_one(&mut *tx)
                            .await?;
                            let done = before.min(open.unwrap_or(i64::MAX));
                            let hour = floor(done, HOUR_MS);
                            let from = hour.max(device.raw_from);
                            set(&mut tx, "UPDATE device SET raw_from = $2 WHERE id = $1", id, from)
                                .await?;
                            hour
                        }
                        Boundary::Five => {
                            // Five minutes whose readings are there can be made anew.
                            let done = before.min(device.raw_from);
                            let hour = floor(done, HOUR_MS);
                            let from = hour.max(device.five_from);
                            set(&mut tx, "UPDATE device SET five_from = $2 WHERE id = $1", id, from)
                                .await?;
                            hour
                        }
                        Boundary::None => before,
                    };
                    let deleted = sqlx::query(rule.delete)
                        .bind(id)
                        .bind(before)
                        .bind(limit)
                        .execute(&mut *tx)
                        .await?
                        .rows_affected();
                    i64::try_from(deleted).unwrap_or(i64::MAX)
                }
                _ => 0,
            }
        })
    }

    /// Deletes of a device that was removed, and at last the device.
    async fn purge_removed(&self, id: i64, limit: i64) -> Result<i64, HistoryError> {
        transaction!(self, tx => {
            lock(&mut tx, &[id]).await?;
            let mut left = limit;
            for delete in REMOVED {
                let deleted = sqlx::query(delete)
                    .bind(id)
                    .bind(left)
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
                left -= i64::try_from(deleted).unwrap_or(i64::MAX);
                if left <= 0 {
                    break;
                }
            }
            if left > 0 {
                // As many as the device had lives: a handful.
                for delete in [
                    "DELETE FROM series WHERE device = $1",
                    "DELETE FROM device WHERE id = $1",
                ] {
                    sqlx::query(delete).bind(id).execute(&mut *tx).await?;
                }
                left -= 1;
            }
            limit - left
        })
    }
}

fn purged(rows: i64, limit: i64) -> Purged {
    Purged {
        rows: u64::try_from(rows).unwrap_or(0),
        more: rows >= limit,
    }
}

async fn set(
    tx: &mut Connection,
    statement: &'static str,
    id: i64,
    from: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .bind(id)
        .bind(from)
        .execute(&mut *tx)
        .await?;
    Ok(())
}
