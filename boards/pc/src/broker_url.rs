//! Where the broker is: `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS.

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::Secret;

const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;

/// The address of a broker, and who to be there.
///
/// Printed, it is a URL again, with the port but without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Encrypted, and the broker's certificate checked.
    pub tls: bool,
    /// A host name or an IP address (an IPv6 address without its brackets).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The user, if given.
    pub username: Option<String>,
    /// The password, if given.
    pub password: Option<Secret>,
}

/// Why a text is no URL of a broker. Printed, it says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerUrlError {
    /// It does not begin with a scheme that we speak.
    Scheme {
        /// The same with the scheme that was forgotten, where that makes it a URL.
        suggestion: Option<String>,
    },
    /// There is no host in it.
    NoHost,
    /// This is neither a name nor an address.
    Host(String),
    /// This looks like an IPv6 address, which goes in brackets.
    Brackets(String),
    /// This is no port.
    Port(String),
    /// This follows the host and port.
    Rest(String),
    /// The user or password has a `%` without two hexadecimal digits, or is no UTF-8.
    Escape,
    /// There is a password, but no user.
    NoUser,
}

impl fmt::Display for BrokerUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme {
                suggestion: Some(url),
            } => {
                write!(
                    f,
                    "should begin with `mqtt://` or `mqtts://`: did you mean `{url}`?"
                )
            }
            Self::Scheme { suggestion: None } => f.write_str(
                "should begin with `mqtt://` or `mqtts://`, such as `mqtt://192.168.1.107`",
            ),
            Self::NoHost => {
                f.write_str("names no host; a whole one is, say, `mqtt://192.168.1.107:1883`")
            }
            Self::Host(host) => {
                write!(
                    f,
                    "the host `{host}` should be a host name or an IP address"
                )
            }
            Self::Brackets(host) => {
                write!(f, "an IPv6 address should be in brackets: `[{host}]`")
            }
            Self::Port(port) => {
                write!(f, "the port `{port}` should be a number from 1 to 65535")
            }
            Self::Rest(rest) => {
                write!(
                    f,
                    "should end after the host and its port, without `{rest}`"
                )
            }
            Self::Escape => f.write_str(
                "in the user and password, `%` should be followed by the two hexadecimal digits \
                 of a character (`%25` is `%` itself)",
            ),
            Self::NoUser => f.write_str(
                "has a password but no user; both are given as `mqtt://user:password@host`",
            ),
        }
    }
}

impl Error for BrokerUrlError {}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(url: &str) -> Result<Self, BrokerUrlError> {
        let scheme = url
            .split_once("://")
            .map(|(scheme, rest)| (scheme.to_lowercase(), rest));
        let (tls, rest) = match &scheme {
            Some((scheme, rest)) if scheme == "mqtt" => (false, *rest),
            Some((scheme, rest)) if scheme == "mqtts" => (true, *rest),
            Some(_) => return Err(BrokerUrlError::Scheme { suggestion: None }),
            None => {
                let suggestion = Self::from_str(&format!("mqtt://{url}")).ok();
                let suggestion = suggestion.map(|_| format!("mqtt://{}", mask_user(url)));
                return Err(BrokerUrlError::Scheme { suggestion });
            }
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(tail, "" | "/") {
            return Err(BrokerUrlError::Rest(tail.to_owned()));
        }
        let (host, port) = host_and_port(authority)?;
        let port = match port {
            None => {
                if tls {
                    PORT_TLS
                } else {
                    PORT
                }
            }
            Some(text) => text
                .parse()
                .ok()
                .filter(|&port| port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| BrokerUrlError::Port(text.to_owned()))?,
        };
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, "")))
        {
            None | Some(("", "")) => (None, None),
            Some(("", _)) => return Err(BrokerUrlError::NoUser),
            Some((user, "")) => (Some(unescape(user)?), None),
            Some((user, password)) => (Some(unescape(user)?), Some(unescape(password)?)),
        };
        let password = password.map(Secret::new);
        Ok(Self {
            tls,
            host,
            port,
            username,
            password,
        })
    }
}

/// Splits `host:port`; the port is unchecked.
fn host_and_port(authority: &str) -> Result<(String, Option<&str>), BrokerUrlError> {
    let bad = |host: &str| Err(BrokerUrlError::Host(host.to_owned()));
    if let Some(bracketed) = authority.strip_prefix('[') {
        let Some((host, rest)) = bracketed.split_once(']') else {
            return bad(authority);
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return bad(&format!("[{host}]"));
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host.to_owned(), Some(port))),
            None if rest.is_empty() => Ok((host.to_owned(), None)),
            None => Err(BrokerUrlError::Rest(rest.to_owned())),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(BrokerUrlError::Brackets(authority.to_owned()));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if host.is_empty() {
        return Err(BrokerUrlError::NoHost);
    }
    if is_host_name(host) {
        Ok((host.to_owned(), port))
    } else {
        bad(host)
    }
}

/// A name of labels; one whose last label is a number must be an IPv4 address.
fn is_host_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    name.len() <= 253 && name.split('.').all(is_label)
}

fn unescape(text: &str) -> Result<String, BrokerUrlError> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(BrokerUrlError::Escape);
                };
                // Two digits fit into a byte.
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(unescaped).map_err(|_| BrokerUrlError::Escape)
}

