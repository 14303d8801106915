//! The bus: what it counts, and its faults.

mod common;

use std::cell::RefCell;

use aldis_panel::{Error, Picture, Shared, Ssd1306, Wired};
use common::{START, commands, data, pages, scene, started};
use embedded_hal::i2c::{Error as _, ErrorKind, I2c, NoAcknowledgeSource, Operation};

const NO_ADDRESS: Error = Error::NoAcknowledge(NoAcknowledgeSource::Address);
const NO_DATA: Error = Error::NoAcknowledge(NoAcknowledgeSource::Data);

#[test]
fn only_its_own_address_is_acknowledged() {
    for own in [Ssd1306::ADDRESS, Ssd1306::OTHER_ADDRESS] {
        let mut panel = Ssd1306::at(own);
        for address in 0..=0x7F {
            let result = panel.write(address, &[]);
            assert_eq!(result.is_ok(), address == own, "{address:02x}");
            if let Err(error) = result {
                assert_eq!(error, NO_ADDRESS);
                assert_eq!(
                    error.kind(),
                    ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
                );
            }
        }
    }
}

#[test]
fn each_start_stop_address_and_byte_is_counted() {
    let mut panel = Ssd1306::new();
    panel.write(0x3C, &[0x00, 0xE3]).unwrap();
    assert_eq!(panel.take_bus_bits(), 1 + 9 + 2 * 9 + 1);
    panel.write_read(0x3C, &[0x00], &mut [0; 2]).unwrap();
    assert_eq!(panel.take_bus_bits(), 1 + 9 + 9 + 1 + 9 + 2 * 9 + 1);
    // Nobody there.
    panel.write(0x3D, &[0x00, 0xE3]).unwrap_err();
    assert_eq!(panel.take_bus_bits(), 1 + 9 + 1);
    panel.transaction(0x3C, &mut []).unwrap();
    assert_eq!(panel.take_bus_bits(), 0);
    let traffic = panel.traffic();
    assert_eq!((traffic.transactions, traffic.failed), (3, 1));
    assert_eq!(traffic.bytes, 3 + 5 + 1);
    assert_eq!(traffic.bits, 29 + 48 + 11);
    assert_eq!(traffic.longest, 48);
}

#[test]
fn a_step_is_what_passes_between_two_looks() {
    let mut panel = Ssd1306::new();
    for _ in 0..3 {
        commands(&mut panel, &[0xE3]);
    }
    assert_eq!(panel.largest_step(), 3 * 29);
    assert_eq!(panel.take_bus_bits(), 3 * 29);
    commands(&mut panel, &[0xE3]);
    assert_eq!(panel.take_bus_bits(), 29);
    assert_eq!(panel.largest_step(), 3 * 29);
    assert_eq!(panel.traffic().longest, 29);
}

#[test]
fn bit_times_become_microseconds_rounded_up() {
    assert_eq!(aldis_panel::micros(2_000, 400_000), 5_000);
    assert_eq!(aldis_panel::micros(2_001, 400_000), 5_003);
    assert_eq!(aldis_panel::micros(0, 400_000), 0);
    assert_eq!(aldis_panel::micros(1, 0), u64::MAX);
    assert_eq!(aldis_panel::micros(u64::MAX, 1), u64::MAX);
}

#[test]
fn an_absent_panel_acknowledges_nothing_and_shows_nothing() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    panel.unplug();
    assert!(!panel.is_plugged() && !panel.is_on());
    assert_eq!(panel.picture(), Picture::DARK);
    assert_eq!(panel.write(0x3C, &[0x00, 0xAF]), Err(NO_ADDRESS));
    assert_eq!(panel.read(0x3C, &mut [0]), Err(NO_ADDRESS));
}

#[test]
fn a_panel_that_is_plugged_again_has_forgotten_everything() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    commands(&mut panel, &[0x81, 0xFF, 0x26]);
    panel.unplug();
    panel.replug();
    assert!(panel.is_plugged() && !panel.is_on());
    assert_eq!(panel.contrast(), 0x7F);
    assert_eq!(panel.awaits(), None);
    commands(&mut panel, &[0xA1, 0xC8, 0x8D, 0x14, 0xAF]);
    assert!(
        panel.picture().differs(&scene()) > 3000,
        "a driver that does not draw anew shows noise"
    );
    // Plugging in what is plugged in does nothing.
    let seen = panel.picture();
    panel.replug();
    assert_eq!(panel.picture(), seen);
}

