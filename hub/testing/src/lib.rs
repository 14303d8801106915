//! What tests of the hub's parts need: real brokers, a PostgreSQL, free ports, bounded waiting.

mod mosquitto;
mod port;
#[cfg(unix)]
mod postgres;
mod wait;

pub use mosquitto::Mosquitto;
pub use port::free_port;
#[cfg(unix)]
pub use postgres::{Postgres, await_until, make_room};
pub use wait::{PATIENCE, connected, event, message, until};
