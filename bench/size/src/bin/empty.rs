//! What the chip alone costs: the port, the sensor and the lamp without any MQTT client.

#![no_std]
#![no_main]

use bench_size::{BUFFER, obey, reading, reading_due, receive, transmit};

bench_size::state!(client: 0, future: 0);
bench_size::entry!(run);

fn run() {
    let mut rx = [0; BUFFER];
    while let Some(received) = receive(&mut rx) {
        obey(b"output", rx.get(..received).unwrap_or_default());
        if reading_due() && transmit(&reading()).is_none() {
            return;
        }
    }
}
