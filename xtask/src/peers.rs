//! x

mod packet;
mod port;
mod proxy;
