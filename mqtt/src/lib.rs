//! An MQTT 3.1.1 and 5 client session.
#![cfg_attr(not(any(test, feature = "tokio")), no_std)]
#![forbid(unsafe_code)]

pub mod wire;
mod time;

pub use time::Instant;
