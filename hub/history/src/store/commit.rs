//! Batches of arrivals.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aldis_protocol::Reading;

use super::{Connection, Db, Locked, Store, chunks, lock, roll, states, transaction, with};
use crate::arrival::{Arrival, DIAG, DeviceKey, Diag, HELD, What, clean, moment};
use crate::counts::{self, Count, Next};
use crate::error::{Failure, HistoryError};
use crate::runs::{Run, Runs};
use crate::view::{Committed, Series};
use crate::when::{Sums, five, is_later};

/// The longest JSON of a health report, in characters.
const MAX_BODY: usize = 8192;

/// A series as it is when its device is locked.
struct Known {
    id: i64,
    base: i64,
    confirmed: i64,
    /// No later life of the device is known.
    present: bool,
    runs: Runs,
    /// Its highest number, and the earliest moment at which that can have been taken.
    top: i64,
    since_ms: i64,
}

/// The readings of a series in a batch.
type Batch<'a> = Vec<(&'a crate::arrival::Taken, i64)>;

/// A reading to be written.
struct Row {
    series: i64,
    device: i64,
    seq: i64,
    boot: i64,
    received_ms: i64,
    taken_ms: i64,
    exact: bool,
    reading: Reading,
}

impl Store {
    /// Stores a batch, all or nothing.
    pub async fn commit(&self, batch: &[Arrival]) -> Result<Committed, HistoryError> {
        let mut heard: BTreeMap<&DeviceKey, (i64, i64)> = BTreeMap::new();
        for arrival in batch {
            let ms = moment(arrival.received_ms);
            // The last of the batch is the last that was heard, even if the clock went back.
            let times = heard.entry(&arrival.device).or_insert((ms, ms));
            times.1 = ms;
        }
        if heard.is_empty() {
            return Ok(Committed::default());
        }
        let (committed, ids) = transaction!(self, tx => {
            let ids = self.devices_of(&mut tx, &heard).await?;
            let mut sorted: Vec<_> = ids.values().copied().collect();
            sorted.sort_unstable();
            let locked = lock(&mut tx, &sorted).await?;
            if locked.len() < sorted.len() || locked.values().any(|row| row.removed) {
                // Removed since its id was noted.
                self.ids().retain(|_, id| locked.get(id).is_some_and(|row| !row.removed));
                return Err(Failure::Again);
            }
            let times: Vec<_> = heard
                .iter()
                .filter_map(|(key, &(_, last_ms))| {
                    let id = *ids.get(*key)?;
                    let row = locked.get(&id)?;
                    is_later(last_ms, row.last_ms).then_some((id, last_ms))
                })
                .collect();
            heard_at(&mut tx, &times).await?;
            let series = readings(&mut tx, batch, &ids, &locked).await?;
            let events = states::note(&mut tx, batch, &ids).await?;
            let diags = diags(&mut tx, batch, &ids).await?;
            (Committed { series, events, diags }, ids)
        })?;
        self.ids().extend(ids);
        Ok(committed)
    }

    /// The ids of the devices of a batch; those that are new are made.
    async fn devices_of(
        &self,
        tx: &mut Connection,
        heard: &BTreeMap<&DeviceKey, (i64, i64)>,
    ) -> Result<HashMap<DeviceKey, i64>, Failure> {
        let mut ids = HashMap::with_capacity(heard.len());
        let mut unknown = Vec::new();
        {
            let noted = self.ids();
            for &key in heard.keys() {
                match noted.get(key) {
                    Some(&id) => drop(ids.insert(key.clone(), id)),
                    None => unknown.push(key),
                }
            }
        }
        for make in [false, true] {
            if unknown.is_empty() {
                break;
            }
            if make {
                if let Some(alone) = super::ALONE {
                    sqlx::query(alone).execute(&mut *tx).await?;
                }
                for chunk in chunks(&unknown) {
                    with(
                        "prefix, name, first_ms, last_ms",
                        chunk,
                        |mut row, key| {
                            let (first_ms, last_ms) = heard.get(*key).copied().unwrap_or_default();
                            row.push_bind(key.prefix().to_owned())
                                .push_bind(key.id().to_owned())
                                .push_bind(first_ms)
                                .push_bind(last_ms);
                        },
                        "INSERT INTO device (prefix, name, first_ms, last_ms) \
                         SELECT prefix, name, first_ms, last_ms FROM v WHERE true \
                         ON CONFLICT DO NOTHING",
                    )
                    .build()
                    .execute(&mut *tx)
                    .await?;
                }
            }
            for chunk in chunks(&unknown) {
                let found: Vec<(i64, String, String)> = with(
                    "prefix, name",
                    chunk,
                    |mut row, key| {
                        row.push_bind(key.prefix().to_owned())
                            .push_bind(key.id().to_owned());
                    },
                    "SELECT CAST(d.id AS BIGINT), d.prefix, d.name FROM v \
                     JOIN device d ON d.prefix = v.prefix AND d.name = v.name \
                     WHERE d.removed = 0",
                )
                .build_query_as()
                .fetch_all(&mut *tx)
                .await?;
                ids.extend(
                    found
                        .into_iter()
                        .map(|(id, prefix, name)| (DeviceKey::stored(prefix, name), id)),
                );
            }
            unknown.retain(|key| !ids.contains_key(*key));
        }
        if unknown.is_empty() {
            Ok(ids)
        } else {
            Err(Failure::Again)
        }
    }

