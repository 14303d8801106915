//! A port of the system's choice on 127.0.0.1 that stays ours while nobody listens there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A bound socket that does not listen: connections are refused, and the system gives the port to
/// nobody else.
#[derive(Debug)]
pub struct Port {
    _bound: Socket,
    address: SocketAddr,
}

impl Port {
    /// Takes one.
    pub fn new() -> io::Result<Self> {
        let bound = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = bound.local_addr()?.as_socket();
        Ok(Self {
            _bound: bound,
            address: address.ok_or(io::ErrorKind::AddrNotAvailable)?,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.address.port()
    }

    /// Another socket of this port, which may listen.
    pub fn socket(&self) -> io::Result<Socket> {
        bind(self.address)
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Several sockets of one port, of which one listens at a time.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    /// A broker that is down refuses, and finds its port free when it comes back.
    #[test]
    fn a_port_is_kept_and_refuses_until_somebody_listens() {
        let port = Port::new().unwrap();
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.socket().unwrap();
            listener.listen(1).unwrap();
            TcpStream::connect(port.address()).unwrap();
        }
    }
}
