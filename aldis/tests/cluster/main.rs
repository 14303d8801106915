//! Three hubs that are one broker: nodes, recorders and the database killed in turn, and counted.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod balancer;
mod installation;
mod kills;
mod together;
