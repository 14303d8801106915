//! Where protoc is.
//!
//! rmqtt's cluster depends on `protobuf-src`, which builds protoc from C++ for twelve minutes
//! whether one is there or not. This takes its place (`[patch.crates-io]` in the workspace's
//! manifest) and leaves the one from the system to be used.

use std::path::PathBuf;

/// The protoc to be found on the path. It is asked for only where that one does not answer or
/// is too old, so the error will name it.
pub fn protoc() -> PathBuf {
    PathBuf::from("protoc")
}
