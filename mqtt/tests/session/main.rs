//! The session: against a broker model on virtual time, and byte for byte.

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod connecting;
mod conversations;
mod defects;
mod due;
mod edges;
mod field;
mod inbound;
mod limits;
mod policy;
mod replay;
mod silence;
mod soak;
