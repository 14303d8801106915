//! A store, in the words that both databases know; what they say differently is in the module
//! above.

mod ahead;
mod ask;
mod chart;
mod commit;
mod listened;
mod purge;
mod roll;
mod states;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::QueryBuilder;

use super::{ALONE, BEGIN, Connection, Db, FOR_UPDATE, MIGRATIONS, Pool, SCHEMA, trouble, words};
use crate::arrival::DeviceKey;
use crate::error::{Failure, HistoryError, Trouble};

/// How often a transaction that another one was in the way of is done again.
const TRIES: u32 = 12;

/// An open database.
#[derive(Debug)]
pub(crate) struct Store {
    write: Pool,
    read: Pool,
    name: String,
    /// The ids of devices; each is looked at again when its row is locked.
    ids: Mutex<HashMap<DeviceKey, i64>>,
}

/// A device's row, locked until the end of the transaction.
#[derive(Clone, Copy, Debug)]
struct Locked {
    last_ms: i64,
    raw_from: i64,
    five_from: i64,
    removed: bool,
}

/// Does something in a transaction, anew if another one is in the way.
macro_rules! transaction {
    ($store:expr, $tx:ident => $body:expr) => {{
        let store = $store;
        let mut tries = 0;
        loop {
            let attempt = async {
                let mut $tx = store.begin().await?;
                let value = $body;
                $tx.commit().await?;
                Ok::<_, $crate::error::Failure>(value)
            };
            match attempt.await {
                Ok(value) => break Ok(value),
                Err(failure) => store.again(failure, &mut tries).await?,
            }
        }
    }};
}
use transaction;

impl Store {
    /// Takes a database, and makes its tables.
    pub async fn open(write: Pool, read: Pool, name: String) -> Result<Self, HistoryError> {
        let store = Self {
            write,
            read,
            name,
            ids: Mutex::default(),
        };
        store.migrate().await?;
        Ok(store)
    }

    /// What people call the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where to read.
    pub fn reader(&self) -> &Pool {
        &self.read
    }

    /// Waits for what is under way and closes the database.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    async fn migrate(&self) -> Result<(), HistoryError> {
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        transaction!(self, tx => {
            if let Some(alone) = ALONE {
                sqlx::query(alone).execute(&mut *tx).await?;
            }
            if let Some(schema) = SCHEMA {
                sqlx::query(schema).execute(&mut *tx).await?;
            }
            let table = "CREATE TABLE IF NOT EXISTS aldis_history (version BIGINT NOT NULL)";
            sqlx::query(table).execute(&mut *tx).await?;
            let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM aldis_history")
                .fetch_one(&mut *tx)
                .await?;
            let found = found.unwrap_or(0);
            if found > known {
                let store = self.name.clone();
                return Err(HistoryError::Newer { store, found, known }.into());
            }
            for (version, migration) in (1_i64..).zip(MIGRATIONS) {
                if version > found {
                    sqlx::raw_sql(*migration).execute(&mut *tx).await?;
                    sqlx::query("INSERT INTO aldis_history VALUES ($1)")
                        .bind(version)
                        .execute(&mut *tx)
                        .await?;
                }
            }
        })
    }

    async fn begin(&self) -> Result<sqlx::Transaction<'static, Db>, sqlx::Error> {
        self.write.begin_with(BEGIN).await
    }

    /// Waits before another try, or gives up.
    async fn again(&self, failure: Failure, tries: &mut u32) -> Result<(), HistoryError> {
        *tries = tries.saturating_add(1);
        let again = match &failure {
            Failure::Again => true,
            Failure::Sql(error) => trouble(error) == Trouble::Conflict,
            Failure::Said(_) => false,
        };
        if !again || *tries >= TRIES {
            return Err(match failure {
                Failure::Sql(error) => self.error(&error),
                Failure::Again => Trouble::Conflict.error(
                    &self.name,
                    "others change the same devices all the time".to_owned(),
                ),
                Failure::Said(error) => error,
            });
        }
        tokio::time::sleep(Duration::from_millis(u64::from(*tries) * 5)).await;
        Ok(())
    }

    /// The error in words for people.
    fn error(&self, error: &sqlx::Error) -> HistoryError {
        trouble(error).error(&self.name, words(error))
    }

    /// The id of a device that is not removed.
    async fn id(&self, device: &DeviceKey) -> Result<i64, HistoryError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT CAST(id AS BIGINT) FROM device WHERE prefix = $1 AND name = $2 AND removed = 0",
        )
        .bind(device.prefix())
        .bind(device.id())
        .fetch_optional(&self.read)
        .await
        .map_err(|error| self.error(&error))?;
        found.ok_or_else(|| HistoryError::NoDevice {
            store: self.name.clone(),
            device: device.to_string(),
        })
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceKey, i64>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks the rows of devices, always in the order of their ids, so that no two transactions
/// wait for each other.
async fn lock(tx: &mut Connection, ids: &[i64]) -> Result<HashMap<i64, Locked>, sqlx::Error> {
    debug_assert!(ids.is_sorted(), "a lock out of order is a deadlock");
    let mut locked = HashMap::with_capacity(ids.len());
    for chunk in chunks(ids) {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT CAST(id AS BIGINT), last_ms, raw_from, five_from, CAST(removed AS BIGINT) \
             FROM device WHERE id IN (",
        );
        let mut list = query.separated(", ");
        for id in chunk {
            list.push_bind(*id);
        }
        query.push(") ORDER BY id").push(FOR_UPDATE);
        let rows: Vec<(i64, i64, i64, i64, i64)> =
            query.build_query_as().fetch_all(&mut *tx).await?;
        locked.extend(
            rows.into_iter()
                .map(|(id, last_ms, raw_from, five_from, removed)| {
                    let row = Locked {
                        last_ms,
                        raw_from,
                        five_from,
                        removed: removed != 0,
                    };
                    (id, row)
                }),
        );
    }
    Ok(locked)
}

/// Rows in pieces of few sizes, so that few statements have to be prepared.
fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = [256, 32, 4, 1]
            .into_iter()
            .find(|&size| size <= rest.len())?;
        let (chunk, behind) = rest.split_at(size);
        rest = behind;
        Some(chunk)
    })
}

/// A statement about a list of rows `v`, which its first line names the columns of.
fn with<T>(
    columns: &str,
    rows: &[T],
    bind: impl FnMut(sqlx::query_builder::Separated<'_, Db, &'static str>, &T),
    statement: &str,
) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new("WITH v(");
    query.push(columns).push(") AS (");
    query.push_values(rows, bind);
    query.push(") ").push(statement);
    query
}
