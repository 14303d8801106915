//! The device against the broker model, on virtual time.
