//! What tests of the hub's parts need: real brokers, bounded waiting.

mod mosquitto;
mod wait;

pub use mosquitto::Mosquitto;
pub use wait::{PATIENCE, connected, event, message, until};
