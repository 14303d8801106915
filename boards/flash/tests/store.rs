//! The store, on a flash whose power goes at any moment.

use aldis_device::{Kept, Letter, Mark, Recalled, Recent, Saved};
use aldis_flash::layout;
use aldis_flash::store::{Error, Store};
use aldis_protocol::{Lamp, MessageState, Priority, Reading};
use aldis_world::flash::{Cut, Flash};
use embassy_futures::block_on;
use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};

/// Small pages fill up soon: eighteen records each.
type Small = Flash<PAGE>;
const PAGE: usize = 512;
const PAGES: usize = 12;
const END: u32 = (PAGES * PAGE) as u32;
/// How many readings a device of these tests can take back.
const ROOM: usize = 30;

fn open(flash: &mut Small) -> Store<&mut Small> {
    Store::new(flash, 0..END).unwrap()
}

fn reading(seq: u32) -> Reading {
    Reading {
        t: seq as i16,
        h: (seq % 1_000) as u16,
    }
}

/// A store in all of a flash.
fn whole<const PAGE: usize>(flash: &mut Flash<PAGE>) -> Store<&mut Flash<PAGE>> {
    let end = (flash.erased().len() * PAGE) as u32;
    Store::new(flash, 0..end).unwrap()
}

/// A command with an id was done, or not to its end.
fn command(recent: &mut Recent, id: u64) {
    let at = usize::from(recent.next);
    recent.ids[at] = id.max(1);
    recent.failed = recent.failed & !(1 << at) | (id as u16 & 1) << at;
    recent.next = ((at + 1) % Recent::LEN) as u8;
}

/// What a device does with its store, one thing after the other, and what must be
/// found after a restart.
#[derive(Clone, Debug, PartialEq)]
struct Life {
    saved: Saved,
    uptime_ms: u64,
    /// What is certainly kept, oldest first, and up to where it is done.
    kept: Vec<u32>,
    done: u32,
    /// The boot that each reading was taken in, from number 1 on.
    boots: Vec<u32>,
}

impl Life {
    fn new() -> Self {
        Self {
            saved: Saved::default(),
            uptime_ms: 0,
            kept: Vec::new(),
            done: 0,
            boots: Vec::new(),
        }
    }

    /// The next thing, chosen by `chance`. What it would be if it succeeds.
    fn after(&self, chance: u64) -> (Self, Act) {
        let mut after = self.clone();
        after.uptime_ms += 100 * (chance % 80);
        let act = match chance % 16 {
            0 => {
                after.saved.lamp = match self.saved.lamp {
                    Lamp::On => Lamp::Off,
                    Lamp::Off => Lamp::On,
                };
                command(&mut after.saved.recent, chance);
                Act::Save
            }
            1 => {
                after.done = (self.done + 20).min(self.saved.seq - 1);
                Act::Done
            }
            _ => {
                // Delivered soon, or not for long.
                if !(chance / 16).is_multiple_of(4) {
                    after.done = self.saved.seq - 1;
                }
                after.kept.push(self.saved.seq);
                after.boots.push(self.saved.boot);
                after.saved.seq += 1;
                Act::Keep
            }
        };
        after.kept.retain(|seq| *seq > after.done);
        (after, act)
    }

    fn kept(&self, reading: Option<Reading>) -> Kept {
        Kept {
            seq: self.saved.seq - 1,
            boot: self.saved.boot,
            uptime_ms: self.uptime_ms,
            reading,
            done: self.done,
        }
    }

    /// Does it, with this life being the one after it.
    fn write(&self, act: Act, store: &mut Store<&mut Small>) -> Result<(), Error> {
        match act {
            Act::Save => store.save(&self.saved),
            Act::Done => store.done(&self.kept(None)),
            Act::Keep => {
                let kept = self.kept(Some(reading(self.saved.seq - 1)));
                store.keep(&kept, &self.saved)
            }
        }
    }

