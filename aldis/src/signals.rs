//! Being asked to end: Ctrl-C, and on Unix SIGTERM and SIGHUP as well.

use std::io;

/// The signals that end a program in an orderly way.
pub struct EndSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// The terminal vanished. Nothing where that is to be survived (`nohup`).
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl EndSignals {
    /// Takes note of signals from now on.
    pub fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup = match is_hangup_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            };
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for one of them.
    #[cfg(unix)]
    pub async fn wait(mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }

    /// Waits for one of them.
    #[cfg(not(unix))]
    pub async fn wait(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until this program is asked to end; for ever where that cannot be heard.
pub async fn interrupted() {
    match EndSignals::listen() {
        Ok(signals) => signals.wait().await,
        Err(_) => std::future::pending().await,
    }
}

/// Whether the program was started so that it outlives its terminal, as far as the system tells.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| ignores_hangup(&status))
        .unwrap_or(false)
}

/// Reads the set of ignored signals, whose lowest bit is signal 1, SIGHUP.
#[cfg(unix)]
fn ignores_hangup(status: &str) -> Option<bool> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let set = u64::from_str_radix(set.trim(), 16).ok()?;
    Some(set & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::ignores_hangup;

    /// `nohup aldis hub` would end with its terminal.
    #[test]
    fn ignored_signals_are_read() {
        let status =
            |set: &str| format!("Name:\taldis\nSigBlk:\t0000000000000001\nSigIgn:\t{set}\n");
        assert_eq!(ignores_hangup(&status("0000000000001001")), Some(true));
        assert_eq!(ignores_hangup(&status("0000000000001000")), Some(false));
        assert_eq!(ignores_hangup("Name:\taldis\n"), None);
    }
}
