//! aldis-mqtt: sans-io, MQTT 3.1.1 and 5, no heap.
//!
//! Which version, which quality of service and which policy of the outbox are used is only known
//! when the program runs, so that all of them are in it.

#![no_std]
#![no_main]

use aldis_mqtt::{
    Buffers, Event, Instant, Network, Options, Publication, QoS, RetainHandling, Session, Slot,
    SubscribeOptions, Transport, Version, Versions,
};
use bench_size::{BUFFER, choice, now_ms, obey, qos, reading, reading_due, receive, transmit};

/// How many publications and subscriptions there can be at a time.
const SLOTS: usize = 12;

bench_size::state!(client: size_of::<Session<'static>>() + size_of::<[Slot; SLOTS]>(), future: 0);
bench_size::entry!(run);

fn run() {
    let (mut rx, mut tx) = ([0; BUFFER], [0; BUFFER]);
    let mut slots = [Slot::EMPTY; SLOTS];
    let mut options = Options::new("bench");
    if choice() {
        let version = if choice() { Version::V4 } else { Version::V5 };
        options.versions = Versions::Only(version);
    }
    let buffers = Buffers::new(&mut rx, &mut tx, &mut slots);
    let Ok(mut session) = Session::new(options, buffers, now_ms().into(), now()) else {
        return;
    };
    let subscription = SubscribeOptions {
        qos: chosen_qos(),
        no_local: choice(),
        retain_as_published: choice(),
        retain_handling: RetainHandling::Always,
    };
    if session.subscribe("output", subscription, None).is_err() {
        return;
    }
    let mut connection = None;
    loop {
        let wanted = match session.transport() {
            Transport::Open(number) => Some(number),
            Transport::Closed => None,
        };
        if wanted != connection {
            connection = wanted;
            session.opened(now());
        }
        if reading_due() {
            publish(&mut session);
        }
        if connection.is_some() && exchange(&mut session).is_none() {
            session.failed(Network::Closed, now());
        }
        while let Some(event) = session.poll(now()) {
            if let Event::Message(message) = event {
                obey(message.topic.as_bytes(), message.payload);
                if let Some(token) = message.token {
                    session.acknowledge(token);
                }
            }
        }
    }
}

fn publish(session: &mut Session<'_>) {
    let payload = reading();
    let mut publication = Publication::new("testincr", &payload).qos(chosen_qos());
    if choice() {
        publication = publication.latest();
    }
    if choice() {
        publication = publication.expires(60);
    }
    // A reading for which there is no room is given up.
    let _ = session.publish(&publication, now());
}

/// Writes and reads what can be written and read now; `None` when the connection is closed.
fn exchange(session: &mut Session<'_>) -> Option<()> {
    while let Some(bytes) = session.transmit(now()) {
        let sent = transmit(bytes)?;
        if sent == 0 {
            break;
        }
        session.transmitted(sent, now());
    }
    let received = receive(session.receive_space())?;
    session.received(received);
    Some(())
}

fn now() -> Instant {
    Instant::from_millis(now_ms().into())
}

fn chosen_qos() -> QoS {
    match qos() {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
