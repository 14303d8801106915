//! Lines on standard output, written aside: a terminal that is held, or a reader that does not
//! read, keeps nobody waiting.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// Lines that may wait to be written; more are left out.
const WAITING: usize = 1_024;
/// How long the end waits for lines that are not yet written.
const LAST_LINES: Duration = Duration::from_millis(200);

/// Writes lines to standard output.
pub struct Lines {
    lines: SyncSender<String>,
    written: Receiver<()>,
    closed: Arc<Notify>,
}

impl Lines {
    /// Begins with nothing to write.
    pub fn new() -> io::Result<Self> {
        let (lines, to_write) = mpsc::sync_channel::<String>(WAITING);
        let (done, written) = mpsc::channel();
        let closed = Arc::new(Notify::new());
        let closing = closed.clone();
        thread::Builder::new().name("lines".into()).spawn(move || {
            let mut out = io::stdout();
            for mut line in to_write {
                line.push('\n');
                let result = out.write_all(line.as_bytes()).and_then(|()| out.flush());
                if result.is_err() {
                    closing.notify_one();
                    return;
                }
            }
            let _ = done.send(());
        })?;
        Ok(Self {
            lines,
            written,
            closed,
        })
    }

    /// Writes a line, unless nobody reads.
    pub fn write(&self, line: String) {
        let _ = self.lines.try_send(line);
    }

    /// Waits until nothing can be written any more.
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let closed = self.closed.clone();
        async move { closed.notified().await }
    }

    /// Gives the last lines a moment.
    pub fn finish(self) {
        drop(self.lines);
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}
