//! minimq, MQTT 5, in the loop of its README, with a second between attempts. Like that loop it
//! sets no bounds of its own. While there is no connection it takes no publications.

use std::sync::OnceLock;
use std::task::Waker;
use std::time::{Duration, Instant};

use bench_peers::{Args, KEEP_ALIVE_S, RETRY, TOPIC, run, say};
use embedded_io_adapters::tokio_1::FromTokio;
use minimq::{Buffers, ConfigBuilder, Publication, QoS, Session};
use tokio::net::TcpStream;
use tokio::time::Interval;

/// What was published and is not acknowledged.
type UnderWay = Vec<(minimq::Op, u32)>;

fn main() {
    run(publish(Args::parse()));
}

async fn publish(args: Args) {
    let (mut rx, mut tx) = ([0; 1024], [0; 16 * 1024]);
    let config = ConfigBuilder::new(Buffers::new(&mut rx, &mut tx))
        .keepalive_interval(KEEP_ALIVE_S)
        .session_expiry_interval(3600);
    let Ok(config) = config.client_id(&args.client_id) else {
        return eprintln!("minimq does not take the client id {}", args.client_id);
    };
    let mut session = Session::new(config);
    let mut under_way = UnderWay::new();
    let mut ticks = args.ticks();
    let mut next = 0;
    loop {
        let ended = {
            let conversation = converse(&args, &mut session, &mut under_way, &mut ticks, &mut next);
            conversation.await
        };
        say(format_args!("lost {ended}"));
        let retry = tokio::time::sleep(RETRY);
        tokio::pin!(retry);
        loop {
            tokio::select! {
                () = &mut retry => break,
                _ = ticks.tick() => refuse(&mut next),
            }
        }
    }
}

fn refuse(next: &mut u32) {
    *next += 1;
    say(format_args!("refused {next} there is no connection"));
}

/// One connection; says how it ended.
async fn converse(
    args: &Args,
    session: &mut Session<'_>,
    under_way: &mut UnderWay,
    ticks: &mut Interval,
    next: &mut u32,
) -> String {
    let mut connection = {
        let connect = async {
            let address = (args.host.as_str(), args.port);
            let stream = TcpStream::connect(address)
                .await
                .map_err(|e| e.to_string())?;
            // As its tests do.
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            let connected = session.connect(FromTokio::new(stream)).await;
            connected.map_err(|e| e.to_string())
        };
        tokio::pin!(connect);
        loop {
            tokio::select! {
                connected = &mut connect => match connected {
                    Ok(connection) => break connection,
                    Err(error) => return error,
                },
                _ = ticks.tick() => refuse(next),
            }
        }
    };
    say("connected");
    loop {
        let outcome = tokio::select! {
            progress = connection.poll() => progress.map(drop),
            _ = ticks.tick() => {
                *next += 1;
                let payload = next.to_string();
                let publication = Publication::bytes(TOPIC, payload.as_bytes());
                match connection.publish(publication.qos(QoS::AtLeastOnce)).await {
                    Ok(op) => {
                        say(format_args!("accepted {next}"));
                        under_way.extend(op.map(|op| (op, *next)));
                    }
                    Err(error) => say(format_args!("refused {next} {error}")),
                }
                Ok(())
            }
        };
        under_way.retain(|(op, number)| {
            if connection.is_complete(op) {
                say(format_args!("acked {number}"));
            } else if connection.is_invalidated(op) {
                say(format_args!("dropped {number} the session was discarded"));
            }
            connection.is_pending(op)
        });
        if let Err(error) = outcome {
            return error.to_string();
        }
        if !connection.is_connected() {
            return String::from("disconnected");
        }
    }
}

/// embassy's time on tokio's timers. Its own driver for PCs has room for a few timers, fills up
/// under a runtime that gives out many wakers, and takes a whole processor then.
struct Clock;

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        since_start().as_millis() as u64
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        let waker = waker.clone();
        let wait = Duration::from_millis(at).saturating_sub(since_start());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            waker.wake();
        });
    }
}

fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);
