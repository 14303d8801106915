//! The device against the broker model, on virtual time.

mod answers;
mod confirm;
mod keys;
mod lamp;
mod messages;
mod outages;
mod past;
mod readings;
mod reboot;
mod restart;
mod rig;
mod soak;
mod status;
