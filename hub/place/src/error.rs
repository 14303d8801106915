//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// The authority or the announcement could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// A file of the authority is not what it should be.
    #[error(
        "{}: {reason}; put it back from a copy, or remove the folder {} and start the hub again: \
         it makes a new certificate authority, which every phone and browser has to trust anew",
        .path.display(),
        .dir.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// The folder of the authority.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The authority's time is over.
    #[error(
        "the certificate authority in {} ended on {ended}, and this machine's clock says {now}; if \
         the clock is right, remove the folder and start the hub again: it makes a new authority, \
         which every phone and browser has to trust anew",
        .dir.display()
    )]
    Ended {
        /// The folder of the authority.
        dir: PathBuf,
        /// The day of its end.
        ended: String,
        /// This day.
        now: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
    /// The network could not be told.
    #[error("cannot announce the hub in the network: {0}")]
    Announce(String),
    /// A name cannot be a host's.
    #[error("`{0}` cannot be a machine's name: use letters, digits and `-`, at most 63")]
    Name(String),
}
