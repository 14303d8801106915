//! Ports for programs that have to be told theirs.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// A port that was free a moment ago, and was not given before: the system may give one again as
/// soon as it is free, and what was told it first does not listen yet.
///
/// # Panics
/// If no port is free.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // What is given twice is held until there is another.
    let mut held = Vec::new();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        if given.insert(port) {
            return port;
        }
        held.push(listener);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes of a cluster with the same port: none of them starts.
    #[test]
    fn no_port_is_given_twice() {
        let ports: BTreeSet<_> = (0..2_000).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 2_000);
    }
}
