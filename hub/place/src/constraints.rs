//! What the authority may certify: names of home networks, private addresses, and the machine
//! that it was made on. Whoever steals its key can pretend to be another hub, and no bank.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::machine::{Machine, is_private, mask, private_v4};

/// The object identifier of the extension (RFC 5280, 4.2.1.10).
pub(crate) const OID: [u64; 4] = [2, 5, 29, 30];

/// The domains that no registry gives away, or that routers use at home.
const DOMAINS: [&str; 7] = [
    "local",
    "localhost",
    "home.arpa",
    "internal",
    "lan",
    "home",
    "localdomain",
];

/// The names and networks that are permitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    /// Domains with all that is below them.
    pub domains: Vec<String>,
    /// Networks with their masks, as bytes: 8 of IPv4, 32 of IPv6.
    pub networks: Vec<Vec<u8>>,
}

impl Constraints {
    /// For an authority that is made on this machine.
    pub fn of(machine: &Machine) -> Self {
        let mut domains: Vec<String> = DOMAINS.map(str::to_owned).to_vec();
        domains.push(machine.name.clone());
        domains.extend(machine.domain.clone());
        let mut networks = Vec::new();
        for (net, bits) in private_v4() {
            networks.push(network_v4(net, mask(bits)));
        }
        for (net, bits) in [
            (Ipv6Addr::LOCALHOST, 128),
            (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
            (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
        ] {
            networks.push(network_v6(net, bits));
        }
        for ip in machine.addresses.iter().filter(|ip| !is_private(**ip)) {
            // Those of IPv6 change too often to be of use.
            if let IpAddr::V4(ip) = ip {
                networks.push(network_v4(*ip, u32::MAX));
            }
        }
        Self { domains, networks }
    }

    /// Whether a name may be certified.
    pub fn permits_name(&self, name: &str) -> bool {
        self.domains.iter().any(|domain| {
            name == domain
                || name
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }

    /// Whether an address may be certified.
    pub fn permits_address(&self, ip: IpAddr) -> bool {
        let ip = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        self.networks.iter().any(|network| {
            let (net, mask) = network.split_at(network.len() / 2);
            net.len() == ip.len()
                && ip
                    .iter()
                    .zip(net)
                    .zip(mask)
                    .all(|((ip, net), mask)| ip & mask == net & mask)
        })
    }

    /// The content of the extension, in DER.
    ///
    /// The extension is not marked as critical, against RFC 5280: mbed TLS, which the ESP32's own
    /// development kit uses, refuses an authority with a critical extension that it does not
    /// know, and browsers, OpenSSL and rustls obey it either way.
    pub fn der(&self) -> Vec<u8> {
        const SEQUENCE: u8 = 0x30;
        const PERMITTED: u8 = 0xa0;
        const DNS_NAME: u8 = 0x82;
        const IP_ADDRESS: u8 = 0x87;
        let names = self.domains.iter().map(|name| (DNS_NAME, name.as_bytes()));
        let networks = self.networks.iter().map(|net| (IP_ADDRESS, net.as_slice()));
        let mut subtrees = Vec::new();
        for (tag, bytes) in names.chain(networks) {
            subtrees.extend(value(SEQUENCE, &value(tag, bytes)));
        }
        value(SEQUENCE, &value(PERMITTED, &subtrees))
    }
}

fn network_v4(net: Ipv4Addr, mask: u32) -> Vec<u8> {
    let mut bytes = net.octets().to_vec();
    bytes.extend(mask.to_be_bytes());
    bytes
}

fn network_v6(net: Ipv6Addr, bits: u32) -> Vec<u8> {
    let mask = match u128::MAX.checked_shr(bits) {
        Some(host) => !host,
        None => u128::MAX,
    };
    let mut bytes = net.octets().to_vec();
    bytes.extend(mask.to_be_bytes());
    bytes
}

/// A value with its tag and its length.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(0x80 | u8::try_from(length.len()).unwrap_or(0x7f));
            bytes.extend(length);
        }
    }
    bytes.extend(content);
    bytes
}
