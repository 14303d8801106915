//! rumqttc's state and codec, MQTT 3.1.1, without its channels and its runtime.

use bench_instructions::{BUFFER, Broker, FILTER, PAYLOAD, TOPIC, Work, obey};
use bytes::BytesMut;
use rumqttc::{
    Codec, Connect, Event, MqttState, Packet, Publish, QoS, Request, StateError, Subscribe,
};
use tokio_util::codec::{Decoder, Encoder};

struct Device {
    state: MqttState,
    codec: Codec,
    broker: Broker,
    outgoing: BytesMut,
    incoming: BytesMut,
    rx: [u8; BUFFER],
}

fn main() {
    let work = Work::from_args();
    let device = Device {
        state: MqttState::new(100, false),
        codec: Codec {
            max_incoming_size: BUFFER,
            max_outgoing_size: BUFFER,
        },
        broker: Broker::new(),
        outgoing: BytesMut::with_capacity(BUFFER),
        incoming: BytesMut::with_capacity(BUFFER),
        rx: [0; BUFFER],
    };
    converse(device, work).expect("the conversation goes well");
}

fn converse(mut device: Device, work: Work) -> Result<(), StateError> {
    // The state machine begins after the handshake, which the event loop does itself.
    device.send(Packet::Connect(Connect::new("bench")))?;
    assert!(matches!(device.read()?, Packet::ConnAck(_)));
    device.request(Request::Subscribe(Subscribe::new(FILTER, QoS::AtMostOnce)))?;
    device.process()?;
    match work {
        Work::Publish(times) => {
            for _ in 0..times {
                let publish = Publish::new(TOPIC, QoS::AtLeastOnce, PAYLOAD);
                device.request(Request::Publish(publish))?;
                device.process()?;
                assert_eq!(device.state.inflight(), 0);
            }
        }
        Work::Receive(times) => {
            for _ in 0..times {
                device.process()?;
            }
        }
    }
    Ok(())
}

impl Device {
    fn request(&mut self, request: Request) -> Result<(), StateError> {
        if let Some(packet) = self.state.handle_outgoing_packet(request)? {
            self.send(packet)?;
        }
        self.events();
        Ok(())
    }

    fn send(&mut self, packet: Packet) -> Result<(), StateError> {
        self.codec.encode(packet, &mut self.outgoing)?;
        self.broker.take(&self.outgoing);
        self.outgoing.clear();
        Ok(())
    }

    fn read(&mut self) -> Result<Packet, StateError> {
        let length = self.broker.give(&mut self.rx);
        self.incoming.extend_from_slice(&self.rx[..length]);
        let packet = self.codec.decode(&mut self.incoming)?;
        Ok(packet.expect("the broker gives whole packets"))
    }

    fn process(&mut self) -> Result<(), StateError> {
        let packet = self.read()?;
        if let Some(answer) = self.state.handle_incoming_packet(packet)? {
            self.send(answer)?;
        }
        self.events();
        Ok(())
    }

    fn events(&mut self) {
        while let Some(event) = self.state.events.pop_front() {
            if let Event::Incoming(Packet::Publish(message)) = event {
                obey(message.topic.as_bytes(), &message.payload);
            }
        }
    }
}
