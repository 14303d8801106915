//! What is read of devices.

use std::collections::HashMap;

use aldis_protocol::Reading;

use super::commit::number;
use super::{Store, chunks, transaction, with};
use crate::arrival::{DIAG, DeviceKey, Diag, Kind, clean};
use crate::counts;
use crate::error::HistoryError;
use crate::view::{Device, Event, Gap, Latest, Outage, Sizes, Standing, StoredDiag, StoredReading};

/// How many readings are read at once: while somebody takes them from a stream, nothing is
/// locked.
const PAGE: i64 = 2048;
/// The longest title, in characters.
const MAX_TITLE: usize = 200;

/// Where a stream of readings is: behind this moment, series and number.
pub(crate) type Place = (i64, i64, i64);

/// What lives series are of, by their ids.
pub(crate) type Lives = HashMap<i64, u32>;

/// A row of `reading`.
type Row = (i64, i64, i64, i64, i64, i64, i64, i64);

const COLUMNS: &str = "CAST(series AS BIGINT), seq, boot, received_ms, taken_ms, \
                       CAST(exact AS BIGINT), CAST(t AS BIGINT), CAST(h AS BIGINT)";

/// Puts a statement together of words that are all ours.
macro_rules! sql {
    ($($part:expr),*) => {
        sqlx::AssertSqlSafe([$($part),*].concat())
    };
}

impl Store {
    /// The devices that are not removed, by name.
    pub async fn devices(&self) -> Result<Vec<Device>, HistoryError> {
        let rows: Vec<(String, String, Option<String>, i64, i64)> = sqlx::query_as(
            "SELECT prefix, name, title, first_ms, last_ms FROM device WHERE removed = 0",
        )
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        let mut devices: Vec<_> = rows
            .into_iter()
            .map(|(prefix, name, title, first_ms, last_ms)| Device {
                key: DeviceKey::stored(prefix, name),
                title,
                first_ms,
                last_ms,
            })
            .collect();
        devices.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(devices)
    }

    /// Gives a device a title, or its id back.
    pub async fn rename(
        &self,
        device: &DeviceKey,
        title: Option<&str>,
    ) -> Result<(), HistoryError> {
        let id = self.id(device).await?;
        let title = title.map(|title| clean(title.trim(), MAX_TITLE));
        let title = title.filter(|title| !title.is_empty());
        self.change("UPDATE device SET title = $2 WHERE id = $1", id, title)
            .await
    }

    /// Hides a device and frees its name; its data goes with the next purges.
    pub async fn remove(&self, device: &DeviceKey) -> Result<(), HistoryError> {
        let id = self.id(device).await?;
        let none = None::<String>;
        self.change(
            "UPDATE device SET removed = 1, title = $2 WHERE id = $1",
            id,
            none,
        )
        .await?;
        self.ids().remove(device);
        Ok(())
    }