    /// Starts again with what the flash holds, and checks that nothing is missing
    /// that must be there: this life, or `other`.
    fn restart(&self, other: &Self, flash: &mut Small, what: &str) -> Self {
        let mut store = open(flash);
        let saved = store.saved();
        assert_eq!(store.lamp(), saved.lamp, "{what}");
        let mut recalled = Vec::new();
        store.recall(ROOM, |reading| recalled.push(reading));
        let fits = |life: &Self| {
            let newest = life.kept.len().saturating_sub(ROOM);
            let expected = &life.kept[newest..];
            let found = recalled.iter().map(|recalled| recalled.seq);
            saved.lamp == life.saved.lamp
                && saved.recent == life.saved.recent
                && saved.boot == life.saved.boot
                && saved.unstable == life.saved.unstable
                && saved.seq == life.saved.seq
                && found.eq(expected.iter().copied())
        };
        let lived = match (fits(self), fits(other)) {
            (true, _) => self,
            (_, true) => other,
            _ => panic!("{what}: neither {self:?} nor {other:?}: {saved:?} {recalled:?}"),
        };
        let mut oldest = u32::MAX;
        for Recalled {
            seq,
            boot,
            age_ms,
            reading: found,
        } in &recalled
        {
            assert_eq!(*found, reading(*seq), "{what}");
            assert_eq!(*boot, lived.boots[*seq as usize - 1], "{what}");
            assert!(*age_ms <= oldest, "{what}: {recalled:?}");
            oldest = *age_ms;
        }
        let mut life = lived.clone();
        life.saved.boot += 1;
        life.uptime_ms = 0;
        life
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Save,
    Done,
    Keep,
}

/// The ways in which an operation can end when power goes.
fn cuts(random: &mut fastrand::Rng) -> Vec<Cut> {
    let mut cuts = vec![Cut::Before, Cut::After];
    cuts.extend((0..4).map(|_| Cut::Within(random.u64(..))));
    cuts
}

/// Power goes at every write and every erase there is, in every way. The flash
/// holds what was before or what was to be; and all goes on from there.
#[test]
fn a_power_cut_at_every_operation_leaves_the_old_or_the_new() {
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let mut flash = Small::new(PAGES);
    let mut life = Life::new();
    let mut tried = 0;
    for step in 0..400 {
        let (after, act) = life.after(random.u64(..));
        // How many operations it takes.
        let mut rehearsal = flash.clone();
        after.write(act, &mut open(&mut rehearsal)).unwrap();
        let operations = rehearsal.operations() - flash.operations();
        assert!(operations > 0);
        for number in 0..operations {
            for cut in cuts(&mut random) {
                let what = format!("step {step}, {act:?}, operation {number}, {cut:?}");
                let mut flash = flash.clone();
                flash.cut(number, cut);
                let written = after.write(act, &mut open(&mut flash));
                assert!(flash.is_off(), "{what}");
                flash.restore();
                // A write that took hold may have been told as one that did not; never
                // the other way round.
                let other = if written.is_ok() { &after } else { &life };
                let mut life = after.restart(other, &mut flash, &what);
                open(&mut flash).save(&life.saved).unwrap();
                for _ in 0..12 {
                    let (after, act) = life.after(random.u64(..));
                    after.write(act, &mut open(&mut flash)).unwrap();
                    life = after;
                }
                life.restart(&life, &mut flash, &what);
                tried += 1;
            }
        }
        after.write(act, &mut open(&mut flash)).unwrap();
        life = after;
    }
    assert!(tried > 2_400, "{tried}");
    // The map's pages and the log's were all filled, erased and filled again.
    assert!(flash.erased().iter().sum::<u32>() >= 2 * PAGES as u32);
}

/// One cut after the other, also while what the last one left is being repaired;
/// and a store that runs long between them.
#[test]
fn power_that_comes_and_goes_loses_nothing() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut flash = Small::new(PAGES);
        let (mut life, mut other) = (Life::new(), Life::new());
        for start in 0..40 {
            let what = format!("seed {seed}, start {start}");
            flash.restore();
            life = life.restart(&other, &mut flash, &what);
            other = life.clone();
            other.saved.boot -= 1;
            let mut way = cuts(&mut random);
            random.shuffle(&mut way);
            flash.cut(random.u64(0..80), way[0]);
            let mut store = open(&mut flash);
            let mut next = life.clone();
            let mut act = Act::Save;
            while next.write(act, &mut store).is_ok() {
                (other, life) = (life, next);
                (next, act) = life.after(random.u64(..));
            }
            // What was under way is there or not; what was before it is.
            (other, life) = (if next == life { other } else { life }, next);
        }
    }
}

