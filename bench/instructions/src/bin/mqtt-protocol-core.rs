//! mqtt-protocol-core, MQTT 5.

use bench_instructions::{BUFFER, Broker, FILTER, PAYLOAD, TOPIC, Work, obey};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Connection, Event};
use mqtt_protocol_core::mqtt::packet::v5_0::{Connect, Publish, Subscribe};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, SubEntry, SubOpts};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{Version, role};

struct Device {
    client: Connection<role::Client>,
    broker: Broker,
    rx: [u8; BUFFER],
}

fn main() {
    let work = Work::from_args();
    let mut client = Connection::new(Version::V5_0);
    client.set_auto_pub_response(true);
    let device = Device {
        client,
        broker: Broker::new(),
        rx: [0; BUFFER],
    };
    converse(device, work).expect("the conversation goes well");
}

fn converse(mut device: Device, work: Work) -> Result<(), MqttError> {
    let events = device
        .client
        .checked_send(Connect::builder().client_id("bench")?.build()?);
    device.act(events);
    device.process();
    let subscribe = Subscribe::builder()
        .packet_id(device.client.acquire_packet_id()?)
        .entries(vec![SubEntry::new(FILTER, SubOpts::new())?])
        .build()?;
    let events = device.client.checked_send(subscribe);
    device.act(events);
    device.process();
    match work {
        Work::Publish(times) => {
            for _ in 0..times {
                let publish = Publish::builder()
                    .topic_name(TOPIC)?
                    .qos(Qos::AtLeastOnce)
                    .packet_id(device.client.acquire_packet_id()?)
                    .payload(&PAYLOAD[..])
                    .build()?;
                let events = device.client.checked_send(publish);
                device.act(events);
                assert!(device.process(), "the publication is acknowledged");
            }
        }
        Work::Receive(times) => {
            for _ in 0..times {
                device.process();
            }
        }
    }
    Ok(())
}

impl Device {
    fn process(&mut self) -> bool {
        let length = self.broker.give(&mut self.rx);
        let events = self.client.recv(&mut Cursor::new(&self.rx[..length]));
        self.act(events)
    }

    /// Whether a packet id became free, which is how an acknowledgement shows.
    fn act(&mut self, events: Vec<Event>) -> bool {
        let mut released = false;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.broker.take(&packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(Packet::V5_0Publish(message)) => {
                    obey(
                        message.topic_name().as_bytes(),
                        message.payload().as_slice(),
                    );
                }
                Event::NotifyPacketIdReleased(_) => released = true,
                Event::NotifyError(error) => panic!("{error:?}"),
                _ => {}
            }
        }
        released
    }
}
