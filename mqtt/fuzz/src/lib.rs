//! What the fuzz targets share: the bridge to an independent codec and what
//! must hold for any bytes, both as the tests have them, a session with
//! everything around it, and another reading of messages.
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
#[path = "../../../protocol/tests/reference/mod.rs"]
pub mod reference;
pub mod rig;
pub mod targets;
