//! Why a hub did not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::port::Holder;

/// Why a hub did not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Another program listens on the port.
    #[error("{}", port_taken(.addr, .holder.as_ref()))]
    PortTaken {
        /// The address asked for.
        addr: SocketAddr,
        /// Who listens there, if that could be found out.
        holder: Option<Holder>,
    },
    /// The address could not be bound for another reason.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
    /// The certificate or the key of the TLS listener cannot be used.
    #[error("cannot use the certificate {} with the key {}: {reason}", .cert.display(), .key.display())]
    Tls {
        /// The file with the certificate chain.
        cert: PathBuf,
        /// The file with the private key.
        key: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// Another hub uses the data directory.
    #[error(
        "the data directory {} is in use by another hub{}; stop that one or choose another directory with `--data DIR`",
        .dir.display(),
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    DataInUse {
        /// The directory.
        dir: PathBuf,
        /// The process that uses it, if it left its number.
        pid: Option<u32>,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}: {reason}", .dir.display())]
    Data {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The keys of the owner and the devices cannot be used.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeysError),
    /// The configuration contradicts itself or has a mistake.
    #[error("{0}")]
    Config(String),
    /// The hub cannot be part of its cluster.
    #[error("{0}")]
    Cluster(String),
    /// The system refused a thread or another resource.
    #[error("cannot start the broker: {0}")]
    Runtime(String),
    /// The broker ended though nobody asked for it.
    #[error("the broker ended unasked ({0}); start the hub again")]
    Ended(String),
}

fn port_taken(addr: &SocketAddr, holder: Option<&Holder>) -> impl fmt::Display + use<> {
    let by = match holder {
        Some(holder) => format!("by {holder}"),
        None => "by another program".to_owned(),
    };
    let next = SocketAddr::new(addr.ip(), addr.port().checked_add(1).unwrap_or(1883));
    format!(
        "port {} is already taken {by}; stop it, or choose another port, for example \
         `--listen {next}` (`--listen {}:0` takes a free one)",
        addr.port(),
        bracketed(addr),
    )
}

fn bracketed(addr: &SocketAddr) -> String {
    match addr {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}
