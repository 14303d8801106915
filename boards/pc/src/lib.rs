//! The device as a program on a PC.

pub mod sensor;
