//! minimq: MQTT 5, no heap.

#![no_std]
#![no_main]

use bench_size::{BUFFER, Closed, Port, block_on, now_ms, obey, qos, reading, reading_due};
use minimq::{
    Buffers, ConfigBuilder, PubError, Publication, QoS, Session, SubscriptionOptions, TopicFilter,
};

bench_size::state!(
    client: size_of::<Session<'static>>(),
    future: bench_size::returned_size(&converse),
);
bench_size::entry!(run);

fn run() {
    let (mut rx, mut tx) = ([0; BUFFER], [0; BUFFER]);
    let config = ConfigBuilder::new(Buffers::new(&mut rx, &mut tx))
        .keepalive_interval(15)
        .session_expiry_interval(3600);
    let Ok(config) = config.client_id("bench") else {
        return;
    };
    let mut session = Session::new(config);
    loop {
        // A lost connection is made anew.
        let _ = block_on(converse(&mut session));
    }
}

async fn converse(session: &mut Session<'_>) -> Result<(), PubError<(), Closed>> {
    let mut connection = session.connect(Port).await?;
    let options = SubscriptionOptions::default().maximum_qos(chosen_qos());
    let filter = TopicFilter::new("output").options(options);
    connection.subscribe(&[filter], &[]).await?;
    loop {
        if reading_due() {
            let payload = reading();
            let publication = Publication::bytes("testincr", &payload).qos(chosen_qos());
            connection.publish(publication).await?;
        }
        if let Some(message) = connection.poll().await? {
            obey(message.topic().as_bytes(), message.payload());
        }
    }
}

fn chosen_qos() -> QoS {
    match qos() {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

struct Clock;

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        now_ms().into()
    }

    fn schedule_wake(&self, _at: u64, _waker: &core::task::Waker) {
        // `block_on` asks again and again anyway.
    }
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);
