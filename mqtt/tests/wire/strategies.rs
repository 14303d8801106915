//! Every packet that may be sent, in both versions and both directions, as the
//! broker model's owned packets.

use aldis_mqtt::wire::Version;
use aldis_world::broker::codec::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, Qos, Reason, SubAck, Subscribe,
    SubscribeFilter, Unsubscribe, Will,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::bridge;

pub fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V4), Just(Version::V5)]
}

fn text() -> impl Strategy<Value = String> {
    let short = vec(any::<char>(), 0..6).prop_map(|chars| {
        let printable = |c| if c == '\0' { '\u{10ffff}' } else { c };
        chars.into_iter().map(printable).collect()
    });
    prop_oneof![20 => short, 1 => (120usize..300).prop_map(|len| "ž".repeat(len))]
}

fn topic() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("t{}", text.replace(['+', '#'], "/")))
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![
        topic(),
        topic().prop_map(|topic| format!("{topic}/+/#")),
        topic().prop_map(|topic| format!("$share/group/{topic}")),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![20 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 100..20_000)]
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..12)
}

fn qos() -> impl Strategy<Value = Qos> {
    (0u8..3).prop_map(|bits| Qos::from_number(bits).unwrap())
}

fn flag() -> impl Strategy<Value = Option<u8>> {
    option::of(0u8..2)
}

fn id() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn identifier() -> impl Strategy<Value = u32> {
    prop_oneof![
        1..=127u32,
        128..=16_383u32,
        16_384..=2_097_151u32,
        2_097_152..=268_435_455u32
    ]
}

/// Properties of every kind; each place keeps those that may stand there.
fn any_properties() -> BoxedStrategy<Properties> {
    let message = (
        flag(),
        option::of(any::<u32>()),
        option::of(text()),
        option::of(topic()),
        option::of(binary()),
        vec(identifier(), 0..3),
        option::of(any::<u32>()),
        option::of(1..=u16::MAX),
    );
    let connection = (
        option::of(any::<u32>()),
        option::of(text()),
        option::of(any::<u16>()),
        option::of((text(), option::of(binary()))),
        flag(),
        flag(),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    );
    let limits = (
        option::of(1..=u16::MAX),
        option::of(any::<u16>()),
        flag(),
        flag(),
        option::of(1..=u32::MAX),
        flag(),
        flag(),
        flag(),
    );
    let user = vec((text(), text()), 0..3);
    (
        message.boxed(),
        connection.boxed(),
        limits.boxed(),
        user.boxed(),
    )
        .prop_map(|(message, connection, limits, user)| {
            let authentication = connection.3;
            Properties {
                payload_format_indicator: message.0,
                message_expiry_interval: message.1,
                content_type: message.2,
                response_topic: message.3,
                correlation_data: message.4,
                subscription_identifiers: message.5,
                will_delay_interval: message.6,
                topic_alias: message.7,
                session_expiry_interval: connection.0,
                assigned_client_identifier: connection.1,
                server_keep_alive: connection.2,
                authentication_data: authentication.as_ref().and_then(|(_, data)| data.clone()),
                authentication_method: authentication.map(|(method, _)| method),
                request_problem_information: connection.4,
                request_response_information: connection.5,
                response_information: connection.6,
                server_reference: connection.7,
                reason_string: connection.8,
                receive_maximum: limits.0,
                topic_alias_maximum: limits.1,
                maximum_qos: limits.2,
                retain_available: limits.3,
                maximum_packet_size: limits.4,
                wildcard_subscription_available: limits.5,
                subscription_identifier_available: limits.6,
                shared_subscription_available: limits.7,
                user_properties: user,
            }
        })
        .boxed()
}

/// Sections 3.1.2.11 to 3.15.2.2, each saying what its packet may carry.
fn properties(version: Version, keep: fn(Properties) -> Properties) -> BoxedStrategy<Properties> {
    prop_oneof![
        1 => Just(Properties::default()),
        3 => any_properties().prop_map(keep),
    ]
    .prop_map(move |properties| match version {
        Version::V4 => Properties::default(),
        Version::V5 => properties,
    })
    .boxed()
}

fn in_connect(p: Properties) -> Properties {
    Properties {
        session_expiry_interval: p.session_expiry_interval,
        receive_maximum: p.receive_maximum,
        maximum_packet_size: p.maximum_packet_size,
        topic_alias_maximum: p.topic_alias_maximum,
        request_response_information: p.request_response_information,
        request_problem_information: p.request_problem_information,
        user_properties: p.user_properties,
        authentication_method: p.authentication_method,
        authentication_data: p.authentication_data,
        ..Properties::default()
    }
}

