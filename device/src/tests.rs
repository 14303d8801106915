//! The device against the broker model, on virtual time.

mod confirm;
mod lamp;
mod outages;
mod readings;
mod restart;
mod rig;
mod soak;
mod status;
