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
    /// On standard output.
    pub fn new() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    fn to(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, to_write) = mpsc::sync_channel::<String>(WAITING);
        let (done, written) = mpsc::channel();
        let closed = Arc::new(Notify::new());
        let closing = closed.clone();
        thread::Builder::new().name("lines".into()).spawn(move || {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to nobody: waits for ever, or fails.
    struct Nobody {
        waits: Option<Receiver<()>>,
    }

    impl Write for Nobody {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            if let Some(never) = &self.waits {
                let _ = never.recv();
            }
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A terminal that is held (Ctrl-S) stops the device.
    #[test]
    fn nobody_waits_for_a_reader() {
        let (_held, waits) = mpsc::channel();
        let lines = Lines::to(Nobody { waits: Some(waits) }).unwrap();
        for _ in 0..2 * WAITING {
            lines.write("line".into());
        }
        lines.finish();
    }

    /// A readout that nobody sees any more goes on for ever.
    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed() {
        let lines = Lines::to(Nobody { waits: None }).unwrap();
        lines.write("line".into());
        lines.closed().await;
    }
}
