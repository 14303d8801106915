//! stub
pub use view::*;
mod view;
