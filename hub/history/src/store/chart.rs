//! Points for a chart: as many as can be told apart, of the level that has them soonest.

use std::collections::BTreeSet;

use futures::TryStreamExt;

use super::super::{BEGIN_READ, Connection, SUMS};
use super::roll::about;
use super::{Store, chunks};
use crate::arrival::DeviceKey;
use crate::error::HistoryError;
use crate::points::{Points, plan};
use crate::view::{Chart, Level};
use crate::when::{FIVE_MS, HOUR_MS, Sum, Sums, floor};

/// Sums of a stretch as they come from the database.
type Row = (i64, i64, i64, i64, i64, i64, i64, i64);
/// The same, with the device before it.
type ChangedRow = (i64, i64, i64, i64, i64, i64, i64, i64, i64);

impl Store {
    /// The readings from one moment to before another, in `max_points` points at most.
    pub async fn chart(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
        max_points: u32,
    ) -> Result<Chart, HistoryError> {
        let id = self.id(device).await?;
        let read = async {
            // One look at everything: what is rolled up or purged meanwhile is seen once.
            let mut tx = self.reader().begin_with(BEGIN_READ).await?;
            let chart = draw(&mut tx, id, from, to, max_points).await?;
            tx.rollback().await?;
            Ok(chart)
        };
        read.await.map_err(|error| self.error(&error))
    }
}

async fn draw(
    tx: &mut Connection,
    id: i64,
    from: i64,
    to: i64,
    max_points: u32,
) -> Result<Chart, sqlx::Error> {
    let (raw_from, five_from): (i64, i64) =
        sqlx::query_as("SELECT raw_from, five_from FROM device WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?
            .unwrap_or_default();
    // Time without any reading needs no points.
    let ends: (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT min(ms), max(ms) FROM (\
         SELECT min(taken_ms) AS ms FROM reading WHERE device = $1 AND taken_ms >= $2 AND taken_ms < $3 \
         UNION ALL SELECT max(taken_ms) FROM reading WHERE device = $1 AND taken_ms >= $2 AND taken_ms < $3 \
         UNION ALL SELECT min(start_ms) FROM five WHERE device = $1 AND start_ms > $4 AND start_ms < $3 \
         UNION ALL SELECT max(start_ms) + 299999 FROM five WHERE device = $1 AND start_ms > $4 AND start_ms < $3 \
         UNION ALL SELECT min(start_ms) FROM hour WHERE device = $1 AND start_ms > $5 AND start_ms < $3 \
         UNION ALL SELECT max(start_ms) + 3599999 FROM hour WHERE device = $1 AND start_ms > $5 AND start_ms < $3\
         ) AS ends",
    )
    .bind(id)
    .bind(from)
    .bind(to)
    .bind(from.saturating_sub(FIVE_MS))
    .bind(from.saturating_sub(HOUR_MS))
    .fetch_one(&mut *tx)
    .await?;
    let (Some(first), Some(last)) = ends else {
        return Ok(Chart {
            level: Level::Raw,
            width_ms: 0,
            points: Vec::new(),
        });
    };
    let from = from.max(first);
    let to = to.min(last.saturating_add(1));
    let max = i64::from(max_points.max(1));
    let few = if from >= raw_from {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM reading WHERE device = $1 AND taken_ms >= $2 \
             AND taken_ms < $3 LIMIT $4) AS few",
        )
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(max + 1)
        .fetch_one(&mut *tx)
        .await?;
        count <= max
    } else {
        false
    };
    let plan = plan(from, to, max, few, raw_from, five_from);
    let mut points = Points::new(plan.width_ms);
    match plan.level {
        Level::Raw => raw(tx, id, from, to, &mut points).await?,
        Level::Five => fives(tx, id, floor(from, plan.width_ms), to, &mut points).await?,
        Level::Hour => hours(tx, id, floor(from, plan.width_ms), to, &mut points).await?,
    }
    Ok(Chart {
        level: plan.level,
        width_ms: plan.width_ms,
        points: points.end(),
    })
}

async fn raw(
    tx: &mut Connection,
    id: i64,
    from: i64,
    to: i64,
    points: &mut Points,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_as::<_, (i64, i64, i64)>(
        "SELECT taken_ms, CAST(t AS BIGINT), CAST(h AS BIGINT) FROM reading \
         WHERE device = $1 AND taken_ms >= $2 AND taken_ms < $3 ORDER BY taken_ms, series, seq",
    )
    .bind(id)
    .bind(from)
    .bind(to)
    .fetch(&mut *tx);
    while let Some((taken_ms, t, h)) = rows.try_next().await? {
        let one = |value| Sum {
            min: value,
            max: value,
            sum: value,
        };
        points.add(
            taken_ms,
            Sums {
                n: 1,
                t: one(t),
                h: one(h),
            },
        );
    }
    Ok(())
}

