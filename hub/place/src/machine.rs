//! This machine: what it is called, and where it is.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::PlaceError;

/// Names and addresses of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The name that it has in its network, without `.local`.
    pub name: String,
    /// Its whole name, where that has more levels.
    pub domain: Option<String>,
    /// The addresses under which others reach it.
    pub addresses: BTreeSet<IpAddr>,
}

impl Machine {
    /// This machine, under its own name or `name`.
    ///
    /// # Errors
    /// If `name` is none.
    pub fn look(name: Option<&str>) -> Result<Self, PlaceError> {
        let (name, domain) = match name {
            Some(name) => (label(name)?, None),
            None => called(&host_name()),
        };
        Ok(Self {
            name,
            domain,
            addresses: addresses(),
        })
    }

    /// The name by which multicast DNS finds it.
    pub fn local_name(&self) -> String {
        format!("{}.local", self.name)
    }
}

/// What the system calls this machine.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| env::var("COMPUTERNAME").or_else(|_| env::var("HOSTNAME")))
        .unwrap_or_default()
}

/// The first level of a host's name, and all of it if there are more.
fn called(host: &str) -> (String, Option<String>) {
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let (first, rest) = host.split_once('.').unwrap_or((&host, ""));
    let mut name: String = first
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    name = name.trim_matches('-').to_owned();
    // Everybody is `localhost`.
    if name.is_empty() || name == "localhost" {
        return ("aldis".to_owned(), None);
    }
    let is_domain = name == first
        && !rest.is_empty()
        && rest != "local"
        && rest.split('.').all(|level| label(level).is_ok());
    (name, is_domain.then_some(host))
}

/// Checks a name of one level; `.local` behind it is left out.
///
/// # Errors
/// If no machine can have that name.
pub fn label(name: &str) -> Result<String, PlaceError> {
    let lower = name.to_ascii_lowercase();
    let level = lower.strip_suffix(".local").unwrap_or(&lower);
    let is_good = (1..=63).contains(&level.len())
        && level
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !level.starts_with('-')
        && !level.ends_with('-')
        && level != "localhost";
    match is_good {
        true => Ok(level.to_owned()),
        false => Err(PlaceError::Name(name.to_owned())),
    }
}

/// The addresses of this machine that others may use.
fn addresses() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = if_addrs::get_if_addrs() else {
        return BTreeSet::new();
    };
    let all = interfaces.iter().map(if_addrs::Interface::ip);
    all.filter(|ip| !ip.is_loopback() && !ip.is_unspecified() && !is_scoped(ip))
        .collect()
}

/// Whether an address means something only together with an interface. No browser takes one.
fn is_scoped(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether an address is of a network that is somebody's own, so that it says nothing of who
/// has it.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    private_v4().iter().any(|(net, bits)| match ip {
        IpAddr::V4(ip) => {
            let mask = mask(*bits);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        IpAddr::V6(_) => false,
    }) || matches!(ip, IpAddr::V6(ip) if ip == Ipv6Addr::LOCALHOST
        || ip.is_unique_local() || ip.is_unicast_link_local())
}

/// The private networks of IPv4, carriers' and links' included.
pub(crate) const fn private_v4() -> [(Ipv4Addr, u32); 6] {
    [
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
    ]
}

/// The mask of a network with so many bits.
pub(crate) const fn mask(bits: u32) -> u32 {
    match u32::MAX.checked_shr(bits) {
        Some(host) => !host,
        None => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose name has levels, capitals or none at all is not found, or its certificate is
    /// refused.
    #[test]
    fn a_host_name_becomes_a_name_in_the_network() {
        for (host, name, domain) in [
            ("kitchen-pi\n", "kitchen-pi", None),
            ("Kitchen_PI", "kitchen-pi", None),
            ("pi.example.com", "pi", Some("pi.example.com")),
            ("pi.local", "pi", None),
            ("pi.bad_level.com", "pi", None),
            ("localhost", "aldis", None),
            ("localhost.localdomain", "aldis", None),
            ("", "aldis", None),
            ("---", "aldis", None),
        ] {
            let (found, whole) = called(host);
            assert_eq!(found, name, "{host}");
            assert_eq!(whole.as_deref(), domain, "{host}");
        }
        assert_eq!(called(&"x".repeat(80)).0.len(), 63);
    }

    /// `--name kitchen.local` is what people type; a name with a space is announced and never
    /// found.
    #[test]
    fn names_that_are_typed_are_checked() {
        assert_eq!(label("Kitchen.local").unwrap(), "kitchen");
        for wrong in ["", "a b", "-a", "a-", "a.b", "localhost", "ä", ".local"] {
            let error = label(wrong).unwrap_err().to_string();
            assert!(error.contains("letters, digits"), "{error}");
        }
        assert!(label(&"x".repeat(64)).is_err());
    }

    /// An address of the world that is taken for a private one would be certified by anybody's hub.
    #[test]
    fn private_addresses_are_told_apart() {
        for (ip, private) in [
            ("192.168.1.5", true),
            ("172.31.255.255", true),
            ("172.32.0.1", false),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("10.0.0.1", true),
            ("11.0.0.1", false),
            ("8.8.8.8", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(ip.parse().unwrap()), private, "{ip}");
        }
    }

    /// A machine that knows no address of its own has a certificate for none.
    #[test]
    fn this_machine_has_a_name_and_no_address_of_its_own_alone() {
        let machine = Machine::look(None).unwrap();
        assert!(label(&machine.name).is_ok(), "{machine:?}");
        assert!(machine.addresses.iter().all(|ip| !ip.is_loopback()));
        let named = Machine::look(Some("Attic")).unwrap();
        assert_eq!(named.local_name(), "attic.local");
        assert_eq!(named.domain, None);
    }
}
