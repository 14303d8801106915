//! A deterministic world for devices: what is outside of them, without sockets,
//! clocks and chance, so that a test can repeat what happened in it.
//!
//! [`broker`] is an MQTT broker as a model, with faults to order and a codec of its
//! own, so that no mistake of the session's codec can hide on both sides of a test.
//! [`flash`] is a flash memory with power cuts at any write.

extern crate alloc;

pub mod broker;
pub mod flash;
