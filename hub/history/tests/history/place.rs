//! Places for stores: a folder for an SQLite file, a database on a PostgreSQL server that the
//! tests start themselves.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aldis_history::{Arrival, Believed, DeviceKey, History, Taken, What};
use aldis_protocol::Reading;
pub use aldis_testing::{Postgres as Server, await_until, make_room};
use tempfile::TempDir;

/// Where a store is, so that it can be opened again.
pub struct Place {
    /// What `History::open` takes.
    pub address: String,
    folder: Option<TempDir>,
}

impl Place {
    /// For a file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("history.db").display().to_string();
        Self {
            address,
            folder: Some(folder),
        }
    }

    /// On the server of this process.
    pub fn postgres() -> Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        Self::on(SERVER.get_or_init(|| Server::start(&[])))
    }

    /// A database of its own on a server.
    pub fn on(server: &Server) -> Self {
        Self {
            address: server.database(),
            folder: None,
        }
    }

    pub fn is_sqlite(&self) -> bool {
        self.folder.is_some()
    }

    /// The file's folder.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    pub async fn open(&self) -> History {
        History::open(&self.address).await.unwrap()
    }
}

/// Waits until something that has to be asked for holds; gives whether it did in time.
pub async fn await_until_async(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds().await {
        if Instant::now() > end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// A moment at which tests begin: full hours since 1970.
pub const NOON: i64 = 1_790_000_000_000 - 1_790_000_000_000 % 3_600_000;

pub fn device(id: &str) -> DeviceKey {
    DeviceKey::new("aldis", id).unwrap()
}

/// A reading five seconds behind the one before.
pub fn reading(id: &str, life: u32, seq: u32) -> Arrival {
    let taken_ms = NOON + i64::from(seq) * 5_000;
    taken(id, life, seq, taken_ms)
}

pub fn taken(id: &str, life: u32, seq: u32, taken_ms: i64) -> Arrival {
    Arrival {
        device: device(id),
        received_ms: taken_ms.saturating_add(20),
        received: None,
        what: What::Reading(Taken {
            life,
            seq,
            boot: 1,
            taken_ms,
            exact: true,
            reading: value(seq),
        }),
    }
}

/// A value that tells which reading it is.
pub fn value(seq: u32) -> Reading {
    Reading {
        t: i16::try_from(seq % 1000).unwrap() - 200,
        h: u16::try_from(seq % 997).unwrap(),
    }
}

/// The time, to a store whose recorder has been running with it for a day.
pub async fn believed(history: &History, now: i64) -> Believed {
    history.believe(now, Duration::ZERO).await.unwrap();
    let day = Duration::from_secs(86_400);
    history.believe(now, day).await.unwrap()
}
