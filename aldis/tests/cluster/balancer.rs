//! One address for several nodes, as a load balancer gives.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Brings each connection to the next node that takes it, for as long as the test process lives.
pub struct Balancer {
    pub port: u16,
}

impl Balancer {
    pub fn start(nodes: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let turn = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (nodes, turn) = (nodes.clone(), turn.clone());
                thread::spawn(move || {
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    let mut order = nodes.iter().cycle().skip(first % nodes.len());
                    let node = order.by_ref().take(nodes.len()).find_map(|node| {
                        TcpStream::connect_timeout(node, Duration::from_secs(1)).ok()
                    });
                    if let Some(node) = node {
                        join(client, node);
                    }
                });
            }
        });
        Self { port }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

/// Copies both ways until one side ends.
fn join(client: TcpStream, node: TcpStream) {
    let (Ok(client_too), Ok(node_too)) = (client.try_clone(), node.try_clone()) else {
        return;
    };
    let back = thread::spawn(move || copy(node_too, client_too));
    copy(client, node);
    let _ = back.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 8192];
    let _: io::Result<()> = (|| {
        loop {
            let length = from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            to.write_all(buffer.get(..length).unwrap_or_default())?;
        }
    })();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
