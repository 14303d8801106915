//! What all programs have in common: their arguments, and the lines that they print.
//!
//! ```text
//! peer-NAME HOST PORT CLIENT_ID INTERVAL_MS SECONDS
//! ```
//!
//! publishes a number at QoS 1 on the topic [`TOPIC`] at each interval, for so many seconds, and
//! prints lines that begin with the seconds since its start, on a monotonic clock:
//!
//! ```text
//! 0.000 ready                 first of all, with the client's version if the program knows it
//! 0.204 connected             the broker accepted the connection
//! 0.401 accepted 1            the client took the publication
//! 0.401 refused 2 REASON      it did not
//! 0.403 acked 1               it said that the broker has it
//! 9.100 dropped 3 REASON      it said that it will not be delivered
//! 9.100 lost REASON           the connection ended, or an attempt failed
//! ```

use std::env;
use std::fmt::Display;
use std::process::exit;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::time::Interval;

/// Where the numbers are published: short, so that a slow line can carry it.
pub const TOPIC: &str = "n";

/// What the measurement asks of every client.
pub const KEEP_ALIVE_S: u16 = 10;

/// How long a client without a reconnection of its own waits between attempts, as most programs
/// written for one do.
pub const RETRY: Duration = Duration::from_secs(1);

/// How many publications a client may keep that have not been delivered.
pub const ROOM: usize = 4096;

static START: OnceLock<Instant> = OnceLock::new();

/// What the program was called with.
pub struct Args {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub interval: Duration,
    pub lasting: Duration,
}

impl Args {
    /// Reads them, and starts the clock.
    pub fn parse() -> Self {
        let start = *START.get_or_init(Instant::now);
        let given: Vec<_> = env::args().skip(1).collect();
        let [host, port, client_id, interval, lasting] = given.as_slice() else {
            usage();
        };
        let number = |text: &str| text.parse().unwrap_or_else(|_| usage());
        let args = Self {
            host: host.clone(),
            port: port.parse().unwrap_or_else(|_| usage()),
            client_id: client_id.clone(),
            interval: Duration::from_millis(number(interval)),
            lasting: Duration::from_secs(number(lasting)),
        };
        // Whoever started this program may be gone.
        let end = start + args.lasting;
        std::thread::spawn(move || {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            exit(0);
        });
        say("ready");
        args
    }

    /// Ticks at each interval. What was missed is made up for.
    pub fn ticks(&self) -> Interval {
        tokio::time::interval(self.interval)
    }
}

fn usage() -> ! {
    eprintln!("usage: PROGRAM HOST PORT CLIENT_ID INTERVAL_MS SECONDS");
    exit(2);
}

/// Prints one line.
pub fn say(what: impl Display) {
    let at = START
        .get()
        .map_or(0.0, |start| start.elapsed().as_secs_f64());
    println!("{at:.6} {what}");
}

/// Runs the program on one thread.
pub fn run(program: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => {
            eprintln!("no runtime: {error}");
            exit(1);
        }
    }
}
