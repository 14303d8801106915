//! What is deleted, what is kept, and which clock is believed.

use aldis_history::{Arrival, Diag, History, Level, Retention, What};
use aldis_protocol::Availability;

use super::{DAY, HOUR, all, check_points, events, said, seqs, status};
use crate::place::{NOON, Place, believed, device, reading, taken};

on_both! {
    /// Deleting must not take what is to be kept.
    purging_goes_in_pieces
    /// A clock that is set wrong for an hour would cost all that was kept.
    a_wrong_clock_deletes_nothing
    /// Readings of a time that is still to come would stand there for ever as certain.
    a_clock_that_was_ahead_makes_times_uncertain
    /// After a clock that was wrong for days, each reading would be deleted as soon as it is
    /// stored, for years.
    a_store_recovers_from_a_wrong_clock
}

async fn purging_goes_in_pieces(place: Place) {
    use Availability::{Offline, Online};
    let history = place.open().await;
    let mut batch = Vec::new();
    for day in 0..10_i64 {
        batch.push(status(
            day * DAY,
            if day % 2 == 0 { Online } else { Offline },
        ));
        batch.push(said(
            "a",
            day * DAY,
            What::Morse {
                text: "E".to_owned(),
                wpm: 5,
            },
        ));
        let diag = Diag {
            uptime_s: Some(day.unsigned_abs()),
            ..Diag::default()
        };
        batch.push(said("a", day * DAY, What::Diag(Box::new(diag))));
        let mut other = reading("b", 1, u32::try_from(day).unwrap());
        other.received_ms = NOON + day * DAY;
        batch.push(other);
    }
    history.commit(&batch).await.unwrap();
    let now = NOON + 9 * DAY + HOUR;
    let keep = Retention {
        events_ms: Some(3 * DAY),
        diag_ms: Some(5 * DAY),
        ..Retention::default()
    };
    let mut pieces = Vec::new();
    loop {
        let piece = history
            .purge(believed(&history, now).await, &keep, 4)
            .await
            .unwrap();
        pieces.push(piece.rows);
        if !piece.more {
            break;
        }
    }
    // Of seven old states one stays: the state from which the others go on.
    assert_eq!(pieces.iter().sum::<u64>(), 7 - 1 + 7 + 5);
    assert!(pieces.iter().all(|&rows| rows <= 4), "{pieces:?}");
    let left: Vec<_> = events(&history)
        .await
        .iter()
        .map(|(at, _)| at / DAY)
        .collect();
    assert_eq!(left, [6, 7, 7, 8, 8, 9, 9]);
    assert_eq!(
        history
            .purge(believed(&history, now).await, &keep, 4)
            .await
            .unwrap()
            .rows,
        0
    );
    let outages = history
        .outages(&device("a"), NOON + 6 * DAY, now)
        .await
        .unwrap();
    assert_eq!(outages.len(), 2);
    assert_eq!(
        history
            .diags(&device("a"), 0, i64::MAX, 100)
            .await
            .unwrap()
            .len(),
        5
    );
    assert_eq!(history.sizes().await.unwrap().readings, 10);

    // A clock that is years ahead deletes nothing but what is older than what was heard last.
    let year = 365 * DAY;
    let keep = Retention {
        events_ms: Some(10 * DAY),
        diag_ms: Some(10 * DAY),
        ..keep
    };
    assert_eq!(
        history
            .purge(believed(&history, now + 30 * year).await, &keep, 100)
            .await
            .unwrap()
            .rows,
        0
    );
}

/// What is kept by default.
const KEEP: Retention = Retention {
    raw_ms: Some(90 * DAY),
    five_ms: Some(1095 * DAY),
    hour_ms: None,
    events_ms: Some(1095 * DAY),
    diag_ms: Some(60 * DAY),
};

/// Stores readings, half an hour apart, as they are taken; gives when and which.
async fn half_hours(history: &History, from: i64, seqs: std::ops::Range<u32>) -> Vec<(i64, u32)> {
    let mut batch = Vec::new();
    let mut expected = Vec::new();
    for (at, seq) in (0..).zip(seqs) {
        let ms = from + at * HOUR / 2;
        batch.push(Arrival {
            received_ms: ms,
            ..taken("a", 1, seq, ms)
        });
        expected.push((ms, seq));
    }
    history.commit(&batch).await.unwrap();
    expected
}

