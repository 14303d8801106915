//! Traffic between a real microcontroller and a real panel.

use aldis_panel::{Ssd1306, png};
use embedded_hal::i2c::I2c;

const TRAFFIC: &str = include_str!("captures/ssd1306/i2c.txt");
const AFTER: &[u8] = include_bytes!("captures/ssd1306/after.png");

/// A transaction a line: the address, a colon, the bytes.
fn transactions() -> impl Iterator<Item = (u8, Vec<u8>)> {
    TRAFFIC.lines().map(|line| {
        let (address, bytes) = line.split_once(':').unwrap();
        let bytes = bytes.trim();
        assert!(bytes.len().is_multiple_of(2), "{line}");
        let bytes = (0..bytes.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap())
            .collect();
        (u8::from_str_radix(address, 16).unwrap(), bytes)
    })
}

#[test]
fn the_capture_leaves_in_the_ram_the_picture_that_belongs_to_it() {
    let mut panel = Ssd1306::new();
    for (address, bytes) in transactions() {
        panel.write(address, &bytes).unwrap();
    }
    let (after, _) = png::decode(std::io::Cursor::new(AFTER)).unwrap();
    assert!(after.lit() > 100, "the picture to compare with is empty");
    assert_eq!(panel.ram(), after);
    assert_eq!(panel.unknown(), 0, "all of it is in the data sheet");
    assert_eq!(panel.awaits(), None);
    // A1 and C8: what is in the RAM is seen upright.
    assert_eq!(panel.picture(), after);
    assert_eq!(panel.contrast(), 0xFF);
    aldis_panel::assert_golden("tests/golden/capture.png", &panel.picture());
}

#[test]
fn each_full_update_of_the_capture_replaces_all_of_the_ram() {
    // Two panels with different noise are the same after the first update, so nothing
    // of the noise is left.
    let mut one = Ssd1306::new();
    let mut other = Ssd1306::new();
    other.power_cycle();
    assert_ne!(one.ram(), other.ram());
    let mut updates = 0;
    for (address, bytes) in transactions() {
        one.write(address, &bytes).unwrap();
        other.write(address, &bytes).unwrap();
        if bytes.first() == Some(&0x40) {
            updates += 1;
        }
        if updates == 8 {
            break;
        }
    }
    assert_eq!(updates, 8);
    assert_eq!(one.ram(), other.ram());
}

#[test]
fn the_time_on_the_bus_is_that_of_the_bytes() {
    let mut panel = Ssd1306::new();
    let (mut count, mut bytes) = (0, 0);
    for (address, sent) in transactions() {
        panel.write(address, &sent).unwrap();
        count += 1;
        bytes += sent.len() as u32 + 1;
    }
    let traffic = panel.take_traffic();
    assert_eq!((traffic.transactions, traffic.failed), (count, 0));
    assert_eq!(traffic.bytes, bytes);
    assert_eq!(traffic.bits, u64::from(bytes) * 9 + u64::from(count) * 2);
    // A page and two bytes more: this driver's buffer is 130 wide.
    assert_eq!(traffic.longest, (2 + 130) * 9 + 2);
    assert_eq!(aldis_panel::micros(traffic.longest, 400_000), 2_975);
    assert_eq!(panel.traffic(), Default::default());
}
