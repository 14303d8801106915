//! An MQTT 3.1.1 and 5 client session that does not lose what it was given.
#![cfg_attr(not(any(test, feature = "tokio")), no_std)]
#![forbid(unsafe_code)]

pub mod link;
mod outbox;
pub mod session;
mod shift;
mod time;
pub mod wire;

pub use outbox::Slot;
pub use session::{
    Backoff, Buffers, Cause, CleanStart, Dropped, Event, Message, Network, Options, OptionsError,
    Publication, PublicationId, PublishError, Published, Session, SubscribeError, Timeouts, Token,
    Transport, Versions,
};
pub use time::Instant;
pub use wire::{QoS, ReasonCode, RetainHandling, SubscribeOptions, Version, Will};
