//! Between the client's packets, which borrow, and those of the broker model,
//! which own and are written independently: the same packet in both, and back.

use aldis_mqtt::wire::{
    Ack, Auth, ConnAck, Connect, Delivery, Disconnect, Filter, Packet, PacketId, Properties,
    Property, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeOptions,
    UnsubAck, Unsubscribe, Version, Will,
};
use aldis_world::broker::codec as theirs;

pub fn version(version: Version) -> theirs::Version {
    match version {
        Version::V4 => theirs::Version::V4,
        Version::V5 => theirs::Version::V5,
    }
}

fn qos(qos: theirs::Qos) -> QoS {
    QoS::from_bits(qos.number()).unwrap()
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// The broker model's properties as a list, in the order of their identifiers.
pub fn list(p: &theirs::Properties) -> Vec<Property<'_>> {
    let flag = |value: Option<u8>| value.map(|value| value != 0);
    let mut list = Vec::new();
    list.extend(flag(p.payload_format_indicator).map(Property::PayloadFormatIndicator));
    list.extend(
        p.message_expiry_interval
            .map(Property::MessageExpiryInterval),
    );
    list.extend(p.content_type.as_deref().map(Property::ContentType));
    list.extend(p.response_topic.as_deref().map(Property::ResponseTopic));
    list.extend(p.correlation_data.as_deref().map(Property::CorrelationData));
    let identifiers = p.subscription_identifiers.iter().copied();
    list.extend(identifiers.map(Property::SubscriptionIdentifier));
    list.extend(
        p.session_expiry_interval
            .map(Property::SessionExpiryInterval),
    );
    let assigned = p.assigned_client_identifier.as_deref();
    list.extend(assigned.map(Property::AssignedClientIdentifier));
    list.extend(p.server_keep_alive.map(Property::ServerKeepAlive));
    let method = p.authentication_method.as_deref();
    list.extend(method.map(Property::AuthenticationMethod));
    let data = p.authentication_data.as_deref();
    list.extend(data.map(Property::AuthenticationData));
    list.extend(flag(p.request_problem_information).map(Property::RequestProblemInformation));
    list.extend(p.will_delay_interval.map(Property::WillDelayInterval));
    list.extend(flag(p.request_response_information).map(Property::RequestResponseInformation));
    let information = p.response_information.as_deref();
    list.extend(information.map(Property::ResponseInformation));
    list.extend(p.server_reference.as_deref().map(Property::ServerReference));
    list.extend(p.reason_string.as_deref().map(Property::ReasonString));
    list.extend(p.receive_maximum.map(Property::ReceiveMaximum));
    list.extend(p.topic_alias_maximum.map(Property::TopicAliasMaximum));
    list.extend(p.topic_alias.map(Property::TopicAlias));
    list.extend(flag(p.maximum_qos).map(Property::MaximumQos));
    list.extend(flag(p.retain_available).map(Property::RetainAvailable));
    for (name, value) in &p.user_properties {
        list.push(Property::UserProperty(name, value));
    }
    list.extend(p.maximum_packet_size.map(Property::MaximumPacketSize));
    let wildcards = flag(p.wildcard_subscription_available);
    list.extend(wildcards.map(Property::WildcardSubscriptionAvailable));
    let identifiers = flag(p.subscription_identifier_available);
    list.extend(identifiers.map(Property::SubscriptionIdentifierAvailable));
    let shared = flag(p.shared_subscription_available);
    list.extend(shared.map(Property::SharedSubscriptionAvailable));
    list
}

/// The same properties, owned.
fn own_properties(properties: &Properties<'_>) -> theirs::Properties {
    let mut p = theirs::Properties::default();
    for property in properties.iter() {
        match property {
            Property::PayloadFormatIndicator(v) => p.payload_format_indicator = Some(v.into()),
            Property::MessageExpiryInterval(v) => p.message_expiry_interval = Some(v),
            Property::ContentType(v) => p.content_type = Some(v.into()),
            Property::ResponseTopic(v) => p.response_topic = Some(v.into()),
            Property::CorrelationData(v) => p.correlation_data = Some(v.into()),
            Property::SubscriptionIdentifier(v) => p.subscription_identifiers.push(v),
            Property::SessionExpiryInterval(v) => p.session_expiry_interval = Some(v),
            Property::AssignedClientIdentifier(v) => p.assigned_client_identifier = Some(v.into()),
            Property::ServerKeepAlive(v) => p.server_keep_alive = Some(v),
            Property::AuthenticationMethod(v) => p.authentication_method = Some(v.into()),
            Property::AuthenticationData(v) => p.authentication_data = Some(v.into()),
            Property::RequestProblemInformation(v) => {
                p.request_problem_information = Some(v.into());
            }
            Property::WillDelayInterval(v) => p.will_delay_interval = Some(v),
            Property::RequestResponseInformation(v) => {
                p.request_response_information = Some(v.into());
            }
            Property::ResponseInformation(v) => p.response_information = Some(v.into()),
            Property::ServerReference(v) => p.server_reference = Some(v.into()),
            Property::ReasonString(v) => p.reason_string = Some(v.into()),
            Property::ReceiveMaximum(v) => p.receive_maximum = Some(v),
            Property::TopicAliasMaximum(v) => p.topic_alias_maximum = Some(v),
            Property::TopicAlias(v) => p.topic_alias = Some(v),
            Property::MaximumQos(v) => p.maximum_qos = Some(v.into()),
            Property::RetainAvailable(v) => p.retain_available = Some(v.into()),
            Property::UserProperty(name, value) => {
                p.user_properties.push((name.into(), value.into()));
            }
            Property::MaximumPacketSize(v) => p.maximum_packet_size = Some(v),
            Property::WildcardSubscriptionAvailable(v) => {
                p.wildcard_subscription_available = Some(v.into());
            }
            Property::SubscriptionIdentifierAvailable(v) => {
                p.subscription_identifier_available = Some(v.into());
            }
            Property::SharedSubscriptionAvailable(v) => {
                p.shared_subscription_available = Some(v.into());
            }
        }
    }
    p
}

