//! What holds on both stores.

use aldis_history::{
    Answer, Arrival, DeviceKey, Diag, Gap, HELD, History, HistoryError, Kind, Level, Listened,
    Message, NotAReading, Outage, Report, Retention, What,
};
use aldis_protocol::{Availability, Lamp, MessageState, SensorState};
use futures::TryStreamExt;

use crate::place::{NOON, Place, believed, device, reading, taken, value};

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
    /// The log would be full of the same.
    states_are_stored_when_they_change
    /// Two recorders tell the same, a moment apart.
    late_states_find_their_place
    /// An outage that began while the hub was away would be shown as no time at all, and blamed
    /// on the device.
    an_outage_that_nobody_saw_begins_with_the_last_sign_of_life
    /// A clock that was set back would keep an old state for the newest.
    a_clock_that_jumps_back_harms_nothing
    /// A message would be shown as many times as it was delivered.
    messages_are_stored_once
    /// What a device or its JSON can say at the most.
    extremes_are_stored
    /// More than a page, from several lives, from the middle.
    readings_come_in_order
    /// A chart that shows too many points, or leaves readings out.
    charts_count_every_reading_once
    /// What is purged would be missing in the roll-ups, or counted twice.
    roll_ups_outlive_readings
    /// Deleting must not take what is to be kept.
    purging_goes_in_pieces
    /// A clock that is set wrong for an hour would cost all that was kept.
    a_wrong_clock_deletes_nothing
    /// Readings of a time that is still to come would stand there for ever as certain.
    a_clock_that_was_ahead_makes_times_uncertain
    /// After a clock that was wrong for days, each reading would be deleted as soon as it is
    /// stored, for years.
    a_store_recovers_from_a_wrong_clock
    /// A removed device would come back with its old data.
    a_removed_device_begins_anew
    /// What was committed is there for the next process.
    everything_is_there_after_opening_again
    /// An older program would misread what a newer one wrote.
    a_newer_store_is_refused
    /// A copy made while others write.
    backups_are_whole
    /// An error that does not say what to do.
    unknown_devices_are_said
}

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

