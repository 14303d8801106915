//! What outlives the process: retained messages, sessions and the messages that wait.
//!
//! One thread owns an SQLite database and writes whatever has gathered in one
//! transaction. A committed transaction survives the death of the process; a
//! checkpoint at least every [`SYNC_INTERVAL`] makes it survive a power cut.
//! When the disk refuses, changes wait in memory (bounded) and are tried again.

mod schema;

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::HubError;

pub use schema::{Change, Contents, Message, StoredSession};

/// The longest time until a committed change survives a power cut as well.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How many changes may be on their way to the disk.
const IN_FLIGHT: usize = 4096;
/// How many changes are written at once.
const BATCH: usize = 512;
/// How long the disk is left alone after it refused.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How many bytes of changes wait while the disk refuses them.
const BACKLOG: usize = 16 * 1024 * 1024;
/// How long a client waits for the disk before it is served without.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to the thread that writes.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requests: mpsc::Sender<Request>,
    turns: Arc<Semaphore>,
    closed: AtomicBool,
    /// Disconnects when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

#[derive(Debug)]
enum Request {
    Change {
        change: Change,
        done: Option<oneshot::Sender<()>>,
        turn: OwnedSemaphorePermit,
    },
    Close,
}

impl Store {
    /// Opens the directory, or a store in memory without one, and reads what is there.
    pub fn open(dir: Option<&Path>) -> Result<(Self, Contents), HubError> {
        let (mut connection, lock, name) = match dir {
            Some(dir) => {
                let lock = lock(dir)?;
                let file = dir.join("hub.db");
                let connection =
                    Connection::open(&file).map_err(|error| unusable(dir, &file, &error))?;
                (connection, Some(lock), dir.to_owned())
            }
            None => {
                let connection = Connection::open_in_memory()
                    .map_err(|error| HubError::Runtime(error.to_string()))?;
                (connection, None, PathBuf::from("memory"))
            }
        };
        let contents = schema::prepare(&mut connection)
            .and_then(|()| schema::read(&connection))
            .map_err(|error| unusable(&name, &name.join("hub.db"), &error))?;

        let (requests, receiver) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let writer = Writer {
            connection,
            name,
            backlog: Backlog::default(),
            failing: false,
            last_attempt: Instant::now(),
            unsynced_since: None,
        };
        std::thread::Builder::new()
            .name("hub-store".to_owned())
            .spawn(move || {
                writer.run(&receiver);
                // A child that is just being spawned may hold a copy of the file.
                let _ = lock.as_ref().map(File::unlock);
                drop(end);
            })
            .map_err(|error| HubError::Runtime(error.to_string()))?;
        let inner = Inner {
            requests,
            turns: Arc::new(Semaphore::new(IN_FLIGHT)),
            closed: AtomicBool::new(false),
            ended: Mutex::new(ended),
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            contents,
        ))
    }

    /// Writes a change and waits until the death of the process cannot undo it.
    ///
    /// If the disk takes too long the hub goes on; the change is still written.
    pub async fn write(&self, change: Change) {
        let (done, written) = oneshot::channel();
        self.send(change, Some(done)).await;
        if tokio::time::timeout(PATIENCE, written).await.is_err() {
            tracing::warn!("the disk is slow: a client was served before its change was stored");
        }
    }

    /// Hands a change over without waiting for the disk.
    pub async fn post(&self, change: Change) {
        self.send(change, None).await;
    }

    async fn send(&self, change: Change, done: Option<oneshot::Sender<()>>) {
        if self.inner.closed.load(Ordering::Acquire) {
            return;
        }
        let Ok(turn) = self.inner.turns.clone().acquire_owned().await else {
            return;
        };
        // Fails only after the store was closed.
        let _ = self
            .inner
            .requests
            .send(Request::Change { change, done, turn });
    }

    /// Writes what is on its way and closes the database; gives up after `limit`.
    ///
    /// Whatever comes later is ignored: a broker that is being taken apart must not
    /// take its stored sessions along.
    pub fn close(&self, limit: Duration) {
        if self.inner.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let _ = self.inner.requests.send(Request::Close);
        let ended = self
            .inner
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("the disk did not take the last changes within {limit:?}");
        }
    }
}