async fn purge_all(history: &History, now: aldis_history::Believed) -> u64 {
    let mut rows = 0;
    loop {
        let piece = history.purge(now, &KEEP, 500).await.unwrap();
        rows += piece.rows;
        if !piece.more {
            return rows;
        }
    }
}

async fn a_wrong_clock_deletes_nothing(place: Place) {
    let history = place.open().await;
    let minute = std::time::Duration::from_secs(60);
    half_hours(&history, NOON, 1..89 * 48).await;
    // The first clock may be the wrong one as well.
    let first = history.believe(NOON + 3650 * DAY, minute).await.unwrap();
    assert_eq!(first.is_off_by(), None);
    history.roll_up(NOON + 3650 * DAY).await.unwrap();
    assert_eq!(purge_all(&history, first).await, 0);

    let now = NOON + 89 * DAY;
    let right = believed(&history, now).await;
    assert_eq!(purge_all(&history, right).await, 0);
    let before = history.sizes().await.unwrap();

    // Someone speaks while it is 2036, so that this was heard last.
    let wrong = now + 3650 * DAY;
    half_hours(&history, wrong, 5000..5004).await;
    history.roll_up(wrong + 3 * HOUR).await.unwrap();
    for (hour, ran) in (0..24).zip([minute].into_iter().chain([60 * minute; 23])) {
        let doubted = history.believe(wrong + hour * HOUR, ran).await.unwrap();
        assert_eq!(purge_all(&history, doubted).await, 0, "after {hour} h");
        assert_eq!(doubted.is_off_by(), Some(3650 * DAY + hour * HOUR));
    }
    // The next process knows what this one knew.
    history.close().await;
    let history = place.open().await;
    let doubted = history.believe(wrong + DAY, minute).await.unwrap();
    assert_eq!(purge_all(&history, doubted).await, 0);

    let right = history.believe(now + DAY, minute).await.unwrap();
    assert_eq!(right.is_off_by(), None);
    assert_eq!(purge_all(&history, right).await, 0);
    let sizes = history.sizes().await.unwrap();
    assert_eq!(sizes.readings, before.readings + 4);
    let chart = history
        .chart(&device("a"), now - HOUR, now, 1000)
        .await
        .unwrap();
    assert_eq!(chart.level, Level::Raw);
    // And what is too old goes, as ever.
    let later = believed(&history, NOON + 91 * DAY).await;
    assert_eq!(purge_all(&history, later).await, 48);
}

async fn a_clock_that_was_ahead_makes_times_uncertain(place: Place) {
    let minute = std::time::Duration::from_secs(60);
    for ahead in [2 * HOUR, 3650 * DAY] {
        let id = format!("{ahead}");
        let history = place.open().await;
        let exact = async |history: &History| -> Vec<(u32, bool)> {
            let mut rows: Vec<_> = all(history, &id)
                .await
                .iter()
                .map(|row| (row.seq, row.exact))
                .collect();
            rows.sort_unstable();
            rows
        };
        let came = |seq, received_ms, age_ms| Arrival {
            received_ms,
            ..taken(&id, 1, seq, received_ms - age_ms)
        };
        history.believe(NOON, minute).await.unwrap();
        // Heard first while the clock is ahead; one of them was held for long.
        let wrong = NOON + ahead;
        history.believe(wrong, minute).await.unwrap();
        let batch = [
            came(1, wrong, 0),
            came(2, wrong + 5_000, 3 * HOUR),
            came(3, wrong + 10_000, 0),
        ];
        history.commit(&batch).await.unwrap();
        history.believe(wrong + 60_000, minute).await.unwrap();
        let all_exact = [(1, true), (2, true), (3, true)];
        assert_eq!(exact(&history).await, all_exact);

        // The hub starts again, and the time is right.
        history.close().await;
        let history = place.open().await;
        history.commit(&[came(4, NOON + 119_000, 0)]).await.unwrap();
        history.believe(NOON + 120_000, minute).await.unwrap();
        let doubted = [(1, false), (2, false), (3, false), (4, true)];
        assert_eq!(exact(&history).await, doubted);
        // Nothing of it hides what comes later.
        let committed = history.commit(&[came(5, NOON + 124_000, 0)]).await.unwrap();
        assert_eq!(committed.series[0].confirmed, 5);
        let latest = history.latest(&device(&id)).await.unwrap();
        assert_eq!(latest.reading.unwrap().seq, 5);
        let devices = history.devices().await.unwrap();
        let of = devices.iter().find(|of| of.key.id() == id).unwrap();
        assert_eq!((of.first_ms, of.last_ms), (NOON + 120_000, NOON + 124_000));
        // A clock that goes on doubts nothing.
        history.believe(NOON + 180_000, minute).await.unwrap();
        let after = exact(&history).await;
        assert_eq!(after[3..], [(4, true), (5, true)]);
        history.believe(NOON - HOUR, minute).await.unwrap();
        history.close().await;
    }
}