/// The age of a reading tells when it was taken, also across a restart.
#[test]
fn ages_count_what_is_known_of_the_time() {
    let mut flash = Small::new(PAGES);
    let mut store = open(&mut flash);
    let saved = Saved::default();
    let mut keep = |seq, boot, uptime_ms, reading| {
        let kept = Kept {
            seq,
            boot,
            uptime_ms,
            reading,
            done: 0,
        };
        store.keep(&kept, &saved).unwrap();
    };
    keep(1, 1, 5_000, Some(reading(1)));
    keep(2, 1, 10_000, Some(reading(2)));
    keep(2, 1, 60_000, None);
    keep(3, 2, 1_000, Some(reading(3)));
    keep(4, 3, 2_500, Some(reading(4)));
    let mut ages = Vec::new();
    open(&mut flash).recall(ROOM, |recalled| {
        ages.push((recalled.seq, recalled.boot, recalled.age_ms));
    });
    // What passed while the board was off is not known.
    assert_eq!(
        ages,
        [(1, 1, 58_500), (2, 1, 53_500), (3, 2, 2_500), (4, 3, 0)]
    );
}

/// More readings than the device takes back: it gets the newest.
#[test]
fn the_newest_are_recalled() {
    let mut flash = Small::new(PAGES);
    let mut store = open(&mut flash);
    for seq in 1..=500 {
        let kept = Kept {
            seq,
            boot: 1,
            uptime_ms: u64::from(seq) * 5_000,
            reading: Some(reading(seq)),
            done: 0,
        };
        store.keep(&kept, &Saved::default()).unwrap();
    }
    let mut recalled = Vec::new();
    let mut store = open(&mut flash);
    store.recall(ROOM, |reading| recalled.push(reading.seq));
    assert_eq!(recalled, (471..=500).collect::<Vec<_>>());
    assert_eq!(store.saved().seq, 501);
}

/// The flash of a board must last ten years: with readings at the default interval, a
/// command with an id each ten seconds and a hundred of the longest messages in a day.
#[test]
fn ten_years_do_not_wear_the_flash_out() {
    const ENDURANCE: u32 = 100_000;
    const DAYS: u32 = 3_653;
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
        if number % PER_DAY * 100 / PER_DAY != (number + 1) % PER_DAY * 100 / PER_DAY {
            messages += 1;
            let letter = longest(messages);
            store.keep_letter(&letter).unwrap();
            for told in [false, true] {
                let mark = Mark {
                    told,
                    ..mark(messages, MessageState::Read)
                };
                store.mark_letter(&mark).unwrap();
            }
        }
    }
    assert_eq!(messages, RUN * 100);
    let ten_years = |pages: std::ops::Range<usize>| {
        let erased = &flash.erased()[pages];
        let most = *erased.iter().max().unwrap();
        assert!(erased.iter().all(|erased| erased + 2 >= most), "{erased:?}");
        most * DAYS / RUN
    };
    let [map, letters, log] = [0..20, 20..24, 24..48].map(ten_years);
    println!("erased in ten years: {map}, {letters} and {log} times of {ENDURANCE}");
    // What the documentation says.
    assert!((55_000..=62_000).contains(&map), "{map}");
    assert!((9_000..=11_000).contains(&letters), "{letters}");
    assert!((18_000..=20_000).contains(&log), "{log}");
}

/// A flash that takes no more: the device goes on, and no number is given twice.
#[test]
fn a_worn_flash_is_told_and_survived() {
    let mut flash = Small::new(PAGES);
    for page in 4..PAGES {
        flash.wear_out(page);
    }
    let mut saved = Saved::default();
    let mut store = open(&mut flash);
    let mut refused = 0;
    for seq in 1..=100 {
        let kept = Kept {
            seq,
            boot: 1,
            uptime_ms: 0,
            reading: Some(reading(seq)),
            done: seq - 1,
        };
        saved.seq = seq + 1;
        refused += u32::from(store.keep(&kept, &saved) == Err(Error::Flash));
    }
    assert!(refused > 80, "{refused}");
    assert_eq!(open(&mut flash).saved().seq, 101);
    // All of it worn out: nothing is kept, nothing stops.
    for page in 0..PAGES {
        flash.wear_out(page);
    }
    let mut store = open(&mut flash);
    assert_eq!(store.save(&saved), Err(Error::Flash));
    let _ = store.saved();
    store.recall(ROOM, |_| {});
}

