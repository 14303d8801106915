//! Which readings are stored, and which numbers are missing.

use aldis_history::{Arrival, Gap, HELD, Kind, NotAReading, What};

use super::{all, confirmed, gaps, said, seqs};
use crate::place::{NOON, Place, device, reading, taken, value};

on_both! {
    /// A broker that delivers twice would be seen as two readings.
    repeated_deliveries_are_stored_once
    /// A device would forget what nobody has, or keep for ever what it need not.
    gaps_are_known_and_given_up
    /// A gap would be told of readings that nobody promised.
    what_was_before_the_recorder_is_no_gap
    /// A device whose memory was emptied counts from one again: nothing of it would be stored.
    lives_are_apart
    /// A number that somebody made up would show billions of readings as missing, and what is
    /// confirmed would never be right again.
    a_number_that_cannot_follow_begins_anew
    /// What is no reading would vanish, or stand among the readings.
    what_is_no_reading_is_kept_apart
}

async fn repeated_deliveries_are_stored_once(place: Place) {
    let history = place.open().await;
    let first = history
        .commit(&[reading("a", 7, 1), reading("a", 7, 1), reading("a", 7, 2)])
        .await
        .unwrap();
    let [series] = &first.series[..] else {
        panic!("{first:?}");
    };
    assert_eq!((series.new, series.repeated, series.confirmed), (2, 1, 2));
    assert_eq!((series.life, &series.device), (7, &device("a")));

    // Whatever the other fields say.
    let mut other = reading("a", 7, 2);
    other.received_ms += 60_000;
    if let What::Reading(taken) = &mut other.what {
        taken.boot = 9;
        taken.taken_ms += 1234;
        taken.reading.t = 999;
    }
    let again = history.commit(&[other, reading("a", 7, 3)]).await.unwrap();
    assert_eq!((again.series[0].new, again.series[0].repeated), (1, 1));
    let stored = all(&history, "a").await;
    assert_eq!(stored.len(), 3);
    assert_eq!((stored[1].boot, stored[1].reading), (1, value(2)));
    assert_eq!(history.sizes().await.unwrap().repeated, 2);
    assert_eq!(history.commit(&[]).await.unwrap().series, []);
}

async fn gaps_are_known_and_given_up(place: Place) {
    let history = place.open().await;
    let of = |seqs: &[u32]| -> Vec<_> { seqs.iter().map(|&seq| reading("a", 1, seq)).collect() };
    assert_eq!(confirmed(&history, &of(&[10, 11, 12])).await, 0);
    assert_eq!(history.settle(&device("a"), 1).await.unwrap(), Some(12));
    assert_eq!(confirmed(&history, &of(&[15, 20])).await, 12);
    assert_eq!(
        gaps(&history, "a").await,
        [(13, 14, false), (16, 19, false)]
    );
    let Gap {
        after_ms,
        before_ms,
        ..
    } = history.gaps(&device("a")).await.unwrap()[0];
    assert_eq!(after_ms, Some(NOON + 60_000));
    assert_eq!(before_ms, Some(NOON + 75_000));

    let given = history.give_up(&device("a"), 1, 17).await.unwrap();
    assert_eq!(given, Some((17, 4)));
    let lost = [(13, 14, true), (16, 17, true), (18, 19, false)];
    assert_eq!(gaps(&history, "a").await, lost);
    // Again it changes nothing; above the newest there is no gap yet.
    assert_eq!(
        history.give_up(&device("a"), 1, 17).await.unwrap(),
        Some((17, 0))
    );
    assert_eq!(
        history.give_up(&device("a"), 1, 99).await.unwrap(),
        Some((20, 2))
    );
    assert_eq!(confirmed(&history, &of(&[21])).await, 21);
    assert_eq!(confirmed(&history, &of(&[23])).await, 21);

    // One comes after all, in the middle of what was given up.
    let late = history.commit(&of(&[17, 13])).await.unwrap();
    assert_eq!((late.series[0].new, late.series[0].confirmed), (2, 21));
    let lost = [
        (14, 14, true),
        (16, 16, true),
        (18, 19, true),
        (22, 22, false),
    ];
    assert_eq!(gaps(&history, "a").await, lost);
    assert_eq!(confirmed(&history, &of(&[22])).await, 23);
    assert_eq!(history.give_up(&device("a"), 2, 5).await.unwrap(), None);

    // The last gap closes onto numbers that were given up above the batch.
    assert_eq!(confirmed(&history, &of(&[25, 28])).await, 23);
    assert_eq!(
        history.give_up(&device("a"), 1, 24).await.unwrap(),
        Some((25, 1))
    );
    assert_eq!(gaps(&history, "a").await.last(), Some(&(26, 27, false)));
}

