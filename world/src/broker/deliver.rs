//! Publications to clients: who gets them, and how far each has come.

use super::codec::{Ack, Packet, Qos, Version, Violation, reason};
use super::connection::{Connection, Sent};
use super::session::{Delivery, InFlight, Message, Session, Stage, Stored};
use super::{Broker, ConnId, DropReason, Dropped};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Broker {
    /// Retains a message and hands it to every subscriber; gives their number.
    pub(super) fn route(&mut self, message: Message, origin: Option<&str>, now: u64) -> usize {
        let stored = Arc::new(Stored::new(message, now));
        let topic = stored.message.topic.as_str();
        if stored.message.retain && self.config.retain_available {
            if stored.message.payload.is_empty() {
                self.retained.remove(topic);
            } else {
                self.retained.insert(topic.into(), stored.clone());
            }
        }
        let mut deliveries = Vec::new();
        let mut groups: BTreeMap<(String, String), Vec<(String, Delivery)>> = BTreeMap::new();
        for (client_id, session) in &self.sessions {
            let mut merged: Option<Delivery> = None;
            for subscription in session.subscriptions.values() {
                let own = subscription.options.no_local && origin == Some(client_id);
                if own || !subscription.matches(topic) {
                    continue;
                }
                let delivery = Delivery {
                    stored: stored.clone(),
                    qos: stored.message.qos.min(subscription.options.qos),
                    retain: stored.message.retain && subscription.options.retain_as_published,
                    subscription_ids: subscription.id.into_iter().collect(),
                };
                if let (Some(group), filter) = subscription.parts() {
                    groups
                        .entry((group.into(), filter.into()))
                        .or_default()
                        .push((client_id.clone(), delivery));
                } else if self.config.copy_per_subscription {
                    deliveries.push((client_id.clone(), delivery));
                } else if let Some(merged) = &mut merged {
                    merged.qos = merged.qos.max(delivery.qos);
                    merged.retain |= delivery.retain;
                    merged.subscription_ids.extend(delivery.subscription_ids);
                } else {
                    merged = Some(delivery);
                }
            }
            deliveries.extend(merged.map(|delivery| (client_id.clone(), delivery)));
        }
        for (group, members) in groups {
            deliveries.extend(self.pick(group, members));
        }
        let receivers = deliveries.len();
        for (client_id, delivery) in deliveries {
            self.deliver(&client_id, delivery, now);
        }
        receivers
    }

    /// The member of a share group whose turn it is, of those that are connected if any is.
    fn pick(
        &mut self,
        group: (String, String),
        mut members: Vec<(String, Delivery)>,
    ) -> Option<(String, Delivery)> {
        let connected = |(id, _): &(String, Delivery)| {
            self.sessions
                .get(id)
                .is_some_and(|session| session.connection.is_some())
        };
        if members.iter().any(connected) {
            members.retain(connected);
        }
        let turn = self.share_turns.entry(group).or_insert(0);
        let index = turn.checked_rem(members.len())?;
        *turn = turn.wrapping_add(1);
        Some(members.swap_remove(index))
    }

    /// Sends a message to one client now, or keeps it until it can be sent.
    pub(super) fn deliver(&mut self, client_id: &str, delivery: Delivery, now: u64) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        let mut drop_reason = None;
        if delivery.qos == Qos::AtMostOnce {
            match session
                .connection
                .and_then(|conn| self.connections.get_mut(&conn))
            {
                None => drop_reason = Some(DropReason::Offline),
                Some(c) => {
                    let packet = delivery.packet(0, false, now);
                    if c.send_publish(&mut self.faults, packet) == Sent::TooLarge {
                        drop_reason = Some(DropReason::TooLarge);
                    }
                }
            }
        } else if session.queue.len() >= self.config.maximum_queued {
            drop_reason = Some(DropReason::QueueFull);
        } else {
            session.queue.push_back(delivery.clone());
            self.pump(client_id, now);
        }
        if let Some(reason) = drop_reason {
            note_drop(&mut self.dropped, client_id, &delivery, reason);
        }
    }

    /// Sends again what an earlier connection left unanswered, in order, then what waits, as far
    /// as the client's receive maximum allows.
    pub(super) fn pump(&mut self, client_id: &str, now: u64) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        let Some(c) = session
            .connection
            .and_then(|conn| self.connections.get_mut(&conn))
        else {
            return;
        };
        let mut index = 0;
        while let Some(entry) = session.in_flight.get_mut(index) {
            let mut too_large = false;
            match &entry.stage {
                _ if entry.sent => {}
                Stage::Release => {
                    let packet = Packet::PubRel(Ack::new(entry.packet_id, reason::SUCCESS));
                    c.send(&mut self.faults, packet);
                }
                Stage::Publish(_) if c.quota == 0 => return,
                Stage::Publish(delivery) => {
                    let packet = delivery.packet(entry.packet_id, true, now);
                    if c.send_publish(&mut self.faults, packet) == Sent::TooLarge {
                        let reason = DropReason::TooLarge;
                        note_drop(&mut self.dropped, client_id, delivery, reason);
                        too_large = true;
                    } else {
                        c.quota -= 1;
                    }
                }
            }
            entry.sent = true;
            if too_large {
                session.in_flight.remove(index);
            } else {
                index += 1;
            }
        }
        let limit = match self.config.heeds_receive_maximum {
            true => usize::from(self.config.inflight_limit),
            false => usize::MAX,
        };
        while c.quota > 0 && session.in_flight.len() < limit {
            let Some(delivery) = session.queue.pop_front() else {
                return;
            };
            if delivery.stored.is_expired(now) {
                let reason = DropReason::Expired;
                note_drop(&mut self.dropped, client_id, &delivery, reason);
                continue;
            }
            let Some(packet_id) = session.next_packet_id() else {
                session.queue.push_front(delivery);
                return;
            };
            let packet = delivery.packet(packet_id, false, now);
            if c.send_publish(&mut self.faults, packet) == Sent::TooLarge {
                let reason = DropReason::TooLarge;
                note_drop(&mut self.dropped, client_id, &delivery, reason);
                continue;
            }
            c.quota -= 1;
            session.in_flight.push_back(InFlight {
                packet_id,
                stage: Stage::Publish(delivery),
                sent: true,
            });
        }
    }

    pub(super) fn on_puback(&mut self, conn: ConnId, ack: &Ack, now: u64) -> Result<(), Violation> {
        self.finish(
            conn,
            ack,
            now,
            |stage| matches!(stage, Stage::Publish(d) if d.qos == Qos::AtLeastOnce),
        )
    }

    pub(super) fn on_pubcomp(
        &mut self,
        conn: ConnId,
        ack: &Ack,
        now: u64,
    ) -> Result<(), Violation> {
        self.finish(conn, ack, now, |stage| matches!(stage, Stage::Release))
    }

    pub(super) fn on_pubrec(&mut self, conn: ConnId, ack: &Ack, now: u64) -> Result<(), Violation> {
        let Some((session, c)) = self.pair(conn) else {
            return Ok(());
        };
        let Some(entry) = session
            .position(ack.packet_id)
            .and_then(|index| session.in_flight.get_mut(index))
        else {
            let code = match c.version {
                Version::V4 => reason::SUCCESS,
                Version::V5 => reason::PACKET_ID_NOT_FOUND,
            };
            if ack.code < 0x80 {
                self.send(conn, Packet::PubRel(Ack::new(ack.packet_id, code)), now);
            }
            return Ok(());
        };
        match &entry.stage {
            Stage::Publish(delivery) if delivery.qos == Qos::AtLeastOnce => {
                return Err(Violation::protocol("PUBREC for a QoS 1 publication"));
            }
            Stage::Publish(_) if ack.code >= 0x80 => {
                return self.finish(conn, ack, now, |_| true);
            }
            _ => {}
        }
        entry.stage = Stage::Release;
        entry.sent = true;
        let release = Packet::PubRel(Ack::new(ack.packet_id, reason::SUCCESS));
        self.send(conn, release, now);
        Ok(())
    }

    /// Ends a publication, if it has come to the stage that the answer belongs to.
    fn finish(
        &mut self,
        conn: ConnId,
        ack: &Ack,
        now: u64,
        fits: impl Fn(&Stage) -> bool,
    ) -> Result<(), Violation> {
        let Some((session, c)) = self.pair(conn) else {
            return Ok(());
        };
        let Some(index) = session.position(ack.packet_id) else {
            return Ok(());
        };
        if !session.in_flight.get(index).is_some_and(|e| fits(&e.stage)) {
            return Err(Violation::protocol("an answer to another packet"));
        }
        let entry = session.in_flight.remove(index);
        c.quota = c.quota.saturating_add(1).min(c.receive_maximum);
        let Some(client_id) = c.client_id.clone() else {
            return Ok(());
        };
        if let Some(InFlight {
            stage: Stage::Publish(delivery),
            ..
        }) = &entry
            && ack.code >= 0x80
        {
            let reason = DropReason::Refused(ack.code);
            note_drop(&mut self.dropped, &client_id, delivery, reason);
        }
        self.pump(&client_id, now);
        Ok(())
    }

    /// A connection and its session.
    fn pair(&mut self, conn: ConnId) -> Option<(&mut Session, &mut Connection)> {
        let c = self.connections.get_mut(&conn)?;
        let session = self.sessions.get_mut(c.client_id.as_ref()?)?;
        Some((session, c))
    }
}

fn note_drop(dropped: &mut Vec<Dropped>, client_id: &str, delivery: &Delivery, reason: DropReason) {
    dropped.push(Dropped {
        client_id: client_id.into(),
        topic: delivery.stored.message.topic.clone(),
        reason,
    });
}