/// Whatever is in the flash, of an older program or after a fault of the flash.
#[test]
fn garbage_is_begun_anew() {
    let mut lost = 0;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut flash = Small::new(PAGES);
        let mut life = Life::new();
        for _ in 0..random.usize(0..150) {
            let (after, act) = life.after(random.u64(..));
            after.write(act, &mut open(&mut flash)).unwrap();
            life = after;
        }
        // A few bytes, or a page, or everything.
        let len = *random.choice(&[1, 4, PAGE, PAGES * PAGE][..]).unwrap();
        let start = random.usize(0..=PAGES * PAGE - len);
        random.fill(&mut flash.bytes()[start..start + len]);
        let mut store = open(&mut flash);
        let mut saved = store.saved();
        store.recall(ROOM, |_| {});
        saved.lamp = Lamp::On;
        saved.boot = 77;
        store
            .save(&saved)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let seq = saved.seq.min(1_000_000);
        for seq in seq..seq + 40 {
            let kept = Kept {
                seq,
                boot: 77,
                uptime_ms: 0,
                reading: Some(reading(seq)),
                done: seq - 1,
            };
            store
                .keep(&kept, &saved)
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        let found = open(&mut flash).saved();
        assert_eq!((found.lamp, found.boot), (Lamp::On, 77), "seed {seed}");
        assert!(found.seq >= seq, "seed {seed}");
        lost += usize::from(found.seq < seq + 40);
    }
    // A record that is written over bytes which are not erased any more is lost, and
    // nothing tells of it but the numbers that were saved.
    assert!(lost <= 2, "{lost}");
}

/// A part of the flash that cannot work would be noticed when it is too late.
#[test]
fn impossible_parts_are_refused() {
    let mut flash = Small::new(PAGES);
    for part in [0..1_024, 0..1_536, 256..4_096, 256..2_816, 0..2_000] {
        let store = Store::new(&mut flash, part.clone());
        assert_eq!(store.err(), Some(Error::Geometry), "{part:?}");
    }
    assert!(Store::new(&mut flash, 512..512 + 2_048).is_ok());
    // Pages that have no room for the old and the new.
    let store = Store::new(Flash::<256>::new(8), 0..2_048);
    assert_eq!(store.err(), Some(Error::Geometry));
}

/// The map and the log tell different things: the numbers that are higher count.
#[test]
fn whichever_knows_more_is_believed() {
    let mut flash = Small::new(PAGES);
    let mut store = open(&mut flash);
    let saved = Saved {
        boot: 7,
        seq: 40,
        ..Saved::default()
    };
    store.save(&saved).unwrap();
    let kept = |seq, boot, done| Kept {
        seq,
        boot,
        uptime_ms: 0,
        reading: Some(reading(seq)),
        done,
    };
    store.keep(&kept(12, 3, 9), &saved).unwrap();
    assert_eq!(open(&mut flash).saved(), saved);
    let mut store = open(&mut flash);
    store.keep(&kept(45, 9, 40), &saved).unwrap();
    store.keep(&kept(60, 9, 50), &saved).unwrap();
    // One that says less, after it: a record of before a fault.
    store.keep(&kept(60, 9, 20), &saved).unwrap();
    store.keep(&kept(61, 9, 20), &saved).unwrap();
    let found = open(&mut flash).saved();
    assert_eq!((found.boot, found.seq), (9, 62));
    let mut recalled = Vec::new();
    open(&mut flash).recall(ROOM, |reading| recalled.push(reading.seq));
    assert_eq!(recalled, [60, 61]);
}

/// Damage in the log would give numbers again that were given long ago.
#[test]
fn numbers_are_in_two_places() {
    let mut flash = Small::new(PAGES);
    let mut store = open(&mut flash);
    let mut saved = Saved::default();
    for seq in 1..=300 {
        saved.seq = seq + 1;
        let kept = Kept {
            seq,
            boot: 1,
            uptime_ms: 0,
            reading: Some(reading(seq)),
            done: seq - 1,
        };
        store.keep(&kept, &saved).unwrap();
    }
    flash.bytes()[2 * PAGE..].fill(0xff);
    assert_eq!(open(&mut flash).saved().seq, 257);
}

/// The newest messages and what became of them, as a store of this many places has
/// them.
#[derive(Clone, Debug, PartialEq)]
struct Letters(Vec<Option<(Letter, Option<Mark>)>>);

