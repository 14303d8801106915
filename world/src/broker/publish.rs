//! Publications from clients.

use super::codec::{Ack, Packet, Publish, Qos, Version, Violation, reason};
use super::connection::Sent;
use super::session::end_to_end;
use super::{Accepted, Brief, Broker, ConnId, Message, Qos2Method, denies, explanation, topic};
use alloc::string::String;

impl Broker {
    pub(super) fn on_publish(
        &mut self,
        conn: ConnId,
        mut publish: Publish,
        now: u64,
    ) -> Result<(), Violation> {
        self.resolve_topic(conn, &mut publish)?;
        self.check_limits(conn, &publish)?;
        let Some(c) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        let Some(client_id) = c.client_id.clone() else {
            return Ok(());
        };
        let (version, packet_id, qos) = (c.version, publish.packet_id, publish.qos);
        let code = self.take(conn, version, client_id, publish, now);
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                let ack = self.answer(conn, packet_id, code);
                if self.send(conn, Packet::PubAck(ack), now) == Sent::Yes {
                    self.answered(conn, packet_id);
                }
            }
            Qos::ExactlyOnce => {
                // MQTT 3.1.1 cannot refuse: the publication is taken and thrown away.
                let refused = version == Version::V5 && code >= 0x80;
                if !refused && let Some(session) = self.session_of(conn) {
                    session.incoming.entry(packet_id).or_insert(None);
                }
                let ack = self.answer(conn, packet_id, code);
                if self.send(conn, Packet::PubRec(ack), now) == Sent::Yes && refused {
                    self.answered(conn, packet_id);
                }
            }
        }
        Ok(())
    }

    /// Accepts a publication, keeps it for PUBREL, knows it already or refuses it; gives the
    /// reason code of the answer.
    fn take(
        &mut self,
        conn: ConnId,
        version: Version,
        client_id: String,
        publish: Publish,
        now: u64,
    ) -> u8 {
        let exactly_once = publish.qos == Qos::ExactlyOnce;
        let known = exactly_once
            && self
                .session_of(conn)
                .is_some_and(|session| session.incoming.contains_key(&publish.packet_id));
        if known {
            return reason::SUCCESS;
        }
        let forced = self
            .faults
            .publish_code
            .filter(|_| version == Version::V5 && publish.qos != Qos::AtMostOnce);
        if let Some(code) = forced.filter(|&code| code >= 0x80) {
            return code;
        }
        if denies(&self.config.deny_publish, &publish.topic) {
            return reason::NOT_AUTHORIZED;
        }
        if exactly_once && self.config.qos2_method == Qos2Method::OnPubRel {
            if let Some(session) = self.session_of(conn) {
                session.incoming.insert(publish.packet_id, Some(publish));
            }
            return forced.unwrap_or(reason::SUCCESS);
        }
        let receivers = self.accept(client_id, publish, now);
        match forced {
            Some(code) => code,
            None if receivers == 0 && self.config.report_no_subscribers => {
                reason::NO_MATCHING_SUBSCRIBERS
            }
            None => reason::SUCCESS,
        }
    }

    pub(super) fn on_pubrel(&mut self, conn: ConnId, packet_id: u16, now: u64) {
        let Some(client_id) = self.client_of(conn).map(String::from) else {
            return;
        };
        let known = self
            .session_of(conn)
            .and_then(|session| session.incoming.remove(&packet_id));
        let code = match known {
            None => reason::PACKET_ID_NOT_FOUND,
            Some(None) => reason::SUCCESS,
            Some(Some(publish)) => {
                self.accept(client_id, publish, now);
                reason::SUCCESS
            }
        };
        let ack = Ack::new(packet_id, code);
        if self.send(conn, Packet::PubComp(ack), now) == Sent::Yes {
            self.answered(conn, packet_id);
        }
    }

    /// Puts the topic in place of its alias and refuses what is no topic.
    fn resolve_topic(&mut self, conn: ConnId, publish: &mut Publish) -> Result<(), Violation> {
        let Some(c) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        let alias = publish.properties.topic_alias;
        if alias.is_some_and(|alias| alias > self.config.topic_alias_maximum) {
            return Err(Violation::new(
                reason::TOPIC_ALIAS_INVALID,
                "topic alias above the maximum",
            ));
        }
        match (publish.topic.is_empty(), alias) {
            (true, None) => return Err(Violation::protocol("no topic and no topic alias")),
            (true, Some(alias)) => {
                publish.topic = c
                    .aliases_in
                    .get(&alias)
                    .cloned()
                    .ok_or(Violation::protocol("topic alias without a topic"))?;
            }
            (false, _) if !topic::is_name(&publish.topic) => {
                return Err(Violation::protocol("wildcards in a topic name"));
            }
            (false, Some(alias)) => {
                c.aliases_in.insert(alias, publish.topic.clone());
            }
            (false, None) => {}
        }
        let response = publish.properties.response_topic.as_deref();
        if response.is_some_and(|topic| !topic::is_name(topic)) {
            return Err(Violation::protocol("the response topic is no topic name"));
        }
        Ok(())
    }

    fn check_limits(&mut self, conn: ConnId, publish: &Publish) -> Result<(), Violation> {
        if !publish.properties.subscription_identifiers.is_empty() {
            return Err(Violation::protocol("subscription identifier from a client"));
        }
        if publish.qos > self.config.maximum_qos {
            return Err(Violation::new(
                reason::QOS_NOT_SUPPORTED,
                "the QoS is not supported",
            ));
        }
        if publish.retain && !self.config.retain_available {
            return Err(Violation::new(
                reason::RETAIN_NOT_SUPPORTED,
                "retained messages are not supported",
            ));
        }
        let maximum = usize::from(self.config.receive_maximum.max(1));
        if let Some(c) = self.connections.get_mut(&conn)
            && publish.qos != Qos::AtMostOnce
        {
            c.unanswered.insert(publish.packet_id);
            if c.version == Version::V5 && c.unanswered.len() + c.answers > maximum {
                return Err(Violation::new(
                    reason::RECEIVE_MAXIMUM_EXCEEDED,
                    "more unacknowledged publications than the receive maximum",
                ));
            }
        }
        Ok(())
    }

    fn answer(&self, conn: ConnId, packet_id: u16, code: u8) -> Ack {
        let mut ack = Ack::new(packet_id, code);
        let explains = self
            .connections
            .get(&conn)
            .is_some_and(|c| c.problem_information);
        if code >= 0x80 && explains {
            ack.properties = explanation(&self.config, "the publication was refused");
        }
        ack
    }

    fn answered(&mut self, conn: ConnId, packet_id: u16) {
        if let Some(c) = self.connections.get_mut(&conn) {
            c.unanswered.remove(&packet_id);
            c.answers += 1;
        }
    }

    /// Notes a publication that nobody gets.
    pub(super) fn note(
        &mut self,
        conn: ConnId,
        topic: &[u8],
        payload: &[u8],
        qos: Qos,
        packet_id: u16,
        now: u64,
    ) {
        if let Some(brief) = &mut self.brief {
            return brief.push(&Brief {
                topic,
                payload,
                qos,
                retain: false,
            });
        }
        let client_id = self.client_of(conn).map(String::from);
        self.log.push(Accepted {
            at: now,
            client_id: client_id.unwrap_or_default(),
            topic: String::from_utf8_lossy(topic).into_owned(),
            payload: payload.into(),
            qos,
            retain: false,
            dup: false,
            packet_id,
            properties: Default::default(),
        });
    }

    /// Notes a publication and passes it on; gives the number of clients that get it.
    fn accept(&mut self, client_id: String, publish: Publish, now: u64) -> usize {
        match &mut self.brief {
            Some(brief) => brief.push(&Brief {
                topic: publish.topic.as_bytes(),
                payload: &publish.payload,
                qos: publish.qos,
                retain: publish.retain,
            }),
            None => self.log.push(Accepted {
                at: now,
                client_id: client_id.clone(),
                topic: publish.topic.clone(),
                payload: publish.payload.clone(),
                qos: publish.qos,
                retain: publish.retain,
                dup: publish.dup,
                packet_id: publish.packet_id,
                properties: publish.properties.clone(),
            }),
        }
        let message = Message {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: end_to_end(publish.properties),
        };
        self.route(message, Some(&client_id), now)
    }
}
