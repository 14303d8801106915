//! What must hold for any bytes at all.

use aldis_mqtt::wire::{Packet, Version, frame, valid_topic};
use aldis_world::broker::codec as theirs;

use crate::bridge::{self, own};

/// Decodes any bytes: without panic, within them, and so that what was decoded
/// can be sent again and means the same. Where the independent codec decodes
/// them too, it finds the same in them; where only one of the two refuses them,
/// it is for a reason that is listed here.
pub fn check(bytes: &[u8], version: Version) {
    let decoded = match Packet::decode(bytes, version) {
        Ok(None) => return,
        Ok(Some((packet, len))) => {
            assert!(len <= bytes.len(), "more was taken than there is");
            check_again(&packet, &bytes[..len], version);
            Ok((packet, &bytes[..len]))
        }
        Err(fault) => Err(fault),
    };
    let size = frame(bytes, Version::V4)
        .ok()
        .flatten()
        .map(|frame| frame.size());
    let Some(whole) = size.and_then(|size| bytes.get(..size)) else {
        assert!(decoded.is_err());
        return;
    };
    match (
        decoded,
        theirs::Packet::decode(bridge::version(version), whole),
    ) {
        (Err(_), Err(_)) => {}
        (Ok((ours, whole)), Ok(theirs)) => {
            let ours = own(&ours, version_of(whole, version));
            assert_eq!(ours, read_as_reason(theirs, version), "{whole:02x?}");
        }
        (Ok((ours, whole)), Err(violation)) => {
            // Codes that a later version may add are passed on, and a CONNACK
            // may come in the shape of the other version.
            let tolerated = violation.text == "unknown reason code"
                || matches!(ours, Packet::ConnAck(ack) if ack.reason.is_error());
            assert!(tolerated, "{violation}: {ours:?} from {whole:02x?}");
        }
        (Err(fault), Ok(theirs)) => {
            let overlong = theirs::frame(whole).is_ok_and(|f| f.is_some_and(|f| f.overlong));
            assert!(
                overlong || is_refusable(&theirs),
                "{fault:?}: {theirs:?} from {whole:02x?}"
            );
        }
    }
}

/// What was decoded can be encoded, and then decodes to the same.
fn check_again(packet: &Packet<'_>, bytes: &[u8], version: Version) {
    let mut room = vec![0; bytes.len() + 16];
    let shape = match packet {
        // A refusal in the shape of MQTT 5, read by a client of MQTT 3.1.1.
        Packet::ConnAck(ack) if !ack.properties.is_empty() => Version::V5,
        _ => version_of(bytes, version),
    };
    let again = packet.encode(shape, &mut room).expect("it has grown");
    let expected = Ok(Some((*packet, again.len())));
    assert_eq!(
        Packet::decode(again, version),
        expected,
        "from {bytes:02x?}"
    );
}

/// The version of the connection; a CONNECT states its own.
fn version_of(bytes: &[u8], version: Version) -> Version {
    let header = frame(bytes, Version::V4)
        .ok()
        .flatten()
        .map_or(0, |frame| frame.header);
    match (bytes[0] >> 4, bytes.get(header + 6)) {
        (1, Some(4)) => Version::V4,
        (1, Some(5)) => Version::V5,
        _ => version,
    }
}

/// Return codes of MQTT 3.1.1 are read as the reason codes that mean the same.
fn read_as_reason(packet: theirs::Packet, version: Version) -> theirs::Packet {
    match packet {
        theirs::Packet::ConnAck(mut ack) if version == Version::V4 => {
            ack.code = match ack.code {
                0 => 0,
                1 => 0x84,
                2 => 0x85,
                3 => 0x88,
                4 => 0x86,
                5 => 0x87,
                6..0x80 => 0x80,
                code => code,
            };
            theirs::Packet::ConnAck(ack)
        }
        other => other,
    }
}

/// Whether a packet that parses is nevertheless none.
fn is_refusable(packet: &theirs::Packet) -> bool {
    let bad_response = |properties: &theirs::Properties| {
        let topic = properties.response_topic.as_deref();
        topic.is_some_and(|topic| !valid_topic(topic))
    };
    match packet {
        theirs::Packet::SubAck(ack) | theirs::Packet::UnsubAck(ack) => ack.codes.is_empty(),
        theirs::Packet::Publish(publish) => {
            let aliased = publish.topic.is_empty() && publish.properties.topic_alias.is_some();
            !(valid_topic(&publish.topic) || aliased) || bad_response(&publish.properties)
        }
        theirs::Packet::Connect(connect) => connect
            .will
            .as_ref()
            .is_some_and(|will| !valid_topic(&will.topic) || bad_response(&will.properties)),
        theirs::Packet::ConnAck(ack) => ack.session_present && ack.code != 0,
        theirs::Packet::Subscribe(subscribe) => subscribe
            .filters
            .iter()
            .any(|filter| filter.no_local && filter.filter.starts_with("$share/")),
        theirs::Packet::Auth(auth) => {
            auth.properties.authentication_data.is_some()
                && auth.properties.authentication_method.is_none()
        }
        _ => false,
    }
}
