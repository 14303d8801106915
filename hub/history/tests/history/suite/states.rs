//! States, outages and what clocks do to them.

use aldis_history::{Kind, Listened, Outage, Retention, What};
use aldis_protocol::{Availability, Lamp, SensorState};

use super::{HOUR, events, gaps, rows, said, seqs, status};
use crate::place::{NOON, Place, believed, device, reading, taken};

on_both! {
    /// The log would be full of the same.
    states_are_stored_when_they_change
    /// Two recorders tell the same, a moment apart.
    late_states_find_their_place
    /// An outage that began while the hub was away would be shown as no time at all, and blamed
    /// on the device.
    an_outage_that_nobody_saw_begins_with_the_last_sign_of_life
    /// A clock that was set back would keep an old state for the newest.
    a_clock_that_jumps_back_harms_nothing
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
