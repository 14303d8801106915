//! Readings in their order, charts and what they are made of.

use aldis_history::{Arrival, Level, Retention};
use futures::TryStreamExt;

use super::{DAY, HOUR, check_points};
use crate::place::{NOON, Place, believed, device, taken, value};

on_both! {
    /// More than a page, from several lives, from the middle.
    readings_come_in_order
    /// A chart that shows too many points, or leaves readings out.
    charts_count_every_reading_once
    /// What is purged would be missing in the roll-ups, or counted twice.
    roll_ups_outlive_readings
}

async fn readings_come_in_order(place: Place) {
    let history = place.open().await;
    let mut batch = Vec::new();
    for seq in 1..=3000_u32 {
        // Three lives at once, six readings at each moment: a page ends between two of them.
        let taken_ms = NOON + i64::from(seq / 2) * 1000;
        batch.push(taken("a", 1, seq, taken_ms));
        batch.push(taken("a", 2, seq, taken_ms));
        batch.push(taken("a", 3, seq, taken_ms));
    }
    let mut random = fastrand::Rng::with_seed(1);
    random.shuffle(&mut batch);
    for part in batch.chunks(777) {
        history.commit(part).await.unwrap();
    }
    let from = NOON + 100_000;
    let to = NOON + 1_400_000;
    let read: Vec<_> = history
        .readings(&device("a"), from, to)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 1300 * 6);
    let keys: Vec<_> = read
        .iter()
        .map(|stored| (stored.taken_ms, stored.life, stored.seq))
        .collect();
    assert!(keys.iter().all(|key| (from..to).contains(&key.0)));
    assert!(
        read.iter()
            .all(|stored| stored.reading == value(stored.seq))
    );
    assert!(read.is_sorted_by_key(|stored| stored.taken_ms));
    let mut distinct = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), keys.len());
}

async fn charts_count_every_reading_once(place: Place) {
    let history = place.open().await;
    // Ten days, a reading each five minutes or so, with a hole of two days.
    let mut random = fastrand::Rng::with_seed(3);
    let mut expected = Vec::new();
    let mut taken_ms = NOON;
    for seq in 1..=3000_u32 {
        taken_ms += random.i64(1_000..600_000);
        if seq == 1500 {
            taken_ms += 2 * DAY;
        }
        expected.push((taken_ms, seq));
    }
    let end = taken_ms + 1;
    let batch: Vec<_> = expected
        .iter()
        .map(|&(ms, seq)| taken("a", 1, seq, ms))
        .collect();
    let (early, late) = batch.split_at(2900);
    for part in early.chunks(500) {
        history.commit(part).await.unwrap();
    }
    let check = async |count: usize, levels: &[Level]| {
        let mut seen = Vec::new();
        for max in [1, 2, 10, 100, 240, 700, 2000, 3000] {
            let chart = history.chart(&device("a"), NOON, end, max).await.unwrap();
            assert!(
                chart.points.len() <= max as usize,
                "{max}: {}",
                chart.points.len()
            );
            check_points(&chart.points, chart.width_ms, &expected[..count]);
            if !seen.contains(&chart.level) {
                seen.push(chart.level);
            }
        }
        assert_eq!(seen, levels);
    };
    // Nothing is rolled up yet, then most, then it has changed again.
    check(2900, &[Level::Hour, Level::Five, Level::Raw]).await;
    history.roll_up(NOON + 3 * DAY).await.unwrap();
    check(2900, &[Level::Hour, Level::Five, Level::Raw]).await;
    history.roll_up(end + HOUR).await.unwrap();
    history.commit(late).await.unwrap();
    check(3000, &[Level::Hour, Level::Five, Level::Raw]).await;
    history.roll_up(end + HOUR).await.unwrap();
    check(3000, &[Level::Hour, Level::Five, Level::Raw]).await;
    assert_eq!(history.roll_up(end + HOUR).await.unwrap(), 0);

    // An hour of which only the end has changed, which the chart does not reach.
    let (ms, seq) = (NOON + 20 * HOUR - 1, 3001);
    history.commit(&[taken("a", 1, seq, ms)]).await.unwrap();
    expected.push((ms, seq));
    let to = NOON + 20 * HOUR - 400_000;
    let chart = history.chart(&device("a"), NOON, to, 20).await.unwrap();
    assert_eq!(chart.level, Level::Hour);
    let within: Vec<_> = expected
        .iter()
        .copied()
        .filter(|(ms, _)| *ms < NOON + 20 * HOUR)
        .collect();
    check_points(&chart.points, chart.width_ms, &within);

    // A part of it.
    let (from, to) = (NOON + DAY, NOON + DAY + 6 * HOUR);
    let part: Vec<_> = expected
        .iter()
        .copied()
        .filter(|(ms, _)| (from..to).contains(ms))
        .collect();
    let chart = history.chart(&device("a"), from, to, 1000).await.unwrap();
    assert_eq!((chart.level, chart.width_ms), (Level::Raw, 0));
    check_points(&chart.points, 0, &part);
    let none = history.chart(&device("a"), 0, NOON, 1000).await.unwrap();
    assert_eq!(none.points, []);
}

