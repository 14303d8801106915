//! rust-mqtt: MQTT 5, received packets in a bump buffer.

#![no_std]
#![no_main]

use core::num::NonZero;

use bench_size::{
    BUFFER, Port, block_on, fired_timer, obey, qos, reading, reading_due, start_timer,
};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::client::{Client, MqttError};
use rust_mqtt::config::{KeepAlive, SessionExpiryInterval};
use rust_mqtt::types::{MqttString, QoS, TopicFilter, TopicName};

/// The smallest client of use: one subscription under way, four publications in flight each way,
/// no user properties, no subscription identifiers, no topic aliases.
type Device<'c> = Client<'static, 'c, Port, BumpBuffer<'c>, 1, 4, 4, 0, 0, 0, 0>;

const KEEP_ALIVE: NonZero<u16> = NonZero::new(15).unwrap();
const SESSION_EXPIRY: NonZero<u32> = NonZero::new(3600).unwrap();
const KEEP_ALIVE_TIMER: u32 = 0;
const PACKET: NonZero<u32> = NonZero::new(BUFFER as u32).unwrap();

bench_size::state!(
    client: size_of::<Device<'static>>() + size_of::<BumpBuffer<'static>>(),
    future: bench_size::returned_size(&converse),
);
bench_size::entry!(run);

fn run() {
    let mut rx = [0; BUFFER];
    let mut buffer = BumpBuffer::new(&mut rx);
    let mut client = Device::new(&mut buffer);
    loop {
        // A lost connection is made anew.
        let _ = block_on(converse(&mut client));
    }
}

struct Failure;

impl<const N: usize> From<MqttError<'_, N>> for Failure {
    fn from(_: MqttError<'_, N>) -> Self {
        Self
    }
}

async fn converse(client: &mut Device<'_>) -> Result<(), Failure> {
    let options = ConnectOptions::new()
        .keep_alive(KeepAlive::Seconds(KEEP_ALIVE))
        .session_expiry_interval(SessionExpiryInterval::Seconds(SESSION_EXPIRY))
        .maximum_packet_size(PACKET);
    let id = const { MqttString::from_str_unchecked("bench") };
    client.connect(Port, &options, Some(id)).await?;
    recycle(client);

    let options = SubscriptionOptions::new().qos(chosen_qos());
    let filter = MqttString::from_str_unchecked("output");
    if let Some(filter) = TopicFilter::new(filter) {
        client.subscribe(filter, &options).await?;
    }
    loop {
        // This client leaves the keep-alive to the application.
        if fired_timer() == Some(KEEP_ALIVE_TIMER) {
            client.ping().await?;
            start_timer(KEEP_ALIVE_TIMER, 15_000);
        }
        if reading_due() {
            let payload = reading();
            let topic = MqttString::from_str_unchecked("testincr");
            if let Some(topic) = TopicName::new(topic) {
                let options =
                    PublicationOptions::new(TopicReference::Name(topic)).qos(chosen_qos());
                client.publish(&options, Bytes::from(&payload[..])).await?;
            }
        }
        if let Event::Publish(message) = client.poll().await?
            && let TopicReference::Name(topic) = &message.topic
        {
            obey(
                topic.as_ref().as_str().as_bytes(),
                message.message.as_bytes(),
            );
        }
        recycle(client);
    }
}

fn recycle(client: &mut Device<'_>) {
    // SAFETY: called where nothing that the client returned is alive any more.
    unsafe { client.buffer_mut().reset() };
}

fn chosen_qos() -> QoS {
    match qos() {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
