//! A seed for random numbers.

use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::DeviceType;

use crate::clock;
use crate::virtio::{Pool, find};

/// A seed: from the machine's generator (QEMU's `-device virtio-rng-device`) or,
/// without one, from the time since the start and this address, which is better
/// than nothing.
pub fn seed(mac: [u8; 6]) -> u64 {
    generated().unwrap_or_else(|| {
        let mac = mac.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        mix(clock::counter() ^ mix(mac))
    })
}

fn generated() -> Option<u64> {
    let (transport, _slot) = find(DeviceType::EntropySource)?;
    let mut generator = VirtIORng::<Pool, _>::new(transport).ok()?;
    let mut seed = [0; 8];
    let length = generator.request_entropy(&mut seed).ok()?;
    (length == seed.len()).then_some(u64::from_le_bytes(seed))
}

/// Spreads what differs over all bits (the finish of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
