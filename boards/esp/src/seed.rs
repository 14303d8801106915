//! Chance, and the device's own name.

use core::fmt::Write;

use esp_hal::efuse::{InterfaceMacAddress, interface_mac_address};
use esp_hal::rng::Rng;

/// The length of an id: `esp-` and 12 digits.
pub const ID_LEN: usize = 16;

/// The address of the chip's Wi-Fi station.
pub fn mac() -> [u8; 6] {
    let address = interface_mac_address(InterfaceMacAddress::Station);
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(address.as_bytes()) {
        *to = *from;
    }
    mac
}

/// The id of a device whose configuration names none: `esp-a0b1c2d3e4f5`.
pub fn id(buffer: &mut [u8; ID_LEN]) -> &str {
    struct Rest<'a>(&'a mut [u8]);
    impl Write for Rest<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            let rest = core::mem::take(&mut self.0);
            let (now, later) = rest
                .split_at_mut_checked(text.len())
                .ok_or(core::fmt::Error)?;
            now.copy_from_slice(text.as_bytes());
            self.0 = later;
            Ok(())
        }
    }
    let [a, b, c, d, e, f] = mac();
    // It fits exactly.
    let _ = write!(
        Rest(buffer),
        "esp-{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}"
    );
    core::str::from_utf8(buffer).unwrap_or("esp")
}

/// A seed of its own for each chip and start.
///
/// Before the radio is on, the generator only repeats what it had: call
/// [`stir`] again when it is.
pub fn begin() -> u64 {
    let [a, b, c, d, e, f] = mac();
    stir(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

/// Stirs what the random number generator says now into a seed.
pub fn stir(mut seed: u64) -> u64 {
    let rng = Rng::new();
    for _ in 0..4 {
        seed ^= u64::from(rng.random()) << 32 | u64::from(rng.random());
        // The finalizer of splitmix64: each bit reaches all others.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^= seed >> 31;
    }
    seed
}

/// A number below `bound`, for jitter.
pub fn below(bound: u32) -> u32 {
    let wide = u64::from(Rng::new().random()) * u64::from(bound);
    (wide >> 32) as u32
}