fn in_will(p: Properties) -> Properties {
    Properties {
        will_delay_interval: p.will_delay_interval,
        payload_format_indicator: p.payload_format_indicator,
        message_expiry_interval: p.message_expiry_interval,
        content_type: p.content_type,
        response_topic: p.response_topic,
        correlation_data: p.correlation_data,
        user_properties: p.user_properties,
        ..Properties::default()
    }
}

fn in_connack(p: Properties) -> Properties {
    Properties {
        session_expiry_interval: p.session_expiry_interval,
        receive_maximum: p.receive_maximum,
        maximum_qos: p.maximum_qos,
        retain_available: p.retain_available,
        maximum_packet_size: p.maximum_packet_size,
        assigned_client_identifier: p.assigned_client_identifier,
        topic_alias_maximum: p.topic_alias_maximum,
        reason_string: p.reason_string,
        user_properties: p.user_properties,
        wildcard_subscription_available: p.wildcard_subscription_available,
        subscription_identifier_available: p.subscription_identifier_available,
        shared_subscription_available: p.shared_subscription_available,
        server_keep_alive: p.server_keep_alive,
        response_information: p.response_information,
        server_reference: p.server_reference,
        authentication_method: p.authentication_method,
        authentication_data: p.authentication_data,
        ..Properties::default()
    }
}

