//! rust-mqtt: MQTT 5, received packets in a bump buffer.

#![no_std]
#![no_main]

use core::num::NonZero;

use bench_size::{BUFFER, Port, block_on, obey, qos, reading, reading_due};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::client::{Client, MqttError};
use rust_mqtt::config::{KeepAlive, SessionExpiryInterval};
use rust_mqtt::types::{MqttString, QoS, TopicFilter, TopicName};

type Device<'c> = Client<'static, 'c, Port, BumpBuffer<'c>, 1, 8, 8, 1, 1, 0, 0>;

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

async fn converse<'c>(client: &mut Device<'c>) -> Result<(), MqttError<'c, 1>> {
    let options = ConnectOptions::new()
        .keep_alive(KeepAlive::Seconds(const { NonZero::new(15).unwrap() }))
        .session_expiry_interval(SessionExpiryInterval::Seconds(
            const { NonZero::new(3600).unwrap() },
        ))
        .maximum_packet_size(const { NonZero::new(BUFFER as u32).unwrap() });
    let id = const { MqttString::from_str_unchecked("bench") };
    client.connect(Port, &options, Some(id)).await?;
    Ok(())
}
