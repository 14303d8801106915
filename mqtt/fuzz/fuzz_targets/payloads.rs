//! See [`aldis_mqtt_fuzz::reference::check`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| aldis_mqtt_fuzz::reference::check(bytes));
