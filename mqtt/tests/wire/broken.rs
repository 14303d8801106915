//! Bytes as they should not be: cut short, changed, or made up.

use aldis_mqtt::wire::{Packet, Version};
use proptest::prelude::*;

use crate::bridge;
use crate::differ::check;
use crate::strategies::{version, versioned};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Half a packet taken for a whole one would lose step with the stream.
    #[test]
    fn no_prefix_is_taken_for_the_whole((version, theirs) in versioned()) {
        let bytes = theirs.encode(bridge::version(version));
        let step = (bytes.len() / 500).max(1);
        for len in (0..bytes.len()).step_by(step) {
            prop_assert_eq!(Packet::decode(&bytes[..len], version), Ok(None), "{} bytes", len);
        }
    }

    /// A prefix whose header was made to fit is a malformed packet of its own.
    #[test]
    fn a_body_cut_short_is_decoded_or_refused((version, theirs) in versioned()) {
        let bytes = theirs.encode(bridge::version(version));
        let body = &bytes[bytes.len().min(2)..];
        for len in 0..body.len().min(128) {
            let mut cut = vec![bytes[0], len as u8];
            cut.extend_from_slice(&body[..len]);
            check(&cut, version);
        }
    }

    /// One byte is wrong, anywhere, in any way; in packets of more than a few
    /// bytes some of the positions and values.
    #[test]
    fn every_corruption_of_a_byte_is_decoded_or_refused(
        (version, theirs) in versioned(),
        seed in any::<usize>(),
    ) {
        let mut bytes = theirs.encode(bridge::version(version));
        let len = bytes.len();
        if len <= 40 {
            for at in 0..len {
                let right = bytes[at];
                for wrong in 1..=255 {
                    bytes[at] = right ^ wrong;
                    check(&bytes, version);
                }
                bytes[at] = right;
            }
        } else {
            let mut state = seed | 1;
            for round in 0..1_000 {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(11);
                // The interesting bytes are in front.
                let at = (state >> 33) % if round % 4 == 0 { len } else { len.min(120) };
                let right = bytes[at];
                bytes[at] = (state >> 24) as u8;
                check(&bytes, version);
                bytes[at] = right;
            }
        }
    }

    /// A byte too many, a byte too few.
    #[test]
    fn an_inserted_or_missing_byte_is_decoded_or_refused(
        (version, theirs) in versioned(),
        value in any::<u8>(),
    ) {
        let bytes = theirs.encode(bridge::version(version));
        for at in 0..bytes.len().min(100) {
            let mut changed = bytes.clone();
            changed.insert(at, value);
            check(&changed, version);
            let mut changed = bytes.clone();
            changed.remove(at);
            check(&changed, version);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    /// Nobody's packet.
    #[test]
    fn random_bytes_are_decoded_or_refused(
        version in version(),
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        check(&bytes, version);
    }

    /// Nobody's packet, but with a header that fits: more of them get inside.
    #[test]
    fn random_bodies_are_decoded_or_refused(
        version in version(),
        first in any::<u8>(),
        body in proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..60),
    ) {
        let mut bytes = vec![first, body.len() as u8];
        bytes.extend_from_slice(&body);
        check(&bytes, version);
    }
}

/// All packets of up to three bytes, there being so few of them.
#[test]
fn every_packet_of_three_bytes_is_decoded_or_refused() {
    for version in [Version::V4, Version::V5] {
        for first in 0..=255u8 {
            for value in 0..=255u8 {
                check(&[first, value], version);
                check(&[first, 1, value], version);
                check(&[first, 2, value, 0], version);
                check(&[first, 2, 0, value], version);
                check(&[first, 3, 0, 1, value], version);
                check(&[first, value, 0, 1, 0, 0, 0], version);
            }
        }
    }
}