fn lend_ack<R>(
    ack: &theirs::Ack,
    wrap: impl for<'a> FnOnce(Ack<'a>) -> Packet<'a>,
    f: impl FnOnce(&Packet<'_>) -> R,
) -> R {
    let list = list(&ack.properties);
    f(&wrap(Ack {
        packet_id: id(ack.packet_id),
        reason: ReasonCode(ack.code),
        properties: Properties::new(&list),
    }))
}

/// Shows a packet of the broker model as one of the client's.
#[expect(
    clippy::redundant_closure,
    reason = "a constructor serves one lifetime, a closure any"
)]
pub fn lend<R>(packet: &theirs::Packet, f: impl FnOnce(&Packet<'_>) -> R) -> R {
    match packet {
        theirs::Packet::Connect(p) => {
            let properties = list(&p.properties);
            let will_properties = p.will.as_ref().map(|will| list(&will.properties));
            let will_properties = will_properties.unwrap_or_default();
            f(&Packet::Connect(Connect {
                clean_start: p.clean_start,
                keep_alive: p.keep_alive,
                properties: Properties::new(&properties),
                client_id: &p.client_id,
                will: p.will.as_ref().map(|will| Will {
                    topic: &will.topic,
                    payload: &will.payload,
                    qos: qos(will.qos),
                    retain: will.retain,
                    properties: Properties::new(&will_properties),
                }),
                username: p.username.as_deref(),
                password: p.password.as_deref(),
            }))
        }
        theirs::Packet::ConnAck(p) => {
            let list = list(&p.properties);
            f(&Packet::ConnAck(ConnAck {
                session_present: p.session_present,
                reason: ReasonCode(p.code),
                properties: Properties::new(&list),
            }))
        }
        theirs::Packet::Publish(p) => {
            let list = list(&p.properties);
            let delivery = match p.qos {
                theirs::Qos::AtMostOnce => Delivery::AtMostOnce,
                theirs::Qos::AtLeastOnce => Delivery::AtLeastOnce {
                    packet_id: id(p.packet_id),
                    dup: p.dup,
                },
                theirs::Qos::ExactlyOnce => Delivery::ExactlyOnce {
                    packet_id: id(p.packet_id),
                    dup: p.dup,
                },
            };
            f(&Packet::Publish(Publish {
                delivery,
                retain: p.retain,
                topic: &p.topic,
                properties: Properties::new(&list),
                payload: &p.payload,
            }))
        }
        theirs::Packet::PubAck(p) => lend_ack(p, |ack| Packet::PubAck(ack), f),
        theirs::Packet::PubRec(p) => lend_ack(p, |ack| Packet::PubRec(ack), f),
        theirs::Packet::PubRel(p) => lend_ack(p, |ack| Packet::PubRel(ack), f),
        theirs::Packet::PubComp(p) => lend_ack(p, |ack| Packet::PubComp(ack), f),
        theirs::Packet::Subscribe(p) => {
            let list = list(&p.properties);
            let filters: Vec<_> = p.filters.iter().map(lend_filter).collect();
            let mut subscribe = Subscribe::new(id(p.packet_id), &filters);
            subscribe.properties = Properties::new(&list);
            f(&Packet::Subscribe(subscribe))
        }
        theirs::Packet::SubAck(p) => {
            let list = list(&p.properties);
            f(&Packet::SubAck(SubAck {
                packet_id: id(p.packet_id),
                properties: Properties::new(&list),
                codes: &p.codes,
            }))
        }
        theirs::Packet::Unsubscribe(p) => {
            let list = list(&p.properties);
            let filters: Vec<_> = p.filters.iter().map(String::as_str).collect();
            let mut unsubscribe = Unsubscribe::new(id(p.packet_id), &filters);
            unsubscribe.properties = Properties::new(&list);
            f(&Packet::Unsubscribe(unsubscribe))
        }
        theirs::Packet::UnsubAck(p) => {
            let list = list(&p.properties);
            f(&Packet::UnsubAck(UnsubAck {
                packet_id: id(p.packet_id),
                properties: Properties::new(&list),
                codes: &p.codes,
            }))
        }
        theirs::Packet::PingReq => f(&Packet::PingReq),
        theirs::Packet::PingResp => f(&Packet::PingResp),
        theirs::Packet::Disconnect(p) => {
            let list = list(&p.properties);
            f(&Packet::Disconnect(Disconnect {
                reason: ReasonCode(p.code),
                properties: Properties::new(&list),
            }))
        }
        theirs::Packet::Auth(p) => {
            let list = list(&p.properties);
            f(&Packet::Auth(Auth {
                reason: ReasonCode(p.code),
                properties: Properties::new(&list),
            }))
        }
    }
}

fn lend_filter(filter: &theirs::SubscribeFilter) -> Filter<'_> {
    Filter {
        filter: &filter.filter,
        options: SubscribeOptions {
            qos: qos(filter.qos),
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            retain_handling: match filter.retain_handling {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                _ => RetainHandling::Never,
            },
        },
    }
}