    /// Gives up what is missing of a series below and at a number.
    pub async fn give_up(
        &self,
        device: &DeviceKey,
        key: i64,
        up_to: u32,
    ) -> Result<Option<(u32, u64)>, HistoryError> {
        let id = self.id(device).await?;
        transaction!(self, tx => match series_in(&mut tx, id, key).await? {
            None => None,
            Some(mut known) => {
                let before = known.runs.clone();
                // What is above the highest is not missing, it has not come yet.
                let top = before.iter().last().map_or(0, |run| run.last);
                let lost = known.runs.lose(known.base, i64::from(up_to).min(top));
                let confirmed = known.runs.end(known.base).max(known.confirmed);
                write_runs(&mut tx, &[(known.id, before, known.runs)]).await?;
                write_series(&mut tx, &[(known.id, confirmed, 0)]).await?;
                Some((number(confirmed), u64::try_from(lost).unwrap_or(0)))
            }
        })
    }

    /// Begins a series at its lowest number that is stored.
    pub async fn settle(&self, device: &DeviceKey, key: i64) -> Result<Option<u32>, HistoryError> {
        let id = self.id(device).await?;
        transaction!(self, tx => match series_in(&mut tx, id, key).await? {
            None => None,
            Some(known) => {
                let begun = known.runs.at(known.base).is_some();
                let lowest = known.runs.iter().find(|run| run.last >= known.base);
                match lowest {
                    Some(run) if !begun => {
                        let confirmed = known.runs.end(run.first).max(known.confirmed);
                        sqlx::query("UPDATE series SET base = $2, confirmed = $3 WHERE id = $1")
                            .bind(known.id)
                            .bind(run.first)
                            .bind(confirmed)
                            .execute(&mut *tx)
                            .await?;
                        Some(number(confirmed))
                    }
                    _ => Some(number(known.confirmed)),
                }
            }
        })
    }
}

/// A series with all its runs, its device locked until the end of the transaction; nothing if it
/// is not known, or the device removed.
async fn series_in(
    tx: &mut Connection,
    device: i64,
    key: i64,
) -> Result<Option<Known>, sqlx::Error> {
    let locked = lock(tx, &[device]).await?;
    if locked.get(&device).is_none_or(|row| row.removed) {
        return Ok(None);
    }
    let mut all = series_of(tx, &[(device, counts::life(key))]).await?;
    let Some(mut known) = all.remove(&(device, key)) else {
        return Ok(None);
    };
    load_runs(tx, &mut [(&mut known, 0, i64::from(u32::MAX) + 1)]).await?;
    Ok(Some(known))
}

/// Where counting begins if this is the lowest number that is known: a device may still have
/// as many readings of before.
fn base(lowest: u32) -> i64 {
    i64::from(lowest.saturating_sub(HELD).max(1).min(lowest))
}

/// A number of a reading as it came.
pub(super) fn number(seq: i64) -> u32 {
    u32::try_from(seq).unwrap_or(if seq < 0 { 0 } else { u32::MAX })
}