    /// The devices that were removed and of which something is left, with their numbers.
    pub async fn removed(&self) -> Result<Vec<(i64, DeviceKey)>, HistoryError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
            "SELECT CAST(id AS BIGINT), prefix, name FROM device WHERE removed = 1 ORDER BY id",
        )
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        Ok(rows
            .into_iter()
            .map(|(number, prefix, name)| (number, DeviceKey::stored(prefix, name)))
            .collect())
    }

    async fn change(
        &self,
        statement: &'static str,
        id: i64,
        title: Option<String>,
    ) -> Result<(), HistoryError> {
        transaction!(self, tx => {
            sqlx::query(statement).bind(id).bind(title.clone()).execute(&mut *tx).await?;
        })
    }

    /// How each life of a device stands, in the order in which they were first seen.
    pub async fn standings(&self, device: &DeviceKey) -> Result<Vec<Standing>, HistoryError> {
        let id = self.id(device).await?;
        let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT s.life, s.base, s.confirmed, s.repeated, \
             (SELECT r.last FROM run r WHERE r.series = s.id ORDER BY r.first DESC LIMIT 1) \
             FROM series s WHERE s.device = $1 ORDER BY s.id",
        )
        .bind(id)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        Ok(rows
            .into_iter()
            .map(|(life, base, confirmed, repeated, highest)| Standing {
                life: counts::life(life),
                base: number(base),
                confirmed: number(confirmed),
                highest: number(highest),
                repeated: u64::try_from(repeated).unwrap_or(0),
            })
            .collect())
    }

    /// What is missing of a device's readings, by life and number.
    pub async fn gaps(&self, device: &DeviceKey) -> Result<Vec<Gap>, HistoryError> {
        let id = self.id(device).await?;
        let read = async {
            let rows: Vec<(i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
                "SELECT CAST(s.id AS BIGINT), s.life, s.base, r.first, r.last, \
                 CAST(r.lost AS BIGINT) FROM series s JOIN run r ON r.series = s.id \
                 WHERE s.device = $1 AND r.last >= s.base ORDER BY s.id, r.first",
            )
            .bind(id)
            .fetch_all(self.reader())
            .await?;
            let mut gaps = Vec::new();
            let mut at = (0, 0);
            for (series, life, base, first, last, lost) in rows {
                if at.0 != series {
                    at = (series, base);
                }
                if at.1 < first {
                    gaps.push((series, life, at.1, first - 1, false));
                }
                if lost != 0 {
                    gaps.push((series, life, first.max(base), last, true));
                }
                at.1 = last + 1;
            }
            let beside: Vec<_> = gaps
                .iter()
                .flat_map(|&(series, _, first, last, _)| [(series, first - 1), (series, last + 1)])
                .collect();
            let mut times = HashMap::with_capacity(beside.len());
            for chunk in chunks(&beside) {
                let found: Vec<(i64, i64, i64)> = with(
                    "series, seq",
                    chunk,
                    |mut row, &(series, seq)| {
                        row.push_bind(series).push_bind(seq);
                    },
                    "SELECT CAST(r.series AS BIGINT), r.seq, r.taken_ms \
                     FROM v JOIN reading r ON r.series = v.series AND r.seq = v.seq",
                )
                .build_query_as()
                .fetch_all(self.reader())
                .await?;
                times.extend(
                    found
                        .into_iter()
                        .map(|(series, seq, ms)| ((series, seq), ms)),
                );
            }
            Ok(gaps
                .into_iter()
                .map(|(series, life, first, last, lost)| Gap {
                    life: counts::life(life),
                    first: number(first),
                    last: number(last),
                    lost,
                    after_ms: times.get(&(series, first - 1)).copied(),
                    before_ms: times.get(&(series, last + 1)).copied(),
                })
                .collect())
        };
        read.await.map_err(|error| self.error(&error))
    }

    /// A device's id and its lives, to read its readings page by page.
    pub async fn lives(&self, device: &DeviceKey) -> Result<(i64, Lives), HistoryError> {
        let id = self.id(device).await?;
        Ok((id, self.lives_of(id).await?))
    }

    async fn lives_of(&self, id: i64) -> Result<Lives, HistoryError> {
        let rows: Vec<(i64, i64)> =
            sqlx::query_as("SELECT CAST(id AS BIGINT), life FROM series WHERE device = $1")
                .bind(id)
                .fetch_all(self.reader())
                .await
                .map_err(|error| self.error(&error))?;
        Ok(rows
            .into_iter()
            .map(|(series, life)| (series, counts::life(life)))
            .collect())
    }

    /// The next readings behind a place and before a moment, and the place behind them.
    pub async fn page(
        &self,
        id: i64,
        lives: &mut Lives,
        place: Place,
        to: i64,
    ) -> Result<(Vec<StoredReading>, Option<Place>), HistoryError> {
        let rows: Vec<Row> = sqlx::query_as(sql!(
            "SELECT ",
            COLUMNS,
            " FROM reading WHERE device = $1 AND (taken_ms, series, seq) > ($2, $3, $4) \
             AND taken_ms < $5 ORDER BY taken_ms, series, seq LIMIT $6"
        ))
        .bind(id)
        .bind(place.0)
        .bind(place.1)
        .bind(place.2)
        .bind(to)
        .bind(PAGE)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        // A life that began since the stream did.
        if rows.iter().any(|row| !lives.contains_key(&row.0)) {
            *lives = self.lives_of(id).await?;
        }
        let full = i64::try_from(rows.len()).is_ok_and(|count| count >= PAGE);
        let last = rows.last().map(|row| (row.4, row.0, row.1));
        let readings = rows.into_iter().map(|row| stored(row, lives)).collect();
        Ok((readings, last.filter(|_| full)))
    }

    /// What happened to a device from one moment to before another, newest first.
    pub async fn events(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<Event>, HistoryError> {
        let id = self.id(device).await?;
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT at_ms, CAST(kind AS BIGINT), value FROM event \
             WHERE device = $1 AND at_ms >= $2 AND at_ms < $3 \
             ORDER BY at_ms DESC, id DESC LIMIT $4",
        )
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        Ok(rows
            .into_iter()
            .filter_map(|(at_ms, kind, value)| {
                let kind = Kind::of(kind)?;
                Some(Event { at_ms, kind, value })
            })
            .collect())
    }

    /// A device's health from one moment to before another, newest first.
    pub async fn diags(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<StoredDiag>, HistoryError> {
        type Counts = (
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
        );
        let id = self.id(device).await?;
        let rows: Vec<DiagRow> = sqlx::query_as(
            "SELECT at_ms, life, boot, uptime_s, reset, body, rssi_dbm, free, free_min, \
             reconnects, outbox, dropped FROM diag \
             WHERE device = $1 AND at_ms >= $2 AND at_ms < $3 \
             ORDER BY at_ms DESC, life, boot DESC, uptime_s DESC LIMIT $4",
        )
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(i64::from(limit))
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        Ok(rows
            .into_iter()
            .map(
                |(at_ms, life, boot, uptime_s, reset, body, a, b, c, d, e, f)| {
                    let counts: Counts = (a, b, c, d, e, f);
                    let (rssi_dbm, free, free_min, reconnects, outbox, dropped) = counts;
                    let diag = Diag {
                        life: number(life),
                        boot: number(boot),
                        uptime_s: u64::try_from(uptime_s).ok(),
                        reset,
                        rssi_dbm,
                        free,
                        free_min,
                        reconnects,
                        outbox,
                        dropped,
                        body,
                    };
                    StoredDiag { at_ms, diag }
                },
            )
            .collect())
    }

    /// The newest that is known of a device.
    pub async fn latest(&self, device: &DeviceKey) -> Result<Latest, HistoryError> {
        let id = self.id(device).await?;
        let lives = self.lives_of(id).await?;
        let read = async {
            let mut latest = Latest::default();
            let rows: Vec<(i64, i64, String)> = sqlx::query_as(
                "SELECT CAST(kind AS BIGINT), at_ms, value FROM newest WHERE device = $1",
            )
            .bind(id)
            .fetch_all(self.reader())
            .await?;
            for (kind, at_ms, value) in rows {
                let newest = Some((at_ms, value));
                match Kind::of(kind) {
                    Some(Kind::Led) => latest.led = newest,
                    Some(Kind::Sensor) => latest.sensor = newest,
                    Some(Kind::Status) => latest.status = newest,
                    None if kind == DIAG => latest.diag = newest,
                    _ => {}
                }
            }
            // By life and number: clocks may have been set meanwhile. Of the counts of a life the
            // one that was heard last: the others may be somebody's who makes numbers up.
            let mut series: Vec<_> = lives.iter().map(|(&id, &life)| (id, life)).collect();
            series.sort_unstable();
            let mut newest: Option<StoredReading> = None;
            for (series, life) in series.into_iter().rev() {
                if newest.is_some_and(|newest| newest.life != life) {
                    continue;
                }
                let row: Option<Row> = sqlx::query_as(sql!(
                    "SELECT ",
                    COLUMNS,
                    " FROM reading WHERE series = $1 ORDER BY seq DESC LIMIT 1"
                ))
                .bind(series)
                .fetch_optional(self.reader())
                .await?;
                if let Some(row) = row {
                    let reading = stored(row, &lives);
                    if newest.is_none_or(|newest| reading.received_ms > newest.received_ms) {
                        newest = Some(reading);
                    }
                }
            }
            latest.reading = newest;
            Ok(latest)
        };
        read.await.map_err(|error| self.error(&error))
    }

    /// When a device had no contact, of the time from one moment to before another; an outage
    /// that began before it is given whole.
    pub async fn outages(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
    ) -> Result<Vec<Outage>, HistoryError> {
        let id = self.id(device).await?;
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT at_ms, value FROM event WHERE device = $1 AND kind = $2 AND at_ms >= \
             coalesce((SELECT max(at_ms) FROM event WHERE device = $1 AND kind = $2 \
                       AND at_ms < $3), $3) \
             ORDER BY at_ms, id",
        )
        .bind(id)
        .bind(Kind::Status.number())
        .bind(from)
        .fetch_all(self.reader())
        .await
        .map_err(|error| self.error(&error))?;
        let absences = match rows.first() {
            Some(&(first_ms, _)) => self.absences(first_ms).await?,
            None => return Ok(Vec::new()),
        };
        let mut outages: Vec<Outage> = Vec::new();
        let mut out = false;
        let mut last_ms = i64::MIN;
        for (at_ms, value) in rows {
            let offline = value == "offline";
            if offline && !out {
                let since = absences.before(at_ms);
                // What was told since then was seen.
                let from_ms = since.map_or(at_ms, |since| since.max(last_ms));
                if from_ms >= to {
                    break;
                }
                outages.push(Outage {
                    from_ms,
                    to_ms: None,
                    hub_away: since.is_some(),
                });
            } else if !offline
                && out
                && let Some(outage) = outages.last_mut()
            {
                outage.to_ms = Some(at_ms);
                if at_ms >= to {
                    break;
                }
            }
            out = offline;
            last_ms = at_ms;
        }
        outages.retain(|outage| outage.to_ms.is_none_or(|to_ms| to_ms > from));
        Ok(outages)
    }

    /// How much there is.
    pub async fn sizes(&self) -> Result<Sizes, HistoryError> {
        Ok(Sizes {
            devices: self.count("SELECT count(*) FROM device").await?,
            readings: self.count("SELECT count(*) FROM reading").await?,
            fives: self.count("SELECT count(*) FROM five").await?,
            hours: self.count("SELECT count(*) FROM hour").await?,
            events: self.count("SELECT count(*) FROM event").await?,
            diags: self.count("SELECT count(*) FROM diag").await?,
            repeated: self
                .count("SELECT CAST(coalesce(sum(repeated), 0) AS BIGINT) FROM series")
                .await?,
            bytes: super::super::bytes(self).await?,
        })
    }

    /// What a statement counts.
    pub async fn count(&self, statement: &'static str) -> Result<u64, HistoryError> {
        let count: i64 = sqlx::query_scalar(statement)
            .fetch_one(self.reader())
            .await
            .map_err(|error| self.error(&error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

type DiagRow = (
    i64,
    i64,
    i64,
    i64,
    Option<String>,
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

fn stored(row: Row, lives: &Lives) -> StoredReading {
    let (series, seq, boot, received_ms, taken_ms, exact, t, h) = row;
    StoredReading {
        life: lives.get(&series).copied().unwrap_or(0),
        seq: number(seq),
        boot: number(boot),
        received_ms,
        taken_ms,
        exact: exact != 0,
        reading: Reading {
            t: i16::try_from(t).unwrap_or(if t < 0 { i16::MIN } else { i16::MAX }),
            h: u16::try_from(h).unwrap_or(if h < 0 { 0 } else { u16::MAX }),
        },
    }
}
