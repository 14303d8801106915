//! Accepts connections, refuses them, or lets nobody know that it is there.
//!
//! A system does not answer a SYN for which its queue has no room: who sent it sends it again
//! after 1, 3, 7 s and so on, exactly as on a path that drops everything. So the acceptor fills
//! its own queue.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;

use crate::peers::port::Port;

/// How many connections may wait to be accepted.
const QUEUE: i32 = 128;

/// How long a connection is waited for that should not come about.
const FULL: Duration = Duration::from_millis(100);

/// How long the thread may take to see that it is to be silent.
const PARKING: Duration = Duration::from_secs(5);

/// More connections than a queue made short can take.
const FILLERS: usize = 64;

/// Ends when dropped.
pub struct Acceptor {
    listener: Arc<Socket>,
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    silent: bool,
    /// The thread waits for the end of the silence, with one connection in its hand.
    parked: bool,
    ended: bool,
    /// Our own connections, which only take room.
    fillers: Vec<TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acceptor {
    /// Gives each connection that comes to this port to `accept`.
    pub fn start(port: &Port, accept: impl Fn(TcpStream) + Send + 'static) -> io::Result<Self> {
        let listener = Arc::new(port.socket()?);
        listener.listen(QUEUE)?;
        let shared = Arc::new(Shared::default());
        let thread = {
            let (listener, shared) = (listener.clone(), shared.clone());
            thread::spawn(move || run(&listener, &shared, accept))
        };
        Ok(Self {
            listener,
            address: port.address(),
            shared,
            thread: Some(thread),
        })
    }

    /// Answers nobody any more.
    pub fn fall_silent(&self) -> io::Result<()> {
        self.shared.state().silent = true;
        self.listener.listen(1)?;
        // One for the thread, which would make room otherwise.
        self.fill()?;
        let mut state = self.shared.state();
        while !state.parked {
            let waited = self.shared.changed.wait_timeout(state, PARKING);
            let (waited, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return Err(io::Error::other("it goes on accepting"));
            }
            state = waited;
        }
        drop(state);
        for _ in 0..FILLERS {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("its queue does not become full"))
    }

    fn fill(&self) -> io::Result<()> {
        let filler = TcpStream::connect_timeout(&self.address, FULL)?;
        self.shared.state().fillers.push(filler);
        Ok(())
    }

    /// Answers again.
    pub fn answer(&self) -> io::Result<()> {
        self.shared.state().silent = false;
        self.shared.changed.notify_all();
        self.listener.listen(QUEUE)
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        // Wakes the thread, which accepts nothing more; it fails only where it has ended.
        let _ = self.listener.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(listener: &Socket, shared: &Shared, accept: impl Fn(TcpStream)) {
    loop {
        let accepted = listener.accept();
        let mut state = shared.state();
        while state.silent && !state.ended {
            state.parked = true;
            shared.changed.notify_all();
            let waited = shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.parked = false;
        if state.ended {
            return;
        }
        let Ok((socket, peer)) = accepted else {
            continue;
        };
        let filler = |filler: &TcpStream| filler.local_addr().ok() == peer.as_socket();
        if !state.fillers.iter().any(filler) {
            drop(state);
            accept(socket.into());
        }
    }
}
