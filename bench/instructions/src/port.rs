//! The broker as an asynchronous stream of bytes that is always ready.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::Broker;

/// The client's end of the connection to the broker in memory.
#[derive(Debug, Default)]
pub struct Port(Broker);

impl Port {
    /// A fresh connection.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The connection was closed, which never happens here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed")
    }
}

impl std::error::Error for Closed {}

impl embedded_io_async::Error for Closed {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        embedded_io_async::ErrorKind::ConnectionReset
    }
}

impl embedded_io_async::ErrorType for Port {
    type Error = Closed;
}

impl embedded_io_async::Read for Port {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Closed> {
        Ok(self.0.give(buffer))
    }
}

impl embedded_io_async::Write for Port {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Closed> {
        self.0.take(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        Ok(())
    }
}

/// Runs a future that never has to wait.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the client waits although the broker is always ready"),
    }
}
