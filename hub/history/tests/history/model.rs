//! Arrivals by chance, against a model in memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aldis_history::{Arrival, HELD, History, Retention, What};
use futures::TryStreamExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::place::{NOON, Place, believed, device, taken, value};

const HOUR: i64 = 3_600_000;

/// What is done.
#[derive(Clone, Debug)]
enum Step {
    /// A batch: device, life, number and whether its time jumps back.
    Commit(Vec<(usize, u32, u32, bool)>),
    /// Everything of a life up to a number is given up.
    GiveUp(usize, u32, u32),
    /// The count of a life begins where it can.
    Settle(usize, u32),
    /// The store is closed and opened.
    Reopen,
    /// Half an hour's worth of numbers later, what is over is rolled up.
    RollUp(u32),
    /// What is older than so many numbers is deleted, in pieces.
    Purge(u32, u32),
}

const IDS: [&str; 2] = ["a", "b"];
/// Numbers a step may be about.
const NUMBERS: std::ops::Range<u32> = HELD - 20..HELD + 120;
/// One reading each two minutes.
const EACH: i64 = 120_000;

fn step() -> impl Strategy<Value = Step> {
    let arrival = (0..IDS.len(), 0..3_u32, NUMBERS, prop::bool::weighted(0.1));
    prop_oneof![
        6 => prop::collection::vec(arrival, 1..40).prop_map(Step::Commit),
        // In order, as a device sends them.
        4 => (0..IDS.len(), 0..3_u32, NUMBERS, 1..30_u32).prop_map(|(id, life, first, count)| {
            Step::Commit((first..first + count).map(|seq| (id, life, seq, false)).collect())
        }),
        2 => (0..IDS.len(), 0..3_u32, NUMBERS).prop_map(|(id, life, to)| Step::GiveUp(id, life, to)),
        2 => (0..IDS.len(), 0..3_u32).prop_map(|(id, life)| Step::Settle(id, life)),
        1 => Just(Step::Reopen),
        2 => NUMBERS.prop_map(Step::RollUp),
        1 => (NUMBERS, 1..50_u32).prop_map(|(before, most)| Step::Purge(before, most)),
    ]
}

/// What a series ought to be, number by number.
#[derive(Default)]
struct Series {
    base: Option<u32>,
    stored: BTreeMap<u32, i64>,
    lost: BTreeSet<u32>,
}

impl Series {
    fn confirmed(&self) -> u32 {
        let base = self.base.unwrap();
        let known = |seq: &u32| self.stored.contains_key(seq) || self.lost.contains(seq);
        (base..).take_while(known).last().unwrap_or(base - 1)
    }

    fn top(&self) -> u32 {
        let stored = self.stored.keys().last().copied().unwrap_or(0);
        stored.max(self.lost.last().copied().unwrap_or(0))
    }

    /// First, last and whether lost.
    fn gaps(&self) -> Vec<(u32, u32, bool)> {
        let mut gaps: Vec<(u32, u32, bool)> = Vec::new();
        for seq in self.base.unwrap()..self.top() {
            if self.stored.contains_key(&seq) {
                continue;
            }
            let lost = self.lost.contains(&seq);
            match gaps.last_mut() {
                Some(gap) if gap.1 + 1 == seq && gap.2 == lost => gap.1 = seq,
                _ => gaps.push((seq, seq, lost)),
            }
        }
        gaps
    }
}

#[derive(Default)]
struct Model {
    series: BTreeMap<(usize, u32), Series>,
    repeated: u64,
    /// From where on nothing has been purged.
    purged_before: i64,
}

fn time(seq: u32, jumped: bool) -> i64 {
    NOON + (i64::from(seq) - i64::from(NUMBERS.start)) * EACH
        - if jumped { 3 * HOUR + 61_000 } else { 0 }
}

