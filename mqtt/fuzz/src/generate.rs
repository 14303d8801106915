//! Any packet that may be sent, from any bytes.

use aldis_mqtt::wire::Version;
use aldis_world::broker::codec::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, Qos, Reason, SubAck, Subscribe,
    SubscribeFilter, Unsubscribe, Will,
};
use arbitrary::{Result, Unstructured};

use crate::bridge;

fn text(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(u.arbitrary::<&str>()?.replace('\0', "x"))
}

fn topic(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(format!("t{}", text(u)?.replace(['+', '#'], "/")))
}

fn qos(u: &mut Unstructured<'_>) -> Result<Qos> {
    let bits = u.int_in_range(0..=2)?;
    Ok(Qos::from_number(bits).unwrap_or_default())
}

fn flag(u: &mut Unstructured<'_>) -> Result<u8> {
    Ok(u.arbitrary::<bool>()?.into())
}

fn id(u: &mut Unstructured<'_>) -> Result<u16> {
    u.int_in_range(1..=u16::MAX)
}

/// Some of the properties with these identifiers.
fn properties(u: &mut Unstructured<'_>, version: Version, ids: &[u8]) -> Result<Properties> {
    let mut p = Properties::default();
    if version == Version::V4 {
        return Ok(p);
    }
    for id in ids {
        if !u.arbitrary::<bool>()? {
            continue;
        }
        match id {
            1 => p.payload_format_indicator = Some(flag(u)?),
            2 => p.message_expiry_interval = Some(u.arbitrary()?),
            3 => p.content_type = Some(text(u)?),
            8 => p.response_topic = Some(topic(u)?),
            9 => p.correlation_data = Some(u.arbitrary()?),
            11 => {
                let identifier = u.int_in_range(1..=268_435_455)?;
                p.subscription_identifiers.push(identifier);
            }
            17 => p.session_expiry_interval = Some(u.arbitrary()?),
            18 => p.assigned_client_identifier = Some(text(u)?),
            19 => p.server_keep_alive = Some(u.arbitrary()?),
            21 => p.authentication_method = Some(text(u)?),
            22 if p.authentication_method.is_some() => {
                p.authentication_data = Some(u.arbitrary()?);
            }
            23 => p.request_problem_information = Some(flag(u)?),
            24 => p.will_delay_interval = Some(u.arbitrary()?),
            25 => p.request_response_information = Some(flag(u)?),
            26 => p.response_information = Some(text(u)?),
            28 => p.server_reference = Some(text(u)?),
            31 => p.reason_string = Some(text(u)?),
            33 => p.receive_maximum = Some(u.int_in_range(1..=u16::MAX)?),
            34 => p.topic_alias_maximum = Some(u.arbitrary()?),
            35 => p.topic_alias = Some(u.int_in_range(1..=u16::MAX)?),
            36 => p.maximum_qos = Some(flag(u)?),
            37 => p.retain_available = Some(flag(u)?),
            38 => p.user_properties.push((text(u)?, text(u)?)),
            39 => p.maximum_packet_size = Some(u.int_in_range(1..=u32::MAX)?),
            40 => p.wildcard_subscription_available = Some(flag(u)?),
            41 => p.subscription_identifier_available = Some(flag(u)?),
            42 => p.shared_subscription_available = Some(flag(u)?),
            _ => {}
        }
    }
    Ok(p)
}

fn connect(u: &mut Unstructured<'_>, version: Version) -> Result<Connect> {
    let properties = properties(u, version, &[17, 21, 22, 23, 25, 33, 34, 38, 38, 39])?;
    let mut connect = Connect {
        properties,
        clean_start: u.arbitrary()?,
        keep_alive: u.arbitrary()?,
        ..Connect::new(bridge::version(version), &text(u)?)
    };
    if u.arbitrary()? {
        connect.will = Some(Will {
            properties: self::properties(u, version, &[1, 2, 3, 8, 9, 24, 38])?,
            topic: topic(u)?,
            payload: u.arbitrary()?,
            qos: qos(u)?,
            retain: u.arbitrary()?,
        });
    }
    if u.arbitrary()? {
        connect.username = Some(text(u)?);
    }
    if u.arbitrary()? && (connect.username.is_some() || version == Version::V5) {
        connect.password = Some(u.arbitrary()?);
    }
    Ok(connect)
}

