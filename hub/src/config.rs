//! What a hub is told before it starts, and the file that says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::access::{Access, Rule, User};
use crate::cluster::{ClusterConfig, ClusterSection};
use crate::error::HubError;
use crate::keys::Keyring;

/// What a hub is told before it starts.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Where MQTT 3.1.1 and 5 are spoken over TCP. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// A second address for the same, which is left out where this machine does not have it:
    /// `[::1]` beside `127.0.0.1`, as `localhost` may mean either.
    pub listen_also: Option<SocketAddr>,
    /// Where MQTT is spoken over WebSocket, if anywhere.
    pub websocket: Option<SocketAddr>,
    /// Where MQTT is spoken over TLS, if anywhere.
    pub tls: Option<TlsConfig>,
    /// Where retained messages and sessions are kept; without it they end with the hub.
    pub data: Option<PathBuf>,
    /// Users and rules that stay while the hub runs.
    pub access: Access,
    /// The owner and the paired devices, if there are any.
    pub keys: Option<Keyring>,
    /// What a client may ask of the hub.
    pub limits: Limits,
    /// The cluster that it is a part of, if any.
    pub cluster: Option<ClusterConfig>,
}

/// Where MQTT is spoken over TLS, and with which certificate.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The address. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The file with the certificate chain, in PEM.
    pub cert: PathBuf,
    /// The file with the private key, in PEM.
    pub key: PathBuf,
}

/// What a client may ask of the hub.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many messages wait for one client; beyond it the oldest is dropped.
    pub queue: usize,
    /// The largest packet, in bytes.
    pub packet: u32,
    /// How long a session without a connection is kept. MQTT 5 clients say it
    /// themselves; for them this is the most they get.
    pub session_expiry: Duration,
    /// How long a connection may take until its CONNECT is here, TLS and WebSocket included.
    pub connect: Duration,
    /// How many connections of one address may be waited for; beyond it the one that was waited
    /// for longest is closed. A quarter of all connections at most.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 10_000,
            packet: 1024 * 1024,
            session_expiry: Duration::from_secs(30 * 24 * 60 * 60),
            connect: Duration::from_secs(10),
            waiting: 4_096,
        }
    }
}

impl HubConfig {
    /// A hub on a free port of this machine alone, which keeps nothing when it ends.
    pub fn ephemeral() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listen_also: None,
            websocket: None,
            tls: None,
            data: None,
            access: Access::default(),
            keys: None,
            limits: Limits::default(),
            cluster: None,
        }
    }
}

/// The file `hub.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    /// Where to listen, as for the flag `--listen`.
    pub listen: Option<String>,
    /// Whether other machines may come in, as for the flag `--lan`.
    pub lan: Option<bool>,
    /// Where to speak WebSocket, as for the flag `--ws`.
    pub ws: Option<String>,
    /// Where to speak TLS.
    pub tls: Option<TlsSection>,
    /// Whether a client of this machine without a user name may connect.
    pub anonymous: Option<bool>,
    /// How many messages wait for one client.
    pub queue: Option<usize>,
    /// The largest packet, in bytes.
    pub packet: Option<u32>,
    /// How many days a session without a connection is kept.
    pub session_days: Option<u32>,
    /// What is recorded, and where.
    pub recorder: Option<RecorderSection>,
    /// The cluster that the hub is a part of.
    pub cluster: Option<ClusterSection>,
    /// What a browser sees.
    pub dashboard: Option<DashboardSection>,
    /// What Home Assistant is told.
    pub homeassistant: Option<HomeAssistantSection>,
    /// The users that may connect.
    #[serde(default)]
    pub user: Vec<User>,
    /// The access rules, in order.
    #[serde(default)]
    pub rule: Vec<Rule>,
}

/// The section `[dashboard]` of `hub.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DashboardSection {
    /// Show none.
    #[serde(default)]
    pub off: bool,
    /// Where it listens, as for the flag `--dashboard`.
    pub listen: Option<String>,
    /// What people call the hub; the machine's name otherwise.
    pub name: Option<String>,
}

/// The section `[homeassistant]` of `hub.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeAssistantSection {
    /// Whether devices are announced, which they are otherwise; `false` takes back what was.
    pub enabled: Option<bool>,
    /// Where Home Assistant looks for devices; `homeassistant` otherwise.
    pub discovery_prefix: Option<String>,
    /// Where Home Assistant says that it has started; `homeassistant/status` otherwise.
    pub birth_topic: Option<String>,
}

/// The section `[recorder]` of `hub.toml`. Of days, 0 is for ever.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecorderSection {
    /// Record nothing.
    #[serde(default)]
    pub off: bool,
    /// Where to record, as for the flag `--store`.
    pub store: Option<String>,
    /// With whom to share the recording, as for the flag `--share`.
    pub share: Option<String>,
    /// How many devices that were not paired may be recorded for the first time within an hour;
    /// 0: as many as like.
    pub new_devices: Option<u32>,
    /// How long readings are kept.
    pub readings_days: Option<u32>,
    /// How long what they were in five minutes is kept.
    pub five_minutes_days: Option<u32>,
    /// How long what they were in an hour is kept.
    pub hours_days: Option<u32>,
    /// How long states, messages and answers are kept.
    pub events_days: Option<u32>,
    /// How long health reports are kept.
    pub health_days: Option<u32>,
}

/// The section `[tls]` of `hub.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// Where to listen, as for the flag `--tls`.
    pub listen: Option<String>,
    /// The file with the certificate chain; relative to the configuration file.
    pub cert: Option<PathBuf>,
    /// The file with the private key; relative to the configuration file.
    pub key: Option<PathBuf>,
}

/// Room for CONNECT with an id, a user name and a password of usual lengths.
const LEAST_PACKET: u32 = 256;

