//! A store in a PostgreSQL database, in a schema of its own.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions};

use crate::error::{HistoryError, Trouble, in_words};

#[path = "store/mod.rs"]
pub(crate) mod store;

use store::Store;

pub(crate) type Db = sqlx::Postgres;
pub(crate) type Pool = sqlx::PgPool;
pub(crate) type Connection = sqlx::PgConnection;

/// Rows that matter are locked, in the order of their ids; whatever the server's default is.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
pub(crate) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(crate) const FOR_UPDATE: &str = " FOR UPDATE";
/// One at a time makes tables or devices.
pub(crate) const ALONE: Option<&str> = Some("SELECT pg_advisory_xact_lock(4702958811923504)");
/// Who may not make schemas can use one that is there.
pub(crate) const SCHEMA: Option<&str> = Some(
    "DO $$ BEGIN IF to_regnamespace('aldis') IS NULL THEN CREATE SCHEMA aldis; END IF; END $$",
);
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/postgres/1.sql"),
    include_str!("../migrations/postgres/2.sql"),
    include_str!("../migrations/postgres/3.sql"),
];
/// What the readings of each five minutes `v` come to. As a join the server would rather read the
/// whole table for each few of them.
pub(crate) const SUMS: &str = "SELECT v.device, v.start_ms, s.* FROM v CROSS JOIN LATERAL \
     (SELECT count(*) AS n, CAST(min(r.t) AS BIGINT), CAST(max(r.t) AS BIGINT), \
      CAST(sum(r.t) AS BIGINT), CAST(min(r.h) AS BIGINT), CAST(max(r.h) AS BIGINT), \
      CAST(sum(r.h) AS BIGINT) FROM reading r WHERE r.device = v.device \
      AND r.taken_ms >= v.start_ms AND r.taken_ms < v.start_ms + 300000) AS s WHERE s.n > 0";
const BYTES: &str = "SELECT CAST(coalesce(sum(pg_total_relation_size(c.oid)), 0) AS BIGINT)
     FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
     WHERE s.nspname = 'aldis' AND c.relkind = 'r'";

/// What its tables and their indexes take on the disk.
pub(crate) async fn bytes(store: &Store) -> Result<u64, HistoryError> {
    store.count(BYTES).await
}

/// What is confirmed has to be on the disk, whatever the server's default is. And each statement
/// goes from a short list to rows by their key; a server that knows less of the list than of the
/// table may read the whole table for it.
const SETTINGS: &str = "SET search_path = aldis; SET synchronous_commit = on; \
                        SET client_min_messages = warning; SET enable_hashjoin = off; \
                        SET enable_mergejoin = off; SET max_parallel_workers_per_gather = 0; \
                        SET jit = off";
/// How long a server that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many connections there may be.
const CONNECTIONS: u32 = 6;

/// Connects to a database.
pub(crate) async fn open(options: PgConnectOptions, name: String) -> Result<Store, HistoryError> {
    let options = options
        .application_name("aldis")
        .statement_cache_capacity(256)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SETTINGS).execute(&mut *connection).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await
        .map_err(|error| trouble(&error).error(&name, words(&error)))?;
    Store::open(pool.clone(), pool, name).await
}

/// What an error means.
pub(crate) fn trouble(error: &sqlx::Error) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        return Trouble::of(error);
    };
    let code = database.code().unwrap_or_default();
    match &*code {
        // A serialization failure, a deadlock
        "40001" | "40P01" => Trouble::Conflict,
        // A lock that was not to be had, or in use
        "55P03" | "55006" => Trouble::Locked,
        // The disk, the memory
        "53100" | "53200" => Trouble::Full,
        // Too many connections; the server starts, stops or crashed
        "53300" | "57P01" | "57P02" | "57P03" | "57P05" => Trouble::Unreachable,
        // A standby takes no writes
        "25006" => Trouble::Refused,
        // No such database, no such role, no permission
        "3D000" | "42501" => Trouble::Refused,
        // Damaged data or indexes
        "XX001" | "XX002" => Trouble::Damaged,
        code if code.starts_with("08") => Trouble::Unreachable,
        code if code.starts_with("28") => Trouble::Refused,
        // What the operating system refuses while a file grows, a quota for one.
        "58030" | "XX000" if is_about_growth(&**database) => Trouble::Full,
        _ => Trouble::Other,
    }
}

/// Whether the server was making a file larger, as the name of its function says in all
/// languages.
fn is_about_growth(error: &dyn sqlx::error::DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    let routine = error.and_then(PgDatabaseError::routine);
    routine.is_some_and(|routine| routine == "mdextend" || routine == "mdzeroextend")
}

/// What the database says.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => {
            format!("no connection within {} s", PATIENCE.as_secs())
        }
        error => in_words(error),
    }
}