async fn heard_at(tx: &mut Connection, times: &[(i64, i64)]) -> Result<(), sqlx::Error> {
    for chunk in chunks(times) {
        with(
            "id, last_ms",
            chunk,
            |mut row, &(id, last_ms)| {
                row.push_bind(id).push_bind(last_ms);
            },
            "UPDATE device SET last_ms = v.last_ms FROM v WHERE device.id = v.id",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Stores the readings of a batch.
async fn readings(
    tx: &mut Connection,
    batch: &[Arrival],
    ids: &HashMap<DeviceKey, i64>,
    devices: &HashMap<i64, Locked>,
) -> Result<Vec<Series>, sqlx::Error> {
    // In the order in which they came: the last is the device's present one.
    let mut lives: Vec<(i64, u32)> = Vec::new();
    let mut seen = HashSet::new();
    for arrival in batch {
        if let What::Reading(taken) = &arrival.what
            && let Some(&device) = ids.get(&arrival.device)
            && seen.insert((device, taken.life))
        {
            lives.push((device, taken.life));
        }
    }
    if lives.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = series_of(tx, &lives).await?;
    let lowest = lowest_of(batch);
    let mut counts = counts_of(&known);
    let mut by_series: BTreeMap<(&DeviceKey, i64), (i64, Batch<'_>)> = BTreeMap::new();
    for arrival in batch {
        let (What::Reading(taken), Some(&device)) = (&arrival.what, ids.get(&arrival.device))
        else {
            continue;
        };
        let received_ms = moment(arrival.received_ms);
        let taken_ms = moment(taken.taken_ms);
        let next = Next {
            seq: taken.seq.into(),
            received_ms,
            taken_ms,
            exact: taken.exact && taken_ms == taken.taken_ms,
        };
        let of_life = counts.entry((device, taken.life)).or_default();
        let is_first = of_life.is_empty();
        let key = counts::place(of_life, taken.life, next, |seq| {
            // What is farther ahead does not begin where the batch does.
            let lowest = lowest.get(&(&arrival.device, taken.life)).copied();
            base(match lowest.filter(|_| is_first) {
                Some(lowest) => lowest,
                None => u32::try_from(seq).unwrap_or(u32::MAX),
            })
        });
        by_series
            .entry((&arrival.device, key))
            .or_insert_with(|| (device, Vec::new()))
            .1
            .push((taken, received_ms));
    }
    let new: Vec<_> = lives
        .iter()
        .flat_map(|&(device, life)| {
            let of_life = counts.get(&(device, life)).into_iter().flatten();
            of_life.map(move |count| (device, count.key, count.base))
        })
        .filter(|(device, key, _)| !known.contains_key(&(*device, *key)))
        .collect();
    make_series(tx, &new, &mut known).await?;
    // What is new is later than what was known.
    let latest: HashMap<i64, u32> = new
        .iter()
        .map(|&(device, key, _)| (device, counts::life(key)))
        .collect();
    for ((device, key), series) in &mut known {
        if let Some(latest) = latest.get(device) {
            series.present = *latest == counts::life(*key);
        }
    }

    let mut spans = Vec::with_capacity(known.len());
    for (&(_, key), (device, readings)) in &by_series {
        let seqs = || readings.iter().map(|(taken, _)| i64::from(taken.seq));
        let (low, high) = (seqs().min().unwrap_or(0), seqs().max().unwrap_or(0));
        if let Some(series) = known.remove(&(*device, key)) {
            spans.push((series, low - 1, high + 1));
        }
    }
    let mut borrowed: Vec<_> = spans
        .iter_mut()
        .map(|(series, low, high)| (series, *low, *high))
        .collect();
    load_runs(tx, &mut borrowed).await?;

    let mut rows = Vec::new();
    let mut runs = Vec::with_capacity(spans.len());
    let mut numbers = Vec::with_capacity(spans.len());
    let mut told = Vec::with_capacity(spans.len());
    for ((&(name, key), (device, readings)), (series, ..)) in by_series.iter().zip(spans) {
        let before = series.runs.clone();
        let mut after = series.runs;
        let (mut new, mut repeated) = (0_u64, 0_u64);
        for &(taken, received_ms) in readings {
            if !after.store(taken.seq.into()) {
                repeated += 1;
                continue;
            }
            new += 1;
            let taken_ms = moment(taken.taken_ms);
            rows.push(Row {
                series: series.id,
                device: *device,
                seq: taken.seq.into(),
                boot: taken.boot.into(),
                received_ms,
                taken_ms,
                exact: taken.exact && taken_ms == taken.taken_ms,
                reading: taken.reading,
            });
        }
        // What is given up is given up to a number, so above the confirmed there are only stored
        // runs, and the one that grows to it is among those that were read.
        let confirmed = after.end(series.confirmed + 1);
        if new > 0 {
            runs.push((series.id, before, after));
        }
        if repeated > 0 || confirmed != series.confirmed {
            numbers.push((series.id, confirmed, i64::try_from(repeated).unwrap_or(0)));
        }
        told.push(Series {
            device: name.clone(),
            life: counts::life(key),
            count: counts::count(key),
            highest: readings
                .iter()
                .map(|(taken, _)| taken.seq)
                .max()
                .unwrap_or(0),
            present: series.present,
            confirmed: number(confirmed),
            new,
            repeated,
        });
    }
    write_runs(tx, &runs).await?;
    write_series(tx, &numbers).await?;
    write_readings(tx, &rows).await?;
    roll_later(tx, &rows, devices).await?;
    Ok(told)
}

/// The lowest number of each life in a batch.
fn lowest_of(batch: &[Arrival]) -> HashMap<(&DeviceKey, u32), u32> {
    let mut lowest = HashMap::new();
    for arrival in batch {
        if let What::Reading(taken) = &arrival.what {
            let of = lowest
                .entry((&arrival.device, taken.life))
                .or_insert(taken.seq);
            *of = taken.seq.min(*of);
        }
    }
    lowest
}

/// The counts of each life that are stored, the oldest first.
fn counts_of(known: &HashMap<(i64, i64), Known>) -> HashMap<(i64, u32), Vec<Count>> {
    let mut counts: HashMap<(i64, u32), Vec<Count>> = HashMap::new();
    for (&(device, key), series) in known {
        let of_life = counts.entry((device, counts::life(key))).or_default();
        of_life.push(Count {
            key,
            base: series.base,
            top: series.top,
            since_ms: series.since_ms,
        });
    }
    for of_life in counts.values_mut() {
        of_life.sort_unstable_by_key(|count| count.key);
    }
    counts
}

/// What is known of all series of lives, by device and key.
async fn series_of(
    tx: &mut Connection,
    wanted: &[(i64, u32)],
) -> Result<HashMap<(i64, i64), Known>, sqlx::Error> {
    type Row = (
        i64,
        i64,
        i64,
        i64,
        i64,
        i64,
        i64,
        Option<i64>,
        Option<i64>,
        Option<i64>,
    );
    let mut known = HashMap::with_capacity(wanted.len());
    for chunk in chunks(wanted) {
        let rows: Vec<Row> = with(
            "device, life",
            chunk,
            |mut row, &(device, life)| {
                row.push_bind(device).push_bind(i64::from(life));
            },
            "SELECT CAST(k.device AS BIGINT), k.life, CAST(k.id AS BIGINT), k.base, k.confirmed, \
             (SELECT l.life FROM series l WHERE l.device = k.device ORDER BY l.id DESC LIMIT 1), \
             d.first_ms, k.top, r.taken_ms, CAST(r.exact AS BIGINT) FROM \
             (SELECT s.*, (SELECT x.last FROM run x WHERE x.series = s.id \
                           ORDER BY x.first DESC LIMIT 1) AS top \
              FROM v JOIN series s ON s.device = v.device AND s.life % 4294967296 = v.life) k \
             JOIN device d ON d.id = k.device \
             LEFT JOIN reading r ON r.series = k.id AND r.seq = k.top",
        )
        .build_query_as()
        .fetch_all(&mut *tx)
        .await?;
        for (device, key, id, base, confirmed, latest, first_ms, top, taken_ms, exact) in rows {
            let since_ms = match (taken_ms, exact) {
                (Some(taken_ms), exact) => counts::since(taken_ms, exact != Some(0)),
                // It is deleted: what is known is that the device was there.
                (None, _) => first_ms,
            };
            let series = Known {
                id,
                base,
                confirmed,
                present: counts::life(key) == counts::life(latest),
                runs: Runs::default(),
                top: top.unwrap_or(confirmed),
                since_ms,
            };
            known.insert((device, key), series);
        }
    }
    Ok(known)
}

async fn make_series(
    tx: &mut Connection,
    new: &[(i64, i64, i64)],
    known: &mut HashMap<(i64, i64), Known>,
) -> Result<(), sqlx::Error> {
    let new: Vec<_> = (0_i64..).zip(new.iter().copied()).collect();
    for chunk in chunks(&new) {
        let rows: Vec<(i64, i64, i64, i64)> = with(
            "place, device, life, base",
            chunk,
            |mut row, &(place, (device, life, base))| {
                row.push_bind(place)
                    .push_bind(device)
                    .push_bind(life)
                    .push_bind(base);
            },
            "INSERT INTO series (device, life, base, confirmed) \
             SELECT device, life, base, base - 1 FROM v WHERE true ORDER BY place \
             RETURNING CAST(device AS BIGINT), life, CAST(id AS BIGINT), base",
        )
        .build_query_as()
        .fetch_all(&mut *tx)
        .await?;
        for (device, life, id, base) in rows {
            let series = Known {
                id,
                base,
                confirmed: base - 1,
                present: true,
                runs: Runs::default(),
                top: base - 1,
                since_ms: 0,
            };
            known.insert((device, life), series);
        }
    }
    Ok(())
}

/// Reads the runs that numbers from one to another are in, of each series.
async fn load_runs(
    tx: &mut Connection,
    spans: &mut [(&mut Known, i64, i64)],
) -> Result<(), sqlx::Error> {
    let wanted: Vec<_> = spans
        .iter()
        .map(|(series, low, high)| (series.id, *low, *high))
        .collect();
    let mut runs: HashMap<i64, Vec<Run>> = HashMap::new();
    for chunk in chunks(&wanted) {
        let rows: Vec<(i64, i64, i64, i64)> = with(
            "series, low, high",
            chunk,
            |mut row, &(series, low, high)| {
                row.push_bind(series).push_bind(low).push_bind(high);
            },
            "SELECT CAST(r.series AS BIGINT), r.first, r.last, CAST(r.lost AS BIGINT) \
             FROM v JOIN run r ON r.series = v.series AND r.first <= v.high AND r.first >= \
             coalesce((SELECT max(p.first) FROM run p \
                       WHERE p.series = v.series AND p.first <= v.low), v.low)",
        )
        .build_query_as()
        .fetch_all(&mut *tx)
        .await?;
        for (series, first, last, lost) in rows {
            let lost = lost != 0;
            let run = Run { first, last, lost };
            runs.entry(series).or_default().push(run);
        }
    }
    for (series, _, _) in spans {
        let of = runs.remove(&series.id).unwrap_or_default();
        series.runs = of.into_iter().collect();
    }
    Ok(())
}

async fn write_runs(tx: &mut Connection, series: &[(i64, Runs, Runs)]) -> Result<(), sqlx::Error> {
    let mut gone = Vec::new();
    let mut written = Vec::new();
    for (id, before, after) in series {
        let (of_gone, of_written) = after.changes_from(before);
        gone.extend(of_gone.into_iter().map(|first| (*id, first)));
        written.extend(of_written.into_iter().map(|run| (*id, run)));
    }
    for chunk in chunks(&gone) {
        with(
            "series, first",
            chunk,
            |mut row, &(series, first)| {
                row.push_bind(series).push_bind(first);
            },
            "DELETE FROM run WHERE (series, first) IN (SELECT series, first FROM v)",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    for chunk in chunks(&written) {
        with(
            "series, first, last, lost",
            chunk,
            |mut row, (series, run)| {
                row.push_bind(*series)
                    .push_bind(run.first)
                    .push_bind(run.last)
                    .push_bind(i64::from(run.lost));
            },
            "INSERT INTO run (series, first, last, lost) \
             SELECT series, first, last, lost FROM v WHERE true \
             ON CONFLICT (series, first) DO UPDATE SET last = excluded.last, lost = excluded.lost",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

async fn write_series(tx: &mut Connection, series: &[(i64, i64, i64)]) -> Result<(), sqlx::Error> {
    for chunk in chunks(series) {
        with(
            "id, confirmed, repeated",
            chunk,
            |mut row, &(id, confirmed, repeated)| {
                row.push_bind(id).push_bind(confirmed).push_bind(repeated);
            },
            "UPDATE series SET confirmed = v.confirmed, repeated = series.repeated + v.repeated \
             FROM v WHERE series.id = v.id",
        )
        .build()
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

async fn write_readings(tx: &mut Connection, rows: &[Row]) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let mut query = sqlx::QueryBuilder::<Db>::new(
            "INSERT INTO reading \
             (series, seq, device, boot, received_ms, taken_ms, exact, t, h) ",
        );
        query.push_values(chunk, |mut row, reading| {
            row.push_bind(reading.series)
                .push_bind(reading.seq)
                .push_bind(reading.device)
                .push_bind(reading.boot)
                .push_bind(reading.received_ms)
                .push_bind(reading.taken_ms)
                .push_bind(i64::from(reading.exact))
                .push_bind(i64::from(reading.reading.t))
                .push_bind(i64::from(reading.reading.h));
        });
        query.build().execute(&mut *tx).await?;
    }
    Ok(())
}

/// Notes what is to be rolled up. What came so late that the readings around it are purged is
/// added to what they left.
async fn roll_later(
    tx: &mut Connection,
    rows: &[Row],
    devices: &HashMap<i64, Locked>,
) -> Result<(), sqlx::Error> {
    let mut touched = BTreeSet::new();
    let mut late: BTreeMap<(i64, i64), Sums> = BTreeMap::new();
    for row in rows {
        let bucket = (row.device, five(row.taken_ms));
        let purged = devices
            .get(&row.device)
            .is_some_and(|device| bucket.1 < device.raw_from);
        if purged {
            late.entry(bucket).or_default().add(row.reading);
        } else {
            touched.insert(bucket);
        }
    }
    roll::touch(tx, &touched.into_iter().collect::<Vec<_>>()).await?;
    roll::add_late(tx, &late, devices).await
}

/// Stores the health reports of a batch; gives how many are new.
async fn diags(
    tx: &mut Connection,
    batch: &[Arrival],
    ids: &HashMap<DeviceKey, i64>,
) -> Result<u64, sqlx::Error> {
    let mut rows: Vec<(i64, i64, &Diag)> = Vec::new();
    for arrival in batch {
        if let What::Diag(diag) = &arrival.what
            && let Some(&device) = ids.get(&arrival.device)
        {
            rows.push((device, moment(arrival.received_ms), diag));
        }
    }
    let mut new: BTreeSet<(i64, i64)> = BTreeSet::new();
    let mut count = 0;
    for chunk in chunks(&rows) {
        let mut query = sqlx::QueryBuilder::<Db>::new(
            "INSERT INTO diag (device, life, boot, uptime_s, at_ms, reset, rssi_dbm, free, \
             free_min, reconnects, outbox, dropped, body) ",
        );
        query.push_values(chunk, |mut row, (device, at_ms, diag)| {
            let uptime_s = diag.uptime_s.map_or(at_ms / 1000, |uptime_s| {
                i64::try_from(uptime_s).unwrap_or(i64::MAX)
            });
            row.push_bind(*device)
                .push_bind(i64::from(diag.life))
                .push_bind(i64::from(diag.boot))
                .push_bind(uptime_s)
                .push_bind(*at_ms)
                .push_bind(diag.reset.as_deref().map(|reset| clean(reset, 64)))
                .push_bind(diag.rssi_dbm)
                .push_bind(diag.free)
                .push_bind(diag.free_min)
                .push_bind(diag.reconnects)
                .push_bind(diag.outbox)
                .push_bind(diag.dropped)
                .push_bind(clean(&diag.body, MAX_BODY));
        });
        query.push(" ON CONFLICT DO NOTHING RETURNING CAST(device AS BIGINT), at_ms");
        let written: Vec<(i64, i64)> = query.build_query_as().fetch_all(&mut *tx).await?;
        count += written.len();
        new.extend(written);
    }
    // One that is repeated is not the newest, though it came last.
    let newest: BTreeMap<_, _> = rows
        .iter()
        .filter(|(device, at_ms, _)| new.contains(&(*device, *at_ms)))
        .map(|(device, at_ms, diag)| ((*device, DIAG), (*at_ms, clean(&diag.body, MAX_BODY))))
        .collect();
    states::write_newest(tx, &newest).await?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