/// Takes the directory for this hub alone.
fn lock(dir: &Path) -> Result<File, HubError> {
    let data = |error: std::io::Error| HubError::Data {
        dir: dir.to_owned(),
        reason: error.to_string(),
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(data)?;
    let mut file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(dir.join("hub.lock"))
        .map_err(data)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(HubError::DataInUse {
                dir: dir.to_owned(),
                pid: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(data(error)),
    }
    // The number only makes a better message: a full disk must not keep the hub from starting.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

fn unusable(dir: &Path, file: &Path, error: &rusqlite::Error) -> HubError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let advice = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            format!("; move {} away to start afresh", file.display())
        }
        _ => String::new(),
    };
    HubError::Data {
        dir: dir.to_owned(),
        reason: format!("{error}{advice}"),
    }
}

/// Changes that the disk has refused so far.
#[derive(Debug, Default)]
struct Backlog {
    changes: VecDeque<Change>,
    bytes: usize,
    lost: u64,
}

impl Backlog {
    fn extend(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.bytes = self.bytes.saturating_add(change.size());
            self.changes.push_back(change);
            while self.bytes > BACKLOG
                && let Some(oldest) = self.changes.pop_front()
            {
                self.bytes = self.bytes.saturating_sub(oldest.size());
                self.lost = self.lost.saturating_add(1);
            }
        }
    }
}

/// The thread's side.
struct Writer {
    connection: Connection,
    name: PathBuf,
    backlog: Backlog,
    failing: bool,
    last_attempt: Instant,
    /// Since when something is committed that a power cut could undo.
    unsynced_since: Option<Instant>,
}

impl Writer {
    fn run(mut self, requests: &mpsc::Receiver<Request>) {
        loop {
            let first = if self.unsynced_since.is_some() || self.failing {
                let wait = self.unsynced_since.map_or(SYNC_INTERVAL, |since| {
                    SYNC_INTERVAL.saturating_sub(since.elapsed())
                });
                requests.recv_timeout(wait)
            } else {
                requests.recv().map_err(mpsc::RecvTimeoutError::from)
            };
            match first {
                Ok(Request::Change { change, done, turn }) => {
                    let mut batch = vec![change];
                    let mut waiting: Vec<_> = done.into_iter().collect();
                    let mut turns = vec![turn];
                    let mut close = false;
                    while batch.len() < BATCH {
                        match requests.try_recv() {
                            Ok(Request::Change { change, done, turn }) => {
                                batch.push(change);
                                waiting.extend(done);
                                turns.push(turn);
                            }
                            Ok(Request::Close) => {
                                close = true;
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.write(batch);
                    for done in waiting {
                        let _ = done.send(());
                    }
                    if close {
                        break;
                    }
                }
                Ok(Request::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if self.failing {
                        self.write(Vec::new());
                    }
                }
            }
            if self
                .unsynced_since
                .is_some_and(|since| since.elapsed() >= SYNC_INTERVAL)
            {
                self.sync();
            }
        }
        if self.failing {
            self.last_attempt = self
                .last_attempt
                .checked_sub(RETRY_INTERVAL)
                .unwrap_or(self.last_attempt);
            self.write(Vec::new());
        }
        if self.failing {
            let left = self.backlog.changes.len();
            tracing::error!(
                "{left} changes could not be written to {} and are lost",
                self.name.display()
            );
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::error!("cannot close the store in {}: {error}", self.name.display());
        }
    }

    /// Writes the changes, after those that wait, in one transaction.
    fn write(&mut self, batch: Vec<Change>) {
        // A disk that refused is not asked again with every message.
        if self.failing && self.last_attempt.elapsed() < RETRY_INTERVAL {
            self.backlog.extend(batch);
            return;
        }
        self.last_attempt = Instant::now();
        let attempt = schema::apply(
            &mut self.connection,
            self.backlog.changes.iter().chain(&batch),
        );
        match attempt {
            Ok(()) => {
                if self.failing {
                    self.failing = false;
                    tracing::warn!(
                        "{} can be written again; {} changes were lost meanwhile",
                        self.name.display(),
                        self.backlog.lost
                    );
                    self.backlog = Backlog::default();
                }
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
            Err(error) => {
                if !self.failing {
                    self.failing = true;
                    tracing::error!(
                        "cannot write to {}: {error}. The hub goes on, but what happens now may \
                         not outlive it. Make room on the disk; nothing else is needed.",
                        self.name.display()
                    );
                }
                self.backlog.extend(batch);
            }
        }
    }

    fn sync(&mut self) {
        self.unsynced_since = None;
        if let Err(error) = schema::checkpoint(&self.connection) {
            tracing::debug!("checkpoint: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
