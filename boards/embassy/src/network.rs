//! The address that the device has, and whether anybody there answers.

use core::net::Ipv4Addr;

use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Config, DhcpConfig, Ipv4Address, Stack};
use embassy_time::Duration;

/// How many sockets the stack needs room for: the broker's, the prober's, and those
/// of DHCP and DNS.
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

/// How often somebody is asked.
pub(crate) const PROBE: Duration = Duration::from_secs(15);

/// The port that discards what it gets (RFC 863).
const DISCARD: u16 = 9;

/// The prober's memory.
#[derive(Debug)]
pub(crate) struct ProbeMemory {
    metadata: [PacketMetadata; 1],
    bytes: [u8; 16],
    no_metadata: [PacketMetadata; 1],
    none: [u8; 16],
}

impl ProbeMemory {
    pub const fn new() -> Self {
        Self {
            metadata: [PacketMetadata::EMPTY; 1],
            bytes: [0; 16],
            no_metadata: [PacketMetadata::EMPTY; 1],
            none: [0; 16],
        }
    }
}

/// Makes the gateway answer: a datagram that it discards, for which it has to say
/// where it is first (ARP). Whether the answer came, the network card's witness
/// sees.
pub(crate) struct Probe<'p> {
    socket: UdpSocket<'p>,
    at: embassy_time::Instant,
}

impl<'p> Probe<'p> {
    pub fn new(stack: Stack<'p>, memory: &'p mut ProbeMemory) -> Self {
        let mut socket = UdpSocket::new(
            stack,
            &mut memory.no_metadata,
            &mut memory.none,
            &mut memory.metadata,
            &mut memory.bytes,
        );
        // One that cannot be bound sends nothing: then nobody is asked.
        let _ = socket.bind(0);
        Self {
            socket,
            at: embassy_time::Instant::from_ticks(0),
        }
    }

    /// Asks, if it is time to.
    pub fn send(&mut self, gateway: Ipv4Address, now: embassy_time::Instant) {
        if now < self.at {
            return;
        }
        self.at = now.saturating_add(PROBE);
        // A datagram that is still there goes out by itself.
        let _ = embassy_futures::poll_once(self.socket.send_to(&[0], (gateway, DISCARD)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

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
