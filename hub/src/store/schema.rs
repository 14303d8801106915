//! The tables, what is read from them at the start, and the changes to them.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

/// A change to what is stored. Doing one twice is the same as doing it once.
#[derive(Debug, Clone)]
pub enum Change {
    /// A topic has a new retained message.
    Retain { topic: String, body: Vec<u8> },
    /// A topic has no retained message any more.
    Unretain { topic: String },
    /// A client has connected with a session that outlives the connection.
    Connect {
        client: String,
        owner: String,
        body: Vec<u8>,
        /// Whether the session begins now, so that nothing of an older one counts.
        fresh: bool,
    },
    /// The connection of a session has ended.
    Disconnect {
        client: String,
        owner: String,
        body: Vec<u8>,
    },
    /// A client has no session any more.
    Forget { client: String },
    /// A session has ended, unless another connection has taken it over.
    Terminate { client: String, owner: String },
    /// A session has a new or changed subscription.
    Subscribe {
        client: String,
        filter: String,
        body: Vec<u8>,
    },
    /// A session has one subscription less.
    Unsubscribe { client: String, filter: String },
    /// A message waits for a session, or for its acknowledgement if it has a packet id.
    Queue { client: String, message: Message },
    /// A message has been acknowledged or dropped.
    Unqueue { client: String, message: Message },
}

/// A message that waits for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When it was published, in milliseconds since 1970.
    pub stamp: i64,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The packet id it was sent with, if it was.
    pub packet: Option<u16>,
    /// Everything else about it.
    pub body: Vec<u8>,
}

/// What was stored when the store was opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Topics and their retained messages.
    pub retained: Vec<(String, Vec<u8>)>,
    /// The sessions.
    pub sessions: Vec<StoredSession>,
}

/// A stored session.
#[derive(Debug)]
pub struct StoredSession {
    /// The client id.
    pub client: String,
    /// Who the session belongs to, and since when.
    pub body: Vec<u8>,
    /// Whether the client was connected when the hub ended.
    pub connected: bool,
    /// Topic filters and their options.
    pub subscriptions: Vec<(String, Vec<u8>)>,
    /// The messages that wait, oldest first.
    pub queue: Vec<Message>,
}

impl Change {
    /// Roughly how much memory it takes.
    pub fn size(&self) -> usize {
        const FIXED: usize = 128;
        FIXED.saturating_add(match self {
            Self::Retain { topic, body } => topic.len().saturating_add(body.len()),
            Self::Connect { body, .. }
            | Self::Disconnect { body, .. }
            | Self::Subscribe { body, .. } => body.len(),
            Self::Queue { message, .. } | Self::Unqueue { message, .. } => {
                message.payload.len().saturating_add(message.body.len())
            }
            Self::Unretain { .. }
            | Self::Forget { .. }
            | Self::Terminate { .. }
            | Self::Unsubscribe { .. } => 0,
        })
    }

    fn apply(&self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Retain { topic, body } => run(
                to,
                "INSERT OR REPLACE INTO retained VALUES (?1, ?2)",
                params![topic, body],
            ),
            Self::Unretain { topic } => {
                run(to, "DELETE FROM retained WHERE topic = ?1", params![topic])
            }
            Self::Connect {
                client,
                owner,
                body,
                fresh,
            } => {
                if *fresh {
                    forget(to, client)?;
                }
                run(
                    to,
                    "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, TRUE)",
                    params![client, owner, body],
                )
            }
            Self::Disconnect {
                client,
                owner,
                body,
            } => run(
                to,
                "UPDATE session SET body = ?3, connected = FALSE WHERE client = ?1 AND owner = ?2",
                params![client, owner, body],
            ),
            Self::Forget { client } => forget(to, client),
            Self::Terminate { client, owner } => {
                let theirs = to
                    .prepare_cached("SELECT 1 FROM session WHERE client = ?1 AND owner = ?2")?
                    .exists(params![client, owner])?;
                if theirs { forget(to, client) } else { Ok(()) }
            }
            Self::Subscribe {
                client,
                filter,
                body,
            } => run(
                to,
                "INSERT OR REPLACE INTO subscription VALUES (?1, ?2, ?3)",
                params![client, filter, body],
            ),
            Self::Unsubscribe { client, filter } => run(
                to,
                "DELETE FROM subscription WHERE client = ?1 AND filter = ?2",
                params![client, filter],
            ),
            Self::Queue { client, message } => {
                let Message {
                    stamp,
                    topic,
                    payload,
                    packet,
                    body,
                } = message;
                match queued(to, client, message)? {
                    Some(seq) => run(
                        to,
                        "UPDATE queue SET packet = ?2, body = ?3 WHERE seq = ?1",
                        params![seq, packet, body],
                    ),
                    None => run(
                        to,
                        "INSERT INTO queue (client, stamp, topic, payload, packet, body) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        params![client, stamp, topic, payload, packet, body],
                    ),
                }
            }
            Self::Unqueue { client, message } => match queued(to, client, message)? {
                Some(seq) => run(to, "DELETE FROM queue WHERE seq = ?1", params![seq]),
                None => Ok(()),
            },
        }
    }
}