async fn roll_ups_outlive_readings(place: Place) {
    let history = place.open().await;
    // Every minute of three days; some come late.
    let mut expected: Vec<_> = (0..4320_u32)
        .map(|seq| (NOON + i64::from(seq) * 60_000, seq + 1))
        .collect();
    let (late, early): (Vec<_>, Vec<_>) =
        expected.iter().copied().partition(|(_, seq)| seq % 97 == 0);
    let now = NOON + 3 * DAY + HOUR;
    let arrivals = |of: &[(i64, u32)]| -> Vec<_> {
        let arrival = |&(ms, seq)| Arrival {
            received_ms: now,
            ..taken("a", 1, seq, ms)
        };
        of.iter().map(arrival).collect()
    };
    for part in arrivals(&early).chunks(1000) {
        history.commit(part).await.unwrap();
    }
    let raw = Retention {
        raw_ms: Some(DAY),
        ..Retention::default()
    };
    // Nothing goes before it is rolled up.
    assert_eq!(
        history
            .purge(believed(&history, now).await, &raw, 100_000)
            .await
            .unwrap()
            .rows,
        0
    );
    assert_eq!(history.roll_up(now).await.unwrap(), 864);
    let mut purged = 0;
    loop {
        let piece = history
            .purge(believed(&history, now).await, &raw, 500)
            .await
            .unwrap();
        assert!(piece.rows <= 500);
        purged += piece.rows;
        if !piece.more {
            break;
        }
    }
    let sizes = history.sizes().await.unwrap();
    assert_eq!(sizes.readings + purged, early.len() as u64);
    // Two days and an hour have gone.
    assert!((2900..=2941).contains(&purged), "{purged}");
    assert_eq!((sizes.fives, sizes.hours), (864, 72));

    let check = async |expected: &[(i64, u32)]| {
        for (max, level) in [(72, Level::Hour), (864, Level::Five)] {
            let chart = history
                .chart(&device("a"), NOON, NOON + 3 * DAY, max)
                .await
                .unwrap();
            assert_eq!(chart.level, level);
            check_points(&chart.points, chart.width_ms, expected);
        }
    };
    check(&early).await;
    // What is late is added to what was left of its neighbours, once.
    for part in arrivals(&late).chunks(13) {
        history.commit(part).await.unwrap();
        history.commit(part).await.unwrap();
    }
    check(&expected).await;
    history.roll_up(now).await.unwrap();
    check(&expected).await;
    while history
        .purge(believed(&history, now).await, &raw, 500)
        .await
        .unwrap()
        .more
    {}
    check(&expected).await;

    // The same when the five minutes are gone as well.
    let five = Retention {
        five_ms: Some(2 * DAY),
        ..raw
    };
    while history
        .purge(believed(&history, now).await, &five, 100)
        .await
        .unwrap()
        .more
    {}
    let fives = history.sizes().await.unwrap().fives;
    assert_eq!(fives, 864 - 25 * 12);
    let (ms, seq) = (NOON + 30_000, 5000);
    history.commit(&arrivals(&[(ms, seq)])).await.unwrap();
    expected.insert(1, (ms, seq));
    let chart = history
        .chart(&device("a"), NOON, NOON + 3 * DAY, 864)
        .await
        .unwrap();
    assert_eq!(chart.level, Level::Hour);
    check_points(&chart.points, chart.width_ms, &expected);
    history.roll_up(now).await.unwrap();
    while history
        .purge(believed(&history, now).await, &five, 100)
        .await
        .unwrap()
        .more
    {}
    let chart = history
        .chart(&device("a"), NOON, NOON + 3 * DAY, 864)
        .await
        .unwrap();
    check_points(&chart.points, chart.width_ms, &expected);
    // Five minutes whose readings are there stay, whatever their time: a late reading has them
    // made anew, and their hour of them.
    let none = Retention {
        five_ms: Some(0),
        ..raw
    };
    while history
        .purge(believed(&history, now).await, &none, 100)
        .await
        .unwrap()
        .more
    {}
    assert_eq!(history.sizes().await.unwrap().fives, 23 * 12);
    let (ms, seq) = (NOON + 2 * DAY + 2 * HOUR + 30_000, 6000);
    history.commit(&arrivals(&[(ms, seq)])).await.unwrap();
    expected.push((ms, seq));
    history.roll_up(now).await.unwrap();
    let chart = history
        .chart(&device("a"), NOON, NOON + 3 * DAY, 864)
        .await
        .unwrap();
    check_points(&chart.points, chart.width_ms, &expected);

    // What is repeated is known even when it is gone.
    assert_eq!(
        history
            .commit(&arrivals(&early[..10]))
            .await
            .unwrap()
            .series[0]
            .repeated,
        10
    );
}