fn own_ack(ack: &Ack<'_>) -> theirs::Ack {
    theirs::Ack {
        packet_id: ack.packet_id.get(),
        code: ack.reason.0,
        properties: own_properties(&ack.properties),
    }
}

/// The same packet as one of the broker model's. A CONNECT does not know its
/// version: it gets `version`.
pub fn own(packet: &Packet<'_>, in_version: Version) -> theirs::Packet {
    let their_qos = |qos: QoS| theirs::Qos::from_number(qos.bits()).unwrap();
    match packet {
        Packet::Connect(p) => theirs::Packet::Connect(theirs::Connect {
            version: version(in_version),
            clean_start: p.clean_start,
            keep_alive: p.keep_alive,
            client_id: p.client_id.into(),
            will: p.will.map(|will| theirs::Will {
                topic: will.topic.into(),
                payload: will.payload.into(),
                qos: their_qos(will.qos),
                retain: will.retain,
                properties: own_properties(&will.properties),
            }),
            username: p.username.map(Into::into),
            password: p.password.map(Into::into),
            properties: own_properties(&p.properties),
        }),
        Packet::ConnAck(p) => theirs::Packet::ConnAck(theirs::ConnAck {
            session_present: p.session_present,
            code: p.reason.0,
            properties: own_properties(&p.properties),
        }),
        Packet::Publish(p) => theirs::Packet::Publish(theirs::Publish {
            dup: p.delivery.dup(),
            qos: their_qos(p.delivery.qos()),
            retain: p.retain,
            topic: p.topic.into(),
            packet_id: p.delivery.packet_id().map_or(0, PacketId::get),
            properties: own_properties(&p.properties),
            payload: p.payload.into(),
        }),
        Packet::PubAck(p) => theirs::Packet::PubAck(own_ack(p)),
        Packet::PubRec(p) => theirs::Packet::PubRec(own_ack(p)),
        Packet::PubRel(p) => theirs::Packet::PubRel(own_ack(p)),
        Packet::PubComp(p) => theirs::Packet::PubComp(own_ack(p)),
        Packet::Subscribe(p) => theirs::Packet::Subscribe(theirs::Subscribe {
            packet_id: p.packet_id.get(),
            properties: own_properties(&p.properties),
            filters: p
                .filters()
                .map(|filter| theirs::SubscribeFilter {
                    filter: filter.filter.into(),
                    qos: their_qos(filter.options.qos),
                    no_local: filter.options.no_local,
                    retain_as_published: filter.options.retain_as_published,
                    retain_handling: match filter.options.retain_handling {
                        RetainHandling::Always => 0,
                        RetainHandling::IfNew => 1,
                        RetainHandling::Never => 2,
                    },
                })
                .collect(),
        }),
        Packet::SubAck(p) => theirs::Packet::SubAck(theirs::SubAck {
            packet_id: p.packet_id.get(),
            properties: own_properties(&p.properties),
            codes: p.codes.into(),
        }),
        Packet::Unsubscribe(p) => theirs::Packet::Unsubscribe(theirs::Unsubscribe {
            packet_id: p.packet_id.get(),
            properties: own_properties(&p.properties),
            filters: p.filters().map(Into::into).collect(),
        }),
        Packet::UnsubAck(p) => theirs::Packet::UnsubAck(theirs::SubAck {
            packet_id: p.packet_id.get(),
            properties: own_properties(&p.properties),
            codes: p.codes.into(),
        }),
        Packet::PingReq => theirs::Packet::PingReq,
        Packet::PingResp => theirs::Packet::PingResp,
        Packet::Disconnect(p) => theirs::Packet::Disconnect(theirs::Reason {
            code: p.reason.0,
            properties: own_properties(&p.properties),
        }),
        Packet::Auth(p) => theirs::Packet::Auth(theirs::Reason {
            code: p.reason.0,
            properties: own_properties(&p.properties),
        }),
    }
}