fn said(id: &str, at: i64, what: What) -> Arrival {
    Arrival {
        device: device(id),
        received_ms: NOON + at,
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

async fn states_are_stored_when_they_change(place: Place) {
    use Availability::{Offline, Online};
    let history = place.open().await;
    let batch = [
        status(0, Online),
        said("a", 1, What::Led(Lamp::Off)),
        said("a", 2, What::Sensor(SensorState::Ok)),
        status(5_000, Online),
        said("a", 5_001, What::Led(Lamp::Off)),
    ];
    assert_eq!(history.commit(&batch).await.unwrap().events, 3);
    let batch = [
        status(60_000, Offline),
        status(90_000, Online),
        said("a", 90_001, What::Led(Lamp::Off)),
        said("a", 90_002, What::Led(Lamp::On)),
        status(200_000, Offline),
        said("b", 200_000, What::Status(Online)),
    ];
    assert_eq!(history.commit(&batch).await.unwrap().events, 5);
    let expected = rows(&[
        (0, "online"),
        (1, "off"),
        (2, "ok"),
        (60_000, "offline"),
        (90_000, "online"),
        (90_002, "on"),
        (200_000, "offline"),
    ]);
    assert_eq!(events(&history).await, expected);
    let newest = history
        .events(&device("a"), NOON, NOON + 90_002, 2)
        .await
        .unwrap();
    let newest: Vec<_> = newest
        .iter()
        .map(|event| (event.kind, &*event.value))
        .collect();
    assert_eq!(
        newest,
        [(Kind::Status, "online"), (Kind::Status, "offline")]
    );

    let outage = |from, to: Option<i64>| Outage {
        from_ms: NOON + from,
        to_ms: to.map(|to| NOON + to),
        hub_away: false,
    };
    let both = [outage(60_000, Some(90_000)), outage(200_000, None)];
    for (from, to, expected) in [
        (0, 300_000, &both[..]),
        (70_000, 80_000, &both[..1]),
        (90_000, 100_000, &[]),
        (90_000, 200_001, &both[1..]),
        (250_000, 260_000, &both[1..]),
        (0, 60_000, &[]),
    ] {
        let outages = history
            .outages(&device("a"), NOON + from, NOON + to)
            .await
            .unwrap();
        assert_eq!(outages, expected, "{from} {to}");
    }
    let latest = history.latest(&device("a")).await.unwrap();
    assert_eq!(latest.status, Some((NOON + 200_000, "offline".to_owned())));
    assert_eq!(latest.led, Some((NOON + 90_002, "on".to_owned())));
    assert_eq!(latest.sensor, Some((NOON + 2, "ok".to_owned())));
}

async fn late_states_find_their_place(place: Place) {
    use Availability::{Offline, Online};
    let history = place.open().await;
    history.commit(&[status(0, Online)]).await.unwrap();
    history
        .commit(&[status(1_000, Offline), status(2_000, Online)])
        .await
        .unwrap();
    // Another recorder that saw the same writes it a moment later.
    history
        .commit(&[status(1_001, Offline), status(2_001, Online)])
        .await
        .unwrap();
    // It saw an end of contact that this one did not.
    history
        .commit(&[status(500, Offline), status(600, Online)])
        .await
        .unwrap();
    let expected = rows(&[
        (0, "online"),
        (500, "offline"),
        (600, "online"),
        (1_000, "offline"),
        (2_000, "online"),
    ]);
    assert_eq!(events(&history).await, expected);
    let latest = history.latest(&device("a")).await.unwrap();
    assert_eq!(latest.status, Some((NOON + 2_000, "online".to_owned())));
    // The same end of contact, seen a little earlier, makes no outage of its own.
    history.commit(&[status(950, Offline)]).await.unwrap();
    let outages = history.outages(&device("a"), 0, i64::MAX).await.unwrap();
    let outages: Vec<_> = outages
        .iter()
        .map(|outage| (outage.from_ms - NOON, outage.to_ms.unwrap() - NOON))
        .collect();
    assert_eq!(outages, [(500, 600), (950, 2_000)]);
}

async fn an_outage_that_nobody_saw_begins_with_the_last_sign_of_life(place: Place) {
    use Availability::{Offline, Online};
    let history = place.open().await;
    let listened = async |id, back, from, until| {
        let listened = Listened {
            id,
            back_ms: NOON + back,
            from_ms: NOON + from,
            until_ms: NOON + until,
        };
        history.listened(&listened).await.unwrap();
    };
    let outages = async |from: i64, to: i64| {
        let outages = history.outages(&device("a"), NOON + from, NOON + to).await;
        let outages = outages.unwrap().into_iter();
        outages
            .map(|of| (of.from_ms - NOON, of.to_ms.map(|to| to - NOON), of.hub_away))
            .collect::<Vec<_>>()
    };
    listened(1, 0, 100, 100).await;
    history.commit(&[status(50, Online)]).await.unwrap();
    // Seen, between two signs of life and behind the last one.
    let seen = [status(5_000, Offline), status(9_000, Online)];
    history.commit(&seen).await.unwrap();
    listened(1, 0, 100, 20_000).await;
    // A sign that comes late takes nothing back.
    listened(1, 0, 100, 10_000).await;
    let seen = [status(25_000, Offline), status(26_000, Online)];
    history.commit(&seen).await.unwrap();
    // The hub is away, and its broker tells that the device was gone.
    let told = [status(3_600_050, Offline), status(3_600_080, Online)];
    history.commit(&told).await.unwrap();
    listened(2, 3_600_000, 3_600_100, 3_600_100).await;
    let all = [
        (5_000, Some(9_000), false),
        (25_000, Some(26_000), false),
        // What was told behind the last sign of life was seen as well.
        (26_000, Some(3_600_080), true),
    ];
    assert_eq!(outages(0, 4_000_000).await, all);
    assert_eq!(outages(100_000, 200_000).await, all[2..]);
    assert_eq!(outages(0, 20_000).await, all[..1]);
    // Gone while the hub was away, and not back.
    listened(2, 3_600_000, 3_600_100, 3_700_000).await;
    history.commit(&[status(7_200_020, Offline)]).await.unwrap();
    listened(3, 7_200_000, 7_200_100, 7_200_100).await;
    assert_eq!(
        outages(4_000_000, 8_000_000).await,
        [(3_700_000, None, true)]
    );
    // Another recorder was there all the time.
    history.commit(&[status(7_300_000, Online)]).await.unwrap();
    listened(4, 7_250_000, 7_250_100, 9_000_000).await;
    history.commit(&[status(8_000_010, Offline)]).await.unwrap();
    listened(5, 8_000_000, 8_000_100, 8_000_100).await;
    assert_eq!(
        outages(7_300_001, 9_000_000).await,
        [(8_000_010, None, false)]
    );
    history.close().await;

    // What is known of that is kept as long as events are.
    let history = place.open().await;
    let retention = Retention {
        events_ms: Some(HOUR),
        ..Retention::default()
    };
    let heard = status(9_000_000, Online);
    history.commit(&[heard]).await.unwrap();
    let now = believed(&history, NOON + 9_000_000).await;
    let purged = history.purge(now, &retention, 100).await.unwrap();
    // Two stretches, and all events but those of the last hour and the newest.
    assert!(purged.rows >= 2 && !purged.more, "{purged:?}");
    let outages = history.outages(&device("a"), NOON, i64::MAX).await.unwrap();
    assert!(
        outages
            .iter()
            .all(|outage| outage.from_ms >= NOON + 3_600_000)
    );
}

async fn a_clock_that_jumps_back_harms_nothing(place: Place) {
    let history = place.open().await;
    let batch = [
        reading("a", 1, 1),
        said("a", 0, What::Led(Lamp::On)),
        status(0, Availability::Online),
    ];
    history.commit(&batch).await.unwrap();
    let back = -HOUR;
    let batch = [
        taken("a", 1, 2, NOON + back),
        said("a", back, What::Led(Lamp::Off)),
        taken("a", 1, 3, NOON + back + 5_000),
        said("a", back + 5_000, What::Led(Lamp::Off)),
        status(back + 6_000, Availability::Offline),
    ];
    let committed = history.commit(&batch).await.unwrap();
    assert_eq!(committed.series[0].confirmed, 3);
    assert_eq!(committed.events, 2);
    // The newest is what came last, not what the clock says.
    let latest = history.latest(&device("a")).await.unwrap();
    assert_eq!(latest.led, Some((NOON + back, "off".to_owned())));
    assert_eq!(latest.reading.unwrap().seq, 3);
    assert_eq!(
        latest.status,
        Some((NOON + back + 6_000, "offline".to_owned()))
    );
    let devices = history.devices().await.unwrap();
    assert_eq!(devices[0].last_ms, NOON + back + 6_000);
    assert_eq!(seqs(&history, "a").await, [2, 3, 1]);
    assert_eq!(gaps(&history, "a").await, []);
    assert_eq!(history.roll_up(NOON + back + 600_000).await.unwrap(), 1);
    let chart = history.chart(&device("a"), 0, i64::MAX, 2).await.unwrap();
    assert_eq!(chart.points.iter().map(|point| point.n).sum::<u64>(), 3);
}

async fn messages_are_stored_once(place: Place) {
    let history = place.open().await;
    let message = |at, id: Option<&str>, from: Option<&str>, text: &str| {
        let message = Message {
            id: id.map(str::to_owned),
            from: from.map(str::to_owned),
            text: text.to_owned(),
        };
        said("a", at, What::Message(message))
    };
    let report = |at, state| {
        let report = Report {
            id: Some("7".to_owned()),
            state,
            at_ms: NOON + at,
            reason: None,
        };
        said("a", at + 50, What::MessageState(report))
    };
    let answer = |at, done| {
        let answer = Answer {
            id: Some("8".to_owned()),
            done,
            reason: (!done).then(|| "neither on, off nor toggle".to_owned()),
        };
        said("a", at, What::Answer(answer))
    };
    let batch = [
        message(0, Some("7"), Some("hall"), "dinner \"now\"\n\u{0}"),
        message(1, Some("7"), Some("hall"), "dinner"),
        // Two people count from one.
        message(2, Some("7"), None, "another"),
        message(3, None, None, "no id"),
        message(3, None, None, "no id"),
        message(4, None, None, "no id"),
        report(10, MessageState::Received),
        report(20, MessageState::Shown),
        report(25, MessageState::Received),
        answer(30, true),
        answer(31, true),
        answer(32, false),
        said(
            "a",
            40,
            What::Morse {
                text: "SOS".to_owned(),
                wpm: 12,
            },
        ),
    ];
    assert_eq!(history.commit(&batch).await.unwrap().events, 9);
    assert_eq!(history.commit(&batch).await.unwrap().events, 0);
    let expected = rows(&[
        (0, r#"{"from":"hall","id":"7","text":"dinner \"now\"\n"#),
        (2, r#"{"id":"7","text":"another"}"#),
        (3, r#"{"text":"no id"}"#),
        (4, r#"{"text":"no id"}"#),
        (10, r#"{"id":"7","state":"received"}"#),
        (20, r#"{"id":"7","state":"shown"}"#),
        (30, r#"{"done":true,"id":"8"}"#),
        (
            32,
            r#"{"done":false,"id":"8","reason":"neither on, off nor toggle"}"#,
        ),
        (40, r#"{"text":"SOS","wpm":12}"#),
    ]);
    let events = events(&history).await;
    assert_eq!(events.len(), expected.len());
    for ((at, value), (expected_at, expected)) in events.iter().zip(&expected) {
        assert_eq!(at, expected_at);
        // One is cut off in front of the sign for what cannot be stored.
        assert!(value.starts_with(&**expected), "{value}");
    }
    assert!(events[0].1.contains('\u{fffd}'));

    let diag = |at, uptime_s, body: &str| {
        let decoded = aldis_protocol::Diag::decode(body.as_bytes()).unwrap();
        let mut diag = Diag::of(5, &decoded, body);
        diag.uptime_s = uptime_s;
        said("a", at, What::Diag(Box::new(diag)))
    };
    let body = r#"{"boot":3,"reset":"power","rssi_dbm":-61,"free":9,"reconnects":{"tcp":2,"dns":1},"dropped":{"full":4}}"#;
    let batch = [
        diag(60_000, Some(60), body),
        diag(61_000, Some(60), body),
        diag(120_000, Some(120), body),
        diag(180_000, None, body),
    ];
    assert_eq!(history.commit(&batch).await.unwrap().diags, 3);
    assert_eq!(history.commit(&batch[..2]).await.unwrap().diags, 0);
    let diags = history.diags(&device("a"), 0, i64::MAX, 10).await.unwrap();
    assert_eq!(diags.len(), 3);
    let stored = &diags[1].diag;
    assert_eq!(diags[1].at_ms, NOON + 120_000);
    assert_eq!(
        (stored.life, stored.boot, stored.uptime_s),
        (5, 3, Some(120))
    );
    assert_eq!(
        (stored.rssi_dbm, stored.free, stored.free_min),
        (Some(-61), Some(9), None)
    );
    assert_eq!(
        (stored.reconnects, stored.dropped, stored.outbox),
        (Some(3), Some(4), None)
    );
    assert_eq!(
        (stored.reset.as_deref(), &*stored.body),
        (Some("power"), body)
    );
    let latest = history.latest(&device("a")).await.unwrap();
    assert_eq!(latest.diag, Some((NOON + 180_000, body.to_owned())));
}

async fn extremes_are_stored(place: Place) {
    let history = place.open().await;
    let mut batch = Vec::new();
    let times = [i64::MIN, -1, 0, 1, NOON, i64::MAX];
    for (life, seq) in [(0, 0), (0, u32::MAX), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        for time in times {
            let mut arrival = taken("a", life, seq, time);
            arrival.received_ms = time;
            if let What::Reading(taken) = &mut arrival.what {
                taken.boot = u32::MAX;
                taken.reading.t = if life == 0 { i16::MIN } else { i16::MAX };
                taken.reading.h = u16::MAX;
            }
            batch.push(arrival);
        }
    }
    let committed = history.commit(&batch).await.unwrap();
    // No device gives the first and the last number at one moment.
    assert_eq!(committed.series.len(), 4);
    for series in &committed.series {
        assert_eq!((series.new, series.repeated), (1, 5));
        let (seq, base) = match series.count {
            0 => (0, 0),
            _ => (u32::MAX, u32::MAX - HELD),
        };
        assert_eq!(series.highest, seq);
        let confirmed = if seq == 0 { 0 } else { base - 1 };
        assert_eq!(series.confirmed, confirmed);
        let given = history
            .give_up(&device("a"), series.key(), u32::MAX)
            .await
            .unwrap();
        assert_eq!(given, Some((seq, u64::from(seq - base))));
    }
    // What cannot be a time is none that is certain.
    assert!(
        all(&history, "a")
            .await
            .iter()
            .all(|stored| !stored.exact && stored.taken_ms == 0)
    );

    let text = "\u{0}\u{1f4a1}\\\"".repeat(3000);
    let mut odd = Vec::new();
    for time in times {
        let message = Message {
            id: Some(text.clone()),
            from: Some(text.clone()),
            text: text.clone(),
        };
        let report = Report {
            id: None,
            state: MessageState::Refused,
            at_ms: time,
            reason: Some(text.clone()),
        };
        let diag = Diag {
            uptime_s: Some(u64::MAX),
            boot: u32::MAX,
            life: u32::MAX,
            reset: Some(text.clone()),
            free: Some(i64::MAX),
            rssi_dbm: Some(i64::MIN),
            body: text.clone(),
            ..Diag::default()
        };
        for what in [
            What::Message(message),
            What::MessageState(report),
            What::Diag(Box::new(diag)),
            What::Morse {
                text: text.clone(),
                wpm: 255,
            },
            What::Answer(Answer {
                id: None,
                done: false,
                reason: Some(text.clone()),
            }),
            What::Status(Availability::Online),
        ] {
            odd.push(Arrival {
                device: device("a"),
                received_ms: time,
                what,
            });
        }
    }
    assert_eq!(history.commit(&odd).await.unwrap().diags, 1);
    history.roll_up(i64::MAX).await.unwrap();
    history.roll_up(i64::MIN).await.unwrap();
    for (from, to) in [(i64::MIN, i64::MAX), (0, 1), (1, 0), (i64::MAX, i64::MIN)] {
        let chart = history.chart(&device("a"), from, to, 100).await.unwrap();
        let expected = if from < to { 4 } else { 0 };
        assert_eq!(
            chart.points.iter().map(|point| point.n).sum::<u64>(),
            expected
        );
        history.events(&device("a"), from, to, 10).await.unwrap();
        history.outages(&device("a"), from, to).await.unwrap();
        let read: Vec<_> = history
            .readings(&device("a"), from, to)
            .try_collect()
            .await
            .unwrap();
        assert_eq!(read.len() as u64, expected);
    }
    let everything = Retention {
        raw_ms: Some(0),
        five_ms: Some(0),
        hour_ms: Some(i64::MAX),
        events_ms: Some(i64::MIN),
        diag_ms: Some(0),
    };
    while history
        .purge(believed(&history, i64::MAX).await, &everything, 10)
        .await
        .unwrap()
        .more
    {}
    history
        .purge(believed(&history, i64::MIN).await, &everything, 10)
        .await
        .unwrap();

    // The longest names there can be.
    let long = DeviceKey::new(&"p".repeat(64), &"i".repeat(64)).unwrap();
    let mut arrival = reading("a", 1, 1);
    arrival.device = long.clone();
    history.commit(&[arrival]).await.unwrap();
    history.rename(&long, Some(&text)).await.unwrap();
    assert!(
        history
            .devices()
            .await
            .unwrap()
            .iter()
            .any(|device| device.key == long)
    );
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

async fn a_removed_device_begins_anew(place: Place) {
    let history = place.open().await;
    let batch: Vec<_> = (1..=300).map(|seq| reading("a", 1, seq)).collect();
    history.commit(&batch).await.unwrap();
    history
        .commit(&[status(0, Availability::Online), reading("b", 1, 1)])
        .await
        .unwrap();
    history
        .rename(&device("a"), Some("  Kitchen "))
        .await
        .unwrap();
    let titles = async || -> Vec<_> {
        let devices = history.devices().await.unwrap();
        devices
            .into_iter()
            .map(|device| (device.key.id().to_owned(), device.title))
            .collect()
    };
    let kitchen = Some("Kitchen".to_owned());
    assert_eq!(
        titles().await,
        [("a".to_owned(), kitchen), ("b".to_owned(), None)]
    );
    history.rename(&device("a"), Some(" ")).await.unwrap();
    assert_eq!(titles().await[0].1, None);

    history.remove(&device("a")).await.unwrap();
    assert_eq!(titles().await, [("b".to_owned(), None)]);
    assert!(matches!(
        history.gaps(&device("a")).await,
        Err(HistoryError::NoDevice { .. })
    ));
    // It speaks again while its data is being deleted; another store handle has its old id.
    let other = place.open().await;
    let committed = other.commit(&[reading("a", 1, 290)]).await.unwrap();
    assert_eq!(
        (committed.series[0].new, committed.series[0].confirmed),
        (1, 0)
    );
    let mut rows = 0;
    loop {
        let piece = history
            .purge(believed(&history, NOON).await, &Retention::default(), 100)
            .await
            .unwrap();
        assert!(piece.rows <= 100);
        rows += piece.rows;
        if !piece.more {
            break;
        }
    }
    assert!(rows > 300);
    assert_eq!(seqs(&history, "a").await, [290]);
    assert_eq!(events(&history).await, []);
    let sizes = history.sizes().await.unwrap();
    assert_eq!((sizes.devices, sizes.readings), (2, 2));

    // Removed by one while the other has noted its id.
    history.remove(&device("a")).await.unwrap();
    let committed = other.commit(&[reading("a", 1, 290)]).await.unwrap();
    assert_eq!(committed.series[0].new, 1);
    while history
        .purge(believed(&history, NOON).await, &Retention::default(), 100)
        .await
        .unwrap()
        .more
    {}
    assert_eq!(seqs(&history, "a").await, [290]);
}

async fn everything_is_there_after_opening_again(place: Place) {
    let history = place.open().await;
    let batch = [
        reading("a", 1, 1),
        reading("a", 1, 3),
        status(0, Availability::Online),
    ];
    history.commit(&batch).await.unwrap();
    history.close().await;
    let history = place.open().await;
    assert_eq!(seqs(&history, "a").await, [1, 3]);
    assert_eq!(gaps(&history, "a").await, [(2, 2, false)]);
    assert_eq!(history.commit(&batch).await.unwrap().events, 0);
    assert_eq!(confirmed(&history, &[reading("a", 1, 2)]).await, 3);
    let sizes = history.sizes().await.unwrap();
    assert_eq!((sizes.devices, sizes.readings, sizes.events), (1, 3, 1));
    assert!(sizes.bytes > 10_000);
    if place.is_sqlite() {
        // What was committed last is beside the file, and fills the disk as well.
        let files = ["", "-wal", "-shm"].map(|end| {
            let file = std::fs::metadata(format!("{}{end}", place.address));
            file.map_or(0, |file| file.len())
        });
        assert!(files[1] > 0, "{files:?}");
        assert_eq!(sizes.bytes, files.iter().sum::<u64>());
    }
}

async fn a_newer_store_is_refused(place: Place) {
    place.open().await.close().await;
    if place.is_sqlite() {
        let file = rusqlite::Connection::open(&place.address).unwrap();
        file.execute("INSERT INTO aldis_history VALUES (99)", [])
            .unwrap();
    } else {
        use sqlx::Connection;
        let mut server = sqlx::PgConnection::connect(&place.address).await.unwrap();
        sqlx::query("INSERT INTO aldis.aldis_history VALUES (99)")
            .execute(&mut server)
            .await
            .unwrap();
    }
    let error = History::open(&place.address).await.unwrap_err();
    assert!(
        matches!(
            error,
            HistoryError::Newer {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.is_transient());
    let said = error.to_string();
    assert!(
        said.contains(&place.address) && said.contains("newer program"),
        "{said}"
    );
}

async fn backups_are_whole(place: Place) {
    let history = place.open().await;
    history.commit(&[reading("a", 1, 1)]).await.unwrap();
    if !place.is_sqlite() {
        let said = history
            .backup("copy".as_ref())
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("pg_dump --schema=aldis"), "{said}");
        return;
    }
    let writer = {
        let history = history.clone();
        tokio::spawn(async move {
            for first in (2..4000).step_by(20) {
                let batch: Vec<_> = (first..first + 20)
                    .map(|seq| reading("a", 1, seq))
                    .collect();
                history.commit(&batch).await.unwrap();
            }
        })
    };
    let mut copies = 0;
    while !writer.is_finished() || copies < 3 {
        let copy = place.folder().join(format!("copy {copies}.db"));
        history.backup(&copy).await.unwrap();
        copies += 1;
        let copied = History::open(copy.to_str().unwrap()).await.unwrap();
        // Batches are there as a whole, and the runs are those of the readings.
        let seqs = seqs(&copied, "a").await;
        assert_eq!(seqs.len() % 20, 1);
        assert_eq!(seqs.len(), *seqs.last().unwrap() as usize);
        assert_eq!(gaps(&copied, "a").await, []);
        copied.close().await;
    }
    writer.await.unwrap();
    let taken = place.folder().join("copy 0.db");
    let said = history.backup(&taken).await.unwrap_err().to_string();
    assert!(said.contains("choose another name"), "{said}");
    let nowhere = place.folder().join("no/such/folder.db");
    assert!(history.backup(&nowhere).await.is_err());
}

async fn unknown_devices_are_said(place: Place) {
    let history = place.open().await;
    let ghost = device("ghost");
    for error in [
        history.rename(&ghost, None).await.unwrap_err(),
        history.remove(&ghost).await.unwrap_err(),
        history.latest(&ghost).await.unwrap_err(),
        history.chart(&ghost, 0, 1, 1).await.unwrap_err(),
        history.give_up(&ghost, 1, 1).await.unwrap_err(),
        history.readings(&ghost, 0, 1).try_next().await.unwrap_err(),
    ] {
        assert!(matches!(error, HistoryError::NoDevice { .. }), "{error:?}");
        assert!(error.to_string().contains("aldis/ghost"), "{error}");
    }
    assert_eq!(history.devices().await.unwrap(), []);
    assert_eq!(
        history
            .purge(believed(&history, NOON).await, &Retention::default(), 10)
            .await
            .unwrap()
            .rows,
        0
    );
    assert_eq!(history.roll_up(NOON).await.unwrap(), 0);
}
