//! Being asked to end: Ctrl-C, and SIGTERM where there is one.

use tokio::signal;

/// Waits until this program is asked to end.
pub async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
        tokio::select! {
            // An error: it cannot be listened to, and Ctrl-C ends at once.
            Ok(()) = signal::ctrl_c() => {}
            Some(()) = terminate.recv() => {}
            else => std::future::pending().await,
        }
        return;
    }
    if signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
