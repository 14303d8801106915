//! Five-minute and hourly rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::SUMS;
use super::{Connection, Locked, Store, chunks, lock, transaction, with};
use crate::error::HistoryError;
use crate::when::{FIVE_MS, HOUR_MS, Sums, floor};

/// How many five minutes are rolled up in one transaction.
const PIECE: i64 = 1024;

/// A device and where the stretch begins.
type Bucket = (i64, i64);

impl Store {
    /// Rolls up what has changed of the five minutes that are over; gives how many.
    pub async fn roll_up(&self, now: i64) -> Result<u64, HistoryError> {
        let mut rolled: u64 = 0;
        loop {
            let piece = self.roll_piece(now).await?;
            rolled = rolled.saturating_add(piece);
            if piece < PIECE.unsigned_abs() {
                return Ok(rolled);
            }
        }
    }

    async fn roll_piece(&self, now: i64) -> Result<u64, HistoryError> {
        // Looked for without a lock: what another recorder rolls up meanwhile is rolled up twice,
        // to the same.
        let buckets: Vec<Bucket> = sqlx::query_as(
            "SELECT CAST(device AS BIGINT), start_ms FROM touched WHERE start_ms <= $1 \
             ORDER BY device, start_ms LIMIT $2",
        )
        .bind(now.saturating_sub(FIVE_MS))
        .bind(PIECE)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        if buckets.is_empty() {
            return Ok(0);
        }
        let devices: BTreeSet<_> = buckets.iter().map(|&(device, _)| device).collect();
        let devices: Vec<_> = devices.into_iter().collect();
        transaction!(self, tx => {
            lock(&mut tx, &devices).await?;
            let fives = [
                "INSERT INTO five (device, start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum) ",
                SUMS,
                " ON CONFLICT (device, start_ms) DO UPDATE SET n = excluded.n, \
                 t_min = excluded.t_min, t_max = excluded.t_max, t_sum = excluded.t_sum, \
                 h_min = excluded.h_min, h_max = excluded.h_max, h_sum = excluded.h_sum",
            ]
            .concat();
            for chunk in chunks(&buckets) {
                about(chunk, &fives).build().execute(&mut *tx).await?;
            }
            roll_hours(&mut tx, buckets.iter().copied()).await?;
            for chunk in chunks(&buckets) {
                about(
                    chunk,
                    "DELETE FROM touched WHERE (device, start_ms) IN \
                     (SELECT device, start_ms FROM v)",
                )
                .build()
                .execute(&mut *tx)
                .await?;
            }
        })?;
        Ok(buckets.len().try_into().unwrap_or(u64::MAX))
    }
}

/// A statement about stretches `v`.
pub(super) fn about(buckets: &[Bucket], statement: &str) -> sqlx::QueryBuilder<super::Db> {
    with(
        "device, start_ms",
        buckets,
        |mut row, &(device, start_ms)| {
            row.push_bind(device).push_bind(start_ms);
        },
        statement,
    )
}

/// Makes the hours that five minutes are in of all their five minutes.
async fn roll_hours(
    tx: &mut Connection,
    fives: impl Iterator<Item = Bucket>,
) -> Result<(), sqlx::Error> {
    let hours: BTreeSet<_> = fives
        .map(|(device, start_ms)| (device, floor(start_ms, HOUR_MS)))
        .collect();
    let hours: Vec<_> = hours.into_iter().collect();
    for chunk in chunks(&hours) {
        about(
            chunk,
            "INSERT INTO hour (device, start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum) \
             SELECT v.device, v.start_ms, sum(f.n), min(f.t_min), max(f.t_max), sum(f.t_sum), \
             min(f.h_min), max(f.h_max), sum(f.h_sum) \
             FROM v JOIN five f ON f.device = v.device \
             AND f.start_ms >= v.start_ms AND f.start_ms < v.start_ms + 3600000 \
             GROUP BY v.device, v.start_ms \
             ON CONFLICT (device, start_ms) DO UPDATE SET n = excluded.n, \
             t_min = excluded.t_min, t_max = excluded.t_max, t_sum = excluded.t_sum, \
             h_min = excluded.h_min, h_max = excluded.h_max, h_sum = excluded.h_sum",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Notes five minutes as to be rolled up.
pub(super) async fn touch(tx: &mut Connection, buckets: &[Bucket]) -> Result<(), sqlx::Error> {
    for chunk in chunks(buckets) {
        about(
            chunk,
            "INSERT INTO touched (device, start_ms) SELECT device, start_ms FROM v WHERE true \
             ON CONFLICT DO NOTHING",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Adds readings to five minutes whose other readings are purged, and to hours.
pub(super) async fn add_late(
    tx: &mut Connection,
    late: &BTreeMap<Bucket, Sums>,
    devices: &HashMap<i64, Locked>,
) -> Result<(), sqlx::Error> {
    let mut fives = Vec::new();
    let mut hours: BTreeMap<Bucket, Sums> = BTreeMap::new();
    for (&(device, start_ms), &sums) in late {
        let purged = devices
            .get(&device)
            .is_some_and(|device| start_ms < device.five_from);
        if purged {
            let hour = (device, floor(start_ms, HOUR_MS));
            hours.entry(hour).or_default().join(sums);
        } else {
            fives.push(((device, start_ms), sums));
        }
    }
    add(tx, "five", &fives).await?;
    roll_hours(tx, fives.iter().map(|&(bucket, _)| bucket)).await?;
    add(tx, "hour", &hours.into_iter().collect::<Vec<_>>()).await
}

async fn add(
    tx: &mut Connection,
    table: &'static str,
    rows: &[(Bucket, Sums)],
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let statement = format!(
            "INSERT INTO {table} (device, start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum) \
             SELECT device, start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum FROM v \
             WHERE true ON CONFLICT (device, start_ms) DO UPDATE SET n = {table}.n + excluded.n, \
             t_min = CASE WHEN excluded.t_min < {table}.t_min \
             THEN excluded.t_min ELSE {table}.t_min END, \
             t_max = CASE WHEN excluded.t_max > {table}.t_max \
             THEN excluded.t_max ELSE {table}.t_max END, \
             t_sum = {table}.t_sum + excluded.t_sum, \
             h_min = CASE WHEN excluded.h_min < {table}.h_min \
             THEN excluded.h_min ELSE {table}.h_min END, \
             h_max = CASE WHEN excluded.h_max > {table}.h_max \
             THEN excluded.h_max ELSE {table}.h_max END, \
             h_sum = {table}.h_sum + excluded.h_sum"
        );
        with(
            "device, start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum",
            chunk,
            |mut row, ((device, start_ms), sums)| {
                row.push_bind(*device)
                    .push_bind(*start_ms)
                    .push_bind(sums.n);
                for sum in [sums.t, sums.h] {
                    row.push_bind(sum.min).push_bind(sum.max).push_bind(sum.sum);
                }
            },
            &statement,
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
