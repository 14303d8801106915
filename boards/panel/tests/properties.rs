//! Whatever is sent, the model goes on, and a driver that begins anew is understood.

mod common;

use aldis_panel::{Error, Picture, Ssd1306};
use common::{START, pages, scene};
use embedded_hal::i2c::{I2c, Operation};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Write(u8, Vec<Vec<u8>>),
    Read(usize),
    WriteRead(Vec<u8>, usize),
    UnplugAfter(u32),
    Replug,
    HoldLow(bool),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let control = prop_oneof![Just(0x00), Just(0x40), Just(0x80), Just(0xC0), any::<u8>()];
    // Commands with arguments, more often than chance has them.
    let command = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![
            0x20, 0x21, 0x22, 0x26, 0x29, 0x81, 0x8D, 0xA3, 0xA8, 0xD3, 0xDA, 0xAF
        ]),
    ];
    (control, vec(command, 0..40)).prop_map(|(control, rest)| [vec![control], rest].concat())
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (prop_oneof![9 => Just(0x3C), 1 => any::<u8>()], vec(bytes(), 0..3))
            .prop_map(|(address, writes)| Act::Write(address, writes)),
        1 => (0..4_usize).prop_map(Act::Read),
        1 => (bytes(), 0..4_usize).prop_map(|(write, read)| Act::WriteRead(write, read)),
        1 => (0..60_u32).prop_map(Act::UnplugAfter),
        1 => Just(Act::Replug),
        1 => any::<bool>().prop_map(Act::HoldLow),
    ]
}

fn perform(panel: &mut Ssd1306, act: &Act) -> Result<(), Error> {
    match act {
        Act::Write(address, writes) => {
            let mut operations: Vec<_> =
                writes.iter().map(|bytes| Operation::Write(bytes)).collect();
            panel.transaction(*address, &mut operations)
        }
        Act::Read(count) => panel.read(0x3C, &mut vec![0; *count]),
        Act::WriteRead(bytes, count) => panel.write_read(0x3C, bytes, &mut vec![0; *count]),
        Act::UnplugAfter(count) => {
            panel.unplug_after(*count);
            Ok(())
        }
        Act::Replug => {
            panel.replug();
            Ok(())
        }
        Act::HoldLow(held) => {
            panel.hold_low(*held);
            Ok(())
        }
    }
}

proptest! {
    /// After anything at all, six NOPs and a whole start give the whole picture: no
    /// sequence of bytes leaves it where a driver cannot reach it.
    #[test]
    fn a_driver_that_begins_anew_is_always_understood(acts in vec(act(), 0..40)) {
        let mut panel = Ssd1306::new();
        for act in &acts {
            let before = panel.traffic();
            let result = perform(&mut panel, act);
            let after = panel.traffic();
            prop_assert_eq!(result.is_err(), after.failed > before.failed);
            prop_assert!(after.bits >= before.bits);
            // One START and one STOP a transaction; a byte is never more than 10 bits,
            // with the repeated START before it.
            let bits = after.bits - before.bits;
            let count = u64::from(after.bytes - before.bytes);
            prop_assert!(bits >= 9 * count && bits <= 10 * count + 2);
            prop_assert!(panel.is_plugged() || panel.picture() == Picture::DARK);
            prop_assert!(panel.awaits().is_none_or(|command| command != 0xE3));
        }
        panel.hold_low(false);
        panel.unplug_after(u32::MAX);
        panel.replug();
        panel.write(0x3C, &[&[0x00][..], &[0xE3; 6]].concat()).unwrap();
        prop_assert_eq!(panel.awaits(), None);
        let rest = [
            0xA4, 0xA6, 0x2E, 0x40, 0xA8, 63, 0xD3, 0, 0xDA, 0x12, 0x21, 0, 127, 0x22, 0, 7,
        ];
        panel.write(0x3C, &[&[0x00], START, &rest].concat()).unwrap();
        panel.write(0x3C, &[&[0x40][..], &pages(&scene())].concat()).unwrap();
        prop_assert_eq!(panel.picture(), scene());
        prop_assert_eq!(panel.ram(), scene());
    }

    /// How a stream of commands is cut into transactions, and whether each byte has its
    /// own control byte, is all the same.
    #[test]
    fn the_framing_of_commands_and_data_does_not_matter(
        parts in vec((any::<bool>(), vec(any::<u8>(), 0..12)), 0..12),
        cut in 1..6_usize,
    ) {
        let mut whole = Ssd1306::new();
        let mut cuts = Ssd1306::new();
        let mut single = Ssd1306::new();
        let mut framed = Vec::new();
        for (is_data, bytes) in &parts {
            let control = if *is_data { 0x40 } else { 0x00 };
            whole.write(0x3C, &[&[control][..], bytes].concat()).unwrap();
            for piece in bytes.chunks(cut) {
                cuts.write(0x3C, &[&[control][..], piece].concat()).unwrap();
            }
            framed.extend(bytes.iter().flat_map(|byte| [control | 0x80, *byte]));
        }
        single.write(0x3C, &framed).unwrap();
        for other in [cuts, single] {
            prop_assert_eq!(whole.ram(), other.ram());
            prop_assert_eq!(whole.picture(), other.picture());
            prop_assert_eq!(whole.awaits(), other.awaits());
            prop_assert_eq!(whole.unknown(), other.unknown());
            prop_assert_eq!(whole.contrast(), other.contrast());
        }
    }

    /// The whole RAM can be reached and no byte of data goes astray: from any pointer and
    /// range, in any mode, data changes one byte of RAM at a time.
    #[test]
    fn a_byte_of_data_changes_one_byte_of_the_ram(
        registers in vec(any::<u8>(), 0..24),
        byte in any::<u8>(),
    ) {
        let mut panel = Ssd1306::new();
        panel.write(0x3C, &[&[0x00][..], &registers].concat()).unwrap();
        let before = panel.ram();
        panel.write(0x3C, &[0x40, byte]).unwrap();
        let after = panel.ram();
        let mut changed = Vec::new();
        for x in 0..128 {
            for y in 0..64 {
                if before.get(x, y) != after.get(x, y) {
                    changed.push((x, y / 8));
                }
            }
        }
        changed.dedup();
        prop_assert!(changed.len() <= 1, "{changed:?}");
    }
}