async fn run(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut history = place.open().await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(of) => commit(&history, &mut model, &of).await?,
            Step::GiveUp(id, life, to) => {
                let given = history.give_up(&device(IDS[id]), life.into(), to).await;
                let series = model.series.get_mut(&(id, life));
                let Some(series) = series else {
                    // The device may be unknown as a whole.
                    prop_assert!(given.is_err() || given.unwrap().is_none());
                    continue;
                };
                let missing: Vec<_> = (series.base.unwrap()..=to.min(series.top()))
                    .filter(|seq| !series.stored.contains_key(seq) && !series.lost.contains(seq))
                    .collect();
                let count = missing.len() as u64;
                series.lost.extend(missing);
                prop_assert_eq!(given.unwrap(), Some((series.confirmed(), count)));
            }
            Step::Settle(id, life) => {
                let settled = history.settle(&device(IDS[id]), life.into()).await;
                let Some(series) = model.series.get_mut(&(id, life)) else {
                    prop_assert!(settled.is_err() || settled.unwrap().is_none());
                    continue;
                };
                let base = series.base.unwrap();
                let lowest = [series.stored.keys().next(), series.lost.first()];
                let lowest = lowest
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|seq| *seq >= base);
                series.base = lowest.min().or(series.base);
                prop_assert_eq!(settled.unwrap(), Some(series.confirmed()));
            }
            Step::Reopen => {
                history.close().await;
                history = place.open().await;
            }
            Step::RollUp(seq) => {
                history.roll_up(time(seq, false)).await.unwrap();
            }
            Step::Purge(before, most) => {
                let now = NOON + 100 * HOUR;
                let raw = Retention {
                    raw_ms: Some(now - time(before, false)),
                    ..Retention::default()
                };
                // The clock may not run ahead of what was heard, so something is heard.
                let heard = Arrival {
                    device: device("clock"),
                    received_ms: now,
                    received: None,
                    what: What::Led(aldis_protocol::Lamp::On),
                };
                history.commit(&[heard]).await.unwrap();
                while history
                    .purge(believed(&history, now).await, &raw, most)
                    .await
                    .unwrap()
                    .more
                {}
                model.purged_before = model.purged_before.max(time(before, false));
            }
        }
        look(&history, &model).await?;
    }
    history.close().await;
    Ok(())
}

async fn commit(
    history: &History,
    model: &mut Model,
    of: &[(usize, u32, u32, bool)],
) -> Result<(), TestCaseError> {
    let batch: Vec<_> = of
        .iter()
        .map(|&(id, life, seq, jumped)| taken(IDS[id], life, seq, time(seq, jumped)))
        .collect();
    let committed = history.commit(&batch).await.unwrap();
    let mut counts: BTreeMap<(usize, u32), (u64, u64)> = BTreeMap::new();
    let mut first: BTreeMap<(usize, u32), u32> = BTreeMap::new();
    for &(id, life, seq, _) in of {
        let first = first.entry((id, life)).or_insert(seq);
        *first = seq.min(*first);
    }
    for &(id, life, seq, jumped) in of {
        let series = model.series.entry((id, life)).or_default();
        series
            .base
            .get_or_insert(first[&(id, life)].saturating_sub(HELD).max(1));
        let (new, repeated) = counts.entry((id, life)).or_default();
        if let Entry::Vacant(vacant) = series.stored.entry(seq) {
            vacant.insert(time(seq, jumped));
            series.lost.remove(&seq);
            *new += 1;
        } else {
            *repeated += 1;
            model.repeated += 1;
        }
    }
    let told: Vec<_> = committed
        .series
        .iter()
        .map(|series| {
            let id = IDS.iter().position(|id| *id == series.device.id()).unwrap();
            (
                (id, series.life),
                series.confirmed,
                series.new,
                series.repeated,
            )
        })
        .collect();
    let expected: Vec<_> = counts
        .iter()
        .map(|(key, &(new, repeated))| (*key, model.series[key].confirmed(), new, repeated))
        .collect();
    prop_assert_eq!(told, expected);
    Ok(())
}