/// The number of the line that follows this text.
pub(crate) fn line_after(before: &str) -> usize {
    before.matches('\n').count().saturating_add(1)
}

/// What is wrong in a file, with the line and the key.
pub(crate) fn explain(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map_or(1, line_after);
    let key = error
        .span()
        .and_then(|span| text.get(span))
        .filter(|found| !found.is_empty() && !found.contains('\n'))
        .map(|found| format!(" (at `{found}`)"))
        .unwrap_or_default();
    let said = error.message();
    let said = said.replace("expected usize", "expected a whole number");
    let said = said.replace("expected u32", "expected a whole number up to 4294967295");
    format!("line {line}: {said}{key}")
}

impl HubFile {
    /// Reads the file. Its rules may be about its own users and, besides, about `others`.
    pub fn read(path: &Path, others: &[&str]) -> Result<Self, HubError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            HubError::Config(format!("cannot read {}: {error}", path.display()))
        })?;
        let mut file = Self::parse(&text)
            .map_err(|reason| HubError::Config(format!("{}: {reason}", path.display())))?;
        if let (Some(tls), Some(dir)) = (&mut file.tls, path.parent()) {
            for file in [&mut tls.cert, &mut tls.key].into_iter().flatten() {
                *file = dir.join(&file);
            }
        }
        file.access().check(others).map_err(|error| {
            let reason = error.to_string();
            // The first thing that it names, where that stands in the file.
            let named = reason.split('`').nth(1).unwrap_or_default();
            let at = text
                .find(&format!("\"{named}\""))
                .and_then(|at| text.get(..at));
            let line = match at {
                Some(before) => format!("line {}: ", line_after(before)),
                None => String::new(),
            };
            HubError::Config(format!("{}: {line}{reason}", path.display()))
        })?;
        Ok(file)
    }

    /// Reads the file's text. The error names the line, the key and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| explain(text, &error))?;
        if file.packet.is_some_and(|packet| packet < LEAST_PACKET) {
            return Err(format!(
                "`packet` should be at least {LEAST_PACKET}: nobody could connect"
            ));
        }
        if file.queue == Some(0) {
            return Err("`queue` should be at least 1: no message would wait".to_owned());
        }
        Ok(file)
    }

    /// Who may connect, and which topics they may use, according to the file.
    pub fn access(&self) -> Access {
        Access {
            anonymous: self.anonymous,
            users: self.user.clone(),
            rules: self.rule.clone(),
        }
    }

    /// What a client may ask of the hub, according to the file.
    pub fn limits(&self) -> Limits {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let usual = Limits::default();
        Limits {
            queue: self.queue.unwrap_or(usual.queue),
            packet: self.packet.unwrap_or(usual.packet),
            session_expiry: self
                .session_days
                .map_or(usual.session_expiry, |days| DAY.saturating_mul(days)),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HubFile;
    use crate::access::{Action, Effect};

    /// A key that is documented but not read would be silently ignored.
    #[test]
    fn a_full_file_is_read() {
        let file = HubFile::parse(
            r##"
            listen = "0.0.0.0:1883"
            lan = true
            ws = ":8083"
            anonymous = true
            queue = 5
            packet = 2048
            session_days = 2
            [tls]
            listen = ":8883"
            cert = "cert.pem"
            key = "key.pem"
            [[user]]
            name = "kitchen"
            password = "$argon2id$..."
            [[rule]]
            effect = "allow"
            action = "subscribe"
            user = "kitchen"
            client = "c1"
            topics = ["aldis/%u/#"]
            [[rule]]
            effect = "deny"
            topics = ["#"]
            "##,
        )
        .unwrap();
        let access = file.access();
        assert_eq!(file.lan, Some(true));
        assert_eq!(access.anonymous, Some(true));
        assert_eq!(access.users[0].name, "kitchen");
        assert_eq!(access.rules[0].action, Some(Action::Subscribe));
        assert_eq!(access.rules[1].effect, Effect::Deny);
        assert_eq!(access.rules[1].action, None);
        assert_eq!(file.limits().queue, 5);
        assert_eq!(file.limits().packet, 2048);
        assert_eq!(file.limits().session_expiry.as_secs(), 2 * 86_400);
    }

    /// Nobody can connect, or nothing waits, and the hub says nothing.
    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for (text, words) in [
            ("packet = 1", "at least 256"),
            ("queue = 0", "at least 1"),
            ("queue = \"x\"", "a whole number"),
            ("packet = 99999999999", "up to 4294967295"),
        ] {
            let error = HubFile::parse(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    /// A mistake in the access rules is looked for in the whole file.
    #[test]
    fn a_mistake_in_users_and_rules_is_named_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.toml");
        for (text, line) in [
            (
                "\n[[user]]\nname = \"ann\"\npassword = \"plain\"\n",
                "line 3: ",
            ),
            (
                "[[rule]]\neffect = \"allow\"\ntopics = [\"a/#/b\"]\n",
                "line 3: ",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = HubFile::read(&path, &[]).unwrap_err().to_string();
            let begin = format!("{}: {line}", path.display());
            assert!(error.starts_with(&begin), "{error}");
        }
    }

    /// A typo that is ignored leaves the hub open while its owner thinks it is locked.
    #[test]
    fn a_typo_is_named_with_its_line() {
        let error = HubFile::parse("listen = \":1883\"\nanonymus = false\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(
            error.contains("anonymus") && error.contains("anonymous"),
            "{error}"
        );
        let error = HubFile::parse("[[rule]]\neffect = \"alow\"\ntopics = [\"#\"]\n").unwrap_err();
        assert!(
            error.starts_with("line 2: ") && error.contains("allow"),
            "{error}"
        );
    }
}