/// Five minutes as they were rolled up, and those that have changed since, of their readings.
async fn fives(
    tx: &mut Connection,
    id: i64,
    from: i64,
    to: i64,
    points: &mut Points,
) -> Result<(), sqlx::Error> {
    let changed = changed(tx, id, from, to).await?;
    let of_five = "SELECT start_ms, CAST(n AS BIGINT), CAST(t_min AS BIGINT), \
                   CAST(t_max AS BIGINT), t_sum, CAST(h_min AS BIGINT), CAST(h_max AS BIGINT), \
                   h_sum FROM five WHERE device = $1 AND start_ms >= $2 AND start_ms < $3";
    rolled(tx, of_five, (id, from, to), &changed, points).await?;
    let changed: Vec<_> = changed.into_iter().map(|start_ms| (id, start_ms)).collect();
    for chunk in chunks(&changed) {
        let mut query = about(chunk, SUMS);
        let mut rows = query.build_query_as::<ChangedRow>().fetch(&mut *tx);
        while let Some((_, start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum)) =
            rows.try_next().await?
        {
            let row = (start_ms, n, t_min, t_max, t_sum, h_min, h_max, h_sum);
            points.add(start_ms, sums(row));
        }
    }
    Ok(())
}

/// The five minutes that have changed since they were rolled up.
async fn changed(
    tx: &mut Connection,
    id: i64,
    from: i64,
    to: i64,
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let changed: Vec<i64> = sqlx::query_scalar(
        "SELECT start_ms FROM touched WHERE device = $1 AND start_ms >= $2 AND start_ms < $3 \
         ORDER BY start_ms",
    )
    .bind(id)
    .bind(from)
    .bind(to)
    .fetch_all(&mut *tx)
    .await?;
    Ok(changed.into_iter().collect())
}

/// Hours as they were rolled up, and those that have changed since, of their five minutes.
async fn hours(
    tx: &mut Connection,
    id: i64,
    from: i64,
    to: i64,
    points: &mut Points,
) -> Result<(), sqlx::Error> {
    // Whole hours, so that one whose end has changed is seen.
    let to = floor(to.saturating_sub(1), HOUR_MS).saturating_add(HOUR_MS);
    let fives_changed = changed(tx, id, from, to).await?;
    let changed: BTreeSet<_> = fives_changed
        .into_iter()
        .map(|start_ms| floor(start_ms, HOUR_MS))
        .collect();
    let of_hour = "SELECT start_ms, CAST(n AS BIGINT), CAST(t_min AS BIGINT), \
                   CAST(t_max AS BIGINT), t_sum, CAST(h_min AS BIGINT), CAST(h_max AS BIGINT), \
                   h_sum FROM hour WHERE device = $1 AND start_ms >= $2 AND start_ms < $3";
    rolled(tx, of_hour, (id, from, to), &changed, points).await?;
    // Hours that follow one another are read together.
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for hour in changed {
        match stretches.last_mut() {
            Some((_, end)) if hour == *end => *end = hour.saturating_add(HOUR_MS),
            _ => stretches.push((hour, hour.saturating_add(HOUR_MS))),
        }
    }
    for (start, end) in stretches {
        fives(tx, id, start, end, points).await?;
    }
    Ok(())
}

/// Takes what was rolled up and has not changed since.
async fn rolled(
    tx: &mut Connection,
    statement: &'static str,
    (id, from, to): (i64, i64, i64),
    changed: &BTreeSet<i64>,
    points: &mut Points,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_as::<_, Row>(statement)
        .bind(id)
        .bind(from)
        .bind(to)
        .fetch(&mut *tx);
    while let Some(row) = rows.try_next().await? {
        if !changed.contains(&row.0) {
            points.add(row.0, sums(row));
        }
    }
    Ok(())
}

fn sums((_, n, t_min, t_max, t_sum, h_min, h_max, h_sum): Row) -> Sums {
    Sums {
        n,
        t: Sum {
            min: t_min,
            max: t_max,
            sum: t_sum,
        },
        h: Sum {
            min: h_min,
            max: h_max,
            sum: h_sum,
        },
    }
}
