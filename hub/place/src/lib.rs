//! The hub's place in its network: what it is called, where it is found, and why others can be
//! sure that it is the one.
//!
//! - [`Machine`] knows the names and addresses of this machine.
//! - [`Authority`] is a certificate authority of the hub's own, made at the first start. It
//!   certifies the machine for HTTPS and for MQTT over TLS.
//! - [`Certified`] keeps that certificate good while the hub runs.
//! - [`Announced`] tells the network of the hub by multicast DNS.
//!
//! Time is an argument of the authority; only what runs looks at a clock.

mod announce;
mod authority;
mod certified;
mod constraints;
mod error;
mod files;
mod machine;
mod server;

pub use announce::{Announced, Announcement, Holder, Service, State};
pub use authority::Authority;
pub use certified::{Certified, CertifiedOptions};
pub use error::PlaceError;
pub use machine::{Machine, label};
pub use server::{Certification, names_of};
