//! Any packet that may be sent: ours and an independent codec read what the
//! other writes.
#![no_main]

use aldis_mqtt::wire::{Packet, Version};
use aldis_mqtt_fuzz::bridge::{self, lend, own};
use aldis_mqtt_fuzz::generate::packet;
use aldis_world::broker::codec as theirs;
use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let version = match u.arbitrary() {
        Ok(false) => Version::V4,
        _ => Version::V5,
    };
    let Ok(theirs) = packet(&mut u, version) else {
        return;
    };
    let written = theirs.encode(bridge::version(version));
    let mut room = vec![0; written.len() + 5];
    lend(&theirs, |ours| {
        assert_eq!(ours.encode(version, &mut room), Ok(&written[..]));
        assert_eq!(
            Packet::decode(&written, version),
            Ok(Some((*ours, written.len())))
        );
        assert_eq!(own(ours, version), theirs);
    });
    let read = theirs::Packet::decode(bridge::version(version), &written);
    assert_eq!(read.as_ref(), Ok(&theirs));
});
