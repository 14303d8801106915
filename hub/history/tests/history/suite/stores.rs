//! The store itself: its limits, what it forgets and what it says.

use aldis_history::{
    Answer, Arrival, DeviceKey, Diag, HELD, History, HistoryError, Message, Report, Retention, What,
};
use aldis_protocol::{Availability, MessageState};
use futures::TryStreamExt;
use tokio::time::Instant;

use super::{all, confirmed, events, gaps, seqs, status};
use crate::place::{NOON, Place, believed, device, reading, taken};

on_both! {
    /// What a device or its JSON can say at the most.
    extremes_are_stored
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
                received: None,
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

    // What was received before it was removed does not bring it back; what came behind does.
    let before = Arrival {
        received: Some(Instant::now()),
        ..reading("a", 1, 291)
    };
    history.remove(&device("a")).await.unwrap();
    let batch = [before.clone(), reading("b", 1, 2)];
    let committed = history.clone().commit(&batch).await.unwrap();
    assert_eq!(committed.series.len(), 1);
    assert_eq!(committed.series[0].device, device("b"));
    assert_eq!(titles().await, [("b".to_owned(), None)]);
    let behind = Arrival {
        received: Some(Instant::now()),
        ..reading("a", 1, 292)
    };
    history.commit(&[before, behind]).await.unwrap();
    assert_eq!(seqs(&history, "a").await, [292]);
    // One of which nothing is stored yet is removed before it is.
    let ghost = Arrival {
        received: Some(Instant::now()),
        ..reading("ghost", 1, 1)
    };
    assert!(matches!(
        history.remove(&device("ghost")).await,
        Err(HistoryError::NoDevice { .. })
    ));
    assert_eq!(history.commit(&[ghost]).await.unwrap().series, []);
    assert_eq!(titles().await.len(), 2);
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
