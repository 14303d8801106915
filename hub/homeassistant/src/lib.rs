//! Announces devices to Home Assistant, by its device-based MQTT discovery.
//!
//! Devices have little flash, so the hub does it for them. It is an ordinary client of the
//! broker: it listens to what devices say ([`aldis_protocol`]), and publishes for each a
//! retained message on `homeassistant/device/<object id>/config`. Home Assistant then talks
//! with the devices directly; whether the hub runs does not matter to it.
//!
//! ```no_run
//! # async fn example() -> Result<(), aldis_homeassistant::HomeAssistantError> {
//! use aldis_client::Broker;
//! use aldis_homeassistant::{HomeAssistant, Options};
//!
//! let options = Options::new(Broker::new("127.0.0.1", 1883));
//! let homeassistant = HomeAssistant::start(options)?;
//! homeassistant.announce_title("aldis/kitchen", Some("Kitchen"));
//! homeassistant.forget("aldis/attic");
//! homeassistant.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod abilities;
mod announcer;
mod object_id;
mod options;
mod payload;
mod running;
#[cfg(test)]
mod schema;
mod standing;

pub use options::{HomeAssistantError, Options, Titles};
pub use running::{HomeAssistant, RunningHomeAssistant};