fn publish(u: &mut Unstructured<'_>, version: Version) -> Result<Publish> {
    let properties = properties(u, version, &[1, 2, 3, 8, 9, 11, 11, 35, 38, 38])?;
    let without_topic = properties.topic_alias.is_some() && u.arbitrary()?;
    let qos = qos(u)?;
    let acknowledged = qos != Qos::AtMostOnce;
    Ok(Publish {
        dup: acknowledged && u.arbitrary()?,
        qos,
        retain: u.arbitrary()?,
        topic: if without_topic {
            String::new()
        } else {
            topic(u)?
        },
        packet_id: if acknowledged { id(u)? } else { 0 },
        properties,
        payload: u.arbitrary()?,
    })
}

fn ack(u: &mut Unstructured<'_>, version: Version, codes: &[u8]) -> Result<Ack> {
    Ok(Ack {
        packet_id: id(u)?,
        code: code(u, version, codes)?,
        properties: properties(u, version, &[31, 38, 38])?,
    })
}

fn code(u: &mut Unstructured<'_>, version: Version, codes: &[u8]) -> Result<u8> {
    match version {
        Version::V4 => Ok(0),
        Version::V5 => u.choose(codes).copied(),
    }
}

fn reason(u: &mut Unstructured<'_>, version: Version, ids: &[u8]) -> Result<Reason> {
    Ok(Reason {
        code: code(u, version, &[0, 4, 0x18, 0x80, 0x8e, 0x9d])?,
        properties: properties(u, version, ids)?,
    })
}

fn suback(u: &mut Unstructured<'_>, version: Version, codes: &[u8]) -> Result<SubAck> {
    let mut ack = SubAck {
        packet_id: id(u)?,
        properties: properties(u, version, &[31, 38, 38])?,
        codes: Vec::new(),
    };
    if !codes.is_empty() {
        for _ in 0..u.int_in_range(1..=4)? {
            ack.codes.push(*u.choose(codes)?);
        }
    }
    Ok(ack)
}

fn filters(u: &mut Unstructured<'_>, version: Version) -> Result<Vec<SubscribeFilter>> {
    let mut filters = Vec::new();
    let v5 = version == Version::V5;
    for _ in 0..u.int_in_range(1..=4)? {
        let filter = text(u)?;
        filters.push(SubscribeFilter {
            qos: qos(u)?,
            no_local: v5 && !filter.starts_with("$share/") && u.arbitrary()?,
            retain_as_published: v5 && u.arbitrary()?,
            retain_handling: if v5 { u.int_in_range(0..=2)? } else { 0 },
            filter,
        });
    }
    Ok(filters)
}

/// Any packet of this version. CONNACK of MQTT 3.1.1 is read as a reason code
/// and left to the tests.
pub fn packet(u: &mut Unstructured<'_>, version: Version) -> Result<Packet> {
    const PUB: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    const REL: &[u8] = &[0, 0x92];
    const CONNACK: &[u8] = &[
        17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 38, 39, 40, 41, 42,
    ];
    let v5 = version == Version::V5;
    Ok(match u.int_in_range(1..=if v5 { 15 } else { 14 })? {
        1 => Packet::Connect(connect(u, version)?),
        2 => {
            let code = code(u, version, &[0, 0x80, 0x84, 0x87, 0x9d])?;
            Packet::ConnAck(ConnAck {
                session_present: code == 0 && u.arbitrary()?,
                code,
                properties: properties(u, version, CONNACK)?,
            })
        }
        3 => Packet::Publish(publish(u, version)?),
        4 => Packet::PubAck(ack(u, version, PUB)?),
        5 => Packet::PubRec(ack(u, version, PUB)?),
        6 => Packet::PubRel(ack(u, version, REL)?),
        7 => Packet::PubComp(ack(u, version, REL)?),
        8 => Packet::Subscribe(Subscribe {
            packet_id: id(u)?,
            properties: properties(u, version, &[11, 38, 38])?,
            filters: filters(u, version)?,
        }),
        9 => Packet::SubAck(suback(u, version, &[0, 1, 2, 0x80])?),
        10 => Packet::Unsubscribe(Unsubscribe {
            packet_id: id(u)?,
            properties: properties(u, version, &[38, 38])?,
            filters: filters(u, version)?.into_iter().map(|f| f.filter).collect(),
        }),
        11 => Packet::UnsubAck(suback(u, version, if v5 { &[0, 0x11, 0x87] } else { &[] })?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect(reason(u, version, &[17, 28, 31, 38, 38])?),
        _ => Packet::Auth(reason(u, version, &[21, 22, 31, 38, 38])?),
    })
}
