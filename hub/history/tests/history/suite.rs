//! What holds on both stores.

use aldis_history::{Arrival, History, What};
use aldis_protocol::Availability;
use futures::TryStreamExt;

use crate::place::{NOON, device, value};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Each of these runs on both stores.
macro_rules! on_both {
    ($($(#[$about:meta])* $name:ident)*) => {
        mod sqlite {
            $($(#[$about])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::place::Place::sqlite()).await;
            })*
        }
        mod postgres {
            $($(#[$about])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::place::Place::postgres()).await;
            })*
        }
    };
}

mod charts;
mod keeping;
mod messages;
mod numbers;
mod states;
mod stores;

async fn all(history: &History, id: &str) -> Vec<aldis_history::StoredReading> {
    history
        .readings(&device(id), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap()
}

async fn seqs(history: &History, id: &str) -> Vec<u32> {
    all(history, id)
        .await
        .iter()
        .map(|stored| stored.seq)
        .collect()
}

/// Gaps as their numbers and whether they are lost.
async fn gaps(history: &History, id: &str) -> Vec<(u32, u32, bool)> {
    let gaps = history.gaps(&device(id)).await.unwrap();
    gaps.iter()
        .map(|gap| (gap.first, gap.last, gap.lost))
        .collect()
}

async fn confirmed(history: &History, arrivals: &[Arrival]) -> u32 {
    let committed = history.commit(arrivals).await.unwrap();
    assert_eq!(committed.series.len(), 1);
    committed.series[0].confirmed
}

fn said(id: &str, at: i64, what: What) -> Arrival {
    Arrival {
        device: device(id),
        received_ms: NOON + at,
        received: None,
        what,
    }
}

fn status(at: i64, status: Availability) -> Arrival {
    said("a", at, What::Status(status))
}

/// Events as their time and value, oldest first.
async fn events(history: &History) -> Vec<(i64, String)> {
    let mut events: Vec<_> = history
        .events(&device("a"), 0, i64::MAX, 1000)
        .await
        .unwrap()
        .into_iter()
        .map(|event| (event.at_ms - NOON, event.value))
        .collect();
    events.reverse();
    events
}

fn rows(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter()
        .map(|&(at, value)| (at, value.to_owned()))
        .collect()
}

/// What points say of the readings whose numbers are given.
fn check_points(points: &[aldis_history::Point], width: i64, expected: &[(i64, u32)]) {
    assert!(points.is_sorted_by_key(|point| point.start_ms));
    assert_eq!(
        points.iter().map(|point| point.n).sum::<u64>(),
        expected.len() as u64
    );
    for point in points {
        let within: Vec<_> = expected
            .iter()
            .filter(|(taken_ms, _)| {
                if width == 0 {
                    *taken_ms == point.start_ms
                } else {
                    taken_ms - taken_ms.rem_euclid(width) == point.start_ms
                }
            })
            .map(|&(_, seq)| value(seq))
            .collect();
        if width == 0 {
            assert!(
                within
                    .iter()
                    .any(|reading| i32::from(reading.t) == point.t.min)
            );
            continue;
        }
        assert_eq!(point.n, within.len() as u64);
        let values = |of: fn(&aldis_protocol::Reading) -> i32| -> Vec<i32> {
            within.iter().map(of).collect()
        };
        for (range, values) in [
            (point.t, values(|reading| reading.t.into())),
            (point.h, values(|reading| reading.h.into())),
        ] {
            assert_eq!(Some(&range.min), values.iter().min());
            assert_eq!(Some(&range.max), values.iter().max());
            let mean =
                values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
            assert!((range.mean - mean).abs() < 1e-9);
        }
    }
}
