//! Two recorders on one store.

use std::collections::BTreeMap;

use aldis_history::{Arrival, Committed, History, Retention, What};
use aldis_protocol::Availability;
use futures::TryStreamExt;

use crate::place::{NOON, Place, believed, device, reading};

const DEVICES: u32 = 12;
const READINGS: u32 = 400;

/// What a recorder is given: everything, in an order of its own, some of it twice.
fn share(seed: u64) -> Vec<Arrival> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut all = Vec::new();
    for id in 0..DEVICES {
        for seq in 1..=READINGS {
            all.push(reading(&format!("d{id}"), 7, seq));
            if random.u32(0..10) == 0 {
                all.push(reading(&format!("d{id}"), 7, seq));
            }
        }
    }
    // Not in order, but not from the other end of time either.
    for start in (0..all.len()).step_by(300) {
        let end = (start + 600).min(all.len());
        random.shuffle(&mut all[start..end]);
    }
    random.shuffle(&mut all[..200]);
    all
}

async fn record(history: History, seed: u64) -> Vec<Committed> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut left = &share(seed)[..];
    let mut told = Vec::new();
    while !left.is_empty() {
        let (batch, rest) = left.split_at(random.usize(1..400).min(left.len()));
        left = rest;
        told.push(history.commit(batch).await.unwrap());
        if random.u32(0..6) == 0 {
            history.roll_up(NOON + 3_600_000).await.unwrap();
        }
        if random.u32(0..6) == 0 {
            let id = format!("d{}", random.u32(0..DEVICES));
            // It may not be known yet.
            let _ = history.rename(&device(&id), Some("title")).await;
            let _ = history.give_up(&device(&id), 7, 0).await;
        }
        if random.u32(0..6) == 0 {
            let keep = Retention {
                raw_ms: Some(10 * 365 * 86_400_000),
                ..Retention::default()
            };
            history
                .purge(believed(&history, NOON).await, &keep, 100)
                .await
                .unwrap();
        }
    }
    told
}

async fn two_store_everything_once(place: Place) {
    let one = place.open().await;
    let two = place.open().await;
    let tasks: Vec<_> = [
        (one.clone(), 1),
        (two.clone(), 2),
        (one.clone(), 3),
        (two, 4),
    ]
    .into_iter()
    .map(|(history, seed)| tokio::spawn(record(history, seed)))
    .collect();
    let mut new: BTreeMap<String, u64> = BTreeMap::new();
    let mut repeated = 0;
    for task in tasks {
        for series in task
            .await
            .unwrap()
            .into_iter()
            .flat_map(|committed| committed.series)
        {
            *new.entry(series.device.id().to_owned()).or_default() += series.new;
            repeated += series.repeated;
        }
    }
    // Each reading was new to one of them and repeated to the others.
    assert_eq!(new.len(), DEVICES as usize);
    assert!(
        new.values().all(|&new| new == u64::from(READINGS)),
        "{new:?}"
    );
    assert_eq!(one.devices().await.unwrap().len(), DEVICES as usize);
    let sizes = one.sizes().await.unwrap();
    assert_eq!(sizes.readings, u64::from(DEVICES * READINGS));
    assert_eq!(sizes.repeated, repeated);
    one.roll_up(NOON + 86_400_000).await.unwrap();
    for id in 0..DEVICES {
        let device = device(&format!("d{id}"));
        assert_eq!(one.gaps(&device).await.unwrap(), []);
        let read: Vec<_> = one
            .readings(&device, 0, i64::MAX)
            .try_collect()
            .await
            .unwrap();
        let seqs: Vec<_> = read.iter().map(|stored| stored.seq).collect();
        assert_eq!(seqs, (1..=READINGS).collect::<Vec<_>>());
        let chart = one.chart(&device, 0, i64::MAX, 10).await.unwrap();
        assert_eq!(
            chart.points.iter().map(|point| point.n).sum::<u64>(),
            u64::from(READINGS)
        );
    }
    one.close().await;
}

/// Readings that two recorders got would be counted twice, or lost to a deadlock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_recorders_on_a_server_store_everything_once() {
    two_store_everything_once(Place::postgres()).await;
}

/// The same with a file, as of two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_recorders_on_a_file_store_everything_once() {
    two_store_everything_once(Place::sqlite()).await;
}

/// Two recorders open a store that is not there yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once() {
    for place in [Place::postgres(), Place::sqlite()] {
        let opened: Vec<_> = (0..4)
            .map(|_| {
                let address = place.address.clone();
                tokio::spawn(async move { History::open(&address).await.unwrap() })
            })
            .collect();
        for history in opened {
            let history = history.await.unwrap();
            history.commit(&[reading("a", 1, 1)]).await.unwrap();
            assert_eq!(history.sizes().await.unwrap().readings, 1);
            history.close().await;
        }
    }
}

/// A device is removed while others write to it, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_may_be_removed_under_a_writer() {
    for place in [Place::postgres(), Place::sqlite()] {
        let history = place.open().await;
        let now = believed(&history, NOON).await;
        let writer = {
            let other = place.open().await;
            tokio::spawn(async move {
                for seq in 1..=300 {
                    let status = Arrival {
                        device: device("a"),
                        received_ms: NOON + i64::from(seq),
                        received: None,
                        what: What::Status(Availability::Online),
                    };
                    let committed = other.commit(&[reading("a", 1, seq), status]).await.unwrap();
                    assert_eq!(committed.series[0].new, 1);
                }
            })
        };
        let mut removed = 0;
        while !writer.is_finished() {
            if history.remove(&device("a")).await.is_ok() {
                removed += 1;
            }
            history.purge(now, &Retention::default(), 50).await.unwrap();
            tokio::task::yield_now().await;
        }
        writer.await.unwrap();
        assert!(removed > 0);
        while history
            .purge(now, &Retention::default(), 50)
            .await
            .unwrap()
            .more
        {}
        let devices = history.devices().await.unwrap();
        assert!(devices.len() <= 1);
        let sizes = history.sizes().await.unwrap();
        assert_eq!(sizes.devices, devices.len() as u64);
        // What is left is of the device that is there.
        let mut left = 0;
        for device in devices {
            let read: Vec<_> = history
                .readings(&device.key, 0, i64::MAX)
                .try_collect()
                .await
                .unwrap();
            left += read.len() as u64;
        }
        assert_eq!(sizes.readings, left);
        history.close().await;
    }
}
