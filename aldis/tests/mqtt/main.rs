//! `aldis sub`, `aldis pub` and `aldis blink` as a user runs them, against the
//! real mosquitto and beside its own tools.

mod blink;
mod common;
mod failures;
mod format;
mod messages;
mod tls;
mod trace;