async fn what_was_before_the_recorder_is_no_gap(place: Place) {
    let history = place.open().await;
    // Out of order in the first batch: the lowest counts. The device may still hold what was
    // just before it.
    let first = [
        reading("a", 1, HELD + 102),
        reading("a", 1, HELD + 100),
        reading("a", 1, HELD + 101),
    ];
    assert_eq!(confirmed(&history, &first).await, 99);
    assert_eq!(gaps(&history, "a").await, [(100, HELD + 99, false)]);
    // It sends some of it, for which all of it was waited.
    let of =
        |from: u32, to: u32| -> Vec<_> { (from..to).map(|seq| reading("a", 1, seq)).collect() };
    assert_eq!(confirmed(&history, &of(HELD, HELD + 90)).await, 99);
    let mut settled = history.settle(&device("a"), 1).await.unwrap();
    assert_eq!(settled, Some(HELD + 89));
    assert_eq!(gaps(&history, "a").await, [(HELD + 90, HELD + 99, false)]);
    assert_eq!(
        confirmed(&history, &of(HELD + 90, HELD + 100)).await,
        HELD + 102
    );
    // Done once is done.
    settled = history.settle(&device("a"), 1).await.unwrap();
    assert_eq!(settled, Some(HELD + 102));
    assert_eq!(history.settle(&device("a"), 2).await.unwrap(), None);
    // What is older still comes after a restart of the device: it is stored, and makes no gap.
    assert_eq!(
        confirmed(&history, &[reading("a", 1, 90)]).await,
        HELD + 102
    );
    assert_eq!(gaps(&history, "a").await, []);
    assert_eq!(seqs(&history, "a").await[..2], [90, HELD]);
    // Nothing of before can be lost either.
    assert_eq!(
        history.give_up(&device("a"), 1, 99).await.unwrap(),
        Some((HELD + 102, 0))
    );
    assert_eq!(gaps(&history, "a").await, []);

    // All that a device can have had before is awaited, and no more.
    assert_eq!(confirmed(&history, &[reading("b", 1, 3)]).await, 0);
    assert_eq!(gaps(&history, "b").await, [(1, 2, false)]);
    let both = [reading("b", 1, 1), reading("b", 1, 2)];
    assert_eq!(confirmed(&history, &both).await, 3);
}

