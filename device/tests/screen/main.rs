//! The screen, from a view to what a person sees: over real I2C traffic and a model of
//! the panel.

mod faults;
mod light;
mod pages;
mod rig;
mod text;