/// The text with whatever stands before the host hidden, to be shown.
pub(crate) fn mask_user(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url.rfind('@') {
        Some(at) if at > start => format!("{}...{}", &url[..start], &url[at..]),
        _ => url.to_owned(),
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "mqtts://" } else { "mqtt://" })?;
        if let Some(username) = &self.username {
            for byte in username.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
            f.write_str("@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(tls: bool, host: &str, port: u16) -> BrokerUrl {
        BrokerUrl {
            tls,
            host: host.into(),
            port,
            username: None,
            password: None,
        }
    }

    /// Connecting elsewhere than told, or without encryption.
    #[test]
    fn urls_are_taken_apart() {
        for (text, expected) in [
            (
                "mqtt://192.168.1.107:1884",
                url(false, "192.168.1.107", 1884),
            ),
            ("mqtt://localhost", url(false, "localhost", 1883)),
            ("MQTTS://broker.example/", url(true, "broker.example", 8883)),
            ("mqtt://hub.local.", url(false, "hub.local.", 1883)),
            ("mqtt://my_nas-2", url(false, "my_nas-2", 1883)),
            ("mqtts://[fe80::1]", url(true, "fe80::1", 8883)),
            ("mqtt://[::1]:1", url(false, "::1", 1)),
            ("mqtt://@host", url(false, "host", 1883)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        let with_user: BrokerUrl = "mqtt://a%40b:p@s:s/%25@host:99".parse().unwrap();
        assert_eq!(with_user.username.as_deref(), Some("a@b"));
        assert_eq!(
            with_user.password.as_ref().map(Secret::expose),
            Some("p@s:s/%")
        );
        assert_eq!((&*with_user.host, with_user.port), ("host", 99));
        assert_eq!(
            "mqtt://me@host".parse::<BrokerUrl>().unwrap().password,
            None
        );
    }

    /// A user with a wrong URL is left to guess.
    #[test]
    fn errors_say_what_would_be_right() {
        for (text, expected) in [
            (
                "192.168.1.107:1883",
                "should begin with `mqtt://` or `mqtts://`: did you mean `mqtt://192.168.1.107:1883`?",
            ),
            (
                "me:secret@host",
                "should begin with `mqtt://` or `mqtts://`: did you mean `mqtt://...@host`?",
            ),
            (
                "http://host",
                "should begin with `mqtt://` or `mqtts://`, such as `mqtt://192.168.1.107`",
            ),
            (
                "",
                "should begin with `mqtt://` or `mqtts://`, such as `mqtt://192.168.1.107`",
            ),
            (
                "mqtt://",
                "names no host; a whole one is, say, `mqtt://192.168.1.107:1883`",
            ),
            (
                "mqtt://:1883",
                "names no host; a whole one is, say, `mqtt://192.168.1.107:1883`",
            ),
            (
                "mqtt://192.168.1.300",
                "the host `192.168.1.300` should be a host name or an IP address",
            ),
            (
                "mqtt://my host",
                "the host `my host` should be a host name or an IP address",
            ),
            (
                "mqtt://[::g]",
                "the host `[::g]` should be a host name or an IP address",
            ),
            (
                "mqtt://[::1",
                "the host `[::1` should be a host name or an IP address",
            ),
            (
                "mqtt://fe80::1",
                "an IPv6 address should be in brackets: `[fe80::1]`",
            ),
            (
                "mqtt://host:0",
                "the port `0` should be a number from 1 to 65535",
            ),
            (
                "mqtt://host:65536",
                "the port `65536` should be a number from 1 to 65535",
            ),
            (
                "mqtt://host:+5",
                "the port `+5` should be a number from 1 to 65535",
            ),
            (
                "mqtt://host:",
                "the port `` should be a number from 1 to 65535",
            ),
            (
                "mqtt://host/mqtt",
                "should end after the host and its port, without `/mqtt`",
            ),
            (
                "mqtt://[::1]x",
                "should end after the host and its port, without `x`",
            ),
            (
                "mqtt://u:%4@host",
                "in the user and password, `%` should be followed by the two hexadecimal digits \
                 of a character (`%25` is `%` itself)",
            ),
            (
                "mqtt://:secret@host",
                "has a password but no user; both are given as `mqtt://user:password@host`",
            ),
        ] {
            assert_eq!(
                text.parse::<BrokerUrl>().unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }

    /// A password in a log.
    #[test]
    fn passwords_are_not_shown() {
        let url: BrokerUrl = "mqtt://me:geheim@[::1]".parse().unwrap();
        assert_eq!(url.to_string(), "mqtt://me@[::1]:1883");
        assert!(!format!("{url:?}").contains("geheim"));
        assert_eq!(mask_user("mqtt://me:geheim@host"), "mqtt://...@host");
    }

    proptest! {
        /// What is shown to be typed elsewhere leads elsewhere.
        #[test]
        fn printed_urls_read_back(
            tls: bool,
            host in prop_oneof![
                "[a-z][a-z0-9]{0,9}(\\.[a-z]{1,9}){0,2}",
                any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
                any::<Ipv6Addr>().prop_map(|ip| ip.to_string()),
            ],
            port in 1..=u16::MAX,
            username in proptest::option::of("\\PC{1,20}"),
        ) {
            let url = BrokerUrl { tls, host, port, username, password: None };
            prop_assert_eq!(url.to_string().parse(), Ok(url));
        }

        /// Whatever is typed.
        #[test]
        fn garbage_does_not_panic(text: String, tail in "[a-z0-9:@/%\\[\\].?#-]{0,30}") {
            for text in [text, format!("mqtt://{tail}"), tail] {
                if let Err(error) = text.parse::<BrokerUrl>() {
                    prop_assert!(!error.to_string().is_empty());
                }
                mask_user(&text);
            }
        }
    }
}
