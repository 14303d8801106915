//! Whom to connect to, as whom, for what.

use std::fmt;
use std::time::Duration;

use aldis_mqtt::QoS;
use aldis_mqtt::link::tokio::Tls;

/// Where the broker is, and as whom to go there.
#[derive(Clone)]
pub struct Broker {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// With TLS, and whom to trust.
    pub tls: Option<Tls>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
}

impl Broker {
    /// A broker without TLS that wants no name.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: None,
            username: None,
            password: None,
        }
    }

    /// The address as it may be shown: without the password.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        let user = match &self.username {
            Some(user) => format!("{user}@"),
            None => String::new(),
        };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        format!("{scheme}://{user}{host}:{}", self.port)
    }
}

/// Secrets are not shown.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.url()).finish()
    }
}

/// What a client is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the broker is, and as whom to go there.
    pub broker: Broker,
    /// Client Identifier.
    pub client_id: String,
    /// How long the broker keeps the session while there is no connection; nothing: each
    /// connection begins anew. In whole seconds; MQTT 3.1.1 knows no bound.
    pub keep: Option<Duration>,
    /// Topic filters.
    pub subscriptions: Vec<(String, QoS)>,
    /// What the broker publishes when the client is lost.
    pub will: Option<Publish>,
    /// How many messages at QoS 1 and 2 may wait for their acknowledgement, up to 4,096.
    pub receive_maximum: u16,
}

impl Options {
    /// A client whose session begins anew with each connection.
    pub fn new(broker: Broker, client_id: impl Into<String>) -> Self {
        Self {
            broker,
            client_id: client_id.into(),
            keep: None,
            subscriptions: Vec::new(),
            will: None,
            receive_maximum: 1_024,
        }
    }

    /// With one more topic filter.
    #[must_use]
    pub fn subscribe(mut self, filter: impl Into<String>, qos: QoS) -> Self {
        self.subscriptions.push((filter.into(), qos));
        self
    }
}

/// Something to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Topic name.
    pub topic: String,
    /// Application message.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// It is not to be sent, nor passed on by the broker (MQTT 5), after so many seconds.
    pub expires_s: Option<u32>,
}

impl Publish {
    /// At QoS 1, not retained.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            expires_s: None,
        }
    }

    /// The same at another QoS.
    #[must_use]
    pub fn qos(self, qos: QoS) -> Self {
        Self { qos, ..self }
    }

    /// The same, worth nothing after so many seconds.
    #[must_use]
    pub fn expires_s(self, seconds: u32) -> Self {
        Self {
            expires_s: Some(seconds),
            ..self
        }
    }

    /// The same, retained.
    #[must_use]
    pub fn retained(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A password in a log or on a page is everybody's.
    #[test]
    fn a_broker_is_shown_without_its_password() {
        let broker = Broker {
            username: Some("kitchen".to_owned()),
            password: Some("hidden".to_owned()),
            ..Broker::new("::1", 1883)
        };
        assert_eq!(broker.url(), "mqtt://kitchen@[::1]:1883");
        assert!(!format!("{broker:?}").contains("hidden"));
        let options = Options::new(broker, "c");
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
