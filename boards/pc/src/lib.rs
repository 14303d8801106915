//! The device as a program on a PC.
//!
//! A [`VirtualDevice`] is the code of `aldis-device` with this machine's network
//! and clock; sensor and lamp are made of memory. Its sensor gives pulse trains,
//! synthetic or recorded ([`sensor`]), that the chip's decoder reads. [`Config`] is
//! the file `device.toml`, the same as for a chip, and [`state`] what outlives a
//! restart.
//!
//! ```no_run
//! use aldis_pc::{Config, VirtualDevice};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::parse("device.toml", b"id = \"kitchen\"")?;
//! let device = VirtualDevice::new(config, "mqtt://127.0.0.1:1883".parse()?);
//! let an_hour = tokio::time::sleep(std::time::Duration::from_secs(3_600));
//! device.run(|report| println!("{report:?}"), an_hour).await?;
//! # Ok(())
//! # }
//! ```

pub mod broker_url;
pub mod button;
pub mod config;
pub mod readings;
pub mod sensor;
pub mod state;

mod device;
mod secret;

pub use aldis_device::GivenUp;
pub use broker_url::BrokerUrl;
pub use config::Config;
pub use device::{DeviceError, Report, VirtualDevice, default_id};
pub use secret::Secret;
