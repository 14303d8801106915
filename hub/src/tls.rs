//! The listener for TLS, which takes up a new certificate while the hub runs.
//!
//! rmqtt reads a listener's certificate once, so the listener is replaced. Connections stay: each
//! is a task of its own.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rmqtt::context::ServerContext;
use rmqtt::net::{Bare, Builder, Door, Listener};
use rmqtt::server::MqttServer;
use rmqtt::types::ListenerId;
use tokio::time::sleep;

use crate::config::{Limits, TlsConfig};
use crate::error::HubError;
use crate::hub::bind;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// When certificate and key were written, and how long they are.
type Times = [Option<(SystemTime, u64)>; 2];

/// A listener and what its certificate was read from.
pub(crate) struct Tls {
    id: ListenerId,
    config: TlsConfig,
    limits: Limits,
    door: Door,
    known: Times,
}

impl Tls {
    /// Binds the listener and tells its address.
    pub fn bind(
        id: ListenerId,
        config: TlsConfig,
        limits: Limits,
        door: Door,
    ) -> Result<(Self, SocketAddr, Listener), HubError> {
        let known = when(&config);
        let (addr, listener) = listen(&config, &limits, &door)?;
        let tls = Self {
            id,
            config: TlsConfig {
                listen: addr,
                ..config
            },
            limits,
            door,
            known,
        };
        Ok((tls, addr, listener))
    }

    /// Serves it for ever.
    pub async fn serve(mut self, broker: ServerContext, mut listener: Listener) {
        loop {
            broker.listen_cfgs.remove(&self.id);
            let server = MqttServer::new(broker.clone()).listener_by_id(listener, self.id);
            tokio::select! {
                result = server.build().run() => {
                    if let Err(error) = result {
                        tracing::error!("TLS ended: {error:#}");
                    }
                }
                () = self.changed() => {}
            }
            listener = self.again().await;
        }
    }

    /// Waits for a new certificate that can be used.
    async fn changed(&mut self) {
        loop {
            sleep(LOOK).await;
            let now = when(&self.config);
            if now == self.known {
                continue;
            }
            self.known = now;
            match check(&self.config) {
                Ok(()) => {
                    tracing::info!("TLS has a new certificate");
                    return;
                }
                // Both are written one after the other: the next look mends it.
                Err(error) => tracing::warn!(
                    "the new certificate {} cannot be used ({error}); the one before it stays",
                    self.config.cert.display()
                ),
            }
        }
    }

    /// Binds the listener again, at the address that it had.
    async fn again(&self) -> Listener {
        let mut said = String::new();
        loop {
            match listen(&self.config, &self.limits, &self.door) {
                Ok((_, listener)) => return listener,
                Err(error) => {
                    let error = error.to_string();
                    if error != said {
                        tracing::error!("{error}");
                    }
                    said = error;
                }
            }
            sleep(LOOK).await;
        }
    }
}

fn listen(
    config: &TlsConfig,
    limits: &Limits,
    door: &Door,
) -> Result<(SocketAddr, Listener), HubError> {
    let (addr, listener) = bind("tls", config.listen, limits, Some(config))?;
    let listener = listener.tls().map_err(|error| HubError::Tls {
        cert: config.cert.clone(),
        key: config.key.clone(),
        reason: format!("{error:#}"),
    })?;
    Ok((addr, Listener::new(listener, door.clone())))
}

/// Whether the files can be used, tried where nobody comes.
fn check(config: &TlsConfig) -> Result<(), String> {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    Builder::new()
        .name("tls")
        .laddr(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .tls_cert(Some(path(&config.cert)))
        .tls_key(Some(path(&config.key)))
        .bind()
        .and_then(Bare::tls)
        .map(drop)
        .map_err(|error| format!("{error:#}"))
}

fn when(config: &TlsConfig) -> Times {
    let of = |path| -> io::Result<(SystemTime, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    [of(&config.cert).ok(), of(&config.key).ok()]
}
