//! Subscriptions, and the retained messages that answer them.

use super::codec::{
    Packet, Properties, Qos, SubAck, Subscribe, SubscribeFilter, Unsubscribe, Version, Violation,
    reason,
};
use super::session::{Delivery, Subscription};
use super::topic::{has_wildcards, is_filter, split_shared, topic_matches};
use super::{Broker, ConnId, denies, explanation};
use alloc::vec::Vec;

impl Broker {
    pub(super) fn on_subscribe(
        &mut self,
        conn: ConnId,
        subscribe: Subscribe,
        now: u64,
    ) -> Result<(), Violation> {
        let Some(c) = self.connections.get(&conn) else {
            return Ok(());
        };
        let (version, explains) = (c.version, c.problem_information);
        let Some(client_id) = c.client_id.clone() else {
            return Ok(());
        };
        for filter in &subscribe.filters {
            let (group, _) = parts(&filter.filter, version)?;
            if group.is_some() && filter.no_local {
                return Err(Violation::protocol("no local on a shared subscription"));
            }
        }
        let id = subscribe
            .properties
            .subscription_identifiers
            .first()
            .copied();
        let mut codes = Vec::new();
        let mut retained = Vec::new();
        for mut filter in subscribe.filters {
            let code = match self.refusal(&filter, id) {
                Some(code) if version == Version::V5 => code,
                Some(_) => reason::UNSPECIFIED,
                None => {
                    let forced = self.faults.subscribe_code.and_then(Qos::from_number);
                    let granted = forced.unwrap_or(filter.qos).min(self.config.maximum_qos);
                    filter.qos = granted;
                    self.add(&client_id, filter, id, &mut retained);
                    granted.number()
                }
            };
            codes.push(code);
        }
        let properties = if explains && codes.iter().any(|&code| code >= 0x80) {
            explanation(&self.config, "a subscription was refused")
        } else {
            Properties::default()
        };
        let suback = Packet::SubAck(SubAck {
            packet_id: subscribe.packet_id,
            properties,
            codes,
        });
        if self.config.retained_before_suback {
            self.deliver_all(&client_id, retained, now);
            self.send(conn, suback, now);
        } else {
            self.send(conn, suback, now);
            self.deliver_all(&client_id, retained, now);
        }
        Ok(())
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        conn: ConnId,
        unsubscribe: &Unsubscribe,
        now: u64,
    ) -> Result<(), Violation> {
        let Some(version) = self.connections.get(&conn).map(|c| c.version) else {
            return Ok(());
        };
        for filter in &unsubscribe.filters {
            parts(filter, version)?;
        }
        let mut codes = Vec::new();
        self.routes += 1;
        if let Some(session) = self.session_of(conn) {
            for filter in &unsubscribe.filters {
                codes.push(match session.subscriptions.remove(filter) {
                    Some(_) => reason::SUCCESS,
                    None => reason::NO_SUBSCRIPTION_EXISTED,
                });
            }
        }
        let unsuback = Packet::UnsubAck(SubAck {
            packet_id: unsubscribe.packet_id,
            properties: Properties::default(),
            codes,
        });
        self.send(conn, unsuback, now);
        Ok(())
    }

    /// The reason code of MQTT 5 for a subscription that cannot be made.
    fn refusal(&self, filter: &SubscribeFilter, id: Option<u32>) -> Option<u8> {
        let (group, plain) = split_shared(&filter.filter).unwrap_or((None, &filter.filter));
        let config = &self.config;
        if let Some(code) = self.faults.subscribe_code.filter(|&code| code >= 0x80) {
            Some(code)
        } else if denies(&config.deny_subscribe, plain) {
            Some(reason::NOT_AUTHORIZED)
        } else if group.is_some() && !config.shared_available {
            Some(reason::SHARED_NOT_SUPPORTED)
        } else if has_wildcards(plain) && !config.wildcards_available {
            Some(reason::WILDCARDS_NOT_SUPPORTED)
        } else if id.is_some() && !config.subscription_ids_available {
            Some(reason::SUBSCRIPTION_IDS_NOT_SUPPORTED)
        } else {
            None
        }
    }

    /// Makes or replaces a subscription and collects the retained messages it asks for.
    fn add(
        &mut self,
        client_id: &str,
        options: SubscribeFilter,
        id: Option<u32>,
        retained: &mut Vec<Delivery>,
    ) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        let subscription = Subscription::new(options, id);
        let filter = subscription.options.filter.clone();
        self.routes += 1;
        let replaced = session
            .subscriptions
            .insert(filter.clone(), subscription.clone());
        let wanted = match subscription.options.retain_handling {
            0 => true,
            1 => replaced.is_none(),
            _ => false,
        };
        let (group, plain) = subscription.parts();
        if !wanted || group.is_some() {
            return;
        }
        for (topic, stored) in &self.retained {
            if topic_matches(plain, topic) && !stored.is_expired(self.now) {
                retained.push(Delivery {
                    stored: stored.clone(),
                    qos: stored.message.qos.min(subscription.options.qos),
                    retain: true,
                    subscription_ids: id.into_iter().collect(),
                });
            }
        }
    }

    fn deliver_all(&mut self, client_id: &str, deliveries: Vec<Delivery>, now: u64) {
        for delivery in deliveries {
            self.deliver(client_id, delivery, now);
        }
    }
}

/// Splits a filter and refuses what is none. MQTT 3.1.1 knows no shared subscriptions, so that
/// what looks like half of one is a filter like any other.
fn parts(filter: &str, version: Version) -> Result<(Option<&str>, &str), Violation> {
    match split_shared(filter) {
        Ok((group, plain)) if is_filter(plain) => Ok((group, plain)),
        Err(()) if version == Version::V4 && is_filter(filter) => Ok((None, filter)),
        _ => Err(Violation::malformed("an ill-formed topic filter")),
    }
}
