//! What the announcer is told before it starts.

use std::collections::HashMap;
use std::time::Duration;

use aldis_client::Broker;
use aldis_protocol::topic;
use tokio::sync::watch;

use crate::announcer::Settings;
use crate::payload::Origin;
use crate::standing::FAMILY;

/// What people call devices, by their keys (`prefix/id`).
pub type Titles = HashMap<String, String>;

/// What the announcer is told before it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the broker is, and as whom to go there.
    pub broker: Broker,
    /// Client Identifier: one of its own.
    pub client_id: String,
    /// What the devices' topics begin with.
    pub prefix: String,
    /// Where Home Assistant looks for devices, as is set there.
    pub discovery_prefix: String,
    /// Where Home Assistant says that it has started, as is set there.
    pub birth_topic: String,
    /// Within this time after Home Assistant's start all devices are announced, each at a
    /// moment by chance.
    pub birth_spread: Duration,
    /// What tells this hub from others at the same broker, if there are any. Under another
    /// name it does not know what it has announced before.
    pub name: Option<String>,
    /// The version of the program, which Home Assistant shows.
    pub version: String,
    /// Where a device is looked after: an address that begins with `http://` or `https://`,
    /// where `{key}` stands for the device's key, percent-encoded.
    pub configuration_url: Option<String>,
    /// What devices are called. A device without a title is called by its id.
    pub titles: Option<watch::Receiver<Titles>>,
    /// Takes away all that this hub has announced, in this run or an earlier one, and
    /// announces nothing: for when it was switched off.
    pub withdraw: bool,
    /// Where chance begins.
    pub seed: u64,
}

/// Why nothing can be announced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeAssistantError {
    /// The devices' prefix cannot be.
    #[error("`{0}`: {1}")]
    Prefix(String, topic::InvalidName),
    /// The discovery prefix cannot be.
    #[error(
        "`{0}` cannot be the discovery prefix: it is what topics begin with, usually \
         `homeassistant`, without `+`, `#`, and a slash at its ends"
    )]
    DiscoveryPrefix(String),
    /// The birth topic cannot be.
    #[error("`{0}` cannot be the birth topic: it is a topic, usually `homeassistant/status`")]
    BirthTopic(String),
    /// The hub's name cannot be.
    #[error("`{0}` cannot be the hub's name: it has 1 to 64 bytes, without control characters")]
    Name(String),
    /// The address cannot be.
    #[error(
        "`{0}` is no address for a device's page: it begins with `http://` or `https://` and a host"
    )]
    ConfigurationUrl(String),
    /// The client cannot start.
    #[error(transparent)]
    Client(#[from] aldis_client::ClientError),
}

impl Options {
    /// For devices and a Home Assistant that are set up as usual.
    pub fn new(broker: Broker) -> Self {
        Self {
            broker,
            client_id: format!("aldis-homeassistant-{:08x}", fastrand::u32(..)),
            prefix: topic::DEFAULT_PREFIX.to_owned(),
            discovery_prefix: "homeassistant".to_owned(),
            birth_topic: "homeassistant/status".to_owned(),
            birth_spread: Duration::from_secs(10),
            name: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            configuration_url: None,
            titles: None,
            withdraw: false,
            seed: fastrand::u64(..),
        }
    }

    pub(crate) fn settings(&self) -> Result<Settings, HomeAssistantError> {
        use HomeAssistantError as Error;
        topic::check_prefix(&self.prefix)
            .map_err(|error| Error::Prefix(self.prefix.clone(), error))?;
        topic::check_prefix(&self.discovery_prefix)
            .map_err(|_| Error::DiscoveryPrefix(self.discovery_prefix.clone()))?;
        topic::check_topic(&self.birth_topic)
            .map_err(|_| Error::BirthTopic(self.birth_topic.clone()))?;
        let name = match &self.name {
            None => FAMILY.to_owned(),
            Some(name) if (1..=64).contains(&name.len()) && !name.contains(char::is_control) => {
                format!("{FAMILY} {name}")
            }
            Some(name) => return Err(Error::Name(name.clone())),
        };
        if let Some(url) = &self.configuration_url
            && !is_url(url)
        {
            return Err(Error::ConfigurationUrl(url.clone()));
        }
        Ok(Settings {
            prefix: self.prefix.clone(),
            discovery_prefix: self.discovery_prefix.clone(),
            birth_topic: self.birth_topic.clone(),
            birth_spread_ms: u64::try_from(self.birth_spread.as_millis()).unwrap_or(u64::MAX),
            origin: Origin {
                name,
                version: self.version.clone(),
                configuration_url: self.configuration_url.clone(),
            },
            withdraw: self.withdraw,
        })
    }
}

/// Whether Home Assistant takes it. With one wrong address it would take no device at all.
fn is_url(url: &str) -> bool {
    let rest = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = rest else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let name = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'))
        }
    };
    name && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && !url.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options::new(Broker::new("127.0.0.1", 1883));
        change(&mut options);
        options
            .settings()
            .map_or_else(|error| error.to_string(), |_| String::new())
    }

    /// A setting that Home Assistant or the broker refuses, found out by silence.
    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        assert_eq!(error(|_| {}), "");
        assert!(error(|o| o.prefix = "a/+".into()).contains("a prefix has"));
        assert!(error(|o| o.discovery_prefix = "ha/".into()).contains("discovery prefix"));
        assert!(error(|o| o.birth_topic = "ha/#".into()).contains("birth topic"));
        assert!(error(|o| o.name = Some("a\nb".into())).contains("name"));
        for url in [
            "http://hub.local:8080/#/{key}",
            "https://192.168.1.5",
            "https://[fe80::1]:8443/devices/{key}",
        ] {
            assert_eq!(
                error(|o| o.configuration_url = Some(url.into())),
                "",
                "{url}"
            );
        }
        for url in [
            "",
            "hub.local",
            "ftp://hub",
            "http://",
            "http:///x",
            "http://h:99999",
            "http://h:x",
            "http://[::1",
            "http://a b",
            "http://{key}/",
        ] {
            let error = error(|o| o.configuration_url = Some(url.into()));
            assert!(error.contains("no address"), "{url}: {error}");
        }
    }
}
