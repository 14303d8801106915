//! Three hubs that are one broker: nodes, recorders and the database killed in turn, and counted.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
// It is the history's own.
#[allow(dead_code, reason = "the history's tests use the rest")]
#[path = "../../../hub/history/tests/history/place.rs"]
mod place;

mod balancer;
mod installation;
mod kills;
mod together;
