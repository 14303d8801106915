//! The broker and the transport alone, without any client: the part of every other count that
//! is not the client's.

use bench_instructions::{BUFFER, Broker, FILTER, PAYLOAD, TOPIC, Work, obey};

fn main() {
    let mut broker = Broker::new();
    let mut rx = [0; BUFFER];
    match Work::from_args() {
        Work::Publish(times) => {
            let mut packet = [0; 4 + TOPIC.len() + 3 + PAYLOAD.len()];
            packet[0] = 0x32;
            packet[1] = packet.len() as u8 - 2;
            packet[3] = TOPIC.len() as u8;
            for id in 0..times as u16 {
                packet[4 + TOPIC.len()..][..2].copy_from_slice(&id.to_be_bytes());
                broker.take(&packet);
                assert_eq!(broker.give(&mut rx), 4);
                assert_eq!(rx[2..4], id.to_be_bytes());
            }
        }
        Work::Receive(times) => {
            for _ in 0..times {
                let length = broker.give(&mut rx);
                let (topic, payload) = rx[4..length].split_at(FILTER.len());
                obey(topic, &payload[1..]);
            }
        }
    }
}
