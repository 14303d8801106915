//! aldis-mqtt, MQTT 5.

use aldis_mqtt::{
    Buffers, Event, Instant, Options, Publication, QoS, RetainHandling, Session, Slot,
    SubscribeOptions,
};
use bench_instructions::{BUFFER, Broker, FILTER, PAYLOAD, TOPIC, Work, obey};

struct Device<'b> {
    session: Session<'b>,
    broker: Broker,
}

fn main() {
    let work = Work::from_args();
    let (mut rx, mut tx) = ([0; BUFFER], [0; BUFFER]);
    let mut slots = [Slot::EMPTY; 12];
    let buffers = Buffers::new(&mut rx, &mut tx, &mut slots);
    let session = Session::new(Options::new("bench"), buffers, 1, now()).expect("good options");
    let mut device = Device {
        session,
        broker: Broker::new(),
    };
    device.connect();
    match work {
        Work::Publish(times) => {
            for _ in 0..times {
                let publication = Publication::new(TOPIC, &PAYLOAD).qos(QoS::AtLeastOnce);
                let published = device.session.publish(&publication, now());
                let id = published.expect("the outbox has room").id;
                device.exchange();
                let event = device.session.poll(now());
                assert!(matches!(event, Some(Event::Delivered { id: done, .. }) if done == id));
            }
        }
        Work::Receive(times) => {
            for _ in 0..times {
                device.exchange();
                match device.session.poll(now()) {
                    Some(Event::Message(message)) => {
                        obey(message.topic.as_bytes(), message.payload);
                    }
                    other => panic!("a message, not {other:?}"),
                }
            }
        }
    }
}

impl Device<'_> {
    fn connect(&mut self) {
        let options = SubscribeOptions {
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
        };
        let subscribed = self.session.subscribe(FILTER, options, None);
        subscribed.expect("the outbox has room");
        assert!(self.session.poll(now()).is_none());
        self.session.opened(now());
        self.exchange();
        let event = self.session.poll(now());
        assert!(matches!(event, Some(Event::Connected { .. })), "{event:?}");
        self.exchange();
        let event = self.session.poll(now());
        assert!(matches!(event, Some(Event::Subscribed { .. })), "{event:?}");
    }

    /// Writes all there is, then reads one packet.
    fn exchange(&mut self) {
        while let Some(bytes) = self.session.transmit(now()) {
            let length = bytes.len();
            self.broker.take(bytes);
            self.session.transmitted(length, now());
        }
        let length = self.broker.give(self.session.receive_space());
        self.session.received(length);
    }
}

/// Time stands still: reading a clock is not the client's work.
fn now() -> Instant {
    Instant::from_millis(std::hint::black_box(1))
}
