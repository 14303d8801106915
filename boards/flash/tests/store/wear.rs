//! How long the flash lasts.

use std::ops::Range;

use aldis_device::{Kept, Saved};
use aldis_flash::layout;
use aldis_flash::store::Store;
use aldis_protocol::MessageState;
use aldis_world::flash::Flash;

use super::mail::{longest, longest_note, longest_outgoing, mark};
use super::{command, reading};

const ENDURANCE: u32 = 100_000;
const DAYS: u32 = 3_653;

/// How often a page of these was erased in so many days, in ten years; all as often.
fn ten_years(flash: &Flash<4096>, pages: Range<usize>, days: u32) -> u32 {
    let erased = &flash.erased()[pages];
    let most = *erased.iter().max().unwrap();
    assert!(erased.iter().all(|erased| erased + 2 >= most), "{erased:?}");
    most * DAYS / days
}

/// The flash of a board must last ten years: with readings at the default interval, a
/// command with an id each ten seconds, a hundred of the longest messages in a day, as many
/// replies, and more messages than can be shown, of which a device keeps one in two minutes.
#[test]
fn ten_years_do_not_wear_the_flash_out() {
    const RUN: u32 = 5;
    const PER_DAY: u32 = 86_400 / 5;
    let pages = layout::STORE.len / 4096;
    let mut flash = Flash::<4096>::new(pages as usize);
    let mut store = Store::new(&mut flash, 0..layout::STORE.len).unwrap();
    let mut saved = Saved::default();
    let mut messages = 0;
    let mut random = fastrand::Rng::with_seed(3);
    // Each day with three starts, and an outage from whose end each sixteen readings
    // are told.
    for number in 0..RUN * PER_DAY {
        let kept = Kept {
            seq: saved.seq,
            boot: saved.boot,
            uptime_ms: u64::from(number) * 5_000,
            reading: Some(reading(saved.seq)),
            done: saved.seq - 1,
        };
        saved.seq += 1;
        store.keep(&kept, &saved).unwrap();
        if number % 16 == 0 {
            store.done(&kept).unwrap();
        }
        if number % 2 == 0 {
            command(&mut saved.recent, random.u64(..));
            store.save(&saved).unwrap();
        }
        if number % 5_760 == 1 {
            store.save(&saved).unwrap();
        }
        if number % 24 == 0 {
            let number = 1 + number / 24;
            store.keep_note(&longest_note(number)).unwrap();
            store.forget_note(number).unwrap();
        }
        if number % PER_DAY * 100 / PER_DAY != (number + 1) % PER_DAY * 100 / PER_DAY {
            messages += 1;
            let letter = longest(messages);
            store.keep_letter(&letter).unwrap();
            for told in [false, true] {
                let mark = aldis_device::Mark {
                    told,
                    ..mark(messages, MessageState::Read)
                };
                store.mark_letter(&mark).unwrap();
            }
            store.keep_outgoing(&longest_outgoing(messages)).unwrap();
            store.forget_outgoing(messages).unwrap();
        }
    }
    assert_eq!(messages, RUN * 100);
    let [map, mail, log] = [0..20, 20..24, 24..48].map(|pages| ten_years(&flash, pages, RUN));
    println!("erased in ten years: {map}, {mail} and {log} times of {ENDURANCE}");
    // What the documentation says.
    assert!((55_000..=62_000).contains(&map), "{map}");
    assert!((57_000..=62_000).contains(&mail), "{mail}");
    assert!((18_000..=20_000).contains(&log), "{log}");
}

/// How long it lasts where nothing bounds what is written: a message each second, of a few
/// words, that pushes out another one which nobody has read.
#[test]
fn a_message_each_second_for_months_does() {
    const HOURS: u32 = 3;
    let pages = layout::STORE.len / 4096;
    let mut flash = Flash::<4096>::new(pages as usize);
    let mut store = Store::new(&mut flash, 0..layout::STORE.len).unwrap();
    for number in 1..=HOURS * 3_600 {
        let mut letter = longest(number);
        letter.from.truncate(8);
        letter.text.truncate(32);
        store.keep_note(&longest_note(number)).unwrap();
        store.keep_letter(&letter).unwrap();
        store.forget_note(number).unwrap();
    }
    let days = ENDURANCE * HOURS / 24 / flash.erased()[20..24].iter().max().unwrap();
    println!("a message each second wears the flash out in {days} days");
    assert!((60..=120).contains(&days), "{days}");
}
