//! Disks that are full, files that are locked or damaged, servers that come and go.

use std::io::Write;
use std::time::{Duration, Instant};

use aldis_history::{History, HistoryError};
use futures::TryStreamExt;

use crate::children::start;
use crate::place::{
    NOON, Place, Server, await_until, await_until_async, device, make_room, reading, taken,
};

/// Half a batch stored, or a device told that all is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_whole_batches() {
    let place = Place::sqlite();
    // A soft limit, which the system's answer to is that of a full disk, and can be lifted.
    let limit = "trap '' XFSZ; ulimit -S -f 1024";
    let mut filler = start(limit, "fill", &place.address, 1, 0);
    let said = filler.said().unwrap();
    let stored: u32 = said
        .strip_prefix("full ")
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(stored >= 500, "{said}");
    assert!(said.contains("Make room on the disk"), "{said}");
    assert!(said.contains(&place.address), "{said}");
    // Another process, with room, sees what was confirmed and nothing else.
    let history = place.open().await;
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), stored as usize);
    history.close().await;

    make_room(filler.id());
    filler.input.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(filler.said(), Some(format!("stored {}", stored + 500)));
    filler.end();
    let history = place.open().await;
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), stored as usize + 500);
    assert_eq!(history.gaps(&device("a")).await.unwrap(), []);
}

/// The same on a server whose files cannot grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_whole_batches() {
    let server = Server::start_limited(&["max_wal_size=4MB"], Some(8192));
    let place = Place::on(&server);
    let mut filler = start("", "fill", &place.address, 1, 0);
    let said = filler.said().unwrap_or_else(|| panic!("{}", server.log()));
    let stored: u32 = said
        .strip_prefix("full ")
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(said.contains("Make room on the disk"), "{said}");
    server.make_room();
    filler.input.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(filler.said(), Some(format!("stored {}", stored + 500)));
    filler.end();
    let history = place.open().await;
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), stored as usize + 500);
    history.close().await;
}

/// A copy that somebody makes would cost what came meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_three_seconds_is_waited_for() {
    let place = Place::sqlite();
    let history = place.open().await;
    history.commit(&[reading("a", 1, 1)]).await.unwrap();
    let mut holder = start("", "hold", &place.address, 0, 0);
    assert_eq!(holder.said().as_deref(), Some("held"));
    let began = Instant::now();
    let commit = {
        let history = history.clone();
        tokio::spawn(async move { history.commit(&[reading("a", 1, 2)]).await })
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!commit.is_finished());
    // Reading goes on meanwhile.
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 1);
    holder.end();
    let committed = commit.await.unwrap().unwrap();
    assert_eq!(committed.series[0].confirmed, 2);
    assert!(began.elapsed() >= Duration::from_secs(3));
}

/// A lock that lasts is told, and nothing is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_lasts_is_told() {
    let place = Place::sqlite();
    let history = place.open().await;
    history.commit(&[reading("a", 1, 1)]).await.unwrap();
    let mut holder = start("", "hold", &place.address, 0, 0);
    assert_eq!(holder.said().as_deref(), Some("held"));
    let error = history.commit(&[reading("a", 1, 2)]).await.unwrap_err();
    assert!(matches!(error, HistoryError::Locked { .. }), "{error:?}");
    assert!(error.is_transient());
    assert!(
        error.to_string().contains("locked by another program"),
        "{error}"
    );
    holder.end();
    let committed = history.commit(&[reading("a", 1, 2)]).await.unwrap();
    assert_eq!(
        (committed.series[0].new, committed.series[0].confirmed),
        (1, 2)
    );
}

/// A recorder that has to be started again because the server was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_used_again() {
    let server = Server::start(&[]);
    let place = Place::on(&server);
    let history = place.open().await;
    history.commit(&[reading("a", 1, 1)]).await.unwrap();
    for round in 1..=2_u32 {
        if round == 1 {
            server.stop();
        } else {
            server.kill();
        }
        let batch = [reading("a", 1, round), reading("a", 1, round + 1)];
        for error in [
            history.commit(&batch).await.unwrap_err(),
            history.gaps(&device("a")).await.unwrap_err(),
            History::open(&place.address).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, HistoryError::Unreachable { .. }),
                "{error:?}"
            );
            assert!(error.is_transient());
            assert!(
                error.to_string().contains("whether the server runs"),
                "{error}"
            );
        }
        server.go_on();
        let end = Instant::now() + Duration::from_secs(20);
        let committed = loop {
            match history.commit(&batch).await {
                Ok(committed) => break committed,
                Err(error) => assert!(error.is_transient() && Instant::now() < end, "{error:?}"),
            }
        };
        assert_eq!(
            (committed.series[0].new, committed.series[0].confirmed),
            (1, round + 1)
        );
    }
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 3);
    history.close().await;
}

