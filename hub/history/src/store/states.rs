//! States and other events.

use std::collections::{BTreeMap, HashMap};

use super::{Connection, Db, chunks, with};
use crate::arrival::{Arrival, DeviceKey, Kind, Noted};
use crate::when::is_later;

/// An event to be written: its device, and what it is.
type Row = (i64, Noted);

/// The newest of a device and a kind: when and what.
type Newest = BTreeMap<(i64, i64), (i64, String)>;

/// Stores the events of a batch; gives how many are new.
pub(super) async fn note(
    tx: &mut Connection,
    batch: &[Arrival],
    ids: &HashMap<DeviceKey, i64>,
) -> Result<u64, sqlx::Error> {
    let mut marked: Vec<Row> = Vec::new();
    let mut states: Vec<Row> = Vec::new();
    for arrival in batch {
        if let Some(noted) = arrival.what.noted(arrival.received_ms)
            && let Some(&device) = ids.get(&arrival.device)
        {
            match noted.mark {
                Some(_) => marked.push((device, noted)),
                None => states.push((device, noted)),
            }
        }
    }
    let mut new = write(tx, &marked).await?;
    if !states.is_empty() {
        new += note_states(tx, states).await?;
    }
    Ok(new)
}

/// Stores states that are not what they were.
async fn note_states(tx: &mut Connection, states: Vec<Row>) -> Result<u64, sqlx::Error> {
    let mut devices: Vec<_> = states.iter().map(|&(device, _)| device).collect();
    devices.sort_unstable();
    devices.dedup();
    let mut newest = newest_of(tx, &devices).await?;
    let mut changed = Newest::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut new = 0;
    for (device, noted) in states {
        let key = (device, noted.kind.number());
        match newest.get(&key) {
            Some((at_ms, _)) if !is_later(noted.at_ms, *at_ms) => {
                // Among those that are stored its place may be: they have to be there.
                new += write(tx, &std::mem::take(&mut rows)).await?;
                new += note_late(tx, device, noted).await?;
                continue;
            }
            Some((_, value)) if *value == noted.value => {}
            _ => {
                changed.insert(key, (noted.at_ms, noted.value.clone()));
                newest.insert(key, (noted.at_ms, noted.value.clone()));
                rows.push((device, noted));
            }
        }
    }
    new += write(tx, &rows).await?;
    write_newest(tx, &changed).await?;
    Ok(new)
}

/// Stores a state of before the newest one, which another recorder may have told.
async fn note_late(tx: &mut Connection, device: i64, noted: Noted) -> Result<u64, sqlx::Error> {
    let kind = noted.kind.number();
    let before: Option<String> = sqlx::query_scalar(
        "SELECT value FROM event WHERE device = $1 AND kind = $2 AND at_ms <= $3 \
         ORDER BY at_ms DESC, id DESC LIMIT 1",
    )
    .bind(device)
    .bind(kind)
    .bind(noted.at_ms)
    .fetch_optional(&mut *tx)
    .await?;
    if before.as_ref() == Some(&noted.value) {
        return Ok(0);
    }
    // What stands behind it may say the same: between the two there may have been another state
    // that is not told yet, so both stay.
    write(tx, &[(device, noted)]).await
}

async fn newest_of(tx: &mut Connection, devices: &[i64]) -> Result<Newest, sqlx::Error> {
    let mut newest = Newest::new();
    for chunk in chunks(devices) {
        let rows: Vec<(i64, i64, i64, String)> = with(
            "device",
            chunk,
            |mut row, device| {
                row.push_bind(*device);
            },
            "SELECT CAST(n.device AS BIGINT), CAST(n.kind AS BIGINT), n.at_ms, n.value \
             FROM v JOIN newest n ON n.device = v.device",
        )
        .build_query_as()
        .fetch_all(&mut *tx)
        .await?;
        newest.extend(
            rows.into_iter()
                .filter(|&(_, kind, _, _)| Kind::of(kind).is_some())
                .map(|(device, kind, at_ms, value)| ((device, kind), (at_ms, value))),
        );
    }
    Ok(newest)
}

/// Makes these the newest of their devices.
pub(super) async fn write_newest(tx: &mut Connection, newest: &Newest) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = newest.iter().collect();
    for chunk in chunks(&rows) {
        with(
            "device, kind, at_ms, value",
            chunk,
            |mut row, ((device, kind), (at_ms, value))| {
                row.push_bind(*device)
                    .push_bind(*kind)
                    .push_bind(*at_ms)
                    .push_bind(value.clone());
            },
            "INSERT INTO newest (device, kind, at_ms, value) \
             SELECT device, kind, at_ms, value FROM v WHERE true \
             ON CONFLICT (device, kind) DO UPDATE SET at_ms = excluded.at_ms, value = excluded.value",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Writes events, leaving out those that are stored; gives how many were not.
async fn write(tx: &mut Connection, rows: &[Row]) -> Result<u64, sqlx::Error> {
    let mut new = 0;
    for chunk in chunks(rows) {
        let mut query =
            sqlx::QueryBuilder::<Db>::new("INSERT INTO event (device, kind, at_ms, mark, value) ");
        query.push_values(chunk, |mut row, (device, noted)| {
            row.push_bind(*device)
                .push_bind(noted.kind.number())
                .push_bind(noted.at_ms)
                .push_bind(noted.mark.clone())
                .push_bind(noted.value.clone());
        });
        query.push(" ON CONFLICT DO NOTHING");
        new += query.build().execute(&mut *tx).await?.rows_affected();
    }
    Ok(new)
}
