//! Where the hub that runs is, told to the commands beside it: flags and variables say it to the
//! hub alone.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// In the hub's data directory. It is locked as long as the hub runs.
const FILE: &str = "running.json";
/// Commands look for a moment; so often that is waited for.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// More is none of ours.
const MAX_LEN: u64 = 4096;

/// Where a hub speaks MQTT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Over TCP.
    pub mqtt: SocketAddr,
    /// Over TLS, if anywhere.
    #[serde(default)]
    pub tls: Option<SocketAddr>,
}

/// It is told as long as this lives.
#[derive(Debug)]
pub struct Told {
    _file: File,
}

/// Tells it. Without that the hub runs as well, and commands go by its configuration file.
pub async fn tell(data: &Path, whereabouts: &Whereabouts) -> Option<Told> {
    match write(data, whereabouts).await {
        Ok(file) => Some(Told { _file: file }),
        Err(error) => {
            tracing::warn!(
                "{} cannot be written: {error}; `aldis hub pair` does not know this hub's port, \
                 so give it `--host HOST:PORT`",
                data.join(FILE).display()
            );
            None
        }
    }
}

async fn write(data: &Path, whereabouts: &Whereabouts) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(data.join(FILE))?;
    for tried in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tried < TRIES => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    file.set_len(0)?;
    file.write_all(serde_json::to_string(whereabouts)?.as_bytes())?;
    Ok(file)
}

/// Where the hub with this data directory is, if one runs.
pub fn look(data: &Path) -> Option<Whereabouts> {
    let path = data.join(FILE);
    // The folder may be a service's: no link is followed, and no pipe is waited for.
    if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    let file = File::open(path).ok()?;
    match file.try_lock_shared() {
        // What a hub left behind that is gone.
        Ok(()) => None,
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.take(MAX_LEN).read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        }
        Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device would be sent to the port of a hub that is gone.
    #[tokio::test]
    async fn only_a_hub_that_runs_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path()), None);
        let longer = Whereabouts {
            mqtt: "127.0.0.1:1884".parse().unwrap(),
            tls: Some("0.0.0.0:8884".parse().unwrap()),
        };
        let told = tell(dir.path(), &longer).await.unwrap();
        assert_eq!(look(dir.path()), Some(longer.clone()));
        drop(told);
        assert_eq!(look(dir.path()), None);
        let shorter = Whereabouts {
            tls: None,
            ..longer
        };
        let _told = tell(dir.path(), &shorter).await.unwrap();
        assert_eq!(look(dir.path()), Some(shorter));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(look(dir.path()), None);
    }
}