impl Letters {
    fn new(places: usize) -> Self {
        Self(vec![None; places])
    }

    fn at(&mut self, number: u32) -> &mut Option<(Letter, Option<Mark>)> {
        let places = self.0.len();
        &mut self.0[number as usize % places]
    }

    fn keep(&mut self, letter: &Letter) {
        *self.at(letter.number) = Some((letter.clone(), None));
    }

    fn mark(&mut self, new: &Mark) {
        if let Some((letter, mark)) = self.at(new.number)
            && letter.number == new.number
        {
            *mark = Some(*new);
        }
    }

    /// What a store has.
    fn recall<F: NorFlash>(store: &mut Store<F>, places: usize) -> Self {
        let mut found = Self::new(places);
        store.recall_letters(|place, letter, mark| {
            assert_eq!(found.0[place], None);
            found.0[place] = Some((letter, mark));
        });
        found
    }
}

fn text<const N: usize>(text: &str) -> heapless::String<N> {
    text.try_into().unwrap()
}

fn longest(number: u32) -> Letter {
    Letter {
        number,
        id: text(&format!("{number:036}")),
        from: text(&"f".repeat(64)),
        text: text(&format!("{number:0256}")),
        priority: Priority::High,
        expires_s: Some(u32::MAX - 1),
    }
}

fn any_letter(number: u32, random: &mut fastrand::Rng) -> Letter {
    if random.u8(0..4) == 0 {
        return longest(number);
    }
    let mut some = |most: usize| "\u{17e}".repeat(random.usize(0..=most / 2));
    let (id, from, words) = (some(36), some(64), some(256));
    Letter {
        number,
        id: text(&id),
        from: text(&from),
        text: text(&words),
        priority: *random.choice(Priority::ALL).unwrap(),
        expires_s: random.bool().then(|| random.u32(..u32::MAX)),
    }
}

fn mark(number: u32, state: MessageState) -> Mark {
    Mark {
        number,
        state,
        told: false,
        age_ms: 0,
    }
}

fn any_mark(number: u32, random: &mut fastrand::Rng) -> Mark {
    const STATES: [MessageState; 3] = [
        MessageState::Received,
        MessageState::Read,
        MessageState::Expired,
    ];
    Mark {
        number,
        state: *random.choice(&STATES[..]).unwrap(),
        told: random.bool(),
        age_ms: random.u32(..),
    }
}

/// A message that is gone after a restart, is another's, or is read that was not; and
/// in a small store a message that pushes newer ones out, or the lamp.
#[test]
fn the_newest_messages_are_recalled_as_they_were() {
    for (pages, places) in [(6, 9), (12, 16), (48, 16)] {
        for seed in 0..8 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut flash = Flash::<4096>::new(pages);
            let mut saved = Saved {
                lamp: Lamp::On,
                ..Saved::default()
            };
            command(&mut saved.recent, 7);
            let mut store = whole(&mut flash);
            store.save(&saved).unwrap();
            let mut letters = Letters::new(places);
            for number in 1..=120 {
                let letter = match seed {
                    0 => longest(number),
                    _ => any_letter(number, &mut random),
                };
                let mut store = whole(&mut flash);
                store.keep_letter(&letter).unwrap();
                letters.keep(&letter);
                for _ in 0..random.u8(0..4) {
                    // Also of one whose place another has.
                    let of = number - random.u32(0..number.min(20));
                    let mark = any_mark(of, &mut random);
                    store.mark_letter(&mark).unwrap();
                    letters.mark(&mark);
                }
                let mut store = whole(&mut flash);
                let found = Letters::recall(&mut store, places);
                assert_eq!(found, letters, "{pages} pages, seed {seed}, {number}");
            }
            let mut store = whole(&mut flash);
            assert_eq!(store.saved(), saved);
        }
    }
}

