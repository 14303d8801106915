//! What each fuzz target does with an input. The tests do the same with the
//! corpora, without a fuzzer.

use aldis_mqtt::wire::{Packet, Version};
use aldis_world::broker::codec as theirs;
use arbitrary::Unstructured;

use crate::bridge::{self, lend, own};
use crate::differ::check;
use crate::generate::packet;

/// Any bytes, one packet after the other, in both versions.
pub fn decode(bytes: &[u8]) {
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
}

/// Any packet that may be sent: ours and an independent codec read what the
/// other writes.
pub fn roundtrip(bytes: &[u8]) {
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
}

/// Anything that can happen to a session, in any order.
pub fn session(bytes: &[u8]) {
    crate::rig::run(bytes);
}
