//! Flags that every client has, with mosquitto's letters.

use std::ffi::OsString;
use std::path::PathBuf;

use aldis_mqtt::link::tokio::Tls;
use aldis_mqtt::wire::valid_topic;
use aldis_mqtt::{QoS, Version, Versions, Will};
use aldis_pc::BrokerUrl;

use super::Failure;

/// What the environment may say, for the help of every verb.
pub const ENVIRONMENT: &str = "Environment, where no flag says otherwise:\n  \
    ALDIS_HOST, ALDIS_PORT, ALDIS_USERNAME, ALDIS_PASSWORD, ALDIS_PASSWORD_FILE, ALDIS_CAFILE";

const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;

/// Where the broker is, and who to be there.
#[derive(clap::Args)]
#[command(next_help_heading = "Broker")]
pub struct BrokerArgs {
    /// Host name or address, or a URL such as mqtts://user@host:8883 (default: localhost)
    #[arg(short = 'h', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port (default: 1883, with TLS 8883)
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// User name
    #[arg(short, long, allow_hyphen_values = true)]
    pub username: Option<String>,
    /// Password; others can see it here, so better name a file or set ALDIS_PASSWORD
    #[arg(
        short = 'P',
        long = "pw",
        visible_alias = "password",
        value_name = "PASSWORD"
    )]
    #[arg(allow_hyphen_values = true)]
    pub password: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// Use TLS and trust the certificate authorities in this PEM file, no others
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<PathBuf>,
    /// Use TLS and trust the authorities that the operating system trusts
    #[arg(long, conflicts_with = "cafile")]
    pub tls_use_os_certs: bool,
    /// Client id (default: a random one)
    #[arg(short, long, value_name = "ID")]
    pub id: Option<String>,
    /// Seconds after which a silent broker is asked whether it is there
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u16).range(5..))]
    pub keepalive: u16,
    /// Version of MQTT: mqttv5 (5) or mqttv311 (311, 4) (default: 5, then 3.1.1 if refused)
    #[arg(short = 'V', long, value_name = "VERSION", value_parser = version)]
    pub protocol_version: Option<Version>,
    /// Print every packet, as mosquitto's tools do
    #[arg(short, long)]
    pub debug: bool,
    /// Print no errors and warnings
    #[arg(long)]
    pub quiet: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help, help_heading = "Options")]
    help: (),
}

/// How the session is held, and what is said at its end.
#[derive(clap::Args)]
#[command(next_help_heading = "Session")]
pub struct SessionArgs {
    /// Begin of the client id, the rest of which is random
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    pub id_prefix: Option<String>,
    /// Resume the session that the broker has for this client id, and let it keep it
    #[arg(short = 'c', long, requires = "id")]
    pub disable_clean_session: bool,
    /// Seconds that the broker keeps the session (MQTT 5) (default: for ever with -c, else 0)
    #[arg(short = 'x', long, value_name = "SECONDS", value_parser = expiry)]
    #[arg(allow_negative_numbers = true, requires = "id")]
    pub session_expiry_interval: Option<u32>,
    /// Topic of the will, which the broker publishes when this program is lost
    #[arg(long, value_name = "TOPIC")]
    pub will_topic: Option<String>,
    /// Message of the will
    #[arg(
        long,
        value_name = "MESSAGE",
        requires = "will_topic",
        allow_hyphen_values = true
    )]
    pub will_payload: Option<OsString>,
    /// QoS of the will
    #[arg(long, value_name = "QOS", requires = "will_topic", value_parser = qos)]
    pub will_qos: Option<QoS>,
    /// Let the broker keep the will
    #[arg(long, requires = "will_topic")]
    pub will_retain: bool,
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "5" | "mqttv5" => Ok(Version::V5),
        "4" | "311" | "3.1.1" | "mqttv311" => Ok(Version::V4),
        "3" | "31" | "mqttv31" => {
            Err("MQTT 3.1 is not spoken here; choose mqttv311 or mqttv5".to_owned())
        }
        _ => Err("choose mqttv5 or mqttv311".to_owned()),
    }
}

/// Reads a QoS; for `clap`'s `value_parser`.
pub fn qos(text: &str) -> Result<QoS, String> {
    text.parse()
        .ok()
        .and_then(QoS::from_bits)
        .ok_or_else(|| "it must be 0, 1 or 2".to_owned())
}

fn expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| {
            "it must be a number of seconds below 4294967296, or -1 for no end".to_owned()
        }),
    }
}

/// Reads `-L`: a URL of a broker with a topic behind it.
pub fn url_and_topic(url: &str) -> Result<(BrokerUrl, String), String> {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let slash = url
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map(|at| authority + at);
    let (broker, topic) = match slash {
        Some(at) => (&url[..at], &url[at + 1..]),
        None => (url, ""),
    };
    let broker = broker.parse().map_err(|error| format!("the URL {error}"))?;
    if topic.is_empty() {
        return Err("the URL names no topic: mqtt://host/topic".to_owned());
    }
    Ok((broker, topic.to_owned()))
}