/// A store without room for messages forgets the lamp for one, or stops.
#[test]
fn a_store_may_be_too_small_for_messages() {
    for pages in [4, 5] {
        let mut flash = Flash::<4096>::new(pages);
        let mut store = whole(&mut flash);
        let saved = Saved {
            lamp: Lamp::On,
            ..Saved::default()
        };
        store.save(&saved).unwrap();
        assert_eq!(store.keep_letter(&longest(1)), Err(Error::Geometry));
        let read = mark(1, MessageState::Read);
        assert_eq!(store.mark_letter(&read), Err(Error::Geometry));
        store.recall_letters(|_, _, _| panic!("a message from nowhere"));
        assert_eq!(store.saved(), saved);
    }
    // The longest does not fit on a page.
    let mut flash = Small::new(PAGES);
    let mut store = whole(&mut flash);
    assert_eq!(store.keep_letter(&longest(1)), Err(Error::Geometry));
    store.recall_letters(|_, _, _| panic!("a message from nowhere"));
}

/// Power goes while a message or its mark is written: there is what was before, or what
/// was to be, and nothing else of the others.
#[test]
fn a_power_cut_leaves_the_old_messages_or_the_new() {
    const PAGES: usize = 12;
    const PLACES: usize = 3;
    let mut random = fastrand::Rng::with_seed(0x1e77e5);
    let mut flash = Flash::<1_024>::new(PAGES);
    let mut letters = Letters::new(PLACES);
    let saved = Saved {
        lamp: Lamp::On,
        ..Saved::default()
    };
    Store::new(&mut flash, 0..END)
        .unwrap()
        .save(&saved)
        .unwrap();
    let mut number = 0;
    let mut tried = 0;
    // A letter, or a mark of one that is kept; none before the first.
    let next = |number: &mut u32, letters: &Letters, random: &mut fastrand::Rng| {
        let mut after = letters.clone();
        if *number == 0 || random.bool() {
            *number += 1;
            let letter = any_letter(*number, random);
            after.keep(&letter);
            (after, Ok(letter))
        } else {
            let of = *number - random.u32(0..(*number).min(PLACES as u32));
            let mark = any_mark(of, random);
            after.mark(&mark);
            (after, Err(mark))
        }
    };
    fn write(act: &Result<Letter, Mark>, flash: &mut Flash<1_024>) -> Result<(), Error> {
        let mut store = whole(flash);
        match act {
            Ok(letter) => store.keep_letter(letter),
            Err(mark) => store.mark_letter(mark),
        }
    }
    for step in 0..250 {
        let (after, act) = next(&mut number, &letters, &mut random);
        let mut rehearsal = flash.clone();
        write(&act, &mut rehearsal).unwrap();
        let operations = rehearsal.operations() - flash.operations();
        assert!(operations > 0);
        for operation in 0..operations {
            for cut in cuts(&mut random) {
                let what = format!("step {step}, {act:?}, operation {operation}, {cut:?}");
                let mut flash = flash.clone();
                flash.cut(operation, cut);
                let written = write(&act, &mut flash);
                assert!(flash.is_off(), "{what}");
                flash.restore();
                let mut store = whole(&mut flash);
                let found = Letters::recall(&mut store, PLACES);
                assert!(
                    found == after || found == letters && written.is_err(),
                    "{what}: {letters:?}, {found:?}"
                );
                assert_eq!(store.saved(), saved, "{what}");
                let (mut found, mut number) = (found, number);
                for _ in 0..6 {
                    let (after, act) = next(&mut number, &found, &mut random);
                    write(&act, &mut flash).unwrap();
                    found = after;
                }
                let mut store = whole(&mut flash);
                assert_eq!(Letters::recall(&mut store, PLACES), found, "{what}");
                tried += 1;
            }
        }
        write(&act, &mut flash).unwrap();
        letters = after;
    }
    assert!(tried > 3_000, "{tried}");
    assert!(flash.erased()[2..5].iter().all(|erased| *erased > 5));
}

