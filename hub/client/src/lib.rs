//! The MQTT client of what works beside the broker: recorder, dashboard, Home Assistant.
//!
//! [`start`] gives two halves: a [`Client`] to publish and acknowledge with, which can be
//! cloned, and the [`Events`] that happen. A task between them holds the session
//! ([`aldis_mqtt`]), connects, and connects again for as long as both halves exist. It is an
//! ordinary client, so that any broker will do.
//!
//! What the application does not take does not grow without bound: at QoS 1 and 2 the
//! broker waits for acknowledgements, at QoS 0 messages are dropped, which is told.

mod events;
mod options;
mod task;

pub use aldis_mqtt::{QoS, ReasonCode, Token};
pub use events::{Event, Events, Message};
pub use options::{Broker, Options, Publish};
pub use task::{Client, ClientError, PublishError, start};
