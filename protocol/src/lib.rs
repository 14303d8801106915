//! Topics and payloads that an Aldis device and its hub share.
//!
//! Everything encodes into a buffer of the caller's and decodes by borrowing; no
//! input makes it panic, and none of it needs a heap. Temperatures and humidities
//! are whole tenths throughout, so that no rounding happens on the way.
//!
//! ```
//! use aldis_protocol::{Climate, Topic, Topics, topic};
//!
//! // What a device publishes where ...
//! let topics = Topics::new("aldis", "kitchen")?;
//! let mut name = [0; topic::MAX_LEN];
//! assert_eq!(topics.write(Topic::Climate, &mut name)?, "aldis/kitchen/climate");
//!
//! // ... and what a recorder reads.
//! let climate = Climate::decode(br#"{"seq":7,"boot":3,"age_ms":4000,"t":24.1,"h":26.5}"#)?;
//! assert_eq!(climate.reading.temperature().to_string(), "24.1");
//! assert_eq!(climate.age_ms, 4_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

#[cfg(test)]
extern crate std;

pub mod message;
pub mod topic;

mod climate;
mod command;
mod diag;
mod error;
mod json;
mod object;
mod reading;
mod scratch;
mod words;
mod writer;

pub use climate::{Climate, decode_ack, encode_ack, encode_readout};
pub use command::{
    Answer, MAX_WPM, MIN_WPM, MorseHeard, MorseSet, decode_command, decode_restart, encode_command,
    encode_restart,
};
pub use diag::{Diag, Dropped, Reconnects};
pub use error::{BufferTooSmall, DecodeError};
pub use message::{Message, MessageReport, Refused};
pub use reading::{Reading, Tenths};
pub use scratch::Scratch;
pub use topic::{Topic, Topics};
pub use words::{
    Availability, Lamp, LampCommand, MessageState, Mode, Priority, Reason, ResetReason, SensorState,
};
