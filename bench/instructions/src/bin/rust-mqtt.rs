//! rust-mqtt, MQTT 5.

use std::num::NonZero;

use bench_instructions::{BUFFER, FILTER, PAYLOAD, Port, TOPIC, Work, block_on, obey};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::client::{Client, MqttError};
use rust_mqtt::types::{MqttString, QoS, TopicFilter, TopicName};

/// As in the size measurement.
type Device<'c> = Client<'static, 'c, Port, BumpBuffer<'c>, 1, 4, 4, 0, 0, 0, 0>;

fn main() {
    let work = Work::from_args();
    let mut rx = [0; BUFFER];
    let mut buffer = BumpBuffer::new(&mut rx);
    let mut client = Device::new(&mut buffer);
    block_on(converse(&mut client, work)).expect("the conversation goes well");
}

async fn converse<'c>(client: &mut Device<'c>, work: Work) -> Result<(), MqttError<'c, 0>> {
    let packet = NonZero::new(BUFFER as u32).expect("some bytes");
    let options = ConnectOptions::new().maximum_packet_size(packet);
    let id = MqttString::from_str_unchecked("bench");
    client.connect(Port::new(), &options, Some(id)).await?;
    let filter = TopicFilter::new(MqttString::from_str_unchecked(FILTER)).expect("a filter");
    client
        .subscribe(filter, &SubscriptionOptions::new())
        .await?;
    client.poll().await?;
    recycle(client);
    match work {
        Work::Publish(times) => {
            for _ in 0..times {
                let topic = TopicName::new(MqttString::from_str_unchecked(TOPIC)).expect("a topic");
                let options =
                    PublicationOptions::new(TopicReference::Name(topic)).qos(QoS::AtLeastOnce);
                client.publish(&options, Bytes::from(&PAYLOAD[..])).await?;
                while !matches!(client.poll().await?, Event::PublishAcknowledged(_)) {}
                recycle(client);
            }
        }
        Work::Receive(times) => {
            for _ in 0..times {
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
    }
    Ok(())
}

fn recycle(client: &mut Device<'_>) {
    // SAFETY: called where nothing that the client returned is alive any more.
    unsafe { client.buffer_mut().reset() };
}
