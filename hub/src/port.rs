//! Ports: taking a free one, and finding out who has one that is not free.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A program that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The program's name.
    pub program: String,
    /// Its process number.
    pub pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

/// A free port, held until a listener has taken it over.
///
/// rmqtt binds its listeners itself and does not tell which port the system chose
/// for port 0. So the port is chosen here, by a socket that never listens, and the
/// listener binds the same one beside it: nobody else can get in between.
#[derive(Debug)]
pub struct Reserved {
    _socket: Socket,
    /// The address with the port that the system chose.
    pub addr: SocketAddr,
}

/// Reserves a free port on the address, whose port is 0.
pub fn reserve(addr: SocketAddr) -> io::Result<Reserved> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    #[cfg(windows)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    let addr = socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("the system gave no port"))?;
    Ok(Reserved {
        _socket: socket,
        addr,
    })
}

/// The program that listens on the port, as far as the system tells.
///
/// Only Linux tells, and only of programs that this user may look at.
pub fn holder(port: u16) -> Option<Holder> {
    let inodes = listening_inodes(port);
    if inodes.is_empty() {
        return None;
    }
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let listens = files.flatten().any(|file| {
            std::fs::read_link(file.path()).is_ok_and(|target| {
                target
                    .to_str()
                    .and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']'))
                    .is_some_and(|inode| inodes.iter().any(|known| known == inode))
            })
        });
        if listens {
            let program = std::fs::read_to_string(process.path().join("comm")).ok()?;
            let program = program.trim_end().to_owned();
            return Some(Holder { program, pid });
        }
    }
    None
}

/// The inodes of the sockets that listen on the port.
fn listening_inodes(port: u16) -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| listening_inode(line, port))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The inode in a line of the table, if it is of a socket that listens on the port.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let (_, local_port) = local.rsplit_once(':')?;
    let matches = u16::from_str_radix(local_port, 16).ok()? == port && state == LISTEN;
    matches.then(|| inode.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{holder, listening_inode, reserve};

    /// A wrong column would name an innocent program or none.
    #[test]
    fn a_line_of_the_table_is_read_by_column() {
        let line = "   1: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 31337 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_inode(line, 1883).as_deref(), Some("31337"));
        assert_eq!(listening_inode(line, 1884), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 1883), None);
        assert_eq!(listening_inode("", 1883), None);
        assert_eq!(listening_inode("0: x y", 1883), None);
    }

    /// The error for a taken port would not name the program.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = holder(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.program.is_empty());
    }

    /// Two hubs that both asked for a free port would share one.
    #[test]
    fn reserved_ports_differ() {
        let any = "127.0.0.1:0".parse().unwrap();
        let (one, other) = (reserve(any).unwrap(), reserve(any).unwrap());
        assert_ne!(one.addr.port(), 0);
        assert_ne!(one.addr, other.addr);
    }
}
