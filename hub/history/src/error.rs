//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;

/// Why something could not be stored or read. Names the store, never its password.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The address of the store is none.
    #[error(
        "{store} is no address of a store: {reason}; give a path, `sqlite:PATH` or \
         `postgres://USER@HOST/DATABASE`"
    )]
    Address {
        /// What was given, without a password.
        store: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program has been here.
    #[error(
        "{store} is of version {found}, this program knows version {known} at most; use the \
         newer program, or another store"
    )]
    Newer {
        /// The store.
        store: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Another program holds the database.
    #[error(
        "{store} is locked by another program ({reason}); nothing was stored, it can be tried \
         again. If that lasts, end the other program"
    )]
    Locked {
        /// The store.
        store: String,
        /// In the database's words.
        reason: String,
    },
    /// There is no room.
    #[error(
        "{store} has no room left ({reason}); nothing was stored, it can be tried again. Make \
         room on the disk"
    )]
    Full {
        /// The store.
        store: String,
        /// In the database's words.
        reason: String,
    },
    /// The server is away.
    #[error(
        "{store} cannot be reached ({reason}); what was under way can be given again. See \
         whether the server runs"
    )]
    Unreachable {
        /// The store.
        store: String,
        /// In the database's words.
        reason: String,
    },
    /// The server or the file system lets this program not do it.
    #[error("{store} refuses ({reason}); see to user, password and permissions")]
    Refused {
        /// The store.
        store: String,
        /// In the database's words.
        reason: String,
    },
    /// The file is not what it should be.
    #[error(
        "{store} is damaged or of another program ({reason}); move it away to start afresh, or \
         put a backup in its place"
    )]
    Damaged {
        /// The store.
        store: String,
        /// In the database's words.
        reason: String,
    },
    /// No such device is known.
    #[error("{store} knows no device {device}; see which there are")]
    NoDevice {
        /// The store.
        store: String,
        /// The device.
        device: String,
    },
    /// The backup could not be made.
    #[error("cannot write the backup {} of {store}: {reason}", .path.display())]
    Backup {
        /// The store.
        store: String,
        /// Where the backup was to be.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Something else.
    #[error("{store}: {reason}")]
    Other {
        /// The store.
        store: String,
        /// In the database's words.
        reason: String,
    },
}

impl HistoryError {
    /// Whether the same can succeed later without anybody changing the program or its
    /// arguments. What was to be stored should be kept and given again.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Locked { .. } | Self::Full { .. } | Self::Unreachable { .. }
        )
    }
}

/// What kind of trouble a database tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Two transactions were in each other's way: this one can simply be done again.
    Conflict,
    Locked,
    Full,
    Unreachable,
    Refused,
    Damaged,
    Other,
}

impl Trouble {
    /// The error for it.
    pub fn error(self, store: &str, reason: String) -> HistoryError {
        let store = store.to_owned();
        match self {
            Self::Conflict | Self::Locked => HistoryError::Locked { store, reason },
            Self::Full => HistoryError::Full { store, reason },
            Self::Unreachable => HistoryError::Unreachable { store, reason },
            Self::Refused => HistoryError::Refused { store, reason },
            Self::Damaged => HistoryError::Damaged { store, reason },
            Self::Other => HistoryError::Other { store, reason },
        }
    }

    /// What can be said without asking which database it is.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unreachable,
            sqlx::Error::Tls(_) => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// What is wrong, for people, where the database itself has not said it.
pub(crate) fn in_words(error: &sqlx::Error) -> String {
    use std::io::ErrorKind;
    match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            ErrorKind::TimedOut => "it does not answer".to_owned(),
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => "the connection was cut".to_owned(),
            _ => error.to_string(),
        },
        sqlx::Error::Tls(error) => format!("no connection over TLS: {error}"),
        sqlx::Error::Protocol(what) => format!("its answer makes no sense: {what}"),
        sqlx::Error::Configuration(error) => format!("its address or a setting: {error}"),
        sqlx::Error::PoolClosed => "it was closed".to_owned(),
        sqlx::Error::WorkerCrashed => "the thread that works with it has died".to_owned(),
        sqlx::Error::BeginFailed => "it began no transaction".to_owned(),
        error => error.to_string(),
    }
}

/// What ends a transaction before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    Sql(sqlx::Error),
    /// What was read is not so any more: do it again.
    Again,
    Said(HistoryError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::Said(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    /// People would read of communicating with databases, of pools and workers.
    #[test]
    fn troubles_are_told_in_our_words() {
        let io = |kind| sqlx::Error::Io(Error::from(kind));
        for (error, words) in [
            (io(ErrorKind::ConnectionRefused), "nobody listens there"),
            (io(ErrorKind::UnexpectedEof), "the connection was cut"),
            (
                sqlx::Error::Io(Error::other("no such host")),
                "no such host",
            ),
            (sqlx::Error::PoolClosed, "it was closed"),
        ] {
            assert_eq!(in_words(&error), words);
        }
        let error = Trouble::of(&io(ErrorKind::ConnectionRefused));
        let error = error.error("postgres://me@host/db", "nobody listens there".to_owned());
        assert_eq!(
            error.to_string(),
            "postgres://me@host/db cannot be reached (nobody listens there); what was under way \
             can be given again. See whether the server runs"
        );
    }
}
