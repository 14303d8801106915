//! The device as a program on a PC.

pub mod broker_url;
pub mod config;
pub mod sensor;
pub mod state;

mod device;
mod secret;

pub use broker_url::BrokerUrl;
pub use config::Config;
pub use device::{DeviceError, Report, VirtualDevice, default_id};
pub use secret::Secret;
