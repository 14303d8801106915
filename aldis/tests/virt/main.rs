//! The device without an operating system, under QEMU, with real programs around it.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod configuration;
mod conversation;
mod machine;
mod messages;
mod namespace;
mod networks;
mod recorder;
mod restarts;
mod sensors;
