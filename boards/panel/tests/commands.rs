//! Each command, where its bytes go, and what is seen of it.

mod common;

use aldis_panel::{Picture, Ssd1306};
use common::{commands, data, pages, scene, started};
use embedded_hal::i2c::{I2c, Operation};

/// Of each command of table 9-1, how many arguments it has. `None`: not in the table.
fn table(command: u8) -> Option<usize> {
    Some(match command {
        // Contrast, memory addressing mode, multiplex, offset, clock, pre-charge, COM
        // pins, deselect level, charge pump.
        0x81 | 0x20 | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB | 0x8D => 1,
        // Column and page address, vertical scroll area.
        0x21 | 0x22 | 0xA3 => 2,
        // Vertical and horizontal scroll; horizontal scroll.
        0x29 | 0x2A => 5,
        0x26 | 0x27 => 6,
        // Lower and higher column, start line, page.
        0x00..=0x1F | 0x40..=0x7F | 0xB0..=0xB7 => 0,
        // Scroll off and on, remap, all on, inverse, display off and on, scan
        // direction, NOP.
        0x2E | 0x2F | 0xA0 | 0xA1 | 0xA4..=0xA7 | 0xAE | 0xAF | 0xC0 | 0xC8 | 0xE3 => 0,
        _ => return None,
    })
}

#[test]
fn every_command_takes_its_number_of_arguments() {
    for command in 0..=0xFF {
        let mut panel = started();
        commands(&mut panel, &[command]);
        for taken in 0..table(command).unwrap_or(0) {
            assert_eq!(
                panel.awaits(),
                Some(command),
                "after {taken} of {command:02X}"
            );
            // Valid as any argument.
            commands(&mut panel, &[0x11]);
        }
        assert_eq!(panel.awaits(), None, "{command:02X}");
        let known = table(command).is_some();
        assert_eq!(panel.unknown(), u32::from(!known), "{command:02X}");
    }
}

#[test]
fn an_unknown_command_changes_nothing() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    for command in (0..=0xFF).filter(|command| table(*command).is_none()) {
        commands(&mut panel, &[command]);
    }
    assert_eq!(panel.picture(), scene());
    data(&mut panel, &[0xFF]);
    assert!(panel.ram().get(0, 7), "the pointer did not move");
}

#[test]
fn invalid_arguments_are_counted_and_change_nothing() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    commands(&mut panel, &[0x20, 0x03]);
    assert_eq!(panel.unknown(), 1);
    for rows in 0..15 {
        commands(&mut panel, &[0xA8, rows]);
    }
    assert_eq!(panel.unknown(), 16);
    commands(&mut panel, &[0xD9, 0x10, 0xD9, 0x01]);
    assert_eq!(panel.unknown(), 18);
    assert_eq!(panel.picture(), scene());
    // Still horizontal: over the edge to the next page.
    commands(&mut panel, &[0xB0, 0x0F, 0x17]);
    data(&mut panel, &[0, 0b1010_1010]);
    assert!(!panel.ram().get(0, 8) && panel.ram().get(0, 9));
}

#[test]
fn a_control_byte_with_bits_that_must_be_zero_is_counted() {
    let mut panel = started();
    panel.write(0x3C, &[0x01, 0xE3]).unwrap();
    assert_eq!(panel.unknown(), 1);
}

#[test]
fn after_power_on_the_registers_are_as_the_data_sheet_resets_them() {
    let mut panel = Ssd1306::new();
    assert!(!panel.is_on());
    assert_eq!(panel.contrast(), 0x7F);
    assert!(!panel.scrolling());
    assert_eq!(panel.picture(), Picture::DARK);
    // Page addressing, at the first byte; A0 and C0: upside down.
    for page in 0..8 {
        commands(&mut panel, &[0xB0 | page]);
        data(
            &mut panel,
            &pages(&scene())[usize::from(page) * 128..][..128],
        );
    }
    commands(&mut panel, &[0x8D, 0x14, 0xAF]);
    assert_eq!(panel.ram(), scene());
    assert_eq!(panel.picture().rotated_180(), scene());
}

#[test]
fn the_ram_is_undefined_until_it_is_written() {
    let panel = Ssd1306::new();
    let lit = panel.ram().lit();
    assert!((3000..5000).contains(&lit), "noise, not {lit} pixels");
    let mut again = panel.clone();
    again.power_cycle();
    assert!(again.ram().differs(&panel.ram()) > 3000);
}

