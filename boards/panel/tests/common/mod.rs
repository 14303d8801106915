//! What the tests of the panel share.
#![allow(dead_code)] // Not each test uses all of it.

use aldis_panel::{Picture, Ssd1306};
use embedded_hal::i2c::I2c;

/// Column 0 at the left and line 0 at the top, alternative COM pins as after power-on,
/// horizontal addressing, pump and display on.
pub const START: &[u8] = &[0xA1, 0xC8, 0x20, 0x00, 0x8D, 0x14, 0xAF];

/// A panel that was started and shows nothing.
pub fn started() -> Ssd1306 {
    let mut panel = Ssd1306::new();
    commands(&mut panel, START);
    data(&mut panel, &[0; 1024]);
    panel
}

pub fn commands(panel: &mut Ssd1306, bytes: &[u8]) {
    panel.write(0x3C, &[&[0x00], bytes].concat()).unwrap();
}

pub fn data(panel: &mut Ssd1306, bytes: &[u8]) {
    panel.write(0x3C, &[&[0x40], bytes].concat()).unwrap();
}

/// The bytes of a picture in the order of horizontal addressing.
pub fn pages(picture: &Picture) -> Vec<u8> {
    (0..8)
        .flat_map(|page| {
            (0..128).map(move |x| {
                (0..8).fold(0, |byte, bit| {
                    byte | u8::from(picture.get(x, page * 8 + bit)) << bit
                })
            })
        })
        .collect()
}

/// Something without any symmetry.
pub fn scene() -> Picture {
    Picture::from_fn(|x, y| (x < 40 && y < 9) || x == y || (x > 100 && y > 50 && (x + y) % 3 == 0))
}
