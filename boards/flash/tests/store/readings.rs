//! Readings, the lamp and the numbers.

use aldis_device::{Kept, Recalled, Recent, Saved};
use aldis_flash::store::{Error, Store};
use aldis_protocol::{Lamp, Reading};
use aldis_world::flash::Flash;

use super::{PAGE, PAGES, Small, command, cuts, open, put_entry, reading, whole};

/// How many readings a device of these tests can take back.
const ROOM: usize = 30;

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
        life: 0,
        unstable: 3,
        recent: Recent::default(),
    };
    assert_eq!(whole(&mut flash).saved(), expected);
    // It is written as this one writes it.
    let mut saved = expected;
    saved.life = 40_123;
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