#[test]
fn nothing_is_seen_without_charge_pump_or_with_the_display_off() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    assert_eq!(panel.picture(), scene());
    for (off, on) in [(&[0xAE][..], &[0xAF][..]), (&[0x8D, 0x10], &[0x8D, 0x14])] {
        for picture in [0xA4, 0xA5, 0xA7] {
            commands(&mut panel, &[picture]);
            commands(&mut panel, off);
            assert_eq!(panel.picture(), Picture::DARK);
            commands(&mut panel, on);
            commands(&mut panel, &[0xA4, 0xA6]);
            assert_eq!(panel.picture(), scene());
        }
    }
    assert_eq!(panel.ram(), scene());
}

#[test]
fn inverse_and_all_on_leave_the_ram_alone() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    commands(&mut panel, &[0xA7]);
    assert_eq!(panel.picture(), Picture::from_fn(|x, y| !scene().get(x, y)));
    let all = Picture::from_fn(|_, _| true);
    for inverse in [0xA6, 0xA7] {
        commands(&mut panel, &[inverse, 0xA5]);
        assert_eq!(
            panel.picture(),
            all,
            "whatever is in the RAM, and inverse or not"
        );
    }
    assert_eq!(panel.ram(), scene());
}

#[test]
fn contrast_and_scrolling_are_taken() {
    let mut panel = started();
    commands(&mut panel, &[0x81, 0x00]);
    assert_eq!(panel.contrast(), 0);
    commands(&mut panel, &[0x81, 0xAF]);
    assert_eq!(panel.contrast(), 0xAF);
    assert!(panel.is_on(), "the argument was not taken for a command");
    commands(&mut panel, &[0x26, 0, 0, 0, 7, 0, 0xFF, 0x2F]);
    assert!(panel.scrolling());
    assert_eq!(panel.unknown(), 0);
    // Prohibited meanwhile.
    data(&mut panel, &[0, 0]);
    commands(&mut panel, &[0x29, 0, 0, 0, 7, 0]);
    assert_eq!(panel.unknown(), 3);
    commands(&mut panel, &[0x2E]);
    assert!(!panel.scrolling());
    data(&mut panel, &[0]);
    assert_eq!(panel.unknown(), 3);
}

// Where data goes.

/// Writes bytes that are all different and gives the places, column and page, in the
/// order that they went to.
fn order(panel: &mut Ssd1306, count: usize) -> Vec<(u8, u8)> {
    (0..count)
        .map(|_| {
            let before = panel.ram();
            let mut at = None;
            // One of the two is not what is there already.
            for byte in [0x55, 0xAA] {
                let mut after = panel.clone();
                data(&mut after, &[byte]);
                let after = after.ram();
                for page in 0..8 {
                    for column in 0..128 {
                        let pixels = page * 8..page * 8 + 8;
                        if pixels
                            .clone()
                            .any(|y| before.get(column, y) != after.get(column, y))
                        {
                            assert!(at.is_none_or(|at| at == (column, page)), "one place alone");
                            at = Some((column, page));
                        }
                    }
                }
            }
            data(panel, &[0x55]);
            at.unwrap()
        })
        .collect()
}

#[test]
fn a_byte_is_eight_pixels_below_each_other_with_the_lowest_bit_at_the_top() {
    let mut panel = started();
    data(&mut panel, &[0b1000_0011]);
    assert_eq!(
        panel.ram(),
        Picture::from_fn(|x, y| x == 0 && [0, 1, 7].contains(&y))
    );
}

#[test]
fn horizontal_addressing_wraps_from_row_to_row_within_the_range() {
    let mut panel = started();
    commands(&mut panel, &[0x20, 0x00, 0x21, 126, 127, 0x22, 6, 7]);
    assert_eq!(
        order(&mut panel, 5),
        [(126, 6), (127, 6), (126, 7), (127, 7), (126, 6)]
    );
    // The whole range, over its end.
    let mut panel = started();
    data(&mut panel, &[0; 1023]);
    assert_eq!(order(&mut panel, 2), [(127, 7), (0, 0)]);
}

#[test]
fn vertical_addressing_wraps_from_column_to_column_within_the_range() {
    let mut panel = started();
    commands(&mut panel, &[0x20, 0x01, 0x21, 3, 4, 0x22, 5, 6]);
    assert_eq!(
        order(&mut panel, 5),
        [(3, 5), (3, 6), (4, 5), (4, 6), (3, 5)]
    );
    let mut panel = started();
    commands(&mut panel, &[0x20, 0x01]);
    data(&mut panel, &[0; 1023]);
    assert_eq!(order(&mut panel, 2), [(127, 7), (0, 0)]);
}

#[test]
fn page_addressing_stays_on_its_page() {
    let mut panel = started();
    commands(&mut panel, &[0x20, 0x02, 0xB3, 0x0E, 0x17]);
    assert_eq!(order(&mut panel, 3), [(126, 3), (127, 3), (0, 3)]);
}

