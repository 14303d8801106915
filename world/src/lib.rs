//! A deterministic world for devices.
