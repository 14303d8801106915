//! What the program tells about its inner life, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The target of good news for whoever read of the trouble: it is let through with warnings.
pub const TOLD: &str = aldis_recorder::TOLD;

/// Lets warnings through, and more with every `-v`; `ALDIS_LOG` says it in detail.
pub fn start(verbosity: u8) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    start_in(verbosity, colour, io::stderr);
}

/// The same, written elsewhere.
pub fn start_in<W>(verbosity: u8, colour: bool, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let usual = match verbosity {
        // The broker reports every refused connection; the hub says why in plain words.
        // The store says in its own words what is wrong with it; of a handshake that fails whoever
        // wanted it is told. Of nodes of a cluster that do not answer, too.
        0 => {
            "warn,aldis::told=info,sqlx=off,rustls=off,task_exec_queue=error,handy_grpc=error,rmqtt_raft=error,rmqtt_cluster_raft=error"
        }
        1 => "info,rmqtt=warn,rmqtt_net=warn,rmqtt_cluster_raft=warn,rmqtt_raft=warn",
        2 => "debug,rmqtt=info,rmqtt_net=info",
        _ => "trace",
    };
    let filter = std::env::var("ALDIS_LOG")
        .ok()
        .and_then(|wanted| EnvFilter::try_new(wanted).ok())
        .unwrap_or_else(|| EnvFilter::new(usual));
    // Fails only when somebody has started it before, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colour)
        // That would be told on standard error, and end the program if that is gone.
        .log_internal_errors(false)
        .try_init();
}