#[test]
fn page_commands_are_honoured_in_every_mode() {
    for mode in 0..3 {
        let mut panel = started();
        commands(&mut panel, &[0x20, mode, 0xB5, 0x03, 0x12]);
        assert_eq!(order(&mut panel, 1), [(0x23, 5)], "mode {mode}");
    }
}

#[test]
fn the_nibbles_of_the_column_are_set_one_by_one() {
    let mut panel = started();
    commands(&mut panel, &[0x20, 0x02, 0xB0, 0x05, 0x14]);
    assert_eq!(order(&mut panel, 1), [(0x45, 0)]);
    commands(&mut panel, &[0x07]);
    assert_eq!(order(&mut panel, 1), [(0x47, 0)]);
    commands(&mut panel, &[0x11]);
    assert_eq!(order(&mut panel, 1), [(0x17, 0)]);
    // There are 128 columns, whatever the high nibble says.
    commands(&mut panel, &[0x1F]);
    assert_eq!(order(&mut panel, 1), [(0x77, 0)]);
}

#[test]
fn a_pointer_outside_its_range_counts_on_until_it_meets_the_end() {
    let mut panel = started();
    commands(&mut panel, &[0x20, 0x02, 0x21, 2, 4, 0x0E, 0x17]);
    assert_eq!(
        order(&mut panel, 8),
        [126, 127, 0, 1, 2, 3, 4, 2].map(|column| (column, 0))
    );
}

// What is sent may come in any pieces.

#[test]
fn commands_may_be_split_over_transactions_anywhere() {
    let sent = [
        0xA1, 0xC8, 0x20, 0x01, 0x21, 3, 4, 0x22, 5, 6, 0x26, 0, 0, 0, 7, 0, 0xFF, 0x81, 0x42,
        0x8D, 0x14, 0xAF,
    ];
    let mut whole = Ssd1306::new();
    commands(&mut whole, &sent);
    data(&mut whole, &[1, 2, 3]);
    for split in 0..=sent.len() {
        let mut panel = Ssd1306::new();
        commands(&mut panel, &sent[..split]);
        commands(&mut panel, &sent[split..]);
        data(&mut panel, &[1]);
        data(&mut panel, &[2, 3]);
        assert_eq!(panel.ram(), whole.ram(), "split at {split}");
        assert_eq!(panel.picture(), whole.picture(), "split at {split}");
        assert_eq!(panel.contrast(), 0x42);
    }
}

#[test]
fn with_the_continuation_bit_each_byte_has_its_own_control_byte() {
    let mut panel = started();
    // The contrast in two pieces, a byte of data, then data until STOP.
    panel
        .write(
            0x3C,
            &[0x80, 0x81, 0x80, 0x33, 0xC0, 0x01, 0x40, 0x02, 0x80],
        )
        .unwrap();
    assert_eq!(panel.contrast(), 0x33);
    assert_eq!(
        panel.ram(),
        Picture::from_fn(|x, y| [(0, 0), (1, 1), (2, 7)].contains(&(x, y)))
    );
    assert_eq!(panel.unknown(), 0);
}

#[test]
fn writes_in_a_row_are_one_write_and_a_start_in_between_begins_a_new_one() {
    let mut panel = started();
    panel
        .transaction(
            0x3C,
            &mut [Operation::Write(&[0x40]), Operation::Write(&[0x01, 0x02])],
        )
        .unwrap();
    let mut status = [0xEE];
    panel
        .transaction(
            0x3C,
            &mut [
                Operation::Write(&[0x40, 0x04]),
                Operation::Read(&mut status),
                Operation::Write(&[0x00, 0xAE]),
            ],
        )
        .unwrap();
    assert_eq!(
        panel.ram(),
        Picture::from_fn(|x, y| [(0, 0), (1, 1), (2, 2)].contains(&(x, y)))
    );
    assert_eq!(status, [0x00], "it was on when the status was read");
    assert!(!panel.is_on());
    panel.read(0x3C, &mut status).unwrap();
    assert_eq!(status, [0x40]);
}

#[test]
fn a_command_that_was_cut_off_swallows_the_next_unless_nops_come_first() {
    let mut panel = started();
    commands(&mut panel, &[0x81]);
    commands(&mut panel, &[0xAE]);
    assert!(panel.is_on(), "AE was taken for the contrast");
    assert_eq!(panel.contrast(), 0xAE);
    commands(&mut panel, &[0x26]);
    commands(&mut panel, &[0xE3; 6]);
    commands(&mut panel, &[0xAE]);
    assert!(!panel.is_on());
    assert_eq!(panel.unknown(), 0);
}

// What is seen where.

