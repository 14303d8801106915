use proptest::prelude::*;

use super::*;

/// A time of day that is believed.
const NOON: u64 = Moment::BELIEVED_MS + 43_200_000;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("aldis-readings-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    fn open(&self) -> (StateDir, Readings, Option<String>) {
        let state = StateDir::open(&self.0).unwrap();
        let (readings, warning) = Readings::load(&state).unwrap();
        (state, readings, warning)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn reading(seq: u32) -> Reading {
    Reading {
        t: seq as i16,
        h: seq as u16,
    }
}

/// The reading with this number, five seconds after the one before it.
fn kept(seq: u32, done: u32) -> Kept {
    Kept {
        seq,
        boot: 1,
        uptime_ms: u64::from(seq) * 5_000,
        reading: Some(reading(seq)),
        done,
    }
}

/// What the machine's clocks say so long after the device's start.
fn at(uptime_ms: u64) -> Moment {
    Moment {
        wall_ms: NOON + uptime_ms,
        machine: 7,
        up_ms: 1_000_000 + uptime_ms,
    }
}

fn keep(state: &StateDir, readings: &mut Readings, kept: &Kept) {
    let at = at(kept.uptime_ms);
    readings.append(Some(state), kept, 9, at).unwrap();
}

fn seqs(recalled: &[Recalled]) -> Vec<u32> {
    recalled.iter().map(|recalled| recalled.seq).collect()
}

/// Readings of an outage would be gone after a kill, or others than they were.
#[test]
fn what_was_kept_is_found_again() {
    let folder = Folder::new("kept");
    let (state, mut readings, warning) = folder.open();
    assert!(warning.is_none() && readings.recall(at(0)).is_empty());
    for seq in 1..=20 {
        keep(&state, &mut readings, &kept(seq, 4));
    }
    drop((state, readings));
    let (state, mut readings, warning) = folder.open();
    assert_eq!(warning, None);
    let recalled = readings.recall(at(130_000));
    assert_eq!(seqs(&recalled), (5..=20).collect::<Vec<_>>());
    for recalled in recalled {
        assert_eq!(
            (recalled.boot, recalled.reading),
            (1, reading(recalled.seq))
        );
        assert_eq!(recalled.age_ms, 130_000 - recalled.seq * 5_000);
    }
    // What is done then does not come again; nor does it where nothing was read after it.
    let done = Kept {
        reading: None,
        ..kept(20, 18)
    };
    keep(&state, &mut readings, &done);
    drop((state, readings));
    let (_state, readings, warning) = folder.open();
    assert_eq!(warning, None);
    assert_eq!(seqs(&readings.recall(at(0))), [19, 20]);
}

/// A kill between reading and number would have the number given twice; a state that was
/// damaged, all of them.
#[test]
fn numbers_go_on_behind_the_newest() {
    let folder = Folder::new("numbers");
    let (state, mut readings, _) = folder.open();
    let saved = |boot, seq, life| Saved {
        boot,
        seq,
        life,
        ..Saved::default()
    };
    assert_eq!(readings.numbers(saved(3, 8, 5)), saved(3, 8, 5));
    keep(&state, &mut readings, &kept(20, 0));
    assert_eq!(readings.numbers(saved(3, 20, 9)), saved(3, 21, 9));
    assert_eq!(readings.numbers(saved(0, 40, 9)), saved(1, 40, 9));
    assert_eq!(readings.numbers(Saved::default()), saved(1, 21, 9));
    // Others have these numbers now.
    assert_eq!(readings.numbers(saved(3, 8, 5)), saved(3, 8, 5));
    assert!(readings.recall(at(0)).is_empty());
    let mut last = kept(u32::MAX, 0);
    last.uptime_ms = u64::MAX;
    readings.append(Some(&state), &last, 9, at(0)).unwrap();
    assert_eq!(readings.numbers(saved(1, 1, 9)).seq, u32::MAX);
    assert_eq!(readings.recall(at(0)).len(), 1);
}

/// A long outage would fill the disk, or leave the oldest readings instead of the newest.
#[test]
fn the_newest_are_kept_and_the_file_does_not_grow() {
    let folder = Folder::new("ring");
    let (mut state, mut readings, _) = folder.open();
    for seq in 1..=2_500 {
        keep(&state, &mut readings, &kept(seq, 0));
        let len = fs::metadata(folder.file()).unwrap().len();
        assert_eq!(len, FILE_LEN as u64);
        if seq % 16 == 0 {
            let note = Kept {
                reading: None,
                ..kept(seq, 0)
            };
            keep(&state, &mut readings, &note);
        }
        if seq % 499 == 0 {
            drop((state, readings));
            return_to(&folder, seq);
            (state, readings, _) = folder.open();
        }
    }
    drop((state, readings));
    return_to(&folder, 2_500);
}

fn return_to(folder: &Folder, last: u32) {
    let (_state, readings, warning) = folder.open();
    assert_eq!(warning, None);
    let first = last.saturating_sub(ROOM) + 1;
    let expected: Vec<_> = (first..=last).collect();
    assert_eq!(seqs(&readings.recall(at(0))), expected);
}

/// Power fails while a record is written: the device complains, or loses more than that one.
#[test]
fn a_torn_record_is_passed_over() {
    for last in [1, 700, 1_023, 1_024, 1_500] {
        let folder = Folder::new("torn");
        let (state, mut readings, _) = folder.open();
        for seq in 1..last {
            keep(&state, &mut readings, &kept(seq, seq.saturating_sub(5)));
        }
        // There may be none yet.
        readings.write_all(&state).unwrap();
        let before = fs::read(folder.file()).unwrap();
        keep(&state, &mut readings, &kept(last, last.saturating_sub(5)));
        let after = fs::read(folder.file()).unwrap();
        drop((state, readings));
        let slot = LEN * (1 + last as usize % 1_024);
        for torn in 1..LEN {
            let mut bytes = before.clone();
            bytes[slot..slot + torn].copy_from_slice(&after[slot..slot + torn]);
            fs::write(folder.file(), &bytes).unwrap();
            let (_state, readings, warning) = folder.open();
            assert_eq!(warning, None, "{last} {torn}");
            let newest = readings.recall(at(0)).last().map(|recalled| recalled.seq);
            let expected = match bytes == after {
                true => Some(last),
                false => Some(last - 1).filter(|seq| *seq > 0),
            };
            assert_eq!(newest, expected, "{last} {torn}");
        }
    }
}

/// A damaged file would end the device, or take all readings with it without a word.
#[test]
fn damage_is_told_and_set_aside() {
    let good = Folder::new("good");
    let (state, mut readings, _) = good.open();
    for seq in 1..=50 {
        keep(&state, &mut readings, &kept(seq, 10));
    }
    drop((state, readings));
    let bytes = fs::read(good.file()).unwrap();
    let folder = Folder::new("damage");
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        bytes
    };
    let all: Vec<u32> = (11..=50).collect();
    let but = |lost: u32| all.iter().copied().filter(|seq| *seq != lost).collect();
    let cases: Vec<(Vec<u8>, Vec<u32>)> = vec![
        (Vec::new(), Vec::new()),
        (b"lamp = \"on\"\n".to_vec(), Vec::new()),
        (with(&|bytes| bytes[3] ^= 1), Vec::new()),
        (with(&|bytes| bytes[LEN * 31 + 20] ^= 1), but(30)),
        (with(&|bytes| bytes[LEN * 31..LEN * 32].fill(0)), but(30)),
        // Another record in its place.
        (
            with(&|bytes| bytes.copy_within(LEN * 41..LEN * 42, LEN * 31)),
            but(30),
        ),
        (with(&|bytes| bytes.truncate(LEN * 60)), all.clone()),
        (
            with(&|bytes| bytes.truncate(LEN * 41 + 7)),
            (11..=39).collect(),
        ),
        (with(&|bytes| bytes.push(0)), all.clone()),
        (with(&|bytes| bytes[LEN * 90] = 1), all.clone()),
    ];
    for (damage, left) in cases {
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.file(), &damage).unwrap();
        let (state, readings, warning) = folder.open();
        assert!(warning.unwrap().contains("readings.damaged"));
        let aside = fs::read(folder.0.join("readings.damaged")).unwrap();
        assert_eq!(aside, damage);
        assert_eq!(seqs(&readings.recall(at(0))), left);
        drop((state, readings));
        // What was rescued stays, is told of once, and more can be kept.
        let (state, mut readings, warning) = folder.open();
        assert_eq!(warning, None);
        assert_eq!(seqs(&readings.recall(at(0))), left);
        keep(&state, &mut readings, &kept(51, 10));
        drop((state, readings));
        let (_state, readings, warning) = folder.open();
        assert_eq!(warning, None);
        let expected: Vec<_> = left.iter().copied().chain([51]).collect();
        assert_eq!(seqs(&readings.recall(at(0))), expected);
    }
}

