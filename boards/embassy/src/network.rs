//! The address that the device has.

use core::net::Ipv4Addr;

use embassy_net::{Config, DhcpConfig, Ipv4Address, Stack};

/// How many sockets the stack needs room for: two for the broker, and those of DHCP and DNS.
pub const SOCKETS: usize = 5;

/// The stack's configuration: DHCP with more haste than usual, because a server that
/// missed a request should be asked again soon. The server is told `name`, where it
/// can be that of a host.
pub fn dhcp(name: &str) -> Config {
    let mut dhcp = DhcpConfig::default();
    dhcp.retry_config.discover_timeout = core::time::Duration::from_secs(3).into();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.bytes().all(fits) {
        dhcp.hostname = name.try_into().ok();
    }
    Config::dhcpv4(dhcp)
}

/// What became of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is one, the first or the same as before.
    Up(Ipv4Addr),
    /// There is another one than before.
    Moved(Ipv4Addr),
    /// There is none any more.
    Down,
}

/// Watches the address.
#[derive(Debug, Default)]
pub(crate) struct Address {
    now: Option<Ipv4Addr>,
    last: Option<Ipv4Addr>,
}

impl Address {
    /// Takes note of the address that there is. Says what changed.
    pub fn watch(&mut self, now: Option<Ipv4Addr>) -> Option<Change> {
        let before = core::mem::replace(&mut self.now, now);
        if before == now {
            return None;
        }
        let Some(now) = now else {
            return Some(Change::Down);
        };
        let last = self.last.replace(now);
        Some(match last {
            Some(last) if last != now => Change::Moved(now),
            _ => Change::Up(now),
        })
    }

    /// The address, while there is one.
    pub const fn now(&self) -> Option<Ipv4Addr> {
        self.now
    }

    pub const fn is_up(&self) -> bool {
        self.now.is_some()
    }
}

/// The address and the gateway of a stack.
pub(crate) fn addresses(stack: Stack<'_>) -> (Option<Ipv4Addr>, Option<Ipv4Address>) {
    match stack.config_v4() {
        Some(config) => (Some(config.address.address()), config.gateway),
        None => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    /// A router's list of names would be a list of dashes, or refuse the request.
    #[test]
    fn only_names_of_hosts_are_told() {
        let told = |name: &str| {
            let told = match dhcp(name).ipv4 {
                embassy_net::ConfigV4::Dhcp(dhcp) => dhcp.hostname,
                _ => None,
            };
            told.map(|told| told.as_str().to_owned())
        };
        assert_eq!(told("esp-a0B1").as_deref(), Some("esp-a0B1"));
        for name in ["a b", "k\u{fc}che", "a.b", "a_b"] {
            assert_eq!(told(name), None, "{name}");
        }
        assert_eq!(told(&"x".repeat(64)), None);
    }

    /// A renewal would cost the connection, or a new address would not.
    #[test]
    fn only_another_address_is_a_move() {
        let mut address = Address::default();
        assert_eq!(address.watch(None), None);
        assert_eq!(address.watch(Some(A)), Some(Change::Up(A)));
        assert_eq!(address.watch(Some(A)), None);
        assert_eq!(address.watch(None), Some(Change::Down));
        assert!(!address.is_up());
        assert_eq!(address.watch(Some(A)), Some(Change::Up(A)));
        assert_eq!(address.watch(Some(B)), Some(Change::Moved(B)));
        assert_eq!(address.watch(None), Some(Change::Down));
        assert_eq!(address.watch(Some(A)), Some(Change::Moved(A)));
        assert!(address.is_up());
    }
}