async fn lives_are_apart(place: Place) {
    let history = place.open().await;
    let batch = [
        reading("a", 7, 1),
        reading("a", 9, 1),
        reading("b", 7, 1),
        reading("a", 9, 3),
        reading("a", 0, 1),
    ];
    let committed = history.commit(&batch).await.unwrap();
    let told: Vec<_> = committed
        .series
        .iter()
        .map(|series| {
            (
                series.device.id(),
                series.life,
                series.confirmed,
                series.new,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", 0, 1, 1),
            ("a", 7, 1, 1),
            ("a", 9, 1, 2),
            ("b", 7, 1, 1)
        ]
    );
    assert_eq!(all(&history, "a").await.len(), 4);
    // A recorder that starts learns what it may confirm.
    let standings = history.standings(&device("a")).await.unwrap();
    let life = standings
        .iter()
        .find(|standing| standing.life == 9)
        .unwrap();
    assert_eq!(
        (life.base, life.confirmed, life.highest, life.repeated),
        (1, 1, 3, 0)
    );
    assert_eq!(standings.len(), 3);
    let gap = history.gaps(&device("a")).await.unwrap();
    assert_eq!(gap.len(), 1);
    assert_eq!((gap[0].life, gap[0].first, gap[0].last), (9, 2, 2));
}

async fn a_number_that_cannot_follow_begins_anew(place: Place) {
    const FORGED: u32 = 4_000_000_000;
    let history = place.open().await;
    // Each told as the series' count, up to where it may be confirmed, and what is new.
    let commit = async |batch: &[Arrival]| -> Vec<(u32, u32, u64)> {
        let committed = history.commit(batch).await.unwrap();
        let told = committed.series.iter();
        told.inspect(|series| assert!(series.life == 7 && series.present))
            .map(|series| (series.count, series.confirmed, series.new))
            .collect()
    };
    let batch: Vec<_> = (1..=3).map(|seq| reading("a", 7, seq)).collect();
    assert_eq!(commit(&batch).await, [(0, 3, 3)]);
    let forged = taken("a", 7, FORGED, NOON + 16_000);
    let alone = commit(std::slice::from_ref(&forged)).await;
    assert_eq!(alone, [(1, FORGED - HELD - 1, 1)]);
    // Both go on, also in one batch.
    let both = [reading("a", 7, 4), taken("a", 7, FORGED + 1, NOON + 21_000)];
    assert_eq!(commit(&both).await, [(0, 4, 1), (1, FORGED - HELD - 1, 1)]);
    let again = [forged, reading("a", 7, 4)];
    assert_eq!(commit(&again).await, [(0, 4, 0), (1, FORGED - HELD - 1, 0)]);
    // What is given up of one leaves the other as it is.
    let committed = history.commit(&again).await.unwrap();
    let key = committed.series[1].key();
    assert_eq!(committed.series[1].highest, FORGED);
    let settled = history.settle(&device("a"), key).await.unwrap();
    assert_eq!(settled, Some(FORGED + 1));
    let given = history.give_up(&device("a"), 7, FORGED).await.unwrap();
    assert_eq!(given, Some((4, 0)));
    assert_eq!(gaps(&history, "a").await, []);
    let mut stored = seqs(&history, "a").await;
    stored.sort_unstable();
    assert_eq!(stored, [1, 2, 3, 4, FORGED, FORGED + 1]);
    assert!(all(&history, "a").await.iter().all(|row| row.life == 7));
    // The newest is what came last.
    assert_eq!(commit(&[reading("a", 7, 5)]).await, [(0, 5, 1)]);
    let latest = history.latest(&device("a")).await.unwrap();
    assert_eq!(latest.reading.unwrap().seq, 5);

    // An outage is a gap, as ever.
    let back = [reading("a", 7, 5_000)];
    assert_eq!(commit(&back).await, [(0, 5, 1)]);
    assert_eq!(gaps(&history, "a").await, [(6, 4_999, false)]);
    // It is so for the next process, and where the readings are purged.
    history.close().await;
    let history = place.open().await;
    let batch = [reading("a", 7, 5_001), taken("a", 7, FORGED + 2, NOON)];
    let committed = history.commit(&batch).await.unwrap();
    let told: Vec<_> = committed
        .series
        .iter()
        .map(|series| (series.count, series.new))
        .collect();
    assert_eq!(told, [(0, 1), (1, 1)]);
}

async fn what_is_no_reading_is_kept_apart(place: Place) {
    let history = place.open().await;
    let odd = |at: i64, passed_over| {
        let what = What::NotAReading(NotAReading {
            why: "the field `life` is missing".to_owned(),
            payload: "\0{".repeat(1_000),
            passed_over,
        });
        said("a", at, what)
    };
    let batch = [odd(0, 0), reading("a", 1, 1), odd(1_000, 7)];
    let committed = history.commit(&batch).await.unwrap();
    assert_eq!((committed.series[0].new, committed.events), (1, 2));
    assert_eq!(history.commit(&batch).await.unwrap().events, 0);
    let events = history.events(&device("a"), 0, i64::MAX, 10).await.unwrap();
    assert!(events.iter().all(|event| event.kind == Kind::NotAReading));
    let value: serde_json::Value = serde_json::from_str(&events[0].value).unwrap();
    assert_eq!(value["passed_over"], 7);
    assert_eq!(value["why"], "the field `life` is missing");
    assert_eq!(value["payload"].as_str().unwrap().chars().count(), 256);
    assert_eq!(seqs(&history, "a").await, [1]);
}
