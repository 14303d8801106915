//! The first packet of a connection.

use super::codec::{
    ConnAck, Connect, Packet, Properties, Qos, Version, Violation, connect_level, reason,
};
use super::{Broker, ConnId, WillFate, denies, explanation, topic};
use alloc::format;
use alloc::string::String;

impl Broker {
    /// Takes a CONNECT; anything else closes the connection without a word.
    pub(super) fn first_packet(&mut self, conn: ConnId, bytes: &[u8], now: u64) {
        match Packet::decode(Version::V4, bytes) {
            Ok(Packet::Connect(connect)) => {
                if self.config.trace {
                    self.trace.push((conn, Packet::Connect(connect.clone())));
                }
                let version = connect.version;
                if !self.config.versions.contains(version) {
                    self.refuse_version(conn, now);
                } else if let Err(violation) = self.connect(conn, connect, now) {
                    self.refuse(conn, version, violation, now);
                }
            }
            Err(violation) if violation.code == reason::UNSUPPORTED_VERSION => {
                self.refuse_version(conn, now);
            }
            Err(violation)
                if connect_level(bytes) == Some(5)
                    && self.config.versions.contains(Version::V5) =>
            {
                self.refuse(conn, Version::V5, violation, now);
            }
            _ => self.detach(conn, WillFate::Discard, now),
        }
    }

    /// Every client understands the old form of this refusal.
    fn refuse_version(&mut self, conn: ConnId, now: u64) {
        let violation = Violation::new(reason::UNSUPPORTED_VERSION, "");
        self.refuse(conn, Version::V4, violation, now);
    }

    fn refuse(&mut self, conn: ConnId, version: Version, violation: Violation, now: u64) {
        let Some(c) = self.connections.get_mut(&conn) else {
            return;
        };
        c.version = version;
        let ack = match version {
            Version::V4 => return_code(violation.code).map(|code| ConnAck {
                code,
                ..ConnAck::default()
            }),
            Version::V5 => Some(ConnAck {
                code: reason_code(violation.code),
                properties: explanation(&self.config, violation.text),
                ..ConnAck::default()
            }),
        };
        if let Some(ack) = ack {
            c.send(&mut self.faults, Packet::ConnAck(ack));
        }
        self.detach(conn, WillFate::Discard, now);
    }

    fn connect(&mut self, conn: ConnId, connect: Connect, now: u64) -> Result<(), Violation> {
        self.check(&connect)?;
        let mut answer = self.announcement(&connect);
        let client_id = self.identify(&connect, &mut answer)?;

        if let Some(old) = self.sessions.get(&client_id).and_then(|s| s.connection) {
            let violation = Violation::new(
                reason::SESSION_TAKEN_OVER,
                "another connection uses the same client identifier",
            );
            self.fail(old, violation, now);
        }
        if connect.clean_start
            && let Some(old) = self.sessions.get_mut(&client_id)
        {
            old.expires_at = Some(now);
            self.end_what_is_due(&client_id, now);
        }
        let session_present = self.sessions.contains_key(&client_id);

        let requested = match connect.version {
            Version::V4 if connect.clean_start => 0,
            Version::V4 => super::session::NEVER,
            Version::V5 => connect.properties.session_expiry_interval.unwrap_or(0),
        };
        let session = self.sessions.entry(client_id.clone()).or_default();
        session.connection = Some(conn);
        session.expiry_s = requested.min(self.config.maximum_session_expiry);
        session.expires_at = None;
        session.will = connect.will;
        session.will_at = None;
        if session.expiry_s != requested {
            answer.session_expiry_interval = Some(session.expiry_s);
        }

        let Some(c) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        let p = &connect.properties;
        let keep_alive = match connect.version {
            Version::V4 => connect.keep_alive,
            Version::V5 => answer.server_keep_alive.unwrap_or(connect.keep_alive),
        };
        c.version = connect.version;
        c.client_id = Some(client_id.clone());
        c.silence_ms = u64::from(keep_alive) * 1500;
        c.receive_maximum = p
            .receive_maximum
            .unwrap_or(u16::MAX)
            .min(self.config.inflight_limit);
        if !self.config.heeds_receive_maximum {
            c.receive_maximum = u16::MAX;
        }
        c.quota = c.receive_maximum;
        c.maximum_packet_size = p.maximum_packet_size.unwrap_or(u32::MAX);
        c.problem_information = p.request_problem_information != Some(0);
        if self.config.assign_topic_aliases {
            c.aliases_out_max = p.topic_alias_maximum.unwrap_or(0);
        }
        let ack = ConnAck {
            session_present,
            code: reason::SUCCESS,
            properties: answer,
        };
        self.send(conn, Packet::ConnAck(ack), now);
        self.pump(&client_id, now);
        Ok(())
    }

