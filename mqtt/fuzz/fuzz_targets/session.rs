//! Anything that can happen to a session, in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| aldis_mqtt_fuzz::rig::run(bytes));