/// A broker as flags and environment together name it.
#[derive(Clone)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub tls: Option<Tls>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub client_id: String,
    pub versions: Versions,
    pub keep_alive_s: u16,
    pub debug: bool,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn password_in(file: PathBuf) -> Result<String, Failure> {
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Failure::usage(format!(
            "the password file {} cannot be read: {error}",
            file.display()
        ))
    })?;
    Ok(text.lines().next().unwrap_or("").to_owned())
}

impl BrokerArgs {
    /// Brings flags, `url` and environment together, in this order.
    pub fn broker(
        &self,
        url: Option<BrokerUrl>,
        id_prefix: Option<&str>,
    ) -> Result<Broker, Failure> {
        let host = self.host.clone();
        let (host, from_flag) = match host {
            Some(host) => (Some(host), true),
            None if url.is_some() => (None, true),
            None => (variable("ALDIS_HOST"), false),
        };
        let (host, url) = match host {
            Some(text) if text.contains("://") => {
                let source = if from_flag { "-h" } else { "ALDIS_HOST" };
                let parsed = text
                    .parse()
                    .map_err(|error| Failure::usage(format!("the URL of {source} {error}")))?;
                (None, Some(parsed))
            }
            host => (host, url),
        };
        let cafile = self
            .cafile
            .clone()
            .or_else(|| variable("ALDIS_CAFILE").map(PathBuf::from));
        let wants_tls = match &url {
            Some(url) => url.tls || self.cafile.is_some() || self.tls_use_os_certs,
            None => cafile.is_some() || self.tls_use_os_certs,
        };
        let tls = if !wants_tls {
            None
        } else {
            let tls = match &cafile {
                Some(file) if !self.tls_use_os_certs => Tls::from_ca_file(file),
                _ => Tls::system(),
            };
            Some(tls.map_err(|error| Failure::usage(error.to_string()))?)
        };
        let port = match (self.port, &url) {
            (Some(port), _) => port,
            (None, Some(url)) => url.port,
            (None, None) => match variable("ALDIS_PORT") {
                Some(text) => text.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
                    Failure::usage(format!(
                        "ALDIS_PORT is `{text}`, but should be a number from 1 to 65535"
                    ))
                })?,
                None if tls.is_some() => PORT_TLS,
                None => PORT,
            },
        };
        let url_user = url.as_ref().and_then(|url| url.username.clone());
        let url_password = url
            .as_ref()
            .and_then(|url| url.password.as_ref())
            .map(|secret| secret.expose().to_owned());
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(password_in(file.clone())?),
            (None, None) => match url_password.or_else(|| variable("ALDIS_PASSWORD")) {
                Some(password) => Some(password),
                None => variable("ALDIS_PASSWORD_FILE")
                    .map(|file| password_in(file.into()))
                    .transpose()?,
            },
        };
        let client_id = match &self.id {
            Some(id) if !id.is_empty() => id.clone(),
            _ => format!("{}{:08x}", id_prefix.unwrap_or("aldis-"), fastrand::u32(..)),
        };
        Ok(Broker {
            host: host
                .or(url.map(|url| url.host))
                .unwrap_or_else(|| "localhost".to_owned()),
            port,
            tls,
            username: self
                .username
                .clone()
                .or(url_user)
                .or_else(|| variable("ALDIS_USERNAME")),
            password,
            client_id,
            versions: self.protocol_version.map_or(Versions::Any, Versions::Only),
            keep_alive_s: self.keepalive,
            debug: self.debug,
        })
    }
}

impl SessionArgs {
    /// The will, if one is wanted.
    pub fn will(&self) -> Result<Option<Will<'_>>, Failure> {
        let Some(topic) = &self.will_topic else {
            return Ok(None);
        };
        if !valid_topic(topic) {
            return Err(Failure::usage(format!(
                "Invalid will topic '{topic}', does it contain '+' or '#'?"
            )));
        }
        Ok(Some(Will {
            topic,
            payload: self
                .will_payload
                .as_ref()
                .map_or(&[], |payload| payload.as_encoded_bytes()),
            qos: self.will_qos.unwrap_or_default(),
            retain: self.will_retain,
            properties: aldis_mqtt::wire::Properties::NONE,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic cut at the wrong slash would be another topic.
    #[test]
    fn a_url_ends_where_its_topic_begins() {
        let (broker, topic) = url_and_topic("mqtts://me:pw@host:99/a/b").unwrap();
        assert_eq!(
            (broker.host.as_str(), broker.port, broker.tls),
            ("host", 99, true)
        );
        assert_eq!(topic, "a/b");
        assert!(url_and_topic("mqtt://host").unwrap_err().contains("topic"));
        assert!(
            url_and_topic("http://host/t")
                .unwrap_err()
                .contains("mqtt://")
        );
    }

    /// Infinity taken for a number, or a number for infinity, keeps the wrong sessions.
    #[test]
    fn session_expiry_has_a_word_for_no_end() {
        assert_eq!(expiry("-1"), Ok(u32::MAX));
        assert_eq!(expiry("∞"), Ok(u32::MAX));
        assert_eq!(expiry("90"), Ok(90));
        assert!(expiry("-2").is_err() && expiry("4294967296").is_err());
    }
}
