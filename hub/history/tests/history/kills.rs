//! Recorders that are killed, and servers.

use std::time::Duration;

use futures::TryStreamExt;

use crate::children::start;
use crate::place::{Place, Server, device};

/// What was said to be committed is there, nothing is there twice, and what was not said leaves
/// no trace that contradicts itself.
async fn look(place: &Place, said: u32, seed: u64) -> u32 {
    let history = place.open().await;
    let read: Vec<_> = history
        .readings(&device("a"), 0, i64::MAX)
        .try_collect()
        .await
        .unwrap();
    let mut seqs: Vec<_> = read.iter().map(|stored| stored.seq).collect();
    let count = seqs.len();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), count, "twice, with seed {seed}");
    let there = (1..)
        .zip(&seqs)
        .take_while(|(seq, stored)| seq == *stored)
        .count();
    assert!(
        there >= said as usize,
        "{said} was said, {there} are there, with seed {seed}"
    );
    // The runs, the rows and the roll-ups agree.
    let gaps = history.gaps(&device("a")).await.unwrap();
    let missing: u32 = gaps.iter().map(|gap| gap.last - gap.first + 1).sum();
    let top = seqs.last().copied().unwrap_or(0);
    assert_eq!(missing as usize, top as usize - count, "with seed {seed}");
    let chart = history.chart(&device("a"), 0, i64::MAX, 50).await.unwrap();
    let charted: u64 = chart.points.iter().map(|point| point.n).sum();
    assert_eq!(charted, count as u64, "with seed {seed}");
    history.close().await;
    u32::try_from(there).unwrap()
}

/// Kills so many writers at a time at moments by chance; the next ones go on where these were
/// seen to be.
fn kill_writers(place: &Place, kills: u64, at_a_time: u64, between: impl Fn()) {
    let base: u64 = std::env::var("ALDIS_HISTORY_KILLS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut there = 0;
    for kill in 0..kills {
        let seed = base * 1000 + kill;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut writers: Vec<_> = (0..at_a_time)
            .map(|writer| {
                let seed = seed + writer * 1_000_000;
                start("", "write", &place.address, there + 1, seed)
            })
            .collect();
        // From its first word on, or while it opens the store.
        let mut said = there;
        if (kill == 0 || random.u32(0..10) > 0)
            && let Some(word) = writers[0].said()
        {
            said = word.parse().unwrap();
        }
        let wait = Duration::from_micros(random.u64(0..60_000));
        std::thread::sleep(wait);
        for mut writer in writers {
            writer.kill();
            while let Some(word) = writer.said() {
                said = said.max(word.parse().unwrap());
            }
            writer.end();
        }
        between();
        there = runtime.block_on(look(place, said, seed));
    }
    assert!(there > 1000, "{there} readings are no test");
}

/// Readings that were confirmed and are gone, or came twice.
#[test]
fn fifty_killed_writers_lose_nothing_on_sqlite() {
    kill_writers(&Place::sqlite(), 50, 1, || {});
}

/// The same with a server that goes on.
#[test]
fn fifty_killed_writers_lose_nothing_on_postgres() {
    kill_writers(&Place::postgres(), 50, 1, || {});
}

/// The server is killed as well, each time.
#[test]
fn a_killed_server_loses_nothing() {
    let server = Server::start(&[]);
    let place = Place::on(&server);
    kill_writers(&place, 8, 1, || {
        server.kill();
        server.go_on();
    });
}

/// Two processes on one file, both killed.
#[test]
fn killed_pairs_of_writers_lose_nothing_on_sqlite() {
    kill_writers(&Place::sqlite(), 12, 2, || {});
}

/// Two recorders of one server.
#[test]
fn killed_pairs_of_writers_lose_nothing_on_postgres() {
    kill_writers(&Place::postgres(), 12, 2, || {});
}
