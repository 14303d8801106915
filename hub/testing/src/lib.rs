//! What tests of the hub's parts need: real brokers, a PostgreSQL, bounded waiting.

mod mosquitto;
#[cfg(unix)]
mod postgres;
mod wait;

pub use mosquitto::Mosquitto;
#[cfg(unix)]
pub use postgres::{Postgres, await_until, make_room};
pub use wait::{PATIENCE, connected, event, message, until};
