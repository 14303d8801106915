//! The recorder: stores what devices say and confirms it.