async fn a_store_recovers_from_a_wrong_clock(place: Place) {
    let history = place.open().await;
    half_hours(&history, NOON, 1..89 * 48).await;
    let now = NOON + 89 * DAY + HOUR / 4;
    let wrong = now + 3650 * DAY;
    half_hours(&history, wrong, 5000..5004).await;
    history.roll_up(wrong + 3 * HOUR).await.unwrap();
    let believed_wrong = believed(&history, wrong).await;
    assert!(purge_all(&history, believed_wrong).await > 89 * 48);
    assert_eq!(history.sizes().await.unwrap().readings, 4);

    // Set right, and not believed yet: what is too old goes, and nothing that is not.
    half_hours(&history, now - 91 * DAY, 5900..5901).await;
    half_hours(&history, now - HOUR, 5901..5902).await;
    let doubted = history
        .believe(now, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(purge_all(&history, doubted).await, 1);
    assert_eq!(seqs(&history, "a").await, [5901, 5000, 5001, 5002, 5003]);
    let right = believed(&history, now).await;
    assert_eq!(purge_all(&history, right).await, 0);
    let expected = half_hours(&history, now, 6000..6000 + 10 * 48).await;
    let end = now + 10 * DAY;
    history.roll_up(end).await.unwrap();
    let right = believed(&history, end).await;
    assert_eq!(purge_all(&history, right).await, 0);
    assert_eq!(history.sizes().await.unwrap().readings, 4 + 1 + 480);
    for (from, level) in [(end - HOUR, Level::Raw), (end - 3 * DAY, Level::Five)] {
        let chart = history.chart(&device("a"), from, end, 100).await.unwrap();
        assert_eq!(chart.level, level);
        let expected: Vec<_> = expected
            .iter()
            .filter(|(ms, _)| *ms >= from)
            .copied()
            .collect();
        check_points(&chart.points, chart.width_ms, &expected);
    }
    // From the day on which one of them is too old, the others stay all the same.
    let end = now + 91 * DAY;
    half_hours(&history, end, 7000..7002).await;
    history.roll_up(end + DAY / 2).await.unwrap();
    let right = believed(&history, end + DAY / 2).await;
    let gone = purge_all(&history, right).await;
    // A day and a half of readings have gone, by whole hours.
    assert!((71..=74).contains(&gone), "{gone}");
    assert_eq!(
        history.sizes().await.unwrap().readings,
        4 + 1 + 480 + 2 - gone
    );
    let seqs = seqs(&history, "a").await;
    assert!(seqs.contains(&7000) && seqs.contains(&7001));
    // Whatever was deleted, the hours count each reading once.
    let chart = history
        .chart(&device("a"), NOON - 10 * DAY, end + DAY, 10_000)
        .await
        .unwrap();
    let count: u64 = chart.points.iter().map(|point| point.n).sum();
    assert_eq!(count, 89 * 48 - 1 + 2 + 480 + 2);
}
