//! The door of the hub's broker.
//!
//! rmqtt waits for ever for the first bytes of a connection, and takes as many connections as
//! come. What serves a connection is private there, but the listeners are a crate of their own:
//! this one stands in its place (`[patch]` in the workspace) and passes on what it has. Only
//! [`Listener`] is another: each connection has to get past a [`Door`], and keeps its place there
//! until it ends. And the certificate of a listener may be renewed: rmqtt reads it once, and a
//! listener that is bound again loses whoever had come to the one before and was not taken yet.

#[cfg(feature = "tls")]
mod certificate;
mod door;
mod entry;
mod listener;

pub use behind::{
    Builder, Error, ListenerType, MqttError, MqttStream, Result, TlsCertExtractor, v3, v5,
};
#[cfg(feature = "tls")]
pub use behind::{rustls, tls_provider};
#[cfg(feature = "tls")]
pub use certificate::Certificate;
pub use door::{Bounds, Door, network};
pub use entry::{Entering, Io};
pub use listener::{Acceptor, Dispatcher, Listener};
