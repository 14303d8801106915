//! What is kept, on both stores, whatever happens to them.

mod children;
mod faults;
mod kills;
mod model;
mod place;
mod suite;
mod together;
