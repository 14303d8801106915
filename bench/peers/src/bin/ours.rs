//! aldis-mqtt with its tokio driver and its defaults, but the keep-alive that all clients have.

use std::collections::HashMap;

use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{Buffers, Event, Options, Publication, QoS, Session, Slot};
use bench_peers::{Args, KEEP_ALIVE_S, ROOM, TOPIC, run, say};

fn main() {
    run(publish(Args::parse()));
}

async fn publish(args: Args) {
    let mut options = Options::new(&args.client_id);
    options.keep_alive_s = KEEP_ALIVE_S;
    let (mut receive, mut outbox) = ([0; 1024], vec![0; ROOM * 32]);
    let mut slots = vec![Slot::EMPTY; ROOM];
    let buffers = Buffers::new(&mut receive, &mut outbox, &mut slots);
    let clock = TokioClock::new();
    let seed = u64::from(std::process::id());
    let session = match Session::new(options, buffers, seed, clock.now()) {
        Ok(session) => session,
        Err(error) => return eprintln!("{error}"),
    };
    let connector = TcpConnector::new(&args.host, args.port);
    let mut link = Link::new(session, connector, clock);

    let mut numbers = HashMap::new();
    let mut next = 0_u32;
    let mut ticks = args.ticks();
    loop {
        tokio::select! {
            event = link.next() => match event {
                Event::Connected { .. } => say("connected"),
                Event::Disconnected { cause, .. } => say(format_args!("lost {cause}")),
                Event::Delivered { id, .. } => {
                    if let Some(number) = numbers.remove(&id) {
                        say(format_args!("acked {number}"));
                    }
                }
                Event::Dropped { id, reason } => {
                    if let Some(number) = numbers.remove(&id) {
                        say(format_args!("dropped {number} {reason:?}"));
                    }
                }
                _ => {}
            },
            _ = ticks.tick() => {
                next += 1;
                let payload = next.to_string();
                let publication = Publication::new(TOPIC, payload.as_bytes());
                let (session, now) = link.parts();
                match session.publish(&publication.qos(QoS::AtLeastOnce), now) {
                    Ok(published) => {
                        numbers.insert(published.id, next);
                        say(format_args!("accepted {next}"));
                    }
                    Err(error) => say(format_args!("refused {next} {error}")),
                }
            }
        }
    }
}
