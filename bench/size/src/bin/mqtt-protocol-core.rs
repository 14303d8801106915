//! mqtt-protocol-core: sans-io, MQTT 5 here, everything on the heap.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use bench_size::{
    BUFFER, Heap, fired_timer, obey, qos, reading, reading_due, receive, start_timer, stop_timer,
    transmit,
};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Connection, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::v5_0::{Connect, Publish, Subscribe};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, SubEntry, SubOpts};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{Version, role};

type Client = Connection<role::Client>;

bench_size::state!(client: size_of::<Client>(), future: 0);
bench_size::entry!(run);

#[global_allocator]
static HEAP: Heap = Heap::new();

fn run() {
    let mut client = Client::new(Version::V5_0);
    client.set_auto_pub_response(true);
    client.set_auto_ping_response(true);
    loop {
        // A lost connection is made anew.
        let _ = converse(&mut client);
        let events = client.notify_closed();
        let _ = act(events);
    }
}

enum Failure {
    Protocol,
    Closed,
}

impl From<MqttError> for Failure {
    fn from(_: MqttError) -> Self {
        Self::Protocol
    }
}

fn converse(client: &mut Client) -> Result<(), Failure> {
    let connect = Connect::builder()
        .client_id("bench")?
        .keep_alive(15)
        .build()?;
    let events = client.checked_send(connect);
    act(events)?;
    let mut rx = [0; BUFFER];
    while !process(client, &mut rx)? {}

    let filter = SubEntry::new("output", SubOpts::new().set_qos(chosen_qos()))?;
    let subscribe = Subscribe::builder()
        .packet_id(client.acquire_packet_id()?)
        .entries(alloc::vec![filter])
        .build()?;
    let events = client.checked_send(subscribe);
    act(events)?;
    loop {
        let fired = [
            TimerKind::PingreqSend,
            TimerKind::PingreqRecv,
            TimerKind::PingrespRecv,
        ];
        if let Some(timer) = fired_timer() {
            for kind in fired.into_iter().filter(|&kind| kind as u32 == timer) {
                let events = client.notify_timer_fired(kind);
                act(events)?;
            }
        }
        if reading_due() {
            let qos = chosen_qos();
            let mut publish = Publish::builder()
                .topic_name("testincr")?
                .qos(qos)
                .payload(&reading()[..]);
            if qos != Qos::AtMostOnce {
                publish = publish.packet_id(client.acquire_packet_id()?);
            }
            let events = client.checked_send(publish.build()?);
            act(events)?;
        }
        process(client, &mut rx)?;
    }
}

/// Whether a CONNACK was among what arrived.
fn process(client: &mut Client, rx: &mut [u8]) -> Result<bool, Failure> {
    let received = receive(rx).ok_or(Failure::Closed)?;
    let mut cursor = Cursor::new(rx.get(..received).unwrap_or_default());
    let mut connected = false;
    while cursor.position() < received as u64 {
        let events = client.recv(&mut cursor);
        connected |= act(events)?;
    }
    Ok(connected)
}

fn act(events: Vec<Event>) -> Result<bool, Failure> {
    let mut connected = false;
    for event in events {
        match event {
            Event::RequestSendPacket { packet, .. } => {
                let bytes = packet.to_continuous_buffer();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let sent = transmit(rest).ok_or(Failure::Closed)?;
                    rest = rest.get(sent..).unwrap_or_default();
                }
            }
            Event::NotifyPacketReceived(Packet::V5_0Publish(message)) => {
                obey(
                    message.topic_name().as_bytes(),
                    message.payload().as_slice(),
                );
            }
            Event::NotifyPacketReceived(Packet::V5_0Connack(_)) => connected = true,
            Event::RequestTimerReset { kind, duration_ms } => {
                start_timer(kind as u32, duration_ms);
            }
            Event::RequestTimerCancel(kind) => stop_timer(kind as u32),
            Event::RequestClose => return Err(Failure::Closed),
            Event::NotifyError(_) => return Err(Failure::Protocol),
            Event::NotifyPacketReceived(_) | Event::NotifyPacketIdReleased(_) => {}
        }
    }
    Ok(connected)
}

fn chosen_qos() -> Qos {
    match qos() {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}