fn in_publish(p: Properties) -> Properties {
    Properties {
        payload_format_indicator: p.payload_format_indicator,
        message_expiry_interval: p.message_expiry_interval,
        topic_alias: p.topic_alias,
        response_topic: p.response_topic,
        correlation_data: p.correlation_data,
        user_properties: p.user_properties,
        subscription_identifiers: p.subscription_identifiers,
        content_type: p.content_type,
        ..Properties::default()
    }
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
fn in_ack(p: Properties) -> Properties {
    Properties {
        reason_string: p.reason_string,
        user_properties: p.user_properties,
        ..Properties::default()
    }
}

fn in_subscribe(p: Properties) -> Properties {
    Properties {
        subscription_identifiers: p.subscription_identifiers.into_iter().take(1).collect(),
        user_properties: p.user_properties,
        ..Properties::default()
    }
}

fn in_unsubscribe(p: Properties) -> Properties {
    Properties {
        user_properties: p.user_properties,
        ..Properties::default()
    }
}

fn in_disconnect(p: Properties) -> Properties {
    Properties {
        session_expiry_interval: p.session_expiry_interval,
        reason_string: p.reason_string,
        user_properties: p.user_properties,
        server_reference: p.server_reference,
        ..Properties::default()
    }
}

fn in_auth(p: Properties) -> Properties {
    Properties {
        authentication_method: p.authentication_method,
        authentication_data: p.authentication_data,
        reason_string: p.reason_string,
        user_properties: p.user_properties,
        ..Properties::default()
    }
}

fn connect(version: Version) -> impl Strategy<Value = Packet> {
    let will = (
        topic(),
        binary(),
        qos(),
        any::<bool>(),
        properties(version, in_will),
    );
    let will = will.prop_map(|(topic, payload, qos, retain, properties)| Will {
        topic,
        payload,
        qos,
        retain,
        properties,
    });
    (
        any::<bool>(),
        any::<u16>(),
        text(),
        option::of(will),
        option::of(text()),
        option::of(binary()),
        properties(version, in_connect),
    )
        .prop_map(
            move |(clean, keep_alive, client_id, will, username, password, p)| {
                // MQTT-3.1.2-22: no password without a user name in 3.1.1.
                let lonely = version == Version::V4 && username.is_none();
                Packet::Connect(Connect {
                    version: bridge::version(version),
                    clean_start: clean,
                    keep_alive,
                    client_id,
                    will,
                    password: password.filter(|_| !lonely),
                    username,
                    properties: p,
                })
            },
        )
}

fn connack(version: Version) -> impl Strategy<Value = Packet> {
    let codes: &[u8] = match version {
        Version::V4 => &[0, 1, 2, 3, 4, 5],
        Version::V5 => &[
            0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95,
            0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
        ],
    };
    let code = proptest::sample::select(codes);
    (any::<bool>(), code, properties(version, in_connack)).prop_map(
        |(present, code, properties)| {
            Packet::ConnAck(ConnAck {
                session_present: present && code == 0,
                code,
                properties,
            })
        },
    )
}

fn publish(version: Version) -> impl Strategy<Value = Packet> {
    let parts = (
        any::<bool>(),
        qos(),
        any::<bool>(),
        topic(),
        any::<bool>(),
        id(),
    );
    (parts, properties(version, in_publish), bytes()).prop_map(
        |((dup, qos, retain, topic, aliased, id), properties, payload)| {
            let without_topic = aliased && properties.topic_alias.is_some();
            Packet::Publish(Publish {
                dup: dup && qos != Qos::AtMostOnce,
                qos,
                retain,
                topic: if without_topic { String::new() } else { topic },
                packet_id: if qos == Qos::AtMostOnce { 0 } else { id },
                properties,
                payload,
            })
        },
    )
}

fn ack(
    version: Version,
    codes: &'static [u8],
    wrap: fn(Ack) -> Packet,
) -> impl Strategy<Value = Packet> {
    let code = proptest::sample::select(codes);
    (id(), code, properties(version, in_ack)).prop_map(move |(packet_id, code, properties)| {
        let code = if version == Version::V4 { 0 } else { code };
        wrap(Ack {
            packet_id,
            code,
            properties,
        })
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    let filter = (filter(), qos(), any::<bool>(), any::<bool>(), 0u8..3).prop_map(
        move |(filter, qos, no_local, retain_as_published, retain_handling)| {
            let v5 = version == Version::V5;
            SubscribeFilter {
                // MQTT-3.8.3-4: no No Local on a shared subscription.
                no_local: no_local && v5 && !filter.starts_with("$share/"),
                filter,
                qos,
                retain_as_published: retain_as_published && v5,
                retain_handling: if v5 { retain_handling } else { 0 },
            }
        },
    );
    (id(), vec(filter, 1..5), properties(version, in_subscribe)).prop_map(
        |(packet_id, filters, properties)| {
            Packet::Subscribe(Subscribe {
                packet_id,
                properties,
                filters,
            })
        },
    )
}

fn suback(
    version: Version,
    codes: &'static [u8],
    wrap: fn(SubAck) -> Packet,
) -> impl Strategy<Value = Packet> {
    let codes = match codes {
        [] => Just(Vec::new()).boxed(),
        codes => vec(proptest::sample::select(codes), 1..5).boxed(),
    };
    (id(), codes, properties(version, in_ack)).prop_map(move |(packet_id, codes, properties)| {
        wrap(SubAck {
            packet_id,
            properties,
            codes,
        })
    })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet> {
    (
        id(),
        vec(filter(), 1..5),
        properties(version, in_unsubscribe),
    )
        .prop_map(|(packet_id, filters, properties)| {
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties,
                filters,
            })
        })
}

fn reason(
    version: Version,
    codes: &'static [u8],
    keep: fn(Properties) -> Properties,
    wrap: fn(Reason) -> Packet,
) -> impl Strategy<Value = Packet> {
    let code = proptest::sample::select(codes);
    (code, properties(version, keep)).prop_map(move |(code, properties)| {
        let code = if version == Version::V4 { 0 } else { code };
        wrap(Reason { code, properties })
    })
}

/// Any packet of this version.
pub fn packet(version: Version) -> BoxedStrategy<Packet> {
    const PUB: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    const REL: &[u8] = &[0, 0x92];
    const END: &[u8] = &[
        0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
    ];
    const SUB: &[u8] = &[
        0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2,
    ];
    const UNSUB: &[u8] = &[0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
    let (sub, unsub): (&[u8], &[u8]) = match version {
        Version::V4 => (&[0, 1, 2, 0x80], &[]),
        Version::V5 => (SUB, UNSUB),
    };
    let both = prop_oneof![
        connect(version).boxed(),
        connack(version).boxed(),
        publish(version).boxed(),
        publish(version).boxed(),
        ack(version, PUB, Packet::PubAck).boxed(),
        ack(version, PUB, Packet::PubRec).boxed(),
        ack(version, REL, Packet::PubRel).boxed(),
        ack(version, REL, Packet::PubComp).boxed(),
        subscribe(version).boxed(),
        suback(version, sub, Packet::SubAck).boxed(),
        unsubscribe(version).boxed(),
        suback(version, unsub, Packet::UnsubAck).boxed(),
        Just(Packet::PingReq).boxed(),
        Just(Packet::PingResp).boxed(),
        reason(version, END, in_disconnect, Packet::Disconnect).boxed(),
    ];
    match version {
        Version::V4 => both.boxed(),
        Version::V5 => prop_oneof![
            15 => both,
            1 => reason(version, &[0, 0x18, 0x19], in_auth, Packet::Auth),
        ]
        .boxed(),
    }
}

/// A version, and any packet of it.
pub fn versioned() -> impl Strategy<Value = (Version, Packet)> {
    version().prop_flat_map(|version| packet(version).prop_map(move |packet| (version, packet)))
}