/// Compares all that can be read with the model.
async fn look(history: &History, model: &Model) -> Result<(), TestCaseError> {
    for (number, id) in IDS.iter().enumerate() {
        let of: Vec<_> = model
            .series
            .iter()
            .filter(|((of, _), _)| *of == number)
            .collect();
        if of.is_empty() {
            continue;
        }
        let mut gaps: Vec<_> = history
            .gaps(&device(id))
            .await
            .unwrap()
            .iter()
            .map(|gap| (gap.life, gap.first, gap.last, gap.lost))
            .collect();
        gaps.sort_unstable();
        let expected: Vec<_> = of
            .iter()
            .flat_map(|((_, life), series)| {
                let gaps = series.gaps();
                gaps.into_iter()
                    .map(|(first, last, lost)| (*life, first, last, lost))
            })
            .collect();
        prop_assert_eq!(gaps, expected);

        let mut all: Vec<(i64, u32, u32)> = of
            .iter()
            .flat_map(|((_, life), series)| {
                series.stored.iter().map(|(&seq, &ms)| (ms, *life, seq))
            })
            .collect();
        all.sort_unstable();
        let read: Vec<_> = history
            .readings(&device(id), 0, i64::MAX)
            .try_collect()
            .await
            .unwrap();
        prop_assert!(read.is_sorted_by_key(|stored| stored.taken_ms));
        let mut read: Vec<_> = read
            .iter()
            .map(|stored| (stored.taken_ms, stored.life, stored.seq))
            .collect();
        read.sort_unstable();
        let kept: Vec<_> = all
            .iter()
            .filter(|(ms, ..)| *ms >= model.purged_before)
            .collect();
        // Nothing is there that was not stored, or twice; nothing is gone that was to be kept.
        prop_assert!(read.windows(2).all(|two| two[0] != two[1]));
        prop_assert!(read.iter().all(|row| all.contains(row)));
        prop_assert!(kept.iter().all(|row| read.contains(row)));

        // Each level counts each reading that was ever stored, once.
        let (from, to) = (NOON - 10 * HOUR, NOON + 10 * HOUR);
        for max in [240, 20, 3] {
            let chart = history.chart(&device(id), from, to, max).await.unwrap();
            prop_assert!(chart.points.len() <= max as usize);
            let width = chart.width_ms;
            let mut expected: BTreeMap<i64, (u64, i32, i32, i64)> = BTreeMap::new();
            for &(ms, _, seq) in &all {
                let start = if width == 0 {
                    ms
                } else {
                    ms - ms.rem_euclid(width)
                };
                let t = i32::from(value(seq).t);
                let sum = expected.entry(start).or_insert((0, t, t, 0));
                *sum = (sum.0 + 1, sum.1.min(t), sum.2.max(t), sum.3 + i64::from(t));
            }
            if width == 0 {
                let count: u64 = chart.points.iter().map(|point| point.n).sum();
                prop_assert_eq!(count, all.len() as u64);
                continue;
            }
            let found: Vec<_> = chart
                .points
                .iter()
                .map(|point| {
                    let sum = (point.t.mean * point.n as f64).round() as i64;
                    (point.start_ms, (point.n, point.t.min, point.t.max, sum))
                })
                .collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
    if !model.series.is_empty() {
        prop_assert_eq!(history.sizes().await.unwrap().repeated, model.repeated);
    }
    Ok(())
}

fn check(place: fn() -> Place, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config {
        cases: std::env::var("PROPTEST_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let steps = prop::collection::vec(step(), 1..25);
    let run = |steps| runtime.block_on(run(&place(), steps));
    if let Err(failed) = TestRunner::new(config).run(&steps, run) {
        panic!("{failed}");
    }
}

/// Stored once, gaps and confirmations as they are, roll-ups of all that was ever stored.
#[test]
fn sqlite_is_as_the_model() {
    check(Place::sqlite, 64);
}

/// The same on a server.
#[test]
fn postgres_is_as_the_model() {
    check(Place::postgres, 24);
}
