//! The dashboard: what a browser sees of an installation, and what it can do there.
//!
//! A web server with the pages built in, an interface for them under `/api`, and streams of what
//! happens. Towards devices it is an ordinary MQTT client, towards what is kept a reader: it works
//! with any broker and beside any recorder.
//!
//! Everything but signing in needs the owner's password. [`Dashboard::start`] starts it.

mod api;
mod cause;
mod commands;
mod connection;
mod error;
mod feed;
mod front;
mod gate;
mod guard;
mod health;
mod keeper;
mod live;
mod model;
mod options;
mod process;
mod server;
mod sessions;
mod shared;
mod topics;
mod view;

pub use error::DashboardError;
pub use options::{
    Clock, DashboardOptions, Machine, Names, Owner, OwnerHash, Recorder, TlsFiles, Urls, Vitals,
    fixed_names, fixed_urls, system_clock,
};
pub use process::Process;
pub use server::{Dashboard, RunningDashboard};
