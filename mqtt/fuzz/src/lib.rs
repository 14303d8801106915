//! What the fuzz targets share: the bridge to an independent codec and what
//! must hold for any bytes, both as the tests have them, and a session with
//! everything around it.
#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "the modules of the tests are not documented as an interface"
)]

#[path = "../../tests/wire/bridge.rs"]
pub mod bridge;
#[path = "../../tests/wire/differ.rs"]
pub mod differ;
pub mod generate;
pub mod rig;
pub mod targets;