/// Of each row of the picture, from the top, the line of the RAM that is shown there.
fn shown(setting: &[u8]) -> Vec<Option<u8>> {
    let mut panel = started();
    data(&mut panel, &pages(&Picture::from_fn(|x, y| x == y)));
    commands(&mut panel, setting);
    (0..64)
        .map(|y| {
            let lit: Vec<u8> = (0..128).filter(|x| panel.visible(*x, y)).collect();
            assert!(lit.len() <= 1);
            lit.first().copied()
        })
        .collect()
}

/// The same by COM output: COM63 is at the top.
fn by_com(setting: &[u8]) -> Vec<Option<u8>> {
    let mut shown = shown(setting);
    shown.reverse();
    shown
}

/// `count` outputs, which show the lines from `from` on.
fn up(from: u8, count: u8) -> Vec<Option<u8>> {
    (0..count).map(|at| Some((from + at) % 64)).collect()
}

fn down(from: u8, count: u8) -> Vec<Option<u8>> {
    (0..count).map(|at| Some((from + 64 - at) % 64)).collect()
}

fn none(count: usize) -> Vec<Option<u8>> {
    vec![None; count]
}

#[test]
fn offset_start_line_and_multiplex_without_remap() {
    // Table 10-1: multiplex, offset, start line.
    let set = |multiplex: u8, offset: u8, start: u8| {
        by_com(&[0xC0, 0xA8, multiplex - 1, 0xD3, offset, 0x40 | start])
    };
    assert_eq!(set(64, 0, 0), up(0, 64));
    assert_eq!(set(64, 8, 0), up(8, 64));
    assert_eq!(set(64, 0, 8), up(8, 64));
    assert_eq!(set(56, 0, 0), [up(0, 56), none(8)].concat());
    assert_eq!(set(56, 8, 0), [up(8, 48), none(8), up(0, 8)].concat());
    assert_eq!(set(56, 0, 8), [up(8, 56), none(8)].concat());
}

#[test]
fn offset_start_line_and_multiplex_with_remap() {
    // Table 10-2.
    let set = |multiplex: u8, offset: u8, start: u8| {
        by_com(&[0xC8, 0xA8, multiplex - 1, 0xD3, offset, 0x40 | start])
    };
    assert_eq!(set(64, 0, 0), down(63, 64));
    assert_eq!(set(64, 8, 0), down(7, 64));
    assert_eq!(set(64, 0, 8), down(7, 64));
    assert_eq!(set(48, 0, 0), [down(47, 48), none(16)].concat());
    assert_eq!(set(48, 8, 0), [none(8), down(47, 48), none(8)].concat());
    assert_eq!(set(48, 0, 8), [down(55, 48), none(16)].concat());
    assert_eq!(set(48, 8, 16), [none(8), down(63, 48), none(8)].concat());
}

#[test]
fn inverse_lights_no_row_that_is_not_driven() {
    let mut panel = started();
    commands(&mut panel, &[0xA8, 15, 0xA7]);
    assert_eq!(panel.picture().lit(), 16 * 128);
    commands(&mut panel, &[0xA5]);
    assert_eq!(panel.picture().lit(), 16 * 128);
}

#[test]
fn com_pins_set_for_another_panel_mix_up_the_rows() {
    assert_eq!(shown(&[0xDA, 0x12]), up(0, 64));
    // As for 128x32: the lower half is between the lines of the upper one.
    assert_eq!(
        shown(&[0xDA, 0x02])[..4],
        [0, 32, 1, 33].map(Some),
        "the top row is wired to COM63, the next one to COM31"
    );
    // Each pair of lines the wrong way round.
    assert_eq!(shown(&[0xDA, 0x32])[..4], [1, 0, 3, 2].map(Some));
}

#[test]
fn segment_remap_changes_where_columns_are_written_not_what_is_seen_already() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    commands(&mut panel, &[0xA0]);
    assert_eq!(panel.picture(), scene(), "nothing moves");
    data(&mut panel, &pages(&scene()));
    assert_eq!(
        panel.picture(),
        Picture::from_fn(|x, y| scene().get(127 - x, y))
    );
    assert_eq!(panel.ram(), scene());
}

#[test]
fn the_scan_direction_turns_what_is_seen_at_once() {
    let mut panel = started();
    data(&mut panel, &pages(&scene()));
    commands(&mut panel, &[0xC0]);
    assert_eq!(
        panel.picture(),
        Picture::from_fn(|x, y| scene().get(x, 63 - y))
    );
}

#[test]
fn nothing_is_outside() {
    let mut panel = started();
    commands(&mut panel, &[0xA5]);
    assert!(panel.visible(0, 0) && panel.visible(127, 63));
    for (x, y) in [(128, 0), (0, 64), (255, 255)] {
        assert!(!panel.visible(x, y));
        assert!(!panel.ram().get(x, y));
    }
}
