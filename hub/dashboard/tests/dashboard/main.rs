//! A dashboard beside a real broker and a real store, asked over real connections.

mod api;
mod browser;
mod kept;
mod live;
mod rig;
mod safety;
mod tls;
