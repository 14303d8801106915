//! Keeps the machine's certificate good while the hub runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{MissedTickBehavior, interval};

use crate::authority::Authority;
use crate::error::PlaceError;
use crate::machine::Machine;
use crate::server::Certification;

/// How often names, addresses and the certificate's age are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What is certified.
#[derive(Debug)]
pub struct CertifiedOptions {
    /// The hub's data directory.
    pub data: PathBuf,
    /// Another name than the machine's own.
    pub name: Option<String>,
    /// More names, which may change.
    pub also: watch::Receiver<Vec<String>>,
    /// The time.
    pub now: fn() -> SystemTime,
}

/// The machine has a certificate as long as this lives.
#[derive(Debug)]
pub struct Certified {
    authority: Arc<Authority>,
    task: JoinHandle<()>,
}

impl Certified {
    /// Opens or makes the authority and the certificate, and looks after the certificate from now
    /// on.
    ///
    /// # Errors
    /// If the authority cannot be used; the message says what to do.
    pub async fn start(options: CertifiedOptions) -> Result<Self, PlaceError> {
        let CertifiedOptions {
            data,
            name,
            mut also,
            now,
        } = options;
        let machine = Machine::look(name.as_deref())?;
        let names = also.borrow_and_update().clone();
        let (opened, first) = blocking(move || {
            let authority = Authority::open(&data, &machine, now())?;
            authority.certify(&machine, &names, now())?;
            Ok((Arc::new(authority), machine))
        })
        .await?;
        let authority = opened.clone();
        let task = tokio::spawn(async move {
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut said = String::new();
            let mut is_open = true;
            loop {
                tokio::select! {
                    _ = look.tick() => {}
                    changed = also.changed(), if is_open => is_open = changed.is_ok(),
                }
                let names = also.borrow_and_update().clone();
                let (authority, name) = (authority.clone(), name.clone());
                let fallback = first.clone();
                let done = blocking(move || {
                    let machine = Machine::look(name.as_deref()).unwrap_or(fallback);
                    authority.certify(&machine, &names, now())
                });
                match done.await {
                    Ok(Certification::Kept) => said.clear(),
                    Ok(Certification::Made(why)) => {
                        tracing::info!("this machine has a new certificate: {why}");
                        said.clear();
                    }
                    Err(error) => {
                        let error = error.to_string();
                        if error != said {
                            tracing::error!("{error}");
                        }
                        said = error;
                    }
                }
            }
        });
        Ok(Self {
            authority: opened,
            task,
        })
    }

    /// Waits until nobody looks after the certificate any more, though nobody asked for that.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.task).await
    }

    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The file with the machine's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.authority.server_certificate()
    }

    /// The file with its key.
    pub fn key(&self) -> PathBuf {
        self.authority.server_key()
    }

    /// The file with the authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.authority.path()
    }
}

impl Drop for Certified {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Does what waits for the disk where nothing else waits.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PlaceError> + Send + 'static,
) -> Result<T, PlaceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PlaceError::Make(error.to_string())),
    }
}