    /// Whether the client may come in at all.
    fn check(&self, connect: &Connect) -> Result<(), Violation> {
        if connect.properties.authentication_method.is_some() {
            return Err(Violation::new(
                reason::BAD_AUTHENTICATION_METHOD,
                "no enhanced authentication here",
            ));
        }
        if let Some(code) = self.config.refuse {
            return Err(Violation::new(code, "the broker refuses every client"));
        }
        if let Some(credentials) = &self.config.credentials {
            let password = connect.username.as_ref().and_then(|u| credentials.get(u));
            if password.is_none() || password != connect.password.as_ref() {
                return Err(Violation::new(
                    reason::BAD_CREDENTIALS,
                    "wrong user name or password",
                ));
            }
        }
        if let Some(will) = &connect.will {
            if !topic::is_name(&will.topic) {
                return Err(Violation::malformed("the will's topic is no topic name"));
            }
            if will.qos > self.config.maximum_qos {
                return Err(Violation::new(
                    reason::QOS_NOT_SUPPORTED,
                    "the will's QoS is not supported",
                ));
            }
            if will.retain && !self.config.retain_available {
                return Err(Violation::new(
                    reason::RETAIN_NOT_SUPPORTED,
                    "retained messages are not supported",
                ));
            }
            if denies(&self.config.deny_publish, &will.topic) && connect.version == Version::V5 {
                return Err(Violation::new(
                    reason::NOT_AUTHORIZED,
                    "the will's topic is not allowed",
                ));
            }
        }
        Ok(())
    }

    /// The limits that a CONNACK of MQTT 5 tells, where they differ from the defaults.
    fn announcement(&self, connect: &Connect) -> Properties {
        if connect.version == Version::V4 {
            return Properties::default();
        }
        let config = &self.config;
        let missing = |available: bool| (!available).then_some(0);
        Properties {
            receive_maximum: (config.receive_maximum != u16::MAX)
                .then_some(config.receive_maximum.max(1)),
            maximum_packet_size: config.maximum_packet_size,
            topic_alias_maximum: (config.topic_alias_maximum != 0)
                .then_some(config.topic_alias_maximum),
            server_keep_alive: config.server_keep_alive,
            maximum_qos: (config.maximum_qos != Qos::ExactlyOnce)
                .then(|| config.maximum_qos.number()),
            retain_available: missing(config.retain_available),
            wildcard_subscription_available: missing(config.wildcards_available),
            subscription_identifier_available: missing(config.subscription_ids_available),
            shared_subscription_available: missing(config.shared_available),
            ..Properties::default()
        }
    }

    fn identify(
        &mut self,
        connect: &Connect,
        answer: &mut Properties,
    ) -> Result<String, Violation> {
        if !connect.client_id.is_empty() {
            return Ok(connect.client_id.clone());
        }
        let nameless_session = connect.version == Version::V4 && !connect.clean_start;
        if nameless_session || !self.config.assign_client_ids {
            return Err(Violation::new(
                reason::CLIENT_ID_NOT_VALID,
                "an empty client identifier is not accepted here",
            ));
        }
        loop {
            self.ids_assigned += 1;
            let id = format!("auto-{}", self.ids_assigned);
            if !self.sessions.contains_key(&id) {
                if connect.version == Version::V5 {
                    answer.assigned_client_identifier = Some(id.clone());
                }
                return Ok(id);
            }
        }
    }
}

/// The return code of MQTT 3.1.1 that says about the same as a code of either version. Mistakes
/// in the CONNECT have none: the connection is closed.
fn return_code(code: u8) -> Option<u8> {
    Some(match code {
        reason::MALFORMED_PACKET
        | reason::PROTOCOL_ERROR
        | reason::QOS_NOT_SUPPORTED
        | reason::RETAIN_NOT_SUPPORTED => return None,
        1..=5 => code,
        reason::UNSUPPORTED_VERSION => 1,
        reason::CLIENT_ID_NOT_VALID => 2,
        reason::BAD_CREDENTIALS => 4,
        reason::NOT_AUTHORIZED | reason::BAD_AUTHENTICATION_METHOD | 0x8A => 5,
        _ => 3,
    })
}

/// The reason code of MQTT 5 that says the same as a code of either version.
fn reason_code(code: u8) -> u8 {
    match code {
        1 => reason::UNSUPPORTED_VERSION,
        2 => reason::CLIENT_ID_NOT_VALID,
        3 => reason::SERVER_UNAVAILABLE,
        4 => reason::BAD_CREDENTIALS,
        5 => reason::NOT_AUTHORIZED,
        0x80.. => code,
        _ => reason::UNSPECIFIED,
    }
}
