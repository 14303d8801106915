//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;

/// Why something could not be stored or read. Names the store, never its password.
#[derive(Debug, thiserror::Error)]
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
