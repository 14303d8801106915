//! Where the hub listens, and where it is found.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};

/// Reads `HOST:PORT`, `:PORT`, `HOST` or `PORT`. Without a host it is this machine alone, or with
/// `lan` all that reach it.
pub fn address(flag: &str, text: &str, usual_port: u16, lan: bool) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok(SocketAddr::new(ip, usual_port));
    }
    if let Some(port) = lone_port(text) {
        return Ok(SocketAddr::new(usual_host(lan), port));
    }
    let wrong = |why: &str| {
        format!("`{flag} {text}`: {why}; write for example 127.0.0.1:{usual_port} or :{usual_port}")
    };
    let (host, port) = match text.rsplit_once(':') {
        // The system's resolver would take it for an address.
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(wrong("the port is not a number from 0 to 65535"));
        }
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => return Err(wrong("the port is not a number from 0 to 65535")),
        },
        None => (text, usual_port),
    };
    let mut found = (host, port)
        .to_socket_addrs()
        .map_err(|error| wrong(&format!("no such host ({error})")))?
        .collect::<Vec<_>>();
    // mosquitto's tools speak IPv4 first.
    found.sort_by_key(SocketAddr::is_ipv6);
    found
        .into_iter()
        .next()
        .ok_or_else(|| wrong("no such host"))
}

/// Where the hub listens unless a host is named.
pub const fn usual_host(lan: bool) -> IpAddr {
    IpAddr::V4(match lan {
        true => Ipv4Addr::UNSPECIFIED,
        false => Ipv4Addr::LOCALHOST,
    })
}

/// The port of an address without a host.
pub fn lone_port(text: &str) -> Option<u16> {
    text.strip_prefix(':').unwrap_or(text).parse().ok()
}

/// The address under which others reach this machine: the one a packet to the outside
/// would carry. None is sent.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::address;

    /// A form that people type and that is refused, or is taken for another.
    #[test]
    fn addresses_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("127.0.0.1:1884", "127.0.0.1:1884"),
            (":1884", "127.0.0.1:1884"),
            ("1884", "127.0.0.1:1884"),
            ("0.0.0.0:1884", "0.0.0.0:1884"),
            ("127.0.0.1", "127.0.0.1:1883"),
            ("[::1]:0", "[::1]:0"),
            ("::1", "[::1]:1883"),
            ("localhost:7", "127.0.0.1:7"),
        ] {
            let read = address("--listen", text, 1883, false).unwrap();
            assert_eq!(read.to_string(), expected, "{text}");
        }
        let open = address("--listen", ":1884", 1883, true).unwrap();
        assert_eq!(open.to_string(), "0.0.0.0:1884");
        let named = address("--listen", "127.0.0.1:1884", 1883, true).unwrap();
        assert_eq!(named.to_string(), "127.0.0.1:1884");
    }

    /// An error that only says "invalid" leaves the user guessing.
    #[test]
    fn wrong_addresses_are_explained() {
        for text in [
            "127.0.0.1:70000",
            "localhost:mqtt",
            "no-such-host.invalid:1",
            "99999",
        ] {
            let error = address("--listen", text, 1883, false).unwrap_err();
            assert!(
                error.contains(text) && error.contains("127.0.0.1:1883"),
                "{error}"
            );
        }
    }
}
