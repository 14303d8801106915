//! rumqttc with its event loop, MQTT 3.1.1, and a session that the broker keeps.
//!
//! It reconnects "by just continuing the loop"; with a broker that refuses, that alone would be
//! thousands of attempts a second, so there is a second between them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bench_peers::{Args, KEEP_ALIVE_S, RETRY, ROOM, TOPIC, run, say};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, Request};

fn main() {
    run(publish(Args::parse()));
}

/// Which number a packet id stands for; rumqttc tells packet ids alone.
#[derive(Default)]
struct Numbers {
    /// Accepted, not sent.
    waiting: RefCell<VecDeque<u32>>,
}

async fn publish(args: Args) {
    let mut options = MqttOptions::new(&args.client_id, &args.host, args.port);
    options.set_keep_alive(Duration::from_secs(KEEP_ALIVE_S.into()));
    options.set_clean_session(false);
    let (client, events) = AsyncClient::new(options, ROOM);
    let numbers = Rc::new(Numbers::default());
    let local = tokio::task::LocalSet::new();
    local.spawn_local(follow(events, numbers.clone()));
    local.run_until(accept(args, client, numbers)).await;
}

async fn accept(args: Args, client: AsyncClient, numbers: Rc<Numbers>) {
    let mut ticks = args.ticks();
    for next in 1_u32.. {
        ticks.tick().await;
        // Before it may be sent.
        numbers.waiting.borrow_mut().push_back(next);
        let payload = next.to_string();
        match client
            .publish(TOPIC, QoS::AtLeastOnce, false, payload)
            .await
        {
            Ok(()) => say(format_args!("accepted {next}")),
            Err(error) => {
                numbers.waiting.borrow_mut().pop_back();
                say(format_args!("refused {next} {error}"));
            }
        }
    }
}

async fn follow(mut events: EventLoop, numbers: Rc<Numbers>) {
    let mut sent = HashMap::new();
    let mut kept = HashSet::new();
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(accepted))) => {
                say("connected");
                if !accepted.session_present {
                    // The event loop forgets what it kept.
                    sent.clear();
                    let mut waiting = numbers.waiting.borrow_mut();
                    waiting.retain(|number| !kept.contains(number));
                }
                kept.clear();
            }
            Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                // Unless it is sent again.
                if !sent.contains_key(&id)
                    && let Some(number) = numbers.waiting.borrow_mut().pop_front()
                {
                    sent.insert(id, number);
                }
            }
            Ok(Event::Incoming(Packet::PubAck(acknowledged))) => {
                if let Some(number) = sent.remove(&acknowledged.pkid) {
                    say(format_args!("acked {number}"));
                }
            }
            Ok(_) => {}
            Err(error) => {
                say(format_args!("lost {error}"));
                kept = events.pending.iter().filter_map(number).collect();
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn number(request: &Request) -> Option<u32> {
    match request {
        Request::Publish(publish) => std::str::from_utf8(&publish.payload).ok()?.parse().ok(),
        _ => None,
    }
}
