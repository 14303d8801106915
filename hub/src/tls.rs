//! The certificate of the TLS listener, which is taken up while the hub runs.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rmqtt::net::Certificate;
use tokio::time::sleep;

use crate::config::TlsConfig;
use crate::error::HubError;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// When certificate and key were written, and how long they are.
type Times = [Option<(SystemTime, u64)>; 2];

/// A certificate and what it was read from.
pub(crate) struct Tls {
    config: TlsConfig,
    certificate: Certificate,
    known: Times,
}

impl Tls {
    /// Reads the certificate.
    pub fn read(config: TlsConfig) -> Result<Self, HubError> {
        let known = when(&config);
        let certificate =
            Certificate::read(&config.cert, &config.key).map_err(|error| HubError::Tls {
                cert: config.cert.clone(),
                key: config.key.clone(),
                reason: format!("{error:#}"),
            })?;
        Ok(Self {
            config,
            certificate,
            known,
        })
    }

    /// What the listener shows.
    pub fn certificate(&self) -> Certificate {
        self.certificate.clone()
    }

    /// Takes up each new certificate that can be used, for ever.
    pub async fn follow(mut self) {
        loop {
            sleep(LOOK).await;
            let now = when(&self.config);
            if now == self.known {
                continue;
            }
            self.known = now;
            let TlsConfig { cert, key, .. } = &self.config;
            match self.certificate.renew(cert, key) {
                Ok(()) => tracing::info!("TLS has a new certificate"),
                // Both are written one after the other: the next look mends it.
                Err(error) => tracing::warn!(
                    "the new certificate {} cannot be used ({error:#}); the one before it stays",
                    cert.display()
                ),
            }
        }
    }
}

fn when(config: &TlsConfig) -> Times {
    let of = |path: &Path| -> io::Result<(SystemTime, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    [of(&config.cert).ok(), of(&config.key).ok()]
}
