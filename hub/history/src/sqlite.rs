//! A store in an SQLite file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::{HistoryError, Trouble, in_words};

// The other store is made of the same file, with PostgreSQL's names in place of these.
#[path = "store/mod.rs"]
pub(crate) mod store;

use store::Store;

pub(crate) type Db = sqlx::Sqlite;
pub(crate) type Pool = sqlx::SqlitePool;
pub(crate) type Connection = sqlx::SqliteConnection;

/// Writers queue for the file at the beginning; one that began to read and wants to write later
/// could be refused at once.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const BEGIN_READ: &str = "BEGIN";
/// Who writes has the file for itself.
pub(crate) const FOR_UPDATE: &str = "";
pub(crate) const ALONE: Option<&str> = None;
pub(crate) const SCHEMA: Option<&str> = None;
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/sqlite/1.sql"),
    include_str!("../migrations/sqlite/2.sql"),
    include_str!("../migrations/sqlite/3.sql"),
];
/// What the readings of each five minutes `v` come to. The short list is gone through, whatever
/// the planner thinks of the tables.
pub(crate) const SUMS: &str = "SELECT v.device, v.start_ms, count(*), min(r.t), max(r.t), sum(r.t), min(r.h), max(r.h), sum(r.h) \
     FROM v CROSS JOIN reading r WHERE r.device = v.device \
     AND r.taken_ms >= v.start_ms AND r.taken_ms < v.start_ms + 300000 \
     GROUP BY v.device, v.start_ms";
/// The file, the log of what is not in it yet, and the index of that.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

/// How long another program's lock is waited for.
const BUSY: Duration = Duration::from_secs(10);
/// How many may read at the same time.
const READERS: u32 = 4;

/// Whether what was committed survives a power cut at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Each commit waits for the disk.
    #[default]
    Full,
    /// The newest commits may be lost in a power cut, not when the process is killed. A reading
    /// that was confirmed can be lost so.
    Normal,
}

/// Opens a file, which is made if it is not there.
pub(crate) async fn open(path: &Path, durability: Durability) -> Result<Store, HistoryError> {
    let name = path.display().to_string();
    let synchronous = match durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BUSY)
        .foreign_keys(false)
        .pragma("cache_size", "-16384")
        .statement_cache_capacity(256)
        .disable_statement_logging();
    let pool = |count| {
        SqlitePoolOptions::new()
            .max_connections(count)
            .acquire_timeout(BUSY * 2)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_release(|connection, _| {
                Box::pin(async move {
                    // A full disk ends a transaction without sqlx knowing: it would refuse to
                    // begin another one on this connection for ever.
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
    };
    let opened = async {
        let write = pool(1).connect_with(options.clone()).await?;
        let read = pool(READERS).connect_lazy_with(options);
        Ok((write, read))
    };
    let (write, read) = opened
        .await
        .map_err(|error: sqlx::Error| trouble(&error).error(&name, words(&error)))?;
    Store::open(write, read, name).await
}

/// What an error means.
pub(crate) fn trouble(error: &sqlx::Error) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        return match error {
            // There is no server: another writer of this process is slow.
            sqlx::Error::PoolTimedOut => Trouble::Locked,
            _ => Trouble::of(error),
        };
    };
    let code = database.code().and_then(|code| code.parse::<u32>().ok());
    let Some(code) = code else {
        return Trouble::Other;
    };
    match (code & 0xff, code) {
        // BUSY, LOCKED
        (5 | 6, _) => Trouble::Locked,
        // FULL; an input or output error while writing, flushing or making a file larger
        (13, _) | (_, 778 | 1034 | 1290 | 1546 | 4874) => Trouble::Full,
        // PERM, READONLY, CANTOPEN, AUTH
        (3 | 8 | 14 | 23, _) => Trouble::Refused,
        // CORRUPT, NOTADB
        (11 | 26, _) => Trouble::Damaged,
        _ => Trouble::Other,
    }
}

/// What the database says.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => "another transaction of this program takes long".to_owned(),
        error => in_words(error),
    }
}

/// What it takes on the disk.
pub(crate) async fn bytes(store: &Store) -> Result<u64, HistoryError> {
    let options = store.reader().connect_options();
    let mut bytes = 0_u64;
    for end in FILES {
        let mut file = options.get_filename().as_os_str().to_owned();
        file.push(end);
        match tokio::fs::metadata(file).await {
            Ok(file) => bytes = bytes.saturating_add(file.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Trouble::Refused.error(store.name(), error.to_string())),
        }
    }
    Ok(bytes)
}

/// Copies what is committed at this moment into a new file, while others go on.
pub(crate) async fn backup(store: &Store, to: &Path) -> Result<(), HistoryError> {
    let failed = |reason: String| HistoryError::Backup {
        store: store.name().to_owned(),
        path: to.to_owned(),
        reason,
    };
    if tokio::fs::try_exists(to).await.unwrap_or(true) {
        return Err(failed(
            "something is there already; choose another name, or move it away".to_owned(),
        ));
    }
    // Under its name only when it is whole and on the disk.
    let mut part = to.to_owned().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let Some(part_name) = part.to_str() else {
        return Err(failed("the name is not UTF-8; choose another".to_owned()));
    };
    let io = |error: std::io::Error| failed(error.to_string());
    match tokio::fs::remove_file(&part).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(part_name)
        .execute(store.reader())
        .await;
    if let Err(error) = copied {
        let _ = tokio::fs::remove_file(&part).await;
        return Err(failed(words(&error)));
    }
    let file = tokio::fs::File::options()
        .write(true)
        .open(&part)
        .await
        .map_err(io)?;
    file.sync_all().await.map_err(io)?;
    drop(file);
    tokio::fs::rename(&part, to).await.map_err(io)?;
    if let Some(folder) = to.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let folder = tokio::fs::File::open(folder).await.map_err(io)?;
        folder.sync_all().await.map_err(io)?;
    }
    Ok(())
}
