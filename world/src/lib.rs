//! A deterministic world for devices.

extern crate alloc;

pub mod broker;
