//! What fuzzing and the tests of the wire room found in the session. Each of
//! these ended every connection anew, since the session would have tried again
//! for ever what the broker must refuse.

use aldis_mqtt::{
    Buffers, Cause, Event, Instant, Options, Publication, PublishError, QoS, Session,
    SubscribeError, SubscribeOptions, Version, Versions,
    wire::{Fault, Property},
};

const NOW: Instant = Instant::from_millis(0);

/// Runs `test` on a session that is connected.
fn connected(version: Version, test: impl FnOnce(&mut Session<'_>)) {
    let (mut receive, mut outbox) = ([0; 256], [0; 512]);
    let options = Options {
        versions: Versions::Only(version),
        ..Options::new("c")
    };
    let mut slots = [aldis_mqtt::Slot::EMPTY; 8];
    let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
    let mut session = Session::new(options, buffers, 1, NOW).unwrap();
    assert_eq!(session.poll(NOW), None);
    session.opened(NOW);
    sent(&mut session);
    receive_bytes(
        &mut session,
        match version {
            Version::V4 => &[0x20, 2, 0, 0],
            Version::V5 => &[0x20, 3, 0, 0, 0],
        },
    );
    assert!(matches!(session.poll(NOW), Some(Event::Connected { .. })));
    test(&mut session);
}

fn sent(session: &mut Session<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = session.transmit(NOW) {
        let len = chunk.len();
        bytes.extend_from_slice(chunk);
        session.transmitted(len, NOW);
    }
    bytes
}

fn receive_bytes(session: &mut Session<'_>, bytes: &[u8]) {
    session.receive_space()[..bytes.len()].copy_from_slice(bytes);
    session.received(bytes.len());
}

/// The bits that MQTT 3.1.1 reserves were sent (MQTT-3.8.3-4 there).
#[test]
fn subscription_options_of_5_are_not_sent_to_a_broker_of_3_1_1() {
    connected(Version::V4, |session| {
        let options = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: true,
            retain_as_published: true,
            ..SubscribeOptions::default()
        };
        session.subscribe("t", options, None).unwrap();
        assert_eq!(sent(session), [0x82, 6, 0, 1, 0, 1, b't', 1]);
    });
}

/// No Local on a shared subscription is a protocol error (MQTT-3.8.3-4).
#[test]
fn a_shared_subscription_without_ones_own_messages_is_refused_at_once() {
    connected(Version::V5, |session| {
        let options = SubscribeOptions {
            no_local: true,
            ..SubscribeOptions::default()
        };
        let refused = session.subscribe("$share/g/t", options, None);
        assert_eq!(refused, Err(SubscribeError::InvalidFilter));
        assert_eq!(session.subscribe("t", options, None), Ok(()));
    });
}

/// An identifier that four bytes cannot hold left a packet half written.
#[test]
fn a_subscription_identifier_out_of_range_is_refused_at_once() {
    connected(Version::V5, |session| {
        for identifier in [0, 268_435_456, u32::MAX] {
            let options = SubscribeOptions::default();
            let refused = session.subscribe("t", options, Some(identifier));
            assert_eq!(refused, Err(SubscribeError::InvalidFilter), "{identifier}");
        }
        assert!(sent(session).is_empty());
        let largest = Some(268_435_455);
        session
            .subscribe("t", SubscribeOptions::default(), largest)
            .unwrap();
        let expected = b"\x82\x0b\0\x01\x05\x0b\xff\xff\xff\x7f\0\x01t\0";
        let mut expected = expected.to_vec();
        expected[1] = expected.len() as u8 - 2;
        assert_eq!(sent(session), expected);
    });
}

/// A null character in the group of a shared subscription.
#[test]
fn a_null_character_in_a_group_is_refused_at_once() {
    connected(Version::V5, |session| {
        let refused = session.subscribe("$share/g\0/t", SubscribeOptions::default(), None);
        assert_eq!(refused, Err(SubscribeError::InvalidFilter));
    });
}

/// A response topic that nobody can publish to (MQTT-3.3.2-14).
#[test]
fn a_response_topic_with_a_wildcard_is_refused_at_once() {
    connected(Version::V5, |session| {
        for topic in ["", "#", "a/+", "a\0"] {
            let properties = [Property::ResponseTopic(topic)];
            let publication = Publication::new("t", b"x").with(&properties);
            let refused = session.publish(&publication, NOW);
            assert_eq!(refused, Err(PublishError::InvalidProperty), "{topic:?}");
        }
    });
}

/// Bytes behind the properties were taken for checked properties.
#[test]
fn a_disconnect_with_bytes_left_over_is_malformed() {
    connected(Version::V5, |session| {
        receive_bytes(
            session,
            &[0xe0, 9, 0x8b, 4, 0x1f, 0, 1, b'r', 0x1f, 0xff, 0xff],
        );
        assert_eq!(session.poll(NOW), None);
        // Told so by DISCONNECT.
        assert_eq!(sent(session), [0xe0, 1, 0x81]);
        let Some(Event::Disconnected { cause, properties }) = session.poll(NOW) else {
            panic!("still connected");
        };
        assert_eq!(cause, Cause::Protocol(Fault::Malformed));
        assert!(properties.is_empty());
    });
}

/// A broker of 3.1.1 may pad the length of a packet.
#[test]
fn a_padded_length_of_3_1_1_is_no_reason_to_disconnect() {
    connected(Version::V4, |session| {
        let publication = Publication::new("t", b"x").qos(QoS::AtLeastOnce);
        session.publish(&publication, NOW).unwrap();
        sent(session);
        receive_bytes(session, &[0x40, 0x82, 0x80, 0, 0, 1]);
        assert!(matches!(session.poll(NOW), Some(Event::Delivered { .. })));
    });
}