/// A writer that goes on while the server restarts ends with everything, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_restart_under_a_writer() {
    let server = Server::start(&[]);
    let place = Place::on(&server);
    let history = place.open().await;
    let writer = {
        let history = history.clone();
        tokio::spawn(async move {
            let mut failed = 0;
            for first in (1..6000_u32).step_by(20) {
                let batch: Vec<_> = (first..first + 20)
                    .map(|seq| reading("a", 1, seq))
                    .collect();
                loop {
                    match history.commit(&batch).await {
                        Ok(committed) => {
                            assert_eq!(committed.series[0].confirmed, first + 19);
                            break;
                        }
                        Err(error) => {
                            assert!(error.is_transient(), "{error:?}");
                            failed += 1;
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            }
            failed
        })
    };
    let stored = async |count: u64| {
        let end = Instant::now() + Duration::from_secs(30);
        while history.sizes().await.map_or(0, |sizes| sizes.readings) < count {
            assert!(Instant::now() < end, "the writer does not get on");
        }
    };
    stored(500).await;
    server.stop();
    server.go_on();
    stored(2000).await;
    server.kill();
    server.go_on();
    let failed = writer.await.unwrap();
    assert!(failed > 0, "no transaction was cut: that is no test");
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.len(), 6000);
    history.close().await;
}

/// What cannot be a store must not be made one, and each mistake has its words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_store_is_said() {
    let place = Place::sqlite();
    let other = place.folder().join("text.db");
    std::fs::write(&other, "not a database\n".repeat(100)).unwrap();
    let error = History::open(other.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, HistoryError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("move it away"), "{error}");
    assert!(
        std::fs::read_to_string(&other)
            .unwrap()
            .starts_with("not a database")
    );

    let nowhere = place.folder().join("no/such/folder.db");
    let error = History::open(nowhere.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, HistoryError::Refused { .. }), "{error:?}");
    assert!(!error.is_transient());

    let server = Place::postgres();
    let (start, _) = server.address.rsplit_once('/').unwrap();
    let missing = format!("{start}/no_such_database");
    let error = History::open(&missing).await.unwrap_err();
    assert!(matches!(error, HistoryError::Refused { .. }), "{error:?}");
    let nobody = server.address.replace("aldis@", "nobody:secret@");
    let error = History::open(&nobody).await.unwrap_err();
    assert!(matches!(error, HistoryError::Refused { .. }), "{error:?}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

/// A connection that does nothing for long is found dead only when it is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ended_are_made_anew() {
    let server = Server::start(&[]);
    let place = Place::on(&server);
    let history = place.open().await;
    history.commit(&[reading("a", 1, 1)]).await.unwrap();
    let mut admin = {
        use sqlx::Connection;
        sqlx::PgConnection::connect(&place.address).await.unwrap()
    };
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'aldis'",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let gone = await_until(Duration::from_secs(10), || {
        server.log().contains("terminating connection")
    });
    assert!(gone);
    let committed = history.commit(&[reading("a", 1, 2)]).await.unwrap();
    assert_eq!(committed.series[0].confirmed, 2);
    history.close().await;
}

/// A server that plans by its statistics would read all readings for each few of them: a year of
/// one device would take hours to roll up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_reads_what_is_asked_for() {
    use sqlx::Connection;
    const READINGS: u32 = 20_000;
    let place = Place::postgres();
    let history = place.open().await;
    let mut admin = sqlx::PgConnection::connect(&place.address).await.unwrap();
    let all: Vec<_> = (1..=READINGS)
        .map(|seq| taken("a", 1, seq, NOON + i64::from(seq) * 60_000))
        .collect();
    for part in all.chunks(1000) {
        history.commit(part).await.unwrap();
    }
    sqlx::query("ANALYZE").execute(&mut admin).await.unwrap();
    let now = NOON + i64::from(READINGS) * 60_000 + 3_600_000;
    assert!(history.roll_up(now).await.unwrap() >= u64::from(READINGS / 5));
    for part in all.chunks(1000) {
        let committed = history.commit(part).await.unwrap();
        assert_eq!(committed.series[0].repeated, 1000);
    }
    history.close().await;
    // What the connections did is told when they have ended.
    let mut read = 0;
    let told = await_until_async(Duration::from_secs(20), async || {
        read = sqlx::query_scalar::<_, i64>(
            "SELECT CAST(seq_tup_read + coalesce(idx_tup_fetch, 0) AS BIGINT) \
             FROM pg_stat_user_tables WHERE relname = 'reading'",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        read >= i64::from(READINGS)
    });
    assert!(told.await, "{read}");
    assert!(read < 3 * i64::from(READINGS), "{read} readings were read");
}
