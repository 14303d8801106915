//! What every device does, written against board traits.
#![no_std]

pub mod dht;
