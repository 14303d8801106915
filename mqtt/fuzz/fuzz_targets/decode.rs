//! Any bytes, one packet after the other, in both versions.
#![no_main]

use aldis_mqtt::wire::{Packet, Version};
use aldis_mqtt_fuzz::differ::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::V4, Version::V5] {
        let mut rest = bytes;
        loop {
            check(rest, version);
            match Packet::decode(rest, version) {
                Ok(Some((_, len))) => rest = &rest[len..],
                _ => break,
            }
        }
    }
});