/// The disk is full: the device would lose what it has, or not go on when there is room again.
#[test]
#[cfg(target_os = "linux")]
fn what_has_no_room_is_kept_later() {
    let folder = Folder::new("full");
    let (state, mut readings, _) = folder.open();
    let full = folder.0.join("state.new");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    for seq in 1..=3 {
        let kept = kept(seq, 0);
        let refused = readings.append(Some(&state), &kept, 9, at(kept.uptime_ms));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    assert!(!folder.file().exists());
    fs::remove_file(&full).unwrap();
    keep(&state, &mut readings, &kept(4, 0));
    // With the file comes its room: what follows needs none.
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    for seq in 5..=1_100 {
        keep(&state, &mut readings, &kept(seq, seq - 5));
    }
    drop((state, readings));
    let (_state, readings, _) = folder.open();
    let expected: Vec<u32> = (1_096..=1_100).collect();
    assert_eq!(seqs(&readings.recall(at(0))), expected);
}

/// A device without a folder that is told to restart would lose what is not delivered.
#[test]
fn without_a_folder_memory_serves() {
    let mut readings = Readings::new();
    for seq in 1..=2_000 {
        let kept = kept(seq, seq.saturating_sub(600));
        readings.append(None, &kept, 9, at(kept.uptime_ms)).unwrap();
    }
    let expected: Vec<u32> = (1_489..=2_000).collect();
    assert_eq!(seqs(&readings.recall(at(10_000_000))), expected);
    assert_eq!(readings.numbers(Saved::default()).seq, 2_001);
    assert!(!readings.path.exists());
}

/// The ages that a start at `now` gives to readings, each taken in its start at that uptime,
/// when the machine's clocks said that.
fn ages(taken: &[(u32, u64, Moment)], now: Moment) -> Vec<u32> {
    let folder = Folder::new("ages");
    let (state, mut readings, _) = folder.open();
    for (seq, (boot, uptime_ms, at)) in (1..).zip(taken) {
        let kept = Kept {
            boot: *boot,
            uptime_ms: *uptime_ms,
            ..kept(seq, 0)
        };
        readings.append(Some(&state), &kept, 9, *at).unwrap();
    }
    let recalled = readings.recall(now);
    recalled.iter().map(|recalled| recalled.age_ms).collect()
}

/// A recorder takes a reading for newer or older than it can be.
#[test]
fn ages_are_what_is_certain() {
    let on = |machine, up_ms, wall_ms| Moment {
        wall_ms,
        machine,
        up_ms,
    };
    let before = [
        (1, 1_000, on(7, 101_000, NOON + 1_000)),
        (1, 61_000, on(7, 161_000, NOON + 61_000)),
    ];
    // While the machine runs, whatever is done to its clock.
    for wall in [0, NOON, NOON + 90_000, NOON * 2, u64::MAX] {
        assert_eq!(ages(&before, on(7, 190_000, wall)), [89_000, 29_000]);
    }
    // The machine was started anew, or does not tell: the time of day.
    for machine in [0, 8] {
        let now = |wall| on(machine, 5_000, wall);
        assert_eq!(ages(&before, now(NOON + 3_661_000)), [3_660_000, 3_600_000]);
        // That went back: what the device's own count says is left.
        assert_eq!(ages(&before, now(NOON)), [60_000, 0]);
        assert_eq!(ages(&before, now(0)), [60_000, 0]);
        assert_eq!(ages(&before, now(u64::MAX)), [u32::MAX; 2]);
    }
    // A container is younger than its machine.
    let now = on(7, 2_000, NOON + 62_000);
    assert_eq!(ages(&before, now), [61_000, 1_000]);
    // It was set while the device ran: from 1970, and back by an hour.
    let set = [
        (1, 1_000, on(7, 11_000, 1_000)),
        (1, 61_000, on(7, 71_000, NOON + 3_600_000)),
        (1, 121_000, on(7, 131_000, NOON)),
    ];
    let now = on(8, 5_000, NOON + 10_000);
    assert_eq!(ages(&set, now), [130_000, 70_000, 10_000]);
    // It never was.
    let unset = [(1, 1_000, on(7, 11_000, 1_000))];
    assert_eq!(ages(&unset, now), [0]);
    // Over two restarts, of the program and of the machine.
    let starts = [
        (1, 1_000, on(7, 101_000, NOON + 1_000)),
        (2, 1_000, on(7, 111_000, NOON + 11_000)),
        (3, 4_000, on(8, 9_000, NOON + 60_000)),
    ];
    let now = on(8, 10_000, NOON + 61_000);
    assert_eq!(ages(&starts, now), [60_000, 50_000, 1_000]);
    // A reading that was written after a later note is not younger than it.
    let late = [
        (1, 5_000, on(7, 105_000, NOON + 5_000)),
        (1, 4_000, on(7, 104_000, NOON + 4_000)),
    ];
    assert_eq!(ages(&late, on(7, 110_000, 0)), [5_000, 6_000]);
}

fn moments() -> impl Strategy<Value = Moment> {
    let any = any::<u64>;
    let wall = prop_oneof![any(), 0..=NOON, NOON..NOON * 2];
    let up = prop_oneof![any(), 0..1_000_000_u64];
    (wall, 0..3_u64, up).prop_map(|(wall_ms, machine, up_ms)| Moment {
        wall_ms,
        machine,
        up_ms,
    })
}

proptest! {
    /// A clock that jumps would end the device, or make a reading younger than its own start
    /// says.
    #[test]
    fn no_clock_makes_a_reading_younger(
        starts in prop::collection::vec((1_u64..1_000_000, moments(), moments()), 1..5),
        now in moments(),
    ) {
        let mut taken = Vec::new();
        for (boot, (uptime, first, second)) in (1..).zip(&starts) {
            taken.push((boot, 0, *first));
            taken.push((boot, *uptime, *second));
        }
        let ages = ages(&taken, now);
        let mut least = 0;
        for (pair, (uptime, ..)) in ages.chunks(2).zip(&starts).rev() {
            prop_assert!(u64::from(pair[1]) >= least);
            least += uptime;
            prop_assert!(u64::from(pair[0]) >= least.min(u32::MAX.into()));
        }
    }

    /// A damaged byte would end the device, or give a reading that nobody took.
    #[test]
    fn no_damage_makes_a_reading(
        at_byte in 0..FILE_LEN,
        flip in 1..=u8::MAX,
        len in 0..=FILE_LEN,
        cut in any::<bool>(),
    ) {
        let mut image = blank();
        for seq in 1..=1_100 {
            let kept = kept(seq, seq.saturating_sub(600));
            let at = at(kept.uptime_ms);
            place(&mut image, seq.into(), &Record { kept, life: 9, at });
        }
        let (whole, is_whole) = parse(&image);
        prop_assert!(is_whole);
        match cut {
            true => image.truncate(len),
            false => image[at_byte] ^= flip,
        }
        let (found, _) = parse(&image);
        for (number, record) in found {
            prop_assert_eq!(Some(&record), whole.get(&number));
        }
    }
}

/// The clocks of this machine would not be read, and every age would be the least.
#[test]
#[cfg(target_os = "linux")]
fn this_machine_tells_its_time() {
    let first = Moment::now();
    assert!(first.machine != 0 && first.up_ms > 0 && first.wall_ms > Moment::BELIEVED_MS);
    let second = Moment::now();
    assert!(second.since(first) < 60_000);
    assert_eq!(first.before(500).machine, first.machine);
    assert_eq!(first.since(first.before(500)), 500);
}