/// The row of a message that waits already.
///
/// The broker gives messages no identity, so it is what can be seen of them: two that
/// are published in one millisecond on one topic with one payload count as one.
fn queued(to: &Transaction<'_>, client: &str, message: &Message) -> rusqlite::Result<Option<i64>> {
    to.prepare_cached(
        "SELECT seq FROM queue WHERE client = ?1 AND stamp = ?2 AND topic = ?3 AND payload = ?4",
    )?
    .query_row(
        params![client, message.stamp, message.topic, message.payload],
        |row| row.get(0),
    )
    .optional()
}

fn run(to: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
    to.prepare_cached(sql)?.execute(values).map(drop)
}

fn forget(to: &Transaction<'_>, client: &str) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM queue WHERE client = ?1",
        "DELETE FROM subscription WHERE client = ?1",
        "DELETE FROM session WHERE client = ?1",
    ] {
        run(to, sql, params![client])?;
    }
    Ok(())
}

/// Applies the changes, all or none.
pub fn apply<'a>(
    connection: &mut Connection,
    changes: impl Iterator<Item = &'a Change>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        change.apply(&transaction)?;
    }
    transaction.commit()
}

/// The version of the tables below.
const VERSION: u32 = 1;

/// Makes the tables if they are not there.
pub fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            format!("hub.db is of version {version}, written by a newer hub; use that one").into(),
        ));
    }
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS retained (
             topic TEXT PRIMARY KEY, body BLOB NOT NULL
         ) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS session (
             client TEXT PRIMARY KEY, owner TEXT NOT NULL, body BLOB NOT NULL,
             connected BOOLEAN NOT NULL
         ) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS subscription (
             client TEXT, filter TEXT, body BLOB NOT NULL, PRIMARY KEY (client, filter)
         ) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS queue (
             seq INTEGER PRIMARY KEY AUTOINCREMENT, client TEXT NOT NULL, stamp INTEGER NOT NULL,
             topic TEXT NOT NULL, payload BLOB NOT NULL, packet INTEGER, body BLOB NOT NULL
         );
         CREATE INDEX IF NOT EXISTS queue_client ON queue (client, stamp);",
    )?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Reads everything.
pub fn read(connection: &Connection) -> rusqlite::Result<Contents> {
    let retained = connection
        .prepare("SELECT topic, body FROM retained")?
        .query_map([], pair)?
        .collect::<Result<_, _>>()?;
    let sessions = connection
        .prepare("SELECT client, body, connected FROM session")?
        .query_map([], |row| {
            Ok(StoredSession {
                client: row.get(0)?,
                body: row.get(1)?,
                connected: row.get(2)?,
                subscriptions: Vec::new(),
                queue: Vec::new(),
            })
        })?
        .map(|session| {
            let mut session = session?;
            session.subscriptions = connection
                .prepare_cached("SELECT filter, body FROM subscription WHERE client = ?1")?
                .query_map([&session.client], pair)?
                .collect::<Result<_, _>>()?;
            session.queue = connection
                .prepare_cached(
                    "SELECT stamp, topic, payload, packet, body FROM queue \
                     WHERE client = ?1 ORDER BY seq",
                )?
                .query_map([&session.client], message)?
                .collect::<Result<_, _>>()?;
            Ok(session)
        })
        .collect::<Result<_, rusqlite::Error>>()?;
    Ok(Contents { retained, sessions })
}

fn pair(row: &Row<'_>) -> rusqlite::Result<(String, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        stamp: row.get(0)?,
        topic: row.get(1)?,
        payload: row.get(2)?,
        packet: row.get(3)?,
        body: row.get(4)?,
    })
}

/// Makes what is committed survive a power cut.
pub fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
