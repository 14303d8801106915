//! The hub of an Aldis installation: an MQTT broker that runs inside a process.
//!
//! [`Hub::start`] opens the data directory, binds the listeners and gives a
//! [`RunningHub`], which knows the addresses that were bound and shuts the broker
//! down within [`SHUTDOWN_LIMIT`]. Several hubs can run in one process: each has a
//! runtime, a broker and a data directory of its own.
//!
//! The broker is [rmqtt](https://docs.rs/rmqtt); what it leaves to plugins is here:
//! who may connect and which topics they may use ([`Access`], [`Keys`]), retained messages,
//! sessions that outlive the process, and shared subscriptions.
//!
//! ```no_run
//! # async fn example() -> Result<(), aldis_hub::HubError> {
//! use aldis_hub::{Hub, HubConfig};
//!
//! let hub = Hub::start(HubConfig::ephemeral()).await?;
//! println!("mosquitto_sub -p {} -t '#'", hub.mqtt_addr().port());
//! hub.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod access;
mod cluster;
mod config;
mod descriptors;
mod error;
mod filter;
mod fit;
mod gate;
mod hub;
mod keys;
mod limiter;
mod passwords;
mod peers;
mod port;
mod reach;
mod received;
mod retained;
mod sessions;
mod share;
mod sizes;
mod store;
mod tls;

pub use access::{Access, Action, Effect, HashError, Rule, User, hash_password};
pub use cluster::{ClusterConfig, ClusterNode, ClusterSection};
pub use config::{
    DashboardSection, HomeAssistantSection, HubConfig, HubFile, Limits, RecorderSection, TlsConfig,
    TlsSection,
};
pub use error::HubError;
pub use hub::{Hub, RunningHub, SHUTDOWN_LIMIT};
pub use keys::{
    Device, DevicePassword, Keyring, Keys, KeysError, KeysFile, OWNER, OwnerPassword,
    check_device_id,
};
pub use port::Holder;
