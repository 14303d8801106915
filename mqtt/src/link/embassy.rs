//! embassy-net's TCP and embassy-time's clock.

use core::net::Ipv4Addr;

use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{ConnectError, State, TcpReader, TcpSocket, TcpWriter};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_time::Timer;

use super::{Clock, Connector};
use crate::{Instant, Network};

/// embassy's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassyClock;

impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }

    async fn wait_until(&mut self, deadline: Instant) {
        if deadline == Instant::NEVER {
            return core::future::pending().await;
        }
        Timer::at(embassy_time::Instant::from_millis(deadline.as_millis())).await;
    }
}

/// A broker at a host name or address, reached over an embassy-net stack.
///
/// The name is resolved at each attempt; where that fails, the address that
/// worked last is tried.
pub struct TcpConnector<'s> {
    stack: Stack<'s>,
    socket: TcpSocket<'s>,
    host: &'s str,
    port: u16,
    last_good: Option<IpAddress>,
}

impl<'s> TcpConnector<'s> {
    /// Uses these buffers for the one socket there is.
    pub fn new(
        stack: Stack<'s>,
        receive: &'s mut [u8],
        transmit: &'s mut [u8],
        host: &'s str,
        port: u16,
    ) -> Self {
        let mut socket = TcpSocket::new(stack, receive, transmit);
        // Packets are complete as they are: waiting for more only delays them.
        socket.set_nagle_enabled(false);
        Self {
            stack,
            socket,
            host,
            port,
            last_good: None,
        }
    }

    async fn address(&self) -> Result<IpAddress, Network> {
        if let Ok(address) = self.host.parse::<Ipv4Addr>() {
            return Ok(address.into());
        }
        let found = self.stack.dns_query(self.host, DnsQueryType::A).await;
        let found = found.ok().and_then(|addresses| addresses.first().copied());
        found.or(self.last_good).ok_or(Network::Dns)
    }
}

impl Connector for TcpConnector<'_> {
    type Reader<'c>
        = TcpReader<'c>
    where
        Self: 'c;
    type Writer<'c>
        = TcpWriter<'c>
    where
        Self: 'c;

    async fn open(&mut self) -> Result<(), Network> {
        // An attempt under way, from a future that was dropped.
        if matches!(self.socket.state(), State::SynSent | State::SynReceived) {
            self.socket.wait_write_ready().await;
        }
        if self.socket.state() == State::Established {
            return Ok(());
        }
        if !self.stack.is_link_up() || !self.stack.is_config_up() {
            return Err(Network::Down);
        }
        let address = self.address().await?;
        // What is left of an earlier connection; without a listener nothing waits for it.
        self.socket.abort();
        let _ = self.socket.flush().await;
        let connected = self
            .socket
            .connect(IpEndpoint::new(address, self.port))
            .await;
        connected.map_err(|error| match error {
            ConnectError::ConnectionReset => Network::ConnectionRefused,
            ConnectError::TimedOut => Network::TimedOut,
            ConnectError::NoRoute | ConnectError::InvalidState => Network::Unreachable,
        })?;
        self.last_good = Some(address);
        Ok(())
    }

    fn split(&mut self) -> Option<(TcpReader<'_>, TcpWriter<'_>)> {
        Some(self.socket.split())
    }

    fn close(&mut self) {
        match self.socket.state() {
            // What was written, DISCONNECT perhaps, goes out before FIN.
            State::Established | State::CloseWait => self.socket.close(),
            _ => self.socket.abort(),
        }
    }
}