#[test]
fn unplugged_while_drawing_the_bytes_before_it_arrive() {
    for left in 0..=6 {
        let mut panel = started();
        panel.take_traffic();
        panel.unplug_after(left);
        let result = panel.write(0x3C, &[0x40, 1, 1, 1, 1]);
        let traffic = panel.take_traffic();
        match left {
            0 => assert_eq!(result, Err(NO_ADDRESS)),
            1..5 => {
                assert_eq!(result, Err(NO_DATA));
                // Those that arrived, and the one that was not acknowledged.
                assert_eq!(traffic.bits, 1 + 9 + 9 * u64::from(left + 1) + 1);
            }
            _ => assert_eq!(result, Ok(())),
        }
        assert_eq!(panel.is_plugged(), left > 5, "{left}");
        let drawn = panel.ram().lit();
        assert_eq!(drawn, left.saturating_sub(1).min(4), "{left}");
        // From now on it is gone, until it is plugged again.
        assert_eq!(panel.write(0x3C, &[]).is_ok(), left > 5);
        if left == 6 {
            assert_eq!(panel.write(0x3C, &[0x40, 1]), Err(NO_DATA));
        }
        panel.replug();
        assert_eq!(panel.write(0x3C, &[0x40; 32]), Ok(()));
        assert!(panel.is_plugged(), "the countdown is over");
    }
}

#[test]
fn unplugged_while_reading_the_rest_is_ones() {
    let mut panel = started();
    panel.unplug_after(2);
    let mut status = [0; 4];
    panel.read(0x3C, &mut status).unwrap();
    assert_eq!(status, [0, 0, 0xFF, 0xFF]);
    assert_eq!(panel.read(0x3C, &mut status), Err(NO_ADDRESS));
}

#[test]
fn a_bus_that_is_held_low_lets_nothing_through() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    panel.take_bus_bits();
    panel.take_traffic();
    panel.hold_low(true);
    let error = panel.write(0x3C, &[0x00, 0xAE]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bus);
    assert_eq!(panel.write(0x3D, &[]), Err(Error::Bus), "whoever is asked");
    assert_eq!(panel.take_bus_bits(), 0);
    assert_eq!(panel.traffic().failed, 2);
    assert_eq!(panel.picture(), scene(), "the panel itself goes on");
    panel.hold_low(false);
    assert_eq!(panel.write(0x3C, &[0x00, 0xAE]), Ok(()));
    assert!(!panel.is_on());
}

#[test]
fn errors_say_what_happened() {
    assert_eq!(NO_ADDRESS.to_string(), "no device acknowledged its address");
    assert_eq!(NO_DATA.to_string(), "the device did not acknowledge a byte");
    assert_eq!(Error::Bus.to_string(), "the bus is held low or in use");
}

#[test]
fn a_wired_panel_can_be_looked_at_while_its_driver_has_the_bus() {
    let panel = RefCell::new(Ssd1306::new());
    let mut bus = Wired(&panel);
    bus.write(0x3C, &[&[0x00], START].concat()).unwrap();
    bus.write(0x3C, &[&[0x40][..], &pages(&scene())].concat())
        .unwrap();
    assert_eq!(panel.borrow().picture(), scene());
    let looking = panel.borrow();
    assert_eq!(
        bus.write(0x3C, &[0x00, 0xAE]),
        Err(Error::Bus),
        "not a panic"
    );
    drop(looking);
    bus.write(0x3C, &[0x00, 0xAE]).unwrap();
}

#[test]
fn a_shared_panel_is_the_same_on_every_thread() {
    let shared = Shared::new(Ssd1306::new());
    let mut bus = shared.clone();
    std::thread::spawn(move || {
        bus.transaction(
            0x3C,
            &mut [Operation::Write(&[0x00]), Operation::Write(START)],
        )
        .unwrap();
        bus.write(0x3C, &[&[0x40][..], &pages(&scene())].concat())
            .unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(shared.lock().picture(), scene());
    shared.lock().unplug();
    assert_eq!(shared.clone().write(0x3C, &[]), Err(NO_ADDRESS));
}
