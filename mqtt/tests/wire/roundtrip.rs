//! What is written is read again, by ourselves and by somebody else.

use aldis_mqtt::wire::{Packet, Properties, Property, Version};
use aldis_world::broker::codec as theirs;
use proptest::prelude::*;

use crate::bridge::{self, lend, list, own};
use crate::strategies::{packet, version, versioned};

/// The bytes of a packet.
pub fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut room = vec![0; 1 << 18];
    packet.encode(version, &mut room).unwrap().to_vec()
}

/// In MQTT 3.1.1 a return code stands for a reason code.
fn as_read(version: Version, packet: &theirs::Packet) -> theirs::Packet {
    let mut packet = packet.clone();
    if let (Version::V4, theirs::Packet::ConnAck(ack)) = (version, &mut packet) {
        let reasons = [0, 0x84, 0x85, 0x88, 0x86, 0x87];
        ack.code = reasons[usize::from(ack.code)];
    }
    packet
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// A packet that is not read as it was written is a message misunderstood;
    /// one byte taken too many or too few loses step for good.
    #[test]
    fn every_packet_is_read_as_it_was_written((version, theirs) in versioned()) {
        let theirs = as_read(version, &theirs);
        lend(&theirs, |ours| {
            let mut bytes = encode(ours, version);
            let len = bytes.len();
            prop_assert_eq!(Packet::decode(&bytes, version), Ok(Some((*ours, len))));
            // What follows is none of this packet's business.
            bytes.extend_from_slice(&[0xff; 7]);
            prop_assert_eq!(Packet::decode(&bytes, version), Ok(Some((*ours, len))));
            Ok(())
        })?;
    }

    /// Both sides of a test could be wrong together: an independent codec reads
    /// what ours writes with the same fields.
    #[test]
    fn the_brokers_codec_reads_what_ours_writes((version, theirs) in versioned()) {
        let read = as_read(version, &theirs);
        let bytes = lend(&read, |ours| encode(ours, version));
        let decoded = theirs::Packet::decode(bridge::version(version), &bytes);
        prop_assert_eq!(decoded, Ok(theirs));
    }

    /// And the other way round; where both write properties in one order, to
    /// the same byte.
    #[test]
    fn ours_reads_what_the_brokers_codec_writes((version, theirs) in versioned()) {
        let bytes = theirs.encode(bridge::version(version));
        let (ours, len) = Packet::decode(&bytes, version).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(own(&ours, version), as_read(version, &theirs));
        prop_assert_eq!(encode(&ours, version), bytes);
    }

    /// Properties may stand in any order, and their order is kept.
    #[test]
    fn properties_keep_the_order_in_which_they_were_given(
        theirs in packet(Version::V5),
        seed in any::<u64>(),
    ) {
        let theirs::Packet::Publish(publish) = &theirs else { return Ok(()) };
        let mut list = list(&publish.properties);
        let len = list.len().max(1);
        for i in 0..list.len() {
            list.swap(i, (seed.rotate_left(i as u32 * 7) % len as u64) as usize);
        }
        lend(&theirs, |ours| {
            let Packet::Publish(ours) = ours else { unreachable!() };
            let mut ours = *ours;
            ours.properties = Properties::new(&list);
            let bytes = encode(&Packet::Publish(ours), Version::V5);
            let decoded = Packet::decode(&bytes, Version::V5);
            let Ok(Some((Packet::Publish(read), _))) = decoded else { unreachable!() };
            prop_assert_eq!(read.properties.iter().collect::<Vec<_>>(), list.clone());
            Ok(())
        })?;
    }

    /// A buffer that is too small is said to be, whatever its size; one with
    /// five bytes to spare is enough.
    #[test]
    fn a_small_buffer_is_refused((version, theirs) in versioned()) {
        let theirs = as_read(version, &theirs);
        lend(&theirs, |ours| {
            let len = encode(ours, version).len();
            let mut room = vec![0; len + 5];
            prop_assert!(ours.encode(version, &mut room).is_ok());
            let step = (len / 200).max(1);
            for size in (0..len).step_by(step) {
                prop_assert!(ours.encode(version, &mut room[..size]).is_err());
            }
            Ok(())
        })?;
    }

    /// A Properties' size is counted before it is written.
    #[test]
    fn a_property_is_as_long_as_it_says(theirs in packet(Version::V5)) {
        let theirs::Packet::ConnAck(ack) = &theirs else { return Ok(()) };
        for property in list(&ack.properties) {
            let mut room = [0; 2_000];
            let mut w = aldis_mqtt::wire::Writer::new(&mut room);
            property.write(&mut w).unwrap();
            prop_assert_eq!(w.len(), property.size());
        }
    }

    /// The lengths at which the fixed header grows by a byte.
    #[test]
    fn the_fixed_header_grows_where_it_must(
        version in version(),
        size in proptest::sample::select(&[127usize, 128, 16_383, 16_384][..]),
        off in 0usize..8,
    ) {
        let payload = vec![7; size - off];
        let publish = theirs::Publish {
            topic: "t".into(),
            payload,
            ..theirs::Publish::default()
        };
        let theirs = theirs::Packet::Publish(publish);
        let bytes = theirs.encode(bridge::version(version));
        let ours = lend(&theirs, |ours| encode(ours, version));
        prop_assert_eq!(ours, bytes);
    }
}

/// The largest remaining length that three bytes hold, and the first that takes
/// four.
#[test]
fn a_large_packet_has_a_header_of_five_bytes() {
    for (len, header) in [(2_097_151, 4), (2_097_152, 5)] {
        let payload = vec![0; len - 3];
        let theirs = theirs::Packet::Publish(theirs::Publish {
            topic: "t".into(),
            payload,
            ..theirs::Publish::default()
        });
        let mut room = vec![0; len + 10];
        lend(&theirs, |ours| {
            let bytes = ours.encode(Version::V4, &mut room).unwrap();
            assert_eq!(bytes.len(), header + len);
            let decoded = Packet::decode(bytes, Version::V4);
            assert_eq!(decoded, Ok(Some((*ours, header + len))));
        });
    }
}

/// Strings and binary data end at 65,535 bytes: one more cannot be written, and
/// must not be written wrongly.
#[test]
fn a_field_of_65536_bytes_is_refused() {
    let text = "x".repeat(65_536);
    let mut room = vec![0; 200_000];
    for (len, fits) in [(65_535, true), (65_536, false)] {
        let property = [Property::UserProperty("", &text[..len])];
        let properties = Properties::new(&property);
        for topic in ["t", &text[..len]] {
            let publish = aldis_mqtt::wire::Publish {
                delivery: aldis_mqtt::wire::Delivery::AtMostOnce,
                retain: false,
                topic,
                properties,
                payload: b"",
            };
            let encoded = Packet::Publish(publish).encode(Version::V5, &mut room);
            assert_eq!(encoded.is_ok(), fits, "{len}");
        }
    }
}
