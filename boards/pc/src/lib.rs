//! The device as a program on a PC.

pub mod broker_url;
pub mod config;
pub mod sensor;

mod secret;

pub use broker_url::BrokerUrl;
pub use config::Config;
pub use secret::Secret;
