//! minimq, MQTT 5.

use bench_instructions::{BUFFER, Closed, FILTER, PAYLOAD, Port, TOPIC, Work, block_on, obey};
use minimq::{Buffers, ConfigBuilder, PubError, Publication, QoS, Session, TopicFilter};

fn main() {
    let work = Work::from_args();
    let (mut rx, mut tx) = ([0; BUFFER], [0; BUFFER]);
    let config = ConfigBuilder::new(Buffers::new(&mut rx, &mut tx))
        .client_id("bench")
        .expect("a short id");
    let mut session = Session::new(config);
    block_on(converse(&mut session, work)).expect("the conversation goes well");
}

async fn converse(session: &mut Session<'_>, work: Work) -> Result<(), PubError<(), Closed>> {
    let mut connection = session.connect(Port::new()).await?;
    let subscription = connection
        .subscribe(&[TopicFilter::new(FILTER)], &[])
        .await?;
    while connection.is_pending(&subscription) {
        connection.poll().await?;
    }
    match work {
        Work::Publish(times) => {
            for _ in 0..times {
                let publication = Publication::bytes(TOPIC, &PAYLOAD).qos(QoS::AtLeastOnce);
                let publication = connection.publish(publication).await?;
                while publication.is_some_and(|op| connection.is_pending(&op)) {
                    connection.poll().await?;
                }
            }
        }
        Work::Receive(times) => {
            for _ in 0..times {
                let message = connection.recv().await?;
                obey(message.topic().as_bytes(), message.payload());
            }
        }
    }
    Ok(())
}

/// Time stands still: reading a clock is not the client's work.
struct Clock;

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        std::hint::black_box(1)
    }

    fn schedule_wake(&self, _at: u64, _waker: &std::task::Waker) {}
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);
