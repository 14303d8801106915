//! The wire room against the specification, against an independent codec, and
//! against bytes that nobody should send.

mod bridge;
mod broken;
mod differ;
mod filters;
mod roundtrip;
mod spec;
mod spec_packets;
mod spec_properties;
mod strategies;