/// Whatever is in the pages of messages: later ones are kept, and the lamp is not
/// touched.
#[test]
fn messages_are_begun_anew_over_garbage() {
    const PLACES: usize = 16;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut flash = Flash::<4096>::new(PAGES);
        let mut saved = Saved::default();
        command(&mut saved.recent, seed);
        whole(&mut flash).save(&saved).unwrap();
        let mut number = random.u32(0..60);
        for number in 1..=number {
            let mut store = whole(&mut flash);
            store.keep_letter(&any_letter(number, &mut random)).unwrap();
            let mark = any_mark(number, &mut random);
            store.mark_letter(&mark).unwrap();
        }
        let pages = &mut flash.bytes()[2 * 4096..5 * 4096];
        let len = *random.choice(&[1, 4, 400, 4096, 3 * 4096][..]).unwrap();
        let start = random.usize(0..=pages.len() - len);
        random.fill(&mut pages[start..start + len]);
        let mut store = whole(&mut flash);
        store.recall_letters(|_, letter, _| number = number.max(letter.number));
        // The first one may find that all is to be erased.
        let mut letters = Letters::new(PLACES);
        for number in number + 1..=number + 20 {
            let letter = any_letter(number, &mut random);
            store.keep_letter(&letter).unwrap();
            letters.keep(&letter);
            let mark = any_mark(number, &mut random);
            store.mark_letter(&mark).unwrap();
            letters.mark(&mark);
        }
        let mut store = whole(&mut flash);
        let found = Letters::recall(&mut store, PLACES);
        assert_eq!(found, letters, "seed {seed}");
        assert_eq!(store.saved(), saved, "seed {seed}");
    }
}

/// An entry of the map, as another program wrote it.
fn put_entry(flash: &mut Flash<4096>, part: std::ops::Range<u32>, key: u8, entry: &[u8]) {
    let config = MapConfig::<&mut Flash<4096>>::try_new(part).unwrap();
    let mut map = MapStorage::new(flash, config, Cache::new_uncached());
    let mut buffer = [0; 512];
    block_on(map.store_item(&mut buffer, &key, &entry)).unwrap();
}

/// A firmware that is written over an older one, or over a newer one.
#[test]
fn what_other_firmware_saved_is_read_or_left() {
    let mut flash = Flash::<4096>::new(48);
    let first = [1, 1, 3, 0, 9, 0, 0, 0, 0x2c, 1, 0, 0];
    put_entry(&mut flash, 0..20 * 4096, 1, &first);
    let expected = Saved {
        lamp: Lamp::On,
        boot: 9,
        seq: 300,
        unstable: 3,
        recent: Recent::default(),
    };
    assert_eq!(whole(&mut flash).saved(), expected);
    // It is written as this one writes it.
    let mut saved = expected;
    command(&mut saved.recent, 0x1234_5678_9abc_def1);
    whole(&mut flash).save(&saved).unwrap();
    assert_eq!(whole(&mut flash).saved(), saved);
    // One whose commands are missing is not half believed.
    for entry in [
        &[2, 1, 3, 0, 9, 0, 0, 0, 0x2c, 1, 0, 0][..],
        &[3; 144],
        &[1, 1],
        &[],
    ] {
        put_entry(&mut flash, 0..20 * 4096, 1, entry);
        assert_eq!(whole(&mut flash).saved(), Saved::default(), "{entry:?}");
    }
}

/// What the flash lost had this number: the mark of that would make a new message a
/// read one.
#[test]
fn a_mark_of_another_message_does_not_count() {
    let part = 20 * 4096..24 * 4096;
    let mut flash = Flash::<4096>::new(48);
    let mut store = whole(&mut flash);
    store.keep_letter(&longest(5)).unwrap();
    store.mark_letter(&mark(5, MessageState::Read)).unwrap();
    // No message that can be read.
    put_entry(&mut flash, part, 0x20 + 5, &[1]);
    let mut store = whole(&mut flash);
    store.recall_letters(|_, _, _| panic!("a message from nowhere"));
    // A mark without a message is none.
    store.mark_letter(&mark(5, MessageState::Expired)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let letter = any_letter(5, &mut random);
    store.keep_letter(&letter).unwrap();
    let mut found = Vec::new();
    whole(&mut flash).recall_letters(|place, letter, mark| found.push((place, letter, mark)));
    let [(5, kept, Some(mark))] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (kept, mark.state, mark.told),
        (&letter, MessageState::Received, false)
    );
}

/// Worn pages of messages: the rest goes on.
#[test]
fn worn_pages_of_messages_are_told() {
    let mut flash = Flash::<4096>::new(12);
    for page in 2..5 {
        flash.wear_out(page);
    }
    let mut store = whole(&mut flash);
    assert_eq!(store.keep_letter(&longest(1)), Err(Error::Flash));
    store.mark_letter(&mark(1, MessageState::Read)).unwrap();
    store.recall_letters(|_, _, _| panic!("a message from nowhere"));
    let saved = Saved {
        boot: 3,
        ..Saved::default()
    };
    store.save(&saved).unwrap();
    assert_eq!(store.saved(), saved);
}
